//! What the whole history says about each offset and each value.

use std::collections::BTreeMap;

use crate::history::{Action, History, Outcome, Partition};

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
}

/// Indexes over a history.
#[derive(Debug, Default)]
pub struct Observed {
    /// By partition and value: what was sent.
    pub sent: BTreeMap<u64, (Partition, Sent)>,
    /// By partition: offset to the polls (operation index, value, content) that returned it. The first
    /// poll of each distinct content is kept.
    pub polled: BTreeMap<Partition, BTreeMap<i64, Vec<Seen>>>,
    /// By partition: offset acknowledged to a producer, with its operation.
    pub acknowledged: BTreeMap<Partition, BTreeMap<i64, (u64, usize)>>,
}

/// One poll's view of an offset.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seen {
    pub operation: usize,
    pub value: Option<u64>,
    pub content: u64,
}

impl Observed {
    pub fn new(history: &History) -> Observed {
        let mut observed = Observed::default();
        for (index, operation) in history.operations.iter().enumerate() {
            match &operation.action {
                Action::Send {
                    partition,
                    value,
                    content,
                    acks,
                    offset,
                    ..
                } => {
                    let outcome = match operation.outcome {
                        Outcome::Ok => SendOutcome::Acknowledged { offset: *offset },
                        Outcome::Fail(_) => SendOutcome::Failed,
                        Outcome::Info(_) => SendOutcome::Unknown,
                    };
                    let sent = Sent {
                        operation: index,
                        content: *content,
                        outcome,
                        acks: *acks,
                    };
                    observed.sent.insert(*value, (partition.clone(), sent));
                    if let (Outcome::Ok, Some(offset)) = (&operation.outcome, offset) {
                        let acknowledged =
                            observed.acknowledged.entry(partition.clone()).or_default();
                        acknowledged.entry(*offset).or_insert((*value, index));
                    }
                }
                Action::Poll {
                    partition, records, ..
                } => {
                    let polled = observed.polled.entry(partition.clone()).or_default();
                    for record in records {
                        let seen = polled.entry(record.offset).or_default();
                        if !seen
                            .iter()
                            .any(|old| old.value == record.value && old.content == record.content)
                        {
                            seen.push(Seen {
                                operation: index,
                                value: record.value,
                                content: record.content,
                            });
                        }
                    }
                }
                Action::Assign { .. } | Action::Group(_) | Action::ListOffsets { .. } => {}
            }
        }
        observed
    }

    /// Whether some poll returned a record at this offset.
    pub fn is_polled(&self, partition: &Partition, offset: i64) -> bool {
        self.polled
            .get(partition)
            .is_some_and(|polled| polled.contains_key(&offset))
    }

    /// The first offset in `[from, to)` at which a record is known to be: polled by somebody or
    /// acknowledged to its producer.
    pub fn known_record(&self, partition: &Partition, from: i64, to: i64) -> Option<i64> {
        if from >= to {
            return None;
        }
        let polled = self
            .polled
            .get(partition)
            .and_then(|polled| polled.range(from..to).next());
        let sent = self
            .acknowledged
            .get(partition)
            .and_then(|sent| sent.range(from..to).next());
        polled
            .map(|(offset, _)| *offset)
            .into_iter()
            .chain(sent.map(|(offset, _)| *offset))
            .min()
    }
}
