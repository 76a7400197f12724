//! The producers' state beside the log: judged for a leader, fed by every append, reloaded after a truncation.

use std::sync::Arc;

use broker_core::producer_state::{
    AppendedBatch, ProducerBatch, ProducerEntry, ProducerStates, Verdict,
};
use broker_core::replica::Acks;
use broker_protocol::ids::Offset;
use broker_storage::{BatchInfo, Log, LogError, ProducerSnapshotEntry};

use super::{Inner, Partition};

impl Partition {
    /// Whether a leader appends it. Whatever else is refused comes first.
    pub(super) fn judge(&self, inner: &Inner, batch: &BatchInfo, acks: Acks) -> Verdict {
        if !batch.is_sequenced() || inner.core.check_append(acks).is_err() {
            return Verdict::Append;
        }
        inner.producers.check(&producer_batch(batch))
    }

    /// Batches are in the log now; segments that began on the way get a snapshot of what was before them.
    pub(super) fn note_producers(
        &self,
        inner: &mut Inner,
        batches: &[BatchInfo],
        rolled: &[Offset],
    ) -> Result<(), LogError> {
        let mut rolled = rolled.iter().copied().peekable();
        for batch in batches {
            while let Some(offset) = rolled.next_if(|offset| *offset <= batch.base_offset) {
                inner.snapshot_producers(offset)?;
            }
            if batch.is_sequenced() {
                inner.producers.append(&producer_batch(batch));
            }
        }
        Ok(())
    }

    /// The log was cut: its producers are those of what is left. Without any before there are none after.
    pub(super) fn reload_producers(&self, inner: &mut Inner) -> Result<(), LogError> {
        if inner.producers.is_empty() {
            return Ok(());
        }
        let (now, limit) = (
            self.context.env.clock.wall().0,
            self.context.producer_id_expiration_ms,
        );
        let producers = load_producers(&mut inner.log(), now, limit)?;
        inner.producers = producers;
        Ok(())
    }

    /// For a clean stop: nothing is appended any more, and the next start need not read the log.
    pub fn close_producers(self: &Arc<Self>) {
        let mut inner = self.lock();
        let end = inner.log().log_end();
        match inner.snapshot_producers(end) {
            Ok(()) | Err(LogError::Deleted | LogError::Offline(_)) => {}
            Err(error) => self.fail(&mut inner, &error),
        }
    }

    /// Forgets producers that were silent for `producer.id.expiration.ms`.
    pub fn expire_producers(&self) {
        let now = self.context.env.clock.wall().0;
        let limit = self.context.producer_id_expiration_ms;
        self.lock().producers.expire(now, limit);
    }

    /// How many producers are remembered here.
    pub fn producer_count(&self) -> usize {
        self.lock().producers.len()
    }
}

impl Inner {
    /// What the log below `offset` says of its producers, which is what is known now.
    pub(super) fn snapshot_producers(&mut self, offset: Offset) -> Result<(), LogError> {
        let entries: Vec<ProducerSnapshotEntry> =
            self.producers.entries().map(snapshot_entry).collect();
        self.log().write_producer_snapshot(offset, &entries)
    }
}

/// The newest snapshot and what the log has behind it.
pub(super) fn load_producers(
    log: &mut Log,
    now_ms: i64,
    expiration_ms: i64,
) -> Result<ProducerStates, LogError> {
    let (from, entries) = log.read_producer_snapshot()?.unwrap_or_default();
    let entries = entries.into_iter().map(core_entry);
    let mut producers = ProducerStates::restore(entries, now_ms, expiration_ms);
    let from = from.max(log.log_start());
    log.for_each_batch_from(from, |batch| {
        if batch.is_sequenced() {
            producers.append(&producer_batch(batch));
        }
    })?;
    producers.expire(now_ms, expiration_ms);
    Ok(producers)
}

fn producer_batch(batch: &BatchInfo) -> ProducerBatch {
    ProducerBatch {
        producer_id: batch.producer_id,
        producer_epoch: batch.producer_epoch,
        base_sequence: batch.base_sequence,
        base_offset: batch.base_offset,
        last_offset: batch.last_offset,
        max_timestamp: batch.max_timestamp,
    }
}

fn snapshot_entry(entry: ProducerEntry) -> ProducerSnapshotEntry {
    let last = entry.last;
    ProducerSnapshotEntry {
        producer_id: entry.producer_id,
        producer_epoch: entry.producer_epoch,
        last_sequence: last.map_or(-1, |last| last.last_sequence),
        last_offset: last.map_or(-1, |last| last.last_offset),
        offset_delta: last.map_or(0, |last| last.offset_delta),
        timestamp: entry.last_timestamp,
        coordinator_epoch: -1,
        current_txn_first_offset: -1,
    }
}

fn core_entry(entry: ProducerSnapshotEntry) -> ProducerEntry {
    let last = (entry.last_sequence >= 0).then_some(AppendedBatch {
        last_sequence: entry.last_sequence,
        last_offset: entry.last_offset,
        offset_delta: entry.offset_delta,
        timestamp: entry.timestamp,
    });
    ProducerEntry {
        producer_id: entry.producer_id,
        producer_epoch: entry.producer_epoch,
        last,
        last_timestamp: entry.timestamp,
    }
}
