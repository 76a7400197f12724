//! Walking the batches of a segment file from a position, by headers only or with their content checked.

use std::sync::Arc;

use broker_env::{DiskError, File};
use broker_protocol::record::{BatchView, EndTxnMarker, HEADER_SIZE};

use crate::batch::{BatchInfo, end_txn_marker};
use crate::error::Damage;

/// Read-ahead of a walk over a whole file.
pub(crate) const SEQUENTIAL_BYTES: usize = 1 << 20;
/// Read-ahead of a search that ends after about one index interval.
pub(crate) const SEARCH_BYTES: usize = 8 << 10;

#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum ScanError {
    Disk(DiskError),
    /// At [`BatchScanner::position`].
    Damaged(Damage),
}

impl From<DiskError> for ScanError {
    fn from(error: DiskError) -> ScanError {
        ScanError::Disk(error)
    }
}

impl From<Damage> for ScanError {
    fn from(damage: Damage) -> ScanError {
        ScanError::Damaged(damage)
    }
}

pub(crate) struct BatchScanner {
    file: Arc<dyn File>,
    position: u64,
    end: u64,
    read_ahead: usize,
    buffer: Vec<u8>,
    buffer_at: u64,
}

impl BatchScanner {
    /// Walks `[position, end)`; `position` must be a batch boundary.
    pub(crate) fn new(
        file: Arc<dyn File>,
        position: u64,
        end: u64,
        read_ahead: usize,
    ) -> BatchScanner {
        BatchScanner {
            file,
            position,
            end,
            read_ahead,
            buffer: Vec::new(),
            buffer_at: 0,
        }
    }

    /// Where the next batch starts, or where the walk ended.
    pub(crate) fn position(&self) -> u64 {
        self.position
    }

    /// The next batch's position and header; does not look at its content. `None` at the end.
    pub(crate) fn next_info(&mut self) -> Result<Option<(u64, BatchInfo)>, ScanError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let info = self.peek()?;
        let position = self.position;
        self.position += u64::from(info.size);
        Ok(Some((position, info)))
    }

    /// The next batch with its bytes, after checking checksum and header. `None` at the end.
    pub(crate) fn next_batch(&mut self) -> Result<Option<(BatchInfo, &[u8])>, ScanError> {
        if self.position >= self.end {
            return Ok(None);
        }
        let info = self.peek()?;
        let position = self.position;
        let size = usize::try_from(info.size).expect("32 bits");
        let batch = BatchView::new(self.window(size)?).map_err(Damage::from)?;
        batch.validate().map_err(Damage::from)?;
        self.position += u64::from(info.size);
        let start = usize::try_from(position - self.buffer_at).expect("inside of the buffer");
        Ok(Some((info, &self.buffer[start..start + size])))
    }

    /// As [`BatchScanner::next_info`], and how the batch ends a transaction, if it does.
    pub(crate) fn next_with_marker(
        &mut self,
    ) -> Result<Option<(BatchInfo, Option<EndTxnMarker>)>, ScanError> {
        if self.position >= self.end {
            return Ok(None);
        }
        if !self.peek()?.may_be_marker() {
            return Ok(self.next_info()?.map(|(_, info)| (info, None)));
        }
        let Some((info, bytes)) = self.next_batch()? else {
            return Ok(None);
        };
        let batch = BatchView::new(bytes).map_err(Damage::from)?;
        let marker = end_txn_marker(&batch);
        Ok(Some((info, marker)))
    }

    fn peek(&mut self) -> Result<BatchInfo, ScanError> {
        let header = self.window(HEADER_SIZE)?;
        let info =
            BatchInfo::from_header(header.try_into().expect("a window has the asked length"))?;
        let available = self.end - self.position;
        if u64::from(info.size) > available {
            return Err(Damage::Cut {
                needed: u64::from(info.size),
                available,
            }
            .into());
        }
        Ok(info)
    }

    /// `length` bytes from `position` on.
    fn window(&mut self, length: usize) -> Result<&[u8], ScanError> {
        let needed = u64::try_from(length).expect("64 bits hold a usize");
        let available = self.end - self.position;
        if needed > available {
            return Err(Damage::Cut { needed, available }.into());
        }
        let buffered_end =
            self.buffer_at + u64::try_from(self.buffer.len()).expect("64 bits hold a usize");
        if self.position < self.buffer_at || self.position + needed > buffered_end {
            self.fill(length)?;
        }
        let start = usize::try_from(self.position - self.buffer_at).expect("inside of the buffer");
        match self.buffer.get(start..start + length) {
            Some(window) => Ok(window),
            None => Err(Damage::Cut {
                needed,
                available: buffered_end.saturating_sub(self.position),
            }
            .into()),
        }
    }

    /// Bounded by the file's length: a declared length was checked against it before.
    fn fill(&mut self, length: usize) -> Result<(), DiskError> {
        let available = usize::try_from(self.end - self.position).unwrap_or(usize::MAX);
        self.buffer
            .resize(length.max(self.read_ahead).min(available), 0);
        self.buffer_at = self.position;
        let read = self.file.read_at(&mut self.buffer, self.position)?;
        self.buffer.truncate(read);
        Ok(())
    }
}
