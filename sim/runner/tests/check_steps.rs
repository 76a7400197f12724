//! `--check-steps`: the second cores agree with the nodes' own, change nothing, and see a known bug at the step at
//! which it does something.

use std::time::Duration;

use sim_faults::plan::Planned;
use sim_faults::{Action, FaultSpec, ProcessFault, Target};
use sim_runner::Scenario;
use sim_runner::driver::{self, RunOptions, RunOutcome};

fn restarts() -> Scenario {
    let struck = |target, fault| Planned::On(target, Action::Process(fault));
    let leader = Target::Leader {
        topic: "orders".into(),
        partition: 0,
    };
    let kill = FaultSpec::once(Duration::from_secs(1), struck(leader, ProcessFault::Kill));
    let off = struck(Target::Controller, ProcessFault::Kill);
    let off = FaultSpec::once(Duration::from_secs(4), off);
    Scenario::builder("restarts")
        .topic("orders", 3, 3, &[("min.insync.replicas", "2")])
        .config("broker.session.timeout.ms", "3000")
        .config("broker.heartbeat.interval.ms", "500")
        .produce_consume(50)
        .fault(kill.lasting(Duration::from_secs(1)))
        .fault(off.lasting(Duration::from_secs(1)))
        .duration(Duration::from_secs(8))
        .build()
}

fn run(seed: u64, options: RunOptions) -> RunOutcome {
    driver::run(&restarts(), "restarts", seed, &options).expect("within its budget")
}

fn checked() -> RunOptions {
    RunOptions {
        check_steps: true,
        ..RunOptions::default()
    }
}

#[test]
fn every_step_of_a_run_with_restarts_is_the_core_s_own() {
    let outcome = run(3, checked());
    outcome.assert_held();
    let steps = outcome.result.invariants["STEP-1"];
    assert!(steps > 1_000, "{steps} steps were taken again");
    assert!(outcome.result.invariants["RAFT-5"] > 0);
    assert!(outcome.result.replay.ends_with(" --check-steps"));
}

#[test]
fn who_looks_changes_nothing() {
    let (looked_at, alone) = (run(5, checked()), run(5, RunOptions::default()));
    assert_eq!(looked_at.result.trace_hash, alone.result.trace_hash);
    assert_eq!(looked_at.probes, alone.probes);
    assert!(!alone.result.invariants.contains_key("STEP-1"));
}

#[cfg(feature = "mutants")]
#[test]
fn a_known_bug_is_seen_at_the_step_at_which_it_does_something() {
    for (mutant, core) in [("K_04", "\"quorum\""), ("R_01", "TopicIdPartition")] {
        let options = RunOptions {
            mutant: Some(mutant),
            ..checked()
        };
        let violations = run(1, options).result.violations;
        let step = violations.iter().find(|found| found.invariant == "STEP-1");
        let step = step.unwrap_or_else(|| panic!("{mutant}: {violations:?}"));
        assert!(step.detail.contains(core), "{step:?}");
        // Before anything else breaks of it.
        let first = violations.iter().map(|found| found.event).min();
        assert_eq!(first, Some(step.event), "{mutant}: {violations:?}");
    }
}
