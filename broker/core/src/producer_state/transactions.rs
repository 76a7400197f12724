//! Transactions on one partition: which are open, which completed, and what readers of committed data may see.

use std::collections::BTreeMap;

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::Offset;

use super::{Producer, ProducerBatch, ProducerStates};

/// The end of a transaction on this partition: a control batch of one record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct TxnMarker {
    pub producer_id: i64,
    /// The transaction's, or one more: then whatever comes late of the transaction is fenced (KIP-890).
    pub producer_epoch: i16,
    pub coordinator_epoch: i32,
    /// Commit, else abort.
    pub committed: bool,
    /// That it has, or would get.
    pub offset: Offset,
    /// Milliseconds.
    pub timestamp: i64,
}

/// A transaction that had records here and has ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct CompletedTxn {
    pub producer_id: i64,
    pub first_offset: Offset,
    /// The marker's.
    pub last_offset: Offset,
    pub committed: bool,
    /// First offset of the oldest transaction that is still open, else what follows the marker. Once all of
    /// it is committed readers see up to here.
    pub last_stable_offset: Offset,
}

/// Both by first offset.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Transactions {
    /// The producer of each.
    ongoing: BTreeMap<Offset, i64>,
    /// The marker's offset of those that may still be lost, outcome and all: the high watermark is not past it.
    unreplicated: BTreeMap<Offset, Offset>,
}

impl Transactions {
    pub(super) fn begin(&mut self, first_offset: Offset, producer_id: i64) {
        self.ongoing.insert(first_offset, producer_id);
    }

    fn complete(&mut self, first_offset: Offset, marker: Offset) {
        self.ongoing.remove(&first_offset);
        self.unreplicated.insert(first_offset, marker);
    }

    fn first_ongoing(&self) -> Option<Offset> {
        self.ongoing.first_key_value().map(|(first, _)| *first)
    }

    fn first_unreplicated(&self) -> Option<Offset> {
        self.unreplicated.first_key_value().map(|(first, _)| *first)
    }

    pub(super) fn ongoing(&self) -> &BTreeMap<Offset, i64> {
        &self.ongoing
    }

    pub(super) fn unreplicated(&self) -> &BTreeMap<Offset, Offset> {
        &self.unreplicated
    }
}

impl ProducerStates {
    /// The marker of a coordinator, sent to the leader.
    ///
    /// # Errors
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED
    pub fn check_marker(&self, marker: &TxnMarker) -> Result<(), ErrorCode> {
        let Some(producer) = self.producers.get(&marker.producer_id) else {
            return Ok(());
        };
        // What was answered and lost is sent again as it was: then the transaction has ended already (T-17).
        let repeated =
            producer.txn_first_offset.is_none() && marker.producer_epoch == producer.epoch;
        if marker.producer_epoch < producer.epoch || (mutant!(T_17) && repeated) {
            probe!("producer state: marker of a fenced epoch");
            return Err(ErrorCode::InvalidProducerEpoch);
        }
        if marker.coordinator_epoch < producer.coordinator_epoch {
            probe!("producer state: marker of a fenced coordinator");
            return Err(ErrorCode::TransactionCoordinatorFenced);
        }
        Ok(())
    }

    /// A marker is in the log now, whoever judged it. What ended, unless the transaction had no records here.
    pub fn append_marker(&mut self, marker: &TxnMarker) -> Option<CompletedTxn> {
        self.verifications.forget(marker.producer_id);
        let producer = self
            .producers
            .entry(marker.producer_id)
            .or_insert_with(|| Producer::new(marker.producer_epoch));
        producer.enter(marker.producer_epoch);
        producer.coordinator_epoch = marker.coordinator_epoch;
        producer.last_timestamp = marker.timestamp;
        let first_offset = producer.txn_first_offset.take()?;
        self.transactions.complete(first_offset, marker.offset);
        Some(CompletedTxn {
            producer_id: marker.producer_id,
            first_offset,
            last_offset: marker.offset,
            committed: marker.committed,
            last_stable_offset: self
                .transactions
                .first_ongoing()
                .unwrap_or(marker.offset + 1),
        })
    }

    /// The high watermark is `high_watermark` now: what ended below it cannot be lost any more.
    pub fn high_watermark_advanced(&mut self, high_watermark: Offset) {
        let unreplicated = &mut self.transactions.unreplicated;
        unreplicated.retain(|_, marker| *marker >= high_watermark);
    }

    /// Where the oldest transaction begins that is open, or whose end may still be lost.
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        let (ongoing, unreplicated) = (
            self.transactions.first_ongoing(),
            self.transactions.first_unreplicated(),
        );
        match (ongoing, unreplicated) {
            (Some(ongoing), Some(unreplicated)) => Some(ongoing.min(unreplicated)),
            (ongoing, unreplicated) => ongoing.or(unreplicated),
        }
    }

    /// What readers of committed data may see below (TXN-5); never below `log_start`.
    pub fn last_stable_offset(&self, log_start: Offset, high_watermark: Offset) -> Offset {
        let unstable = self.first_unstable_offset().unwrap_or(high_watermark);
        unstable.max(log_start).min(high_watermark)
    }

    /// Whether the producer has a transaction open here in this epoch. In a newer one it is another
    /// transaction, of which the coordinator must be asked although the old one has not ended here (T-16).
    pub(super) fn is_ongoing(&self, producer_id: i64, producer_epoch: i16) -> bool {
        let producer = self.producers.get(&producer_id);
        producer.is_some_and(|producer| {
            let same = producer.epoch == producer_epoch || mutant!(T_16);
            producer.txn_first_offset.is_some() && same
        })
    }

    pub(super) fn begin_if_none(&mut self, batch: &ProducerBatch) {
        let Some(producer) = self.producers.get_mut(&batch.producer_id) else {
            return;
        };
        if producer.txn_first_offset.is_none() {
            producer.txn_first_offset = Some(batch.base_offset);
            self.transactions
                .begin(batch.base_offset, batch.producer_id);
        }
    }

    /// A producer with an open transaction writes nothing else.
    pub(super) fn check_transactional(&self, batch: &ProducerBatch) -> Result<(), ErrorCode> {
        let producer = self.producers.get(&batch.producer_id);
        let open = producer.is_some_and(|producer| producer.txn_first_offset.is_some());
        if open && !batch.transactional {
            return Err(ErrorCode::InvalidTxnState);
        }
        Ok(())
    }
}
