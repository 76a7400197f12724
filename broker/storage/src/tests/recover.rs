//! Opening logs: what is cut, what is refused, what is rebuilt.

use proptest::prelude::*;

use crate::testing::{Fixture, append, block_on, content, epoch, flush, partition};
use crate::{Damage, LogError};

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    /// Any cut of the file is a torn tail.
    #[test]
    fn a_torn_tail_is_cut_at_a_batch_boundary(cut in 0..2000_usize, noise in prop::collection::vec(any::<u8>(), 0..100)) {
        let fixture = Fixture::new(1 << 20, 200);
        let mut log = fixture.open(false);
        for _ in 0..10 {
            append(&mut log, 1, 0, 1, 100).expect("an append");
        }
        let before = content(&log);
        drop(log);
        let file = Fixture::file(0, "log");
        let healthy = fixture.disk.bytes(&file);
        fixture.disk.corrupt(&file, |bytes| {
            bytes.truncate(cut);
            bytes.extend_from_slice(&noise);
        });
        // Noise may happen to be what was cut off.
        let same = fixture.disk.bytes(&file).iter().zip(&healthy).take_while(|(now, was)| now == was).count();
        let log = fixture.open(false);
        prop_assert_eq!(content(&log), &before[..same / 161]);
        prop_assert_eq!(fixture.disk.bytes(&file).len(), same / 161 * 161);
    }
}

#[test]
fn damage_below_the_recovery_point_is_not_cut() {
    let fixture = Fixture::new(1 << 20, 200);
    let mut log = fixture.open(false);
    for _ in 0..4 {
        append(&mut log, 1, 0, 1, 100).expect("an append");
    }
    flush(&mut log);
    append(&mut log, 1, 0, 1, 100).expect("an append");
    drop(log);
    let file = Fixture::file(0, "log");
    let healthy = fixture.disk.bytes(&file);
    fixture
        .disk
        .corrupt(&file, |bytes| bytes[161 * 2 + 80] ^= 0xff);
    let Err(LogError::LostBelowRecoveryPoint {
        offset,
        recovery_point,
        corruption,
    }) = fixture.try_open(false)
    else {
        panic!("opened a log that lost durable data");
    };
    assert_eq!((offset, recovery_point, corruption.position), (2, 4, 322));
    assert_eq!(
        fixture.disk.bytes(&file).len(),
        healthy.len(),
        "nothing is cut from it"
    );
    fixture.disk.corrupt(&file, |bytes| {
        *bytes = healthy;
        bytes[161 * 4 + 80] ^= 0xff;
    });
    assert_eq!(fixture.open(false).log_end(), 4);
}

#[test]
fn segments_behind_a_lost_tail_are_removed() {
    let fixture = Fixture::new(400, 0);
    let mut log = fixture.open(false);
    for _ in 0..8 {
        append(&mut log, 1, 0, 1, 100).expect("an append");
    }
    assert_eq!(log.segment_base_offsets(), [0, 2, 4, 6]);
    let before = content(&log);
    drop(log);
    // Exactly one batch: no checksum notices.
    fixture
        .disk
        .corrupt(&Fixture::file(2, "log"), |bytes| bytes.truncate(161));
    let log = fixture.open(false);
    assert!(log.was_recovered());
    assert_eq!(content(&log), before[..3]);
    assert_eq!(log.segment_base_offsets(), [0, 2]);
}

#[test]
fn a_damaged_or_missing_epoch_checkpoint_is_rebuilt() {
    let file = Fixture::directory().join("leader-epoch-checkpoint");
    for damage in [
        "",
        "0\n",
        "0\n3\n0 0\n",
        "1\n1\n0 0\n",
        "0\n2\n5 4\n5 6\n",
        "0\n1\n0 x\n",
        "\u{fffd}",
    ] {
        let fixture = Fixture::new(400, 0);
        let mut log = fixture.open(false);
        for number in [0, 0, 1, 4, 4, 7] {
            append(&mut log, 1, number, 1, 100).expect("an append");
        }
        let expected = log.epochs().clone();
        let job = log
            .start_closing_flush()
            .expect("a seal")
            .expect("something to flush");
        log.finish_flush(block_on(job.run()).expect("a healthy disk"));
        drop(log);
        fixture
            .disk
            .corrupt(&file, |bytes| *bytes = damage.as_bytes().to_vec());
        for clean in [true, false] {
            assert_eq!(*fixture.open(clean).epochs(), expected, "after {damage:?}");
        }
    }
}

