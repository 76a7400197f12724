//! Whole runs: what is proven of a scenario is proven of its builder, and a seed is a run.

use std::time::Duration;

use sim_checkers::anomaly::Verdict;
use sim_faults::plan::Planned;
use sim_faults::{Action, FaultSpec, ProcessFault, Target};
use sim_runner::Scenario;

fn five_seconds() -> Scenario {
    let kill = Planned::On(
        Target::Leader {
            topic: "orders".into(),
            partition: 0,
        },
        Action::Process(ProcessFault::Kill),
    );
    Scenario::builder("five-seconds")
        .topic("orders", 3, 3, &[("min.insync.replicas", "2")])
        .config("broker.session.timeout.ms", "3000")
        .config("broker.heartbeat.interval.ms", "500")
        .produce_consume(50)
        .fault(FaultSpec::once(Duration::from_secs(1), kill).lasting(Duration::from_secs(1)))
        .duration(Duration::from_secs(5))
        .build()
}

#[test]
fn a_leader_crash_under_load_holds() {
    let outcome = five_seconds().run(1);
    outcome.assert_held();
    assert!(
        outcome.result.clients.acked > 50,
        "{:?}",
        outcome.result.clients
    );
    assert_eq!(outcome.result.faults["process-kill"], 1);
    for id in [
        "LOG-1", "REP-1", "REP-5", "RAFT-1", "META-2", "CLI-1", "LIVE-1", "LIVE-2",
    ] {
        assert!(
            outcome.result.invariants[id] > 0,
            "{id} was never evaluated"
        );
    }
}

#[test]
fn the_same_seed_is_the_same_run_on_any_thread() {
    let on_a_thread = || std::thread::spawn(|| five_seconds().run(7).result);
    let (one, other) = (on_a_thread(), on_a_thread());
    let mut one = one.join().expect("a run does not panic");
    let mut other = other.join().expect("a run does not panic");
    (one.wall_ms, other.wall_ms) = (0, 0);
    assert_eq!(one, other);
    let another = five_seconds().run(8).result;
    assert_ne!(one.trace_hash, another.trace_hash);
}

#[test]
fn brokers_and_controllers_apart() {
    let outcome = Scenario::builder("apart")
        .roles(3, 3)
        .topic("orders", 1, 3, &[("min.insync.replicas", "2")])
        .produce_consume(20)
        .duration(Duration::from_secs(3))
        .build()
        .run(1);
    outcome.assert_held();
}

#[test]
fn a_planned_fault_outside_the_budget_is_an_error_of_the_scenario() {
    let off = Planned::On(Target::All, Action::Process(ProcessFault::PowerLoss));
    let scenario = Scenario::builder("too-much")
        .topic("orders", 1, 3, &[("min.insync.replicas", "2")])
        .fault(FaultSpec::once(Duration::from_secs(1), off))
        .build();
    let options = Default::default();
    let error = sim_runner::driver::run(&scenario, "too-much", 1, &options).map(|_| ());
    let error = error.expect_err("two of three lose data").to_string();
    assert!(
        error.contains("outside the budget") && error.contains("min.insync.replicas is 2"),
        "{error}"
    );
}

#[test]
fn what_does_not_come_to_rest_within_the_bound_is_stuck() {
    let scenario = Scenario {
        quiet: Duration::from_millis(10),
        ..five_seconds()
    };
    let outcome = scenario.run(1);
    assert_eq!(outcome.verdict(), Verdict::Stuck);
    let first = &outcome.result.violations[0];
    assert!(first.invariant.starts_with("LIVE"), "{first:?}");
}
