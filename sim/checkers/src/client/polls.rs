//! CLI-2: a consumer sees a partition's records in increasing offset order, without gaps or repeats.

use std::collections::BTreeMap;

use super::observed::Observed;
use super::violation;
use crate::anomaly::Report;
use crate::history::{Action, History, Isolation, Operation, Partition, Record};

pub fn check(history: &History, observed: &Observed<'_>, report: &mut Report) {
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
                isolation,
            } => {
                report.count("CLI-2", 1);
                let position = positions.insert((operation.process, partition), *next);
                let stretch = Stretch {
                    observed,
                    operation,
                    partition,
                    isolation: *isolation,
                };
                stretch.across(position, *from, report);
                stretch.within(*from, records, *next, report);
            }
            _ => {}
        }
    }
}

/// What one poll returned of one partition.
struct Stretch<'a> {
    observed: &'a Observed<'a>,
    operation: &'a Operation,
    partition: &'a Partition,
    isolation: Isolation,
}

impl Stretch<'_> {
    /// A poll starts where the consumer's last one ended.
    fn across(&self, position: Option<i64>, from: i64, report: &mut Report) {
        let Some(position) = position else { return };
        if from < position {
            let what = format!("position {position}, next poll started at {from}");
            self.complain("nonmonotonic-poll", &what, report);
        } else if let Some(offset) = self.known_record(position, from) {
            let what =
                format!("position {position}, next poll started at {from}, skipping {offset}");
            self.complain("poll-skip", &what, report);
        }
    }

    /// Inside a poll offsets increase, start at or above the position, and skip no known record.
    fn within(&self, from: i64, records: &[Record], next: i64, report: &mut Report) {
        let mut expected = from;
        for record in records {
            let offset = record.offset;
            if offset < expected {
                let what = format!("offset {offset} where {expected} or more was due");
                self.complain("int-nonmonotonic-poll", &what, report);
            } else if let Some(skipped) = self.known_record(expected, offset) {
                let what = format!("offset {offset} came without {skipped} before it");
                self.complain("int-poll-skip", &what, report);
            }
            expected = offset + 1;
        }
        if let Some(skipped) = self.known_record(expected, next) {
            let what = format!("position moved to {next} without {skipped}");
            self.complain("poll-skip", &what, report);
        }
    }

    fn known_record(&self, from: i64, to: i64) -> Option<i64> {
        let isolation = self.isolation;
        self.observed
            .known_record(self.partition, isolation, from, to)
    }

    fn complain(&self, anomaly: &str, what: &str, report: &mut Report) {
        let Partition { topic, index } = self.partition;
        let detail = format!("{topic}-{index}: {what}");
        let violation = violation("CLI-2", anomaly, self.operation, detail);
        report.violations.push(violation);
    }
}
