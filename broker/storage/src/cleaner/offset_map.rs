//! The last offset of each key.

use std::collections::BTreeMap;

use broker_protocol::ids::Offset;
use broker_protocol::record::BatchView;

use super::{DECOMPRESSED_BYTES_MAX, TransactionsRead};
use crate::batch::BatchInfo;
use crate::error::Damage;

/// Beside the key itself, about what an entry takes.
const ENTRY_BYTES: usize = 64;

#[derive(Debug)]
pub(crate) struct OffsetMap {
    offsets: BTreeMap<Vec<u8>, Offset>,
    bytes: usize,
    limit_bytes: usize,
    end: Offset,
}

impl OffsetMap {
    /// Of a log of which everything below `from` is cleaned.
    pub(crate) fn new(from: Offset, limit_bytes: usize) -> OffsetMap {
        OffsetMap {
            offsets: BTreeMap::new(),
            bytes: 0,
            limit_bytes,
            end: from,
        }
    }

    /// Everything below was looked at; what is at or above says nothing.
    pub(crate) fn end(&self) -> Offset {
        self.end
    }

    pub(crate) fn is_full(&self) -> bool {
        self.bytes >= self.limit_bytes
    }

    pub(crate) fn last_offset(&self, key: &[u8]) -> Option<Offset> {
        self.offsets.get(key).copied()
    }

    /// Takes the next batch in.
    pub(crate) fn read(
        &mut self,
        info: &BatchInfo,
        batch: &BatchView<'_>,
        transactions: &mut TransactionsRead,
    ) -> Result<(), Damage> {
        let counts = if info.is_control() {
            transactions.on_control(info, batch);
            false
        } else {
            !transactions.on_data(info)
        };
        if counts && info.last_offset >= self.end {
            for record in batch.records(DECOMPRESSED_BYTES_MAX)? {
                let record = record?;
                if let Some(key) = record.key {
                    self.put(&key, record.offset);
                }
            }
        }
        self.end = self.end.max(info.next_offset());
        Ok(())
    }

    fn put(&mut self, key: &[u8], offset: Offset) {
        match self.offsets.get_mut(key) {
            Some(last) => *last = offset,
            None => {
                self.bytes += key.len() + ENTRY_BYTES;
                self.offsets.insert(key.to_vec(), offset);
            }
        }
    }
}
