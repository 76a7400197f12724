//! One segment: a `.log` file of batches with its `.index` and `.timeindex`, and a `.txnindex` if a transaction
//! was aborted in it.
//!
//! Map: this file holds the segment and its writes; `segment/aborted.rs` its aborted transactions;
//! `segment/search.rs` finds positions; `segment/recover.rs` opens what is on disk.

mod aborted;
mod cleaned;
mod recover;
mod search;

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use broker_env::{Disk, DiskError, DiskErrorKind, File, OpenMode};
use broker_probe::mutant;
use broker_protocol::ids::Offset;

pub(crate) use recover::{ScanFrom, Scanned};
pub(crate) use search::Located;

use crate::batch::BatchInfo;
use crate::error::{Corruption, Damage, LogError};
use crate::index::{Entry, IndexFile, OffsetEntry, TimeEntry};
use crate::names;
use crate::scan::ScanError;
use crate::txn_index::AbortedTxn;

/// Greatest relative offset an index entry can hold for Kafka, which reads it as a signed number.
const LARGEST_RELATIVE: i64 = i32::MAX as i64;

pub(crate) struct Segment {
    pub(crate) base_offset: Offset,
    path: PathBuf,
    log: Arc<dyn File>,
    index: IndexFile<OffsetEntry>,
    time_index: IndexFile<TimeEntry>,
    /// Created with its first entry.
    aborted: Option<IndexFile<AbortedTxn>>,
    /// Bytes of whole batches; the file may be longer after a failed write, or until a truncation is flushed.
    size: u32,
    next_offset: Offset,
    /// Greatest timestamp, and the last offset of the first batch that has it.
    newest: Option<(i64, Offset)>,
    /// Greatest timestamp of the first batch; -1 if it has none.
    first_timestamp: Option<i64>,
    created_ms: i64,
    bytes_since_index_entry: u32,
    log_mark: SyncMark,
    index_mark: SyncMark,
    cut: Cut,
    aborted_cut: Cut,
}

/// Where a truncation ends the file, until the file is really cut there. Shared with the flush that does it:
/// the recovery point on disk must be lowered first, or a power loss in the middle of the cut looks like damage
/// to durable data.
#[derive(Clone, Debug, Default)]
struct Cut(Arc<Mutex<Option<u32>>>);

impl Cut {
    fn lock(&self) -> std::sync::MutexGuard<'_, Option<u32>> {
        // An option is whole between any two of its calls, whoever panicked.
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A file to be cut by a flush.
pub(crate) struct PendingCut {
    file: CutFile,
    position: u32,
    cut: Cut,
}

enum CutFile {
    Open(Arc<dyn File>),
    /// Opened for the cut.
    Closed(Arc<dyn Disk>, PathBuf),
}

impl CutFile {
    fn truncate(&self, position: u32) -> Result<(), DiskError> {
        let position = u64::from(position);
        match self {
            CutFile::Open(file) => file.truncate(position),
            CutFile::Closed(disk, path) => match disk.open(path, OpenMode::Write) {
                // The segment has gone since.
                Err(error) if error.kind == DiskErrorKind::NotFound => Ok(()),
                file => file?.truncate(position),
            },
        }
    }
}

impl PendingCut {
    fn of(file: CutFile, cut: &Cut) -> Option<PendingCut> {
        let position = (*cut.lock())?;
        Some(PendingCut {
            file,
            position,
            cut: cut.clone(),
        })
    }

    /// Cuts once: another flush may have done it, and the file may have grown since; or a later truncation
    /// cuts lower, whose recovery point is only durable in its own flush.
    pub(crate) fn run(&self) -> Result<(), DiskError> {
        let mut cut = self.cut.lock();
        if *cut == Some(self.position) {
            self.file.truncate(self.position)?;
            *cut = None;
        }
        Ok(())
    }
}

/// Counts changes of a file, and up to which of them it is durable.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct SyncMark {
    pub(crate) changes: u64,
    pub(crate) durable: u64,
}

impl SyncMark {
    /// A file about whose durability nothing is known.
    fn unknown() -> SyncMark {
        SyncMark {
            changes: 1,
            durable: 0,
        }
    }

    fn change(&mut self) {
        self.changes += 1;
    }

    pub(crate) fn is_dirty(self) -> bool {
        self.durable < self.changes
    }

