//! What compaction keeps: the last record of each key, and what transactions and producers need.
//!
//! [`OffsetMap`] is the first pass: the last offset of each key in the part that was not cleaned yet. [`Cleaner`]
//! is the second, over the whole log up to where the map ends, batch by batch. Both leave aborted records out.
//! Offsets never move, a batch keeps its offset range, producer and sequence.

mod filter;
mod offset_map;
mod transactions;

pub(crate) use filter::{Cleaner, Kept};
pub(crate) use offset_map::OffsetMap;
pub(crate) use transactions::TransactionsRead;

use std::collections::BTreeMap;

use broker_protocol::ids::Offset;

/// Bytes that the records of a compressed batch may expand to.
pub(crate) const DECOMPRESSED_BYTES_MAX: usize = 256 << 20;

/// What a producer's state in memory rests on: its last batch of data, or without one its epoch, which the last
/// marker tells.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LastBatch {
    pub last_offset: Option<Offset>,
    pub producer_epoch: i16,
}

/// How a log is to be cleaned.
#[derive(Clone, Debug)]
pub struct Cleaning {
    /// Nothing at or above is touched: what of it stays is not decided. Exclusive, the last stable offset.
    pub bound: Offset,
    /// Wall time.
    pub now_ms: i64,
    /// `delete.retention.ms`: how long tombstones and markers stay after they were first met.
    pub delete_retention_ms: i64,
    /// Memory for keys (`log.cleaner.dedupe.buffer.size`).
    pub map_bytes: usize,
    /// By producer id.
    pub last_batches: BTreeMap<i64, LastBatch>,
}
