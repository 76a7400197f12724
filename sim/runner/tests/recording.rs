//! Recorded runs: the same run as without, and what a reader finds in the recording.

use std::time::Duration;

use reports::recording::{LogAction, ProcessState, Recording};
use sim_faults::plan::Planned;
use sim_faults::{Action, FaultSpec, NetworkFault, ProcessFault, Target};
use sim_runner::driver::{self, RunOptions, RunOutcome};
use sim_runner::recording::Limits;
use sim_runner::{EngineKind, Scenario};

fn scenario() -> Scenario {
    let leader = Target::Leader {
        topic: "orders".into(),
        partition: 0,
    };
    let kill = Planned::On(leader, Action::Process(ProcessFault::Kill));
    let cut = Planned::Fault(sim_faults::Fault::Network(NetworkFault::Partition {
        sides: vec![vec!["node1".into()], vec!["node2".into(), "node3".into()]],
    }));
    let second = Duration::from_secs(1);
    Scenario::builder("recorded")
        .topic("orders", 1, 3, &[("min.insync.replicas", "2")])
        .config("broker.session.timeout.ms", "3000")
        .config("broker.heartbeat.interval.ms", "500")
        .produce_consume(50)
        .fault(FaultSpec::once(second, kill).lasting(second))
        .fault(FaultSpec::once(second * 3, cut).lasting(second))
        .duration(second * 5)
        .build()
}

fn run(engine: EngineKind, record: Option<Limits>) -> RunOutcome {
    let options = RunOptions {
        engine,
        record,
        ..RunOptions::default()
    };
    let outcome = driver::run(&scenario(), "recorded", 3, &options);
    let outcome = outcome.expect("the engine can run it");
    outcome.assert_held();
    outcome
}

fn recorded(record: Limits) -> Recording {
    let outcome = run(EngineKind::Native, Some(record));
    outcome.recording.expect("it was asked for")
}

#[test]
fn a_recorded_run_is_the_same_run_on_every_engine() {
    for engine in EngineKind::ALL {
        let (with, without) = (run(*engine, Some(Limits::default())), run(*engine, None));
        assert_eq!(
            with.result.trace_hash, without.result.trace_hash,
            "{engine}"
        );
        assert_eq!(without.recording, None);
        let recording = with.recording.expect("it was asked for");
        let arrived = recording.messages.iter();
        let arrived = arrived.filter(|message| message.received.is_some()).count();
        assert!(arrived > 300, "{engine}: {arrived} messages");
    }
}

#[test]
fn messages_are_paired_and_named() {
    let recording = recorded(Limits::default());
    assert!(!recording.dropped.is_any(), "{:?}", recording.dropped);
    for name in ["Fetch", "Produce", "Vote", "BrokerHeartbeat", "Metadata"] {
        assert!(
            recording.apis.values().any(|api| api == name),
            "{name} is in {:?}",
            recording.apis
        );
    }
    let mut sent = 0;
    for message in &recording.messages {
        assert!(message.sent.us >= sent, "in order of sending");
        sent = message.sent.us;
        let received = message.received.unwrap_or(recording.end);
        assert!(received.event >= message.sent.event && received.us >= message.sent.us);
        assert!(message.api_key >= 0, "{message:?} has no request");
    }
}

#[test]
fn faults_processes_and_offices_have_a_begin_and_an_end() {
    let recording = recorded(Limits::default());
    let kill = &recording.faults[0];
    assert_eq!(kill.kind, "process-kill");
    let killed = kill.lanes[0];
    assert!(kill.end.is_some_and(|end| end.us > kill.begin.us));
    let cut = &recording.faults[1];
    assert_eq!(
        (cut.kind.as_str(), cut.lanes.len()),
        ("network-partition", 3)
    );
    let of_killed: Vec<&ProcessState> = recording
        .processes
        .iter()
        .filter(|change| change.lane == killed)
        .map(|change| &change.what)
        .collect();
    let expected = [
        ProcessState::Started,
        ProcessState::Killed,
        ProcessState::Started,
    ];
    assert_eq!(of_killed, expected.iter().collect::<Vec<_>>());
    let partition = recording
        .partitions
        .iter()
        .position(|name| name == "orders-0");
    let partition = u32::try_from(partition.expect("it is named")).expect("small");
    let of_partition = recording.leaderships.iter();
    let mut of_partition = of_partition.filter(|held| held.partition == partition);
    let first = of_partition.next().expect("a leader");
    assert_eq!(first.lane, killed);
    assert_eq!(first.end.map(|end| end.us), Some(kill.begin.us));
    let second = of_partition.next().expect("another leader");
    assert!(second.epoch > first.epoch && second.lane != killed);
    let shrunk = recording.registrations.iter().any(|state| {
        state.partition == partition && state.isr.len() == 2 && state.replicas.len() == 3
    });
    assert!(shrunk, "the ISR shrank");
    assert!(recording.leaderships.iter().any(|held| held.partition == 0));
}

#[test]
fn logs_and_clients_add_up() {
    let recording = recorded(Limits::default());
    let end = recording.snapshots.last().expect("one at the end");
    let ends: Vec<i64> = end
        .replicas
        .iter()
        .filter(|replica| recording.partitions[replica.partition as usize] == "orders-0")
        .map(|replica| replica.log_end)
        .collect();
    let acked: u64 = recording.clients.acked.iter().sum();
    assert!(acked > 100, "{acked}");
    let acked = i64::try_from(acked).expect("small");
    assert!(ends.len() == 3 && ends.iter().all(|end| *end == ends[0] && *end >= acked));
    for series in &recording.replicas {
        let sorted = series.points.is_sorted_by_key(|point| point.at);
        assert!(sorted && !series.points.is_empty());
    }
    let appends = recording.logs.iter();
    let appends = appends.filter(|change| matches!(change.what, LogAction::Append(..)));
    assert!(appends.count() > 100);
}

#[test]
fn what_has_no_room_is_counted() {
    let limits = Limits {
        messages: 100,
        logs: 50,
        points: 40,
        replicas: 4,
        entries: 2,
    };
    let (all, some) = (recorded(Limits::default()), recorded(limits));
    let dropped = &some.dropped;
    assert_eq!(some.messages.len(), 100);
    assert_eq!(dropped.messages_before as usize + 100, all.messages.len());
    assert_eq!(some.messages[99], all.messages[all.messages.len() - 1]);
    assert_eq!(
        some.logs.len() as u64 + dropped.logs_before,
        all.logs.len() as u64
    );
    assert!(dropped.replicas > 0 && dropped.registrations > 0 && dropped.processes > 0);
    let points: usize = some.replicas.iter().map(|series| series.points.len()).sum();
    assert!(some.replicas.len() == 4 && points <= 40, "{points}");
}

#[test]
fn a_recording_survives_its_file() {
    let recording = recorded(Limits::default());
    let json = recording.json();
    assert_eq!(Recording::from_json(&json), Ok(recording));
    assert!(Recording::from_json(&json.replace("\"format\":1", "\"format\":7")).is_err());
    assert!(Recording::from_json(&json[..json.len() / 2]).is_err());
}
