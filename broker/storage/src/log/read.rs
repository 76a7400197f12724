//! Reading whole batches by offset, and finding them by timestamp.

use broker_probe::{mutant, probe};
use broker_protocol::ids::Offset;
use broker_protocol::record::Batches;
use bytes::Bytes;

use super::Log;
use crate::batch::BatchInfo;
use crate::error::{Damage, LogError};
use crate::segment::{Located, Segment};

/// Whole batches, as stored.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogRead {
    /// Empty if nothing was readable.
    pub records: Bytes,
    /// The first batch of `records`; it may start below the asked offset.
    pub first: Option<BatchInfo>,
    /// After the last batch of `records`; the asked offset if there is none.
    pub next_offset: Offset,
    /// Whether a batch was there but over `max_bytes`.
    pub over_limit: bool,
}

impl LogRead {
    fn empty(offset: Offset, over_limit: bool) -> LogRead {
        LogRead {
            records: Bytes::new(),
            first: None,
            next_offset: offset,
            over_limit,
        }
    }
}

/// A batch found by timestamp; the record searched for is inside.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TimestampHit {
    pub info: BatchInfo,
    pub records: Bytes,
}

impl Log {
    /// Whole batches from the one that holds `offset` (or the next one there is), up to `max_bytes`, each
    /// entirely below `max_offset` (exclusive: high watermark, last stable offset or log end). With
    /// `min_one_message` the first batch comes even if it alone is over `max_bytes`.
    ///
    /// The limit is the argument and nothing else: it is never read again from a live log (L-10). Batches
    /// that come from disk are checked.
    pub fn read(
        &self,
        offset: Offset,
        max_bytes: usize,
        max_offset: Offset,
        min_one_message: bool,
    ) -> Result<LogRead, LogError> {
        self.check_usable()?;
        let (log_start, log_end) = (self.log_start, self.log_end);
        if offset < log_start || offset > log_end {
            return Err(LogError::OutOfRange {
                offset,
                log_start,
                log_end,
            });
        }
        // L-10: the limit is the caller's, of one moment; the log end may have moved on since.
        let max_offset = if mutant!(L_10) {
            log_end
        } else {
            max_offset.min(log_end)
        };
        if offset >= max_offset {
            return Ok(LogRead::empty(offset, false));
        }
        if let Some(read) = self
            .tail
            .read(offset, max_bytes, max_offset, min_one_message)
        {
            let next_offset = read.last.map_or(offset, |last| last.next_offset());
            let over_limit = read.over_limit && read.last.is_none();
            return Ok(LogRead {
                records: read.records,
                first: read.first,
                next_offset,
                over_limit,
            });
        }
        probe!("storage: read from disk");
        self.watch(self.read_segments(offset, max_bytes, max_offset, min_one_message))
    }

    fn read_segments(
        &self,
        offset: Offset,
        max_bytes: usize,
        max_offset: Offset,
        min_one_message: bool,
    ) -> Result<LogRead, LogError> {
        // The segment that should hold the offset; later ones if its end was compacted away.
        let floor = self
            .segments
            .range(..=offset)
            .next_back()
            .map_or(offset, |(base, _)| *base);
        for segment in self
            .segments
            .range(floor..max_offset)
            .map(|(_, segment)| segment)
        {
            let Some(first) = segment.locate(offset)? else {
                continue;
            };
            if first.info.last_offset >= max_offset {
                break;
            }
            return read_from(
                segment,
                first,
                offset,
                max_bytes,
                max_offset,
                min_one_message,
            );
        }
        Ok(LogRead::empty(offset, false))
    }

    /// The first batch with a record at or after `timestamp`, not entirely below the log start. The caller
    /// finds the record in it; limits it to its high watermark; and goes on with [`Log::find_timestamp_from`]
    /// should the batch's matching record be below the log start.
    pub fn find_timestamp(&self, timestamp: i64) -> Result<Option<TimestampHit>, LogError> {
        self.find_timestamp_from(timestamp, self.log_start)
    }

