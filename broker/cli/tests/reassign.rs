//! Replicas move, leaders change and properties are set while a cluster of processes runs.

mod cluster;
mod support;

use std::time::{Duration, Instant};

use cluster::Cluster;
use support::assert_says;
use support::command::{Cli, broker, done, failed};

const LIMIT: Duration = Duration::from_secs(30);

fn run(cluster: &Cluster, arguments: &[&str]) -> std::process::Output {
    let server = cluster.bootstrap();
    broker(&[arguments, &["--bootstrap-server", &server]].concat())
}

/// Repeats a command until its output is as wanted.
#[track_caller]
fn until(cluster: &Cluster, arguments: &[&str], wanted: impl Fn(&str) -> bool) -> String {
    let started = Instant::now();
    loop {
        let said = done(&run(cluster, arguments));
        if wanted(&said) {
            return said;
        }
        assert!(started.elapsed() < LIMIT, "{arguments:?}: {said}");
    }
}

fn create(cluster: &Cluster, topic: &str, replicas: &str) {
    let create = [
        "topics",
        "create",
        "--topic",
        topic,
        "--partitions",
        "1",
        "--replication-factor",
        replicas,
        "--if-not-exists",
    ];
    let started = Instant::now();
    // The brokers may not have registered yet.
    while !run(cluster, &create).status.success() {
        assert!(started.elapsed() < LIMIT, "the topic cannot be created");
    }
}

#[test]
fn replicas_move_and_leaders_follow() {
    let mut cluster = Cluster::start(3);
    create(&cluster, "t", "3");
    create(&cluster, "m", "1");
    let describe = |topic| ["topics", "describe", "--topic", topic];
    let sent = Cli::at(cluster.bootstrap()).produce(&["--topic", "m"], "one\ntwo\n");
    done(&sent);

    for target in ["m-0=1", "m-0=3", "m-0=2,1"] {
        done(&run(&cluster, &["reassign", "start", "--to", target]));
        until(&cluster, &["reassign", "list"], str::is_empty);
        let (_, replicas) = target.split_once('=').expect("as written above");
        let wanted = format!("\tReplicas: {replicas}\t");
        until(&cluster, &describe("m"), |said| said.contains(&wanted));
    }
    let read = run(
        &cluster,
        &[
            "consume",
            "--topic",
            "m",
            "--from-beginning",
            "--max-messages",
            "2",
        ],
    );
    assert_eq!(done(&read), "one\ntwo\n");

    done(&run(&cluster, &["reassign", "start", "--to", "t-0=2,3,1"]));
    done(&run(
        &cluster,
        &["topics", "elect-leaders", "--partition", "t-0"],
    ));
    until(&cluster, &describe("t"), |said| said.contains("Leader: 2"));
    done(&run(&cluster, &["topics", "elect-leaders", "--all"]));

    // A broker that is away is waited for, until the move is cancelled.
    done(&run(&cluster, &["reassign", "start", "--to", "m-0=2,1"]));
    cluster.kill(3);
    done(&run(&cluster, &["reassign", "start", "--to", "m-0=2,3"]));
    let moving = done(&run(&cluster, &["reassign", "list"]));
    assert_says(
        &moving,
        &["Partition: m-0\tReplicas: 2,3,1\tAdding: 3\tRemoving: 1"],
    );
    done(&run(
        &cluster,
        &["reassign", "cancel", "--partition", "m-0"],
    ));
    assert_eq!(done(&run(&cluster, &["reassign", "list"])), "");

    let refused: [(&[&str], &str); 4] = [
        (
            &["reassign", "start", "--to", "m-0=9"],
            "INVALID_REPLICA_ASSIGNMENT",
        ),
        (
            &["reassign", "start", "--to", "m-7=1"],
            "UNKNOWN_TOPIC_OR_PARTITION",
        ),
        (
            &["reassign", "cancel", "--partition", "m-0"],
            "NO_REASSIGNMENT_IN_PROGRESS",
        ),
        (
            &["topics", "elect-leaders", "--partition", "x-0"],
            "UNKNOWN_TOPIC_OR_PARTITION",
        ),
    ];
    for (arguments, error) in refused {
        assert_says(&failed(&run(&cluster, arguments), 1), &[error]);
    }
    for usage in [
        &["reassign", "start", "--to", "m=1"],
        &["reassign", "start", "--to", "m-0=x"],
    ] {
        failed(&broker(usage), 2);
    }
}

#[test]
fn properties_change_at_run_time() {
    let cluster = Cluster::start(1);
    create(&cluster, "t", "1");
    let server = Cli::at(cluster.bootstrap());
    let line = format!("{}\n", "x".repeat(500));
    done(&server.produce(&["--topic", "t"], &line));

    done(&run(
        &cluster,
        &[
            "configs",
            "alter",
            "--broker-defaults",
            "--set",
            "message.max.bytes=300",
        ],
    ));
    let inherited = "max.message.bytes=300\tDYNAMIC_DEFAULT_BROKER_CONFIG";
    let all = ["configs", "describe", "--topic", "t", "--all"];
    until(&cluster, &all, |said| said.contains(inherited));
    let refused = failed(&server.produce(&["--topic", "t"], &line), 1);
    assert_says(&refused, &["MESSAGE_TOO_LARGE"]);

    done(&run(
        &cluster,
        &[
            "configs",
            "alter",
            "--topic",
            "t",
            "--set",
            "max.message.bytes=3000",
        ],
    ));
    let set = "max.message.bytes=3000\tDYNAMIC_TOPIC_CONFIG\n";
    until(&cluster, &["configs", "describe", "--topic", "t"], |said| {
        said == set
    });
    done(&server.produce(&["--topic", "t"], &line));

    done(&run(
        &cluster,
        &[
            "configs",
            "alter",
            "--broker",
            "1",
            "--set",
            "log.retention.ms=7000",
        ],
    ));
    let own = "log.retention.ms=7000\tDYNAMIC_BROKER_CONFIG";
    let described = ["configs", "describe", "--broker", "1"];
    until(&cluster, &described, |said| said.contains(own));
    let refused: [(&[&str], &str); 3] = [
        (&["--broker", "1", "--set", "node.id=3"], "INVALID_REQUEST"),
        (
            &["--topic", "t", "--set", "retention.ms=x"],
            "INVALID_CONFIG",
        ),
        (
            &["--broker", "1", "--set", "min.insync.replicas=1"],
            "INVALID_CONFIG",
        ),
    ];
    for (arguments, error) in refused {
        let arguments = [&["configs", "alter"], arguments].concat();
        assert_says(&failed(&run(&cluster, &arguments), 1), &[error]);
    }
}
