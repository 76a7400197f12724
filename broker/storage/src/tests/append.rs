//! Appending and rolling.

use bytes::{Bytes, BytesMut};

use crate::testing::{Fixture, append, batch, content, epoch, flush, info, infos};
use crate::{EpochEntry, LogConfig, LogError};

#[test]
fn appends_are_read_back_byte_by_byte() {
    let fixture = Fixture::new(1 << 20, 4096);
    let mut log = fixture.open(false);
    let first = append(&mut log, 3, 0, 10, 100).expect("an append");
    let second = append(&mut log, 1, 0, 20, 50).expect("an append");
    assert_eq!(log.log_end(), 4);
    let read = log.read(0, 1 << 20, 4, true).expect("a read");
    assert_eq!(read.records, [first, second].concat());
    assert_eq!(read.next_offset, 4);
}

#[test]
fn a_segment_rolls_by_size_and_its_name_is_the_log_end() {
    let fixture = Fixture::new(500, 100);
    let mut log = fixture.open(false);
    for _ in 0..10 {
        append(&mut log, 2, 0, 1, 100).expect("an append");
    }
    // 161 bytes a batch, three a segment.
    assert_eq!(log.segment_base_offsets(), [0, 6, 12, 18]);
    assert_eq!(content(&log).len(), 10);
}

#[test]
fn one_append_over_several_segments_keeps_all_batches() {
    let fixture = Fixture::new(400, 100);
    let mut log = fixture.open(false);
    let mut all = BytesMut::new();
    (0..9).for_each(|base| all.extend_from_slice(&batch(base, 1, 0, 5, 100)));
    let all: Bytes = all.freeze();
    let appended = log.append(&all, &infos(&all), 0).expect("an append");
    assert_eq!(
        (appended.base_offset, appended.last_offset, appended.rolled),
        (0, 8, vec![2, 4, 6, 8])
    );
    assert_eq!(log.segment_base_offsets(), [0, 2, 4, 6, 8]);
    assert_eq!(content(&log), infos(&all));
}

#[test]
fn a_segment_rolls_by_record_time() {
    let mut fixture = Fixture::new(1 << 20, 4096);
    fixture.config.segment_ms = 1000;
    let mut log = fixture.open(false);
    append(&mut log, 1, 0, 5000, 10).expect("an append");
    append(&mut log, 1, 0, 6000, 10).expect("an append");
    assert_eq!(log.segment_base_offsets(), [0]);
    append(&mut log, 1, 0, 6001, 10).expect("an append");
    assert_eq!(log.segment_base_offsets(), [0, 2]);
}

#[test]
fn a_segment_rolls_when_its_index_is_full() {
    let mut fixture = Fixture::new(1 << 20, 0);
    fixture.config.segment_index_bytes = 24;
    let mut log = fixture.open(false);
    for timestamp in 0..6 {
        append(&mut log, 1, 0, timestamp, 10).expect("an append");
    }
    // 24 bytes hold two time entries; the first batch of a segment has none.
    assert_eq!(log.segment_base_offsets(), [0, 3]);
}

#[test]
fn a_batch_larger_than_a_segment_gets_one_of_its_own() {
    let fixture = Fixture::new(300, 4096);
    let mut log = fixture.open(false);
    append(&mut log, 1, 0, 1, 10).expect("an append");
    append(&mut log, 1, 0, 1, 1000).expect("an append");
    append(&mut log, 1, 0, 1, 10).expect("an append");
    assert_eq!(log.segment_base_offsets(), [0, 1, 2]);
}