    /// As [`Log::find_timestamp`], among batches that reach to `offset`.
    pub fn find_timestamp_from(
        &self,
        timestamp: i64,
        offset: Offset,
    ) -> Result<Option<TimestampHit>, LogError> {
        self.check_usable()?;
        let floor = self
            .segments
            .range(..=offset)
            .next_back()
            .map_or(offset, |(base, _)| *base);
        for segment in self.segments.range(floor..).map(|(_, segment)| segment) {
            if let Some(located) = self.watch(segment.locate_timestamp(timestamp, offset))? {
                return self.watch(hit(segment, located)).map(Some);
            }
        }
        Ok(None)
    }

    /// The first batch that has the log's greatest timestamp (KIP-734); `None` if no batch has a timestamp.
    pub fn find_max_timestamp(&self) -> Result<Option<TimestampHit>, LogError> {
        self.check_usable()?;
        let mut newest: Option<(i64, Offset, &Segment)> = None;
        for segment in self
            .segments
            .values()
            .filter(|segment| segment.next_offset() > self.log_start)
        {
            let Some((timestamp, offset)) = self.watch(segment.newest_from(self.log_start))? else {
                continue;
            };
            if newest.is_none_or(|(greatest, _, _)| timestamp > greatest) {
                newest = Some((timestamp, offset, segment));
            }
        }
        let Some((_, offset, segment)) = newest else {
            return Ok(None);
        };
        match self.watch(segment.locate(offset))? {
            Some(located) => self.watch(hit(segment, located)).map(Some),
            None => Ok(None),
        }
    }
}

fn hit(segment: &Segment, located: Located) -> Result<TimestampHit, LogError> {
    Ok(TimestampHit {
        info: located.info,
        records: segment.read_batch(located)?,
    })
}

fn read_from(
    segment: &Segment,
    first: Located,
    offset: Offset,
    max_bytes: usize,
    max_offset: Offset,
    min_one_message: bool,
) -> Result<LogRead, LogError> {
    let limit = match segment.locate(max_offset)? {
        Some(beyond) => beyond.position,
        None => segment.size(),
    };
    let as_usize = |bytes: u32| usize::try_from(bytes).expect("32 bits");
    let first_size = as_usize(first.info.size);
    let budget = if min_one_message {
        max_bytes.max(first_size)
    } else {
        max_bytes
    };
    let length = as_usize(limit - first.position).min(budget);
    if length < first_size {
        return Ok(LogRead::empty(offset, true));
    }
    let mut bytes = segment.read_exact(first.position, length)?;
    let (whole, last) = check_batches(segment, first.position, &bytes)?;
    bytes.truncate(whole);
    Ok(LogRead {
        records: bytes,
        first: Some(first.info),
        next_offset: last.next_offset(),
        over_limit: false,
    })
}

/// Bytes of the whole batches, and the last of them; at least one is whole.
fn check_batches(
    segment: &Segment,
    position: u32,
    bytes: &[u8],
) -> Result<(usize, BatchInfo), LogError> {
    let mut batches = Batches::new(bytes);
    let mut last: Option<BatchInfo> = None;
    loop {
        let at = u64::from(position)
            + u64::try_from(batches.complete_bytes()).expect("64 bits hold a usize");
        let corrupt = |damage: Damage| {
            probe!("storage: damage found by a read");
            segment.corruption(at, damage)
        };
        let Some(batch) = batches.next() else { break };
        let batch = batch.map_err(|error| corrupt(error.into()))?;
        batch.validate().map_err(|error| corrupt(error.into()))?;
        let info = BatchInfo::of(&batch);
        if let Some(last) = last.filter(|last| info.base_offset <= last.last_offset) {
            let damage = Damage::OffsetOrder {
                expected: last.next_offset(),
                base_offset: info.base_offset,
            };
            return Err(corrupt(damage).into());
        }
        last = Some(info);
    }
    match last {
        Some(last) => Ok((batches.complete_bytes(), last)),
        None => {
            let available = u64::try_from(bytes.len()).expect("64 bits hold a usize");
            Err(segment
                .corruption(
                    u64::from(position),
                    Damage::Cut {
                        needed: available + 1,
                        available,
                    },
                )
                .into())
        }
    }
}
