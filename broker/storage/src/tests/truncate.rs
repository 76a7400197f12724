//! Cutting the end: content, epochs, files, and the rule that it must be durable before the next append.

use proptest::prelude::*;

use crate::testing::{Fixture, append, block_on, content, epoch, flush};
use crate::{EpochEntry, Log, LogError};

fn truncate(log: &mut Log, offset: i64) {
    if let Some(job) = log.truncate_to(offset).expect("a truncation") {
        let done = block_on(job.run()).expect("a healthy disk");
        log.finish_flush(done);
    }
}

fn filled(fixture: &Fixture, batches: i32) -> Log {
    let mut log = fixture.open(false);
    for number in 0..batches {
        append(&mut log, 2, number / 3, i64::from(number), 100).expect("an append");
    }
    log
}

/// L-14: the segments above the cut go, and only those.
#[test]
fn whole_segments_above_the_cut_are_removed() {
    let fixture = Fixture::new(500, 100);
    let mut log = filled(&fixture, 12);
    assert_eq!(log.segment_base_offsets(), [0, 6, 12, 18]);
    let before = content(&log);
    truncate(&mut log, 10);
    assert_eq!(log.segment_base_offsets(), [0, 6]);
    assert_eq!(content(&log), before[..5]);
    assert_eq!((log.log_end(), log.flushed_end()), (10, 10));
    let expected = [(0, 0), (1, 6)].map(|(number, start_offset)| EpochEntry {
        epoch: epoch(number),
        start_offset,
    });
    assert_eq!(log.epochs().entries(), expected);
    drop(log);
    assert_eq!(content(&fixture.open(false)), before[..5]);
}

/// L-16: the emptied segment is used again, no second one of its name is made.
#[test]
fn a_segment_cut_to_nothing_is_filled_again() {
    let fixture = Fixture::new(500, 0);
    let mut log = filled(&fixture, 8);
    truncate(&mut log, 6);
    assert_eq!(log.segment_base_offsets(), [0, 6]);
    for _ in 0..4 {
        append(&mut log, 2, 9, 100, 100).expect("an append");
    }
    assert_eq!(log.segment_base_offsets(), [0, 6, 12]);
    assert_eq!(content(&log).len(), 7);
    drop(log);
    assert_eq!(content(&fixture.open(false)).len(), 7);
}

#[test]
fn a_cut_inside_of_a_batch_removes_the_batch() {
    let fixture = Fixture::new(500, 100);
    let mut log = filled(&fixture, 4);
    truncate(&mut log, 5);
    assert_eq!(log.log_end(), 4);
    append(&mut log, 1, 5, 1, 10).expect("an append");
    assert_eq!(content(&log).len(), 3);
}

#[test]
fn a_cut_at_or_above_the_end_does_nothing() {
    let fixture = Fixture::new(500, 100);
    let mut log = filled(&fixture, 2);
    assert!(log.truncate_to(4).expect("a truncation").is_none());
    assert!(log.truncate_to(100).expect("a truncation").is_none());
    assert_eq!(log.log_end(), 4);
}

#[test]
fn a_log_starts_over_where_it_is_told() {
    let fixture = Fixture::new(500, 100);
    let mut log = filled(&fixture, 8);
    let job = log.truncate_fully_and_start_at(1000).expect("a truncation");
    log.finish_flush(block_on(job.run()).expect("a healthy disk"));
    assert_eq!(
        (log.log_start(), log.log_end(), log.segment_base_offsets()),
        (1000, 1000, vec![1000])
    );
    assert!(log.epochs().entries().is_empty());
    append(&mut log, 2, 4, 1, 10).expect("an append");
    assert_eq!(content(&log).len(), 1);
    drop(log);
    let log = fixture.open(false);
    assert_eq!((log.log_start(), log.log_end()), (1000, 1002));
}

#[test]
fn appends_wait_until_the_truncation_is_durable() {
    let fixture = Fixture::new(500, 100);
    let mut log = filled(&fixture, 8);
    let job = log
        .truncate_to(4)
        .expect("a truncation")
        .expect("something to cut");
    assert_eq!(
        append(&mut log, 1, 9, 1, 10),
        Err(LogError::TruncationPending)
    );
    assert!(log.truncation_pending());
    log.finish_flush(block_on(job.run()).expect("a healthy disk"));
    append(&mut log, 1, 9, 1, 10).expect("an append");
}

/// Half a cut would look like damage below the old recovery point.
#[test]
fn a_file_is_cut_by_the_flush_and_only_once() {
    let fixture = Fixture::new(1 << 20, 100);
    let file = Fixture::file(0, "log");
    let mut log = filled(&fixture, 8);
    let whole = fixture.disk.bytes(&file).len();
    let higher = log.truncate_to(8).expect("a truncation").expect("a cut");
    let lower = log.truncate_to(4).expect("a truncation").expect("a cut");
    assert_eq!(fixture.disk.bytes(&file).len(), whole);
    log.finish_flush(block_on(lower.run()).expect("a healthy disk"));
    assert!(fixture.disk.bytes(&file).len() < whole);
    append(&mut log, 2, 9, 1, 100).expect("an append");
    let after = content(&log);
    log.finish_flush(block_on(higher.run()).expect("a healthy disk"));
    assert_eq!(content(&log), after);
    drop(log);
    assert_eq!(content(&fixture.open(false)), after);
}

#[test]
fn a_truncation_lowers_the_durable_recovery_point() {
    let mut fixture = Fixture::new(500, 100);
    let mut log = filled(&fixture, 8);
    flush(&mut log);
    block_on(fixture.recovery_points.write()).expect("a checkpoint");
    truncate(&mut log, 4);
    drop(log);
    fixture.restart();
    assert_eq!(
        fixture.recovery_points.get(&crate::testing::partition()),
        Some(4)
    );
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    /// Cut, append and reopen in any order: the log is what a list of batches would be.
    #[test]
    fn truncation_equals_that_of_a_list(
        steps in prop::collection::vec((0..100_u32, 1..4_i32, 0..40_i64, 0..200_usize), 1..40),
        segment_bytes in 200..1000_u32,
        interval in 0..300_u32,
    ) {
        let fixture = Fixture::new(segment_bytes, interval);
        let mut log = fixture.open(false);
        let mut expected = Vec::new();
        for (step, (kind, count, number, payload)) in (0..).zip(steps) {
            if kind < 15 {
                truncate(&mut log, number);
                expected.retain(|info: &crate::BatchInfo| info.last_offset < number);
            } else if kind < 20 {
                drop(log);
                log = fixture.open(false);
            } else {
                let bytes = append(&mut log, count, step, number, payload).expect("an append");
                expected.push(crate::testing::info(&bytes));
            }
            prop_assert_eq!(&content(&log), &expected);
            let end = expected.last().map_or(0, |info| info.next_offset());
            prop_assert_eq!(log.log_end(), end);
        }
    }
}
