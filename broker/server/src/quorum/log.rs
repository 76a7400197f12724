//! The metadata log `__cluster_metadata-0`: batches of metadata records over a storage log.

use std::path::PathBuf;
use std::sync::{Arc, MutexGuard};

use broker_core::metadata::{MetadataVersion, Record};
use broker_core::raft::{self, BatchSummary};
use broker_env::{Disk, DiskError, DiskErrorKind, WallTime};
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset};
use broker_protocol::record::{
    BatchBuilder, BatchError, BatchOptions, ControlRecord, LeaderChangeMessage, LeaderChangeVoter,
    RecordBatch, RecordBatches,
};
use broker_storage::{BatchInfo, FlushDone, FlushJob, Log, LogError, SharedLog};
use bytes::Bytes;

use super::persistence;
use crate::metadata_codec::{self, RecordError};
use crate::observe;

/// Most bytes the records of one batch may decompress to.
const BATCH_BYTES_MAX: usize = 64 * 1024 * 1024;

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
}

impl MetadataLog {
    pub fn new(log: SharedLog, disk: Arc<dyn Disk>, directory: PathBuf) -> MetadataLog {
        MetadataLog {
            log,
            disk,
            directory,
        }
    }

    fn lock(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    pub fn start(&self) -> Offset {
        self.lock().log_start()
    }

    pub fn end(&self) -> Offset {
        self.lock().log_end()
    }

    /// What the raft core starts from.
    pub fn recovered(&self, quorum_state: Option<raft::QuorumState>) -> raft::Recovered {
        let log = self.lock();
        raft::Recovered {
            quorum_state,
            log_start_offset: log.log_start(),
            log_end_offset: log.log_end(),
            epochs: log
                .epochs()
                .entries()
                .iter()
                .map(|entry| (entry.epoch, entry.start_offset))
                .collect(),
            ..raft::Recovered::default()
        }
    }

    /// Every batch, for the observer.
    ///
    /// # Errors
    /// A failing disk or damaged batches.
    pub fn summaries(&self) -> Result<Vec<observe::BatchSummary>, DiskError> {
        let (start, end) = (self.start(), self.end());
        let mut found = Vec::new();
        let mut from = start;
        while from < end {
            let bytes = self.read(from, end, 1024 * 1024)?;
            for batch in RecordBatches::new(bytes) {
                let info = BatchInfo::of(&batch.map_err(|error| self.damaged(&error))?);
                from = info.next_offset();
                found.push(observed(&info));
            }
        }
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

    /// Whole batches of `[from, to)`, at least one, up to `bytes_max`.
    pub fn read(&self, from: Offset, to: Offset, bytes_max: usize) -> Result<Bytes, DiskError> {
        let read = self.lock().read(from, bytes_max, to, true);
        read.map(|read| read.records)
            .map_err(|error| self.failed(error))
    }

    pub fn read_decoded(&self, from: Offset, to: Offset) -> Result<Vec<DecodedBatch>, DiskError> {
        let bytes = self.read(from, to, 1024 * 1024)?;
        self.decode(&bytes)
    }

    /// # Errors
    /// Records this version does not know: going on without them would make the image wrong (K-22).
    pub fn decode(&self, bytes: &Bytes) -> Result<Vec<DecodedBatch>, DiskError> {
        let unusable = |reason: String| self.damaged(&reason);
        let mut decoded = Vec::new();
        for batch in RecordBatches::new(bytes.clone()) {
            let batch = batch.map_err(|error| unusable(error.to_string()))?;
            let records = decode_batch(&batch).map_err(|error| unusable(error.to_string()))?;
            let epoch = LeaderEpoch(batch.partition_leader_epoch());
            decoded.push(DecodedBatch {
                records,
                end: batch.next_offset(),
                epoch,
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

    pub async fn save_quorum_state(&self, state: raft::QuorumState) -> Result<(), DiskError> {
        persistence::save(self.disk.clone(), &self.directory, state).await
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
        base_offset: info.base_offset,
        last_offset: info.last_offset,
        leader_epoch: info.leader_epoch,
        crc: info.crc,
    }
}

#[derive(Debug, thiserror::Error)]
enum BatchRecordError {
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error(transparent)]
    Record(#[from] RecordError),
    #[error("metadata record without a value")]
    NoValue,
}

fn decode_batch(batch: &RecordBatch) -> Result<Vec<Record>, BatchRecordError> {
    if batch.is_control() {
        return Ok(Vec::new());
    }
    let mut records = Vec::new();
    for record in batch.records(BATCH_BYTES_MAX)? {
        let value = record?.value.ok_or(BatchRecordError::NoValue)?;
        records.push(metadata_codec::decode(value)?);
    }
    Ok(records)
}

/// What the core wants to know of fetched batches; damaged ones are an error.
pub fn summarize(bytes: &Bytes) -> Result<Vec<BatchSummary>, BatchError> {
    let mut batches = Vec::new();
    for batch in RecordBatches::new(bytes.clone()) {
        let batch = batch?;
        batch.validate()?;
        batches.push(BatchSummary {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            epoch: LeaderEpoch(batch.partition_leader_epoch()),
            change: None,
        });
    }
    Ok(batches)
}

/// The bytes of the first `count` batches.
pub fn prefix(bytes: &Bytes, count: usize) -> Bytes {
    let sizes = RecordBatches::new(bytes.clone())
        .take(count)
        .map_while(Result::ok)
        .map(|batch| batch.size());
    bytes.slice(..sizes.sum::<usize>())
}

/// Records as one batch with its place in the log, as `version` has them.
pub fn record_batch(
    records: &[Record],
    base_offset: Offset,
    epoch: LeaderEpoch,
    now: WallTime,
    version: MetadataVersion,
) -> Bytes {
    let mut builder = builder(base_offset, epoch, false);
    for record in records {
        let value = metadata_codec::encode(record, version)
            .expect("the controller checks the sizes of what it records");
        builder.append(now.0, None, Some(&value), &[]);
    }
    builder.build().into_bytes()
}

/// The control batch that opens a leader's epoch.
pub fn leader_change_batch(
    leader: NodeId,
    voters: &[NodeId],
    granting_voters: &[NodeId],
    base_offset: Offset,
    epoch: LeaderEpoch,
    now: WallTime,
) -> Bytes {
    let voter = |node: &NodeId| LeaderChangeVoter {
        voter_id: node.0,
        ..Default::default()
    };
    let change = ControlRecord::LeaderChange(LeaderChangeMessage {
        leader_id: leader.0,
        voters: voters.iter().map(voter).collect(),
        granting_voters: granting_voters.iter().map(voter).collect(),
        ..Default::default()
    });
    let value = change.encode_value().expect("node ids fit the schema");
    let mut builder = builder(base_offset, epoch, true);
    builder.append(now.0, Some(&change.record_type().key()), Some(&value), &[]);
    builder.build().into_bytes()
}

fn builder(base_offset: Offset, epoch: LeaderEpoch, is_control: bool) -> BatchBuilder {
    BatchBuilder::new(BatchOptions {
        base_offset,
        partition_leader_epoch: epoch.0,
        is_control,
        ..BatchOptions::default()
    })
}
