//! The snapshots of the metadata log on this node: kept, read, written, fetched and sent (KIP-630).

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_core::metadata::{MetadataImage, MetadataVersion, Record};
use broker_core::raft::{self, OffsetAndEpoch};
use broker_env::{BoxFuture, Disk, DiskError, DiskErrorKind, WallTime};
use broker_probe::probe;
use broker_protocol::ids::{LeaderEpoch, Offset};
use broker_storage::SnapshotId;
use broker_storage::snapshot::{
    self, PartialSnapshot, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter,
};
use bytes::Bytes;

use super::{batches, voters};
use crate::metadata_codec;

/// Records of a batch, and bytes at which it is full, whichever comes first.
const BATCH_RECORDS: usize = 1024;
const BATCH_BYTES: usize = 1024 * 1024;

/// Why the snapshots do not do.
#[derive(Clone, Debug, thiserror::Error)]
pub enum SnapshotsError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error(
        "the metadata log starts at {log_start}, and no whole snapshot ends there or later{found}"
    )]
    Missing { log_start: Offset, found: String },
    #[error("the voters of this node cannot be read: {0}")]
    Bootstrap(SnapshotError),
}

/// An image as a snapshot has it.
#[derive(Clone, Debug)]
pub struct LoadedSnapshot {
    pub id: SnapshotId,
    pub image: MetadataImage,
    /// Append time in ms of the last record it replaces.
    pub timestamp: i64,
}

/// The finished snapshots, and the one being fetched.
pub struct Snapshots {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    kept: BTreeMap<SnapshotId, Kept>,
    fetching: Option<PartialSnapshot>,
}

#[derive(Clone, Debug)]
struct Kept {
    size: u64,
    header: SnapshotHeader,
}

/// A snapshot that is durable under its name.
#[derive(Clone, Debug)]
pub struct Finished {
    id: SnapshotId,
    kept: Kept,
}

/// Makes a snapshot durable; to be run beside the member's task.
pub type Finishing = BoxFuture<'static, Result<Finished, DiskError>>;

/// What became of a fetched snapshot.
pub enum Fetched {
    Whole(Finishing),
    Damaged,
}

impl Finished {
    pub fn id(&self) -> SnapshotId {
        self.id
    }

    /// As the core knows it.
    pub fn described(&self) -> raft::Snapshot {
        raft::Snapshot {
            id: core_id(self.id),
            size: i64::try_from(self.kept.size).expect("files are shorter than 2^63"),
            kraft_version: self.kept.header.kraft_version,
            voters: self.kept.header.voters.as_ref().map(voters::from_record),
        }
    }
}

pub fn core_id(id: SnapshotId) -> OffsetAndEpoch {
    OffsetAndEpoch {
        offset: id.end_offset,
        epoch: id.epoch,
    }
}

pub fn storage_id(id: OffsetAndEpoch) -> SnapshotId {
    SnapshotId {
        end_offset: id.offset,
        epoch: id.epoch,
    }
}

impl Snapshots {
    /// Looks through the snapshots of a log that starts at `log_start`. Damaged ones are left where they are
    /// and not used.
    ///
    /// # Errors
    /// The log needs a snapshot that is damaged, or that of the first voters is.
    pub fn open(
        disk: Arc<dyn Disk>,
        directory: &Path,
        log_start: Offset,
    ) -> Result<Snapshots, SnapshotsError> {
        snapshot::remove_leftovers(disk.as_ref(), directory)?;
        let mut kept = BTreeMap::new();
        let mut damaged = Vec::new();
        for id in snapshot::list(disk.as_ref(), directory)? {
            match SnapshotReader::open(disk.as_ref(), directory, id)?.check() {
                Ok(summary) => {
                    let (size, header) = (summary.size_bytes, summary.header);
                    kept.insert(id, Kept { size, header });
                }
                Err(SnapshotError::Disk(error)) => return Err(error.into()),
                Err(error) if id == SnapshotId::BOOTSTRAP => {
                    return Err(SnapshotsError::Bootstrap(error));
                }
                Err(error) => {
                    probe!("server: a damaged snapshot is not used");
                    tracing::error!(snapshot = %id, %error, "snapshot is not used");
                    damaged.push(error.to_string());
                }
            }
        }
        let latest = kept.keys().next_back().map_or(0, |id| id.end_offset);
        if latest < log_start {
            let found = damaged.iter().map(|error| format!("; {error}")).collect();
            return Err(SnapshotsError::Missing { log_start, found });
        }
        Ok(Snapshots {
            disk,
            directory: directory.to_owned(),
            kept,
            fetching: None,
        })
    }

