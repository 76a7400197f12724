//! What the exploration of the group protocols finds. The state counts are pinned: a change of the core that changes
//! them changes what a group can do, and should be meant.

use models::{DEFAULT_LIMITS, check};

fn holds(name: &str, unique: usize) {
    let report = check(name, DEFAULT_LIMITS).unwrap();
    println!("{report}");
    assert!(report.holds() && report.complete, "{report}");
    assert_eq!(report.unique, unique, "{report}");
}

#[test]
fn classic_members_own_a_partition_once_in_a_generation() {
    holds("group-classic", 34_115);
}

#[test]
fn classic_groups_go_on_without_lost_members() {
    holds("group-classic-lost-members", 39_210);
}

#[test]
fn offsets_stay_while_somebody_is_in_the_group() {
    holds("group-classic-expiry", 4_334);
}

#[test]
fn consumers_own_a_partition_once_at_any_moment() {
    holds("group-consumer", 14_413);
}

#[test]
fn consumers_commit_only_in_their_epoch() {
    holds("group-consumer-commits", 1_227);
}

#[test]
fn a_fenced_consumer_comes_back() {
    holds("group-consumer-fenced", 1_133);
}

#[test]
fn consumer_groups_hold_while_coordinators_change() {
    holds("group-consumer-fail-over", 5_481);
}

#[test]
fn a_static_consumer_takes_over_from_itself() {
    holds("group-consumer-static", 27_706);
}

#[test]
fn offsets_are_those_that_compaction_leaves() {
    holds("group-offsets", 2_250);
}

/// Known bugs by the model that finds them, and the invariant that breaks.
#[cfg(feature = "mutants")]
#[test]
fn known_bugs_are_found() {
    let expected = [
        ("G_01", "group-classic-lost-members", "LIVE-4"),
        ("G_02", "group-classic-lost-members", "LIVE-4"),
        ("G_04", "group-classic-expiry", "GRP-1"),
        ("G_05", "group-offsets", "GRP-1"),
        ("G_07", "group-offsets", "GRP-1"),
        ("G_11", "group-consumer-fail-over", "GRP-3"),
        ("G_13", "group-consumer-fail-over", "LIVE-4"),
        ("G_14", "group-consumer-static", "GRP-2"),
        ("G_20", "group-consumer", "LIVE-4"),
        ("T_04", "group-offsets", "GRP-3"),
        ("T_26", "group-classic", "GRP-2"),
        ("C_08", "group-classic", "GRP-2"),
    ];
    let mut missed = Vec::new();
    for (bug, model, invariant) in expected {
        broker_probe::set_mutant(Some(bug));
        let report = check(model, DEFAULT_LIMITS).unwrap();
        broker_probe::set_mutant(None);
        let mut found = report.violations.iter();
        match found.find(|finding| finding.property == invariant) {
            Some(found) => println!(
                "{bug:<6} {model:<28} {invariant:<8} {:>9} {:>6} {:>8.1}",
                report.unique,
                found.path.len(),
                report.seconds
            ),
            None => missed.push(format!("{bug} in {report}")),
        }
    }
    assert!(missed.is_empty(), "{}", missed.join("\n"));
}
