//! CLI-1: what was acknowledged is read [lost-write, unseen].
//! CLI-4: ListOffsets answers lie in the readable range and not behind an acknowledgement.
//! CLI-5: a definite failure is never visible [G1a].

use std::collections::BTreeMap;

use super::observed::{Observed, SendOutcome};
use super::{Promise, violation};
use crate::anomaly::Report;
use crate::history::{Action, History, Operation, Partition};

pub fn check(history: &History, observed: &Observed, promise: Promise, report: &mut Report) {
    let read_to = furthest_read(history);
    for (value, (partition, sent)) in &observed.sent {
        let operation = &history.operations[sent.operation];
        match sent.outcome {
            SendOutcome::Failed => aborted_read(history, observed, *value, partition, report),
            SendOutcome::Acknowledged {
                offset: Some(offset),
            } if promise.durable && sent.acks == -1 => {
                report.count("CLI-1", 1);
                lost(
                    observed, &read_to, *value, partition, offset, operation, promise, report,
                );
            }
            SendOutcome::Acknowledged { .. } | SendOutcome::Unknown => {}
        }
    }
    if promise.durable {
        list_offsets(history, report);
    }
}

/// By partition: the end of what polls covered, over all consumers.
fn furthest_read(history: &History) -> BTreeMap<&Partition, i64> {
    let mut read_to = BTreeMap::new();
    for operation in &history.operations {
        if let Action::Poll {
            partition, next, ..
        } = &operation.action
        {
            let end = read_to.entry(partition).or_insert(*next);
            *end = (*end).max(*next);
        }
    }
    read_to
}

fn aborted_read(
    history: &History,
    observed: &Observed,
    value: u64,
    partition: &Partition,
    report: &mut Report,
) {
    report.count("CLI-5", 1);
    let Some(polled) = observed.polled.get(partition) else {
        return;
    };
    for (offset, seen) in polled {
        if let Some(one) = seen.iter().find(|one| one.value == Some(value)) {
            let detail = format!(
                "value {value} failed for its producer, but is at {}-{} offset {offset}",
                partition.topic, partition.index
            );
            report.violations.push(violation(
                "CLI-5",
                "G1a",
                &history.operations[one.operation],
                detail,
            ));
        }
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "one fact each; a struct would only rename them"
)]
fn lost(
    observed: &Observed,
    read_to: &BTreeMap<&Partition, i64>,
    value: u64,
    partition: &Partition,
    offset: i64,
    operation: &Operation,
    promise: Promise,
    report: &mut Report,
) {
    if observed.is_polled(partition, offset) {
        return;
    }
    let end = read_to.get(partition).copied().unwrap_or(0);
    let place = format!("{}-{} offset {offset}", partition.topic, partition.index);
    if offset < end {
        let detail = format!(
            "value {value} was acknowledged at {place}; consumers read to {end} without it"
        );
        report
            .violations
            .push(violation("CLI-1", "lost-write", operation, detail));
    } else if promise.complete_final_reads {
        let detail =
            format!("value {value} was acknowledged at {place}; final reads ended at {end}");
        report
            .violations
            .push(violation("CLI-1", "unseen", operation, detail));
    }
}

/// A ListOffsets that a client invokes after an acknowledgement of its own names an end beyond the
/// acknowledged offset. Only of its own: Kafka's leaders hold no lease, so one that is cut off from the
/// controller goes on answering clients that have not heard of its successor (KIP-320 fences only those that
/// have), and what another client was told by the successor does not bind it.
fn list_offsets(history: &History, report: &mut Report) {
    let mut acknowledged: BTreeMap<(u32, &Partition), Vec<(u64, i64)>> = BTreeMap::new();
    for operation in history
        .operations
        .iter()
        .filter(|operation| operation.is_ok())
    {
        if let Action::Send {
            partition,
            offset: Some(offset),
            acks: -1,
            ..
        } = &operation.action
        {
            let ends = acknowledged
                .entry((operation.process, partition))
                .or_default();
            let highest = ends
                .last()
                .map_or(*offset, |(_, highest)| (*highest).max(*offset));
            ends.push((operation.completed_ns, highest));
        }
    }
    for operation in history
        .operations
        .iter()
        .filter(|operation| operation.is_ok())
    {
        let Action::ListOffsets {
            partition,
            earliest,
            latest,
        } = &operation.action
        else {
            continue;
        };
        report.count("CLI-4", 1);
        let own = acknowledged.get(&(operation.process, partition));
        let ends = own.map_or(&[][..], Vec::as_slice);
        let before = ends.partition_point(|(completed, _)| *completed < operation.invoked_ns);
        let highest = before.checked_sub(1).map(|index| ends[index].1);
        if earliest > latest || highest.is_some_and(|highest| highest >= *latest) {
            let detail = format!(
                "{}-{}: earliest {earliest}, latest {latest}, acknowledged before it was asked: {highest:?}",
                partition.topic, partition.index
            );
            report
                .violations
                .push(violation("CLI-4", "stale-end-offset", operation, detail));
        }
    }
}
