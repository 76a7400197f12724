//! A failure next to the nearest run that holds, what led to it, and the replicas then.

use std::process::Command;

use reports::recording::{
    FORMAT, Lane, LogAction, LogChange, Message, Moment, ProcessChange, ProcessState, Recording,
};
use sim_runner::explain::milestone::{Subject, milestones};
use sim_runner::explain::{chain, diagram, state};

fn at(event: u64) -> Moment {
    Moment {
        us: event * 1_000,
        event,
    }
}

fn message(from: u16, sent: u64, to: u16, received: u64) -> Message {
    Message {
        from,
        to,
        sent: at(sent),
        received: Some(at(received)),
        api_key: 1,
        version: 17,
        correlation_id: 1,
        is_response: true,
        bytes: 10,
        connection: 1,
    }
}

fn log(lane: u16, event: u64, what: LogAction) -> LogChange {
    LogChange {
        partition: 0,
        lane,
        at: at(event),
        what,
    }
}

/// node2 hears of node1's append before it truncates; what node3 does nobody hears of.
fn recording() -> Recording {
    let lane = |name: &str, node| Lane {
        name: name.into(),
        role: "broker".into(),
        node: Some(node),
    };
    let process = |lane, event, what| ProcessChange {
        lane,
        at: at(event),
        what,
    };
    Recording {
        format: FORMAT,
        lanes: vec![lane("node1", 1), lane("node2", 2), lane("node3", 3)],
        partitions: vec!["t-0".into()],
        apis: [(1, "Fetch".to_owned())].into(),
        end: at(100),
        messages: vec![message(0, 25, 1, 28), message(2, 60, 1, 70)],
        processes: vec![
            process(1, 5, ProcessState::Killed),
            process(1, 7, ProcessState::Started),
        ],
        logs: vec![
            log(1, 2, LogAction::Append(0, 4, 1)),
            log(0, 20, LogAction::Append(0, 3, 2)),
            log(1, 30, LogAction::Truncate(2)),
            log(2, 35, LogAction::Append(0, 0, 9)),
            log(1, 40, LogAction::Append(2, 3, 2)),
        ],
        ..Recording::default()
    }
}

#[test]
fn only_what_happened_before_is_told_and_how_the_news_came() {
    let (recording, subject) = (recording(), Subject { partition: Some(0) });
    let told = milestones(&recording, &subject);
    let links = chain::leading_to(&recording, &told, 0, at(45), &[1]);
    let texts: Vec<&str> = links.iter().map(|it| it.milestone.text.as_str()).collect();
    assert_eq!(
        texts,
        [
            "appends 0 to 4 to t-0 in epoch 1, which is truncated later",
            "is killed",
            "starts",
            "appends 0 to 3 to t-0 in epoch 2, the first of that epoch",
            "truncates t-0 to 2",
            "appends 2 to 3 to t-0 in epoch 2, the first of that epoch",
        ]
    );
    let carried: Vec<Option<&str>> = links
        .iter()
        .map(|link| link.by.as_ref().map(|by| by.what.as_str()))
        .collect();
    assert_eq!(
        carried,
        [None, None, None, None, Some("Fetch response"), None]
    );
    // Later, the other node's message has arrived.
    let later = chain::leading_to(&recording, &told, 0, at(80), &[1]);
    assert_eq!(later.len(), 7);

    let mermaid = diagram::mermaid(&recording, &links);
    assert!(
        mermaid.contains("node1->>node2: Fetch response"),
        "{mermaid}"
    );
    assert!(
        mermaid.contains("Note over node2: 0.030 s truncates t-0 to 2"),
        "{mermaid}"
    );
    assert!(!mermaid.contains("node3"), "{mermaid}");
}

#[test]
fn a_chain_begins_where_it_is_told_to() {
    let (recording, subject) = (recording(), Subject { partition: None });
    let told = milestones(&recording, &subject);
    let links = chain::leading_to(&recording, &told, 21, at(45), &[1]);
    assert_eq!(links.len(), 2);
}

#[test]
fn replicas_are_as_their_logs_were_then() {
    use reports::recording::{Offsets, ReplicaSeries};
    let mut recording = recording();
    let point = |event, log_end, high_watermark| Offsets {
        at: at(event),
        log_end,
        high_watermark,
        last_stable: high_watermark,
    };
    recording.replicas = vec![ReplicaSeries {
        partition: 0,
        lane: 1,
        points: vec![point(2, 5, -1), point(30, 2, 1), point(40, 4, 3)],
    }];
    let subject = Subject { partition: Some(0) };
    let then = |event| {
        let replicas = state::at(&recording, &subject, at(event));
        let replica = replicas.first().expect("node2 has a log").clone();
        (
            replica.is_up,
            replica.log_end,
            replica.high_watermark,
            replica.epochs,
        )
    };
    assert_eq!(then(6), (false, 5, -1, vec![(1, 0)]));
    assert_eq!(then(35), (true, 2, 1, vec![(1, 0)]));
    assert_eq!(then(45), (true, 4, 3, vec![(1, 0), (2, 2)]));
}

/// What shrinking leaves of a run in which a leader does not wait for an eligible replica.
const UNREST: &str = r#"
description = "made for a test"

[cluster]
nodes = 2

[[topic]]
name = "orders"
replicas = 2
config = { "min.insync.replicas" = 2 }

[[workload]]
kind = "produce-consume"
consumers = 0
operations = 1
rate = 1

[[fault]]
at = "0s"
target = { node = "node2" }
action = { process = { kind = "kill" } }

[run]
duration = "500ms"
seed = 1
"#;

#[test]
fn the_program_tells_what_differs_from_a_run_that_holds() {
    let folder = std::env::temp_dir().join(format!("trial-explain-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder in the temporary one");
    std::fs::write(folder.join("unrest.toml"), UNREST).expect("a writable folder");
    let trial = |arguments: &[&str]| {
        let made = Command::new(env!("CARGO_BIN_EXE_trial"))
            .args(arguments)
            .current_dir(&folder)
            .output();
        let output = made.expect("the program was built");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    let explain = ["explain", "unrest.toml", "--as-it-is", "--out", "why.md"];
    let (code, text) = trial(&[&explain[..], &["--mutant", "R-20"]].concat());
    assert_eq!(code, Some(1), "{text}");
    for expected in [
        "REP-4 not-waited-for",
        "the same without \"0s: process-kill: node2\"",
        "node2 is killed",
        "publishes orders-0: leader node1, epoch 0, ISR node1, eligible node2",
        "Replicas where it broke:\n  orders-0: led by node1 in epoch 0, partition epoch 1, ISR node1",
    ] {
        assert!(text.contains(expected), "{expected}: {text}");
    }
    let why = std::fs::read_to_string(folder.join("why.md")).expect("written");
    assert!(why.contains("```mermaid\nsequenceDiagram"), "{why}");

    for arguments in [
        &["explain", "unrest.toml", "--as-it-is"][..],
        &["explain", "unrest.toml"],
    ] {
        let (code, text) = trial(arguments);
        assert_eq!(code, Some(2), "{text}");
        assert!(text.contains("holds with seed 1"), "{text}");
    }
    drop(std::fs::remove_dir_all(&folder));
}
