//! What a partition knows of the producers that write to it: idempotence (KIP-98, KIP-360).
//!
//! - [`ProducerStates::check`] judges a batch that a client sends: new, appended before, or refused.
//! - [`ProducerStates::append`] is the only writer. Leader, follower and recovery feed it every batch that is
//!   in the log, so that a follower that becomes leader knows what the leader before it knew.
//! - [`ProducerStates::entries`] and [`ProducerStates::restore`] are a snapshot's content. Of each producer it
//!   keeps the last batch only, as Kafka's files do.
//!
//! The state is a function of the log: it is truncated by restoring a snapshot and replaying what is behind
//! it. It outlives the records themselves (KIP-360): only [`ProducerStates::expire`] forgets a producer.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, VecDeque};

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::Offset;

/// Batches of a producer that a retry is recognised by: as many as it may have in flight (KAFKA-5494).
pub const BATCHES_KEPT: usize = 5;

/// A batch with a producer id, as its header says. Offsets are those it has, or would get.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerBatch {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// Sequence of the first record, 0 to 2^31 - 1.
    pub base_sequence: i32,
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// Milliseconds; when the producer was last heard of.
    pub max_timestamp: i64,
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
}

/// All producers of one partition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProducerStates {
    producers: BTreeMap<i64, Producer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Producer {
    epoch: i16,
    /// Of this epoch, oldest first, at most [`BATCHES_KEPT`].
    batches: VecDeque<AppendedBatch>,
    last_timestamp: i64,
}

impl ProducerBatch {
    fn offset_delta(&self) -> i32 {
        i32::try_from(self.last_offset - self.base_offset)
            .expect("a batch's offsets span at most 2^31")
    }

    fn last_sequence(&self) -> i32 {
        add_sequence(self.base_sequence, self.offset_delta())
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
    /// A batch that a client sends to the leader. A producer that is not known may begin with any sequence:
    /// its state may have expired, or its records be deleted (KIP-360).
    pub fn check(&self, batch: &ProducerBatch) -> Verdict {
        let Some(producer) = self.producers.get(&batch.producer_id) else {
            return Verdict::Append;
        };
        if batch.producer_epoch < producer.epoch {
            probe!("producer state: batch of a fenced epoch");
            return Verdict::Refuse(ErrorCode::InvalidProducerEpoch);
        }
        if batch.producer_epoch > producer.epoch {
            return match batch.base_sequence {
                0 => Verdict::Append,
                _ => Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber),
            };
        }
        producer.check_sequence(batch)
    }

    /// A batch is in the log now, whoever judged it: a replica takes what its leader took (T-23).
    pub fn append(&mut self, batch: &ProducerBatch) {
        let producer = self
            .producers
            .entry(batch.producer_id)
            .or_insert_with(|| Producer::new(batch.producer_epoch));
        producer.append(batch);
    }

    /// Forgets who was not heard of for `expiration_ms` (`producer.id.expiration.ms`, KIP-854).
    pub fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        let before = self.producers.len();
        self.producers
            .retain(|_, producer| !is_expired(producer.last_timestamp, now_ms, expiration_ms));
        if self.producers.len() < before {
            probe!("producer state: producer expired");
        }
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
            })
    }

    /// The state as a snapshot has it, without those that are expired by now.
    pub fn restore(
        entries: impl IntoIterator<Item = ProducerEntry>,
        now_ms: i64,
        expiration_ms: i64,
    ) -> ProducerStates {
        let alive = entries
            .into_iter()
            .filter(|entry| !is_expired(entry.last_timestamp, now_ms, expiration_ms));
        let producers = alive.map(|entry| {
            let producer = Producer {
                epoch: entry.producer_epoch,
                batches: entry.last.into_iter().collect(),
                last_timestamp: entry.last_timestamp,
            };
            (entry.producer_id, producer)
        });
        ProducerStates {
            producers: producers.collect(),
        }
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
        }
    }

    fn check_sequence(&self, batch: &ProducerBatch) -> Verdict {
        let same = |kept: &&AppendedBatch| {
            kept.last_sequence == batch.last_sequence()
                && kept.base_sequence() == batch.base_sequence
        };
        if let Some(kept) = self.batches.iter().find(same) {
            probe!("producer state: duplicate recognised");
            return Verdict::Duplicate(*kept);
        }
        let next = self
            .batches
            .back()
            .map_or(0, |last| add_sequence(last.last_sequence, 1));
        if batch.base_sequence == next {
            return Verdict::Append;
        }
        probe!("producer state: out of order");
        Verdict::Refuse(ErrorCode::OutOfOrderSequenceNumber)
    }

    fn append(&mut self, batch: &ProducerBatch) {
        if self.epoch != batch.producer_epoch {
            self.epoch = batch.producer_epoch;
            self.batches.clear();
        }
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
}

fn is_expired(last_timestamp: i64, now_ms: i64, expiration_ms: i64) -> bool {
    now_ms.saturating_sub(last_timestamp) >= expiration_ms
}

/// Sequences go from 0 to 2^31 - 1 and around.
fn add_sequence(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}
