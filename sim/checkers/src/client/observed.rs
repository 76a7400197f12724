//! What the whole history says about each offset, each value and each transaction.

use std::collections::BTreeMap;

use crate::history::{
    Action, Fate, History, Isolation, Operation, Outcome, Partition, Record, Transaction,
};

/// How a send ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendOutcome {
    Acknowledged { offset: Option<i64> },
    Failed,
    Unknown,
}

/// A send of the history.
#[derive(Clone, Copy, Debug)]
pub struct Sent {
    /// Index into the history.
    pub operation: usize,
    pub content: u64,
    pub outcome: SendOutcome,
    pub acks: i16,
    pub transaction: Option<u64>,
    /// `None` outside of transactions.
    pub fate: Option<Fate>,
}

impl Sent {
    /// Whether read_committed readers have to see it, once it is known to be in the log.
    pub fn is_committed(&self) -> bool {
        matches!(self.fate, None | Some(Fate::Committed))
    }
}

/// A transaction of the history.
#[derive(Clone, Copy, Debug)]
pub struct Known<'a> {
    /// Index into the history.
    pub operation: usize,
    pub transaction: &'a Transaction,
    pub fate: Fate,
    pub begun_ns: u64,
}

/// Indexes over a history.
#[derive(Debug, Default)]
pub struct Observed<'a> {
    /// By value: what was sent.
    pub sent: BTreeMap<u64, (&'a Partition, Sent)>,
    /// By partition: offset to the polls (operation index, value, content) that returned it. The first
    /// poll of each distinct content is kept.
    pub polled: BTreeMap<&'a Partition, BTreeMap<i64, Vec<Seen>>>,
    /// By partition: offset acknowledged to a producer, with its operation.
    pub acknowledged: BTreeMap<&'a Partition, BTreeMap<i64, (u64, usize)>>,
    /// By number.
    pub transactions: BTreeMap<u64, Known<'a>>,
    /// By partition: the highest log start that a broker named. What is below may be deleted.
    pub log_start: BTreeMap<&'a Partition, i64>,
    /// By partition: the highest end for read_committed readers that a broker named.
    last_stable: BTreeMap<&'a Partition, i64>,
}

/// One view of an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    /// The first poll.
    pub operation: usize,
    pub value: Option<u64>,
    pub content: u64,
    /// The first poll by a read_committed reader, and by another.
    pub committed: Option<usize>,
    pub uncommitted: Option<usize>,
}

impl Seen {
    fn new(record: &Record) -> Seen {
        Seen {
            operation: usize::MAX,
            value: record.value,
            content: record.content,
            committed: None,
            uncommitted: None,
        }
    }

    fn by(&mut self, isolation: Isolation, operation: usize) {
        self.operation = self.operation.min(operation);
        match isolation {
            Isolation::ReadCommitted => self.committed.get_or_insert(operation),
            Isolation::ReadUncommitted => self.uncommitted.get_or_insert(operation),
        };
    }

    /// The first poll of this isolation.
    pub fn first(&self, isolation: Isolation) -> Option<usize> {
        match isolation {
            Isolation::ReadCommitted => self.committed,
            Isolation::ReadUncommitted => self.uncommitted,
        }
    }
}

