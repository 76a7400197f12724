//! What the exploration of the transaction protocol finds. The state counts are pinned: a change of the cores that
//! changes them changes what a transaction can do, and should be meant.

use models::{DEFAULT_LIMITS, check};

fn holds(name: &str, unique: usize) {
    let report = check(name, DEFAULT_LIMITS).unwrap();
    println!("{report}");
    assert!(report.holds() && report.complete, "{report}");
    assert_eq!(report.unique, unique, "{report}");
}

#[test]
fn an_epoch_for_each_transaction_keeps_out_what_comes_late() {
    holds("transaction", 15_269);
}

#[test]
fn transactions_hold_while_coordinators_change() {
    holds("transaction-fail-over", 11_148);
}

#[test]
fn a_second_instance_fences_the_first() {
    holds("transaction-fencing", 37_757);
}

#[test]
fn nothing_hangs_that_partitions_verify() {
    holds("transaction-verified", 5_383);
}

#[test]
fn what_comes_late_hangs_or_belongs_to_the_next_in_the_classic_protocol() {
    holds("transaction-classic", 1_192);
}

#[test]
fn classic_transactions_hold_while_coordinators_change() {
    holds("transaction-classic-fail-over", 2_152);
}

#[test]
fn an_epoch_that_nobody_was_given_ends_nothing() {
    holds("transaction-classic-strangers", 20);
}

/// Known bugs by the model that finds them, and the invariant that breaks.
#[cfg(feature = "mutants")]
#[test]
fn known_bugs_are_found() {
    let expected = [
        ("T_01", "transaction", "TXN-3"),
        ("T_02", "transaction-verified", "TXN-3"),
        ("T_07", "transaction-classic", "TXN-3"),
        ("T_08", "transaction-classic", "LIVE-3"),
        ("T_10", "transaction-classic", "TXN-3"),
        ("T_11", "transaction-classic-strangers", "TXN-2"),
        ("T_13", "transaction-classic", "LIVE-3"),
        ("T_16", "transaction-fail-over", "TXN-3"),
        ("T_17", "transaction-fail-over", "LIVE-3"),
        ("T_19", "transaction", "LIVE-3"),
        ("T_28", "transaction-fail-over", "TXN-3"),
        ("T_29", "transaction-classic-fail-over", "CLI-5"),
        ("C_04", "transaction-fencing", "TXN-2"),
    ];
    println!(
        "{:<6} {:<30} {:<8} {:>9} {:>6} {:>8}",
        "bug", "model", "breaks", "unique", "steps", "seconds"
    );
    for (bug, model, invariant) in expected {
        broker_probe::set_mutant(Some(bug));
        let report = check(model, DEFAULT_LIMITS).unwrap();
        broker_probe::set_mutant(None);
        let mut found = report.violations.iter();
        let found = found.find(|finding| finding.property == invariant);
        let Some(found) = found else {
            panic!("{bug} in {report}");
        };
        println!(
            "{bug:<6} {model:<30} {:<8} {:>9} {:>6} {:>8.1}",
            found.property,
            report.unique,
            found.path.len(),
            report.seconds
        );
    }
}
