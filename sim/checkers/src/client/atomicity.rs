//! TXN-4: a transaction is visible all or not at all, with the outcome its producer was told [G1b,
//! torn-transaction]. TXN-5: read_committed readers get no record of an aborted or open transaction, and all of a
//! committed one [G1a, precommitted-read, missing-committed]. CLI-4: a transaction does not read its own writes.
//!
//! Markers come to each partition by themselves, so a reader may get a transaction's records of one partition
//! before those of another, never without them: who moves past an offset has decided what is there.

use std::collections::BTreeMap;

use super::observed::{Known, Observed, SendOutcome};
use super::violation;
use crate::anomaly::Report;
use crate::history::{Action, Fate, History, Isolation, Operation, Partition};

/// One record of a transaction where it was polled, or moved past.
#[derive(Clone, Copy, Debug)]
struct Sight<'a> {
    operation: &'a Operation,
    partition: &'a Partition,
    offset: i64,
}

/// What read_committed readers saw of a transaction.
#[derive(Clone, Copy, Debug, Default)]
struct Sights<'a> {
    seen: Option<Sight<'a>>,
    skipped: Option<Sight<'a>>,
    /// Seen before its producer asked for its end.
    early: Option<Sight<'a>>,
    /// Seen by a poll that is part of it.
    own: Option<Sight<'a>>,
    /// Seen and skipped in this partition.
    within: Option<&'a Partition>,
}

/// Transactions, each with the operation that read offsets which only it committed.
pub type Evidence = BTreeMap<u64, usize>;

pub fn check(
    history: &History,
    observed: &Observed<'_>,
    offsets_seen: &Evidence,
    report: &mut Report,
) {
    let records = records(observed);
    let mut sights: BTreeMap<u64, Sights<'_>> = BTreeMap::new();
    let mut seen_in: BTreeMap<(u64, &Partition), ()> = BTreeMap::new();
    for operation in &history.operations {
        for (number, sight, is_seen) in sights_of(operation, &records) {
            let all = sights.entry(number).or_default();
            if is_seen {
                seen_in.insert((number, sight.partition), ());
                let known = observed.transactions.get(&number);
                all.see(number, sight, known);
            } else {
                all.skipped.get_or_insert(sight);
            }
        }
    }
    for (number, all) in &mut sights {
        if let Some(skipped) = all.skipped
            && seen_in.contains_key(&(*number, skipped.partition))
        {
            all.within = Some(skipped.partition);
        }
    }
    for (number, known) in &observed.transactions {
        report.count("TXN-4", 1);
        report.count("TXN-5", 1);
        let all = sights.get(number).copied().unwrap_or_default();
        judge(*number, known, all, report);
        let offsets = offsets_seen.get(number);
        if let (Some(index), Some(skipped)) = (offsets, all.skipped) {
            let place = skipped.place();
            let detail = format!(
                "transaction {number}: its offsets are committed, but a reader moved past {place} without its record"
            );
            let operation = &history.operations[*index];
            let torn = violation("TXN-4", "torn-transaction", operation, detail);
            report.violations.push(torn);
        }
    }
    // Of transactions that are nowhere in the history: nobody asked them to commit.
    for (number, all) in &sights {
        if let Some(seen) = all.seen
            && !observed.transactions.contains_key(number)
        {
            seen.complain("TXN-5", "G1a", *number, "which was never ended", report);
        }
    }
}

/// By partition and offset: the transaction whose record is there.
type Records<'a> = BTreeMap<&'a Partition, BTreeMap<i64, u64>>;

