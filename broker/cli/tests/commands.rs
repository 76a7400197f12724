//! The commands against a running broker.

mod support;

use std::process::Command;
use std::time::{Duration, Instant};

use support::command::{Cli, broker, done, failed};
use support::good::Good;
use support::node::Node;

#[test]
fn topics_are_created_listed_described_altered_and_deleted() {
    let started = Instant::now();
    let node = Node::start("");
    // The broker has registered once a topic can be created.
    Good::start(&node);
    let cli = Cli::of(&node);
    let created = cli.run(&[
        "topics",
        "create",
        "--topic",
        "t",
        "--partitions",
        "2",
        "--config",
        "retention.ms=5000",
    ]);
    assert!(done(&created).starts_with("created t, id "));
    assert_eq!(done(&cli.run(&["topics", "list"])), "good\nt\n");
    let described = done(&cli.run(&["topics", "describe", "--topic", "t"]));
    assert!(
        described.contains("PartitionCount: 2\tReplicationFactor: 1\tConfigs: retention.ms=5000"),
        "{described}"
    );
    assert!(
        described.contains("\tTopic: t\tPartition: 1\tLeader: 1\tReplicas: 1\tIsr: 1"),
        "{described}"
    );
    let altered = [
        "topics",
        "alter",
        "--topic",
        "t",
        "--partitions",
        "3",
        "--config",
        "segment.bytes=9999",
        "--delete-config",
        "retention.ms",
    ];
    done(&cli.run(&altered));
    // The controller has it; this broker hears of it next.
    let is_altered = |described: &String| {
        described.contains("PartitionCount: 3")
            && described.contains("Configs: segment.bytes=9999\n")
    };
    let mut descriptions = std::iter::repeat_with(|| {
        std::thread::sleep(std::time::Duration::from_millis(50));
        done(&cli.run(&["topics", "describe", "--topic", "t"]))
    });
    let described = descriptions.by_ref().take(100).find(is_altered);
    assert!(described.is_some(), "{:?}", descriptions.next());
    assert_eq!(
        done(&cli.run(&["topics", "delete", "--topic", "t"])),
        "deleted t\n"
    );
    // A broker hears of it a moment after the controller has said so.
    while done(&cli.run(&["topics", "list"])) != "good\n" {
        assert!(
            started.elapsed() < Duration::from_secs(30),
            "the topic stays"
        );
    }
}

#[test]
fn what_the_broker_refuses_is_said() {
    let node = Node::start("");
    Good::start(&node);
    let cli = Cli::of(&node);
    let cases: [(&[&str], &[&str]); 7] = [
        (
            &["topics", "create", "--topic", "good"],
            &["good", "TOPIC_ALREADY_EXISTS"],
        ),
        (
            &["topics", "create", "--topic", "t", "--config", "nonsense=1"],
            &["INVALID_CONFIG", "nonsense"],
        ),
        (
            &[
                "topics",
                "create",
                "--topic",
                "t",
                "--replication-factor",
                "3",
            ],
            &["INVALID_REPLICATION_FACTOR"],
        ),
        (
            &["topics", "create", "--topic", "a/b"],
            &["INVALID_TOPIC_EXCEPTION"],
        ),
        (
            &["topics", "describe", "--topic", "none"],
            &["none", "UNKNOWN_TOPIC_OR_PARTITION"],
        ),
        (
            &["topics", "delete", "--topic", "none"],
            &["none", "UNKNOWN_TOPIC_OR_PARTITION"],
        ),
        (
            &["topics", "alter", "--topic", "good", "--partitions", "1"],
            &["good", "INVALID_PARTITIONS"],
        ),
    ];
    for (arguments, parts) in cases {
        let said = failed(&cli.run(arguments), 1);
        assert!(
            parts.iter().all(|part| said.contains(part)),
            "{arguments:?}: {said}"
        );
    }
    done(&cli.run(&["topics", "create", "--topic", "good", "--if-not-exists"]));
}

#[test]
fn bad_usage_is_exit_code_2_and_no_broker_1() {
    let cases: [&[&str]; 7] = [
        &["nonsense"],
        &["topics", "create"],
        &["topics", "alter", "--topic", "t"],
        &["topics", "create", "--topic", "t", "--config", "novalue"],
        &["topics", "list", "--bootstrap-server", "nohost"],
        &["consume", "--topic", "t", "--property", "print.key=perhaps"],
        &["produce", "--topic", "t", "--acks", "3"],
    ];
    for arguments in cases {
        failed(&broker(arguments), 2);
    }
    let port = support::ports::free_port();
    let server = format!("127.0.0.1:{port}");
    let said = failed(
        &broker(&[
            "topics",
            "list",
            "--bootstrap-server",
            &server,
            "--request-timeout-ms",
            "500",
        ]),
        1,
    );
    assert!(said.contains(&server), "{said}");
}

