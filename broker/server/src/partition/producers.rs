//! The producers' state beside the log: judged for a leader, fed by every append, reloaded after a truncation.

use std::sync::Arc;

use broker_core::producer_state::{
    AppendedBatch, ProducerBatch, ProducerEntry, ProducerStates, TxnMarker, Verdict,
    VerificationGuard,
};
use broker_core::replica::Acks;
use broker_protocol::ErrorCode;
use broker_protocol::ids::Offset;
use broker_protocol::record::{EndTxnMarker, RecordBatch};
use broker_storage::{AbortedTxn, BatchInfo, Log, LogError, ProducerSnapshotEntry, end_txn_marker};
use bytes::Bytes;

use super::{Inner, Partition, ProduceBatch};

impl Partition {
    /// Whether a leader appends it. Whatever else is refused comes first.
    pub(super) fn judge(&self, inner: &Inner, batch: &ProduceBatch, acks: Acks) -> Verdict {
        let info = batch.info();
        if inner.core.check_append(acks).is_err() {
            return Verdict::Append;
        }
        match batch.marker() {
            Some(marker) => {
                let judged = inner.producers.check_marker(&txn_marker(&info, marker));
                judged.map_or_else(Verdict::Refuse, |()| Verdict::Append)
            }
            None if info.is_produced() => {
                inner.producers.check(&producer_batch(&info), batch.proof())
            }
            None => Verdict::Append,
        }
    }

    /// Before a transactional batch is produced: the coordinator has to be asked, and the guard brought along
    /// (KIP-890). `None` if the transaction is open here. `bumps_epochs`: as of Produce v12.
    pub fn begin_verification(
        &self,
        batch: &ProduceBatch,
        bumps_epochs: bool,
    ) -> Option<VerificationGuard> {
        let now = self.context.env.clock.wall().0;
        let batch = producer_batch(&batch.info());
        let mut inner = self.lock();
        inner
            .producers
            .begin_verification(&batch, bumps_epochs, now)
    }

