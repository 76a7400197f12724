//! The pages as a browser would take them apart: structure, escaping, nothing from elsewhere, size.

use std::collections::BTreeSet;

use reports::recording::{
    ClientSeries, FORMAT, FaultSpan, Lane, Leadership, LogAction, LogChange, Message, Moment,
    Offsets, ProcessChange, ProcessState, Recording, Registration, ReplicaSeries, ReplicaState,
    Snapshot,
};
use reports::{RunResult, Sweep, TimelineEntry, html};
use sim_checkers::anomaly::{Verdict, Violation};

const HOSTILE: &str =
    "</script><script>alert(1)</script><img src=x onerror=\"alert('2')\">&{{title}}";

fn at(us: u64, event: u64) -> Moment {
    Moment { us, event }
}

fn violated(name: &str) -> RunResult {
    let mut result = RunResult::new(name, 7, "native", &format!("trial replay {name} --seed 7"));
    result.verdict = Verdict::Violated;
    result.violations = vec![Violation {
        invariant: "REP-1".into(),
        anomaly: "lost-write".into(),
        event: 90,
        sim_ms: 9,
        node: "node2".into(),
        detail: format!("{name}-0: gone"),
    }];
    result.timeline = vec![TimelineEntry {
        sim_ms: 3,
        event: 30,
        what: format!("kill {name}"),
    }];
    result.invariants = [("REP-1".into(), 1_234_567), ("RAFT-1".into(), 5)].into();
    result.probes = vec![format!("probe {name}")];
    result
}

fn lane(name: &str, node: Option<i32>) -> Lane {
    Lane {
        name: name.into(),
        role: "broker".into(),
        node,
    }
}

fn message(number: u64) -> Message {
    Message {
        from: u16::from(number.is_multiple_of(2)),
        to: 2,
        sent: at(number * 10, number),
        received: (!number.is_multiple_of(7)).then(|| at(number * 10 + 500, number + 3)),
        api_key: 1,
        version: 17,
        correlation_id: 5,
        is_response: number.is_multiple_of(3),
        bytes: 120,
        connection: 4,
    }
}

fn recording(name: &str, messages: u64) -> Recording {
    let state = ReplicaState {
        partition: 1,
        lane: 0,
        is_up: true,
        leads: Some(2),
        log_start: 0,
        log_end: 9,
        high_watermark: 8,
        last_stable: 8,
        epochs: vec![(0, 0), (2, 5)],
    };
    Recording {
        format: FORMAT,
        lanes: vec![
            lane("node1", Some(1)),
            lane(name, Some(2)),
            lane("client1", None),
        ],
        partitions: vec!["__cluster_metadata-0".into(), format!("{name}-0")],
        apis: [(1, "Fetch".to_owned())].into(),
        end: at(messages * 10 + 1_000, messages + 10),
        messages: (0..messages).map(message).collect(),
        processes: vec![ProcessChange {
            lane: 1,
            at: at(5, 1),
            what: ProcessState::Failed(name.into()),
        }],
        faults: vec![FaultSpan {
            kind: "process-kill".into(),
            what: name.into(),
            lanes: vec![1],
            begin: at(5, 1),
            end: None,
        }],
        leaderships: vec![Leadership {
            partition: 1,
            lane: 0,
            epoch: 2,
            begin: at(0, 0),
            end: None,
        }],
        registrations: vec![Registration {
            partition: 1,
            at: at(1, 1),
            lane: 0,
            leader: Some(0),
            leader_epoch: 2,
            partition_epoch: 3,
            replicas: vec![0, 1],
            isr: vec![0],
            elr: vec![1],
        }],
        replicas: vec![ReplicaSeries {
            partition: 1,
            lane: 0,
            points: vec![Offsets {
                at: at(1, 1),
                log_end: 9,
                high_watermark: 8,
                last_stable: 8,
            }],
        }],
        logs: vec![LogChange {
            partition: 1,
            lane: 0,
            at: at(1, 1),
            what: LogAction::Append(0, 8, 0),
        }],
        snapshots: vec![Snapshot {
            at: at(9, 90),
            replicas: vec![state],
        }],
        clients: ClientSeries {
            bucket_us: 100_000,
            acked: vec![1],
            failed: vec![0],
            unknown: vec![0],
            consumed: vec![2],
            p50_us: vec![3],
            p99_us: vec![4],
            max_us: vec![5],
        },
        dropped: Default::default(),
    }
}

