//! Reading equals a linear scan, from disk and from the tail.

use proptest::prelude::*;

use crate::testing::{Fixture, append, content, infos};
use crate::{BatchInfo, Log, LogConfig, LogError};

/// What [`Log::read`] must give, by definition.
fn expected(
    all: &[BatchInfo],
    offset: i64,
    max_bytes: usize,
    max_offset: i64,
    one: bool,
) -> Vec<BatchInfo> {
    let mut bytes = 0;
    let mut found = Vec::new();
    for info in all.iter().filter(|info| info.last_offset >= offset) {
        bytes += usize::try_from(info.size).expect("32 bits");
        let fits = bytes <= max_bytes || (one && found.is_empty());
        if info.last_offset >= max_offset || !fits {
            break;
        }
        found.push(*info);
    }
    found
}

/// A read may end early at the end of a segment, but gives a non-empty prefix if there is anything.
fn check_read(
    log: &Log,
    all: &[BatchInfo],
    offset: i64,
    max_bytes: usize,
    max_offset: i64,
    one: bool,
) {
    let read = log
        .read(offset, max_bytes, max_offset, one)
        .expect("a read");
    let found = infos(&read.records);
    let expected = expected(all, offset, max_bytes, max_offset.min(log.log_end()), one);
    assert!(
        expected.starts_with(&found),
        "read at {offset}: {found:?} is no prefix of {expected:?}"
    );
    assert_eq!(found.is_empty(), expected.is_empty(), "read at {offset}");
    assert_eq!(read.first.as_ref(), found.first());
    assert_eq!(
        read.next_offset,
        found.last().map_or(offset, BatchInfo::next_offset)
    );
}

fn check_timestamp(log: &Log, all: &[BatchInfo], timestamp: i64) {
    let found = log
        .find_timestamp(timestamp)
        .expect("a search")
        .map(|hit| hit.info);
    let expected = all
        .iter()
        .find(|info| info.max_timestamp >= timestamp && info.last_offset >= log.log_start())
        .copied();
    assert_eq!(found, expected, "timestamp {timestamp}");
}

fn check_max_timestamp(log: &Log, all: &[BatchInfo]) {
    let readable = all
        .iter()
        .filter(|info| info.last_offset >= log.log_start() && info.max_timestamp >= 0);
    let mut newest: Option<BatchInfo> = None;
    for info in readable {
        if newest.is_none_or(|newest| info.max_timestamp > newest.max_timestamp) {
            newest = Some(*info);
        }
    }
    assert_eq!(
        log.find_max_timestamp()
            .expect("a search")
            .map(|hit| hit.info),
        newest
    );
}

#[derive(Clone, Debug)]
struct Shape {
    segment_bytes: u32,
    interval: u32,
    tail_cache_bytes: usize,
    batches: Vec<(i32, i64, usize)>,
}

fn shape() -> impl Strategy<Value = Shape> {
    let batches = prop::collection::vec((1..5, -1..50_i64, 0..300_usize), 1..40);
    (
        200..3000_u32,
        0..600_u32,
        prop::sample::select(vec![0, 700, 1 << 20]),
        batches,
    )
        .prop_map(
            |(segment_bytes, interval, tail_cache_bytes, batches)| Shape {
                segment_bytes,
                interval,
                tail_cache_bytes,
                batches,
            },
        )
}

fn build(shape: &Shape) -> (Fixture, Log) {
    let mut fixture = Fixture::new(shape.segment_bytes, shape.interval);
    fixture.config.tail_cache_bytes = shape.tail_cache_bytes;
    let mut log = fixture.open(false);
    for (count, timestamp, payload) in &shape.batches {
        append(&mut log, *count, 0, *timestamp, *payload).expect("an append");
    }
    (fixture, log)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn reads_equal_a_linear_scan(
        shape in shape(),
        reads in prop::collection::vec((0..100_i64, 0..1500_usize, 0..110_i64, any::<bool>()), 1..20),
    ) {
        let (_fixture, log) = build(&shape);
        let all = content(&log);
        for (offset, max_bytes, max_offset, one) in reads {
            check_read(&log, &all, offset.min(log.log_end()), max_bytes, max_offset, one);
        }
    }

    #[test]
    fn timestamps_equal_a_linear_scan_also_after_a_restart(
        shape in shape(),
        timestamps in prop::collection::vec(-2..55_i64, 1..20),
        log_start in 0..40_i64,
    ) {
        let (fixture, mut log) = build(&shape);
        let all = content(&log);
        let log_start = log_start.min(log.log_end());
        log.advance_log_start(log_start).expect("an advance");
        for timestamp in &timestamps {
            check_timestamp(&log, &all, *timestamp);
        }
        check_max_timestamp(&log, &all);
        drop(log);
        let mut log = fixture.open(false);
        log.advance_log_start(log_start).expect("an advance");
        timestamps.iter().for_each(|timestamp| check_timestamp(&log, &all, *timestamp));
        check_max_timestamp(&log, &all);
    }

    /// An index is only a hint: whatever is in it, reads give the same.
    #[test]
    fn rotten_indexes_cost_time_only(shape in shape(), rot in prop::collection::vec((any::<u16>(), any::<u8>()), 1..8)) {
        let (mut fixture, mut log) = build(&shape);
        let all = content(&log);
        let job = log.start_closing_flush().expect("a seal");
        job.into_iter().for_each(|job| log.finish_flush(crate::testing::block_on(job.run()).expect("a flush")));
        let bases = log.segment_base_offsets();
        drop(log);
        for (at, value) in rot {
            let base = bases[usize::from(at) % bases.len()];
            fixture.disk.corrupt(&Fixture::file(base, "index"), |bytes| {
                if !bytes.is_empty() {
                    let at = usize::from(at) % bytes.len();
                    bytes[at] = value;
                }
            });
        }
        block_on_checkpoint(&fixture);
        fixture.restart();
        let log = fixture.open(true);
        prop_assert_eq!(content(&log), all.clone());
        for offset in 0..log.log_end() {
            check_read(&log, &all, offset, 400, log.log_end(), true);
        }
    }
}