    /// The last that holds records, all of them below `end`.
    pub fn latest_up_to(&self, end: Offset) -> Option<SnapshotId> {
        let mut ids = self.kept.keys().rev();
        ids.find(|id| (1..=end).contains(&id.end_offset)).copied()
    }

    /// The first that ends at `offset` or later.
    pub fn first_from(&self, offset: Offset) -> Option<SnapshotId> {
        let mut ids = self.kept.keys();
        ids.find(|id| id.end_offset >= offset).copied()
    }

    /// Those that hold records, oldest first, for the observer.
    pub fn ids(&self) -> Vec<(Offset, LeaderEpoch)> {
        let ids = self.kept.keys().filter(|id| id.end_offset > 0);
        ids.map(|id| (id.end_offset, id.epoch)).collect()
    }

    /// All of them, oldest first, as the core knows them.
    pub fn described(&self) -> Vec<raft::Snapshot> {
        let finished = |(id, kept): (&SnapshotId, &Kept)| Finished {
            id: *id,
            kept: kept.clone(),
        };
        self.kept
            .iter()
            .map(finished)
            .map(|finished| finished.described())
            .collect()
    }

    /// # Errors
    /// It is damaged now, or holds what this version does not know: going on without it would be wrong.
    pub fn load(&self, id: SnapshotId) -> Result<LoadedSnapshot, DiskError> {
        let mut image = MetadataImage::default();
        let mut reader = SnapshotReader::open(self.disk.as_ref(), &self.directory, id)?;
        let unusable = |reason: String| damaged(&id.path(&self.directory), reason);
        while let Some(batch) = reader.next_batch().map_err(|error| match error {
            SnapshotError::Disk(error) => error,
            error => unusable(error.to_string()),
        })? {
            let records = batches::decode_batch(&batch);
            let records = records.map_err(|error| unusable(error.to_string()))?;
            if records.iter().any(Record::marks_transaction) {
                return Err(unusable("a snapshot holds no transactions".to_owned()));
            }
            records.iter().for_each(|record| image.apply(record));
        }
        Ok(LoadedSnapshot {
            id,
            image,
            timestamp: reader.header().last_contained_log_timestamp,
        })
    }

