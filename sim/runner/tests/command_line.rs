//! The contract of the command line: exit codes, JSON, the last line, refusals.

mod support;

use std::process::Output;

use support::trial;

fn stdout(output: &Output) -> String {
    String::from_utf8_lossy(&output.stdout).into_owned()
}

fn stderr(output: &Output) -> String {
    String::from_utf8_lossy(&output.stderr).into_owned()
}

#[test]
fn a_run_prints_one_json_object_and_nothing_else() {
    let output = trial(&["run", "seconds", "--seed", "1", "--json"]);
    assert_eq!(output.status.code(), Some(0), "{}", stdout(&output));
    let text = stdout(&output);
    assert_eq!(text.lines().count(), 1);
    let json: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    for key in [
        "scenario",
        "seed",
        "engine",
        "verdict",
        "violations",
        "trace_hash",
        "events",
        "sim_ms",
        "wall_ms",
        "faults",
        "clients",
        "probes",
        "replay",
    ] {
        assert!(json.get(key).is_some(), "{key} is missing: {text}");
    }
    for key in [
        "acked",
        "failed",
        "unknown",
        "consumed",
        "txns_committed",
        "txns_aborted",
    ] {
        assert!(
            json["clients"].get(key).is_some(),
            "clients.{key} is missing"
        );
    }
    assert_eq!(json["verdict"], "held");
    assert_eq!(
        json["replay"],
        "cargo run --release -- replay seconds --seed 1"
    );
}

#[test]
fn a_run_ends_with_its_replay_command() {
    let output = trial(&["run", "seconds", "--seed", "2"]);
    let text = stdout(&output);
    assert_eq!(
        text.lines().last(),
        Some("cargo run --release -- replay seconds --seed 2")
    );
    assert!(text.contains("HELD") && text.contains("REP-1"), "{text}");
}

#[test]
fn without_a_seed_one_is_drawn_and_printed_first() {
    let output = trial(&["run", "seconds"]);
    let text = stdout(&output);
    let seed = text
        .lines()
        .next()
        .and_then(|line| line.strip_prefix("seed "));
    let seed: u64 = seed.expect("the first line").parse().expect("a number");
    assert!(text.contains(&format!("--seed {seed}")), "{text}");
}

#[test]
fn bad_usage_and_bad_scenarios_exit_with_2() {
    for (arguments, expected) in [
        (&["run", "quickstrat"][..], "did you mean `quickstart`?"),
        (
            &["run", "seconds", "--engine", "turmoill"],
            "did you mean turmoil?",
        ),
        (
            &["run", "seconds", "--seeds", "5..5"],
            "the end is not included",
        ),
        (&["run"], "required"),
        (
            &["shrink", "seconds", "--seed", "1", "-o", "x"],
            "ends in .toml",
        ),
        (&["shrink", "seconds", "-o", "x.toml"], "--seed"),
        (
            &["shrink", "seconds", "--seed", "1", "-o", "none/x.toml"],
            "none is no folder",
        ),
        (
            &[
                "shrink",
                "seconds",
                "--seed",
                "1",
                "-o",
                "/tmp/x.toml",
                "--minutes",
                "0",
            ],
            "is no time",
        ),
        (&["explain", "seconds"], "names no seed"),
        (&["report", "scenarios"], "no result.json"),
        (&["check", "rafd"], "did you mean raft?"),
        (
            &["sweep", "seconds", "--seeds", "1", "--shard", "2/2"],
            "no shard",
        ),
    ] {
        let output = trial(arguments);
        assert_eq!(
            output.status.code(),
            Some(2),
            "{arguments:?}: {}",
            stderr(&output)
        );
        assert!(
            stderr(&output).contains(expected),
            "{arguments:?}: {}",
            stderr(&output)
        );
    }
}

#[test]
fn mutants_need_their_build() {
    if broker_probe::MUTANTS_BUILT {
        return;
    }
    for arguments in [
        &["bugs"][..],
        &["run", "seconds", "--seed", "1", "--mutant", "R-01"],
    ] {
        let output = trial(arguments);
        assert_eq!(output.status.code(), Some(2));
        let command = format!(
            "cargo run --release --features mutants -- {}",
            arguments.join(" ")
        );
        assert!(stderr(&output).contains(&command), "{}", stderr(&output));
    }
}

