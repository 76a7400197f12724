//! What the exploration of a partition with its controller finds. The state counts are pinned: a change of
//! the cores that changes them changes what a partition can do, and should be meant.

use models::{DEFAULT_LIMITS, check};

fn holds(name: &str, unique: usize) {
    let report = check(name, DEFAULT_LIMITS).unwrap();
    println!("{report}");
    assert!(report.holds() && report.complete, "{report}");
    assert_eq!(report.unique, unique, "{report}");
}

#[test]
fn a_partition_holds_while_leadership_moves_away_and_back() {
    holds("replica", 156_701);
}

#[test]
fn a_partition_holds_while_logs_fork() {
    holds("replica-records", 26_545);
}

#[test]
fn a_partition_holds_while_replicas_leave_and_join() {
    holds("replica-join", 210_192);
}

#[test]
fn a_partition_holds_while_alter_partition_gets_lost() {
    holds("replica-isr", 132_663);
}

#[test]
fn a_partition_holds_while_its_isr_is_too_small() {
    holds("replica-elr", 173_891);
}

#[test]
fn a_partition_holds_when_only_its_last_leader_is_left() {
    holds("replica-last-leader", 68_275);
}

#[test]
fn a_partition_holds_while_min_insync_replicas_changes() {
    holds("replica-min-isr", 2_748);
}

#[test]
fn a_partition_holds_over_a_controlled_shutdown() {
    holds("replica-shutdown", 3_530);
}

#[test]
fn a_partition_recovers_from_every_state_of_a_fail_over() {
    holds("replica-live", 58_621);
}

#[test]
fn a_partition_recovers_from_every_state_of_a_fail_over_with_two_records() {
    holds("replica-live-records", 485_980);
}

#[test]
fn a_partition_holds_while_it_moves() {
    holds("reassignment", 8_123);
}

#[test]
fn a_partition_holds_while_its_records_are_deleted() {
    holds("replica-deletions", 25_253);
}
