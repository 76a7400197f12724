//! Random schedules with loss, duplication, reordering, crashes and power losses: every invariant holds after
//! every step, and each known bug that is put back breaks one.

#[cfg(feature = "mutants")]
use broker_probe::set_mutant;
use broker_probe::{start_counting, take_counts};
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::test_runner::{
    Config as ProptestConfig, RngAlgorithm, TestError, TestRng, TestRunner,
};

use crate::raft::cluster::{Action, Cluster, Shape};

const STEPS: usize = 600;
/// A failure shows the end of its schedule.
const LAST_SHOWN: usize = 40;

/// A number drawn by proptest: the low part chooses the kind of event, the high part one of that kind.
#[derive(Clone, Copy, Debug)]
struct Choice(u32);

type Kind = (u32, fn(&Cluster) -> Vec<Action>);

/// Weights in a thousand.
const KINDS: [Kind; 10] = [
    (540, Cluster::deliveries),
    (200, Cluster::disk_work),
    (70, Cluster::timers),
    (60, Cluster::appends),
    (30, Cluster::duplicates),
    (30, Cluster::losses),
    (12, Cluster::power_losses),
    (8, Cluster::kills),
    (10, Cluster::resignations),
    (40, Cluster::starts),
];

fn choose(cluster: &Cluster, Choice(number): Choice) -> Option<Action> {
    let (mut kind, which) = (number % 1000, number / 1000);
    let first = KINDS.iter().position(|&(weight, _)| {
        let found = kind < weight;
        kind = kind.saturating_sub(weight);
        found
    });
    let first = first.expect("the weights make a thousand");
    let kinds = KINDS[first..].iter().chain(&KINDS[..first]);
    let mut possible = kinds
        .map(|(_, actions)| actions(cluster))
        .find(|actions| !actions.is_empty())?;
    let index = usize::try_from(which).expect("small") % possible.len();
    Some(possible.swap_remove(index))
}

/// Runs the schedule until it breaks an invariant.
fn run(shape: Shape, choices: &[u32]) -> Result<Cluster, String> {
    let ignore = &mut |_, _: &_| {};
    let mut cluster = Cluster::new(shape, ignore);
    let mut done = Vec::new();
    for &number in choices {
        let Some(action) = choose(&cluster, Choice(number)) else {
            break;
        };
        cluster.apply(&action, ignore);
        done.push(action);
        if let Some(violation) = &cluster.violation {
            let last = &done[done.len().saturating_sub(LAST_SHOWN)..];
            return Err(format!(
                "{violation} after {} steps, the last of them {last:#?}",
                done.len()
            ));
        }
    }
    Ok(cluster)
}

fn shape(voters: i32, observers: i32) -> Shape {
    Shape {
        voters,
        observers,
        instant_saves: false,
        instant_flushes: false,
    }
}

/// Shrinking a schedule shifts every later choice, so it gains little here: seeds are fixed instead.
fn search(voters: i32, observers: i32, cases: u32, seed: u8) -> Result<(), String> {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&vec(0..1_000_000u32, STEPS), |choices| {
        run(shape(voters, observers), &choices)
            .map(|_| ())
            .map_err(TestCaseError::fail)
    });
    outcome.map_err(|error| match error {
        TestError::Fail(reason, _) => reason.to_string(),
        TestError::Abort(reason) => reason.to_string(),
    })
}

#[test]
fn three_voters_hold_all_invariants() {
    search(3, 0, 1500, 1).unwrap();
}

#[test]
fn five_voters_hold_all_invariants() {
    search(5, 0, 600, 2).unwrap();
}

#[test]
fn voters_with_observers_hold_all_invariants() {
    search(3, 2, 800, 3).unwrap();
}

#[test]
fn one_and_two_voters_hold_all_invariants() {
    search(1, 1, 400, 4).unwrap();
    search(2, 0, 400, 5).unwrap();
}

#[test]
fn random_schedules_reach_the_rare_paths() {
    start_counting();
    search(3, 1, 60, 6).unwrap();
    let counts = take_counts();
    for probe in [
        "raft: a follower truncates",
        "raft: a parked fetch is released by the end of leadership",
        "raft: pre-vote lost, back to the leader",
        "raft: check-quorum makes the leader resign",
        "raft: an observer lost the leader",
        "raft: an answer to a fetch that is no longer under way",
        "raft: a replica fetches again while its fetch is parked",
    ] {
        assert!(
            counts.contains_key(probe),
            "{probe} was not reached in {counts:?}"
        );
    }
}

/// Finds the bug, and returns the invariant it broke.
#[cfg(feature = "mutants")]
fn finds(id: &'static str) -> String {
    set_mutant(Some(id));
    let found = std::panic::catch_unwind(|| search(3, 1, 2000, 7));
    set_mutant(None);
    match found {
        Ok(outcome) => outcome.expect_err("the known bug was not found"),
        Err(_) => panic!("{id} broke an assertion instead of an invariant"),
    }
}

#[cfg(feature = "mutants")]
#[test]
fn known_bugs_break_an_invariant() {
    for (id, invariants) in [
        ("K_01", ["RAFT-3", "RAFT-4"]),
        ("K_02", ["RAFT-1", "RAFT-2"]),
        ("K_04", ["RAFT-3", "RAFT-3"]),
        ("K_13", ["RAFT-4", "RAFT-4"]),
    ] {
        let violation = finds(id);
        println!("{id}: {violation}");
        assert!(
            invariants
                .iter()
                .any(|invariant| violation.contains(invariant)),
            "{id}: {violation}"
        );
    }
}
