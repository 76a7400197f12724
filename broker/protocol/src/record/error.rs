//! Why a batch is refused, and the Kafka error code that says so on the wire.

use thiserror::Error;

use super::Compression;
use crate::error_code::ErrorCode;

/// Why bytes are not an acceptable record batch.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum BatchError {
    #[error("declared batch length {declared} is less than a batch header's {minimum}")]
    LengthTooSmall { declared: i32, minimum: usize },
    #[error("batch declares {declared} bytes but {actual} are there")]
    LengthMismatch { declared: usize, actual: usize },
    #[error("magic {0} is not a record format")]
    UnknownMagic(i8),
    #[error("message format {0} is no longer written or read, only format 2 is")]
    OldMagic(i8),
    #[error("stored CRC-32C {stored:#010x} differs from the computed {computed:#010x}")]
    CrcMismatch { stored: u32, computed: u32 },
    #[error("compression id {0} is unknown")]
    UnknownCompression(u8),
    #[error("{0} data is corrupt")]
    CorruptCompression(Compression),
    #[error("{compression} data is larger than the limit of {limit_bytes} bytes")]
    DecompressedTooLarge {
        compression: Compression,
        limit_bytes: usize,
    },
    #[error("record count {count} does not fit last offset delta {last_offset_delta}")]
    CountMismatch { count: i32, last_offset_delta: i32 },
    #[error(
        "base offset {base_offset} and last offset delta {last_offset_delta} are no offset range"
    )]
    OffsetRange {
        base_offset: i64,
        last_offset_delta: i32,
    },
    #[error("batch declares {declared} records but holds another number")]
    RecordCount { declared: i32 },
    #[error("record {index} is malformed: {what}")]
    MalformedRecord { index: i32, what: &'static str },
    #[error("record {index} has offset delta {found}, expected {expected}")]
    OffsetDelta {
        index: i32,
        found: i32,
        expected: i32,
    },
    #[error("clients may not write control batches")]
    ControlFromClient,
    #[error(
        "producer id {producer_id} comes with epoch {producer_epoch} and base sequence {base_sequence}"
    )]
    ProducerFields {
        producer_id: i64,
        producer_epoch: i16,
        base_sequence: i32,
    },
    #[error("a transactional batch needs a producer id")]
    TransactionalWithoutProducer,
    #[error("control record is malformed: {0}")]
    MalformedControl(&'static str),
}

impl BatchError {
    /// Kafka's error code: damaged bytes are CORRUPT_MESSAGE (retriable), content that no retry mends is
    /// INVALID_RECORD, and what this broker does not speak is one of the UNSUPPORTED codes.
    pub fn error_code(&self) -> ErrorCode {
        match self {
            BatchError::LengthTooSmall { .. }
            | BatchError::LengthMismatch { .. }
            | BatchError::UnknownMagic(_)
            | BatchError::CrcMismatch { .. } => ErrorCode::CorruptMessage,
            BatchError::UnknownCompression(_) => ErrorCode::UnsupportedCompressionType,
            // What Kafka answers since Produce v3 carries format 2 only.
            BatchError::OldMagic(_)
            | BatchError::CorruptCompression(_)
            | BatchError::DecompressedTooLarge { .. }
            | BatchError::CountMismatch { .. }
            | BatchError::OffsetRange { .. }
            | BatchError::RecordCount { .. }
            | BatchError::MalformedRecord { .. }
            | BatchError::OffsetDelta { .. }
            | BatchError::ControlFromClient
            | BatchError::ProducerFields { .. }
            | BatchError::TransactionalWithoutProducer
            | BatchError::MalformedControl(_) => ErrorCode::InvalidRecord,
        }
    }
}
