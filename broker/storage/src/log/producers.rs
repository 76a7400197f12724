//! Snapshots of the producers' state beside the segments, and the batches behind one.
//!
//! The log does not know the state: who keeps it writes a snapshot where a segment begins and when the log is
//! closed, and after opening or truncating takes the newest one and replays what is behind it. A snapshot is
//! durable with the next flush. The oldest segments stay until a snapshot at their end is, because then it is
//! all that is left of their producers (KIP-360).

use std::collections::BTreeMap;
use std::ops::Bound;
use std::path::PathBuf;
use std::sync::Arc;

use broker_env::{Disk, DiskError, File, OpenMode};
use broker_probe::{mutant, probe};
use broker_protocol::ids::Offset;
use broker_protocol::record::EndTxnMarker;

use super::Log;
use crate::batch::BatchInfo;
use crate::checkpoint::read_file;
use crate::error::LogError;
use crate::names;
use crate::producer_snapshot::{ProducerSnapshotEntry, decode, encode};
use crate::scan::SEQUENTIAL_BYTES;

/// The snapshots of a log by offset; with the file while it is not durable.
#[derive(Default)]
pub(super) struct Snapshots(BTreeMap<Offset, Option<Arc<dyn File>>>);

impl Snapshots {
    pub(super) fn new(offsets: impl IntoIterator<Item = Offset>) -> Snapshots {
        Snapshots(offsets.into_iter().map(|offset| (offset, None)).collect())
    }

    /// The newest not above `limit`; for a log that starts there it is the oldest that is needed.
    fn newest_to(&self, limit: Offset) -> Option<Offset> {
        let (offset, _) = self.0.range(..=limit).next_back()?;
        Some(*offset)
    }

    /// What a flush has to sync.
    pub(super) fn dirty(&self) -> Vec<(Offset, Arc<dyn File>)> {
        // Closing a file does not make it durable (KAFKA-9892).
        if mutant!(L_04) {
            return Vec::new();
        }
        let dirty = self.0.iter();
        dirty
            .filter_map(|(offset, file)| Some((*offset, file.clone()?)))
            .collect()
    }

    pub(super) fn synced(&mut self, offset: Offset) {
        if let Some(file) = self.0.get_mut(&offset) {
            *file = None;
        }
    }

    /// Whether one at or above `offset` is there but may not survive a power loss, and no other is.
    fn only_volatile_from(&self, offset: Offset) -> bool {
        let mut newer = self.0.range(offset..).peekable();
        newer.peek().is_some() && newer.all(|(_, file)| file.is_some()) && !mutant!(L_04)
    }
}

impl Log {
    /// Writes the state that the log below `offset` gives; durable with the next flush.
    pub fn write_producer_snapshot(
        &mut self,
        offset: Offset,
        entries: &[ProducerSnapshotEntry],
    ) -> Result<(), LogError> {
        self.check_usable()?;
        let path = self.snapshot_path(offset);
        let written = write(self.disk.as_ref(), &path, &encode(entries)).map_err(LogError::from);
        let file = self.watch(written)?;
        self.producer_snapshots.0.insert(offset, Some(file));
        self.versions.names_changed();
        Ok(())
    }

    /// The newest snapshot not above `limit` that is whole, with its offset. Damaged ones are removed.
    pub fn read_producer_snapshot(
        &mut self,
        limit: Offset,
    ) -> Result<Option<(Offset, Vec<ProducerSnapshotEntry>)>, LogError> {
        while let Some(offset) = self.producer_snapshots.newest_to(limit) {
            let path = self.snapshot_path(offset);
            let read = read_file(self.disk.as_ref(), &path).map_err(LogError::from);
            if let Some(entries) = self.watch(read)?.as_deref().and_then(decode) {
                return Ok(Some((offset, entries)));
            }
            probe!("storage: damaged producer snapshot removed");
            self.remove_snapshots((Bound::Included(offset), Bound::Included(offset)))?;
        }
        Ok(None)
    }

    /// Headers of the batches that reach to `offset` or above, in order, and how they end transactions. Only of
    /// such the content is looked at.
    pub fn for_each_batch_from(
        &self,
        offset: Offset,
        mut visit: impl FnMut(&BatchInfo, Option<EndTxnMarker>),
    ) -> Result<(), LogError> {
        let floor = self.segments.range(..=offset).next_back();
        let floor = floor.map_or(offset, |(base, _)| *base);
        for segment in self.segments.range(floor..).map(|(_, segment)| segment) {
            let Some(first) = self.watch(segment.locate(offset))? else {
                continue;
            };
            let mut scanner = segment.scanner(first.position, SEQUENTIAL_BYTES);
            loop {
                let position = scanner.position();
                let next = scanner.next_with_marker();
                let next = next.map_err(|error| segment.scan_error(position, error));
                match self.watch(next)? {
                    Some((info, marker)) => visit(&info, marker),
                    None => break,
                }
            }
        }
        Ok(())
    }

    /// Base offset of the segment that gets the next batch.
    pub fn active_base_offset(&self) -> Offset {
        self.active().base_offset
    }

    pub(super) fn remove_snapshots(
        &mut self,
        range: (Bound<Offset>, Bound<Offset>),
    ) -> Result<(), LogError> {
        let doomed: Vec<Offset> = self
            .producer_snapshots
            .0
            .range(range)
            .map(|(offset, _)| *offset)
            .collect();
        for offset in doomed {
            let path = self.snapshot_path(offset);
            if self.disk.exists(&path) {
                let removed = self.disk.remove(&path).map_err(LogError::from);
                self.watch(removed)?;
            }
            self.producer_snapshots.0.remove(&offset);
            self.versions.names_changed();
        }
        Ok(())
    }

    /// Those before the one that the first segment goes on from.
    pub(super) fn remove_old_snapshots(&mut self, first_base: Offset) -> Result<(), LogError> {
        match self.producer_snapshots.newest_to(first_base) {
            Some(newest) => self.remove_snapshots((Bound::Unbounded, Bound::Excluded(newest))),
            None => Ok(()),
        }
    }

    /// Whether the producers of everything below `offset` would be lost with a power loss.
    pub(super) fn producers_are_volatile(&self, offset: Offset) -> bool {
        self.producer_snapshots.only_volatile_from(offset)
    }

    fn snapshot_path(&self, offset: Offset) -> PathBuf {
        self.directory
            .join(names::segment_file(offset, names::PRODUCER_SNAPSHOT))
    }
}

fn write(
    disk: &dyn Disk,
    path: &std::path::Path,
    content: &[u8],
) -> Result<Arc<dyn File>, DiskError> {
    let file = disk.open(path, OpenMode::Truncate)?;
    file.write_at(content, 0)?;
    Ok(file)
}
