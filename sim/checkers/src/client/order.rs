//! CLI-6: records of one producer to one partition keep their order [nonmonotonic-send], and a write
//! that begins after another was acknowledged gets a higher offset.

use std::collections::BTreeMap;

use super::observed::Observed;
use super::{Promise, violation};
use crate::anomaly::Report;
use crate::history::{Action, History, Operation, Partition};

pub fn check(history: &History, observed: &Observed<'_>, promise: Promise, report: &mut Report) {
    let acknowledged: Vec<(&Operation, &Partition, i64, u64)> = acknowledged(history).collect();
    if promise.ordered_sends {
        per_producer(&acknowledged, report);
    }
    if promise.durable {
        real_time(&acknowledged, report);
        one_write_per_offset(history, observed, &acknowledged, report);
    }
}

fn acknowledged(history: &History) -> impl Iterator<Item = (&Operation, &Partition, i64, u64)> {
    history
        .operations
        .iter()
        .filter(|operation| operation.is_ok())
        .filter_map(|operation| match &operation.action {
            Action::Send {
                partition,
                offset: Some(offset),
                acks: -1,
                sequence,
                ..
            } => Some((operation, partition, *offset, *sequence)),
            _ => None,
        })
}

fn per_producer(acknowledged: &[(&Operation, &Partition, i64, u64)], report: &mut Report) {
    let mut by_sequence: BTreeMap<(u32, &Partition, u64), (i64, &Operation)> = BTreeMap::new();
    for (operation, partition, offset, sequence) in acknowledged {
        by_sequence.insert(
            (operation.process, partition, *sequence),
            (*offset, operation),
        );
    }
    let mut last: Option<((u32, &Partition), u64, i64)> = None;
    for ((process, partition, sequence), (offset, operation)) in by_sequence {
        report.count("CLI-6", 1);
        if let Some((producer, last_sequence, last_offset)) = last
            && producer == (process, partition)
            && offset <= last_offset
        {
            let detail = format!(
                "{}-{}: send {last_sequence} went to offset {last_offset}, the later send {sequence} to {offset}",
                partition.topic, partition.index
            );
            report
                .violations
                .push(violation("CLI-6", "nonmonotonic-send", operation, detail));
        }
        last = Some(((process, partition), sequence, offset));
    }
}

/// Operations are in order of completion, so the highest offset acknowledged before an invocation is a
/// prefix maximum.
fn real_time(acknowledged: &[(&Operation, &Partition, i64, u64)], report: &mut Report) {
    let mut prefix: BTreeMap<&Partition, Vec<(u64, i64)>> = BTreeMap::new();
    for (operation, partition, offset, _) in acknowledged {
        let highest = prefix.entry(partition).or_default();
        let before = highest.partition_point(|(completed, _)| *completed < operation.invoked_ns);
        if let Some(index) = before.checked_sub(1)
            && highest[index].1 >= *offset
        {
            let detail = format!(
                "{}-{}: got offset {offset}, but {} was acknowledged before it was sent",
                partition.topic, partition.index, highest[index].1
            );
            report
                .violations
                .push(violation("CLI-6", "realtime", operation, detail));
        }
        let maximum = highest
            .last()
            .map_or(*offset, |(_, maximum)| (*maximum).max(*offset));
        highest.push((operation.completed_ns, maximum));
        report.count("CLI-6", 1);
    }
}

/// No offset is acknowledged to two records.
fn one_write_per_offset(
    history: &History,
    observed: &Observed<'_>,
    acknowledged: &[(&Operation, &Partition, i64, u64)],
    report: &mut Report,
) {
    for (operation, partition, offset, _) in acknowledged {
        let Action::Send { value, .. } = &operation.action else {
            continue;
        };
        let holder = observed
            .acknowledged
            .get(*partition)
            .and_then(|sent| sent.get(offset));
        let Some(&(first, index)) = holder else {
            continue;
        };
        if first != *value {
            let detail = format!(
                "{}-{} offset {offset} was acknowledged to value {first} (event {}) and to value {value}",
                partition.topic, partition.index, history.operations[index].completed_event
            );
            report.violations.push(violation(
                "CLI-3",
                "inconsistent-offsets",
                operation,
                detail,
            ));
        }
    }
}
