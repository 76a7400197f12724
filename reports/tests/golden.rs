//! The texts as they are read, against files in `tests/golden`. `UPDATE_GOLDEN=1` writes them anew.

use std::fs;
use std::path::Path;

use reports::bugs::{BugRow, Search, Searcher};
use reports::{
    ClientRow, ClientTotals, LatencyRow, RunResult, Sweep, TimelineEntry, console, junit, markdown,
};
use sim_checkers::anomaly::{Verdict, Violation};

#[track_caller]
fn golden(name: &str, text: &str) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("tests/golden")
        .join(name);
    if std::env::var_os("UPDATE_GOLDEN").is_some() {
        fs::write(&path, text).expect("the golden file can be written");
    }
    let expected = fs::read_to_string(&path).expect("the golden file is there");
    assert!(text == expected, "{name} differs; now it is:\n{text}");
}

fn held() -> RunResult {
    let mut result = RunResult::new(
        "smoke/acks-all",
        7,
        "native",
        "trial replay smoke/acks-all --seed 7",
    );
    result.trace_hash = "9f3a5c0011223344".into();
    (result.events, result.sim_ms, result.wall_ms) = (482_133, 60_000, 1_204);
    result.clients = ClientTotals {
        acked: 12_345,
        failed: 2,
        unknown: 31,
        consumed: 24_690,
        ..Default::default()
    };
    result.faults = [("process-kill".into(), 1), ("network-partition".into(), 2)].into();
    result.timeline = vec![
        entry(1_250, 10_234, "node2: kill"),
        entry(3_000, 25_000, "network: node1 | node2, node3"),
        entry(15_750, 130_777, "heal all"),
    ];
    result.client_table = vec![
        client("producer1", "producer", 12_345, 0),
        client("consumer1", "consumer", 0, 24_690),
    ];
    result.latency = vec![LatencyRow {
        operation: "produce".into(),
        count: 12_345,
        p50_us: 2_100,
        p99_us: 35_020,
        max_us: 5_001_999,
    }];
    let invariants = [
        ("LOG-1", 24_690),
        ("REP-1", 12_345),
        ("REP-5", 98_765),
        ("RAFT-1", 42),
        ("META-2", 1_000_000),
        ("CLI-2", 300),
    ];
    result.invariants = invariants.map(|(id, times)| (id.to_owned(), times)).into();
    result.probes = vec![
        "replica: ISR shrinks".into(),
        "raft: log is ahead of quorum-state at start".into(),
    ];
    result
}

fn entry(sim_ms: u64, event: u64, what: &str) -> TimelineEntry {
    TimelineEntry {
        sim_ms,
        event,
        what: what.into(),
    }
}

fn client(name: &str, kind: &str, acked: u64, consumed: u64) -> ClientRow {
    ClientRow {
        name: name.into(),
        kind: kind.into(),
        acked,
        consumed,
        unknown: 31,
        failed: 2,
    }
}

fn violated() -> RunResult {
    let mut result = held();
    result.verdict = Verdict::Violated;
    result.mutant = Some("R-01".into());
    result.violations = vec![
        Violation {
            invariant: "REP-1".into(),
            anomaly: "lost-write".into(),
            event: 48_213,
            sim_ms: 4_213,
            node: "node2".into(),
            detail: "orders-0: leader of epoch 3 lacks 5..=9 <crc 00ff & more | \"tail\">".into(),
        },
        Violation {
            invariant: "LIVE-1".into(),
            anomaly: "isr-not-full".into(),
            event: 482_000,
            sim_ms: 59_000,
            node: "node1".into(),
            detail: "orders-0: ISR [1] lacks the live replicas [2]".into(),
        },
    ];
    result
}

fn crashed() -> RunResult {
    let mut result = RunResult::new(
        "smoke/acks-all",
        9,
        "native",
        "trial replay smoke/acks-all --seed 9",
    );
    result.verdict = Verdict::Crashed;
    result.crash = Some(
        "node1 panicked: high watermark 5 outside of 0 to 3\n  at replica.rs:151 \u{1b}[0m".into(),
    );
    result
}

fn sweep() -> Sweep {
    let known = [
        "replica: ISR shrinks".to_owned(),
        "storage: torn tail cut".to_owned(),
    ];
    let mut sweep = Sweep::new("native", known);
    [held(), violated(), crashed()]
        .iter()
        .for_each(|run| sweep.add(run));
    sweep.wall_ms = 2_000;
    sweep
}

#[test]
fn the_json_object_keeps_its_fields() {
    let json = violated().json();
    let value: serde_json::Value = serde_json::from_str(&json).expect("it is JSON");
    let fields = [
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
    ];
    for field in fields {
        assert!(value.get(field).is_some(), "{field} is missing");
    }
    for field in ["invariant", "event", "sim_ms", "node", "detail"] {
        assert!(
            value["violations"][0].get(field).is_some(),
            "violations: {field} is missing"
        );
    }
    for field in [
        "acked",
        "failed",
        "unknown",
        "consumed",
        "txns_committed",
        "txns_aborted",
    ] {
        assert!(
            value["clients"][field].is_u64(),
            "clients: {field} is missing"
        );
    }
    assert_eq!(value["verdict"], "violated");
    assert_eq!(value["faults"]["network-partition"], 2);
    assert!(!json.contains('\n'));
    assert_eq!(
        RunResult::from_json(&json).expect("it is a result"),
        violated()
    );
}

#[test]
fn the_result_file_of_a_run() {
    let pretty: serde_json::Value = serde_json::from_str(&violated().json()).expect("it is JSON");
    golden("violated.json", &format!("{pretty:#}\n"));
}

