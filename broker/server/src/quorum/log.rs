//! The metadata log `__cluster_metadata-0`: batches of metadata records over a storage log.

use std::path::{Path, PathBuf};
use std::sync::{Arc, MutexGuard};

use broker_core::metadata::Record;
use broker_core::raft::{self, ConfigurationChange};
use broker_env::{BoxFuture, Disk, DiskError, DiskErrorKind};
use broker_protocol::ids::{LeaderEpoch, Offset};
use broker_protocol::record::{RecordBatch, RecordBatches};
use broker_storage::{BatchInfo, FlushDone, FlushJob, Log, LogError, SharedLog, SnapshotId};
use bytes::Bytes;

use super::{batches, persistence};
use crate::observe;

/// Bytes read at once where the whole log is read.
const READ_BYTES: usize = 1024 * 1024;

/// The log, and the `quorum-state` file beside it.
pub struct MetadataLog {
    log: SharedLog,
    disk: Arc<dyn Disk>,
    directory: PathBuf,
}

/// A batch of the metadata log as records; a control batch has none.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodedBatch {
    pub records: Vec<Record>,
    pub end: Offset,
    pub epoch: LeaderEpoch,
    pub bytes: u64,
    /// Append time in ms of its last record.
    pub timestamp: i64,
}

impl MetadataLog {
    pub fn new(log: SharedLog, disk: Arc<dyn Disk>, directory: PathBuf) -> MetadataLog {
        MetadataLog {
            log,
            disk,
            directory,
        }
    }

    pub fn directory(&self) -> &Path {
        &self.directory
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    pub fn start(&self) -> Offset {
        self.lock().log_start()
    }

    /// The start as far as anything on disk tells: where the log was cut, its epochs begin.
    pub fn known_start(&self) -> Offset {
        let log = self.lock();
        let first = log.epochs().entries().first();
        first.map_or(log.log_start(), |first| {
            first.start_offset.max(log.log_start())
        })
    }

    pub fn end(&self) -> Offset {
        self.lock().log_end()
    }

    pub fn size_bytes(&self) -> u64 {
        self.lock().size_bytes()
    }

    /// What the raft core starts from.
    ///
    /// # Errors
    /// A failing disk or damaged batches.
    pub fn recovered(
        &self,
        quorum_state: Option<raft::QuorumState>,
        snapshots: Vec<raft::Snapshot>,
    ) -> Result<raft::Recovered, DiskError> {
        let from = snapshots.last().map_or(0, |snapshot| snapshot.id.offset);
        let changes = self.changes(from)?;
        let log = self.lock();
        Ok(raft::Recovered {
            quorum_state,
            snapshots,
            changes,
            log_start_offset: log.log_start(),
            log_end_offset: log.log_end(),
            epochs: log
                .epochs()
                .entries()
                .iter()
                .map(|entry| (entry.epoch, entry.start_offset))
                .collect(),
        })
    }

    /// The control batches from an offset on that change `kraft.version` or the voters.
    fn changes(&self, from: Offset) -> Result<Vec<(Offset, ConfigurationChange)>, DiskError> {
        let mut changes = Vec::new();
        self.each_batch(from, |batch| {
            let change =
                batches::configuration_change(batch).map_err(|error| self.damaged(&error))?;
            changes.extend(change.map(|change| (batch.base_offset(), change)));
            Ok(())
        })?;
        Ok(changes)
    }

    fn each_batch(
        &self,
        from: Offset,
        mut visit: impl FnMut(&RecordBatch) -> Result<(), DiskError>,
    ) -> Result<(), DiskError> {
        let (mut from, end) = (from.max(self.start()), self.end());
        while from < end {
            for batch in RecordBatches::new(self.read(from, end, READ_BYTES)?) {
                let batch = batch.map_err(|error| self.damaged(&error))?;
                from = batch.next_offset();
                visit(&batch)?;
            }
        }
        Ok(())
    }

    /// Every batch, for the observer.
    ///
    /// # Errors
    /// A failing disk or damaged batches.
    pub fn summaries(&self) -> Result<Vec<observe::BatchSummary>, DiskError> {
        let mut found = Vec::new();
        self.each_batch(self.start(), |batch| {
            found.push(observed(&BatchInfo::of(batch)));
            Ok(())
        })?;
        Ok(found)
    }

    /// Appends whole batches whose offsets are assigned.
    pub fn append(&mut self, bytes: &Bytes) -> Result<Vec<observe::BatchSummary>, DiskError> {
        let mut batches = Vec::new();
        for batch in RecordBatches::new(bytes.clone()) {
            batches.push(BatchInfo::of(&batch.map_err(|error| self.damaged(&error))?));
        }
        let appended = self.lock().append(bytes, &batches, 0);
        appended.map_err(|error| self.failed(error))?;
        Ok(batches.iter().map(observed).collect())
    }

    /// Cuts the log so that it ends at `end`, durably. The end of what is then durable, if anything was cut.
    pub async fn truncate(&mut self, end: Offset) -> Result<Option<Offset>, DiskError> {
        let job = self
            .lock()
            .truncate_to(end)
            .map_err(|error| self.failed(error))?;
        let Some(job) = job else {
            return Ok(None);
        };
        let done = job.run().await?;
        Ok(Some(self.finish_flush(done)))
    }

    /// Whether the log goes on from this snapshot: it has the records that the snapshot was made of, or
    /// starts where it ends.
    pub fn contains(&self, snapshot: SnapshotId) -> bool {
        let log = self.lock();
        let end = snapshot.end_offset;
        if end > log.log_end() || end < log.log_start() {
            return false;
        }
        end == log.log_start() || log.epochs().epoch_at(end - 1) == Some(snapshot.epoch)
    }

    /// Removes everything, durably; the log goes on at `offset`.
    pub async fn start_over_at(&mut self, offset: Offset) -> Result<(), DiskError> {
        let job = self
            .lock()
            .truncate_fully_and_start_at(offset)
            .map_err(|error| self.failed(error))?;
        let done = job.run().await?;
        self.finish_flush(done);
        Ok(())
    }

    /// Moves the start up. Whole segments below it are removed by the future, one after the other.
    pub fn raise_start(
        &mut self,
        offset: Offset,
        now_ms: i64,
    ) -> Result<BoxFuture<'static, Result<(), DiskError>>, DiskError> {
        let moved = self.lock().advance_log_start(offset);
        moved.map_err(|error| self.failed(error))?;
        let log = self.log.clone();
        Ok(Box::pin(async move {
            loop {
                // The log is trimmed by snapshots only, so nothing above its start is removed.
                let job = match log.lock().remove_old_segment(now_ms, offset) {
                    Ok(job) => job,
                    Err(LogError::Disk(error) | LogError::Offline(error)) => return Err(error),
                    Err(error) => panic!("the metadata log refuses to be trimmed: {error}"),
                };
                match job {
                    Some(job) => job.run().await?,
                    None => return Ok(()),
                }
            }
        }))
    }

