//! What the exploration of the quorum finds. The state counts are pinned: a change of the core that changes
//! them changes what the quorum can do, and should be meant.

use models::{DEFAULT_LIMITS, check};

fn holds(name: &str, unique: usize) {
    let report = check(name, DEFAULT_LIMITS).unwrap();
    println!("{report}");
    assert!(report.holds() && report.complete, "{report}");
    assert_eq!(report.unique, unique, "{report}");
}

#[test]
fn quorum_holds_with_an_unreliable_network() {
    holds("raft", 61_513);
}

#[test]
fn quorum_holds_with_power_losses() {
    holds("raft-disk", 243_158);
}

#[test]
fn quorum_holds_over_three_elections() {
    holds("raft-epochs", 255_295);
}

#[test]
fn quorum_holds_with_snapshots() {
    holds("raft-snapshot", 185_312);
}

#[test]
fn quorum_holds_with_voter_changes() {
    holds("raft-voters", 333_456);
}

#[test]
fn quorum_holds_with_a_joining_voter() {
    holds("raft-joining", 62_789);
}

#[test]
fn a_static_voter_that_lost_its_disk_is_filled_again() {
    holds("raft-lost-disk", 13_584);
}

#[test]
fn a_voter_that_hears_nobody_does_not_disturb_the_others() {
    holds("raft-cut-off", 4_087);
}

#[test]
fn the_only_voter_leads() {
    holds("raft-alone", 7_553);
}

#[test]
fn unknown_models_are_refused() {
    assert!(check("no such model", DEFAULT_LIMITS).is_none());
}
