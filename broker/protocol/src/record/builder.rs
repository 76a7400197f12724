//! Encoding records into a batch.

use bytes::{BufMut, Bytes, BytesMut};

use super::batch::{
    ATTRIBUTES, BASE_OFFSET, BASE_SEQUENCE, BASE_TIMESTAMP, CONTROL_BIT, COUNT, CRC,
    DELETE_HORIZON_BIT, HEADER_SIZE, LAST_OFFSET_DELTA, LENGTH, LOG_APPEND_TIME_BIT, LOG_OVERHEAD,
    MAGIC, MAGIC_AT, MAX_TIMESTAMP, PARTITION_LEADER_EPOCH, PRODUCER_EPOCH, PRODUCER_ID,
    TRANSACTIONAL_BIT,
};
use super::varint::{put_varint, put_varlong, varint_size, varlong_size};
use super::{
    Batch, Compression, Header, NO_PARTITION_LEADER_EPOCH, NO_PRODUCER_EPOCH, NO_PRODUCER_ID,
    NO_SEQUENCE, NO_TIMESTAMP, RecordBatch, TimestampType, compress, crc32c,
};

/// Header fields of a batch to build; the default is a plain producer batch at offset 0.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BatchOptions {
    pub base_offset: i64,
    pub partition_leader_epoch: i32,
    pub compression: Compression,
    pub timestamp_type: TimestampType,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    pub is_transactional: bool,
    pub is_control: bool,
    /// Takes the place of the base timestamp (KIP-534), in ms.
    pub delete_horizon: Option<i64>,
}

impl Default for BatchOptions {
    fn default() -> BatchOptions {
        BatchOptions {
            base_offset: 0,
            partition_leader_epoch: NO_PARTITION_LEADER_EPOCH,
            compression: Compression::None,
            timestamp_type: TimestampType::CreateTime,
            producer_id: NO_PRODUCER_ID,
            producer_epoch: NO_PRODUCER_EPOCH,
            base_sequence: NO_SEQUENCE,
            is_transactional: false,
            is_control: false,
            delete_horizon: None,
        }
    }
}

/// Encodes records as they are appended; [`BatchBuilder::build`] adds the header.
#[derive(Clone, Debug)]
pub struct BatchBuilder {
    options: BatchOptions,
    /// Room for the header, then the records, uncompressed.
    buffer: BytesMut,
    base_timestamp: Option<i64>,
    max_timestamp: i64,
    last_offset_delta: i32,
    count: i32,
}

impl BatchBuilder {
    /// An empty batch with these header fields.
    pub fn new(options: BatchOptions) -> BatchBuilder {
        BatchBuilder::with_capacity(options, 0)
    }

    /// Reserves `records_bytes` for the records.
    pub fn with_capacity(options: BatchOptions, records_bytes: usize) -> BatchBuilder {
        let mut buffer = BytesMut::with_capacity(HEADER_SIZE + records_bytes);
        buffer.put_bytes(0, HEADER_SIZE);
        BatchBuilder {
            base_timestamp: options.delete_horizon,
            options,
            buffer,
            max_timestamp: NO_TIMESTAMP,
            last_offset_delta: -1,
            count: 0,
        }
    }

    /// Records appended so far.
    pub fn count(&self) -> i32 {
        self.count
    }

    /// Whether no record was appended.
    pub fn is_empty(&self) -> bool {
        self.count == 0
    }

    /// Bytes of the batch so far, before compression.
    pub fn estimated_size(&self) -> usize {
        self.buffer.len()
    }

    /// At most what [`BatchBuilder::estimated_size`] grows by with this record.
    pub fn record_size_max(key: Option<&[u8]>, value: Option<&[u8]>, headers: &[Header]) -> usize {
        let body = body_size(i64::MIN, i32::MIN, key, value, headers);
        body + varint_size(i32::MAX)
    }

    /// Appends at the next offset; returns the offset delta. `timestamp` in ms.
    pub fn append(
        &mut self,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) -> i32 {
        let delta = self
            .last_offset_delta
            .checked_add(1)
            .expect("a batch holds less than 2^31 offsets");
        self.put_record(delta, timestamp, key, value, headers);
        delta
    }

    /// Appends at `offset`, which may leave a gap, as compaction does.
    pub fn append_at(
        &mut self,
        offset: i64,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) {
        let base = self.options.base_offset;
        let delta = i32::try_from(offset - base).expect("a batch spans less than 2^31 offsets");
        let last = self.last_offset_delta;
        assert!(
            delta > last,
            "offset {offset} is not after delta {last} from base {base}"
        );
        self.put_record(delta, timestamp, key, value, headers);
    }

