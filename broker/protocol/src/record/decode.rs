//! Decoding the records of a batch: [`RawRecord`] borrows, [`Record`] shares the (decompressed) buffer.

use std::borrow::Cow;

use bytes::Bytes;

use super::batch::HEADER_SIZE;
use super::varint::Cursor;
use super::{Batch, BatchError, BatchView, Compression, RecordBatch, TimestampType, decompress};

/// A record with its offset and timestamp resolved.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Record {
    pub offset: i64,
    /// In ms; the batch's append time if it is LogAppendTime; -1 none.
    pub timestamp: i64,
    pub key: Option<Bytes>,
    /// `None` is a tombstone in a compacted topic.
    pub value: Option<Bytes>,
    /// In order, duplicates kept.
    pub headers: Vec<Header>,
}

/// A record header (KIP-82).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Header {
    /// UTF-8 by agreement of the clients; not checked, as in Kafka.
    pub key: Bytes,
    pub value: Option<Bytes>,
}

/// A record as it stands in the batch.
#[derive(Clone, Copy, Debug)]
pub struct RawRecord<'a> {
    /// Unused by Kafka.
    pub attributes: i8,
    /// Relative to [`Batch::base_timestamp`], in ms.
    pub timestamp_delta: i64,
    /// Relative to [`Batch::base_offset`].
    pub offset_delta: i32,
    pub key: Option<&'a [u8]>,
    pub value: Option<&'a [u8]>,
    pub headers: RawHeaders<'a>,
}

/// The headers of a [`RawRecord`]: checked, so iterating cannot fail.
#[derive(Clone, Copy, Debug)]
pub struct RawHeaders<'a> {
    cursor: Cursor<'a>,
    left: usize,
}

impl RawHeaders<'_> {
    /// Headers not yet iterated.
    pub fn remaining(&self) -> usize {
        self.left
    }
}

impl<'a> Iterator for RawHeaders<'a> {
    type Item = (&'a [u8], Option<&'a [u8]>);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        Some(read_header(&mut self.cursor).expect("checked when the record was read"))
    }
}

/// Iterates over records without allocating; ends after the declared count or after an error. Fewer or more
/// bytes than the count needs are an error.
#[derive(Clone, Debug)]
pub struct RawRecords<'a> {
    cursor: Cursor<'a>,
    declared: i32,
    index: i32,
    done: bool,
}

impl<'a> RawRecords<'a> {
    fn new(payload: &'a [u8], declared: i32) -> RawRecords<'a> {
        RawRecords {
            cursor: Cursor::new(payload),
            declared,
            index: 0,
            done: false,
        }
    }

    fn step(&mut self) -> Result<Option<RawRecord<'a>>, BatchError> {
        let (ended, empty) = (self.index >= self.declared, self.cursor.remaining() == 0);
        match (ended, empty) {
            (true, true) => Ok(None),
            (false, false) => read_record(&mut self.cursor, self.index).map(Some),
            _ => Err(BatchError::RecordCount {
                declared: self.declared,
            }),
        }
    }
}

impl<'a> Iterator for RawRecords<'a> {
    type Item = Result<RawRecord<'a>, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.step().transpose();
        self.done = !matches!(item, Some(Ok(_)));
        self.index += 1;
        item
    }
}

/// Iterates over the records of a batch; keys and values are slices of its buffer.
#[derive(Clone, Debug)]
pub struct Records {
    payload: Bytes,
    at: usize,
    declared: i32,
    index: i32,
    done: bool,
    base_offset: i64,
    base_timestamp: i64,
    append_time: Option<i64>,
}

impl Records {
    fn new<B: AsRef<[u8]>>(batch: &Batch<B>, payload: Bytes) -> Records {
        let append_time = batch.timestamp_type() == TimestampType::LogAppendTime;
        Records {
            payload,
            at: 0,
            declared: batch.count(),
            index: 0,
            done: false,
            base_offset: batch.base_offset(),
            base_timestamp: batch.base_timestamp(),
            append_time: append_time.then(|| batch.max_timestamp()),
        }
    }

    fn step(&mut self) -> Option<Result<Record, BatchError>> {
        let rest = &self.payload[self.at..];
        let mut raw = RawRecords {
            index: self.index,
            ..RawRecords::new(rest, self.declared)
        };
        let record = raw.next()?;
        let consumed = rest.len() - raw.cursor.remaining();
        let resolved = record.map(|record| self.resolve(record));
        self.at += consumed;
        self.index += 1;
        Some(resolved)
    }

