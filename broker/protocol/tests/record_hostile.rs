//! Bytes from an attacker: no panic, no unbounded memory, and no false acceptance that matters.

use broker_protocol::record::{
    Batch, BatchBuilder, BatchError, BatchOptions, BatchView, Batches, Compression, ControlRecord,
    Header, RecordBatch, RecordBatches, compress, crc32c, decompress,
};
use bytes::{BufMut, Bytes, BytesMut};
use proptest::collection::vec;
use proptest::prelude::*;

const LIMIT_BYTES: usize = 1 << 16;

proptest! {
    #![proptest_config(ProptestConfig::with_cases(400))]

    #[test]
    fn noise_never_panics(bytes in vec(any::<u8>(), 0..400)) {
        exercise(&bytes);
        for codec in Compression::ALL {
            let _ = decompress(codec, &bytes, LIMIT_BYTES);
        }
    }

    #[test]
    fn mutated_batches_never_panic(
        codec in 0_usize..5,
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
        length in any::<prop::sample::Index>(),
        renew in any::<bool>(),
    ) {
        let mut bytes = sample(Compression::ALL[codec]).as_bytes().to_vec();
        for (at, value) in edits {
            // Length and magic stay, so that the mutation reaches what is behind them.
            let at = 17 + at.index(bytes.len() - 17);
            bytes[at] = value;
        }
        if renew {
            renew_crc(&mut bytes);
        }
        exercise(&bytes);
        exercise(&bytes[..length.index(bytes.len())]);
    }

    #[test]
    fn any_single_change_behind_the_epoch_is_noticed(at in any::<prop::sample::Index>(), flip in 1_u8..) {
        let mut bytes = sample(Compression::None).as_bytes().to_vec();
        let at = 17 + at.index(bytes.len() - 17);
        bytes[at] ^= flip;
        let noticed = matches!(BatchView::new(&bytes).unwrap().validate(), Err(BatchError::CrcMismatch { .. }));
        prop_assert!(noticed);
    }

    #[test]
    fn mutated_payloads_never_panic(
        codec in 1_usize..5,
        edits in vec((any::<prop::sample::Index>(), any::<u8>()), 1..4),
    ) {
        let codec = Compression::ALL[codec];
        let mut bytes = compress(codec, &vec![b'a'; 5000]);
        for (at, value) in edits {
            let at = at.index(bytes.len());
            bytes[at] = value;
        }
        if let Ok(out) = decompress(codec, &bytes, LIMIT_BYTES) {
            prop_assert!(out.len() <= LIMIT_BYTES);
        }
    }
}

#[test]
fn bombs_end_at_the_limit() {
    let zeros = vec![0; 8 << 20];
    for codec in Compression::ALL {
        let bomb = compress(codec, &zeros);
        let expected = BatchError::DecompressedTooLarge {
            compression: codec,
            limit_bytes: LIMIT_BYTES,
        };
        assert_eq!(decompress(codec, &bomb, LIMIT_BYTES), Err(expected));
        assert_eq!(
            decompress(codec, &bomb, zeros.len()).map(|out| out.len()),
            Ok(zeros.len())
        );
    }
}

