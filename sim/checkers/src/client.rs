//! The black box: a history of sends and polls to Jepsen's anomalies (CLI-1 … CLI-6), of groups (GRP-1, GRP-4) and of
//! transactions (TXN-2, TXN-4, TXN-5), and whether it all goes on after the faults (LIVE-3, LIVE-4).
//!
//! Every check takes time linear in the history but for a logarithm. What is not an anomaly, and why, stands in the invariant list:
//! jumps after `Assign`, offset gaps where nobody ever saw a record, records of unknown outcome that
//! appear or do not, and, without idempotence, duplicates.

mod atomicity;
mod chains;
mod content;
mod cycles;
mod deletions;
mod fencing;
mod groups;
mod liveness;
mod observed;
mod order;
mod polls;
mod visibility;

use crate::anomaly::{Report, Violation};
use crate::history::{History, Operation};
use observed::Observed;

/// What the scenario promises its clients.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Promise {
    /// acks=all writes survive: the faults stay within the budget.
    pub durable: bool,
    /// Producers are idempotent: no duplicates.
    pub idempotent: bool,
    /// A producer has one batch in flight per partition, so its sends keep their order.
    pub ordered_sends: bool,
    /// The history ends with a read of every partition from its start to its end.
    pub complete_final_reads: bool,
    /// Records carry CreateTime, so that a poll returns the content that was sent.
    pub create_time: bool,
    /// Logs lose what is old or too much, also if nobody asks for it.
    pub retention: bool,
    /// What has to work in the end; `None`: nothing is known of faults.
    pub quiet: Option<Quiet>,
}

/// The time after the faults.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Quiet {
    pub from_ns: u64,
    /// What has to work does within this time.
    pub bound_ns: u64,
}

/// Checks a history against what was promised.
pub fn check(history: &History, promise: Promise) -> Report {
    let observed = Observed::new(history);
    let mut report = Report::default();
    content::check(history, &observed, promise, &mut report);
    visibility::check(history, &observed, promise, &mut report);
    polls::check(history, &observed, &mut report);
    order::check(history, &observed, promise, &mut report);
    deletions::check(history, promise, &mut report);
    let offsets_seen = groups::check(history, promise, &mut report);
    atomicity::check(history, &observed, &offsets_seen, &mut report);
    chains::check(history, &observed, &mut report);
    fencing::check(history, &observed, &mut report);
    cycles::check(history, &observed, &mut report);
    liveness::check(history, promise, &mut report);
    report
}

fn violation(invariant: &str, anomaly: &str, operation: &Operation, detail: String) -> Violation {
    Violation {
        invariant: invariant.to_string(),
        anomaly: anomaly.to_string(),
        event: operation.completed_event,
        sim_ms: operation.completed_ns / 1_000_000,
        node: format!("client{}", operation.process),
        detail,
    }
}

#[cfg(test)]
mod tests;
