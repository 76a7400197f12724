//! Finding batches in a segment by offset or timestamp, starting from an index entry that proves right.

use broker_env::DiskError;
use broker_probe::probe;
use broker_protocol::ids::Offset;
use bytes::Bytes;

use super::Segment;
use crate::batch::BatchInfo;
use crate::buffers;
use crate::error::{Damage, LogError};
use crate::index::{OffsetEntry, TimeEntry};
use crate::scan::{BatchScanner, SEARCH_BYTES, SEQUENTIAL_BYTES};

/// A batch and where it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Located {
    pub(crate) position: u32,
    pub(crate) info: BatchInfo,
}

impl Segment {
    /// The first batch whose last offset is at least `offset`.
    pub(crate) fn locate(&self, offset: Offset) -> Result<Option<Located>, LogError> {
        if offset >= self.next_offset {
            return Ok(None);
        }
        let start = self.start_for_offset(offset)?;
        self.first_from(start, SEARCH_BYTES, |info| info.last_offset >= offset)
    }

    /// The first batch that has a record at or after `timestamp` and reaches to `offset`.
    pub(crate) fn locate_timestamp(
        &self,
        timestamp: i64,
        offset: Offset,
    ) -> Result<Option<Located>, LogError> {
        if timestamp < 0 {
            // Every batch matches, also one whose records have no timestamp (-1).
            return self.locate(offset);
        }
        if self.newest.is_none_or(|(newest, _)| newest < timestamp) {
            return Ok(None);
        }
        let start = self
            .start_for_timestamp(timestamp)?
            .max(self.start_for_offset(offset)?);
        let matches =
            |info: &BatchInfo| info.max_timestamp >= timestamp && info.last_offset >= offset;
        self.first_from(start, SEARCH_BYTES, matches)
    }

    /// Reads a batch found by a search, and checks its content.
    pub(crate) fn read_batch(&self, located: Located) -> Result<Bytes, LogError> {
        let position = u64::from(located.position);
        let end = position + u64::from(located.info.size);
        let mut scanner = BatchScanner::new(self.log.clone(), position, end, 0);
        match scanner.next_batch() {
            Ok(Some((_, bytes))) => Ok(Bytes::copy_from_slice(bytes)),
            Ok(None) => Ok(Bytes::new()),
            Err(error) => Err(self.scan_error(position, error)),
        }
    }

    /// Exactly `length` bytes at `position`.
    pub(crate) fn read_exact(&self, position: u32, length: usize) -> Result<Bytes, LogError> {
        buffers::read_into(length, |bytes| {
            let read = self.log.read_at(bytes, u64::from(position))?;
            if read < length {
                let as_u64 = |count| u64::try_from(count).expect("64 bits hold a usize");
                let damage = Damage::Cut {
                    needed: as_u64(length),
                    available: as_u64(read),
                };
                return Err(self.corruption(u64::from(position), damage).into());
            }
            Ok(())
        })
    }

    /// As [`Segment::newest`], among batches that reach to `offset`.
    pub(crate) fn newest_from(&self, offset: Offset) -> Result<Option<(i64, Offset)>, LogError> {
        match (self.newest, self.locate(offset)?) {
            (Some((_, newest)), Some(located)) if newest < offset => {
                self.newest_after(located.position, None)
            }
            (newest, _) => Ok(newest),
        }
    }

    /// The greatest timestamp and its offset, from the last time entry and the batches after it.
    pub(super) fn find_newest(&self) -> Result<Option<(i64, Offset)>, LogError> {
        let last = self.time_index.last()?;
        let newest = last.map(|entry| (entry.timestamp, self.absolute(entry.relative_offset)));
        match newest {
            Some((_, offset)) => self.newest_after(self.start_for_offset(offset)?, newest),
            None => self.newest_after(0, None),
        }
    }