    /// Of the durable file that took this one's place.
    fn replaced(self) -> SyncMark {
        SyncMark {
            changes: self.changes + 1,
            durable: self.changes + 1,
        }
    }

    pub(crate) fn synced(&mut self, changes: u64) {
        assert!(
            changes <= self.changes,
            "a sync of change {changes} of {}",
            self.changes
        );
        self.durable = self.durable.max(changes);
    }
}

impl Segment {
    /// An empty segment; replaces files of that name.
    pub(crate) fn create(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        base_offset: Offset,
        now_ms: i64,
    ) -> Result<Segment, DiskError> {
        Segment::create_as(disk, directory, (base_offset, ""), now_ms)
    }

    fn create_as(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        (base_offset, suffix): (Offset, &str),
        now_ms: i64,
    ) -> Result<Segment, DiskError> {
        let file = |extension| {
            let name = names::segment_file(base_offset, extension);
            directory.join(name + suffix)
        };
        let path = file(names::LOG);
        Ok(Segment {
            base_offset,
            log: disk.open(&path, OpenMode::Truncate)?,
            path,
            index: IndexFile::create(disk, &file(names::INDEX))?,
            time_index: IndexFile::create(disk, &file(names::TIME_INDEX))?,
            size: 0,
            next_offset: base_offset,
            newest: None,
            first_timestamp: None,
            created_ms: now_ms,
            bytes_since_index_entry: 0,
            log_mark: SyncMark::unknown(),
            index_mark: SyncMark::unknown(),
            aborted: None,
            cut: Cut::default(),
            aborted_cut: Cut::default(),
        })
    }

