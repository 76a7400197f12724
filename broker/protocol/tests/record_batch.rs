//! One batch: its bytes, what a broker patches, what it refuses, and how batches follow each other.

#[path = "record_batch/by_kafka.rs"]
mod by_kafka;

use broker_protocol::ErrorCode;
use broker_protocol::record::{
    Batch, BatchBuilder, BatchError, BatchMut, BatchOptions, BatchView, Batches, Compression,
    Header, NO_SEQUENCE, Record, RecordBatch, RecordBatches, TimestampType, crc32c, frame_size,
};
use bytes::Bytes;

use by_kafka::BY_KAFKA;

const LIMIT_BYTES: usize = 1 << 20;

#[test]
fn kafkas_batches_are_read_in_every_codec() {
    for (codec, hex) in BY_KAFKA {
        let batch = RecordBatch::new(from_hex(hex)).unwrap();
        assert_eq!(
            batch.validate_produced_records(LIMIT_BYTES),
            Ok(()),
            "{codec}"
        );
        assert_eq!(batch.compression(), Ok(codec));
        let records: Result<Vec<_>, _> = batch.records(LIMIT_BYTES).unwrap().collect();
        assert_eq!(records.unwrap(), three_records(), "{codec}");
    }
}

#[test]
fn the_bytes_we_write_are_kafkas() {
    let [(_, uncompressed), ..] = BY_KAFKA;
    assert_eq!(
        build(&three_records(), kafkas_options(Compression::None)).into_bytes(),
        from_hex(uncompressed)
    );
}

#[test]
fn what_we_compress_we_decompress() {
    for codec in Compression::ALL {
        let batch = build(&three_records(), kafkas_options(codec));
        let records: Result<Vec<_>, _> = batch.view().records(LIMIT_BYTES).unwrap().collect();
        assert_eq!(records.unwrap(), three_records(), "{codec}");
    }
}

#[test]
fn the_header_is_read_by_offset() {
    let batch = build(&three_records(), kafkas_options(Compression::None));
    let view = batch.view();
    assert_eq!(
        (view.base_offset(), view.last_offset(), view.next_offset()),
        (5, 7, 8)
    );
    assert_eq!(
        (
            view.partition_leader_epoch(),
            view.magic(),
            view.attributes()
        ),
        (7, 2, 0x10)
    );
    assert_eq!((view.base_timestamp(), view.max_timestamp()), (1000, 1008));
    assert_eq!((view.producer_id(), view.producer_epoch()), (9, 2));
    assert_eq!((view.base_sequence(), view.last_sequence()), (11, 13));
    assert_eq!((view.count(), view.last_offset_delta()), (3, 2));
    assert!(view.is_transactional() && view.has_producer_id() && !view.is_control());
    assert_eq!(view.delete_horizon(), None);
    assert_eq!(
        view.size(),
        usize::try_from(view.batch_length()).unwrap() + 12
    );
}

#[test]
fn sequences_wrap_to_zero() {
    let options = BatchOptions {
        base_sequence: i32::MAX - 1,
        ..kafkas_options(Compression::None)
    };
    assert_eq!(build(&three_records(), options).last_sequence(), 0);
    let options = BatchOptions {
        base_sequence: NO_SEQUENCE,
        ..kafkas_options(Compression::None)
    };
    assert_eq!(
        build(&three_records(), options).last_sequence(),
        NO_SEQUENCE
    );
}

#[test]
fn offset_and_epoch_are_patched_outside_the_checksum() {
    let batch = build(&three_records(), kafkas_options(Compression::Lz4));
    let mut bytes = batch.as_bytes().to_vec();
    let mut patched = BatchMut::new(bytes.as_mut_slice()).unwrap();
    patched.set_base_offset(1 << 40);
    patched.set_partition_leader_epoch(21);
    assert_eq!(patched.validate(), Ok(()));
    assert_eq!(
        (patched.base_offset(), patched.partition_leader_epoch()),
        (1 << 40, 21)
    );
    assert_eq!(patched.crc(), batch.crc());
    assert_eq!(bytes[16..], batch.as_bytes()[16..]);
}

