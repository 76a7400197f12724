//! What is left after a crash: a prefix of the log before it that contains everything flushed.

use broker_protocol::ids::Offset;
use proptest::prelude::*;

use crate::testing::{Fixture, append, block_on, content, epoch, flush, info, partition};
use crate::{BatchInfo, Damage, EpochEntry, Log, LogError};

/// The first offset of each epoch, by definition.
fn epochs_of(batches: &[BatchInfo]) -> Vec<EpochEntry> {
    let mut entries: Vec<EpochEntry> = Vec::new();
    for info in batches {
        if entries
            .last()
            .is_none_or(|last| last.epoch < info.leader_epoch)
        {
            entries.push(EpochEntry {
                epoch: info.leader_epoch,
                start_offset: info.base_offset,
            });
        }
    }
    entries
}

fn write_recovery_points(fixture: &Fixture) {
    block_on(fixture.recovery_points.write()).expect("a healthy disk");
}

#[derive(Clone, Debug)]
enum Step {
    Append {
        count: i32,
        new_epoch: bool,
        payload: usize,
    },
    Flush,
    /// A flush that is taken and run, but whose end the log never learns.
    UnfinishedFlush,
    Checkpoint,
    Truncate {
        percent: i64,
    },
    /// A truncation whose job never runs: the crash comes first.
    TruncateAndCrash {
        percent: i64,
    },
    StartOver {
        gap: i64,
    },
    Kill,
    PowerLoss,
}

fn step() -> impl Strategy<Value = Step> {
    prop_oneof![
        12 => (1..4_i32, prop::bool::weighted(0.2), 0..700_usize)
            .prop_map(|(count, new_epoch, payload)| Step::Append { count, new_epoch, payload }),
        3 => Just(Step::Flush),
        1 => Just(Step::UnfinishedFlush),
        2 => Just(Step::Checkpoint),
        1 => (0..110_i64).prop_map(|percent| Step::Truncate { percent }),
        1 => (0..100_i64).prop_map(|percent| Step::TruncateAndCrash { percent }),
        1 => (0..50_i64).prop_map(|gap| Step::StartOver { gap }),
        1 => Just(Step::Kill),
        2 => Just(Step::PowerLoss),
    ]
}

/// The log and what must be true of it.
struct Model {
    fixture: Fixture,
    log: Log,
    batches: Vec<BatchInfo>,
    /// Everything below must survive.
    flushed: Offset,
    epoch: i32,
    coin: u64,
}

impl Model {
    fn new(segment_bytes: u32, interval: u32, seed: u64) -> Model {
        let fixture = Fixture::new(segment_bytes, interval);
        let log = fixture.open(false);
        Model {
            fixture,
            log,
            batches: Vec::new(),
            flushed: 0,
            epoch: 0,
            coin: seed | 1,
        }
    }

    fn run(&mut self, step: &Step) {
        match *step {
            Step::Append {
                count,
                new_epoch,
                payload,
            } => {
                self.epoch += i32::from(new_epoch);
                let timestamp = self.log.log_end();
                let bytes = append(&mut self.log, count, self.epoch, timestamp, payload)
                    .expect("an append");
                self.batches.push(info(&bytes));
            }
            Step::Flush => {
                flush(&mut self.log);
                self.flushed = self.log.log_end();
                assert_eq!(self.log.flushed_end(), self.flushed);
            }
            Step::UnfinishedFlush => {
                if let Some(job) = self.log.start_flush() {
                    let _ = block_on(job.run()).expect("a healthy disk");
                    self.flushed = self.log.log_end();
                }
            }
            Step::Checkpoint => write_recovery_points(&self.fixture),
            Step::Truncate { percent } => self.truncate(percent),
            Step::TruncateAndCrash { percent } => self.truncate_and_crash(percent),
            Step::StartOver { gap } => self.start_over(gap),
            Step::Kill => {
                let before = self.batches.clone();
                self.reopen();
                assert_eq!(self.batches, before, "a killed process loses nothing");
            }
            Step::PowerLoss => {
                let before = self.batches.clone();
                self.lose_power();
                self.check_prefix(&before, self.flushed);
                self.flushed = self.log.log_end();
            }
        }
        assert_eq!(content(&self.log), self.batches);
        assert_eq!(self.log.epochs().entries(), epochs_of(&self.batches));
    }

    fn offset_at(&self, percent: i64) -> Offset {
        self.log.log_start() + (self.log.log_end() - self.log.log_start()) * percent / 100
    }

    fn truncate(&mut self, percent: i64) {
        let offset = self.offset_at(percent);
        if let Some(job) = self.log.truncate_to(offset).expect("a truncation") {
            self.log
                .finish_flush(block_on(job.run()).expect("a healthy disk"));
            self.batches.retain(|info| info.last_offset < offset);
            self.flushed = self.log.log_end();
        }
    }

    fn truncate_and_crash(&mut self, percent: i64) {
        let offset = self.offset_at(percent);
        let before = self.batches.clone();
        if self
            .log
            .truncate_to(offset)
            .expect("a truncation")
            .is_some()
        {
            let kept = self.flushed.min(self.log.log_end());
            self.lose_power();
            self.check_prefix(&before, kept);
            self.flushed = self.log.log_end();
        }
    }

    fn start_over(&mut self, gap: i64) {
        let offset = self.log.log_end() + gap;
        let job = self
            .log
            .truncate_fully_and_start_at(offset)
            .expect("a truncation");
        self.log
            .finish_flush(block_on(job.run()).expect("a healthy disk"));
        self.batches.clear();
        self.flushed = offset;
    }

    fn check_prefix(&self, before: &[BatchInfo], flushed: Offset) {
        assert!(
            before.starts_with(&self.batches),
            "{:?} is no prefix of {before:?}",
            self.batches
        );
        assert!(
            self.log.log_end() >= flushed,
            "log end {} is below flushed {flushed}",
            self.log.log_end()
        );
    }

    fn lose_power(&mut self) {
        let mut coin = self.coin;
        self.fixture.disk.power_loss(|| {
            coin ^= coin << 13;
            coin ^= coin >> 7;
            coin ^= coin << 17;
            !coin.is_multiple_of(3)
        });
        self.coin = coin;
        self.reopen();
    }

    fn reopen(&mut self) {
        self.fixture.restart();
        self.log = self.fixture.open(false);
        self.batches = content(&self.log);
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 1000, failure_persistence: None, ..ProptestConfig::default() })]

    /// LOG-3 and REP-3, over any sequence of appends, flushes, truncations, kills and power losses.
    #[test]
    fn what_is_left_is_a_prefix_with_all_that_was_flushed(
        steps in prop::collection::vec(step(), 1..40),
        segment_bytes in 300..4000_u32,
        interval in 0..1000_u32,
        seed in any::<u64>(),
    ) {
        let mut model = Model::new(segment_bytes, interval, seed);
        steps.iter().for_each(|step| model.run(step));
    }

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
        fixture.disk.corrupt(&file, |bytes| {
            bytes.truncate(cut);
            bytes.extend_from_slice(&noise);
        });
        let log = fixture.open(false);
        prop_assert_eq!(content(&log), &before[..(cut / 161).min(10)]);
        prop_assert_eq!(fixture.disk.bytes(&file).len(), (cut / 161).min(10) * 161);
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