fn records<'a>(observed: &Observed<'a>) -> Records<'a> {
    let mut records: Records<'a> = BTreeMap::new();
    for (partition, sent) in observed.sent.values() {
        if let (
            Some(number),
            SendOutcome::Acknowledged {
                offset: Some(offset),
            },
        ) = (sent.transaction, sent.outcome)
        {
            let there = records.entry(partition).or_default();
            there.insert(offset, number);
        }
    }
    for (partition, polled) in &observed.polled {
        for (offset, views) in polled {
            let values = views.iter().filter_map(|seen| seen.value);
            let mut sent = values.filter_map(|value| observed.sent.get(&value));
            if let Some(number) = sent.find_map(|(_, sent)| sent.transaction) {
                records
                    .entry(partition)
                    .or_default()
                    .insert(*offset, number);
            }
        }
    }
    records
}

/// What a read_committed poll shows of transactions: (number, where, whether it returned the record).
fn sights_of<'a>(
    operation: &'a Operation,
    records: &'a Records<'a>,
) -> impl Iterator<Item = (u64, Sight<'a>, bool)> {
    let polled = match &operation.action {
        Action::Poll {
            partition,
            from,
            records: returned,
            next,
            isolation: Isolation::ReadCommitted,
        } if from < next => records.get(partition).map(|there| {
            let mut returned = returned.iter().map(|record| record.offset).peekable();
            there.range(*from..*next).map(move |(&offset, &number)| {
                while returned.next_if(|earlier| *earlier < offset).is_some() {}
                let sight = Sight {
                    operation,
                    partition,
                    offset,
                };
                (number, sight, returned.peek() == Some(&offset))
            })
        }),
        _ => None,
    };
    polled.into_iter().flatten()
}

impl<'a> Sights<'a> {
    fn see(&mut self, number: u64, sight: Sight<'a>, known: Option<&Known<'_>>) {
        self.seen.get_or_insert(sight);
        if sight.operation.transaction == Some(number) {
            self.own.get_or_insert(sight);
        }
        let end = known.and_then(|known| known.transaction.end);
        if end.is_some_and(|end| sight.operation.completed_ns < end.invoked_ns) {
            self.early.get_or_insert(sight);
        }
    }
}

fn judge(number: u64, known: &Known<'_>, all: Sights<'_>, report: &mut Report) {
    if let Some(own) = all.own {
        let what = "which is the reader's own";
        return own.complain("CLI-4", "own-write", number, what, report);
    }
    match known.fate {
        Fate::Aborted => {
            if let Some(seen) = all.seen {
                seen.complain("TXN-5", "G1a", number, "which is aborted", report);
            }
            return;
        }
        Fate::Committed => {
            if let (None, Some(skipped)) = (all.seen, all.skipped) {
                let what = "whose commit is acknowledged";
                return skipped.miss("TXN-5", "missing-committed", number, what, report);
            }
        }
        Fate::Unknown => {}
    }
    if let Some(early) = all.early {
        let what = "before it was asked to commit";
        early.complain("TXN-5", "precommitted-read", number, what, report);
    }
    if let (Some(seen), Some(skipped)) = (all.seen, all.skipped) {
        let anomaly = match all.within {
            Some(_) => "G1b",
            None => "torn-transaction",
        };
        let what = format!("whose record at {} is read", seen.place());
        skipped.miss("TXN-4", anomaly, number, &what, report);
    }
}

impl Sight<'_> {
    fn place(&self) -> String {
        let Partition { topic, index } = self.partition;
        format!("{topic}-{index} offset {}", self.offset)
    }

    fn complain(
        &self,
        invariant: &str,
        anomaly: &str,
        number: u64,
        what: &str,
        report: &mut Report,
    ) {
        let place = self.place();
        let detail = format!("{place} was returned, of transaction {number}, {what}");
        let found = violation(invariant, anomaly, self.operation, detail);
        report.violations.push(found);
    }

    fn miss(&self, invariant: &str, anomaly: &str, number: u64, what: &str, report: &mut Report) {
        let place = self.place();
        let detail =
            format!("a reader moved past {place} without it: transaction {number}, {what}");
        let found = violation(invariant, anomaly, self.operation, detail);
        report.violations.push(found);
    }
}
