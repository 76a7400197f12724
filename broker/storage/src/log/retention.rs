//! Moving the start of a log, and removing segments below it.

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_env::{BoxFuture, Disk, DiskError, DiskErrorKind};
use broker_probe::{mutant, probe};
use broker_protocol::ids::Offset;

use super::Log;
use crate::checkpoint::with_suffix;
use crate::error::LogError;
use crate::health::DirectoryHealth;
use crate::names;
use crate::segment::Segment;

/// Makes the removal of one segment durable; run it without the log's lock.
#[must_use = "the removal is not durable until the job was run"]
pub struct RemovalJob {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    health: DirectoryHealth,
    deleted: Arc<AtomicBool>,
    renamed: Vec<PathBuf>,
    /// Goes after the others: without it what comes back of them would look committed.
    aborted: Option<PathBuf>,
    /// While this lives the log removes no other segment.
    _pending: Arc<()>,
}

impl Log {
    /// Moves the log start up to `offset` (DeleteRecords, a follower's leader, a snapshot); not above the log
    /// end. Whether it moved. The bound by the high watermark is the caller's.
    pub fn advance_log_start(&mut self, offset: Offset) -> Result<bool, LogError> {
        self.check_usable()?;
        if offset > self.log_end {
            let (log_start, log_end) = (self.log_start, self.log_end);
            return Err(LogError::OutOfRange {
                offset,
                log_start,
                log_end,
            });
        }
        if offset <= self.log_start {
            return Ok(false);
        }
        self.log_start = offset;
        if self.epochs.truncate_start(offset) {
            self.versions.epochs_changed();
        }
        self.check_invariants();
        Ok(true)
    }

    /// Applies `retention.ms` and `retention.bytes` up to `high_watermark`, then removes the oldest segment if
    /// it is entirely below the log start. `None` if there is none; otherwise run the job and call again.
    ///
    /// One at a time: after power loss any subset of removals may be undone, and a hole in the log would be
    /// taken for its end.
    pub fn remove_old_segment(
        &mut self,
        now_ms: i64,
        high_watermark: Offset,
    ) -> Result<Option<RemovalJob>, LogError> {
        self.check_usable()?;
        // Nor while segments are being cleaned (P-10).
        if Arc::strong_count(&self.removal_pending) > 1 && !mutant!(P_10) {
            return Ok(None);
        }
        self.apply_retention(now_ms, high_watermark)?;
        let removed = self.remove_first_segment();
        self.watch(removed)
    }

    fn apply_retention(&mut self, now_ms: i64, high_watermark: Offset) -> Result<(), LogError> {
        if !self.config.cleanup_delete {
            return Ok(());
        }
        // Records above the high watermark may still be replaced; their age says nothing (P-07).
        let bound = if mutant!(P_07) {
            self.log_end
        } else {
            high_watermark.min(self.log_end)
        };
        let Some(new_start) = self.retention_start(now_ms, bound) else {
            return Ok(());
        };
        if new_start == self.log_end && !self.active().is_empty() {
            let rolled = self.roll_at(self.log_end, now_ms).map_err(LogError::from);
            self.watch(rolled)?;
        }
        self.advance_log_start(new_start).map(drop)
    }

    /// Where the log would start once all expired segments are gone.
    fn retention_start(&self, now_ms: i64, bound: Offset) -> Option<Offset> {
        let mut excess = match u64::try_from(self.config.retention_bytes) {
            Ok(limit) => self.size_bytes().saturating_sub(limit),
            Err(_) => 0,
        };
        let mut new_start = None;
        for segment in self.segments.values() {
            let end = segment.next_offset();
            let too_big = excess > 0 && excess >= u64::from(segment.size());
            let expired = self.is_expired(segment, now_ms);
            if segment.is_empty() || end > bound || !(too_big || expired) {
                break;
            }
            excess = excess.saturating_sub(u64::from(segment.size()));
            new_start = Some(end);
        }
        new_start.filter(|start| *start > self.log_start)
    }

    fn is_expired(&self, segment: &Segment, now_ms: i64) -> bool {
        let limit = self.config.retention_ms;
        let newest = segment
            .newest()
            .map_or(segment.created_ms(), |(timestamp, _)| timestamp);
        limit >= 0 && now_ms.saturating_sub(newest) > limit
    }

    fn remove_first_segment(&mut self) -> Result<Option<RemovalJob>, LogError> {
        let mut bases = self.segments.keys();
        let (Some(&first), Some(&second)) = (bases.next(), bases.next()) else {
            return Ok(None);
        };
        if second > self.log_start || self.producers_are_volatile(second) {
            return Ok(None);
        }
        probe!("storage: old segment removed");
        let segment = self.segments.remove(&first).expect("just listed");
        let mut renamed = Vec::new();
        for path in segment.paths() {
            let target = with_suffix(&path, names::DELETED);
            self.disk.rename(&path, &target)?;
            renamed.push(target);
        }
        self.remove_old_snapshots(second)?;
        self.versions.names_changed();
        Ok(Some(RemovalJob {
            disk: self.disk.clone(),
            directory: self.directory.clone(),
            health: self.health.clone(),
            deleted: self.deleted.clone(),
            renamed,
            aborted: segment.aborted_file(),
            _pending: self.removal_pending.clone(),
        }))
    }
}

impl RemovalJob {
    /// Syncs the renames, then removes the files. On an error the log directory is offline.
    pub fn run(self) -> BoxFuture<'static, Result<(), DiskError>> {
        Box::pin(async move {
            match self.remove().await {
                Err(_) if self.deleted.load(Ordering::Relaxed) => Ok(()),
                result => self.health.watch(result),
            }
        })
    }

    async fn remove(&self) -> Result<(), DiskError> {
        self.disk.sync_directory(&self.directory).await?;
        for path in self.renamed.iter().chain(&self.aborted) {
            match self.disk.remove(path) {
                Err(error) if error.kind != DiskErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
        Ok(())
    }
}
