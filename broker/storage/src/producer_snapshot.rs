//! What a partition's producers had appended, as a file beside its segments: `<offset>.snapshot`.
//!
//! Kafka's format (ProducerSnapshot, version 1): version, CRC-32C of all that follows it, then an array of
//! entries. Of each producer it holds the last batch. The state is that of the log below `offset`.

use broker_protocol::ids::Offset;
use broker_protocol::record::crc32c;

const VERSION: i16 = 1;
const HEADER_BYTES: usize = 6;
const ENTRY_BYTES: usize = 46;
const NONE: i32 = -1;

/// One producer. `last_sequence` and `last_offset` are -1 if it appended nothing in its epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerSnapshotEntry {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub last_sequence: i32,
    pub last_offset: Offset,
    /// Offset of the last record of the last batch, relative to its first.
    pub offset_delta: i32,
    /// Greatest timestamp of the last batch, milliseconds.
    pub timestamp: i64,
    /// Of the last marker; -1 none.
    pub coordinator_epoch: i32,
    /// First offset of the open transaction; -1 none.
    pub current_txn_first_offset: Offset,
}

/// The file's content.
pub fn encode(entries: &[ProducerSnapshotEntry]) -> Vec<u8> {
    let count = i32::try_from(entries.len()).expect("fewer producers than 2^31");
    let mut bytes = Vec::with_capacity(HEADER_BYTES + 4 + entries.len() * ENTRY_BYTES);
    bytes.extend(VERSION.to_be_bytes());
    bytes.extend([0; 4]);
    bytes.extend(count.to_be_bytes());
    for entry in entries {
        bytes.extend(entry.producer_id.to_be_bytes());
        bytes.extend(entry.producer_epoch.to_be_bytes());
        bytes.extend(entry.last_sequence.to_be_bytes());
        bytes.extend(entry.last_offset.to_be_bytes());
        bytes.extend(entry.offset_delta.to_be_bytes());
        bytes.extend(entry.timestamp.to_be_bytes());
        bytes.extend(entry.coordinator_epoch.to_be_bytes());
        bytes.extend(entry.current_txn_first_offset.to_be_bytes());
    }
    let crc = crc32c(&bytes[HEADER_BYTES..]);
    bytes[2..HEADER_BYTES].copy_from_slice(&crc.to_be_bytes());
    bytes
}

/// `None` if the file is torn, damaged or of an unknown version. Allocates no more than its length.
pub fn decode(bytes: &[u8]) -> Option<Vec<ProducerSnapshotEntry>> {
    let mut header = Fields(bytes);
    let (version, crc) = (
        i16::from_be_bytes(header.next()?),
        u32::from_be_bytes(header.next()?),
    );
    if version != VERSION || crc != crc32c(header.0) {
        return None;
    }
    let count = usize::try_from(i32::from_be_bytes(header.next()?)).ok()?;
    if header.0.len() != count.checked_mul(ENTRY_BYTES)? {
        return None;
    }
    header
        .0
        .chunks_exact(ENTRY_BYTES)
        .map(decode_entry)
        .collect()
}

fn decode_entry(bytes: &[u8]) -> Option<ProducerSnapshotEntry> {
    let mut fields = Fields(bytes);
    let entry = ProducerSnapshotEntry {
        producer_id: i64::from_be_bytes(fields.next()?),
        producer_epoch: i16::from_be_bytes(fields.next()?),
        last_sequence: i32::from_be_bytes(fields.next()?),
        last_offset: i64::from_be_bytes(fields.next()?),
        offset_delta: i32::from_be_bytes(fields.next()?),
        timestamp: i64::from_be_bytes(fields.next()?),
        coordinator_epoch: i32::from_be_bytes(fields.next()?),
        current_txn_first_offset: i64::from_be_bytes(fields.next()?),
    };
    let sane = entry.last_sequence >= NONE && entry.offset_delta >= 0;
    sane.then_some(entry)
}

/// Fixed-width fields, front to back.
struct Fields<'a>(&'a [u8]);

impl Fields<'_> {
    fn next<const N: usize>(&mut self) -> Option<[u8; N]> {
        let (field, rest) = self.0.split_first_chunk::<N>()?;
        self.0 = rest;
        Some(*field)
    }
}
