//! CLI-2: a consumer sees a partition's records in increasing offset order, without gaps or repeats.

use std::collections::BTreeMap;

use super::observed::Observed;
use super::violation;
use crate::anomaly::Report;
use crate::history::{Action, History, Operation, Partition, Record};

pub fn check(history: &History, observed: &Observed, report: &mut Report) {
    let mut positions: BTreeMap<(u32, &Partition), i64> = BTreeMap::new();
    for operation in &history.operations {
        match &operation.action {
            Action::Assign {
                partition,
                position,
            } => {
                positions.insert((operation.process, partition), *position);
            }
            Action::Poll {
                partition,
                from,
                records,
                next,
            } => {
                report.count("CLI-2", 1);
                let position = positions.insert((operation.process, partition), *next);
                across(observed, operation, partition, position, *from, report);
                within(
                    observed, operation, partition, *from, records, *next, report,
                );
            }
            Action::Send { .. } | Action::Group(_) | Action::ListOffsets { .. } => {}
        }
    }
}

/// A poll starts where the consumer's last one ended.
fn across(
    observed: &Observed,
    operation: &Operation,
    partition: &Partition,
    position: Option<i64>,
    from: i64,
    report: &mut Report,
) {
    let Some(position) = position else { return };
    if from < position {
        let detail = format!(
            "{}: position {position}, next poll started at {from}",
            place(partition)
        );
        report
            .violations
            .push(violation("CLI-2", "nonmonotonic-poll", operation, detail));
    } else if let Some(offset) = observed.known_record(partition, position, from) {
        let detail = format!(
            "{}: position {position}, next poll started at {from}, skipping {offset}",
            place(partition)
        );
        report
            .violations
            .push(violation("CLI-2", "poll-skip", operation, detail));
    }
}

/// Inside a poll offsets increase, start at or above the position, and skip no known record.
fn within(
    observed: &Observed,
    operation: &Operation,
    partition: &Partition,
    from: i64,
    records: &[Record],
    next: i64,
    report: &mut Report,
) {
    let mut expected = from;
    for record in records {
        if record.offset < expected {
            let detail = format!(
                "{}: offset {} where {expected} or more was due",
                place(partition),
                record.offset
            );
            report.violations.push(violation(
                "CLI-2",
                "int-nonmonotonic-poll",
                operation,
                detail,
            ));
        } else if let Some(skipped) = observed.known_record(partition, expected, record.offset) {
            let detail = format!(
                "{}: offset {} came without {skipped} before it",
                place(partition),
                record.offset
            );
            report
                .violations
                .push(violation("CLI-2", "int-poll-skip", operation, detail));
        }
        expected = record.offset + 1;
    }
    if let Some(skipped) = observed.known_record(partition, expected, next) {
        let detail = format!(
            "{}: position moved to {next} without {skipped}",
            place(partition)
        );
        report
            .violations
            .push(violation("CLI-2", "poll-skip", operation, detail));
    }
}

/// Asked for only where something is wrong.
fn place(partition: &Partition) -> String {
    format!("{}-{}", partition.topic, partition.index)
}