    /// Up to `max_bytes` from `position`; `None` if the snapshot is gone.
    pub fn chunk(
        &self,
        id: SnapshotId,
        position: i64,
        max_bytes: usize,
    ) -> Result<Option<Bytes>, DiskError> {
        let Ok(position) = u64::try_from(position) else {
            return Ok(None);
        };
        match SnapshotReader::open(self.disk.as_ref(), &self.directory, id) {
            Ok(reader) => reader.read_at(position, max_bytes).map(Some),
            Err(error) if error.kind == DiskErrorKind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    /// Writes a snapshot.
    pub fn write(
        &self,
        id: SnapshotId,
        header: SnapshotHeader,
        image: MetadataImage,
        now: WallTime,
    ) -> Finishing {
        let (disk, directory) = (self.disk.clone(), self.directory.clone());
        Box::pin(async move {
            let mut writer = SnapshotWriter::create(disk.clone(), &directory, id, &header, now.0)?;
            for values in batches_of(&image.to_records(), image.metadata_version()) {
                writer.append(&values)?;
            }
            writer.finish().await?;
            let size = SnapshotReader::open(disk.as_ref(), &directory, id)?.size_bytes();
            let kept = Kept { size, header };
            Ok(Finished { id, kept })
        })
    }

    pub fn add(&mut self, finished: Finished) {
        self.kept.insert(finished.id, finished.kept);
    }

    /// Removes all that are older.
    pub fn remove_before(&mut self, id: SnapshotId) -> Result<(), DiskError> {
        let later = self.kept.split_off(&id);
        let older: Vec<SnapshotId> = std::mem::replace(&mut self.kept, later)
            .into_keys()
            .collect();
        snapshot::remove(self.disk.as_ref(), &self.directory, &older)
    }

    /// Takes the next chunk of a snapshot being fetched; the first begins it anew.
    pub fn append_chunk(
        &mut self,
        id: SnapshotId,
        position: i64,
        chunk: &[u8],
    ) -> Result<(), DiskError> {
        if position == 0 {
            if let Some(former) = self.fetching.take().filter(|former| former.id() != id) {
                former.abandon()?;
            }
            let begun = PartialSnapshot::create(self.disk.clone(), &self.directory, id)?;
            self.fetching = Some(begun);
        }
        let Some(partial) = self.fetching.as_mut().filter(|partial| partial.id() == id) else {
            panic!("a chunk of snapshot {id} at {position}, which is not being fetched");
        };
        assert_eq!(
            u64::try_from(position),
            Ok(partial.size()),
            "a chunk of snapshot {id} out of place"
        );
        partial.append(chunk)
    }

    /// Checks what was fetched.
    ///
    /// # Errors
    /// A failing disk, or records this version does not know.
    pub fn finish_fetched(&mut self, id: SnapshotId) -> Result<Fetched, DiskError> {
        let fetched = self.fetching.take().filter(|partial| partial.id() == id);
        let partial = fetched.expect("the core finishes the snapshot that it fetches");
        let checked = SnapshotReader::open_file(self.disk.as_ref(), partial.path())?.check();
        let summary = match checked {
            Ok(summary) => summary,
            Err(SnapshotError::Disk(error)) => return Err(error),
            Err(error) => {
                probe!("server: a fetched snapshot is damaged");
                tracing::warn!(snapshot = %id, %error, "fetched snapshot is damaged");
                partial.abandon()?;
                return Ok(Fetched::Damaged);
            }
        };
        let (size, header) = (summary.size_bytes, summary.header);
        Ok(Fetched::Whole(Box::pin(async move {
            partial.finish().await?;
            let kept = Kept { size, header };
            Ok(Finished { id, kept })
        })))
    }

    /// The snapshot before which everything may go, as Kafka decides it: the second oldest, if the oldest is
    /// too old or all together are too big. The last one stays whatever its age.
    pub fn expired(
        &self,
        limits: RetentionLimits,
        log_bytes: u64,
        now: WallTime,
    ) -> Option<SnapshotId> {
        let mut total = log_bytes + self.kept.values().map(|kept| kept.size).sum::<u64>();
        let mut target = None;
        for ((_, kept), next) in self.kept.iter().zip(self.kept.keys().skip(1)) {
            let age = now
                .0
                .saturating_sub(kept.header.last_contained_log_timestamp);
            let old = limits.ms >= 0 && age > limits.ms;
            let big = u64::try_from(limits.bytes).is_ok_and(|bytes| total > bytes);
            if !old && !big {
                break;
            }
            total -= kept.size;
            target = Some(*next);
        }
        target
    }
}

/// `metadata.max.retention.bytes` and `metadata.max.retention.ms`; -1 never.
#[derive(Clone, Copy, Debug)]
pub struct RetentionLimits {
    pub bytes: i64,
    pub ms: i64,
}

fn batches_of(records: &[Record], version: MetadataVersion) -> Vec<Vec<Bytes>> {
    let mut batches = Vec::new();
    let (mut batch, mut bytes) = (Vec::new(), 0);
    for record in records {
        let value = metadata_codec::encode(record, version)
            .expect("a record of the image was encoded before, or is no longer than one that was");
        bytes += value.len();
        batch.push(value);
        if batch.len() >= BATCH_RECORDS || bytes >= BATCH_BYTES {
            batches.push(std::mem::take(&mut batch));
            bytes = 0;
        }
    }
    if !batch.is_empty() {
        batches.push(batch);
    }
    batches
}

fn damaged(path: &Path, reason: String) -> DiskError {
    DiskError {
        operation: "metadata snapshot",
        path: path.to_owned(),
        kind: DiskErrorKind::Io,
        errno: 0,
        detail: reason,
    }
}

#[cfg(test)]
mod tests;
