//! Metadata transactions (KIP-868): a change that is too large for one batch still applies whole or not at all.
//!
//! The controller writes such a change without a pause: BeginTransaction with the first batch, EndTransaction
//! with the last. What was written may be committed in part when it fails; the next controller aborts it
//! before it decides anything, so no decision ever sees half a change. [`Replay`] holds the records of an
//! open transaction back on every node, and a snapshot is only made where none is open.

use std::borrow::Cow;

use broker_probe::{mutant, probe};

use super::image::MetadataImage;
use super::metadata_version::{METADATA_VERSION_FEATURE, MetadataVersion};
use super::record::Record;
use super::reply::Output;

/// Reads the log in its order, as far as a node applies it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Replay {
    /// Records of the transaction that is open.
    open: Option<Vec<Record>>,
}

impl Replay {
    /// Whether the log up to here ends inside a transaction.
    pub fn is_open(&self) -> bool {
        self.open.is_some()
    }

    /// The records to apply once these were read: none of an open transaction, all of one that ends here.
    ///
    /// # Panics
    /// If marks of transactions do not alternate: then the log or its writer is broken.
    pub fn read<'a>(&mut self, records: &'a [Record]) -> Cow<'a, [Record]> {
        if self.open.is_none() && !records.iter().any(Record::marks_transaction) {
            return Cow::Borrowed(records);
        }
        let mut complete = Vec::new();
        for record in records {
            self.read_one(record, &mut complete);
        }
        Cow::Owned(complete)
    }

    fn read_one(&mut self, record: &Record, complete: &mut Vec<Record>) {
        match (record, &mut self.open) {
            (Record::BeginTransaction { .. }, None) => self.open = Some(Vec::new()),
            (Record::EndTransaction, Some(held)) => {
                complete.append(held);
                self.open = None;
            }
            (Record::AbortTransaction { .. }, Some(_)) => {
                probe!("metadata: transaction aborted");
                self.open = None;
            }
            (mark, open) if mark.marks_transaction() => {
                panic!("{mark:?}, and a transaction is open: {}", open.is_some())
            }
            (record, Some(held)) => held.push(record.clone()),
            (record, None) => complete.push(record.clone()),
        }
    }
}

impl Record {
    /// Whether it begins, ends or aborts a transaction.
    pub fn marks_transaction(&self) -> bool {
        matches!(
            self,
            Record::BeginTransaction { .. }
                | Record::EndTransaction
                | Record::AbortTransaction { .. }
        )
    }
}

/// What a new controller writes first if it finds a transaction open.
pub(super) fn abort(out: &mut Vec<Output>) {
    let reason = "Controller failover".to_owned();
    out.push(Output::Records(vec![Record::AbortTransaction {
        reason: Some(reason),
    }]));
}

/// The records of one decision: one batch if they fit, a transaction if not. Before 3.6-IV0 there are none.
pub(super) fn push_atomically(
    hard: &MetadataImage,
    records: Vec<Record>,
    batch_max: usize,
    out: &mut Vec<Output>,
) {
    let version = written_at(hard, &records);
    if records.len() <= batch_max || !version.has_transactions() || mutant!(M_04) {
        out.push(Output::Records(records));
        return;
    }
    probe!("metadata: change written as a transaction");
    let first = Record::BeginTransaction { name: None };
    let marked = std::iter::once(first)
        .chain(records)
        .chain(std::iter::once(Record::EndTransaction));
    let marked: Vec<Record> = marked.collect();
    let batches = marked.chunks(batch_max);
    out.extend(batches.map(|batch| Output::Records(batch.to_vec())));
}

/// The level that the records belong to; the first ones of a log bring it along.
fn written_at(hard: &MetadataImage, records: &[Record]) -> MetadataVersion {
    if hard.feature_level(METADATA_VERSION_FEATURE) != 0 {
        return hard.metadata_version();
    }
    let brought = records.iter().find_map(|record| match record {
        Record::FeatureLevel { name, level } if name == METADATA_VERSION_FEATURE => {
            MetadataVersion::from_level(*level)
        }
        _ => None,
    });
    brought.unwrap_or(MetadataVersion::MINIMUM)
}
