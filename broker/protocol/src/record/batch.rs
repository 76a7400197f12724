//! A batch as the bytes it is: header fields are read by offset, nothing is copied.

use bytes::Bytes;

use super::{BatchError, Compression, NO_PRODUCER_ID, TimestampType, frame_size};

/// Base offset and length field: what precedes the bytes that the length counts.
pub const LOG_OVERHEAD: usize = 12;
/// Bytes before the records.
pub const HEADER_SIZE: usize = 61;
/// The only record format: v2.
pub const MAGIC: i8 = 2;

pub(super) const BASE_OFFSET: usize = 0;
pub(super) const LENGTH: usize = 8;
pub(super) const PARTITION_LEADER_EPOCH: usize = 12;
pub(super) const MAGIC_AT: usize = 16;
pub(super) const CRC: usize = 17;
/// The checksum covers everything from here: not base offset, length and partition leader epoch, so that the
/// leader can set those without touching it.
pub(super) const ATTRIBUTES: usize = 21;
pub(super) const LAST_OFFSET_DELTA: usize = 23;
pub(super) const BASE_TIMESTAMP: usize = 27;
pub(super) const MAX_TIMESTAMP: usize = 35;
pub(super) const PRODUCER_ID: usize = 43;
pub(super) const PRODUCER_EPOCH: usize = 51;
pub(super) const BASE_SEQUENCE: usize = 53;
pub(super) const COUNT: usize = 57;

pub(super) const COMPRESSION_BITS: i16 = 0b111;
pub(super) const LOG_APPEND_TIME_BIT: i16 = 1 << 3;
pub(super) const TRANSACTIONAL_BIT: i16 = 1 << 4;
pub(super) const CONTROL_BIT: i16 = 1 << 5;
pub(super) const DELETE_HORIZON_BIT: i16 = 1 << 6;

/// One whole record batch over any bytes. Invariant: at least a header, magic 2, exactly the declared length.
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct Batch<B> {
    pub(super) bytes: B,
}

/// A batch that shares the buffer it came in.
pub type RecordBatch = Batch<Bytes>;
/// A batch inside a borrowed buffer.
pub type BatchView<'a> = Batch<&'a [u8]>;
/// A batch whose broker-owned fields can be patched in place.
pub type BatchMut<'a> = Batch<&'a mut [u8]>;

impl<B: AsRef<[u8]>> Batch<B> {
    /// Takes bytes that are exactly one batch; checks the frame only (see [`Batch::validate`]).
    pub fn new(bytes: B) -> Result<Batch<B>, BatchError> {
        let actual = bytes.as_ref().len();
        match frame_size(bytes.as_ref())? {
            Some(size) if size == actual => Ok(Batch { bytes }),
            Some(declared) => Err(BatchError::LengthMismatch { declared, actual }),
            None => Err(BatchError::LengthMismatch {
                declared: HEADER_SIZE,
                actual,
            }),
        }
    }

    /// The batch's bytes, header included.
    pub fn as_bytes(&self) -> &[u8] {
        self.bytes.as_ref()
    }

    /// The underlying bytes.
    pub fn into_bytes(self) -> B {
        self.bytes
    }

