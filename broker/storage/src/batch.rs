//! What the log needs to know of a batch.

use broker_protocol::ids::{LeaderEpoch, Offset};
use broker_protocol::record::{
    Batch, BatchError, BatchView, ControlRecord, EndTxnMarker, HEADER_SIZE, LOG_OVERHEAD, MAGIC,
};

use crate::error::Damage;

const TRANSACTIONAL: i16 = 1 << 4;
const CONTROL: i16 = 1 << 5;

/// Far more than a control batch has.
const CONTROL_BYTES_MAX: usize = 1 << 20;

/// A batch's header as far as the log uses it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchInfo {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// Milliseconds; -1 none.
    pub max_timestamp: i64,
    /// The stored checksum: identifies the content.
    pub crc: u32,
    /// Bytes, header included.
    pub size: u32,
    /// -1: not of an idempotent producer.
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
    /// Compression, timestamp type, transactional, control.
    pub attributes: i16,
}

impl BatchInfo {
    /// Panics on a batch over 2 GiB, which the frame's length field cannot express.
    pub fn of<B: AsRef<[u8]>>(batch: &Batch<B>) -> BatchInfo {
        BatchInfo {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            leader_epoch: LeaderEpoch(batch.partition_leader_epoch()),
            max_timestamp: batch.max_timestamp(),
            crc: batch.crc(),
            size: u32::try_from(batch.size()).expect("an i32 length plus the frame fits u32"),
            producer_id: batch.producer_id(),
            producer_epoch: batch.producer_epoch(),
            base_sequence: batch.base_sequence(),
            attributes: batch.attributes(),
        }
    }

    /// Whether it is data with a producer id, of an idempotent producer or in a transaction.
    pub fn is_produced(&self) -> bool {
        self.producer_id >= 0 && !self.is_control()
    }

    /// Whether an idempotent producer counts its records: what a coordinator writes for one has no sequence.
    pub fn is_sequenced(&self) -> bool {
        self.is_produced() && self.base_sequence >= 0
    }

    /// Whether it belongs to a transaction, as data or as its marker.
    pub fn is_transactional(&self) -> bool {
        self.attributes & TRANSACTIONAL != 0
    }

    /// Whether its records are for brokers only.
    pub fn is_control(&self) -> bool {
        self.attributes & CONTROL != 0
    }

    /// Whether it may end a transaction: its record tells, see [`end_txn_marker`].
    pub(crate) fn may_be_marker(&self) -> bool {
        self.is_control() && self.producer_id >= 0
    }

    /// The offset after the batch.
    pub fn next_offset(&self) -> Offset {
        self.last_offset + 1
    }

    /// Reads a header whose records need not be there; checks frame, magic and offset range.
    pub(crate) fn from_header(header: &[u8; HEADER_SIZE]) -> Result<BatchInfo, Damage> {
        let length = i32::from_be_bytes(field(header, 8));
        let minimum = HEADER_SIZE - LOG_OVERHEAD;
        let size = match u32::try_from(length) {
            Ok(rest) if rest >= 49 => rest + 12,
            _ => {
                return Err(BatchError::LengthTooSmall {
                    declared: length,
                    minimum,
                }
                .into());
            }
        };
        let magic = i8::from_be_bytes(field(header, 16));
        if magic != MAGIC {
            return Err(BatchError::UnknownMagic(magic).into());
        }
        let base_offset = i64::from_be_bytes(field(header, 0));
        let last_offset_delta = i32::from_be_bytes(field(header, 23));
        let last_offset = match base_offset.checked_add(i64::from(last_offset_delta)) {
            Some(last) if base_offset >= 0 && last_offset_delta >= 0 && last < i64::MAX => last,
            _ => {
                return Err(BatchError::OffsetRange {
                    base_offset,
                    last_offset_delta,
                }
                .into());
            }
        };
        Ok(BatchInfo {
            base_offset,
            last_offset,
            leader_epoch: LeaderEpoch(i32::from_be_bytes(field(header, 12))),
            max_timestamp: i64::from_be_bytes(field(header, 35)),
            crc: u32::from_be_bytes(field(header, 17)),
            size,
            producer_id: i64::from_be_bytes(field(header, 43)),
            producer_epoch: i16::from_be_bytes(field(header, 51)),
            base_sequence: i32::from_be_bytes(field(header, 53)),
            attributes: i16::from_be_bytes(field(header, 21)),
        })
    }
}

/// How a batch ends its producer's transaction. `None`: it does not, or its record is of a kind that is not known
/// here.
pub fn end_txn_marker<B: AsRef<[u8]>>(batch: &Batch<B>) -> Option<EndTxnMarker> {
    if !batch.is_control() || !batch.has_producer_id() {
        return None;
    }
    let view = BatchView::new(batch.as_bytes()).ok()?;
    // Without a record compaction left the batch for its producer's sake.
    let record = view.records(CONTROL_BYTES_MAX).ok()?.next()?.ok()?;
    match ControlRecord::decode(&record) {
        Ok(Some(ControlRecord::EndTxn(marker))) => Some(marker),
        _ => None,
    }
}

fn field<const N: usize>(header: &[u8; HEADER_SIZE], at: usize) -> [u8; N] {
    header[at..at + N].try_into().expect("inside of the header")
}