impl<'a> Observed<'a> {
    pub fn new(history: &'a History) -> Observed<'a> {
        let mut observed = Observed {
            transactions: transactions(history),
            ..Observed::default()
        };
        for (index, operation) in history.operations.iter().enumerate() {
            observed.add(index, operation);
        }
        observed
    }

    fn add(&mut self, index: usize, operation: &'a Operation) {
        match &operation.action {
            Action::Send {
                partition, value, ..
            } => {
                let sent = self.sent(index, operation);
                self.sent.insert(*value, (partition, sent));
                if let SendOutcome::Acknowledged {
                    offset: Some(offset),
                } = sent.outcome
                {
                    let acknowledged = self.acknowledged.entry(partition).or_default();
                    acknowledged.entry(offset).or_insert((*value, index));
                }
            }
            Action::Poll {
                partition,
                records,
                isolation,
                ..
            } => self.poll(index, partition, records, *isolation),
            Action::ListOffsets {
                partition,
                earliest,
                latest,
                isolation,
            } if operation.is_ok() => {
                let start = self.log_start.entry(partition).or_insert(*earliest);
                *start = (*start).max(*earliest);
                if *isolation == Isolation::ReadCommitted {
                    let end = self.last_stable.entry(partition).or_insert(*latest);
                    *end = (*end).max(*latest);
                }
            }
            _ => {}
        }
    }

    fn sent(&self, index: usize, operation: &Operation) -> Sent {
        let Action::Send {
            content,
            acks,
            offset,
            ..
        } = operation.action
        else {
            unreachable!("asked for sends only");
        };
        let transaction = operation.transaction;
        let outcome = match operation.outcome {
            Outcome::Ok => SendOutcome::Acknowledged { offset },
            Outcome::Fail(_) => SendOutcome::Failed,
            Outcome::Info(_) => SendOutcome::Unknown,
        };
        Sent {
            operation: index,
            content,
            outcome,
            acks,
            transaction,
            // One whose transaction is nowhere was never asked to commit.
            fate: transaction.map(|number| {
                let known = self.transactions.get(&number);
                known.map_or(Fate::Aborted, |known| known.fate)
            }),
        }
    }

    fn poll(
        &mut self,
        index: usize,
        partition: &'a Partition,
        records: &[Record],
        isolation: Isolation,
    ) {
        let polled = self.polled.entry(partition).or_default();
        for record in records {
            let views = polled.entry(record.offset).or_default();
            let same = |old: &&mut Seen| old.value == record.value && old.content == record.content;
            match views.iter_mut().find(same) {
                Some(seen) => seen.by(isolation, index),
                None => {
                    let mut seen = Seen::new(record);
                    seen.by(isolation, index);
                    views.push(seen);
                }
            }
        }
    }

    /// Whether some poll of this isolation returned a record at this offset.
    pub fn is_polled(&self, partition: &Partition, offset: i64, isolation: Isolation) -> bool {
        let views = self
            .polled
            .get(partition)
            .and_then(|polled| polled.get(&offset));
        views.is_some_and(|views| views.iter().any(|seen| seen.first(isolation).is_some()))
    }

    /// The first offset in `[from, to)` at which readers of this isolation have to see a record: polled by one of
    /// them, acknowledged to its producer, or read by others and not part of a transaction that may be aborted.
    pub fn known_record(
        &self,
        partition: &Partition,
        isolation: Isolation,
        from: i64,
        to: i64,
    ) -> Option<i64> {
        if from >= to {
            return None;
        }
        let all = isolation == Isolation::ReadUncommitted;
        let is_committed = |value: u64| {
            let sent = self.sent.get(&value);
            sent.is_some_and(|(_, sent)| sent.is_committed())
        };
        let is_due =
            |seen: &Seen| all || seen.committed.is_some() || seen.value.is_some_and(is_committed);
        let polled = self.polled.get(partition);
        let polled = polled.and_then(|polled| {
            let mut due = polled.range(from..to);
            due.find(|(_, views)| views.iter().any(is_due))
        });
        let sent = self.acknowledged.get(partition);
        let sent = sent.and_then(|sent| {
            let mut due = sent.range(from..to);
            due.find(|(_, (value, _))| all || is_committed(*value))
        });
        let polled = polled.map(|(offset, _)| *offset);
        polled
            .into_iter()
            .chain(sent.map(|(offset, _)| *offset))
            .min()
    }

    /// Whether readers of this isolation can come to see the offset: no open transaction is before it. If one stays
    /// open, that is LIVE-3's matter.
    pub fn is_stable(&self, partition: &Partition, offset: i64, isolation: Isolation) -> bool {
        let end = self.last_stable.get(partition);
        isolation == Isolation::ReadUncommitted || end.is_none_or(|end| offset < *end)
    }

    /// Where the log begins now, as far as anybody was told.
    pub fn log_start(&self, partition: &Partition) -> i64 {
        self.log_start.get(partition).copied().unwrap_or(0)
    }
}

fn transactions(history: &History) -> BTreeMap<u64, Known<'_>> {
    let operations = history.operations.iter().enumerate();
    let known = operations.filter_map(|(index, operation)| match &operation.action {
        Action::Transaction(transaction) => Some(Known {
            operation: index,
            transaction,
            fate: transaction.fate(&operation.outcome),
            begun_ns: operation.invoked_ns,
        }),
        _ => None,
    });
    known
        .map(|known| (known.transaction.number, known))
        .collect()
}
