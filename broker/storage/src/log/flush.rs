//! Making a log durable without holding its lock: plan, run, hand back.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_env::{BoxFuture, Disk, DiskError, DiskErrorKind, File, OpenMode};
use broker_probe::{mutant, probe};
use broker_protocol::ids::Offset;

use super::Log;
use crate::checkpoint::{OffsetCheckpoint, encode_epochs, replace_file};
use crate::error::LogError;
use crate::health::DirectoryHealth;
use crate::segment::{PendingCut, SyncMark};
use crate::txn_index::Doomed;

/// What of a log changed since it was last durable, apart from the segments' content.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Versions {
    /// Truncations so far; a flush that began before one says nothing about the log after it (L-20).
    generation: u64,
    /// The last truncation whose flush was finished.
    durable_generation: u64,
    names: SyncMark,
    epochs: SyncMark,
}

impl Versions {
    pub(super) fn truncation_pending(&self) -> bool {
        self.durable_generation < self.generation
    }

    /// Truncations so far.
    pub(super) fn generation(&self) -> u64 {
        self.generation
    }

    pub(super) fn truncated(&mut self) {
        self.generation += 1;
        self.names.changes += 1;
    }

    /// Files were created, renamed or removed.
    pub(super) fn names_changed(&mut self) {
        self.names.changes += 1;
    }

    pub(super) fn epochs_changed(&mut self) {
        self.epochs.changes += 1;
    }
}

/// `leader-epoch-checkpoint`; flushes that overlap must not replace a newer content by an older one.
pub(super) struct EpochFile {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    written: tokio::sync::Mutex<u64>,
}

impl EpochFile {
    pub(super) fn new(disk: Arc<dyn Disk>, path: PathBuf) -> EpochFile {
        EpochFile {
            disk,
            path,
            written: tokio::sync::Mutex::new(0),
        }
    }

    async fn write(&self, version: u64, content: &[u8]) -> Result<(), DiskError> {
        let mut written = self.written.lock().await;
        if *written >= version {
            return Ok(());
        }
        // Without the sync an OS crash leaves an empty or torn file under the right name (L-05).
        if mutant!(L_05) {
            let file = self.disk.open(&self.path, OpenMode::Truncate)?;
            file.write_at(content, 0)?;
            *written = version;
            return Ok(());
        }
        replace_file(self.disk.as_ref(), &self.path, content).await?;
        *written = version;
        Ok(())
    }
}

/// Which changes of a segment's files a job covers.
#[derive(Clone, Copy, Debug)]
struct SegmentMarks {
    base_offset: Offset,
    log_changes: Option<u64>,
    index_changes: Option<u64>,
}

/// Everything a flush needs, taken from the log; run it without the log's lock.
#[must_use = "nothing is durable until the job was run and finished"]
pub struct FlushJob {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    health: DirectoryHealth,
    deleted: Arc<AtomicBool>,
    cuts: Vec<PendingCut>,
    doomed: Vec<Doomed>,
    files: Vec<Arc<dyn File>>,
    indexes: Vec<PathBuf>,
    sync_names: bool,
    epochs: Option<(Arc<EpochFile>, Vec<u8>)>,
    recovery_points: Option<OffsetCheckpoint>,
    done: FlushDone,
}

/// A flush that succeeded; give it to [`Log::finish_flush`].
#[must_use = "the log does not know of the flush until it is finished"]
#[derive(Clone, Debug)]
pub struct FlushDone {
    end: Offset,
    since_ms: Option<i64>,
    versions: Versions,
    segments: Vec<SegmentMarks>,
    producer_snapshots: Vec<Offset>,
    aborted_known_to: Offset,
}

impl FlushDone {
    /// Everything below was in the log when the flush began.
    pub fn end(&self) -> Offset {
        self.end
    }
}

impl Log {
    /// What is not durable yet, or `None`. Several jobs may run at the same time.
    pub fn start_flush(&self) -> Option<FlushJob> {
        self.plan_flush(false)
    }

    /// Completes and writes the active segment's indexes, for a clean shutdown; no append may follow.
    pub fn start_closing_flush(&mut self) -> Result<Option<FlushJob>, LogError> {
        self.check_usable()?;
        let sealed = self.active_mut().seal().map_err(LogError::from);
        self.watch(sealed)?;
        Ok(self.plan_flush(true))
    }

    /// Takes over what a job made durable: moves the recovery point, unless the log was truncated since the
    /// job was taken.
    pub fn finish_flush(&mut self, done: FlushDone) {
        if self.deleted.load(Ordering::Relaxed) {
            return;
        }
        if done.versions.generation != self.versions.generation && !mutant!(L_20) {
            probe!("storage: flush overtaken by a truncation");
            return;
        }
        self.versions.durable_generation = self
            .versions
            .durable_generation
            .max(done.versions.generation);
        self.versions.names.durable = self.versions.names.durable.max(done.versions.names.changes);
        self.versions.epochs.durable = self
            .versions
            .epochs
            .durable
            .max(done.versions.epochs.changes);
        for marks in &done.segments {
            let Some(segment) = self.segments.get_mut(&marks.base_offset) else {
                continue;
            };
            marks
                .log_changes
                .into_iter()
                .for_each(|changes| segment.log_synced(changes));
            marks
                .index_changes
                .into_iter()
                .for_each(|changes| segment.index_synced(changes));
        }
        for offset in done.producer_snapshots {
            self.producer_snapshots.synced(offset);
        }
        self.doomed.retain(|doomed| !doomed.is_done());
        let known = &mut self.aborted_known;
        known.durable_to = known.durable_to.max(done.aborted_known_to);
        self.set_flushed_end(self.flushed_end.max(done.end.min(self.log_end)));
        self.unflushed_since_ms = if self.flushed_end < self.log_end {
            done.since_ms
        } else {
            None
        };
        self.check_invariants();
    }

