//! What a partition knows of the producers that write to it: idempotence (KIP-98, KIP-360) and transactions
//! (KIP-98, KIP-890).
//!
//! - [`ProducerStates::check`] judges a batch that a client or a coordinator writes: new, appended before, or
//!   refused. [`ProducerStates::check_marker`] judges the end of a transaction.
//! - [`ProducerStates::append`] and [`ProducerStates::append_marker`] are the only writers. Leader, follower and
//!   recovery feed them every batch that is in the log, so that a follower that becomes leader knows what the
//!   leader before it knew.
//! - [`ProducerStates::entries`] and [`ProducerStates::restore`] are a snapshot's content. Of each producer it
//!   keeps the last batch only, as Kafka's files do.
//! - `transactions`: which are open, which completed, the last stable offset. `verification`: whether the
//!   coordinator knows of a transaction before its first batch is here. [`invariants`]: TXN-2, 3, 5.
//!
//! The state is a function of the log: it is truncated by restoring a snapshot and replaying what is behind
//! it. It outlives the records themselves (KIP-360): only [`ProducerStates::expire`] forgets a producer.

pub mod invariants;
#[cfg(test)]
mod tests;
mod transactions;
mod verification;

use std::collections::{BTreeMap, VecDeque};

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::Offset;

use transactions::Transactions;
pub use transactions::{CompletedTxn, TxnMarker};
use verification::Verifications;
pub use verification::{Proof, VerificationGuard};

/// Batches of a producer that a retry is recognised by: as many as it may have in flight (KAFKA-5494).
pub const BATCHES_KEPT: usize = 5;

/// Sequence of a batch whose records are not counted: a coordinator writes it for a producer.
const NO_SEQUENCE: i32 = -1;

/// A batch of data with a producer id, as its header says. Offsets are those it has, or would get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerBatch {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Sequence of the first record, 0 to 2^31 - 1; -1 if a coordinator writes for the producer.
    pub base_sequence: i32,
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// Milliseconds; when the producer was last heard of.
    pub max_timestamp: i64,
    pub transactional: bool,
}

/// A batch in the log, as far as a retry of it is recognised.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AppendedBatch {
    pub last_sequence: i32,
    pub last_offset: Offset,
    /// Records but one.
    pub offset_delta: i32,
    pub timestamp: i64,
}

/// What a leader does with a produced batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Verdict {
    Append,
    /// It is in the log already: the answer names the place it has.
    Duplicate(AppendedBatch),
    Refuse(ErrorCode),
}

/// A producer in a snapshot; `last` is `None` if it has appended nothing in its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerEntry {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub last: Option<AppendedBatch>,
    pub last_timestamp: i64,
    /// Of the last marker; -1 none.
    pub coordinator_epoch: i32,
    /// Where the open transaction began.
    pub txn_first_offset: Option<Offset>,
}

/// All producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProducerStates {
    producers: BTreeMap<i64, Producer>,
    transactions: Transactions,
    verifications: Verifications,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Producer {
    epoch: i16,
    /// Of this epoch, oldest first, at most [`BATCHES_KEPT`].
    batches: VecDeque<AppendedBatch>,
    last_timestamp: i64,
    coordinator_epoch: i32,
    txn_first_offset: Option<Offset>,
}

impl ProducerBatch {
    fn offset_delta(&self) -> i32 {
        i32::try_from(self.last_offset - self.base_offset)
            .expect("a batch's offsets span at most 2^31")
    }

    fn last_sequence(&self) -> i32 {
        match self.base_sequence {
            NO_SEQUENCE => NO_SEQUENCE,
            base => add_sequence(base, self.offset_delta()),
        }
    }

    fn is_counted(&self) -> bool {
        self.base_sequence != NO_SEQUENCE
    }
}

impl AppendedBatch {
    pub fn base_offset(&self) -> Offset {
        self.last_offset - i64::from(self.offset_delta)
    }

    /// Sequence of the first record.
    pub fn base_sequence(&self) -> i32 {
        self.last_sequence.wrapping_sub(self.offset_delta) & i32::MAX
    }
}

impl ProducerStates {
    /// A batch that a client or a coordinator sends to the leader. `proof` is what says that the coordinator
    /// knows of the transaction. A producer that is not known may begin with any sequence: its state may have
    /// expired, or its records be deleted (KIP-360).
    pub fn check(&self, batch: &ProducerBatch, proof: Proof) -> Verdict {
        let producer = self.producers.get(&batch.producer_id);
        if producer.is_some_and(|producer| batch.producer_epoch < producer.epoch) {
            probe!("producer state: batch of a fenced epoch");
            return Verdict::Refuse(ErrorCode::InvalidProducerEpoch);
        }
        if let Some(kept) = producer.and_then(|producer| producer.duplicate_of(batch)) {
            probe!("producer state: duplicate recognised");
            return Verdict::Duplicate(kept);
        }
        let judged = self
            .check_proof(batch, proof)
            .and_then(|()| self.check_sequence(producer, batch))
            .and_then(|()| self.check_transactional(batch));
        judged.map_or_else(Verdict::Refuse, |()| Verdict::Append)
    }

