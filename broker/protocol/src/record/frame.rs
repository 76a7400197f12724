//! Walking concatenated batches; a partial last one, as a fetch or a torn write leaves it, ends the walk.

use bytes::Bytes;

use super::batch::{HEADER_SIZE, LENGTH, LOG_OVERHEAD, MAGIC, MAGIC_AT};
use super::{Batch, BatchError, BatchView, RecordBatch};

/// Size in bytes of the batch that `bytes` begin with; `None` if it is not whole yet.
///
/// Errors when the beginning can never become a batch: its length is below a header's or its magic is not 2.
pub fn frame_size(bytes: &[u8]) -> Result<Option<usize>, BatchError> {
    if let Some(&magic) = bytes.get(MAGIC_AT) {
        check_magic(i8::from_be_bytes([magic]))?;
    }
    let Some(size) = declared_size(bytes)? else {
        return Ok(None);
    };
    Ok((bytes.len() >= size).then_some(size))
}

fn declared_size(bytes: &[u8]) -> Result<Option<usize>, BatchError> {
    let Some(field) = bytes.get(LENGTH..LOG_OVERHEAD) else {
        return Ok(None);
    };
    let declared = i32::from_be_bytes(field.try_into().expect("four bytes"));
    let minimum = HEADER_SIZE - LOG_OVERHEAD;
    match usize::try_from(declared) {
        Ok(length) if length >= minimum => Ok(Some(length + LOG_OVERHEAD)),
        _ => Err(BatchError::LengthTooSmall { declared, minimum }),
    }
}

fn check_magic(magic: i8) -> Result<(), BatchError> {
    match magic {
        MAGIC => Ok(()),
        0 | 1 => Err(BatchError::OldMagic(magic)),
        _ => Err(BatchError::UnknownMagic(magic)),
    }
}

/// Iterates over the whole batches at the beginning of a buffer; ends at a partial one, or after an error.
#[derive(Clone, Debug)]
pub struct Batches<'a> {
    bytes: &'a [u8],
    at: usize,
    failed: bool,
}

impl<'a> Batches<'a> {
    /// Walks `bytes` from their beginning.
    pub fn new(bytes: &'a [u8]) -> Batches<'a> {
        Batches {
            bytes,
            at: 0,
            failed: false,
        }
    }

    /// Bytes of the whole batches given so far; once the iterator has ended, of all whole batches.
    pub fn complete_bytes(&self) -> usize {
        self.at
    }
}

impl<'a> Iterator for Batches<'a> {
    type Item = Result<BatchView<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        let rest = &self.bytes[self.at..];
        match frame_size(rest) {
            Ok(size) => {
                let size = size?;
                self.at += size;
                Some(Ok(Batch {
                    bytes: &rest[..size],
                }))
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}

/// [`Batches`] over a shared buffer: each batch is a zero-copy slice that can outlive the iterator.
#[derive(Clone, Debug)]
pub struct RecordBatches {
    bytes: Bytes,
    at: usize,
    failed: bool,
}

impl RecordBatches {
    /// Walks `bytes` from their beginning.
    pub fn new(bytes: Bytes) -> RecordBatches {
        RecordBatches {
            bytes,
            at: 0,
            failed: false,
        }
    }

    /// As [`Batches::complete_bytes`].
    pub fn complete_bytes(&self) -> usize {
        self.at
    }
}

impl Iterator for RecordBatches {
    type Item = Result<RecordBatch, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.failed {
            return None;
        }
        match frame_size(&self.bytes[self.at..]) {
            Ok(size) => {
                let start = self.at;
                self.at += size?;
                Some(Ok(Batch {
                    bytes: self.bytes.slice(start..self.at),
                }))
            }
            Err(error) => {
                self.failed = true;
                Some(Err(error))
            }
        }
    }
}