    fn put_record(
        &mut self,
        offset_delta: i32,
        timestamp: i64,
        key: Option<&[u8]>,
        value: Option<&[u8]>,
        headers: &[Header],
    ) {
        let base_timestamp = *self.base_timestamp.get_or_insert(timestamp);
        let timestamp_delta = timestamp.wrapping_sub(base_timestamp);
        let size = body_size(timestamp_delta, offset_delta, key, value, headers);
        let out = &mut self.buffer;
        put_varint(out, length_field(size));
        out.put_i8(0);
        put_varlong(out, timestamp_delta);
        put_varint(out, offset_delta);
        put_nullable(out, key);
        put_nullable(out, value);
        put_varint(out, length_field(headers.len()));
        for header in headers {
            put_nullable(out, Some(&header.key));
            put_nullable(out, header.value.as_deref());
        }
        self.last_offset_delta = offset_delta;
        self.max_timestamp = self.max_timestamp.max(timestamp);
        self.count += 1;
    }

    /// The batch, ending at the last record appended. At least one record must have been.
    pub fn build(self) -> RecordBatch {
        assert!(
            self.count > 0,
            "a batch without records needs its last offset"
        );
        let last_offset_delta = self.last_offset_delta;
        self.finish(last_offset_delta)
    }

    /// The batch, ending at `last_offset`: what compaction writes when the last records, or all, are gone.
    pub fn build_until(self, last_offset: i64) -> RecordBatch {
        let (base, last) = (self.options.base_offset, self.last_offset_delta);
        let delta =
            i32::try_from(last_offset - base).expect("a batch spans less than 2^31 offsets");
        assert!(
            delta >= last && delta >= 0,
            "last offset {last_offset} is before delta {last} from base {base}"
        );
        self.finish(delta)
    }

    fn finish(mut self, last_offset_delta: i32) -> RecordBatch {
        if self.count == 0 {
            self.options.compression = Compression::None;
        }
        if self.options.compression != Compression::None {
            let compressed = compress(self.options.compression, &self.buffer[HEADER_SIZE..]);
            self.buffer.truncate(HEADER_SIZE);
            self.buffer.extend_from_slice(&compressed);
        }
        self.put_header(last_offset_delta);
        Batch {
            bytes: Bytes::from(self.buffer),
        }
    }

    fn put_header(&mut self, last_offset_delta: i32) {
        let attributes = self.attributes();
        let options = &self.options;
        let base_timestamp = self.base_timestamp.unwrap_or(NO_TIMESTAMP);
        let length = length_field(self.buffer.len() - LOG_OVERHEAD);
        let out = &mut self.buffer;
        put(out, BASE_OFFSET, options.base_offset.to_be_bytes());
        put(out, LENGTH, length.to_be_bytes());
        put(
            out,
            PARTITION_LEADER_EPOCH,
            options.partition_leader_epoch.to_be_bytes(),
        );
        put(out, MAGIC_AT, MAGIC.to_be_bytes());
        put(out, ATTRIBUTES, attributes.to_be_bytes());
        put(out, LAST_OFFSET_DELTA, last_offset_delta.to_be_bytes());
        put(out, BASE_TIMESTAMP, base_timestamp.to_be_bytes());
        put(out, MAX_TIMESTAMP, self.max_timestamp.to_be_bytes());
        put(out, PRODUCER_ID, options.producer_id.to_be_bytes());
        put(out, PRODUCER_EPOCH, options.producer_epoch.to_be_bytes());
        put(out, BASE_SEQUENCE, options.base_sequence.to_be_bytes());
        put(out, COUNT, self.count.to_be_bytes());
        let crc = crc32c(&out[ATTRIBUTES..]);
        put(out, CRC, crc.to_be_bytes());
    }

    fn attributes(&self) -> i16 {
        let options = &self.options;
        let log_append_time = options.timestamp_type == TimestampType::LogAppendTime;
        let flag = |set: bool, bit: i16| if set { bit } else { 0 };
        i16::from(options.compression.id())
            | flag(log_append_time, LOG_APPEND_TIME_BIT)
            | flag(options.is_transactional, TRANSACTIONAL_BIT)
            | flag(options.is_control, CONTROL_BIT)
            | flag(options.delete_horizon.is_some(), DELETE_HORIZON_BIT)
    }
}

fn put<const N: usize>(out: &mut [u8], at: usize, field: [u8; N]) {
    out[at..at + N].copy_from_slice(&field);
}

fn put_nullable(out: &mut BytesMut, field: Option<&[u8]>) {
    match field {
        Some(bytes) => {
            put_varint(out, length_field(bytes.len()));
            out.put_slice(bytes);
        }
        None => put_varint(out, -1),
    }
}

fn body_size(
    timestamp_delta: i64,
    offset_delta: i32,
    key: Option<&[u8]>,
    value: Option<&[u8]>,
    headers: &[Header],
) -> usize {
    let header_size =
        |header: &Header| nullable_size(Some(&header.key)) + nullable_size(header.value.as_deref());
    1 + varlong_size(timestamp_delta)
        + varint_size(offset_delta)
        + nullable_size(key)
        + nullable_size(value)
        + varint_size(length_field(headers.len()))
        + headers.iter().map(header_size).sum::<usize>()
}

fn nullable_size(field: Option<&[u8]>) -> usize {
    field.map_or(varint_size(-1), |bytes| {
        varint_size(length_field(bytes.len())) + bytes.len()
    })
}

fn length_field(length: usize) -> i32 {
    i32::try_from(length).expect("a batch is less than 2 GiB")
}