fn block_on_checkpoint(fixture: &Fixture) {
    crate::testing::block_on(fixture.recovery_points.write()).expect("a checkpoint");
}

#[test]
fn reads_outside_of_the_log_are_refused() {
    let fixture = Fixture::new(1000, 100);
    let mut log = fixture.open(false);
    append(&mut log, 5, 0, 1, 10).expect("an append");
    log.advance_log_start(2).expect("an advance");
    let out = |offset| {
        Err(LogError::OutOfRange {
            offset,
            log_start: 2,
            log_end: 5,
        })
    };
    assert_eq!(log.read(1, 100, 5, true), out(1));
    assert_eq!(log.read(6, 100, 5, true), out(6));
    assert!(
        log.read(5, 100, 5, true)
            .expect("the end is in range")
            .records
            .is_empty()
    );
}

#[test]
fn a_read_says_when_the_first_batch_is_over_the_limit() {
    for tail_cache_bytes in [0, 1 << 20] {
        let mut fixture = Fixture::new(1000, 100);
        fixture.config = LogConfig {
            tail_cache_bytes,
            ..fixture.config
        };
        let mut log = fixture.open(false);
        append(&mut log, 1, 0, 1, 100).expect("an append");
        let read = log.read(0, 100, 1, false).expect("a read");
        assert!(read.over_limit && read.records.is_empty());
        assert_eq!(
            log.read(0, 100, 1, true).expect("a read").records.len(),
            161
        );
        assert!(!log.read(0, 100, 0, false).expect("a read").over_limit);
    }
}

#[test]
fn the_tail_is_served_without_the_disk() {
    let mut fixture = Fixture::new(400, 100);
    fixture.config.tail_cache_bytes = 1 << 20;
    let mut log = fixture.open(false);
    for _ in 0..5 {
        append(&mut log, 1, 0, 1, 100).expect("an append");
    }
    broker_probe::start_counting();
    let read = log.read(0, 1 << 20, 5, true).expect("a read");
    assert_eq!(infos(&read.records).len(), 5);
    log.shrink_tail_cache(200);
    assert_eq!(
        infos(&log.read(4, 1 << 20, 5, true).expect("a read").records).len(),
        1
    );
    assert!(!broker_probe::take_counts().contains_key("storage: read from disk"));
    broker_probe::start_counting();
    assert_eq!(
        infos(&log.read(0, 1 << 20, 5, true).expect("a read").records).len(),
        2
    );
    assert!(broker_probe::take_counts().contains_key("storage: read from disk"));
}

#[test]
fn rot_is_found_by_the_read() {
    let fixture = Fixture::new(1 << 20, 4096);
    let mut log = fixture.open(false);
    append(&mut log, 1, 0, 1, 100).expect("an append");
    append(&mut log, 1, 0, 1, 100).expect("an append");
    fixture
        .disk
        .corrupt(&Fixture::file(0, "log"), |bytes| bytes[161 + 100] ^= 1);
    assert_eq!(
        infos(
            &log.read(0, 161, 2, true)
                .expect("the first is whole")
                .records
        )
        .len(),
        1
    );
    let Err(LogError::Corrupt(corruption)) = log.read(0, 1000, 2, true) else {
        panic!("read a rotten batch")
    };
    assert_eq!(corruption.position, 161);
    assert!(matches!(
        log.read(1, 1000, 2, true),
        Err(LogError::Corrupt(_))
    ));
    append(&mut log, 1, 0, 1, 10).expect("one rotten batch does not end the log");
}