    fn resolve(&self, raw: RawRecord<'_>) -> Record {
        let share = |slice: &[u8]| self.payload.slice_ref(slice);
        let timestamp = self.base_timestamp.wrapping_add(raw.timestamp_delta);
        let headers = raw.headers.map(|(key, value)| Header {
            key: share(key),
            value: value.map(share),
        });
        Record {
            offset: self.base_offset.wrapping_add(i64::from(raw.offset_delta)),
            timestamp: self.append_time.unwrap_or(timestamp),
            key: raw.key.map(share),
            value: raw.value.map(share),
            headers: headers.collect(),
        }
    }
}

impl Iterator for Records {
    type Item = Result<Record, BatchError>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.done {
            return None;
        }
        let item = self.step();
        self.done = !matches!(item, Some(Ok(_)));
        item
    }
}

impl<B: AsRef<[u8]>> Batch<B> {
    /// The records' bytes without compression; borrows if there is none.
    pub fn decompressed(&self, limit_bytes: usize) -> Result<Cow<'_, [u8]>, BatchError> {
        match self.compression()? {
            Compression::None => Ok(Cow::Borrowed(self.payload())),
            codec => decompress(codec, self.payload(), limit_bytes).map(Cow::Owned),
        }
    }

    /// The records in `payload`, which [`Batch::decompressed`] gave.
    pub fn raw_records<'a>(&self, payload: &'a [u8]) -> RawRecords<'a> {
        RawRecords::new(payload, self.count())
    }
}

impl RecordBatch {
    /// Decodes the records; decompresses into at most `limit_bytes`, else shares the batch's buffer.
    pub fn records(&self, limit_bytes: usize) -> Result<Records, BatchError> {
        let payload = match self.compression()? {
            Compression::None => self.bytes.slice(HEADER_SIZE..),
            codec => Bytes::from(decompress(codec, self.payload(), limit_bytes)?),
        };
        Ok(Records::new(self, payload))
    }
}

impl BatchView<'_> {
    /// As [`RecordBatch::records`], but copies the records' bytes once.
    pub fn records(&self, limit_bytes: usize) -> Result<Records, BatchError> {
        let payload = self.decompressed(limit_bytes)?.into_owned();
        Ok(Records::new(self, Bytes::from(payload)))
    }

    /// The same batch in a buffer of its own.
    pub fn to_record_batch(&self) -> RecordBatch {
        Batch {
            bytes: Bytes::copy_from_slice(self.bytes),
        }
    }
}

fn read_record<'a>(cursor: &mut Cursor<'a>, index: i32) -> Result<RawRecord<'a>, BatchError> {
    let malformed = |what| BatchError::MalformedRecord { index, what };
    let length = cursor.varint().ok_or(malformed("length"))?;
    let length = usize::try_from(length).map_err(|_| malformed("negative length"))?;
    let mut body = Cursor::new(
        cursor
            .take(length)
            .ok_or(malformed("longer than the batch"))?,
    );
    let record = RawRecord {
        attributes: i8::from_be_bytes([body.byte().ok_or(malformed("attributes"))?]),
        timestamp_delta: body.varlong().ok_or(malformed("timestamp delta"))?,
        offset_delta: body.varint().ok_or(malformed("offset delta"))?,
        key: body.nullable().ok_or(malformed("key"))?,
        value: body.nullable().ok_or(malformed("value"))?,
        headers: read_headers(&mut body).ok_or(malformed("headers"))?,
    };
    if body.remaining() > 0 {
        return Err(malformed("bytes after the headers"));
    }
    Ok(record)
}

fn read_headers<'a>(body: &mut Cursor<'a>) -> Option<RawHeaders<'a>> {
    let left = usize::try_from(body.varint()?).ok()?;
    let headers = RawHeaders {
        cursor: Cursor::new(body.rest()),
        left,
    };
    for _ in 0..left {
        read_header(body)?;
    }
    Some(headers)
}

fn read_header<'a>(cursor: &mut Cursor<'a>) -> Option<(&'a [u8], Option<&'a [u8]>)> {
    let key = cursor.nullable()??;
    Some((key, cursor.nullable()?))
}
