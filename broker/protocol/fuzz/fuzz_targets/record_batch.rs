//! Records as a producer sends them: batches are walked, validated, decompressed and decoded; the first
//! byte chooses whether the checksum is repaired, so that what stands behind it is reached.
//! Run: `cargo +nightly fuzz run record_batch` in `broker/protocol`.

#![no_main]

use broker_protocol::metadata_record::MetadataRecord;
use broker_protocol::record::{Batch, Batches, ControlRecord, crc32c};
use bytes::Bytes;
use libfuzzer_sys::fuzz_target;

const DECOMPRESSION_LIMIT: usize = 1 << 20;
const CRC: std::ops::Range<usize> = 17..21;

fn repair_checksum(bytes: &mut [u8]) {
    if bytes.len() > CRC.end {
        let checksum = crc32c(&bytes[CRC.end..]);
        bytes[CRC].copy_from_slice(&checksum.to_be_bytes());
    }
}

fuzz_target!(|data: &[u8]| {
    let Some((choice, data)) = data.split_first() else {
        return;
    };
    let mut bytes = data.to_vec();
    if choice & 1 == 1 {
        repair_checksum(&mut bytes);
    }
    for batch in Batches::new(&bytes) {
        let Ok(batch) = batch else { break };
        let _ = batch.validate();
        let _ = batch.validate_produced_records(DECOMPRESSION_LIMIT);
    }
    let Ok(batch) = Batch::new(Bytes::from(bytes)) else {
        return;
    };
    let Ok(records) = batch.records(DECOMPRESSION_LIMIT) else {
        return;
    };
    for record in records.map_while(Result::ok) {
        let _ = ControlRecord::decode(&record);
        if let Some(value) = record.value {
            let _ = MetadataRecord::decode(value);
        }
    }
});