    /// Whether `flush.messages` or `flush.ms` ask for a flush.
    pub fn flush_due(&self, now_ms: i64) -> bool {
        let waited = self
            .unflushed_since_ms
            .map(|since| now_ms.saturating_sub(since));
        self.log_end - self.flushed_end >= self.config.flush_messages
            || waited.is_some_and(|waited| waited >= self.config.flush_ms)
    }

    pub(super) fn set_flushed_end(&mut self, offset: Offset) {
        self.flushed_end = offset;
        let recovery_point = offset.min(self.aborted_known.durable_to);
        self.recovery_points.set(&self.partition, recovery_point);
    }

    fn plan_flush(&self, closing: bool) -> Option<FlushJob> {
        let mut cuts = Vec::new();
        let mut files = Vec::new();
        let mut indexes = Vec::new();
        let mut segments = Vec::new();
        for (&base_offset, segment) in &self.segments {
            let (log, index) = (segment.log_mark(), segment.index_mark());
            // The active segment's indexes are not complete, and recovery rebuilds them.
            let sealed = closing || base_offset != self.active().base_offset;
            let log_changes = log.is_dirty().then_some(log.changes);
            let index_changes = (sealed && index.is_dirty()).then_some(index.changes);
            cuts.extend(segment.pending_cuts());
            files.extend(log_changes.map(|_| segment.log_file()));
            indexes.extend(
                index_changes
                    .into_iter()
                    .flat_map(|_| segment.index_paths()),
            );
            if log_changes.or(index_changes).is_some() {
                segments.push(SegmentMarks {
                    base_offset,
                    log_changes,
                    index_changes,
                });
            }
        }
        let mut producer_snapshots = Vec::new();
        for (offset, file) in self.producer_snapshots.dirty() {
            files.push(file);
            producer_snapshots.push(offset);
        }
        let versions = self.versions;
        let pending = versions.truncation_pending()
            || versions.names.is_dirty()
            || versions.epochs.is_dirty()
            || !self.doomed.is_empty()
            || self.aborted_known.durable_to < self.aborted_known.to;
        if files.is_empty() && indexes.is_empty() && !pending && self.flushed_end == self.log_end {
            return None;
        }
        let epochs = || (self.epoch_file.clone(), encode_epochs(&self.epochs));
        Some(FlushJob {
            disk: self.disk.clone(),
            directory: self.directory.clone(),
            health: self.health.clone(),
            deleted: self.deleted.clone(),
            cuts,
            doomed: self.doomed.clone(),
            files,
            indexes,
            sync_names: versions.names.is_dirty(),
            epochs: versions.epochs.is_dirty().then(epochs),
            // The file may still claim more than the truncated log has, and must not when the cut begins.
            recovery_points: versions
                .truncation_pending()
                .then(|| self.recovery_points.clone()),
            done: FlushDone {
                end: self.log_end,
                since_ms: self.unflushed_since_ms,
                versions,
                segments,
                producer_snapshots,
                aborted_known_to: self.aborted_known.to,
            },
        })
    }
}

impl FlushJob {
    /// Syncs. On an error the log directory is offline and nothing may be retried; a log that was deleted
    /// meanwhile cannot fail (L-17).
    pub fn run(self) -> BoxFuture<'static, Result<FlushDone, DiskError>> {
        Box::pin(async move {
            match self.sync().await {
                Ok(()) => Ok(self.done),
                Err(_) if self.deleted.load(Ordering::Relaxed) && !mutant!(L_17) => {
                    probe!("storage: flush of a deleted log");
                    Ok(self.done)
                }
                Err(error) => {
                    probe!("storage: flush failed");
                    self.health.fail(&error);
                    Err(error)
                }
            }
        })
    }

    /// Everything below is covered once the job is done.
    pub fn end(&self) -> Offset {
        self.done.end
    }

    async fn sync(&self) -> Result<(), DiskError> {
        // A failed sync has thrown the data away; a second one would succeed without them.
        if let Some(error) = self.health.failure().filter(|_| !mutant!(L_07)) {
            return Err(error.clone());
        }
        if let Some(recovery_points) = &self.recovery_points {
            recovery_points.write().await?;
        }
        for cut in &self.cuts {
            cut.run()?;
        }
        for doomed in &self.doomed {
            doomed.run(self.disk.as_ref())?;
        }
        for file in &self.files {
            file.sync_data().await?;
        }
        for path in &self.indexes {
            self.sync_index(path).await?;
        }
        if let Some((file, content)) = &self.epochs {
            file.write(self.done.versions.epochs.changes, content)
                .await?;
        }
        if self.sync_names {
            self.disk.sync_directory(&self.directory).await?;
        }
        Ok(())
    }

    /// The segment may have gone since the job was taken, and its indexes with it.
    async fn sync_index(&self, path: &Path) -> Result<(), DiskError> {
        match self.disk.open(path, OpenMode::Write) {
            Ok(file) => file.sync_data().await,
            Err(error) if error.kind == DiskErrorKind::NotFound => {
                probe!("storage: index gone before it was synced");
                Ok(())
            }
            Err(error) => Err(error),
        }
    }
}
