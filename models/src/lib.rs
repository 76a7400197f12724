//! Stateright models that wrap broker/core as it is: what the checker explores is what production runs.
//!
//! [`check`] explores a model breadth first and reports; [`explore`] serves Stateright's explorer for it.
//! One module per component: [`raft`], [`replica`], [`transaction`], [`group`].

pub mod counterexample;
pub mod group;
pub mod harness;
pub mod raft;
pub mod reassignment;
pub mod replica;
pub mod transaction;

use std::time::Duration;

pub use harness::{CheckReport, Finding, Limits};

/// The models by name, with a sentence each.
pub const MODELS: &[(&str, &str)] = &[
    (
        "raft",
        "metadata quorum of three voters: messages late, out of order, lost or doubled",
    ),
    (
        "raft-disk",
        "metadata quorum of three voters: power fails between write and sync",
    ),
    (
        "raft-epochs",
        "metadata quorum of three voters: three elections, as in figure 8 of the Raft paper",
    ),
    (
        "raft-snapshot",
        "metadata quorum of three voters: logs deleted before snapshots",
    ),
    (
        "raft-voters",
        "metadata quorum of three voters: one of them, or the leader itself, is removed",
    ),
    (
        "raft-joining",
        "metadata quorum of two voters and an observer, which becomes a voter",
    ),
    (
        "raft-replaced-disk",
        "metadata quorum of three voters: one comes back with an empty disk",
    ),
    (
        "raft-lost-disk",
        "metadata quorum of three static voters: one comes back with an empty disk and is filled again",
    ),
    (
        "raft-cut-off",
        "metadata quorum of three voters: one hears nobody, and the leader stays (KIP-996)",
    ),
    (
        "raft-alone",
        "metadata quorum of one voter and an observer: the leader stays",
    ),
    (
        "raft-nightly",
        "metadata quorum of three voters: power losses, doubled messages, snapshots and elections at once",
    ),
    (
        "replica",
        "a partition and its controller: leadership moves away and back, fetches and metadata are late",
    ),
    (
        "replica-records",
        "a partition and its controller: a fail-over with more records",
    ),
    (
        "replica-join",
        "a partition and its controller: two brokers are fenced and come back",
    ),
    (
        "replica-isr",
        "a partition and its controller: the ISR shrinks and grows, AlterPartition gets lost",
    ),
    (
        "replica-elr",
        "a partition and its controller: the ISR gets too small, a broker loses the end of its log",
    ),
    (
        "replica-last-leader",
        "a partition and its controller: the only member of the ISR crashes",
    ),
    (
        "replica-min-isr",
        "a partition and its controller: min.insync.replicas changes",
    ),
    (
        "replica-shutdown",
        "a partition and its controller: a broker stops in good order",
    ),
    (
        "replica-deletions",
        "a partition and its controller: records are deleted up to the end, leadership moves",
    ),
    (
        "replica-live",
        "a partition and its controller: from every state of a fail-over it recovers",
    ),
    (
        "replica-live-records",
        "the same with two records, for epochs that the other side does not know",
    ),
    (
        "replica-nightly",
        "a partition and its controller: shrinking ISR, fencing, crashes, lost data, all at once",
    ),
    (
        "reassignment",
        "a partition and its controller: it moves, is called back, and brokers come and go",
    ),
    (
        "transaction",
        "transactions with an epoch each (KIP-890): records and requests to end one come late",
    ),
    (
        "transaction-fail-over",
        "transactions with an epoch each: the coordinator changes, answers and reports get lost",
    ),
    (
        "transaction-fencing",
        "transactions with an epoch each: a timeout, and a second instance of the producer",
    ),
    (
        "transaction-verified",
        "classic transactions that partitions verify (KIP-890 part 1): nothing hangs",
    ),
    (
        "transaction-classic",
        "classic transactions: what comes late hangs or belongs to the next one (T-01)",
    ),
    (
        "transaction-classic-fail-over",
        "classic transactions: the coordinator changes, answers and reports get lost",
    ),
    (
        "transaction-classic-strangers",
        "classic transactions: somebody makes up an epoch",
    ),
    (
        "group-classic",
        "a classic group: joins, syncs and commits come late, sessions end",
    ),
    (
        "group-classic-fail-over",
        "a classic group: the coordinator changes, and the old one still answers",
    ),
    (
        "group-classic-lost-members",
        "a classic group: members crash, or only heartbeat",
    ),
    (
        "group-classic-expiry",
        "a classic group: retention is checked while members come and leave",
    ),
    (
        "group-consumer",
        "a consumer group (KIP-848): heartbeats are late, answers get lost, sessions end",
    ),
    (
        "group-consumer-commits",
        "a consumer group (KIP-848): commits come late, also those of transactions",
    ),
    (
        "group-consumer-fenced",
        "a consumer group (KIP-848): two answers are lost, and a member leaves",
    ),
    (
        "group-consumer-fail-over",
        "a consumer group (KIP-848): the coordinator changes, and the old one still answers",
    ),
    (
        "group-consumer-static",
        "a consumer group (KIP-848): a static member crashes or is away, a member does not revoke",
    ),
    (
        "group-offsets",
        "commits with and without transactions, over a log that is compacted",
    ),
];