#[test]
fn log_append_time_takes_the_place_of_record_timestamps() {
    let batch = build(&three_records(), kafkas_options(Compression::None));
    let mut bytes = batch.as_bytes().to_vec();
    BatchMut::new(bytes.as_mut_slice())
        .unwrap()
        .set_log_append_time(5_000);
    let patched = RecordBatch::new(Bytes::from(bytes)).unwrap();
    assert_eq!(patched.validate(), Ok(()));
    assert_eq!(
        (patched.timestamp_type(), patched.max_timestamp()),
        (TimestampType::LogAppendTime, 5_000)
    );
    assert_eq!(patched.base_timestamp(), 1_000);
    for record in patched.records(LIMIT_BYTES).unwrap() {
        assert_eq!(record.unwrap().timestamp, 5_000);
    }
}

#[test]
fn records_that_compaction_removed_leave_gaps_and_may_leave_nothing() {
    let options = BatchOptions {
        delete_horizon: Some(77),
        ..kafkas_options(Compression::Zstd)
    };
    let mut builder = BatchBuilder::new(options.clone());
    builder.append_at(6, 40, Some(b"k"), None, &[]);
    let batch = builder.build_until(9);
    assert_eq!(batch.validate(), Ok(()));
    assert_eq!(
        (batch.last_offset(), batch.count(), batch.delete_horizon()),
        (9, 1, Some(77))
    );
    let record = batch.records(LIMIT_BYTES).unwrap().next().unwrap().unwrap();
    assert_eq!((record.offset, record.timestamp), (6, 40));
    assert_eq!(
        batch.validate_produced(),
        Err(BatchError::CountMismatch {
            count: 1,
            last_offset_delta: 4
        })
    );

    let empty = BatchBuilder::new(options).build_until(9);
    assert_eq!(empty.validate(), Ok(()));
    assert_eq!(
        (
            empty.count(),
            empty.last_offset(),
            empty.last_sequence(),
            empty.size()
        ),
        (0, 9, 15, 61)
    );
    assert_eq!(empty.records(LIMIT_BYTES).unwrap().count(), 0);
}

#[test]
fn last_offset_delta_must_match_the_count_in_every_codec() {
    for codec in Compression::ALL {
        for last_offset_delta in [0, 1, 3, i32::MAX, -1, i32::MIN] {
            let batch = tampered(codec, 23, &last_offset_delta.to_be_bytes());
            let error = view(&batch).validate_produced().unwrap_err();
            assert_eq!(
                error.error_code(),
                ErrorCode::InvalidRecord,
                "{codec} {last_offset_delta}: {error}"
            );
        }
        for count in [0, 1, 2, 4, i32::MAX, -1] {
            let batch = tampered(codec, 57, &count.to_be_bytes());
            let error = view(&batch).validate_produced().unwrap_err();
            assert_eq!(
                error,
                BatchError::CountMismatch {
                    count,
                    last_offset_delta: 2
                },
                "{codec}"
            );
        }
    }
}

#[test]
fn a_consistent_lie_about_the_count_is_found_in_the_records() {
    for codec in Compression::ALL {
        for declared in [2_i32, 4, i32::MAX] {
            let mut bytes = tampered(codec, 57, &declared.to_be_bytes());
            bytes[23..27].copy_from_slice(&(declared - 1).to_be_bytes());
            renew_crc(&mut bytes);
            assert_eq!(view(&bytes).validate_produced(), Ok(()));
            let error = view(&bytes)
                .validate_produced_records(LIMIT_BYTES)
                .unwrap_err();
            assert_eq!(error, BatchError::RecordCount { declared }, "{codec}");
        }
    }
}

#[test]
fn refusals_carry_kafkas_codes() {
    let none = Compression::None;
    let mut flipped = build(&three_records(), kafkas_options(none))
        .as_bytes()
        .to_vec();
    *flipped.last_mut().unwrap() ^= 1;
    let cases = [
        (flipped, ErrorCode::CorruptMessage),
        (
            tampered(none, 21, &0x17_i16.to_be_bytes()),
            ErrorCode::UnsupportedCompressionType,
        ),
        (
            tampered(none, 21, &0x30_i16.to_be_bytes()),
            ErrorCode::InvalidRecord,
        ),
        (
            tampered(none, 53, &(-1_i32).to_be_bytes()),
            ErrorCode::InvalidRecord,
        ),
        (
            tampered(none, 43, &(-1_i64).to_be_bytes()),
            ErrorCode::InvalidRecord,
        ),
        (
            tampered(none, 0, &i64::MAX.to_be_bytes()),
            ErrorCode::InvalidRecord,
        ),
        (
            tampered(none, 0, &(-1_i64).to_be_bytes()),
            ErrorCode::InvalidRecord,
        ),
    ];
    for (bytes, code) in cases {
        let error = view(&bytes).validate_produced().unwrap_err();
        assert_eq!(error.error_code(), code, "{error}");
    }
}