    /// Whole batches of `[from, to)`, at least one, up to `bytes_max`.
    pub fn read(&self, from: Offset, to: Offset, bytes_max: usize) -> Result<Bytes, DiskError> {
        let read = self.lock().read(from, bytes_max, to, true);
        read.map(|read| read.records)
            .map_err(|error| self.failed(error))
    }

    pub fn read_decoded(&self, from: Offset, to: Offset) -> Result<Vec<DecodedBatch>, DiskError> {
        let bytes = self.read(from, to, READ_BYTES)?;
        self.decode(&bytes)
    }

    /// # Errors
    /// Records this version does not know: going on without them would make the image wrong (K-22).
    pub fn decode(&self, bytes: &Bytes) -> Result<Vec<DecodedBatch>, DiskError> {
        let unusable = |reason: String| self.damaged(&reason);
        let mut decoded = Vec::new();
        for batch in RecordBatches::new(bytes.clone()) {
            let batch = batch.map_err(|error| unusable(error.to_string()))?;
            let records =
                batches::decode_batch(&batch).map_err(|error| unusable(error.to_string()))?;
            decoded.push(DecodedBatch {
                records,
                end: batch.next_offset(),
                epoch: LeaderEpoch(batch.partition_leader_epoch()),
                bytes: u64::try_from(batch.size()).expect("a batch is shorter than 2^63"),
                timestamp: batch.max_timestamp(),
            });
        }
        Ok(decoded)
    }

    /// Takes what is to be synced; `None` if all is durable.
    pub fn start_flush(&mut self) -> Option<FlushJob> {
        self.lock().start_flush()
    }

    /// The end of what is now durable.
    pub fn finish_flush(&mut self, done: FlushDone) -> Offset {
        let mut log = self.lock();
        log.finish_flush(done);
        log.flushed_end()
    }

    pub async fn save_quorum_state(
        &self,
        state: raft::QuorumState,
        kraft_version: i16,
        voters: &raft::VoterSet,
    ) -> Result<(), DiskError> {
        let disk = self.disk.clone();
        persistence::save(disk, &self.directory, state, kraft_version, voters).await
    }

    fn failed(&self, error: LogError) -> DiskError {
        match error {
            LogError::Disk(error) | LogError::Offline(error) => error,
            other => self.damaged(&other),
        }
    }

    fn damaged(&self, reason: &impl std::fmt::Display) -> DiskError {
        DiskError {
            operation: "metadata log",
            path: self.directory.clone(),
            kind: DiskErrorKind::Io,
            errno: 0,
            detail: reason.to_string(),
        }
    }
}

fn observed(info: &BatchInfo) -> observe::BatchSummary {
    observe::BatchSummary {
        transaction: None,
        producer: None,
        base_offset: info.base_offset,
        last_offset: info.last_offset,
        leader_epoch: info.leader_epoch,
        crc: info.crc,
    }
}
