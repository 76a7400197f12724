//! What reading a batch allocates: nothing for headers, checks and patches, and never by a declared size.
#![allow(unsafe_code, reason = "a counting allocator cannot be written without")]

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::hint::black_box;

use broker_protocol::record::{
    Batch, BatchBuilder, BatchMut, BatchOptions, Batches, Compression, RecordBatch, RecordBatches,
    crc32c,
};
use bytes::Bytes;

thread_local! {
    static ALLOCATED_BYTES: Cell<usize> = const { Cell::new(0) };
}

struct Counting;

// SAFETY: every call goes to the system's allocator unchanged.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        ALLOCATED_BYTES.set(ALLOCATED_BYTES.get() + layout.size());
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: the caller's contract is the system allocator's.
        unsafe { System.dealloc(pointer, layout) }
    }
}

#[global_allocator]
static COUNTING: Counting = Counting;

fn allocated_bytes(run: impl FnOnce()) -> usize {
    let before = ALLOCATED_BYTES.get();
    run();
    ALLOCATED_BYTES.get() - before
}

#[test]
fn headers_checks_and_patches_allocate_nothing() {
    let one = sample(Compression::None);
    let mut bytes = one.as_bytes().repeat(50);
    let allocated = allocated_bytes(|| {
        for batch in Batches::new(&bytes) {
            let batch = batch.unwrap();
            black_box((
                batch.last_offset(),
                batch.max_timestamp(),
                batch.last_sequence(),
            ));
            batch.validate_produced_records(0).unwrap();
        }
        let mut first = BatchMut::new(&mut bytes[..one.size()]).unwrap();
        first.set_base_offset(7);
        first.set_partition_leader_epoch(3);
        first.set_log_append_time(9);
    });
    assert_eq!(allocated, 0);
}

#[test]
fn batches_and_keys_and_values_share_their_buffer() {
    let one = sample(Compression::None);
    let bytes = Bytes::from(one.as_bytes().repeat(50));
    let allocated = allocated_bytes(|| {
        for batch in RecordBatches::new(bytes) {
            for record in batch.unwrap().records(0).unwrap() {
                black_box(record.unwrap());
            }
        }
    });
    // One small note that the buffer is shared; records without headers add none.
    assert!(allocated < 100, "{allocated} bytes allocated");
}

#[test]
fn a_declared_count_allocates_nothing() {
    let mut bytes = sample(Compression::None).as_bytes().to_vec();
    bytes[57..61].copy_from_slice(&i32::MAX.to_be_bytes());
    bytes[23..27].copy_from_slice(&(i32::MAX - 1).to_be_bytes());
    let crc = crc32c(&bytes[21..]);
    bytes[17..21].copy_from_slice(&crc.to_be_bytes());
    let batch = RecordBatch::new(Bytes::from(bytes)).unwrap();
    let allocated = allocated_bytes(|| {
        assert!(batch.validate_produced_records(usize::MAX).is_err());
        assert_eq!(
            batch
                .records(usize::MAX)
                .unwrap()
                .filter(Result::is_err)
                .count(),
            1
        );
    });
    assert!(allocated < 100, "{allocated} bytes allocated");
}

#[test]
fn a_bomb_costs_little_more_than_the_limit() {
    const LIMIT_BYTES: usize = 1 << 20;
    for codec in [
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ] {
        let mut builder = BatchBuilder::new(BatchOptions {
            compression: codec,
            ..BatchOptions::default()
        });
        builder.append(0, None, Some(&vec![0; 64 << 20]), &[]);
        let bomb = builder.build();
        let allocated =
            allocated_bytes(|| assert!(bomb.validate_produced_records(LIMIT_BYTES).is_err()));
        // A vector that doubles adds up to twice its end size, and that is at most twice the limit.
        assert!(
            allocated < 5 * LIMIT_BYTES,
            "{codec}: {allocated} bytes allocated"
        );
        assert!(Batch::new(bomb.as_bytes()).is_ok());
    }
}

fn sample(compression: Compression) -> RecordBatch {
    let mut builder = BatchBuilder::new(BatchOptions {
        compression,
        ..BatchOptions::default()
    });
    for timestamp in 0..10 {
        builder.append(timestamp, Some(b"key"), Some(b"value"), &[]);
    }
    builder.build()
}