    fn newest_after(
        &self,
        start: u32,
        mut newest: Option<(i64, Offset)>,
    ) -> Result<Option<(i64, Offset)>, LogError> {
        let mut scanner = self.scanner(start, SEQUENTIAL_BYTES);
        loop {
            let position = scanner.position();
            match scanner
                .next_info()
                .map_err(|error| self.scan_error(position, error))?
            {
                None => return Ok(newest),
                Some((_, info)) if info.max_timestamp < 0 => {}
                Some((_, info)) => {
                    if newest.is_none_or(|(timestamp, _)| info.max_timestamp > timestamp) {
                        newest = Some((info.max_timestamp, info.last_offset));
                    }
                }
            }
        }
    }

    fn start_for_offset(&self, offset: Offset) -> Result<u32, DiskError> {
        let relative = offset - self.base_offset;
        let entry = self
            .index
            .floor(|entry| i64::from(entry.relative_offset) <= relative)?;
        match entry {
            Some(entry) if self.is_right(entry)? => Ok(entry.position),
            Some(_) => {
                probe!("storage: index entry disproved by the log");
                tracing::warn!(segment = %self.path.display(), offset, "index entry is wrong, searching without it");
                Ok(0)
            }
            None => Ok(0),
        }
    }

    /// Everything before the entry's batch is older than the entry's timestamp.
    fn start_for_timestamp(&self, timestamp: i64) -> Result<u32, LogError> {
        let entry = self
            .time_index
            .floor(|entry| entry.timestamp <= timestamp)?;
        let Some(TimeEntry {
            timestamp,
            relative_offset,
        }) = entry
        else {
            return Ok(0);
        };
        let offset = self.absolute(relative_offset);
        match self.locate(offset)? {
            Some(Located { position, info })
                if info.last_offset == offset && info.max_timestamp == timestamp =>
            {
                Ok(position)
            }
            _ => {
                probe!("storage: time index entry disproved by the log");
                Ok(0)
            }
        }
    }

    pub(super) fn is_right(&self, entry: OffsetEntry) -> Result<bool, DiskError> {
        if entry.position >= self.size {
            return Ok(false);
        }
        let next = self.scanner(entry.position, SEARCH_BYTES).next_info();
        Ok(
            matches!(next, Ok(Some((_, info))) if info.last_offset == self.absolute(entry.relative_offset)),
        )
    }

    /// Also an index that a crash left beside a log that was cleaned since must not be believed.
    pub(super) fn is_right_time(&self, entry: TimeEntry) -> Result<bool, LogError> {
        let offset = self.absolute(entry.relative_offset);
        let located = match self.locate(offset) {
            Ok(located) => located,
            Err(LogError::Corrupt(_)) => return Ok(false),
            Err(error) => return Err(error),
        };
        Ok(located.is_some_and(|located| {
            let info = located.info;
            info.last_offset == offset && info.max_timestamp == entry.timestamp
        }))
    }

    fn first_from(
        &self,
        start: u32,
        read_ahead: usize,
        matches: impl Fn(&BatchInfo) -> bool,
    ) -> Result<Option<Located>, LogError> {
        let mut scanner = self.scanner(start, read_ahead);
        loop {
            let position = scanner.position();
            match scanner
                .next_info()
                .map_err(|error| self.scan_error(position, error))?
            {
                None => return Ok(None),
                Some((position, info)) if matches(&info) => {
                    let position = u32::try_from(position).expect("a segment is below 4 GiB");
                    return Ok(Some(Located { position, info }));
                }
                Some(_) => {}
            }
        }
    }

    pub(crate) fn scanner(&self, start: u32, read_ahead: usize) -> BatchScanner {
        BatchScanner::new(
            self.log.clone(),
            u64::from(start),
            u64::from(self.size),
            read_ahead,
        )
    }

    fn absolute(&self, relative_offset: u32) -> Offset {
        self.base_offset + i64::from(relative_offset)
    }
}
