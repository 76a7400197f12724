//! What the exploration of the quorum finds. The state counts are pinned: a change of the core that changes
//! them changes what the quorum can do, and should be meant.

#[cfg(feature = "mutants")]
use broker_probe::set_mutant;
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
    holds("raft-voters", 102_836);
}

#[test]
fn quorum_holds_with_a_joining_voter() {
    holds("raft-joining", 38_445);
}

#[test]
fn unknown_models_are_refused() {
    assert!(check("no such model", DEFAULT_LIMITS).is_none());
}

#[cfg(feature = "mutants")]
fn finds(bug: &'static str, name: &str, invariant: &str) {
    set_mutant(Some(bug));
    let report = check(name, DEFAULT_LIMITS).unwrap();
    set_mutant(None);
    println!("{bug} in {report}");
    assert!(
        report
            .violations
            .iter()
            .any(|finding| finding.property == invariant),
        "{bug} in {report}"
    );
}

#[cfg(feature = "mutants")]
#[test]
fn known_bugs_are_found() {
    finds("K_01", "raft-disk", "RAFT-4");
    finds("K_02", "raft-disk", "RAFT-2");
    finds("K_04", "raft", "RAFT-3");
    finds("K_08", "raft-voters", "RAFT-4");
    finds("K_10", "raft-voters", "RAFT-5");
    finds("K_14", "raft-snapshot", "RAFT-6");
    finds("K_16", "raft-snapshot", "RAFT-6");
}
