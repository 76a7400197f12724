//! LOG-4: what compaction keeps, step by step; `random` over any content, bound and crash.

mod random;

use std::collections::BTreeMap;

use broker_protocol::record::{
    BatchBuilder, BatchOptions, EndTxnMarker, RecordBatch, RecordBatches,
};
use bytes::{Bytes, BytesMut};

use crate::testing::{Fixture, block_on, content, flush, info};
use crate::{AbortedTxn, BatchInfo, CleanJob, Cleaning, LastBatch, Log};

pub(super) const DAY: i64 = 86_400_000;

/// Segments of a few batches, compacted.
pub(super) fn fixture() -> Fixture {
    let mut fixture = Fixture::new(700, 100);
    fixture.config.cleanup_compact = true;
    fixture
}

fn push(log: &mut Log, batch: RecordBatch) -> BatchInfo {
    let mut batch =
        broker_protocol::record::Batch::new(BytesMut::from(batch.as_bytes())).expect("whole");
    batch.set_base_offset(log.log_end());
    batch.set_partition_leader_epoch(0);
    let bytes: Bytes = batch.into_bytes().freeze();
    let info = info(&bytes);
    log.append(&bytes, &[info], 0).expect("an append");
    info
}

/// Records with these keys; `None` as value is a tombstone. `producer`: id and first sequence, in a transaction.
pub(super) fn write(
    log: &mut Log,
    producer: Option<(i64, i32)>,
    records: &[(&[u8], Option<&[u8]>)],
) -> BatchInfo {
    let mut options = BatchOptions::default();
    if let Some((id, sequence)) = producer {
        options.producer_id = id;
        options.producer_epoch = 0;
        options.base_sequence = sequence;
        options.is_transactional = true;
    }
    let mut builder = BatchBuilder::new(options);
    for (key, value) in records {
        builder.append(1, Some(key), *value, &[]);
    }
    push(log, builder.build())
}

pub(super) fn end(log: &mut Log, producer_id: i64, committed: bool, first_offset: i64) {
    let marker = EndTxnMarker {
        committed,
        coordinator_epoch: 0,
    };
    let last_offset = push(log, marker.batch(producer_id, 0, 1)).last_offset;
    if !committed {
        let txn = AbortedTxn {
            producer_id,
            first_offset,
            last_offset,
            last_stable_offset: last_offset + 1,
        };
        log.append_aborted(txn).expect("a healthy disk");
    }
}

/// Fills up the active segment, so that all before is sealed.
pub(super) fn roll(log: &mut Log) {
    let active = log.active_base_offset();
    while log.active_base_offset() == active || log.segment_base_offsets().len() < 2 {
        write(log, None, &[(b"filling", Some(&[0; 300]))]);
    }
}

pub(super) fn cleaning(log: &Log) -> Cleaning {
    Cleaning {
        bound: log.log_end(),
        now_ms: 10 * DAY,
        delete_retention_ms: DAY,
        map_bytes: 1 << 20,
        last_batches: BTreeMap::new(),
    }
}

pub(super) fn clean(log: &mut Log, cleaning: Cleaning) -> Option<i64> {
    let job: Option<CleanJob> = log.start_cleaning(cleaning).expect("a healthy disk");
    let done = block_on(job?.run()).expect("a healthy disk");
    log.finish_cleaning(done).expect("a healthy disk")
}

/// Offset, key and value of every record but the filling, with control records.
pub(super) fn records(log: &Log) -> Vec<(i64, Vec<u8>, Option<Vec<u8>>)> {
    let mut found = Vec::new();
    let mut from = log.log_start();
    while from < log.log_end() {
        let read = log
            .read(from, 1 << 20, log.log_end(), true)
            .expect("readable");
        assert!(read.next_offset > from, "stuck at {from}");
        from = read.next_offset;
        for batch in RecordBatches::new(read.records) {
            for record in batch.expect("whole").records(1 << 20).expect("plain") {
                let record = record.expect("well formed");
                let key = record.key.expect("a key").to_vec();
                if key != b"filling" {
                    found.push((record.offset, key, record.value.map(|value| value.to_vec())));
                }
            }
        }
    }
    found
}

fn offsets(log: &Log) -> Vec<i64> {
    records(log)
        .into_iter()
        .map(|(offset, _, _)| offset)
        .collect()
}

