//! Opening a segment that is on disk: trusting its indexes, or scanning every batch and rebuilding them.

use std::path::Path;
use std::sync::Arc;

use broker_env::{Disk, DiskError, OpenMode};
use broker_probe::probe;
use broker_protocol::ids::{LeaderEpoch, Offset};

use super::{Cut, LARGEST_RELATIVE, Segment, SyncMark};
use crate::epochs::EpochHistory;
use crate::error::{Damage, LogError};
use crate::index::IndexFile;
use crate::names;
use crate::scan::{BatchScanner, SEQUENTIAL_BYTES, ScanError};

/// What must hold where a scan starts.
pub(crate) struct ScanFrom<'a> {
    /// No batch may start below this.
    pub(crate) expected: Offset,
    /// Learns the epochs of the batches that are right.
    pub(crate) epochs: &'a mut EpochHistory,
    pub(crate) index_interval_bytes: u32,
}

/// A scanned segment holds the batches before the first damage; nothing was cut yet.
pub(crate) struct Scanned {
    pub(crate) segment: Segment,
    pub(crate) damage: Option<Damage>,
    /// Transactions end in it: which were aborted has to be told again.
    pub(crate) has_markers: bool,
}

impl Segment {
    /// Opens a segment that was durable, header of the last batches only. `None` if its indexes or its end
    /// are not as they should be: then scan it.
    pub(crate) fn open_durable(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        base_offset: Offset,
        now_ms: i64,
    ) -> Result<Option<Segment>, LogError> {
        let file = |extension| directory.join(names::segment_file(base_offset, extension));
        let path = file(names::LOG);
        let log = disk.open(&path, OpenMode::Write)?;
        let Ok(size) = u32::try_from(log.length()?) else {
            return Ok(None);
        };
        let (Some(index), Some(time_index)) = (
            IndexFile::open_sound(disk, &file(names::INDEX))?,
            IndexFile::open_sound(disk, &file(names::TIME_INDEX))?,
        ) else {
            return Ok(None);
        };
        let mut segment = Segment {
            base_offset,
            path,
            log,
            index,
            time_index,
            size,
            next_offset: base_offset,
            newest: None,
            first_timestamp: None,
            created_ms: now_ms,
            bytes_since_index_entry: 0,
            log_mark: SyncMark::default(),
            index_mark: SyncMark::default(),
            aborted: None,
            cut: Cut::default(),
            aborted_cut: Cut::default(),
        };
        let sound = segment.read_ends()? && segment.open_aborted(disk)?;
        Ok(sound.then_some(segment))
    }

    /// First timestamp, next offset and newest timestamp. Whether the file ends with a whole batch.
    fn read_ends(&mut self) -> Result<bool, LogError> {
        let start = match self.index.last()? {
            Some(entry) if self.is_right(entry)? => entry.position,
            Some(_) => return Ok(false),
            None => 0,
        };
        match self.scanner(0, 0).next_info() {
            Ok(first) => self.first_timestamp = first.map(|(_, info)| info.max_timestamp),
            Err(ScanError::Damaged(_)) => return Ok(false),
            Err(ScanError::Disk(error)) => return Err(error.into()),
        }
        let mut scanner = self.scanner(start, SEQUENTIAL_BYTES);
        loop {
            match scanner.next_info() {
                Ok(Some((_, info))) if self.can_hold(info.last_offset) => {
                    self.next_offset = info.next_offset()
                }
                Ok(None) => break,
                Ok(Some(_)) | Err(ScanError::Damaged(_)) => return Ok(false),
                Err(ScanError::Disk(error)) => return Err(error.into()),
            }
        }
        match self.time_index.last()? {
            Some(entry) if !self.is_right_time(entry)? => return Ok(false),
            _ => {}
        }
        self.newest = match self.find_newest() {
            Ok(newest) => newest,
            Err(LogError::Corrupt(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(true)
    }

    /// Reads and checks every batch and rebuilds both indexes.
    pub(crate) fn scan(
        disk: &Arc<dyn Disk>,
        directory: &Path,
        base_offset: Offset,
        now_ms: i64,
        from: ScanFrom<'_>,
    ) -> Result<Scanned, DiskError> {
        probe!("storage: segment scanned");
        let file = |extension| directory.join(names::segment_file(base_offset, extension));
        let path = file(names::LOG);
        let log = disk.open(&path, OpenMode::Write)?;
        let length = log.length()?;
        let mut segment = Segment {
            base_offset,
            path,
            log,
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
        };
        segment.forget_aborted(disk)?;
        let mut has_markers = false;
        let damage = segment.scan_batches(length, from, &mut has_markers)?;
        Ok(Scanned {
            segment,
            damage,
            has_markers,
        })
    }

    fn scan_batches(
        &mut self,
        length: u64,
        from: ScanFrom<'_>,
        has_markers: &mut bool,
    ) -> Result<Option<Damage>, DiskError> {
        // Kafka's positions are signed 32-bit numbers: what lies beyond was not written by a broker.
        let end = length.min(u64::from(u32::MAX / 2));
        let mut scanner = BatchScanner::new(self.log.clone(), 0, end, SEQUENTIAL_BYTES);
        let mut expected = from.expected;
        loop {
            let info = match scanner.next_batch() {
                Ok(Some((info, _))) => info,
                Ok(None) => return Ok(None),
                Err(ScanError::Damaged(damage)) => return Ok(Some(damage)),
                Err(ScanError::Disk(error)) => return Err(error),
            };
            if let Err(damage) = self.check_order(expected, from.epochs.latest(), &info) {
                return Ok(Some(damage));
            }
            *has_markers |= info.may_be_marker();
            from.epochs.assign(info.leader_epoch, info.base_offset);
            self.note_batch(self.size, &info, from.index_interval_bytes)?;
            self.size += info.size;
            self.next_offset = info.next_offset();
            expected = self.next_offset;
        }
    }

    fn check_order(
        &self,
        expected: Offset,
        latest: Option<LeaderEpoch>,
        info: &crate::BatchInfo,
    ) -> Result<(), Damage> {
        if info.base_offset < expected {
            return Err(Damage::OffsetOrder {
                expected,
                base_offset: info.base_offset,
            });
        }
        if info.last_offset - self.base_offset > LARGEST_RELATIVE {
            return Err(Damage::RelativeOffset {
                base_offset: self.base_offset,
                last_offset: info.last_offset,
            });
        }
        match latest {
            Some(latest) if info.leader_epoch.0 >= 0 && info.leader_epoch < latest => {
                Err(Damage::EpochOrder {
                    latest,
                    epoch: info.leader_epoch,
                })
            }
            _ => Ok(()),
        }
    }

    /// Cuts off what is not whole and right batches. Whether there was any.
    pub(crate) fn cut_tail(&mut self) -> Result<bool, DiskError> {
        if self.log.length()? == u64::from(self.size) {
            return Ok(false);
        }
        self.log.truncate(u64::from(self.size))?;
        self.log_mark.change();
        Ok(true)
    }
}
