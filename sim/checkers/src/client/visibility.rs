//! CLI-1: what was acknowledged is read [lost-write, unseen].
//! CLI-4: ListOffsets answers lie in the readable range and not behind an acknowledgement.
//! TXN-5: the last stable offset that a client is told never goes back.
//! CLI-5: a definite failure is never visible [G1a].

use std::collections::BTreeMap;

use super::observed::{Observed, SendOutcome};
use super::{Promise, violation};
use crate::anomaly::Report;
use crate::history::{Action, History, Isolation, Operation, Partition};

pub fn check(history: &History, observed: &Observed<'_>, promise: Promise, report: &mut Report) {
    let furthest = Furthest::new(history);
    for (value, (partition, sent)) in &observed.sent {
        match sent.outcome {
            SendOutcome::Failed => aborted_read(history, observed, *value, partition, report),
            SendOutcome::Acknowledged {
                offset: Some(offset),
            } if promise.durable && sent.acks == -1 && offset >= observed.log_start(partition) => {
                report.count("CLI-1", 1);
                let due = Due {
                    value: *value,
                    partition,
                    offset,
                    operation: &history.operations[sent.operation],
                };
                for (isolation, end) in furthest.of(partition) {
                    if isolation == Isolation::ReadUncommitted || sent.is_committed() {
                        due.find(observed, isolation, end, promise, report);
                    }
                }
            }
            SendOutcome::Acknowledged { .. } | SendOutcome::Unknown => {}
        }
    }
    if promise.durable {
        list_offsets(history, report);
        last_stable_offsets(history, report);
    }
}

/// By partition and isolation: the end of what polls covered, over all consumers.
#[derive(Default)]
struct Furthest<'a>(BTreeMap<(&'a Partition, Isolation), i64>);

impl<'a> Furthest<'a> {
    fn new(history: &'a History) -> Furthest<'a> {
        let mut furthest = Furthest::default();
        for operation in &history.operations {
            if let Action::Poll {
                partition,
                next,
                isolation,
                ..
            } = &operation.action
            {
                let end = furthest.0.entry((partition, *isolation)).or_insert(*next);
                *end = (*end).max(*next);
            }
        }
        furthest
    }

    /// Each kind of reader that the partition has; one that read nothing, if it has none.
    fn of(&self, partition: &'a Partition) -> impl Iterator<Item = (Isolation, i64)> {
        let both = [Isolation::ReadUncommitted, Isolation::ReadCommitted];
        let ends = both.map(|isolation| (isolation, self.0.get(&(partition, isolation)).copied()));
        let is_read = ends.iter().any(|(_, end)| end.is_some());
        ends.into_iter().filter_map(move |(isolation, end)| {
            let nothing = (!is_read && isolation == Isolation::ReadUncommitted).then_some(0);
            Some((isolation, end.or(nothing)?))
        })
    }
}

/// An acknowledged record that readers have to get.
struct Due<'a> {
    value: u64,
    partition: &'a Partition,
    offset: i64,
    operation: &'a Operation,
}

impl Due<'_> {
    /// Among what readers of this isolation got, who came to `end`.
    fn find(
        &self,
        observed: &Observed<'_>,
        isolation: Isolation,
        end: i64,
        promise: Promise,
        report: &mut Report,
    ) {
        let Due {
            value,
            partition,
            offset,
            ..
        } = *self;
        if observed.is_polled(partition, offset, isolation) {
            return;
        }
        let place = format!("{}-{} offset {offset}", partition.topic, partition.index);
        let (anomaly, detail) = if offset < end {
            let detail = format!(
                "value {value} was acknowledged at {place}; consumers read to {end} without it"
            );
            ("lost-write", detail)
        } else if promise.complete_final_reads && observed.is_stable(partition, offset, isolation) {
            let detail =
                format!("value {value} was acknowledged at {place}; final reads ended at {end}");
            ("unseen", detail)
        } else {
            return;
        };
        let violation = violation("CLI-1", anomaly, self.operation, detail);
        report.violations.push(violation);
    }
}

fn aborted_read(
    history: &History,
    observed: &Observed<'_>,
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
            isolation: Isolation::ReadUncommitted,
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

/// TXN-5: no client is told a lower last stable offset than before.
fn last_stable_offsets(history: &History, report: &mut Report) {
    let mut told: BTreeMap<(u32, &Partition), (u64, i64)> = BTreeMap::new();
    for operation in history.operations.iter().filter(|one| one.is_ok()) {
        let Action::ListOffsets {
            partition,
            latest,
            isolation: Isolation::ReadCommitted,
            ..
        } = &operation.action
        else {
            continue;
        };
        report.count("TXN-5", 1);
        let now = (operation.completed_ns, *latest);
        let before = told.insert((operation.process, partition), now);
        if let Some((at, before)) = before
            && at <= operation.invoked_ns
            && before > *latest
        {
            let Partition { topic, index } = partition;
            let detail = format!("{topic}-{index}: last stable offset {latest}, before {before}");
            let violation = violation("TXN-5", "nonmonotonic-lso", operation, detail);
            report.violations.push(violation);
        }
    }
}