#[test]
fn the_last_record_of_each_key_stays_where_it_was() {
    let fixture = fixture();
    let mut log = fixture.open(false);
    for (key, value) in [(b"a", 1), (b"b", 2), (b"a", 3), (b"c", 4), (b"b", 5)] {
        write(&mut log, None, &[(key, Some(&[value]))]);
    }
    write(&mut log, None, &[(b"c", Some(b"6")), (b"d", Some(b"7"))]);
    roll(&mut log);
    let end = log.log_end();
    let all = cleaning(&log);
    let cleaned = clean(&mut log, all).expect("something to clean");
    assert_eq!(offsets(&log), [2, 4, 5, 6]);
    assert_eq!((log.log_end(), cleaned), (end, log.active_base_offset()));
    flush(&mut log);
    drop(log);
    assert_eq!(offsets(&fixture.open(false)), [2, 4, 5, 6]);
}

/// With more to clean than before, at this time.
fn clean_at(log: &mut Log, now_ms: i64) {
    roll(log);
    let cleaning = Cleaning {
        now_ms,
        ..cleaning(log)
    };
    clean(log, cleaning).expect("something to clean");
}

#[test]
fn a_tombstone_goes_some_time_after_it_was_first_cleaned() {
    let fixture = fixture();
    let mut log = fixture.open(false);
    write(&mut log, None, &[(b"a", Some(b"1"))]);
    write(&mut log, None, &[(b"a", None)]);
    roll(&mut log);
    clean_at(&mut log, 0);
    assert_eq!(offsets(&log), [1], "its record has gone first");
    clean_at(&mut log, DAY - 1);
    assert_eq!(offsets(&log), [1]);
    clean_at(&mut log, DAY);
    assert_eq!(offsets(&log), [0; 0]);
}

#[test]
fn a_marker_goes_after_all_that_it_ends_and_is_named_no_more() {
    let fixture = fixture();
    let mut log = fixture.open(false);
    write(&mut log, Some((7, 0)), &[(b"a", Some(b"1"))]);
    end(&mut log, 7, false, 0);
    write(&mut log, Some((8, 0)), &[(b"a", Some(b"2"))]);
    end(&mut log, 8, true, 2);
    write(&mut log, None, &[(b"a", Some(b"3"))]);
    roll(&mut log);
    let named = |log: &Log| {
        log.aborted_transactions(0, 5)
            .expect("a healthy disk")
            .len()
    };
    clean_at(&mut log, 0);
    assert_eq!((offsets(&log), named(&log)), (vec![1, 3, 4], 1));
    clean_at(&mut log, 0);
    assert_eq!(
        (offsets(&log), named(&log)),
        (vec![1, 3, 4], 1),
        "their time begins"
    );
    clean_at(&mut log, DAY);
    assert_eq!((offsets(&log), named(&log)), (vec![4], 0));
}

#[test]
fn the_last_batch_of_a_producer_stays_without_records() {
    let fixture = fixture();
    let mut log = fixture.open(false);
    write(&mut log, Some((7, 0)), &[(b"a", Some(b"1"))]);
    let last = write(&mut log, Some((7, 1)), &[(b"a", Some(b"2"))]);
    end(&mut log, 7, true, 0);
    write(&mut log, None, &[(b"a", Some(b"3"))]);
    roll(&mut log);
    let known = LastBatch {
        last_offset: Some(last.last_offset),
        producer_epoch: 0,
    };
    let cleaning = Cleaning {
        last_batches: BTreeMap::from([(7, known)]),
        ..cleaning(&log)
    };
    clean(&mut log, cleaning.clone());
    roll(&mut log);
    let again = Cleaning {
        bound: log.log_end(),
        ..cleaning
    };
    clean(&mut log, again);
    let kept: Vec<BatchInfo> = content(&log)
        .into_iter()
        .filter(|batch| batch.is_sequenced())
        .collect();
    assert_eq!(kept.len(), 1);
    assert_eq!(
        (
            kept[0].base_offset,
            kept[0].base_sequence,
            kept[0].max_timestamp
        ),
        (1, 1, 1)
    );
}

#[test]
fn a_flush_that_began_before_ends_after_a_cleaning() {
    let fixture = fixture();
    let mut log = fixture.open(false);
    for _ in 0..3 {
        write(&mut log, None, &[(b"a", Some(b"1"))]);
    }
    roll(&mut log);
    let flushing = log.start_flush().expect("something to flush");
    let all = cleaning(&log);
    clean(&mut log, all).expect("something to clean");
    let done = block_on(flushing.run()).expect("a healthy disk");
    log.finish_flush(done);
    assert_eq!((offsets(&log), log.flushed_end()), (vec![2], log.log_end()));
}