#[test]
fn a_wrong_log_filter_is_named() {
    let output = Command::new(env!("CARGO_BIN_EXE_broker"))
        .args(["topics", "list"])
        .env("BROKER_LOG", "broker=loudest")
        .output()
        .expect("the command runs");
    assert!(failed(&output, 2).contains("BROKER_LOG=broker=loudest"));
}

#[test]
fn logs_have_no_colours_in_a_file() {
    let node = Node::start("");
    assert!(
        node.log().contains("INFO") && !node.log().contains('\u{1b}'),
        "{}",
        node.log()
    );
}

#[test]
fn lines_go_in_and_come_out() {
    let node = Node::start("");
    Good::start(&node);
    let cli = Cli::of(&node);
    done(&cli.run(&["topics", "create", "--topic", "t", "--partitions", "1"]));
    for codec in ["none", "gzip", "snappy", "lz4", "zstd"] {
        let lines = format!("{codec}:1\n{codec}:2\n");
        done(&cli.produce(
            &[
                "--topic",
                "t",
                "--key-separator",
                ":",
                "--compression",
                codec,
            ],
            &lines,
        ));
    }
    let consumed = cli.run(&[
        "consume",
        "--topic",
        "t",
        "--from-beginning",
        "--max-messages",
        "10",
        "--property",
        "print.key=true",
        "--property",
        "print.offset=true",
        "--property",
        "key.separator= ",
    ]);
    let expected: Vec<String> = ["none", "gzip", "snappy", "lz4", "zstd"]
        .iter()
        .flat_map(|codec| [(codec, 1), (codec, 2)])
        .enumerate()
        .map(|(offset, (codec, value))| format!("Offset:{offset} {codec} {value}\n"))
        .collect();
    assert_eq!(done(&consumed), expected.concat());
    let last = cli.run(&[
        "consume",
        "--topic",
        "t",
        "--partition",
        "0",
        "--offset",
        "9",
        "--max-messages",
        "1",
    ]);
    assert_eq!(done(&last), "2\n");
    let from_now = cli.run(&["consume", "--topic", "t", "--timeout-ms", "300"]);
    assert_eq!(done(&from_now), "");

    let said = failed(
        &cli.produce(&["--topic", "t", "--key-separator", ":"], "a:1\nno key\n"),
        1,
    );
    assert!(said.contains("line 2") && said.contains("':'"), "{said}");
    let said = failed(
        &cli.run(&[
            "consume",
            "--topic",
            "t",
            "--partition",
            "7",
            "--timeout-ms",
            "5000",
        ]),
        1,
    );
    assert!(said.contains("no partition 7"), "{said}");
}

#[test]
fn the_quorum_is_described() {
    let node = Node::start("");
    Good::start(&node);
    let cli = Cli::of(&node);
    let both = done(&cli.run(&["quorum", "describe"]));
    let port = node.controller_port;
    let voters = format!(
        "CurrentVoters:          [{{\"id\": 1, \"endpoints\": [\"CONTROLLER://127.0.0.1:{port}\"]}}]\n"
    );
    for part in [
        "ClusterId:",
        "LeaderId:               1\n",
        voters.as_str(),
        "CurrentObservers:       []\n",
        "\tLeader\n",
    ] {
        assert!(both.contains(part), "{part} is not in {both}");
    }
    assert!(!done(&cli.run(&["quorum", "describe", "--replication"])).contains("ClusterId"));
    assert!(!done(&cli.run(&["quorum", "describe", "--status"])).contains("NodeId\t"));
}

#[test]
fn perf_measures_client_and_broker() {
    let node = Node::start("");
    Good::start(&node);
    let cli = Cli::of(&node);
    done(&cli.run(&["topics", "create", "--topic", "p", "--partitions", "2"]));
    let load = [
        "--topic",
        "p",
        "--records",
        "5000",
        "--concurrency",
        "2",
        "--json",
    ];
    for name in ["produce", "fetch"] {
        let line = done(&cli.run(&[&["perf", name], &load[..]].concat()));
        let figures: serde_json::Value = serde_json::from_str(&line).expect("one JSON object");
        assert!(figures["records"].as_u64() >= Some(5000), "{line}");
        assert!(figures["records_per_second"].as_f64() > Some(0.0), "{line}");
        assert!(
            figures["p50_ms"].as_f64() <= figures["p99_ms"].as_f64(),
            "{line}"
        );
        assert_eq!(
            figures["broker_pid"].as_u64(),
            Some(u64::from(node.pid())),
            "{line}"
        );
        assert!(
            figures["broker_rss_bytes"].as_u64() > Some(1_000_000),
            "{line}"
        );
    }
    let text = done(&cli.run(&[
        "perf",
        "produce",
        "--topic",
        "p",
        "--records",
        "100",
        "--acks",
        "1",
    ]));
    assert!(text.contains("records/s") && text.contains("p99"), "{text}");
}