#[test]
fn a_plausible_but_wrong_epoch_checkpoint_is_overruled_by_the_log() {
    let fixture = Fixture::new(400, 0);
    let mut log = fixture.open(false);
    for number in [0, 0, 1, 1, 2, 2] {
        append(&mut log, 1, number, 1, 100).expect("an append");
    }
    let expected = log.epochs().clone();
    flush(&mut log);
    drop(log);
    let file = Fixture::directory().join("leader-epoch-checkpoint");
    fixture
        .disk
        .corrupt(&file, |bytes| *bytes = b"0\n2\n0 0\n9 1\n".to_vec());
    assert_eq!(*fixture.open(false).epochs(), expected);
}

#[test]
fn a_clean_log_opens_without_a_scan_and_goes_on() {
    let fixture = Fixture::new(400, 0);
    let mut log = fixture.open(false);
    for timestamp in 0..5 {
        append(&mut log, 1, 0, timestamp, 100).expect("an append");
    }
    let job = log
        .start_closing_flush()
        .expect("a seal")
        .expect("something to flush");
    log.finish_flush(block_on(job.run()).expect("a healthy disk"));
    let before = content(&log);
    drop(log);
    broker_probe::start_counting();
    let mut log = fixture.open(true);
    assert!(!broker_probe::take_counts().contains_key("storage: segment scanned"));
    assert_eq!((content(&log), log.flushed_end()), (before, 5));
    append(&mut log, 1, 1, 9, 100).expect("an append");
    assert_eq!(log.latest_epoch(), Some(epoch(1)));
    assert_eq!(
        log.find_timestamp(9)
            .expect("a search")
            .map(|hit| hit.info.base_offset),
        Some(5)
    );
    drop(log);
    assert_eq!(content(&fixture.open(false)).len(), 6);
}

#[test]
fn lost_and_torn_indexes_are_rebuilt() {
    for clean in [true, false] {
        let fixture = Fixture::new(1000, 0);
        let mut log = fixture.open(false);
        for timestamp in 0..20 {
            append(&mut log, 1, 0, timestamp, 100).expect("an append");
        }
        let job = log
            .start_closing_flush()
            .expect("a seal")
            .expect("something to flush");
        log.finish_flush(block_on(job.run()).expect("a healthy disk"));
        let (before, index) = (
            content(&log),
            fixture.disk.bytes(&Fixture::file(0, "index")),
        );
        drop(log);
        fixture
            .disk
            .corrupt(&Fixture::file(0, "index"), |bytes| bytes.truncate(11));
        fixture
            .disk
            .corrupt(&Fixture::file(6, "timeindex"), |bytes| {
                bytes[20..30].fill(0)
            });
        let log = fixture.open(clean);
        assert_eq!(content(&log), before);
        for timestamp in 0..20 {
            let found = log
                .find_timestamp(timestamp)
                .expect("a search")
                .expect("there is one");
            assert_eq!(found.info.max_timestamp, timestamp);
        }
        drop(log);
        assert_eq!(fixture.disk.bytes(&Fixture::file(0, "index")), index);
    }
}

#[test]
fn left_overs_are_cleaned_up() {
    use broker_env::{Disk, OpenMode};
    let fixture = Fixture::new(400, 0);
    drop(fixture.open(false));
    let orphan = Fixture::file(77, "index");
    let deleted = Fixture::file(5, "log.deleted");
    let temporary = Fixture::directory().join("leader-epoch-checkpoint.tmp");
    for path in [&orphan, &deleted, &temporary] {
        fixture
            .disk
            .open(path, OpenMode::Create)
            .expect("a healthy disk");
    }
    drop(fixture.open(false));
    for path in [&orphan, &deleted, &temporary] {
        assert!(!fixture.disk.exists(path), "{}", path.display());
    }
}

#[test]
fn old_batches_behind_a_newer_epoch_are_cut() {
    let fixture = Fixture::new(1 << 20, 200);
    let mut log = fixture.open(false);
    append(&mut log, 1, 5, 1, 100).expect("an append");
    drop(log);
    let stale = crate::testing::batch(1, 1, 3, 1, 100);
    fixture.disk.corrupt(&Fixture::file(0, "log"), |bytes| {
        bytes.extend_from_slice(&stale)
    });
    let log = fixture.open(false);
    assert_eq!(log.log_end(), 1);
    assert_eq!(fixture.recovery_points.get(&partition()), Some(1));
    let damage = Damage::EpochOrder {
        latest: epoch(5),
        epoch: epoch(3),
    };
    assert!(damage.to_string().contains("epoch 3 after 5"));
}
