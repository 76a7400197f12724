//! The fields a broker writes into a batch that stays otherwise as the producer sent it.

use super::Batch;
use super::batch::{
    ATTRIBUTES, BASE_OFFSET, CRC, LOG_APPEND_TIME_BIT, MAX_TIMESTAMP, PARTITION_LEADER_EPOCH,
};
use super::crc32c;

impl<B: AsRef<[u8]> + AsMut<[u8]>> Batch<B> {
    /// Sets the base offset; outside the checksum.
    pub fn set_base_offset(&mut self, offset: i64) {
        self.put(BASE_OFFSET, &offset.to_be_bytes());
    }

    /// Sets the epoch of the leader that appends; outside the checksum.
    pub fn set_partition_leader_epoch(&mut self, epoch: i32) {
        self.put(PARTITION_LEADER_EPOCH, &epoch.to_be_bytes());
    }

    /// Marks the batch LogAppendTime at `timestamp` (ms) and renews the checksum.
    pub fn set_log_append_time(&mut self, timestamp: i64) {
        let attributes = self.attributes() | LOG_APPEND_TIME_BIT;
        self.put(ATTRIBUTES, &attributes.to_be_bytes());
        self.set_max_timestamp(timestamp);
    }

    /// Sets the max timestamp (ms) and renews the checksum.
    pub fn set_max_timestamp(&mut self, timestamp: i64) {
        self.put(MAX_TIMESTAMP, &timestamp.to_be_bytes());
        let crc = crc32c(&self.as_bytes()[ATTRIBUTES..]);
        self.put(CRC, &crc.to_be_bytes());
    }

    fn put(&mut self, at: usize, field: &[u8]) {
        self.bytes.as_mut()[at..at + field.len()].copy_from_slice(field);
    }
}