    fn check_sequence(
        &self,
        producer: Option<&Producer>,
        batch: &ProducerBatch,
    ) -> Result<(), ErrorCode> {
        if !batch.is_counted() {
            return Ok(());
        }
        self.check_against_verification(producer, batch)?;
        let follows = match producer {
            None => true,
            Some(producer) if batch.producer_epoch > producer.epoch => batch.base_sequence == 0,
            Some(producer) => batch.base_sequence == producer.next_sequence(),
        };
        if follows {
            return Ok(());
        }
        probe!("producer state: out of order");
        Err(ErrorCode::OutOfOrderSequenceNumber)
    }

    /// A batch is in the log now, whoever judged it: a replica takes what its leader took (T-23).
    pub fn append(&mut self, batch: &ProducerBatch) {
        let producer = self
            .producers
            .entry(batch.producer_id)
            .or_insert_with(|| Producer::new(batch.producer_epoch));
        producer.append(batch);
        if batch.transactional {
            self.verifications.forget(batch.producer_id);
            self.begin_if_none(batch);
        }
    }

    /// Forgets who was not heard of for `expiration_ms` (`producer.id.expiration.ms`, KIP-854) and has no open
    /// transaction.
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        let before = self.producers.len();
        self.producers.retain(|_, producer| {
            producer.txn_first_offset.is_some()
                || !is_expired(producer.last_timestamp, now_ms, expiration_ms)
        });
        if self.producers.len() < before {
            probe!("producer state: producer expired");
        }
        self.verifications.expire(now_ms, expiration_ms);
    }

    /// The log starts at `log_start` now. Kafka forgot the producers of deleted records until KIP-360.
    pub fn log_start_advanced(&mut self, log_start: Offset) {
        if mutant!(T_22) {
            self.producers.retain(|_, producer| {
                let last = producer.batches.back();
                last.is_some_and(|last| last.last_offset >= log_start)
            });
        }
    }

    /// A snapshot's content, by producer id.
    pub fn entries(&self) -> impl Iterator<Item = ProducerEntry> {
        self.producers
            .iter()
            .map(|(&producer_id, producer)| ProducerEntry {
                producer_id,
                producer_epoch: producer.epoch,
                last: producer.batches.back().copied(),
                last_timestamp: producer.last_timestamp,
                coordinator_epoch: producer.coordinator_epoch,
                txn_first_offset: producer.txn_first_offset,
            })
    }

    /// The state as a snapshot has it, without those that are expired by now. It does not tell which completed
    /// transactions the high watermark has not passed: replay from a snapshot below it.
    pub fn restore(
        entries: impl IntoIterator<Item = ProducerEntry>,
        now_ms: i64,
        expiration_ms: i64,
    ) -> ProducerStates {
        let mut states = ProducerStates::default();
        for entry in entries {
            if let Some(first) = entry.txn_first_offset {
                states.transactions.begin(first, entry.producer_id);
            }
            let producer = Producer {
                epoch: entry.producer_epoch,
                batches: entry.last.into_iter().collect(),
                last_timestamp: entry.last_timestamp,
                coordinator_epoch: entry.coordinator_epoch,
                txn_first_offset: entry.txn_first_offset,
            };
            states.producers.insert(entry.producer_id, producer);
        }
        states.expire(now_ms, expiration_ms);
        states
    }

    /// After the log was cut: `reloaded` is what it says now. What waits for its coordinator goes on waiting.
    pub fn replace(&mut self, reloaded: ProducerStates) {
        self.producers = reloaded.producers;
        self.transactions = reloaded.transactions;
    }

    pub fn is_empty(&self) -> bool {
        self.producers.is_empty()
    }

    pub fn len(&self) -> usize {
        self.producers.len()
    }
}

impl Producer {
    fn new(epoch: i16) -> Producer {
        Producer {
            epoch,
            batches: VecDeque::with_capacity(BATCHES_KEPT),
            last_timestamp: -1,
            coordinator_epoch: -1,
            txn_first_offset: None,
        }
    }

    fn duplicate_of(&self, batch: &ProducerBatch) -> Option<AppendedBatch> {
        let same = |kept: &&AppendedBatch| {
            kept.last_sequence == batch.last_sequence()
                && kept.base_sequence() == batch.base_sequence
        };
        let comparable = batch.is_counted() && batch.producer_epoch == self.epoch;
        self.batches
            .iter()
            .find(same)
            .filter(|_| comparable)
            .copied()
    }

    fn next_sequence(&self) -> i32 {
        let last = self.batches.back();
        last.map_or(0, |last| add_sequence(last.last_sequence, 1))
    }

    fn append(&mut self, batch: &ProducerBatch) {
        self.enter(batch.producer_epoch);
        let kept = if mutant!(T_20) { 1 } else { BATCHES_KEPT };
        while self.batches.len() >= kept {
            self.batches.pop_front();
        }
        self.batches.push_back(AppendedBatch {
            last_sequence: batch.last_sequence(),
            last_offset: batch.last_offset,
            offset_delta: batch.offset_delta(),
            timestamp: batch.max_timestamp,
        });
        self.last_timestamp = batch.max_timestamp;
    }

    /// Sequences begin anew with an epoch.
    fn enter(&mut self, epoch: i16) {
        if self.epoch != epoch {
            self.epoch = epoch;
            self.batches.clear();
        }
    }
}

fn is_expired(last_timestamp: i64, now_ms: i64, expiration_ms: i64) -> bool {
    now_ms.saturating_sub(last_timestamp) >= expiration_ms
}

/// Sequences go from 0 to 2^31 - 1 and around.
fn add_sequence(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}