/// Tags in order, without what is inside of style and script elements; those contents, by the tag.
fn elements(page: &str) -> (Vec<String>, Vec<(String, String)>) {
    let (mut tags, mut raw) = (Vec::new(), Vec::new());
    let mut rest = page;
    while let Some(start) = rest.find('<') {
        let end = start + rest[start..].find('>').expect("every tag ends");
        let tag = rest[start + 1..end].to_owned();
        rest = &rest[end + 1..];
        let name = tag.split_whitespace().next().unwrap_or_default().to_owned();
        if name == "script" || name == "style" {
            let close = format!("</{name}");
            let stop = rest.find(&close).expect("it is closed");
            raw.push((tag.clone(), rest[..stop].to_owned()));
            rest = &rest[stop..];
        }
        tags.push(tag);
    }
    (tags, raw)
}

#[track_caller]
fn nests(tags: &[String]) {
    const VOID: [&str; 4] = ["!doctype", "meta", "br", "link"];
    let mut open: Vec<&str> = Vec::new();
    for tag in tags {
        let name = tag.split_whitespace().next().unwrap_or_default();
        match name.strip_prefix('/') {
            Some(closed) => assert_eq!(open.pop(), Some(closed), "</{closed}>"),
            None if VOID.contains(&name) => {}
            None => open.push(name),
        }
        assert!(
            tag.matches('"').count().is_multiple_of(2),
            "quotes of {tag}"
        );
    }
    assert_eq!(open, Vec::<&str>::new());
}

/// Each id once, and what refers to an id finds it.
#[track_caller]
fn refers_to_itself(tags: &[String]) {
    let values = |name: &str| {
        let start = format!(" {name}=\"");
        let found = tags.iter().filter_map(move |tag| {
            let value = tag.split_once(&start)?.1;
            Some(value.split('"').next().unwrap_or_default().to_owned())
        });
        found.collect::<Vec<String>>()
    };
    let ids = values("id");
    let unique: BTreeSet<&String> = ids.iter().collect();
    assert_eq!(unique.len(), ids.len(), "ids are unique: {ids:?}");
    for name in ["aria-labelledby", "aria-describedby", "data-copy"] {
        for id in values(name) {
            assert!(unique.contains(&id), "{name}=\"{id}\" refers to nothing");
        }
    }
}

/// Nothing that a browser would fetch.
#[track_caller]
fn loads_nothing(page: &str, tags: &[String]) {
    for forbidden in [
        "http:",
        "https:",
        "@import",
        "url(",
        "fetch(",
        "XMLHttpRequest",
        "WebSocket",
    ] {
        let found = page.match_indices(forbidden).count();
        // The name space of SVG is no address.
        let allowed = page.match_indices("http://www.w3.org/2000/svg").count();
        let expected = if forbidden == "http:" { allowed } else { 0 };
        assert_eq!(found, expected, "{forbidden}");
    }
    for tag in tags {
        assert!(!tag.contains(" src="), "{tag}");
        assert!(!tag.starts_with("link"), "{tag}");
    }
}

#[track_caller]
fn is_sound(page: &str) {
    let (tags, raw) = elements(page);
    nests(&tags);
    refers_to_itself(&tags);
    loads_nothing(page, &tags);
    assert!(page.contains("name=\"viewport\"") && page.contains("<html lang=\"en\">"));
    assert!(page.contains("prefers-color-scheme: dark"));
    for (tag, content) in raw.iter().filter(|(tag, _)| tag.contains("json")) {
        let parsed = serde_json::from_str::<serde_json::Value>(content);
        assert!(parsed.is_ok(), "{tag}: {parsed:?}");
    }
}

