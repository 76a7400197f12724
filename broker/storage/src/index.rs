//! Index files: ascending fixed-size entries, written behind the log and loaded when first searched.
//!
//! An index is only a hint. Entries are buffered until the segment is rolled or closed, because recovery
//! rebuilds the index of every segment that was not durable; and a search checks the entry it uses against the
//! batch it points at. So a torn, lost or rotten index costs time, never a wrong answer.
//!
//! Its file is only open while it is read, written or synced: a partition costs one descriptor, that of its
//! active segment's log, so that a process can have as many partitions as its limit of open files.

use std::path::{Path, PathBuf};
use std::sync::{Arc, OnceLock};

use broker_env::{Disk, DiskError, DiskErrorKind, File, OpenMode};

/// One entry of an index file.
pub(crate) trait Entry: Copy {
    const SIZE: usize;
    fn encode(&self, out: &mut Vec<u8>);
    /// `bytes` are [`Entry::SIZE`] long.
    fn decode(bytes: &[u8]) -> Self;
    /// Whether this entry may come after `previous`.
    fn follows(&self, previous: &Self) -> bool;
}

/// `.index`: the last offset of a batch, relative to the segment's base offset, and the batch's position.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct OffsetEntry {
    pub(crate) relative_offset: u32,
    pub(crate) position: u32,
}

/// `.timeindex`: the greatest timestamp so far, and the last offset of the first batch that has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TimeEntry {
    pub(crate) timestamp: i64,
    pub(crate) relative_offset: u32,
}

impl Entry for OffsetEntry {
    const SIZE: usize = 8;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
        out.extend_from_slice(&self.position.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> OffsetEntry {
        OffsetEntry {
            relative_offset: u32_at(bytes, 0),
            position: u32_at(bytes, 4),
        }
    }

    fn follows(&self, previous: &OffsetEntry) -> bool {
        self.relative_offset > previous.relative_offset && self.position > previous.position
    }
}

impl Entry for TimeEntry {
    const SIZE: usize = 12;

    fn encode(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self.timestamp.to_be_bytes());
        out.extend_from_slice(&self.relative_offset.to_be_bytes());
    }

    fn decode(bytes: &[u8]) -> TimeEntry {
        let timestamp = i64::from_be_bytes(bytes[..8].try_into().expect("an entry is 12 bytes"));
        TimeEntry {
            timestamp,
            relative_offset: u32_at(bytes, 8),
        }
    }

    fn follows(&self, previous: &TimeEntry) -> bool {
        self.timestamp > previous.timestamp && self.relative_offset > previous.relative_offset
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_be_bytes(bytes[at..at + 4].try_into().expect("inside of an entry"))
}

pub(crate) struct IndexFile<E> {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    /// The valid entries; empty cell until first needed.
    entries: OnceLock<Vec<E>>,
    /// Entries that are in the file; those after it are only in memory.
    stored: usize,
}

impl<E: Entry> IndexFile<E> {
    /// Creates an empty index, or empties the one that is there.
    pub(crate) fn create(disk: &Arc<dyn Disk>, path: &Path) -> Result<IndexFile<E>, DiskError> {
        disk.open(path, OpenMode::Truncate)?;
        Ok(IndexFile {
            disk: disk.clone(),
            path: path.to_owned(),
            entries: OnceLock::from(Vec::new()),
            stored: 0,
        })
    }

    /// Takes the index that is there as if it were empty, and leaves it as it is for now.
    pub(crate) fn open_empty(disk: &Arc<dyn Disk>, path: &Path) -> IndexFile<E> {
        IndexFile {
            disk: disk.clone(),
            path: path.to_owned(),
            entries: OnceLock::from(Vec::new()),
            stored: 0,
        }
    }

    /// Takes the index that is there. `None` if there is none, or if it holds anything but entries in order.
    pub(crate) fn open_sound(
        disk: &Arc<dyn Disk>,
        path: &Path,
    ) -> Result<Option<IndexFile<E>>, DiskError> {
        let file = match disk.open(path, OpenMode::Read) {
            Ok(file) => file,
            Err(error) if error.kind == DiskErrorKind::NotFound => return Ok(None),
            Err(error) => return Err(error),
        };
        let length = usize::try_from(file.length()?).unwrap_or(usize::MAX);
        let stored = length / E::SIZE;
        let entries = read_entries::<E>(file.as_ref(), stored)?;
        let sound = entries.len() == stored && length == stored * E::SIZE;
        Ok(sound.then(|| IndexFile {
            disk: disk.clone(),
            path: path.to_owned(),
            entries: OnceLock::from(entries),
            stored,
        }))
    }

