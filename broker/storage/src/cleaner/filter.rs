//! What becomes of a batch.

use std::collections::BTreeMap;

use broker_probe::{mutant, probe};
use broker_protocol::record::{BatchBuilder, BatchOptions, BatchView, Record, RecordBatch, crc32c};
use bytes::{Bytes, BytesMut};

use super::{Cleaning, DECOMPRESSED_BYTES_MAX, LastBatch, OffsetMap, TransactionsRead};
use crate::batch::BatchInfo;
use crate::error::Damage;

/// What is left of a batch.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Kept {
    /// As it is.
    Whole,
    /// Less of it, or with a time from which its tombstones or marker may go.
    Changed(Bytes),
    Nothing,
}

/// The second pass.
pub(crate) struct Cleaner {
    map: OffsetMap,
    transactions: TransactionsRead,
    last_batches: BTreeMap<i64, LastBatch>,
    now_ms: i64,
    delete_retention_ms: i64,
}

/// What is left of a batch's records, and what that means for when they go.
struct Retained {
    records: Vec<Record>,
    removed: bool,
    has_tombstone: bool,
}

impl Cleaner {
    pub(crate) fn new(
        map: OffsetMap,
        transactions: TransactionsRead,
        cleaning: Cleaning,
    ) -> Cleaner {
        Cleaner {
            map,
            transactions,
            last_batches: cleaning.last_batches,
            now_ms: cleaning.now_ms,
            delete_retention_ms: cleaning.delete_retention_ms,
        }
    }

    /// The next batch. `must_stay`: at least its frame does, so that the segment ends where the next one begins.
    pub(crate) fn clean(
        &mut self,
        info: &BatchInfo,
        batch: &BatchView<'_>,
        must_stay: bool,
    ) -> Result<Kept, Damage> {
        let horizon = batch.delete_horizon();
        let is_over = horizon.is_some_and(|horizon| horizon <= self.now_ms);
        let unneeded = if info.is_control() {
            self.transactions.on_control(info, batch)
        } else {
            self.transactions.on_data(info)
        };
        // A marker goes only some time after all that it ends has gone: a reader may have begun before it.
        let discard = unneeded && (!info.is_control() || is_over);
        let retained = self.retain(info, batch, discard, is_over)?;
        let waits = retained.has_tombstone || (info.is_control() && unneeded);
        let starts_waiting = waits && horizon.is_none() && batch.count() > 0;
        if !retained.removed && !starts_waiting {
            return Ok(self.unchanged(info, batch, must_stay));
        }
        if retained.records.is_empty() {
            return Ok(self.emptied(info, batch, must_stay));
        }
        let horizon = if starts_waiting {
            Some(self.now_ms.saturating_add(self.delete_retention_ms))
        } else {
            horizon
        };
        Ok(Kept::Changed(rebuild(batch, horizon, &retained.records)?))
    }

    /// A batch of which nothing went now. One that was emptied before goes once nobody needs its frame.
    fn unchanged(&self, info: &BatchInfo, batch: &BatchView<'_>, must_stay: bool) -> Kept {
        if batch.count() == 0 && !must_stay && !self.is_last_of_producer(info) {
            return Kept::Nothing;
        }
        Kept::Whole
    }

    fn emptied(&self, info: &BatchInfo, batch: &BatchView<'_>, must_stay: bool) -> Kept {
        let needed = self.is_last_of_producer(info) && !mutant!(P_04);
        if !must_stay && !needed {
            return Kept::Nothing;
        }
        probe!("storage: an emptied batch stays");
        Kept::Changed(empty(batch))
    }

    fn is_last_of_producer(&self, info: &BatchInfo) -> bool {
        let last = self.last_batches.get(&info.producer_id);
        info.producer_id >= 0
            && last.is_some_and(|last| match last.last_offset {
                Some(offset) => info.last_offset == offset,
                None => info.is_control() && info.producer_epoch == last.producer_epoch,
            })
    }

    fn retain(
        &self,
        info: &BatchInfo,
        batch: &BatchView<'_>,
        discard: bool,
        is_over: bool,
    ) -> Result<Retained, Damage> {
        let mut retained = Retained {
            records: Vec::new(),
            removed: false,
            has_tombstone: false,
        };
        if discard {
            retained.removed = batch.count() > 0;
            return Ok(retained);
        }
        for record in batch.records(DECOMPRESSED_BYTES_MAX)? {
            let record = record?;
            if self.is_kept(info, &record, is_over) {
                retained.has_tombstone |= record.value.is_none() && !info.is_control();
                retained.records.push(record);
            } else {
                retained.removed = true;
            }
        }
        Ok(retained)
    }

    fn is_kept(&self, info: &BatchInfo, record: &Record, is_over: bool) -> bool {
        // A key of a control record says nothing to users, whose keys may be the same (P-01).
        if info.is_control() && !mutant!(P_01) {
            return true;
        }
        // Where the map had no room any more.
        if record.offset >= self.map.end() {
            return true;
        }
        let Some(key) = &record.key else {
            return false;
        };
        let is_last = self
            .map
            .last_offset(key)
            .is_none_or(|last| record.offset >= last);
        is_last && (record.value.is_some() || !is_over)
    }
}

/// The same batch with fewer records; offsets, sequences and producer stay.
fn rebuild(
    batch: &BatchView<'_>,
    delete_horizon: Option<i64>,
    records: &[Record],
) -> Result<Bytes, Damage> {
    let mut builder = BatchBuilder::new(BatchOptions {
        base_offset: batch.base_offset(),
        partition_leader_epoch: batch.partition_leader_epoch(),
        compression: batch.compression()?,
        timestamp_type: batch.timestamp_type(),
        producer_id: batch.producer_id(),
        producer_epoch: batch.producer_epoch(),
        base_sequence: batch.base_sequence(),
        is_transactional: batch.is_transactional(),
        is_control: batch.is_control(),
        delete_horizon,
    });
    for record in records {
        let (key, value) = (record.key.as_deref(), record.value.as_deref());
        builder.append_at(record.offset, record.timestamp, key, value, &record.headers);
    }
    let rebuilt: RecordBatch = builder.build_until(batch.last_offset());
    Ok(rebuilt.into_bytes())
}

/// The header alone: offsets, times, producer and sequence.
fn empty(batch: &BatchView<'_>) -> Bytes {
    const HEADER: usize = broker_protocol::record::HEADER_SIZE;
    const COMPRESSION_AND_HORIZON: i16 = 0b100_0111;
    let mut bytes = BytesMut::from(&batch.as_bytes()[..HEADER]);
    let length = i32::try_from(HEADER - broker_protocol::record::LOG_OVERHEAD).expect("small");
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    let attributes = batch.attributes() & !COMPRESSION_AND_HORIZON;
    bytes[21..23].copy_from_slice(&attributes.to_be_bytes());
    bytes[27..35].copy_from_slice(&(-1_i64).to_be_bytes());
    bytes[57..61].copy_from_slice(&0_i32.to_be_bytes());
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    bytes.freeze()
}
