//! The reference: a partition is a log. Records are appended at its end, one after another; a client may learn
//! where its record is; a reader gets records that are there. Nothing else. No leaders, no replicas, no epochs. One
//! that reads committed records gets those whose transaction is.
//!
//! [`check`] tells whether a history refines it: whether some order of appends, each at one moment between
//! the send's beginning and the first time that anybody learned of the record, gives the log that the history
//! shows. Offsets fix the order, so the earliest moments that are possible decide.

use std::collections::BTreeMap;

use crate::anomaly::{Report, Violation};
use crate::client::Promise;
use crate::history::{Action, Fate, History, Isolation, Operation, Outcome, Partition};

const ID: &str = "REF-1";

/// A record of the log, as far as the history tells.
#[derive(Clone, Copy, Debug)]
struct Entry<'a> {
    value: u64,
    /// Who first learned that it is there: its producer, or a reader.
    learned: &'a Operation,
}

#[derive(Debug, Default)]
struct Log<'a> {
    entries: BTreeMap<i64, Entry<'a>>,
    /// Where the reads of it ended that came furthest, by what they show.
    read_to: BTreeMap<Isolation, i64>,
    /// What is below may be deleted: a broker named this as the log's start.
    start: i64,
    /// Where readers of committed records have to stop, as far as a broker said.
    stable: Option<i64>,
}

/// REF-1: every partition's history is one of the reference. Nothing is promised outside of the budget.
pub fn check(history: &History, promise: Promise) -> Report {
    let mut report = Report::default();
    if !promise.durable {
        return report;
    }
    let sends = sends(history);
    let fates = fates(history);
    let mut logs: BTreeMap<&Partition, Log<'_>> = BTreeMap::new();
    for operation in &history.operations {
        learn(operation, &sends, &mut logs, &mut report);
    }
    for (partition, log) in &logs {
        replay(partition, log, &sends, &mut report);
    }
    for operation in &history.operations {
        read(operation, &logs, &sends, &fates, &mut report);
    }
    if promise.complete_final_reads {
        for (partition, log) in &logs {
            unread(partition, log, &sends, &fates, &mut report);
        }
    }
    report
}

/// By number of the transaction.
fn fates(history: &History) -> BTreeMap<u64, Fate> {
    let operations = history.operations.iter();
    let fates = operations.filter_map(|operation| match &operation.action {
        Action::Transaction(one) => Some((one.number, one.fate(&operation.outcome))),
        _ => None,
    });
    fates.collect()
}

/// Whether a reader gets it for sure.
fn is_shown(
    isolation: Isolation,
    entry: &Entry<'_>,
    sends: &BTreeMap<u64, &Operation>,
    fates: &BTreeMap<u64, Fate>,
) -> bool {
    let fate = |number: u64| fates.get(&number) == Some(&Fate::Committed);
    isolation == Isolation::ReadUncommitted || sends[&entry.value].transaction.is_none_or(fate)
}

/// By value.
fn sends(history: &History) -> BTreeMap<u64, &Operation> {
    let sends = history.operations.iter();
    sends
        .filter_map(|operation| match operation.action {
            Action::Send { value, .. } => Some((value, operation)),
            _ => None,
        })
        .collect()
}

fn learn<'a>(
    operation: &'a Operation,
    sends: &BTreeMap<u64, &'a Operation>,
    logs: &mut BTreeMap<&'a Partition, Log<'a>>,
    report: &mut Report,
) {
    match &operation.action {
        Action::Send {
            partition,
            value,
            acks: -1,
            offset: Some(offset),
            ..
        } if operation.is_ok() => {
            let log = logs.entry(partition).or_default();
            log.learn(partition, *offset, *value, operation, report);
        }
        Action::Poll {
            partition,
            records,
            next,
            isolation,
            ..
        } => {
            let log = logs.entry(partition).or_default();
            let read_to = log.read_to.entry(*isolation).or_insert(*next);
            *read_to = (*read_to).max(*next);
            for record in records {
                let sent = record.value.filter(|value| sends.contains_key(value));
                match sent {
                    Some(value) => {
                        log.learn(partition, record.offset, value, operation, report);
                    }
                    None => {
                        let what = format!("has {:?}, which nobody appended", record.value);
                        complain(partition, record.offset, &what, operation, report);
                    }
                }
            }
        }
        Action::ListOffsets {
            partition,
            earliest,
            latest,
            isolation,
        } if operation.is_ok() => {
            let log = logs.entry(partition).or_default();
            log.start = log.start.max(*earliest);
            if *isolation == Isolation::ReadCommitted {
                log.stable = log.stable.max(Some(*latest));
            }
        }
        _ => {}
    }
}

