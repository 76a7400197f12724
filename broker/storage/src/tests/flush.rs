//! Flushing without the lock, and what happens meanwhile.

use crate::LogError;
use crate::testing::{Fixture, append, block_on, content, flush};

#[test]
fn a_flush_covers_what_was_appended_before_it_began() {
    let fixture = Fixture::new(400, 100);
    let mut log = fixture.open(false);
    for _ in 0..4 {
        append(&mut log, 1, 0, 1, 100).expect("an append");
    }
    let job = log.start_flush().expect("something to flush");
    append(&mut log, 1, 0, 1, 100).expect("an append");
    assert_eq!(job.end(), 4);
    log.finish_flush(block_on(job.run()).expect("a healthy disk"));
    assert_eq!((log.flushed_end(), log.log_end()), (4, 5));
    flush(&mut log);
    assert_eq!(log.flushed_end(), 5);
    assert!(log.start_flush().is_none());
}

#[test]
fn overlapping_flushes_never_go_back() {
    let fixture = Fixture::new(400, 100);
    let mut log = fixture.open(false);
    append(&mut log, 1, 0, 1, 100).expect("an append");
    let first = log.start_flush().expect("something to flush");
    append(&mut log, 1, 1, 1, 100).expect("an append");
    let second = log.start_flush().expect("something to flush");
    log.finish_flush(block_on(second.run()).expect("a healthy disk"));
    log.finish_flush(block_on(first.run()).expect("a healthy disk"));
    assert_eq!(log.flushed_end(), 2);
    fixture.disk.power_loss(|| false);
    let log = fixture.open(false);
    assert_eq!((content(&log).len(), log.epochs().entries().len()), (2, 2));
}

/// L-20: the length is restored while the sync runs.
#[test]
fn a_flush_overtaken_by_a_truncation_counts_nothing() {
    let fixture = Fixture::new(1000, 100);
    let mut log = fixture.open(false);
    append(&mut log, 1, 0, 1, 100).expect("an append");
    flush(&mut log);
    append(&mut log, 2, 0, 1, 100).expect("an append");
    let slow = log.start_flush().expect("something to flush");
    let cut = log
        .truncate_to(1)
        .expect("a truncation")
        .expect("something to cut");
    let slow = block_on(slow.run()).expect("a healthy disk");
    log.finish_flush(block_on(cut.run()).expect("a healthy disk"));
    append(&mut log, 2, 1, 1, 100).expect("an append");
    assert_eq!((slow.end(), log.log_end()), (3, 3));
    log.finish_flush(slow);
    assert_eq!(log.flushed_end(), 1);
    assert!(log.start_flush().is_some());
}

#[test]
fn a_failed_sync_is_final() {
    let fixture = Fixture::new(1000, 100);
    let mut log = fixture.open(false);
    append(&mut log, 1, 0, 1, 100).expect("an append");
    let next = log.start_flush().expect("something to flush");
    fixture.disk.fail_next_sync();
    let failed = log.start_flush().expect("something to flush");
    assert!(block_on(failed.run()).is_err());
    // Its own sync would succeed, without the data.
    assert!(block_on(next.run()).is_err());
    assert!(matches!(
        append(&mut log, 1, 0, 1, 100),
        Err(LogError::Offline(_))
    ));
    assert_eq!(log.flushed_end(), 0);
}

/// The files of a rolled segment are covered, indexes included.
#[test]
fn a_flush_makes_rolled_segments_durable_with_their_names() {
    let fixture = Fixture::new(400, 0);
    let mut log = fixture.open(false);
    for number in 0..6 {
        append(&mut log, 1, number, i64::from(number), 100).expect("an append");
    }
    flush(&mut log);
    let (before, epochs) = (content(&log), log.epochs().clone());
    drop(log);
    fixture.disk.power_loss(|| false);
    broker_probe::start_counting();
    let log = fixture.open(false);
    assert_eq!(content(&log), before);
    assert_eq!(*log.epochs(), epochs);
    let counts = broker_probe::take_counts();
    assert_eq!(
        counts.get("storage: segment scanned"),
        Some(&1),
        "only the last segment: {counts:?}"
    );
}

#[cfg(feature = "mutants")]
mod mutants {
    use super::*;

    /// L-20 put back: the test above would see this.
    #[test]
    fn l_20_counts_unflushed_data() {
        let fixture = Fixture::new(1000, 100);
        let mut log = fixture.open(false);
        append(&mut log, 2, 0, 1, 100).expect("an append");
        let slow = log.start_flush().expect("something to flush");
        let cut = log
            .truncate_to(1)
            .expect("a truncation")
            .expect("something to cut");
        log.finish_flush(block_on(cut.run()).expect("a healthy disk"));
        append(&mut log, 2, 1, 1, 100).expect("an append");
        broker_probe::set_mutant(Some("L_20"));
        log.finish_flush(block_on(slow.run()).expect("a healthy disk"));
        broker_probe::set_mutant(None);
        assert_eq!(log.flushed_end(), 2);
    }

    /// L-07 put back: a batch behind torn bytes, and a sync that is believed after one failed.
    #[test]
    fn l_07_leaves_a_hole_or_trusts_a_second_sync() {
        let fixture = Fixture::new(1000, 100);
        let mut log = fixture.open(false);
        broker_probe::set_mutant(Some("L_07"));
        fixture.disk.fail_next_write_after(30);
        assert!(append(&mut log, 1, 0, 1, 100).is_err());
        append(&mut log, 1, 0, 1, 100).expect("accepted, wrongly");
        fixture.disk.fail_next_sync();
        assert!(block_on(log.start_flush().expect("something to flush").run()).is_err());
        flush(&mut log);
        broker_probe::set_mutant(None);
        assert_eq!(log.flushed_end(), 1);
        drop(log);
        assert!(matches!(
            fixture.try_open(false),
            Err(LogError::LostBelowRecoveryPoint { .. })
        ));
    }
}
