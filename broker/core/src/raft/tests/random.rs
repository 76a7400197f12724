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

use broker_protocol::ids::NodeId;

use crate::raft::Timer;
use crate::raft::cluster::{Action, Cluster, QuorumKind, Shape};

const STEPS: usize = 600;
/// A failure shows the end of its schedule.
const LAST_SHOWN: usize = 40;

/// A number drawn by proptest: the low part chooses the kind of event, the high part one of that kind.
#[derive(Clone, Copy, Debug)]
pub(super) struct Choice(pub(super) u32);

pub(super) type Kind = (u32, fn(&Cluster) -> Vec<Action>);

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

/// With snapshots; the voters stay.
const SNAPSHOT_KINDS: [Kind; 13] = [
    (500, Cluster::deliveries),
    (200, Cluster::disk_work),
    (70, Cluster::timers),
    (60, Cluster::appends),
    (20, Cluster::duplicates),
    (30, Cluster::losses),
    (12, Cluster::power_losses),
    (8, Cluster::kills),
    (5, Cluster::resignations),
    (40, Cluster::starts),
    (30, Cluster::snapshots),
    (20, Cluster::deletions),
    (5, Cluster::damages),
];

/// With snapshots and voter changes.
const RECONFIGURATION_KINDS: [Kind; 18] = [
    (560, Cluster::deliveries),
    (180, Cluster::disk_work),
    (30, Cluster::timers),
    (40, Cluster::appends),
    (15, Cluster::duplicates),
    (25, Cluster::losses),
    (8, Cluster::power_losses),
    (8, Cluster::kills),
    (5, Cluster::resignations),
    (40, Cluster::starts),
    (10, Cluster::snapshots),
    (10, Cluster::deletions),
    (2, Cluster::damages),
    (40, Cluster::additions),
    (20, Cluster::removals),
    (1, Cluster::disk_replacements),
    (3, Cluster::moves),
    (3, Cluster::upgrades),
];

pub(super) fn kinds(shape: Shape, snapshots: bool) -> &'static [Kind] {
    match shape.quorum {
        QuorumKind::Static if snapshots => &SNAPSHOT_KINDS,
        QuorumKind::Static => &KINDS,
        QuorumKind::Upgradable | QuorumKind::Dynamic => &RECONFIGURATION_KINDS,
    }
}

pub(super) fn choose(kinds: &[Kind], cluster: &Cluster, Choice(number): Choice) -> Option<Action> {
    let (mut kind, which) = (number % 1000, number / 1000);
    let first = kinds.iter().position(|&(weight, _)| {
        let found = kind < weight;
        kind = kind.saturating_sub(weight);
        found
    });
    let first = first.expect("the weights make a thousand");
    let in_turn = kinds[first..].iter().chain(&kinds[..first]);
    let mut possible = in_turn
        .map(|(_, actions)| actions(cluster))
        .find(|actions| !actions.is_empty())?;
    let index = usize::try_from(which).expect("small") % possible.len();
    Some(possible.swap_remove(index))
}

/// Schedules about snapshots and voters begin with node 1 as leader, or most of them would not get far.
pub(super) fn elect_first(cluster: &mut Cluster) {
    const STEPS_MAX: usize = 100;
    cluster.apply(&Action::Timer(NodeId(1), Timer::Election), &mut |_, _| {});
    for _ in 0..STEPS_MAX {
        let disk_work = cluster.disk_work().into_iter();
        let Some(action) = disk_work.chain(cluster.deliveries()).next() else {
            return;
        };
        cluster.apply(&action, &mut |_, _| {});
    }
}

/// Runs the schedule until it breaks an invariant.
fn run((shape, snapshots): (Shape, bool), choices: &[u32]) -> Result<Cluster, String> {
    let ignore = &mut |_, _: &_| {};
    let mut cluster = Cluster::new(shape, ignore);
    if snapshots {
        elect_first(&mut cluster);
    }
    let mut done = Vec::new();
    for &number in choices {
        let Some(action) = choose(kinds(shape, snapshots), &cluster, Choice(number)) else {
            break;
        };
        cluster.apply(&action, ignore);
        done.push(action);
        if let Some(violation) = &cluster.violation {
            let (steps, last) = (done.len(), done.len().saturating_sub(LAST_SHOWN));
            let last: Vec<String> = done[last..].iter().map(Action::to_string).collect();
            let last = last.join("\n");
            return Err(format!(
                "{violation} after {steps} steps, the last of them\n{last}\n{cluster}"
            ));
        }
    }
    Ok(cluster)
}

