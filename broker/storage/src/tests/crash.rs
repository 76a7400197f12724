//! LOG-3 and REP-3 over any sequence of appends, flushes, truncations, kills and power losses.

use broker_protocol::ids::Offset;
use proptest::prelude::*;

use crate::testing::{Fixture, abort, append, block_on, content, flush, info};
use crate::{AbortedTxn, BatchInfo, EpochEntry, Log};

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
    /// The end of a transaction that began so far back.
    Abort {
        percent: i64,
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
        4 => (0..100_i64).prop_map(|percent| Step::Abort { percent }),
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
    /// What was aborted by markers that are in the log.
    aborted: Vec<AbortedTxn>,
    /// The log has been told what it does not know after it was opened. That may take a while.
    told: bool,
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
            aborted: Vec::new(),
            told: true,
            flushed: 0,
            epoch: 0,
            coin: seed | 1,
        }
    }

    fn run(&mut self, step: &Step) {
        if !matches!(
            step,
            Step::Checkpoint | Step::Flush | Step::Kill | Step::PowerLoss
        ) {
            self.tell();
        }
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
            Step::Abort { percent } => self.abort(percent),
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
        let end = self.log.log_end();
        self.aborted.retain(|txn| txn.last_offset < end);
        if self.told {
            self.check_aborted();
        }
    }

    /// One transaction after the other.
    fn abort(&mut self, percent: i64) {
        let before = self.aborted.last();
        let first_offset = before.map_or(0, |txn| txn.last_offset + 1);
        let first_offset = first_offset.max(self.offset_at(percent));
        if first_offset < self.log.log_end() {
            let (marker, txn) = abort(&mut self.log, self.epoch, first_offset);
            self.batches.push(info(&marker));
            self.aborted.push(txn);
        }
    }

    /// As who knows the producers does: from the last marker on that the log knows of.
    fn tell(&mut self) {
        if !self.told {
            self.told = true;
            let known_to = self.log.aborted_known_to();
            let untold = self.aborted.iter();
            for txn in untold.filter(|txn| txn.last_offset >= known_to) {
                self.log.append_aborted(*txn).expect("a healthy disk");
            }
            self.log.aborted_told();
            self.check_aborted();
        }
    }

    /// LOG-2: the index is what a linear scan would find.
    fn check_aborted(&self) {
        let (start, end) = (self.log.log_start(), self.log.log_end());
        for (from, upper) in [
            (start, end),
            ((start + end) / 2, end),
            (start, (start + end) / 2),
        ] {
            let found = self
                .log
                .aborted_transactions(from, upper)
                .expect("a healthy disk");
            let expected = self.aborted.iter();
            let expected =
                expected.filter(|txn| txn.last_offset >= from && txn.first_offset < upper);
            assert_eq!(
                found,
                expected.copied().collect::<Vec<_>>(),
                "{from} to {upper}"
            );
        }
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
        self.aborted.clear();
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
        self.told = false;
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
}