#[test]
fn a_run_s_page_is_sound_with_and_without_a_recording() {
    let result = violated("orders");
    let recording = recording("orders", 100);
    for page in [
        html::run(&result, Some(&recording)),
        html::run(&result, None),
    ] {
        is_sound(&page);
        let first = page.find("REP-1").expect("the violation is there");
        let commands = page.find("Run it again").expect("the commands are there");
        assert!(first < commands, "what broke comes first");
        for command in ["replay", "shrink", "explain", "meta"] {
            let command = format!("trial {command} orders --seed 7");
            assert!(page.contains(&command), "{command}");
        }
        assert!(page.contains("1 234 567"), "how often REP-1 was checked");
    }
}

#[test]
fn hostile_names_stay_text() {
    let (result, recording) = (violated(HOSTILE), recording(HOSTILE, 10));
    let page = html::run(&result, Some(&recording));
    is_sound(&page);
    let (tags, raw) = elements(&page);
    assert!(!tags.iter().any(|tag| tag.starts_with("img")));
    let scripts = tags.iter().filter(|tag| tag.starts_with("script")).count();
    assert_eq!(scripts, 3, "two of data and one of code: {tags:?}");
    let data = raw
        .iter()
        .find(|(tag, _)| tag.contains("id=\"recording-data\""));
    let data = &data.expect("the recording is there").1;
    assert_eq!(
        Recording::from_json(data),
        Ok(recording),
        "and says the same"
    );
    let mut sweep = Sweep::new("native", [HOSTILE.to_owned()]);
    sweep.add(&result);
    let pages = [((HOSTILE.to_owned(), 7), "\"><script>".to_owned())].into();
    let page = html::sweep(&sweep, &pages);
    is_sound(&page);
    let (tags, _) = elements(&page);
    assert_eq!(
        tags.iter().filter(|tag| tag.starts_with("script")).count(),
        1
    );
}

#[test]
fn a_sweep_leads_to_the_pages_of_its_failures() {
    let folder = std::env::temp_dir().join(format!("trial-pages-{}", std::process::id()));
    let mut sweep = Sweep::new("native", []);
    let (held, failed) = (
        RunResult::new("a/b c", 1, "native", "replay"),
        violated("a/b c"),
    );
    for run in [&held, &failed] {
        sweep.add(run);
    }
    let name = reports::files::run_folder("a/b c", 7);
    assert_eq!(name, "a-b-c-7");
    reports::write_run(&folder.join(&name), &failed, None).expect("it can be written");
    reports::write_sweep(&folder, &sweep).expect("it can be written");
    let page = std::fs::read_to_string(folder.join("index.html")).expect("it is there");
    is_sound(&page);
    assert_eq!(page.matches("href=\"a-b-c-7/report.html\"").count(), 2);
    std::fs::remove_dir_all(&folder).expect("ours");
}

#[test]
fn what_was_not_recorded_is_said() {
    let mut recording = recording("orders", 10);
    let page = html::run(&violated("orders"), Some(&recording));
    assert!(!page.contains("Not recorded"));
    recording.dropped.messages_before = 12_345;
    let page = html::run(&violated("orders"), Some(&recording));
    assert!(page.contains("Not recorded: 12 345 messages before the first shown"));
    is_sound(&page);
}

#[test]
fn a_hundred_thousand_messages_stay_below_six_megabytes() {
    let page = html::run(&violated("orders"), Some(&recording("orders", 100_000)));
    assert!(page.len() < 6_000_000, "{} bytes", page.len());
    let empty = html::run(&violated("orders"), Some(&recording("orders", 0)));
    assert!(empty.len() < 80_000, "{} bytes without data", empty.len());
}

#[test]
fn the_published_example_is_sound_and_small() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/published/example/report.html");
    let page = std::fs::read_to_string(path).expect("it is published");
    is_sound(&page);
    assert!(page.len() < 1_000_000, "{} bytes", page.len());
}