/// Those that take too long for every change.
pub const NIGHTLY: &[&str] = &["raft-nightly", "replica-nightly", "group-classic-fail-over"];

/// Explores the model `name`, with the known bug that is put back on this thread, if any; None when there is
/// no such model.
pub fn check(name: &str, limits: Limits) -> Option<CheckReport> {
    if let Some(model) = replica::ReplicaModel::by_name(name) {
        return Some(harness::run(name, model, limits));
    }
    if let Some(model) = reassignment::ReassignmentModel::by_name(name) {
        return Some(harness::run(name, model, limits));
    }
    if let Some(model) = transaction::TransactionModel::by_name(name) {
        return Some(harness::run(name, model, limits));
    }
    if let Some(model) = group::by_name(name) {
        return Some(match model {
            group::ByName::Classic(model) => harness::run(name, model, limits),
            group::ByName::Consumer(model) => harness::run(name, model, limits),
            group::ByName::Offsets(model) => harness::run(name, model, limits),
        });
    }
    let model = raft::RaftModel::by_name(name)?;
    Some(harness::run(name, model, limits))
}

/// Serves Stateright's explorer of the model `name` on `address` until the process ends; None when there is
/// no such model.
pub fn explore(name: &str, address: &str) -> Option<()> {
    if let Some(model) = replica::ReplicaModel::by_name(name) {
        harness::explore(model, address);
        return Some(());
    }
    if let Some(model) = reassignment::ReassignmentModel::by_name(name) {
        harness::explore(model, address);
        return Some(());
    }
    if let Some(model) = transaction::TransactionModel::by_name(name) {
        harness::explore(model, address);
        return Some(());
    }
    match group::by_name(name) {
        Some(group::ByName::Classic(model)) => harness::explore(model, address),
        Some(group::ByName::Consumer(model)) => harness::explore(model, address),
        Some(group::ByName::Offsets(model)) => harness::explore(model, address),
        None => harness::explore(raft::RaftModel::by_name(name)?, address),
    }
    Some(())
}

/// Enough for every model on two cores.
pub const DEFAULT_LIMITS: Limits = Limits {
    threads: 2,
    states: 5_000_000,
    time: Duration::from_secs(600),
};

/// How far the model `name` is explored if nobody says otherwise.
pub fn limits(name: &str) -> Limits {
    if NIGHTLY.contains(&name) {
        Limits {
            states: usize::MAX,
            time: Duration::from_secs(3_600),
            ..DEFAULT_LIMITS
        }
    } else {
        DEFAULT_LIMITS
    }
}
