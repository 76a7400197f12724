//! Moving the start.

use proptest::prelude::*;

use crate::testing::{Fixture, append, block_on, content, epoch, flush};
use crate::{EpochEntry, Log, LogConfig, LogError};

fn filled(config: impl Fn(&mut LogConfig)) -> (Fixture, Log) {
    let mut fixture = Fixture::new(400, 0);
    config(&mut fixture.config);
    let mut log = fixture.open(false);
    for timestamp in 0..8 {
        append(
            &mut log,
            1,
            i32::try_from(timestamp / 3).expect("small"),
            timestamp * 10,
            100,
        )
        .expect("an append");
    }
    flush(&mut log);
    assert_eq!(log.segment_base_offsets(), [0, 2, 4, 6]);
    (fixture, log)
}

fn retain(log: &mut Log, now_ms: i64, high_watermark: i64) {
    while let Some(job) = log
        .remove_old_segment(now_ms, high_watermark)
        .expect("retention")
    {
        block_on(job.run()).expect("a healthy disk");
    }
}

#[test]
fn time_removes_segments_whose_newest_record_is_old() {
    let (_fixture, mut log) = filled(|config| config.retention_ms = 100);
    retain(&mut log, 131, 8);
    assert_eq!(
        (log.log_start(), log.segment_base_offsets()),
        (4, vec![4, 6])
    );
    assert_eq!(content(&log).len(), 4);
    let expected = [(1, 4), (2, 6)].map(|(number, start_offset)| EpochEntry {
        epoch: epoch(number),
        start_offset,
    });
    assert_eq!(log.epochs().entries(), expected);
}

#[test]
fn size_removes_what_is_over_the_limit() {
    let (_fixture, mut log) = filled(|config| {
        config.retention_ms = -1;
        config.retention_bytes = 161 * 5;
    });
    retain(&mut log, i64::MAX, 8);
    assert_eq!(log.segment_base_offsets(), [2, 4, 6]);
}

/// P-07.
#[test]
fn nothing_above_the_high_watermark_expires() {
    let (_fixture, mut log) = filled(|config| config.retention_ms = 0);
    retain(&mut log, 1_000_000, 5);
    assert_eq!(
        (log.log_start(), log.segment_base_offsets()),
        (4, vec![4, 6])
    );
}

#[test]
fn a_log_that_expired_entirely_goes_on_empty() {
    let (fixture, mut log) = filled(|config| config.retention_ms = 0);
    retain(&mut log, 1_000_000, 8);
    assert_eq!(
        (log.log_start(), log.log_end(), log.segment_base_offsets()),
        (8, 8, vec![8])
    );
    append(&mut log, 1, 9, 1, 10).expect("an append");
    drop(log);
    let log = fixture.open(false);
    assert_eq!((log.log_start(), log.log_end()), (8, 9));
}

#[test]
fn compacted_topics_do_not_expire() {
    let (_fixture, mut log) = filled(|config| {
        config.retention_ms = 0;
        config.cleanup_delete = false;
    });
    retain(&mut log, 1_000_000, 8);
    assert_eq!(log.log_start(), 0);
}

#[test]
fn deleted_records_are_gone_at_once_and_their_segments_later() {
    let (_fixture, mut log) = filled(|config| config.retention_ms = -1);
    assert_eq!(log.advance_log_start(5), Ok(true));
    assert_eq!(log.advance_log_start(3), Ok(false));
    assert!(matches!(
        log.advance_log_start(9),
        Err(LogError::OutOfRange { .. })
    ));
    assert!(matches!(
        log.read(4, 100, 8, true),
        Err(LogError::OutOfRange { .. })
    ));
    assert_eq!(log.segment_base_offsets(), [0, 2, 4, 6]);
    retain(&mut log, 0, 8);
    assert_eq!(
        (log.log_start(), log.segment_base_offsets()),
        (5, vec![4, 6])
    );
    assert_eq!(content(&log)[0].base_offset, 5);
}

#[test]
fn one_removal_at_a_time() {
    let (_fixture, mut log) = filled(|config| config.retention_ms = 0);
    let first = log
        .remove_old_segment(1_000_000, 8)
        .expect("retention")
        .expect("something to remove");
    assert!(
        log.remove_old_segment(1_000_000, 8)
            .expect("retention")
            .is_none()
    );
    block_on(first.run()).expect("a healthy disk");
    assert!(
        log.remove_old_segment(1_000_000, 8)
            .expect("retention")
            .is_some()
    );
}

#[test]
fn a_reader_keeps_the_files_it_has_open() {
    let (fixture, mut log) = filled(|config| config.retention_ms = 0);
    let flushing = {
        append(&mut log, 1, 9, 1_000_000, 10).expect("an append");
        log.start_flush().expect("something to flush")
    };
    retain(&mut log, 1_000_001, 8);
    log.finish_flush(block_on(flushing.run()).expect("files are gone by name only"));
    assert!(!fixture.disk.bytes(&Fixture::file(6, "log")).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 200, failure_persistence: None, ..ProptestConfig::default() })]

    /// Power loss in the middle of removals never makes a hole that is taken for the end.
    #[test]
    fn power_loss_brings_back_only_the_oldest(removals in 0..5_usize, finish_last in any::<bool>(), seed in any::<u64>()) {
        let (mut fixture, mut log) = filled(|config| config.retention_ms = 0);
        let before = content(&log);
        for removal in 0..removals {
            let Some(job) = log.remove_old_segment(1_000_000, 6).expect("retention") else { break };
            if removal + 1 < removals || finish_last {
                block_on(job.run()).expect("a healthy disk");
            }
        }
        drop(log);
        let mut coin = seed | 1;
        fixture.disk.power_loss(|| {
            coin = coin.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
            coin >> 63 == 1
        });
        fixture.restart();
        let log = fixture.open(false);
        prop_assert!(before.ends_with(&content(&log)), "{:?}", content(&log));
        prop_assert!(log.log_end() == 8 && !content(&log).is_empty());
    }
}