#[test]
fn two_processes_make_the_same_run() {
    let output = trial(&["meta", "seconds", "--seed", "3"]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    assert!(stdout(&output).contains("deterministic: two processes"));
}

#[test]
fn a_replay_writes_the_trace_up_to_an_event() {
    let path = std::env::temp_dir().join(format!("trial-{}.trace", std::process::id()));
    let file = path.display().to_string();
    let output = trial(&[
        "replay", "seconds", "--seed", "1", "--trace", &file, "--until", "500",
    ]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let trace = std::fs::read_to_string(&path).expect("written");
    std::fs::remove_file(&path).expect("ours");
    let last = trace.lines().last().expect("some lines");
    let event: u64 = last
        .split(" · ")
        .nth(1)
        .expect("time · event · node · what")
        .parse()
        .expect("a number");
    assert!((400..=500).contains(&event), "{last}");
}

#[test]
fn a_sweep_writes_reports_and_they_can_be_written_again() {
    let folder = std::env::temp_dir().join(format!("trial-sweep-{}", std::process::id()));
    let out = folder.display().to_string();
    let output = trial(&[
        "sweep",
        "seconds",
        "--seeds",
        "2",
        "--first-seed",
        "1",
        "--out",
        &out,
    ]);
    assert_eq!(
        output.status.code(),
        Some(0),
        "{}{}",
        stdout(&output),
        stderr(&output)
    );
    for file in ["result.json", "summary.md", "junit.xml", "index.html"] {
        assert!(folder.join(file).is_file(), "{file}");
    }
    std::fs::remove_file(folder.join("index.html")).expect("there");
    let output = trial(&["report", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(folder.join("index.html").is_file());
    assert!(
        stdout(&output).contains("index.html"),
        "{}",
        stdout(&output)
    );
    std::fs::remove_dir_all(&folder).expect("ours");
}

#[test]
fn a_run_s_page_is_made_again_from_its_files_and_broken_files_are_told() {
    let folder = std::env::temp_dir().join(format!("trial-page-{}", std::process::id()));
    let out = folder.to_str().expect("UTF-8").to_owned();
    let output = trial(&["run", "seconds", "--seed", "1", "--out", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    let page = folder.join("report.html");
    let read = || std::fs::read_to_string(&page).expect("it is there");
    let first = read();
    assert!(first.contains("id=\"recording-data\""));
    std::fs::remove_file(&page).expect("there");
    let output = trial(&["report", &out]);
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(read() == first, "the same page");
    for name in ["recording.json", "result.json"] {
        let path = folder.join(name);
        let text = std::fs::read_to_string(&path).expect("there");
        std::fs::write(&path, &text[..text.len() / 2]).expect("ours");
        let output = trial(&["report", &out]);
        assert_eq!(output.status.code(), Some(2), "{name}");
        assert!(stderr(&output).contains(name), "{}", stderr(&output));
    }
    std::fs::remove_dir_all(&folder).expect("ours");
}

#[test]
fn the_list_names_scenarios_models_and_bugs() {
    let text = stdout(&trial(&["list"]));
    for expected in ["quickstart", "idle-day", "raft", "R-01"] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    assert!(!text.contains("BROKEN"), "{text}");
}

/// Written by hand: each of the two reads what the other one wrote.
const CYCLE: &str = r#"
{:process 0, :type :invoke, :f :txn, :value [[:send 0 1] [:poll]], :time 10}
{:process 1, :type :invoke, :f :txn, :value [[:send 1 2] [:poll]], :time 11}
{:process 0, :type :ok, :f :txn, :value [[:send 0 [0 1]] [:poll {1 [[0 2]]}]], :time 20}
{:process 1, :type :ok, :f :txn, :value [[:send 1 [0 2]] [:poll {0 [[0 1]]}]], :time 21}
"#;

#[test]
fn histories_of_others_are_judged_and_bad_ones_refused_with_their_line() {
    let folder = std::env::temp_dir().join(format!("trial-judge-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder for temporary files");
    let path = folder.join("history.edn");
    let judge = |text: &str, json: &[&str]| {
        std::fs::write(&path, text).expect("a file in it");
        let path = path.to_str().expect("UTF-8");
        trial(&[&["judge", path], json].concat())
    };
    let broken = judge(CYCLE, &[]);
    assert_eq!(broken.status.code(), Some(1), "{}", stderr(&broken));
    let cycle = "CLI-6 G1c, line 5, client1: T1 -wr 0-0@0-> T2 -wr 1-0@0-> T1; \
                 T1 (client0 process 0): send 0-0@0=1 poll 1-0 0..1 [0=2]; \
                 T2 (client1 process 1): send 1-0@0=2 poll 0-0 0..1 [0=1]";
    assert!(stdout(&broken).contains(cycle), "{}", stdout(&broken));
    let json = judge(CYCLE, &["--json"]);
    let json: serde_json::Value = serde_json::from_str(&stdout(&json)).expect("JSON");
    assert_eq!(
        (&json["verdict"], &json["violations"][0]["anomaly"]),
        (&"violated".into(), &"G1c".into())
    );
    let held = judge(&CYCLE.replace("{0 [[0 1]]}", "{0 []}"), &[]);
    assert_eq!(held.status.code(), Some(0), "{}", stdout(&held));
    let bad = judge(&format!("{CYCLE}\n{{:process 0}}"), &[]);
    assert_eq!(bad.status.code(), Some(2));
    assert!(stderr(&bad).contains("line 7: "), "{}", stderr(&bad));
    std::fs::remove_dir_all(&folder).expect("it was there");
}

#[test]
fn a_replay_leaves_the_disks_as_they_are_at_an_event() {
    let folder = std::env::temp_dir().join(format!("trial-disks-{}", std::process::id()));
    drop(std::fs::remove_dir_all(&folder));
    let directory = folder.display().to_string();
    let replay = |event: &str| {
        trial(&[
            "replay",
            "seconds",
            "--seed",
            "1",
            "--until",
            event,
            "--last",
            "3",
            "--dump-disks",
            &directory,
        ])
    };
    let output = replay("2000");
    assert_eq!(output.status.code(), Some(0), "{}", stderr(&output));
    assert!(stdout(&output).contains("· 1999 ·"), "{}", stdout(&output));
    for node in ["node1", "node2", "node3"] {
        let data = folder.join(node).join("data");
        assert!(data.join("meta.properties").is_file(), "{node}");
        assert!(data.join("__cluster_metadata-0").is_dir(), "{node}");
    }
    let again = replay("2000");
    assert_eq!(again.status.code(), Some(2));
    assert!(stderr(&again).contains("is not empty"));
    drop(std::fs::remove_dir_all(&folder));
    let late = replay("999999999");
    assert_eq!(late.status.code(), Some(2));
    assert!(stderr(&late).contains("before event 999999999"));
    drop(std::fs::remove_dir_all(&folder));
}