#[test]
fn offsets_and_epochs_may_not_go_back() {
    let fixture = Fixture::new(1 << 20, 4096);
    let mut log = fixture.open(false);
    append(&mut log, 5, 3, 1, 10).expect("an append");
    let overlapping = batch(4, 1, 3, 1, 10);
    let refused = log.append(&overlapping, &[info(&overlapping)], 0);
    assert_eq!(
        refused,
        Err(LogError::OutOfOrder {
            base_offset: 4,
            last_offset: 4,
            log_end: 5
        })
    );
    let older = batch(5, 1, 2, 1, 10);
    let refused = log.append(&older, &[info(&older)], 0);
    assert_eq!(
        refused,
        Err(LogError::EpochRegressed {
            epoch: epoch(2),
            latest: epoch(3),
            base_offset: 5
        })
    );
    // A follower of a compacted log skips offsets.
    let later = batch(9, 1, 3, 1, 10);
    log.append(&later, &[info(&later)], 0)
        .expect("a gap is no error");
    assert_eq!(log.log_end(), 10);
}

#[test]
fn epochs_are_the_first_offsets_of_the_batches() {
    let fixture = Fixture::new(300, 4096);
    let mut log = fixture.open(false);
    for number in [0, 0, 2, 5, 5] {
        append(&mut log, 2, number, 1, 100).expect("an append");
    }
    let expected = [(0, 0), (2, 4), (5, 6)];
    let expected = expected.map(|(number, start_offset)| EpochEntry {
        epoch: epoch(number),
        start_offset,
    });
    assert_eq!(log.epochs().entries(), expected);
    assert_eq!(log.end_offset_of_epoch(epoch(0)), Some((epoch(0), 4)));
    assert_eq!(log.end_offset_of_epoch(epoch(4)), Some((epoch(2), 6)));
    assert_eq!(log.end_offset_of_epoch(epoch(5)), Some((epoch(5), 10)));
    assert_eq!(log.end_offset_of_epoch(epoch(9)), Some((epoch(5), 10)));
    assert_eq!(log.epochs().epoch_at(5), Some(epoch(2)));
    log.assign_epoch(epoch(7));
    assert_eq!(log.end_offset_of_epoch(epoch(5)), Some((epoch(5), 10)));
    assert_eq!(log.latest_epoch(), Some(epoch(7)));
}

/// L-07.
#[test]
fn after_a_failed_write_nothing_more_is_accepted() {
    let fixture = Fixture::new(1 << 20, 4096);
    let mut log = fixture.open(false);
    append(&mut log, 1, 0, 1, 100).expect("an append");
    fixture.disk.fail_next_write_after(30);
    assert!(matches!(
        append(&mut log, 1, 0, 1, 100),
        Err(LogError::Disk(_))
    ));
    assert_eq!(log.log_end(), 1);
    assert!(matches!(
        append(&mut log, 1, 0, 1, 100),
        Err(LogError::Offline(_))
    ));
    assert!(matches!(
        log.read(0, 100, 1, true),
        Err(LogError::Offline(_))
    ));
    let log = fixture.open(false);
    assert_eq!((log.log_end(), content(&log).len()), (1, 1));
}

/// L-08: the index of the old segment fails when the log rolls.
#[test]
fn an_index_failure_gives_no_offset_out_twice() {
    let fixture = Fixture::new(300, 0);
    let mut log = fixture.open(false);
    append(&mut log, 1, 0, 1, 100).expect("an append");
    append(&mut log, 1, 0, 2, 60).expect("an append");
    fixture.disk.fail_next_write_after(3);
    assert!(append(&mut log, 1, 0, 3, 100).is_err());
    assert!(append(&mut log, 1, 0, 3, 100).is_err());
    let log = fixture.open(false);
    assert_eq!(content(&log).len(), 2);
}

#[test]
fn flush_is_due_by_messages_and_by_time() {
    let mut fixture = Fixture::new(1 << 20, 4096);
    fixture.config = LogConfig {
        flush_messages: 3,
        flush_ms: 100,
        ..fixture.config
    };
    let mut log = fixture.open(false);
    assert!(!log.flush_due(1_000_000));
    append(&mut log, 1, 0, 50, 10).expect("an append");
    assert!(!log.flush_due(149));
    assert!(log.flush_due(150));
    append(&mut log, 2, 0, 60, 10).expect("an append");
    assert!(log.flush_due(60));
    flush(&mut log);
    assert!(!log.flush_due(1_000_000));
}