    pub(crate) fn rename(&mut self, disk: &dyn Disk, to: PathBuf) -> Result<(), DiskError> {
        disk.rename(&self.path, &to)?;
        self.path = to;
        Ok(())
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn disk(&self) -> &Arc<dyn Disk> {
        &self.disk
    }

    fn file(&self, mode: OpenMode) -> Result<Arc<dyn File>, DiskError> {
        self.disk.open(&self.path, mode)
    }

    /// The entries, up to the first that is out of order.
    pub(crate) fn entries(&self) -> Result<&[E], DiskError> {
        if self.entries.get().is_none() {
            // Another reader may have been faster; both read the same.
            let _ = self.entries.set(self.load()?);
        }
        Ok(self.entries.get().expect("just set"))
    }

    /// Bytes of the file with all entries stored.
    pub(crate) fn size_bytes(&self) -> usize {
        self.entries.get().map_or(self.stored, Vec::len) * E::SIZE
    }

    pub(crate) fn last(&self) -> Result<Option<E>, DiskError> {
        Ok(self.entries()?.last().copied())
    }

    /// The last entry for which `before` holds; `before` must hold for a prefix of the entries.
    pub(crate) fn floor(&self, before: impl Fn(&E) -> bool) -> Result<Option<E>, DiskError> {
        let entries = self.entries()?;
        let after = entries.partition_point(before);
        Ok(after.checked_sub(1).map(|at| entries[at]))
    }

    /// Appends in memory; ignored if it does not follow the last entry.
    pub(crate) fn push(&mut self, entry: E) -> Result<(), DiskError> {
        let entries = self.loaded()?;
        if entries.last().is_none_or(|last| entry.follows(last)) {
            entries.push(entry);
        }
        Ok(())
    }

    /// Keeps the entries for which `keep` holds; it must hold for a prefix.
    pub(crate) fn truncate(&mut self, keep: impl Fn(&E) -> bool) -> Result<(), DiskError> {
        let entries = self.loaded()?;
        let kept = entries.partition_point(keep);
        entries.truncate(kept);
        if kept < self.stored {
            self.stored = kept;
            self.file(OpenMode::Write)?
                .truncate(u64::try_from(kept * E::SIZE).expect("64 bits hold a usize"))?;
        }
        Ok(())
    }

    /// As [`IndexFile::truncate`], but leaves the file to be cut later: where, if it is longer.
    pub(crate) fn truncate_entries(
        &mut self,
        keep: impl Fn(&E) -> bool,
    ) -> Result<Option<u32>, DiskError> {
        let entries = self.loaded()?;
        let kept = entries.partition_point(keep);
        entries.truncate(kept);
        self.stored = self.stored.min(kept);
        let position = u32::try_from(kept * E::SIZE).expect("an index is below 4 GiB");
        Ok((self.file(OpenMode::Read)?.length()? > u64::from(position)).then_some(position))
    }

    /// Writes the entries that are only in memory. Whether there were any.
    pub(crate) fn store(&mut self) -> Result<bool, DiskError> {
        let Some(entries) = self.entries.get() else {
            return Ok(false);
        };
        if entries.len() == self.stored {
            return Ok(false);
        }
        let mut bytes = Vec::with_capacity((entries.len() - self.stored) * E::SIZE);
        for entry in &entries[self.stored..] {
            entry.encode(&mut bytes);
        }
        self.file(OpenMode::Write)?.write_at(
            &bytes,
            u64::try_from(self.stored * E::SIZE).expect("64 bits hold a usize"),
        )?;
        self.stored = entries.len();
        Ok(true)
    }

    /// Frees the entries; they are loaded again when needed.
    pub(crate) fn unload(&mut self) {
        if self
            .entries
            .get()
            .is_some_and(|entries| entries.len() == self.stored)
        {
            self.entries = OnceLock::new();
        }
    }

    fn loaded(&mut self) -> Result<&mut Vec<E>, DiskError> {
        self.entries()?;
        let entries = self.entries.get_mut().expect("just loaded");
        // Entries after one that is out of order are not known to be right: new ones overwrite them.
        self.stored = self.stored.min(entries.len());
        Ok(entries)
    }

    fn load(&self) -> Result<Vec<E>, DiskError> {
        if self.stored == 0 {
            return Ok(Vec::new());
        }
        read_entries(self.file(OpenMode::Read)?.as_ref(), self.stored)
    }
}

/// At most `count` entries, up to the first that is out of order.
fn read_entries<E: Entry>(file: &dyn File, count: usize) -> Result<Vec<E>, DiskError> {
    let mut bytes = vec![0; count * E::SIZE];
    let read = file.read_at(&mut bytes, 0)?;
    let mut entries: Vec<E> = Vec::with_capacity(read / E::SIZE);
    for entry in bytes[..read].chunks_exact(E::SIZE).map(E::decode) {
        if entries.last().is_some_and(|last| !entry.follows(last)) {
            break;
        }
        entries.push(entry);
    }
    Ok(entries)
}
