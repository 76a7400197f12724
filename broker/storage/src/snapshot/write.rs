//! Writing a snapshot, of an image or as a leader sends it.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_env::{Disk, DiskError, File, OpenMode};
use broker_probe::probe;
use broker_protocol::codec::EncodeError;
use broker_protocol::record::{
    BatchBuilder, BatchOptions, ControlRecord, KRaftVersionRecord, SnapshotFooterRecord,
    SnapshotHeaderRecord, VotersRecord, control_batch,
};
use bytes::Bytes;

use super::{PARTIAL_SUFFIX, SnapshotId};
use crate::checkpoint::with_suffix;

/// A snapshot that is being written: bytes as they come, and a name only once all are durable.
pub struct PartialSnapshot {
    disk: Arc<dyn Disk>,
    id: SnapshotId,
    directory: PathBuf,
    partial: PathBuf,
    file: Arc<dyn File>,
    size: u64,
}

impl PartialSnapshot {
    /// Begins anew; what an earlier attempt at the same snapshot left is gone.
    pub fn create(
        disk: Arc<dyn Disk>,
        directory: &Path,
        id: SnapshotId,
    ) -> Result<PartialSnapshot, DiskError> {
        let partial = with_suffix(&id.path(directory), PARTIAL_SUFFIX);
        let file = disk.open(&partial, OpenMode::Truncate)?;
        Ok(PartialSnapshot {
            disk,
            id,
            directory: directory.to_owned(),
            partial,
            file,
            size: 0,
        })
    }

    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// Bytes so far: the position of the next ones.
    pub fn size(&self) -> u64 {
        self.size
    }

    pub fn append(&mut self, bytes: &[u8]) -> Result<(), DiskError> {
        self.file.write_at(bytes, self.size)?;
        self.size += u64::try_from(bytes.len()).expect("64 bits hold a usize");
        Ok(())
    }

    /// Where the bytes are until they are finished, to be checked before.
    pub fn path(&self) -> &Path {
        &self.partial
    }

    /// Makes the content durable, then the name. A failure is one of the log directory.
    pub async fn finish(self) -> Result<SnapshotId, DiskError> {
        self.file.sync_data().await?;
        self.disk
            .rename(&self.partial, &self.id.path(&self.directory))?;
        self.disk.sync_directory(&self.directory).await?;
        probe!("storage: snapshot written");
        Ok(self.id)
    }

    /// Removes what was written.
    pub fn abandon(self) -> Result<(), DiskError> {
        self.disk.remove(&self.partial)
    }
}

/// What a snapshot says of itself.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct SnapshotHeader {
    /// Append time in ms of the last record it covers.
    pub last_contained_log_timestamp: i64,
    /// `kraft.version` at the snapshot's end; 0 writes neither it nor voters.
    pub kraft_version: i16,
    pub voters: Option<VotersRecord>,
}

/// Writes the batches of a snapshot.
pub struct SnapshotWriter {
    partial: PartialSnapshot,
    next_offset: i64,
    /// Wall time in ms, the timestamp of everything in it.
    now_ms: i64,
}

impl SnapshotWriter {
    /// Begins with the header. `now_ms` is wall time.
    pub fn create(
        disk: Arc<dyn Disk>,
        directory: &Path,
        id: SnapshotId,
        header: &SnapshotHeader,
        now_ms: i64,
    ) -> Result<SnapshotWriter, DiskError> {
        let mut writer = SnapshotWriter {
            partial: PartialSnapshot::create(disk, directory, id)?,
            next_offset: 0,
            now_ms,
        };
        writer.control(&header_records(header))?;
        Ok(writer)
    }

    /// One batch of records, by their values; at least one.
    pub fn append(&mut self, values: &[Bytes]) -> Result<(), DiskError> {
        assert!(!values.is_empty(), "a batch without records");
        let mut builder = BatchBuilder::new(self.options());
        for value in values {
            builder.append(self.now_ms, None, Some(value), &[]);
        }
        let batch = builder.build();
        self.next_offset = batch.next_offset();
        self.partial.append(batch.as_bytes())
    }

    /// Ends with the footer and makes the snapshot durable under its name.
    pub async fn finish(mut self) -> Result<SnapshotId, DiskError> {
        self.control(&[ControlRecord::SnapshotFooter(
            SnapshotFooterRecord::default(),
        )])?;
        self.partial.finish().await
    }

    fn control(&mut self, records: &[ControlRecord]) -> Result<(), DiskError> {
        let batch = control_batch(self.options(), self.now_ms, records);
        let batch = batch.unwrap_or_else(|error: EncodeError| {
            panic!("a voter set that was read or checked before does not fit the schema: {error}")
        });
        self.next_offset = batch.next_offset();
        self.partial.append(batch.as_bytes())
    }

    fn options(&self) -> BatchOptions {
        BatchOptions {
            base_offset: self.next_offset,
            partition_leader_epoch: self.partial.id.epoch.0,
            ..BatchOptions::default()
        }
    }
}

fn header_records(header: &SnapshotHeader) -> Vec<ControlRecord> {
    let mut records = vec![ControlRecord::SnapshotHeader(SnapshotHeaderRecord {
        last_contained_log_timestamp: header.last_contained_log_timestamp,
        ..Default::default()
    })];
    if header.kraft_version > 0 {
        records.push(ControlRecord::KRaftVersion(KRaftVersionRecord {
            k_raft_version: header.kraft_version,
            ..Default::default()
        }));
        records.extend(header.voters.clone().map(ControlRecord::KRaftVoters));
    }
    records
}