#[test]
fn the_terminal_shows_a_run_and_its_replay_command_last() {
    golden("held.txt", &console::run(&held(), false));
    golden("violated.txt", &console::run(&violated(), false));
    golden("violated-color.txt", &console::run(&violated(), true));
    golden("crashed.txt", &console::run(&crashed(), false));
    for run in [held(), violated(), crashed()] {
        assert_eq!(
            console::run(&run, true).lines().last(),
            Some(run.replay.as_str())
        );
    }
}

#[test]
fn long_lists_are_cut_and_counted() {
    let mut run = violated();
    run.timeline = (0..100)
        .map(|event| entry(event, event, "node1: kill"))
        .collect();
    run.violations = vec![run.violations[0].clone(); 50];
    let text = console::run(&run, false);
    assert!(
        text.contains("… 60 more") && text.contains("… 40 more"),
        "{text}"
    );
    assert!(text.lines().count() < 100);
}

#[test]
fn a_summary_begins_with_the_verdict_and_what_broke() {
    golden("held.md", &markdown::run(&held()));
    golden("violated.md", &markdown::run(&violated()));
    golden("crashed.md", &markdown::run(&crashed()));
    let text = markdown::run(&violated());
    assert!(text.find("REP-1") < text.find("## Faults"));
}

#[test]
fn junit_has_a_case_per_invariant_and_is_well_formed() {
    for (name, run) in [
        ("held.xml", held()),
        ("violated.xml", violated()),
        ("crashed.xml", crashed()),
    ] {
        let xml = junit::run(&run);
        well_formed(&xml);
        golden(name, &xml);
    }
}

#[test]
fn a_sweep_is_summed_up() {
    let sweep = sweep();
    assert_eq!(sweep.verdict(), Verdict::Crashed);
    assert_eq!(sweep.probes_missed(), ["storage: torn tail cut"]);
    golden("sweep.txt", &console::sweep(&sweep, false));
    golden("sweep.md", &markdown::sweep(&sweep));
    let xml = junit::sweep(&sweep);
    well_formed(&xml);
    golden("sweep.xml", &xml);
    let read: Sweep = serde_json::from_str(&sweep.json()).expect("it is a sweep");
    assert_eq!(read, sweep);
}

#[test]
fn files_of_a_run_and_of_a_sweep() {
    let directory = std::env::temp_dir().join(format!("trial-reports-{}", std::process::id()));
    reports::write_run(&directory.join("run"), &held(), None).expect("it can be written");
    reports::write_sweep(&directory.join("sweep"), &sweep()).expect("it can be written");
    for folder in ["run", "sweep"] {
        for file in ["result.json", "summary.md", "junit.xml"] {
            assert!(
                directory.join(folder).join(file).is_file(),
                "{folder}/{file}"
            );
        }
    }
    fs::remove_dir_all(&directory).expect("it can be removed");
}

/// Tags nest, attributes are quoted, text holds no markup and no forbidden characters.
#[track_caller]
fn well_formed(xml: &str) {
    let body = xml
        .strip_prefix("<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n")
        .expect("it begins with the declaration");
    let forbidden = |character: char| character < ' ' && character != '\n';
    assert!(!body.contains(forbidden), "control characters in {body}");
    let mut open: Vec<&str> = Vec::new();
    let mut rest = body;
    while let Some(start) = rest.find('<') {
        assert!(
            !rest[..start].contains('>'),
            "a bare > before {}",
            &rest[start..]
        );
        let end = start + rest[start..].find('>').expect("every tag ends");
        let tag = &rest[start + 1..end];
        assert_eq!(tag.matches('"').count() % 2, 0, "quotes of {tag}");
        match (tag.strip_prefix('/'), tag.ends_with('/')) {
            (Some(name), _) => assert_eq!(open.pop(), Some(name)),
            (None, true) => {}
            (None, false) => open.push(tag.split(' ').next().expect("a name")),
        }
        rest = &rest[end + 1..];
    }
    assert!(open.is_empty(), "{open:?} stay open");
    assert_eq!(rest.trim(), "");
}

fn search(searcher: Searcher, name: &str, broken: Option<&str>) -> Search {
    let simulated = searcher == Searcher::Simulator && broken.is_some();
    Search {
        searcher,
        name: name.to_owned(),
        broken: broken.map(ToOwned::to_owned),
        seed: simulated.then_some(12),
        sim_ms: simulated.then_some(385_600),
    }
}

fn bug(id: &str, title: &str, searches: Vec<Search>, unfound: Option<&str>) -> BugRow {
    BugRow {
        id: id.to_owned(),
        title: title.to_owned(),
        searches,
        unfound: unfound.map(ToOwned::to_owned),
    }
}

#[test]
fn known_bugs() {
    let by_simulator = search(Searcher::Simulator, "hunt-replication", Some("REP-5 | low"));
    let by_model = search(Searcher::Model, "replica", Some("REP-1"));
    let missed = search(Searcher::Simulator, "hunt-isr", None);
    let rows = [
        bug(
            "R-01",
            "truncates to its high watermark (KIP-101)",
            vec![by_simulator, by_model.clone()],
            None,
        ),
        bug(
            "R-07",
            "followers of another epoch count",
            vec![by_model],
            None,
        ),
        bug("R-05", "joins too early", vec![missed], None),
        bug(
            "R-16",
            "an undefined epoch is the latest",
            vec![],
            Some("replicas never ask for it"),
        ),
    ];
    golden("bugs.md", &reports::bugs::markdown(&rows));
}