    /// What is known of the producers, as DescribeProducers tells it.
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER
    pub fn describe_producers(&self) -> Result<Vec<ProducerEntry>, ErrorCode> {
        let inner = self.lock();
        if !inner.core.is_leader() {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        Ok(inner.producers.entries().collect())
    }

    /// Where the oldest transaction begins that readers of committed data wait for, if there is one.
    pub fn first_unstable_offset(&self) -> Option<Offset> {
        self.lock().producers.first_unstable_offset()
    }

    /// Batches are in the log now; segments that began on the way get a snapshot of what was before them.
    pub(super) fn note_producers(
        &self,
        inner: &mut Inner,
        bytes: &Bytes,
        batches: &[BatchInfo],
        rolled: &[Offset],
    ) -> Result<(), LogError> {
        let mut rolled = rolled.iter().copied().peekable();
        for (info, marker) in with_markers(bytes, batches) {
            while let Some(offset) = rolled.next_if(|offset| *offset <= info.base_offset) {
                inner.snapshot_producers(offset)?;
            }
            if let Some(aborted) = note(&mut inner.producers, info, marker) {
                inner.log().append_aborted(aborted)?;
            }
        }
        Ok(())
    }

    /// The log was cut: its producers are those of what is left. Without any before there are none after.
    pub(super) fn reload_producers(&self, inner: &mut Inner) -> Result<(), LogError> {
        if inner.producers.is_empty() {
            return Ok(());
        }
        let limit = self.context.producer_id_expiration_ms;
        let now = self.context.env.clock.wall().0;
        let high_watermark = inner.core.high_watermark();
        let reloaded = load_producers(&mut inner.log(), high_watermark, now, limit)?;
        inner.producers.replace(reloaded);
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

/// Each of the batches in `bytes`, and how it ends a transaction, if it does.
pub(super) fn with_markers<'a>(
    bytes: &'a Bytes,
    batches: &'a [BatchInfo],
) -> impl Iterator<Item = (&'a BatchInfo, Option<EndTxnMarker>)> {
    let mut at = 0;
    batches.iter().map(move |info| {
        let start = at;
        at += usize::try_from(info.size).expect("32 bits");
        let marker = info.is_control().then(|| {
            let batch = RecordBatch::new(bytes.slice(start..at)).ok()?;
            end_txn_marker(&batch)
        });
        (info, marker.flatten())
    })
}

/// What a snapshot says and the log has behind it. Tells the log what was aborted, as far as it does not know.
pub(super) fn load_producers(
    log: &mut Log,
    high_watermark: Offset,
    now_ms: i64,
    expiration_ms: i64,
) -> Result<ProducerStates, LogError> {
    let high_watermark = high_watermark.min(log.log_end());
    let limit = replay_limit(log, high_watermark)?;
    let (from, entries) = log.read_producer_snapshot(limit)?.unwrap_or_default();
    let entries = entries.into_iter().map(core_entry);
    let mut producers = ProducerStates::restore(entries, now_ms, expiration_ms);
    let from = from.max(log.log_start());
    let mut aborted = Vec::new();
    log.for_each_batch_from(from, |info, marker| {
        aborted.extend(note(&mut producers, info, marker));
    })?;
    for txn in aborted {
        log.append_aborted(txn)?;
    }
    log.aborted_told();
    producers.expire(now_ms, expiration_ms);
    producers.high_watermark_advanced(high_watermark);
    Ok(producers)
}

/// A snapshot above this does not tell all that is needed: which transactions were aborted where the log does not
/// know it, and which ended where the end may still be lost.
fn replay_limit(log: &Log, high_watermark: Offset) -> Result<Offset, LogError> {
    let mut ends_above = false;
    log.for_each_batch_from(high_watermark, |info, marker| {
        ends_above |= marker.is_some() && info.base_offset >= high_watermark;
    })?;
    let known_to = log.aborted_known_to();
    Ok(if ends_above {
        known_to.min(high_watermark)
    } else {
        known_to
    })
}

/// A batch of the log, whoever judged it. The transaction that it aborts, if it does.
fn note(
    producers: &mut ProducerStates,
    info: &BatchInfo,
    marker: Option<EndTxnMarker>,
) -> Option<AbortedTxn> {
    let Some(marker) = marker else {
        if info.is_produced() {
            producers.append(&producer_batch(info));
        }
        return None;
    };
    let completed = producers.append_marker(&txn_marker(info, marker))?;
    (!completed.committed).then_some(AbortedTxn {
        producer_id: completed.producer_id,
        first_offset: completed.first_offset,
        last_offset: completed.last_offset,
        last_stable_offset: completed.last_stable_offset,
    })
}

fn producer_batch(batch: &BatchInfo) -> ProducerBatch {
    ProducerBatch {
        producer_id: batch.producer_id,
        producer_epoch: batch.producer_epoch,
        base_sequence: batch.base_sequence,
        base_offset: batch.base_offset,
        last_offset: batch.last_offset,
        max_timestamp: batch.max_timestamp,
        transactional: batch.is_transactional(),
    }
}

fn txn_marker(batch: &BatchInfo, marker: EndTxnMarker) -> TxnMarker {
    TxnMarker {
        producer_id: batch.producer_id,
        producer_epoch: batch.producer_epoch,
        coordinator_epoch: marker.coordinator_epoch,
        committed: marker.committed,
        offset: batch.base_offset,
        timestamp: batch.max_timestamp,
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
        coordinator_epoch: entry.coordinator_epoch,
        current_txn_first_offset: entry.txn_first_offset.unwrap_or(-1),
    }
}

fn core_entry(entry: ProducerSnapshotEntry) -> ProducerEntry {
    let last = (entry.last_offset >= 0).then_some(AppendedBatch {
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
        coordinator_epoch: entry.coordinator_epoch,
        txn_first_offset: (entry.current_txn_first_offset >= 0)
            .then_some(entry.current_txn_first_offset),
    }
}
