//! Appending batches whose offsets are assigned, and rolling segments.

use broker_env::DiskError;
use broker_protocol::ids::Offset;
use bytes::Bytes;

use super::Log;
use crate::batch::BatchInfo;
use crate::error::LogError;
use crate::segment::Segment;

/// Where an append landed.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Appended {
    pub base_offset: Offset,
    pub last_offset: Offset,
    /// Where segments began on the way: there the producers' state is to be snapshot.
    pub rolled: Vec<Offset>,
}

impl Log {
    /// Appends whole batches, all or, after a disk error, an unknown prefix; then the log takes no more.
    ///
    /// `batches` describe `bytes` in order. Offsets must be at or above the log end and ascend, leader epochs
    /// must not decrease; content is the caller's to validate. `now_ms` is wall time, for `segment.ms`.
    pub fn append(
        &mut self,
        bytes: &Bytes,
        batches: &[BatchInfo],
        now_ms: i64,
    ) -> Result<Appended, LogError> {
        self.check_usable()?;
        if self.versions.truncation_pending() {
            return Err(LogError::TruncationPending);
        }
        self.check_sequence(bytes, batches)?;
        let (Some(first), Some(last)) = (batches.first(), batches.last()) else {
            return Ok(Appended {
                base_offset: self.log_end,
                last_offset: self.log_end - 1,
                rolled: Vec::new(),
            });
        };
        let appended = self.append_runs(bytes, batches, now_ms);
        let rolled = self.watch(appended.map_err(LogError::from))?;
        self.tail.push(bytes, batches);
        self.unflushed_since_ms.get_or_insert(now_ms);
        self.check_invariants();
        Ok(Appended {
            base_offset: first.base_offset,
            last_offset: last.last_offset,
            rolled,
        })
    }

    fn check_sequence(&self, bytes: &Bytes, batches: &[BatchInfo]) -> Result<(), LogError> {
        let described: usize = batches
            .iter()
            .map(|batch| usize::try_from(batch.size).expect("32 bits"))
            .sum();
        assert_eq!(
            described,
            bytes.len(),
            "{}: batch sizes do not add up to the bytes",
            self.partition
        );
        let mut log_end = self.log_end;
        let mut latest = self.epochs.latest();
        for batch in batches {
            let BatchInfo {
                base_offset,
                last_offset,
                leader_epoch: epoch,
                ..
            } = *batch;
            if base_offset < log_end || last_offset < base_offset || last_offset == i64::MAX {
                return Err(LogError::OutOfOrder {
                    base_offset,
                    last_offset,
                    log_end,
                });
            }
            if let Some(latest) = latest.filter(|latest| epoch.0 >= 0 && epoch < *latest) {
                return Err(LogError::EpochRegressed {
                    epoch,
                    latest,
                    base_offset,
                });
            }
            log_end = batch.next_offset();
            latest = latest.max(Some(epoch));
        }
        Ok(())
    }

    /// One write per segment touched. Where segments began.
    fn append_runs(
        &mut self,
        bytes: &Bytes,
        batches: &[BatchInfo],
        now_ms: i64,
    ) -> Result<Vec<Offset>, DiskError> {
        let (mut rolled, mut start, mut from) = (Vec::new(), 0, 0);
        while from < batches.len() {
            if self.must_roll(&batches[from], 0, now_ms) {
                self.roll(batches[from].base_offset, now_ms)?;
                rolled.push(self.active().base_offset);
            }
            let (to, end) = self.run_end(batches, from, start, now_ms);
            self.append_run(&bytes[start..end], &batches[from..to])?;
            (from, start) = (to, end);
        }
        Ok(rolled)
    }

    /// The batches from `from` on that go into the active segment, and where their bytes end.
    fn run_end(
        &self,
        batches: &[BatchInfo],
        from: usize,
        start: usize,
        now_ms: i64,
    ) -> (usize, usize) {
        let (mut to, mut pending_bytes) = (from, 0_u32);
        while let Some(batch) = batches.get(to) {
            if to > from && self.must_roll(batch, pending_bytes, now_ms) {
                break;
            }
            pending_bytes += batch.size;
            to += 1;
        }
        (to, start + usize::try_from(pending_bytes).expect("32 bits"))
    }

    fn append_run(&mut self, bytes: &[u8], batches: &[BatchInfo]) -> Result<(), DiskError> {
        let interval = self.config.index_interval_bytes;
        let result = self.active_mut().append(bytes, batches, interval);
        // Also after an error: what is in the segment is in the log (L-08).
        if self.active().next_offset() > self.log_end {
            self.log_end = self.active().next_offset();
            for batch in batches {
                if self.epochs.latest() < Some(batch.leader_epoch)
                    && self.epochs.assign(batch.leader_epoch, batch.base_offset)
                {
                    self.versions.epochs_changed();
                }
            }
        }
        result
    }

    /// Kafka's rules; `pending_bytes` will be in the segment before the batch.
    fn must_roll(&self, batch: &BatchInfo, pending_bytes: u32, now_ms: i64) -> bool {
        let segment = self.active();
        let used = segment.size() + pending_bytes;
        if !segment.can_hold(batch.last_offset) {
            return segment.base_offset < batch.base_offset;
        }
        if used == 0 {
            return false;
        }
        let limit = self.config.segment_bytes.min(u32::MAX / 2);
        let over_size = batch.size > limit.saturating_sub(used);
        let over_time = pending_bytes == 0
            && segment.waited_ms(now_ms, batch.max_timestamp) > self.config.segment_ms;
        over_size || over_time || segment.is_index_full(self.config.segment_index_bytes)
    }

    /// Seals the active segment and starts one at the log end, or at `base_offset` if the log end is too far
    /// from it for relative offsets.
    fn roll(&mut self, base_offset: Offset, now_ms: i64) -> Result<(), DiskError> {
        let near = base_offset - self.log_end < i64::from(i32::MAX / 2);
        self.roll_at(if near { self.log_end } else { base_offset }, now_ms)
    }

    pub(super) fn roll_at(&mut self, base_offset: Offset, now_ms: i64) -> Result<(), DiskError> {
        let active = self.active_mut();
        if active.base_offset == base_offset {
            // An empty segment is already the one wanted; a second of that name would destroy it (L-16).
            assert!(
                active.is_empty(),
                "roll onto segment {base_offset}, which holds {} bytes",
                active.size()
            );
            return Ok(());
        }
        active.seal()?;
        let segment = Segment::create(&self.disk, &self.directory, base_offset, now_ms)?;
        self.segments.insert(base_offset, segment);
        self.versions.names_changed();
        Ok(())
    }
}