#[test]
fn declared_sizes_are_not_believed() {
    // Snappy: a block that declares 4 GiB - 1, raw and in the Java framing.
    let raw = [0xff, 0xff, 0xff, 0xff, 0x0f, 0];
    let corrupt = Err(BatchError::CorruptCompression(Compression::Snappy));
    assert_eq!(decompress(Compression::Snappy, &raw, usize::MAX), corrupt);
    let framed = [&b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01\0\0\0\x06"[..], &raw].concat();
    assert_eq!(
        decompress(Compression::Snappy, &framed, usize::MAX),
        corrupt
    );
    // Zstd: a frame that declares 2^63 bytes of content.
    let zstd = [
        &[0x28, 0xb5, 0x2f, 0xfd, 0xe0][..],
        &[0, 0, 0, 0, 0, 0, 0, 0x80],
        &[1, 0, 0],
    ]
    .concat();
    assert!(decompress(Compression::Zstd, &zstd, usize::MAX).is_err());
    // Records: 2^31 - 1 records, a 2 GiB record, 2^31 - 1 headers, a 2 GiB key.
    let huge = [0xfe, 0xff, 0xff, 0xff, 0x0f];
    for body in [
        huge.to_vec(),
        [&[0x14, 0, 0, 0, 1, 1][..], &huge].concat(),
        [&[0x16, 0, 0, 0][..], &huge, &[0, 0, 0]].concat(),
    ] {
        let batch = with_payload(Compression::None, i32::MAX, &body);
        assert_eq!(batch.validate_produced(), Ok(()));
        assert!(
            batch.validate_produced_records(usize::MAX).is_err(),
            "{body:?}"
        );
        assert!(
            batch
                .records(usize::MAX)
                .unwrap()
                .any(|record| record.is_err()),
            "{body:?}"
        );
    }
}

#[test]
fn truncated_compressed_data_is_an_error() {
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let payload = sample(codec).payload().to_vec();
        for length in 0..payload.len() - 8 {
            // An lz4 frame may end early at a block; then the records are missing.
            let batch = with_payload(codec, 20, &payload[..length]);
            assert_eq!(batch.validate_produced(), Ok(()));
            let refused = batch.validate_produced_records(LIMIT_BYTES).is_err();
            assert!(
                refused,
                "{codec} cut to {length} of {} bytes",
                payload.len()
            );
        }
    }
}

#[test]
fn snappy_without_framing_is_read() {
    let block = snap::raw::Encoder::new()
        .compress_vec(&[b'a'; 1000])
        .unwrap();
    assert_eq!(
        decompress(Compression::Snappy, &block, LIMIT_BYTES),
        Ok(vec![b'a'; 1000])
    );
}

/// Runs everything that reads a batch; whatever it says, it must return.
fn exercise(bytes: &[u8]) {
    let mut batches = Batches::new(bytes);
    for batch in batches.by_ref().flatten() {
        let _ = (
            batch.validate(),
            batch.validate_produced(),
            format!("{batch:?}"),
        );
        let _ = batch.validate_produced_records(LIMIT_BYTES);
        let _ = (
            batch.last_offset(),
            batch.next_offset(),
            batch.last_sequence(),
            batch.delete_horizon(),
        );
    }
    assert!(batches.complete_bytes() <= bytes.len());
    for batch in RecordBatches::new(Bytes::copy_from_slice(bytes)).flatten() {
        for record in batch.records(LIMIT_BYTES).into_iter().flatten().flatten() {
            let _ = ControlRecord::decode(&record);
        }
    }
}

fn sample(compression: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression,
        ..BatchOptions::default()
    });
    let header = Header {
        key: Bytes::from_static(b"h"),
        value: None,
    };
    for timestamp in 0..20 {
        builder.append(
            timestamp,
            Some(b"key"),
            Some(b"value value value"),
            std::slice::from_ref(&header),
        );
    }
    builder.build()
}

/// A batch with a valid checksum that declares `count` records over `payload`.
fn with_payload(codec: Compression, count: i32, payload: &[u8]) -> RecordBatch {
    let mut bytes = BytesMut::from(&sample(codec).as_bytes()[..61]);
    bytes.put_slice(payload);
    let length = i32::try_from(bytes.len() - 12).unwrap();
    bytes[8..12].copy_from_slice(&length.to_be_bytes());
    bytes[23..27].copy_from_slice(&(count - 1).to_be_bytes());
    bytes[57..61].copy_from_slice(&count.to_be_bytes());
    renew_crc(&mut bytes);
    Batch::new(bytes.freeze()).unwrap()
}

fn renew_crc(bytes: &mut [u8]) {
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
}
