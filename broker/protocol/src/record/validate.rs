//! Judging a batch: what must hold of any stored batch, and what more of one a producer sends.

use broker_probe::mutant;

use super::batch::ATTRIBUTES;
use super::{Batch, BatchError, crc32c};

impl<B: AsRef<[u8]>> Batch<B> {
    /// Whether the header is consistent and the bytes are those the checksum was computed over. What a follower,
    /// recovery or a consumer needs; allows the gaps that compaction leaves. Does not look into the records.
    pub fn validate(&self) -> Result<(), BatchError> {
        self.check_crc()?;
        self.check_offset_range()?;
        self.compression()?;
        let (count, delta) = (self.count(), self.last_offset_delta());
        let fits = count >= 0 && i64::from(count) <= i64::from(delta) + 1;
        if !fits && !mutant!(L_13) {
            return Err(BatchError::CountMismatch {
                count,
                last_offset_delta: delta,
            });
        }
        Ok(())
    }

    /// [`Batch::validate`] and what holds of a fresh batch from a client: one record per offset, no control
    /// records, producer fields that belong together.
    pub fn validate_produced(&self) -> Result<(), BatchError> {
        self.validate()?;
        self.check_dense()?;
        if self.is_control() {
            return Err(BatchError::ControlFromClient);
        }
        self.check_producer_fields()
    }

    /// [`Batch::validate_produced`] and every record is well formed, in order and counted. Decompresses into at
    /// most `limit_bytes`; without compression allocates nothing.
    pub fn validate_produced_records(&self, limit_bytes: usize) -> Result<(), BatchError> {
        self.validate_produced()?;
        let payload = self.decompressed(limit_bytes)?;
        let mut records = self.raw_records(&payload);
        for (expected, record) in (0_i32..).zip(&mut records) {
            let found = record?.offset_delta;
            if found != expected {
                return Err(BatchError::OffsetDelta {
                    index: expected,
                    found,
                    expected,
                });
            }
        }
        Ok(())
    }

    /// Whether the stored checksum is that of the bytes.
    pub fn check_crc(&self) -> Result<(), BatchError> {
        let (stored, computed) = (self.crc(), crc32c(&self.as_bytes()[ATTRIBUTES..]));
        if stored == computed {
            Ok(())
        } else {
            Err(BatchError::CrcMismatch { stored, computed })
        }
    }

    fn check_offset_range(&self) -> Result<(), BatchError> {
        let (base_offset, last_offset_delta) = (self.base_offset(), self.last_offset_delta());
        let end = base_offset.checked_add(i64::from(last_offset_delta) + 1);
        if base_offset < 0 || last_offset_delta < 0 || end.is_none() {
            return Err(BatchError::OffsetRange {
                base_offset,
                last_offset_delta,
            });
        }
        Ok(())
    }

    fn check_dense(&self) -> Result<(), BatchError> {
        let (count, last_offset_delta) = (self.count(), self.last_offset_delta());
        // Offsets are handed out by last offset delta but read by record: a batch that claims more of either,
        // compressed or not, leaves holes or makes offsets overlap (KAFKA-6554).
        let dense = count >= 1 && i64::from(count) == i64::from(last_offset_delta) + 1;
        if dense || mutant!(L_13) {
            return Ok(());
        }
        Err(BatchError::CountMismatch {
            count,
            last_offset_delta,
        })
    }

    fn check_producer_fields(&self) -> Result<(), BatchError> {
        let (producer_id, producer_epoch) = (self.producer_id(), self.producer_epoch());
        let base_sequence = self.base_sequence();
        if self.has_producer_id() && (producer_epoch < 0 || base_sequence < 0) {
            return Err(BatchError::ProducerFields {
                producer_id,
                producer_epoch,
                base_sequence,
            });
        }
        if self.is_transactional() && !self.has_producer_id() {
            return Err(BatchError::TransactionalWithoutProducer);
        }
        Ok(())
    }
}