    /// The same batch, borrowed.
    pub fn view(&self) -> BatchView<'_> {
        Batch {
            bytes: self.bytes.as_ref(),
        }
    }

    /// Bytes of the whole batch, header included.
    pub fn size(&self) -> usize {
        self.as_bytes().len()
    }

    /// Offset of the first record the batch was written with.
    pub fn base_offset(&self) -> i64 {
        i64::from_be_bytes(self.field(BASE_OFFSET))
    }

    /// The length field: bytes after it.
    pub fn batch_length(&self) -> i32 {
        i32::from_be_bytes(self.field(LENGTH))
    }

    /// Epoch of the leader that appended the batch; -1 before it did.
    pub fn partition_leader_epoch(&self) -> i32 {
        i32::from_be_bytes(self.field(PARTITION_LEADER_EPOCH))
    }

    /// The format: always [`MAGIC`].
    pub fn magic(&self) -> i8 {
        i8::from_be_bytes(self.field(MAGIC_AT))
    }

    /// The stored checksum.
    pub fn crc(&self) -> u32 {
        u32::from_be_bytes(self.field(CRC))
    }

    /// Bits 0-2 compression, 3 timestamp type, 4 transactional, 5 control, 6 delete horizon.
    pub fn attributes(&self) -> i16 {
        i16::from_be_bytes(self.field(ATTRIBUTES))
    }

    /// Last offset less base offset.
    pub fn last_offset_delta(&self) -> i32 {
        i32::from_be_bytes(self.field(LAST_OFFSET_DELTA))
    }

    /// Timestamp that record timestamps are relative to, or the delete horizon, in ms.
    pub fn base_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.field(BASE_TIMESTAMP))
    }

    /// Greatest record timestamp in ms, or the append time; -1 none.
    pub fn max_timestamp(&self) -> i64 {
        i64::from_be_bytes(self.field(MAX_TIMESTAMP))
    }

    /// -1 if the batch is not idempotent.
    pub fn producer_id(&self) -> i64 {
        i64::from_be_bytes(self.field(PRODUCER_ID))
    }

    /// -1 if the batch is not idempotent.
    pub fn producer_epoch(&self) -> i16 {
        i16::from_be_bytes(self.field(PRODUCER_EPOCH))
    }

    /// Sequence of the first record; -1 if the batch has none.
    pub fn base_sequence(&self) -> i32 {
        i32::from_be_bytes(self.field(BASE_SEQUENCE))
    }

    /// The declared number of records; unproven, so never allocate by it.
    pub fn count(&self) -> i32 {
        i32::from_be_bytes(self.field(COUNT))
    }

    /// Offset of the last record the batch was written with (compaction may have removed it).
    pub fn last_offset(&self) -> i64 {
        self.base_offset()
            .wrapping_add(i64::from(self.last_offset_delta()))
    }

    /// The offset after this batch.
    pub fn next_offset(&self) -> i64 {
        self.last_offset().wrapping_add(1)
    }

    /// Sequence of the last record; wraps from `i32::MAX` to 0. -1 if the batch has none.
    pub fn last_sequence(&self) -> i32 {
        match self.base_sequence() {
            base if base < 0 => base,
            base => increment_sequence(base, self.last_offset_delta()),
        }
    }

    /// Whether the batch is idempotent, transactional or a transaction marker.
    pub fn has_producer_id(&self) -> bool {
        self.producer_id() > NO_PRODUCER_ID
    }

    /// Whether the records are control records, which consumers never see.
    pub fn is_control(&self) -> bool {
        self.has(CONTROL_BIT)
    }

    /// Whether the batch belongs to a transaction, its marker included.
    pub fn is_transactional(&self) -> bool {
        self.has(TRANSACTIONAL_BIT)
    }

    /// What the timestamps mean.
    pub fn timestamp_type(&self) -> TimestampType {
        if self.has(LOG_APPEND_TIME_BIT) {
            TimestampType::LogAppendTime
        } else {
            TimestampType::CreateTime
        }
    }

    /// The codec of the records.
    ///
    /// # Errors
    /// An id without codec.
    pub fn compression(&self) -> Result<Compression, BatchError> {
        let id = self.attributes() & COMPRESSION_BITS;
        Compression::from_id(u8::try_from(id).expect("three bits"))
    }

    /// When tombstones and markers in this batch may go, in ms; set by the first compaction (KIP-534).
    pub fn delete_horizon(&self) -> Option<i64> {
        self.has(DELETE_HORIZON_BIT).then(|| self.base_timestamp())
    }

    /// The records as stored: compressed if the batch is.
    pub fn payload(&self) -> &[u8] {
        &self.as_bytes()[HEADER_SIZE..]
    }

    fn has(&self, bit: i16) -> bool {
        self.attributes() & bit != 0
    }

    fn field<const N: usize>(&self, at: usize) -> [u8; N] {
        self.as_bytes()[at..at + N]
            .try_into()
            .expect("a batch has a whole header")
    }
}

impl<B: AsRef<[u8]>> std::fmt::Debug for Batch<B> {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Batch")
            .field("base_offset", &self.base_offset())
            .field("last_offset", &self.last_offset())
            .field("leader_epoch", &self.partition_leader_epoch())
            .field("attributes", &self.attributes())
            .field("producer_id", &self.producer_id())
            .field("producer_epoch", &self.producer_epoch())
            .field("base_sequence", &self.base_sequence())
            .field("count", &self.count())
            .field("size", &self.size())
            .finish()
    }
}

/// `sequence + increment` in Kafka's ring of sequences: after `i32::MAX` comes 0.
pub(super) fn increment_sequence(sequence: i32, increment: i32) -> i32 {
    let ring = i64::from(i32::MAX) + 1;
    let sum = (i64::from(sequence) + i64::from(increment)).rem_euclid(ring);
    i32::try_from(sum).expect("reduced below 2^31")
}
