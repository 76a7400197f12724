//! Kafka's text checkpoints: version, number of entries, one entry a line; replaced atomically and durably.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use broker_env::{Disk, DiskError, DiskErrorKind, OpenMode};
use broker_protocol::ids::{LeaderEpoch, Offset, TopicPartition};

use crate::epochs::{EpochEntry, EpochHistory};
use crate::error::DirectoryError;

/// The only version of both text formats.
const VERSION: &str = "0";
/// No small file of ours comes near this; a larger one is not read.
const LARGEST_FILE_BYTES: u64 = 256 << 20;

/// The content of a whole file, `None` if it does not exist.
pub fn read_file(disk: &dyn Disk, path: &Path) -> Result<Option<Vec<u8>>, DiskError> {
    let file = match disk.open(path, OpenMode::Read) {
        Ok(file) => file,
        Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    let length = file.length()?.min(LARGEST_FILE_BYTES);
    let mut bytes = vec![0; usize::try_from(length).expect("bounded by 256 MiB")];
    let read = file.read_at(&mut bytes, 0)?;
    bytes.truncate(read);
    Ok(Some(bytes))
}

/// Replaces a file so that after power loss either the old or the new content is there. Writers of the same
/// path must take turns.
pub async fn replace_file(disk: &dyn Disk, path: &Path, content: &[u8]) -> Result<(), DiskError> {
    let temporary = with_suffix(path, ".tmp");
    let file = disk.open(&temporary, OpenMode::Truncate)?;
    file.write_at(content, 0)?;
    file.sync_data().await?;
    disk.rename(&temporary, path)?;
    disk.sync_directory(path.parent().expect("a file has a directory"))
        .await
}

pub(crate) fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    PathBuf::from(name)
}

/// `leader-epoch-checkpoint`.
pub(crate) fn encode_epochs(history: &EpochHistory) -> Vec<u8> {
    let lines = history
        .entries()
        .iter()
        .map(|entry| format!("{} {}", entry.epoch, entry.start_offset));
    encode(lines.collect())
}

/// `None` if the file is malformed.
pub(crate) fn decode_epochs(bytes: &[u8]) -> Option<EpochHistory> {
    let entry = |fields: &[&str]| match fields {
        [epoch, start] => Some(EpochEntry {
            epoch: LeaderEpoch(epoch.parse().ok()?),
            start_offset: start.parse().ok()?,
        }),
        _ => None,
    };
    EpochHistory::new(decode(bytes, entry)?)
}

/// `topic partition offset` lines; `None` if the file is malformed.
pub fn decode_offsets(bytes: &[u8]) -> Option<BTreeMap<TopicPartition, Offset>> {
    let entry = |fields: &[&str]| match fields {
        [topic, partition, offset] => Some((
            TopicPartition::new(*topic, partition.parse().ok()?),
            offset.parse().ok()?,
        )),
        _ => None,
    };
    Some(decode(bytes, entry)?.into_iter().collect())
}

pub fn encode_offsets(offsets: &BTreeMap<TopicPartition, Offset>) -> Vec<u8> {
    encode(
        offsets
            .iter()
            .map(|(key, offset)| format!("{} {} {offset}", key.topic, key.partition))
            .collect(),
    )
}

fn encode(lines: Vec<String>) -> Vec<u8> {
    let mut text = format!("{VERSION}\n{}\n", lines.len());
    for line in lines {
        text.push_str(&line);
        text.push('\n');
    }
    text.into_bytes()
}

fn decode<T>(bytes: &[u8], entry: impl Fn(&[&str]) -> Option<T>) -> Option<Vec<T>> {
    let mut lines = std::str::from_utf8(bytes).ok()?.lines();
    if lines.next()? != VERSION {
        return None;
    }
    let declared: usize = lines.next()?.parse().ok()?;
    let mut entries = Vec::new();
    for line in lines {
        let fields: Vec<&str> = line.split_ascii_whitespace().collect();
        entries.push(entry(&fields)?);
    }
    (entries.len() == declared).then_some(entries)
}

/// One of a log directory's offset checkpoints: recovery points, high watermarks or log starts.
///
/// The map in memory is the truth and changes at once; [`OffsetCheckpoint::write`] makes it durable. A write
/// takes the map as it is when its turn comes, so the file never goes back to an older state.
#[derive(Clone)]
pub struct OffsetCheckpoint {
    disk: Arc<dyn Disk>,
    path: Arc<Path>,
    offsets: Arc<Mutex<BTreeMap<TopicPartition, Offset>>>,
    /// What the file holds; locked over a write.
    written: Arc<tokio::sync::Mutex<Option<BTreeMap<TopicPartition, Offset>>>>,
}

impl OffsetCheckpoint {
    /// Reads the file. A missing one is empty; a malformed one is an error the caller may choose to ignore
    /// with [`OffsetCheckpoint::empty`].
    pub fn read(disk: Arc<dyn Disk>, path: &Path) -> Result<OffsetCheckpoint, DirectoryError> {
        let offsets = match read_file(disk.as_ref(), path)? {
            None => BTreeMap::new(),
            Some(bytes) => decode_offsets(&bytes).ok_or_else(|| DirectoryError::Malformed {
                path: path.to_owned(),
                reason: "not a version 0 offset checkpoint".to_owned(),
            })?,
        };
        let checkpoint = OffsetCheckpoint::empty(disk, path);
        checkpoint.lock().extend(offsets);
        Ok(checkpoint)
    }

    /// Starts empty whatever the file holds.
    pub fn empty(disk: Arc<dyn Disk>, path: &Path) -> OffsetCheckpoint {
        OffsetCheckpoint {
            disk,
            path: Arc::from(path),
            offsets: Arc::default(),
            written: Arc::default(),
        }
    }

    pub fn get(&self, partition: &TopicPartition) -> Option<Offset> {
        self.lock().get(partition).copied()
    }

    pub fn set(&self, partition: &TopicPartition, offset: Offset) {
        let mut offsets = self.lock();
        match offsets.get_mut(partition) {
            Some(known) => *known = offset,
            None => drop(offsets.insert(partition.clone(), offset)),
        }
    }

    pub fn remove(&self, partition: &TopicPartition) {
        self.lock().remove(partition);
    }

    /// A copy of all entries.
    pub fn offsets(&self) -> BTreeMap<TopicPartition, Offset> {
        self.lock().clone()
    }

    /// Makes all entries durable; does nothing if the file already holds them.
    pub async fn write(&self) -> Result<(), DiskError> {
        let mut written = self.written.lock().await;
        let offsets = self.offsets();
        if written.as_ref() == Some(&offsets) {
            return Ok(());
        }
        // Unknown until the replacement is durable.
        *written = None;
        replace_file(self.disk.as_ref(), &self.path, &encode_offsets(&offsets)).await?;
        *written = Some(offsets);
        Ok(())
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, BTreeMap<TopicPartition, Offset>> {
        // A map is whole between any two of its calls, whoever panicked.
        self.offsets.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