#[test]
fn transactions_are_measured() {
    let node = Node::start(
        "transaction.state.log.replication.factor=1\ntransaction.state.log.min.isr=1\n\
         transaction.state.log.num.partitions=2",
    );
    Good::start(&node);
    let cli = Cli::of(&node);
    done(&cli.run(&["topics", "create", "--topic", "p"]));
    let load = ["--topic", "p", "--records", "95", "--json"];
    let figures = |more: &[&str]| -> serde_json::Value {
        let line = done(&cli.run(&[&["perf"], more, &load[..]].concat()));
        serde_json::from_str(&line).expect("one JSON object")
    };
    let produced = figures(&["produce", "--transaction-records", "10"]);
    assert_eq!(produced["records"], 95, "{produced}");
    assert_eq!(produced["transactions"], 10, "{produced}");
    assert!(produced["commit_p50_ms"].as_f64() > Some(0.0), "{produced}");
    let whole = "consume --topic p --from-beginning --max-messages 95 --isolation-level read_committed \
                 --property print.value=false --property print.offset=true";
    let read = done(&cli.run(&whole.split_whitespace().collect::<Vec<&str>>()));
    assert_eq!(read.lines().count(), 95);
    let wrong = "consume --topic p --isolation-level serializable";
    let said = failed(&cli.run(&wrong.split(' ').collect::<Vec<&str>>()), 2);
    assert!(
        said.contains("read_uncommitted nor read_committed"),
        "{said}"
    );
    let fetched = figures(&["fetch", "--isolation-level", "read_committed"]);
    assert!(fetched["records"].as_u64() >= Some(95), "{fetched}");
    assert!(fetched["transactions"].is_null(), "{fetched}");
}

#[test]
fn groups_are_read_by_listed_described_moved_and_deleted() {
    let node = Node::start(
        "offsets.topic.replication.factor=1\noffsets.topic.num.partitions=2\ngroup.initial.rebalance.delay.ms=100",
    );
    Good::start(&node);
    let cli = Cli::of(&node);
    done(&cli.produce(&["--topic", "good"], "one\ntwo\nthree\n"));
    let end = records(&cli, &["--from-beginning", "--timeout-ms", "2000"])
        .lines()
        .count();
    let read = |most: &str| {
        let group = [
            "--group",
            "readers",
            "--from-beginning",
            "--timeout-ms",
            "15000",
        ];
        records(&cli, &[&group[..], &["--max-messages", most]].concat())
    };
    // Each one goes on where the one before has ended.
    let (first, second) = (read("2"), read("2"));
    assert_eq!((first.lines().count(), second.lines().count()), (2, 2));
    assert_ne!(first, second);
    assert_eq!(
        done(&cli.run(&["groups", "list"])),
        "readers\tEmpty\tconsumer\n"
    );
    let described = done(&cli.run(&["groups", "describe", "--group", "readers"]));
    let lag = end - 4;
    assert!(
        described.contains(&format!("good-0\t4\t{end}\t{lag}\t-\t-")),
        "{described}"
    );
    let reset = [
        "groups",
        "reset-offsets",
        "--group",
        "readers",
        "--to-offset",
        "1",
    ];
    assert_eq!(done(&cli.run(&reset)), "good-0\t1\n");
    assert_eq!(read("1").lines().count(), 1, "nothing was changed");
    done(&cli.run(&[&reset[..], &["--execute"]].concat()));
    let described = done(&cli.run(&["groups", "describe", "--group", "readers"]));
    assert!(described.contains("good-0\t1\t"), "{described}");
    done(&cli.run(&["groups", "delete", "--group", "readers"]));
    assert_eq!(done(&cli.run(&["groups", "list"])), "");
    let gone = failed(&cli.run(&["groups", "delete", "--group", "readers"]), 1);
    assert!(gone.contains("GROUP_ID_NOT_FOUND"), "{gone}");
}

fn records(cli: &Cli, options: &[&str]) -> String {
    done(&cli.run(&[&["consume", "--topic", "good"], options].concat()))
}