    /// All files of the segment but its aborted transactions.
    pub(crate) fn paths(&self) -> [PathBuf; 3] {
        [
            self.path.clone(),
            self.index.path().to_owned(),
            self.time_index.path().to_owned(),
        ]
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn log_file(&self) -> Arc<dyn File> {
        self.log.clone()
    }

    pub(crate) fn pending_cuts(&self) -> impl Iterator<Item = PendingCut> {
        let log = PendingCut::of(CutFile::Open(self.log.clone()), &self.cut);
        log.into_iter().chain(self.pending_aborted_cut())
    }

    pub(crate) fn index_paths(&self) -> impl Iterator<Item = PathBuf> {
        let aborted = self.aborted.as_ref().map(IndexFile::path);
        [self.index.path(), self.time_index.path()]
            .into_iter()
            .chain(aborted)
            .map(Path::to_owned)
    }

    pub(crate) fn size(&self) -> u32 {
        self.size
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.size == 0
    }

    pub(crate) fn next_offset(&self) -> Offset {
        self.next_offset
    }

    /// Greatest timestamp and the last offset of the first batch that has it, if any batch has one.
    pub(crate) fn newest(&self) -> Option<(i64, Offset)> {
        self.newest
    }

    pub(crate) fn created_ms(&self) -> i64 {
        self.created_ms
    }

    pub(crate) fn log_mark(&self) -> SyncMark {
        self.log_mark
    }

    pub(crate) fn index_mark(&self) -> SyncMark {
        self.index_mark
    }

    pub(crate) fn log_synced(&mut self, changes: u64) {
        self.log_mark.synced(changes);
    }

    pub(crate) fn index_synced(&mut self, changes: u64) {
        self.index_mark.synced(changes);
    }

    /// Whether the offset can be stored relative to this segment.
    pub(crate) fn can_hold(&self, offset: Offset) -> bool {
        offset >= self.base_offset && offset - self.base_offset <= LARGEST_RELATIVE
    }

    pub(crate) fn is_index_full(&self, limit_bytes: u32) -> bool {
        let limit = usize::try_from(limit_bytes).expect("32 bits");
        self.index.size_bytes() + OffsetEntry::SIZE > limit
            || self.time_index.size_bytes() + TimeEntry::SIZE > limit
    }

    /// How long the segment has waited to be rolled, by record time if records have it.
    pub(crate) fn waited_ms(&self, now_ms: i64, batch_timestamp: i64) -> i64 {
        match self.first_timestamp {
            Some(first) if first >= 0 => batch_timestamp.saturating_sub(first),
            _ => now_ms.saturating_sub(self.created_ms),
        }
    }

    /// Appends batches whose bytes follow each other. On an error any prefix may have been written.
    pub(crate) fn append(
        &mut self,
        bytes: &[u8],
        batches: &[BatchInfo],
        index_interval_bytes: u32,
    ) -> Result<(), DiskError> {
        if let Err(error) = self.log.write_at(bytes, u64::from(self.size)) {
            self.undo_write()?;
            return Err(error);
        }
        self.log_mark.change();
        let mut position = self.size;
        // Size and next offset move before the indexes, whose failure must not give the offsets out again
        // (L-08).
        for batch in batches {
            self.size += batch.size;
            self.next_offset = batch.next_offset();
        }
        for batch in batches {
            self.note_batch(position, batch, index_interval_bytes)?;
            position += batch.size;
        }
        Ok(())
    }

    /// Whole batches of a write that failed must not come back after a restart. If this fails too, recovery
    /// decides.
    fn undo_write(&mut self) -> Result<(), DiskError> {
        if mutant!(L_07) {
            self.size = u32::try_from(self.log.length()?).unwrap_or(self.size);
            return Ok(());
        }
        self.log.truncate(u64::from(self.size))
    }

    /// Timestamps and index entries of a batch; the same rule for appends and for recovery.
    fn note_batch(
        &mut self,
        position: u32,
        batch: &BatchInfo,
        interval: u32,
    ) -> Result<(), DiskError> {
        if position == 0 {
            self.first_timestamp = Some(batch.max_timestamp);
        }
        if batch.max_timestamp >= 0
            && self
                .newest
                .is_none_or(|(newest, _)| batch.max_timestamp > newest)
        {
            self.newest = Some((batch.max_timestamp, batch.last_offset));
        }
        if self.bytes_since_index_entry > interval {
            let relative_offset = self.relative(batch.last_offset);
            self.index.push(OffsetEntry {
                relative_offset,
                position,
            })?;
            self.push_newest()?;
            self.bytes_since_index_entry = 0;
        }
        self.bytes_since_index_entry = self.bytes_since_index_entry.saturating_add(batch.size);
        Ok(())
    }

    fn push_newest(&mut self) -> Result<(), DiskError> {
        let Some((timestamp, offset)) = self.newest else {
            return Ok(());
        };
        self.time_index.push(TimeEntry {
            timestamp,
            relative_offset: self.relative(offset),
        })
    }

    fn relative(&self, offset: Offset) -> u32 {
        u32::try_from(offset - self.base_offset)
            .expect("appends check that the segment can hold the offset")
    }

    /// No more appends: completes and writes the indexes. The last time entry has the greatest timestamp.
    pub(crate) fn seal(&mut self) -> Result<(), DiskError> {
        self.push_newest()?;
        let stored = self.index.store()?;
        if self.time_index.store()? || stored {
            self.index_mark.change();
        }
        self.store_aborted()
    }

    /// Frees the index entries until a search needs them.
    pub(crate) fn unload_indexes(&mut self) {
        self.index.unload();
        self.time_index.unload();
        if let Some(aborted) = &mut self.aborted {
            aborted.unload();
        }
    }

    /// Ends the segment at the first batch that reaches to `offset`. The file itself is cut by the next flush.
    pub(crate) fn truncate_to(&mut self, offset: Offset) -> Result<(), LogError> {
        if let Some(Located { position, info }) = self.locate(offset)? {
            *self.cut.lock() = Some(position);
            self.size = position;
            self.next_offset = self.base_offset.max(offset.min(info.base_offset));
        }
        let keep = self.next_offset - self.base_offset;
        self.index
            .truncate(|entry| i64::from(entry.relative_offset) < keep)?;
        self.time_index
            .truncate(|entry| i64::from(entry.relative_offset) < keep)?;
        self.truncate_aborted(self.next_offset)?;
        self.log_mark.change();
        self.index_mark.change();
        self.bytes_since_index_entry = 0;
        if self.is_empty() {
            self.first_timestamp = None;
        }
        self.newest = self.find_newest()?;
        Ok(())
    }

    /// Damage found at a position of the log file.
    pub(crate) fn corruption(&self, position: u64, damage: Damage) -> Corruption {
        Corruption {
            path: self.path.clone(),
            position,
            damage,
        }
    }

    pub(crate) fn scan_error(&self, position: u64, error: ScanError) -> LogError {
        match error {
            ScanError::Disk(error) => LogError::Disk(error),
            ScanError::Damaged(damage) => LogError::Corrupt(self.corruption(position, damage)),
        }
    }
}