impl<'a> Log<'a> {
    /// Somebody learned that `value` is at `offset`.
    fn learn(
        &mut self,
        partition: &Partition,
        offset: i64,
        value: u64,
        operation: &'a Operation,
        report: &mut Report,
    ) {
        report.count(ID, 1);
        let entry = self.entries.entry(offset).or_insert(Entry {
            value,
            learned: operation,
        });
        if entry.value != value {
            let what = format!("has value {}, and then value {value}", entry.value);
            return complain(partition, offset, &what, operation, report);
        }
        if operation.completed_ns < entry.learned.completed_ns {
            entry.learned = operation;
        }
    }
}

/// Appends in the order of offsets, each as early as can be: after it was sent and after the one before.
fn replay(
    partition: &Partition,
    log: &Log<'_>,
    sends: &BTreeMap<u64, &Operation>,
    report: &mut Report,
) {
    let mut now = 0;
    let mut last = None;
    for (&offset, entry) in &log.entries {
        let sent = sends[&entry.value];
        if let Outcome::Fail(why) = &sent.outcome {
            let what = format!("has value {}, whose append failed: {why}", entry.value);
            complain(partition, offset, &what, entry.learned, report);
        }
        now = now.max(sent.invoked_ns);
        if now > entry.learned.completed_ns {
            let what = format!(
                "has value {}, known {} ns before it can have been appended after {last:?}",
                entry.value,
                now - entry.learned.completed_ns
            );
            complain(partition, offset, &what, entry.learned, report);
            // Go on as if it were right, so that one mistake is told once.
            now = entry.learned.completed_ns;
        }
        last = Some(offset);
    }
}

/// A read returns all that is there between its ends.
fn read(
    operation: &Operation,
    logs: &BTreeMap<&Partition, Log<'_>>,
    sends: &BTreeMap<u64, &Operation>,
    fates: &BTreeMap<u64, Fate>,
    report: &mut Report,
) {
    let Action::Poll {
        partition,
        from,
        records,
        next,
        isolation,
    } = &operation.action
    else {
        return;
    };
    let Some(log) = logs.get(partition).filter(|_| from < next) else {
        return;
    };
    let mut returned = records.iter().map(|record| record.offset).peekable();
    for (&offset, entry) in log.entries.range(from..next) {
        while returned.next_if(|earlier| *earlier < offset).is_some() {}
        if returned.peek() != Some(&offset) && is_shown(*isolation, entry, sends, fates) {
            let what = format!(
                "has value {}, which a read from {from} to {next} did not return",
                entry.value
            );
            complain(partition, offset, &what, operation, report);
        }
    }
}

/// The last reads came to the end of the log: readers of each kind got all that is there for them.
fn unread(
    partition: &Partition,
    log: &Log<'_>,
    sends: &BTreeMap<u64, &Operation>,
    fates: &BTreeMap<u64, Fate>,
    report: &mut Report,
) {
    let nothing = BTreeMap::from([(Isolation::ReadUncommitted, 0)]);
    let ends = Some(&log.read_to).filter(|ends| !ends.is_empty());
    for (isolation, read_to) in ends.unwrap_or(&nothing) {
        let stable = log
            .stable
            .filter(|_| *isolation == Isolation::ReadCommitted);
        let end = stable.unwrap_or(i64::MAX);
        let from = log.start.max(*read_to).min(end);
        for (&offset, entry) in log.entries.range(from..end) {
            if is_shown(*isolation, entry, sends, fates) {
                let what = format!(
                    "has value {}, but the log is read to its end at {read_to}",
                    entry.value
                );
                complain(partition, offset, &what, entry.learned, report);
            }
        }
    }
}

fn complain(
    partition: &Partition,
    offset: i64,
    what: &str,
    operation: &Operation,
    report: &mut Report,
) {
    report.violations.push(Violation {
        invariant: ID.to_owned(),
        anomaly: "no-such-log".to_owned(),
        event: operation.completed_event,
        sim_ms: operation.completed_ns / 1_000_000,
        node: format!("client{}", operation.process),
        detail: format!(
            "{}-{} offset {offset} {what}",
            partition.topic, partition.index
        ),
    });
}

#[cfg(test)]
mod tests;
