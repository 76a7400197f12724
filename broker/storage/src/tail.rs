//! The most recently appended batches, kept in memory so that followers and consumers at the tail read
//! nothing from disk.

use std::collections::VecDeque;

use broker_protocol::ids::Offset;
use bytes::{Bytes, BytesMut};

use crate::batch::BatchInfo;

/// Contiguous batches up to the log end; oldest go first once over the limit.
#[derive(Debug)]
pub(crate) struct TailCache {
    batches: VecDeque<TailBatch>,
    bytes: usize,
    limit_bytes: usize,
}

/// `chunk[start..end]` are the batch's bytes; batches of one append share the chunk.
#[derive(Debug)]
struct TailBatch {
    info: BatchInfo,
    chunk: Bytes,
    start: usize,
    end: usize,
}

impl TailCache {
    pub(crate) fn new(limit_bytes: usize) -> TailCache {
        TailCache {
            batches: VecDeque::new(),
            bytes: 0,
            limit_bytes,
        }
    }

    /// `chunk` is a whole append, `infos` its batches in order.
    pub(crate) fn push(&mut self, chunk: &Bytes, infos: &[BatchInfo]) {
        let mut start = 0;
        for info in infos {
            let end = start + usize::try_from(info.size).expect("32 bits");
            self.batches.push_back(TailBatch {
                info: *info,
                chunk: chunk.clone(),
                start,
                end,
            });
            self.bytes += end - start;
            start = end;
        }
        self.shrink(self.limit_bytes);
    }

    /// Drops the oldest batches until at most `limit_bytes` are held.
    pub(crate) fn shrink(&mut self, limit_bytes: usize) {
        while self.bytes > limit_bytes {
            let Some(oldest) = self.batches.pop_front() else {
                break;
            };
            self.bytes -= oldest.end - oldest.start;
        }
    }

    pub(crate) fn set_limit(&mut self, limit_bytes: usize) {
        self.limit_bytes = limit_bytes;
        self.shrink(limit_bytes);
    }

    /// Drops batches that reach to `offset` or beyond.
    pub(crate) fn truncate(&mut self, offset: Offset) {
        while self
            .batches
            .back()
            .is_some_and(|batch| batch.info.last_offset >= offset)
        {
            let newest = self.batches.pop_back().expect("just seen");
            self.bytes -= newest.end - newest.start;
        }
    }

    /// Drops batches that end below `offset`.
    pub(crate) fn forget_below(&mut self, offset: Offset) {
        while self
            .batches
            .front()
            .is_some_and(|batch| batch.info.last_offset < offset)
        {
            let oldest = self.batches.pop_front().expect("just seen");
            self.bytes -= oldest.end - oldest.start;
        }
    }

    pub(crate) fn clear(&mut self) {
        self.batches.clear();
        self.bytes = 0;
    }

    /// Whole batches from the one that holds `offset`, below `max_offset`; `None` if the cache does not
    /// reach back to `offset`.
    pub(crate) fn read(
        &self,
        offset: Offset,
        max_bytes: usize,
        max_offset: Offset,
        one: bool,
    ) -> Option<TailRead> {
        if self.batches.front()?.info.base_offset > offset {
            return None;
        }
        let first = self
            .batches
            .partition_point(|batch| batch.info.last_offset < offset);
        if first == self.batches.len() {
            return None;
        }
        let mut bytes = 0;
        let mut end = first;
        let over_limit = !one && self.batches[first].end - self.batches[first].start > max_bytes;
        for batch in self.batches.range(first..) {
            let size = batch.end - batch.start;
            let fits = bytes + size <= max_bytes || (one && end == first);
            if batch.info.last_offset >= max_offset || !fits {
                break;
            }
            bytes += size;
            end += 1;
        }
        let last = (end > first).then(|| self.batches[end - 1].info);
        let first_info = last.map(|_| self.batches[first].info);
        Some(TailRead {
            records: self.gather(first, end, bytes),
            first: first_info,
            last,
            over_limit,
        })
    }

    /// Zero-copy if all batches came in one append.
    fn gather(&self, first: usize, end: usize, bytes: usize) -> Bytes {
        if first == end {
            return Bytes::new();
        }
        let (from, to) = (&self.batches[first], &self.batches[end - 1]);
        // Two appends may share a buffer too; the length tells that nothing lies between.
        if from.chunk.as_ptr() == to.chunk.as_ptr() && to.end.saturating_sub(from.start) == bytes {
            return from.chunk.slice(from.start..to.end);
        }
        let mut gathered = BytesMut::with_capacity(bytes);
        for batch in self.batches.range(first..end) {
            gathered.extend_from_slice(&batch.chunk[batch.start..batch.end]);
        }
        gathered.freeze()
    }
}

/// What the cache gave; `first` and `last` are the batches at both ends of `records`.
#[derive(Debug)]
pub(crate) struct TailRead {
    pub(crate) records: Bytes,
    pub(crate) first: Option<BatchInfo>,
    pub(crate) last: Option<BatchInfo>,
    /// The first batch alone is larger than was asked for.
    pub(crate) over_limit: bool,
}
