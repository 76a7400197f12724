//! The black box: a history of sends and polls to Jepsen's anomalies (CLI-1 … CLI-6), and of groups (GRP-1, GRP-4).
//!
//! Every check is linear in the history. What is not an anomaly, and why, stands in the invariant list:
//! jumps after `Assign`, offset gaps where nobody ever saw a record, records of unknown outcome that
//! appear or do not, and, without idempotence, duplicates.

mod content;
mod groups;
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
}

/// Checks a history against what was promised.
pub fn check(history: &History, promise: Promise) -> Report {
    let observed = Observed::new(history);
    let mut report = Report::default();
    content::check(history, &observed, promise, &mut report);
    visibility::check(history, &observed, promise, &mut report);
    polls::check(history, &observed, &mut report);
    order::check(history, &observed, promise, &mut report);
    groups::check(history, promise, &mut report);
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