#[test]
fn frames_that_cannot_become_a_batch_are_errors_at_once() {
    let bytes = build(&three_records(), kafkas_options(Compression::None))
        .as_bytes()
        .to_vec();
    for (at, value, code) in [
        (16, &[0][..], ErrorCode::InvalidRecord),
        (16, &[1][..], ErrorCode::InvalidRecord),
        (16, &[3][..], ErrorCode::CorruptMessage),
        (16, &[0xff][..], ErrorCode::CorruptMessage),
        (8, &48_i32.to_be_bytes()[..], ErrorCode::CorruptMessage),
        (8, &(-1_i32).to_be_bytes()[..], ErrorCode::CorruptMessage),
    ] {
        let mut bytes = bytes.clone();
        bytes[at..at + value.len()].copy_from_slice(value);
        assert_eq!(
            frame_size(&bytes).unwrap_err().error_code(),
            code,
            "{value:?} at {at}"
        );
        assert_eq!(Batches::new(&bytes).count(), 1);
    }
}

#[test]
fn a_partial_last_batch_ends_the_walk_and_tells_the_complete_bytes() {
    let batch = build(&three_records(), kafkas_options(Compression::None));
    let whole = [batch.as_bytes(), batch.as_bytes()].concat();
    for length in 0..=whole.len() {
        let complete = length / batch.size();
        let mut batches = Batches::new(&whole[..length]);
        assert_eq!(batches.by_ref().map(Result::unwrap).count(), complete);
        assert_eq!(batches.complete_bytes(), complete * batch.size());
        let mut shared = RecordBatches::new(Bytes::copy_from_slice(&whole[..length]));
        assert!(shared.by_ref().all(|found| found.unwrap() == batch));
        assert_eq!(shared.complete_bytes(), complete * batch.size());
        assert_eq!(
            BatchView::new(&whole[..length]).is_ok(),
            length == batch.size()
        );
    }
}

fn kafkas_options(compression: Compression) -> BatchOptions {
    BatchOptions {
        base_offset: 5,
        partition_leader_epoch: 7,
        compression,
        producer_id: 9,
        producer_epoch: 2,
        base_sequence: 11,
        is_transactional: true,
        ..BatchOptions::default()
    }
}

fn three_records() -> Vec<Record> {
    let text = Bytes::from_static;
    let headers = vec![
        Header {
            key: text(b"h"),
            value: Some(text(b"1")),
        },
        Header {
            key: text(b"h"),
            value: None,
        },
    ];
    let (key, value) = (Some(text(b"k")), Some(text(b"value")));
    let long = Some(Bytes::from(vec![b'v'; 64]));
    vec![
        Record {
            offset: 5,
            timestamp: 1000,
            key,
            value,
            headers,
        },
        Record {
            offset: 6,
            timestamp: 1008,
            ..Record::default()
        },
        Record {
            offset: 7,
            timestamp: 1004,
            key: Some(Bytes::new()),
            value: long,
            headers: Vec::new(),
        },
    ]
}

fn build(records: &[Record], options: BatchOptions) -> RecordBatch {
    let mut builder = BatchBuilder::new(options);
    for record in records {
        builder.append(
            record.timestamp,
            record.key.as_deref(),
            record.value.as_deref(),
            &record.headers,
        );
    }
    builder.build()
}

/// A batch with a field overwritten and a checksum that agrees.
fn tampered(codec: Compression, at: usize, field: &[u8]) -> Vec<u8> {
    let mut bytes = build(&three_records(), kafkas_options(codec))
        .as_bytes()
        .to_vec();
    bytes[at..at + field.len()].copy_from_slice(field);
    renew_crc(&mut bytes);
    bytes
}

fn renew_crc(bytes: &mut [u8]) {
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}

fn view(bytes: &[u8]) -> BatchView<'_> {
    Batch::new(bytes).unwrap()
}

fn from_hex(text: &str) -> Bytes {
    let digits = (0..text.len()).step_by(2);
    digits
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