fn shape(voters: i32, observers: i32) -> Shape {
    Shape {
        voters,
        observers,
        ..Shape::default()
    }
}

pub(super) fn changing(quorum: QuorumKind, voters: i32, observers: i32, tell: bool) -> Shape {
    Shape {
        quorum,
        tell,
        ..shape(voters, observers)
    }
}

/// Shrinking a schedule shifts every later choice, so it gains little here: seeds are fixed instead.
fn search(voters: i32, observers: i32, cases: u32, seed: u8) -> Result<(), String> {
    search_in(shape(voters, observers), false, cases, seed)
}

fn search_in(shape: Shape, snapshots: bool, cases: u32, seed: u8) -> Result<(), String> {
    let config = ProptestConfig {
        cases,
        failure_persistence: None,
        max_shrink_iters: 2000,
        ..ProptestConfig::default()
    };
    let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
    let mut runner = TestRunner::new_with_rng(config, rng);
    let outcome = runner.run(&vec(0..1_000_000u32, STEPS), |choices| {
        run((shape, snapshots), &choices)
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
fn snapshots_hold_all_invariants() {
    search_in(shape(3, 1), true, 800, 8).unwrap();
}

#[test]
fn voter_changes_hold_all_invariants() {
    search_in(changing(QuorumKind::Dynamic, 3, 2, false), true, 800, 9).unwrap();
    search_in(changing(QuorumKind::Dynamic, 1, 3, false), true, 400, 10).unwrap();
}

#[test]
fn nodes_that_join_by_themselves_hold_all_invariants() {
    search_in(changing(QuorumKind::Dynamic, 3, 1, true), true, 600, 11).unwrap();
}

#[test]
fn an_upgrade_of_kraft_version_holds_all_invariants() {
    search_in(changing(QuorumKind::Upgradable, 3, 1, true), true, 600, 12).unwrap();
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

#[test]
fn random_voter_changes_reach_the_rare_paths() {
    start_counting();
    search_in(changing(QuorumKind::Dynamic, 3, 2, false), true, 300, 13).unwrap();
    search_in(changing(QuorumKind::Dynamic, 2, 1, true), true, 300, 14).unwrap();
    search_in(changing(QuorumKind::Dynamic, 2, 1, true), true, 300, 18).unwrap();
    let counts = take_counts();
    for probe in [
        "raft: no use for another snapshot",
        "raft: a follower is sent to a snapshot",
        "raft: a snapshot replaces the log",
        "raft: a snapshot is ahead of the log at start",
        "raft: an answer to a snapshot fetch that is no longer under way",
        "raft: a voter change waits for the one before",
        "raft: a new voter has not caught up",
        "raft: leadership ends during a voter change",
        "raft: a leader that removed itself resigns",
        "raft: a voter change is truncated",
        "raft: a node with a new disk removes its former self",
    ] {
        assert!(
            counts.contains_key(probe),
            "{probe} was not reached in {counts:?}"
        );
    }
}

/// Finds the bug, and returns the invariant it broke.
#[cfg(feature = "mutants")]
fn finds(id: &'static str, shape: Shape, snapshots: bool) -> String {
    set_mutant(Some(id));
    let found = std::panic::catch_unwind(|| search_in(shape, snapshots, 2000, 7));
    set_mutant(None);
    match found {
        Ok(outcome) => outcome.expect_err("the known bug was not found"),
        Err(_) => panic!("{id} broke an assertion instead of an invariant"),
    }
}

#[cfg(feature = "mutants")]
#[test]
fn known_bugs_break_an_invariant() {
    let still = (shape(3, 1), false);
    let dynamic = (changing(QuorumKind::Dynamic, 3, 1, false), true);
    for (id, (shape, snapshots), invariants) in [
        ("K_01", still, ["RAFT-3", "RAFT-4"]),
        ("K_02", still, ["RAFT-1", "RAFT-2"]),
        ("K_04", still, ["RAFT-3", "RAFT-3"]),
        ("K_13", still, ["RAFT-4", "RAFT-4"]),
        ("K_08", dynamic, ["RAFT-3", "RAFT-4"]),
        ("K_10", dynamic, ["RAFT-5", "RAFT-5"]),
        ("K_14", dynamic, ["RAFT-6", "RAFT-6"]),
        ("K_16", dynamic, ["RAFT-6", "RAFT-6"]),
    ] {
        let violation = finds(id, shape, snapshots);
        println!("{id}: {violation}");
        assert!(
            invariants
                .iter()
                .any(|invariant| violation.contains(invariant)),
            "{id}: {violation}"
        );
    }
}
