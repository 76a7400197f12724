//! LOG-4: what compaction keeps, over any content, any bound and any crash.

use std::collections::BTreeMap;

use broker_protocol::record::{
    BatchBuilder, BatchOptions, EndTxnMarker, RecordBatch, RecordBatches,
};
use bytes::{Bytes, BytesMut};
use proptest::prelude::*;

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

/// A key: few of them, the filling's rarely.
fn key() -> impl Strategy<Value = Vec<u8>> {
    prop::sample::select(vec![
        b"a".to_vec(),
        b"b".to_vec(),
        b"cc".to_vec(),
        vec![0, 0, 0, 1],
    ])
}

#[derive(Clone, Debug)]
enum Deed {
    Write(Vec<(Vec<u8>, bool)>),
    /// A transaction's record, by one of two producers.
    Transact(i64, Vec<u8>),
    End(i64, bool),
    Clean {
        percent: i64,
        map_bytes: usize,
        crash: bool,
    },
}

#[expect(
    clippy::disallowed_types,
    reason = "prop_oneof shares its strategies so"
)]
fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        5 => prop::collection::vec((key(), prop::bool::weighted(0.8)), 1..4).prop_map(Deed::Write),
        3 => (7..9_i64, key()).prop_map(|(id, key)| Deed::Transact(id, key)),
        2 => (7..9_i64, any::<bool>()).prop_map(|(id, committed)| Deed::End(id, committed)),
        2 => (0..110_i64, 0..400_usize, any::<bool>())
            .prop_map(|(percent, map_bytes, crash)| Deed::Clean { percent, map_bytes, crash }),
    ]
}

/// What a log was told, whatever of it is left.
#[derive(Default)]
struct Truth {
    /// Committed or in no transaction, by offset: key and value.
    records: BTreeMap<i64, (Vec<u8>, Option<Vec<u8>>)>,
    /// Open: first offset, sequence and records.
    open: BTreeMap<i64, (i64, Vec<(i64, Vec<u8>)>)>,
    sequences: BTreeMap<i64, i32>,
}

impl Truth {
    /// The state that a reader of committed data builds up to `end`.
    fn table(&self, end: i64) -> BTreeMap<Vec<u8>, Vec<u8>> {
        let mut table = BTreeMap::new();
        for (key, value) in self.records.range(..end).map(|(_, record)| record) {
            match value {
                Some(value) => drop(table.insert(key.clone(), value.clone())),
                None => drop(table.remove(key)),
            }
        }
        table
    }
}

/// The same from the log itself, as a client reads it.
fn read_table(log: &Log, end: i64) -> BTreeMap<Vec<u8>, Vec<u8>> {
    let mut table = BTreeMap::new();
    let aborted = log.aborted_transactions(0, end).expect("a healthy disk");
    let mut aborted: Vec<(i64, i64)> = aborted
        .iter()
        .map(|txn| (txn.first_offset, txn.producer_id))
        .collect();
    aborted.sort_unstable();
    let mut aborted = aborted.into_iter().peekable();
    let mut left_out = std::collections::BTreeSet::new();
    let mut from = log.log_start();
    while from < end {
        let read = log.read(from, 1 << 20, end, true).expect("readable");
        if read.records.is_empty() {
            break;
        }
        from = read.next_offset;
        for batch in RecordBatches::new(read.records) {
            let batch = batch.expect("whole");
            while let Some((_, id)) = aborted.next_if(|(first, _)| *first <= batch.last_offset()) {
                left_out.insert(id);
            }
            if let Some(marker) = crate::end_txn_marker(&batch) {
                if !marker.committed {
                    left_out.remove(&batch.producer_id());
                }
                continue;
            }
            if batch.is_control()
                || (batch.is_transactional() && left_out.contains(&batch.producer_id()))
            {
                continue;
            }
            for record in batch.records(1 << 20).expect("plain") {
                let record = record.expect("well formed");
                let key = record.key.expect("a key").to_vec();
                match record.value {
                    Some(value) => drop(table.insert(key, value.to_vec())),
                    None => drop(table.remove(&key)),
                }
            }
        }
    }
    table
}

struct Model {
    fixture: Fixture,
    log: Log,
    truth: Truth,
    coin: u64,
}

impl Model {
    fn run(&mut self, deed: Deed) {
        match deed {
            Deed::Write(records) => {
                let base = self.log.log_end();
                let value = base.to_be_bytes();
                let list: Vec<(&[u8], Option<&[u8]>)> = records
                    .iter()
                    .map(|(key, has_value)| (key.as_slice(), has_value.then_some(value.as_slice())))
                    .collect();
                write(&mut self.log, None, &list);
                for (offset, (key, value)) in (base..).zip(&list) {
                    let record = (key.to_vec(), value.map(<[u8]>::to_vec));
                    self.truth.records.insert(offset, record);
                }
            }
            Deed::Transact(id, key) => {
                let offset = self.log.log_end();
                let sequence = self.truth.sequences.entry(id).or_insert(0);
                write(
                    &mut self.log,
                    Some((id, *sequence)),
                    &[(&key, Some(&offset.to_be_bytes()))],
                );
                *sequence += 1;
                let open = self.truth.open.entry(id).or_insert((offset, Vec::new()));
                open.1.push((offset, key));
            }
            Deed::End(id, committed) => {
                let open = self.truth.open.remove(&id);
                let first = open
                    .as_ref()
                    .map_or(self.log.log_end(), |(first, _)| *first);
                if open.is_none() && !committed {
                    return;
                }
                let next = self.truth.open.values().map(|(first, _)| *first).min();
                end_with(&mut self.log, (id, committed, first), next);
                for (offset, key) in open.into_iter().flat_map(|(_, records)| records) {
                    if committed {
                        let value = offset.to_be_bytes().to_vec();
                        self.truth.records.insert(offset, (key, Some(value)));
                    }
                }
            }
            Deed::Clean {
                percent,
                map_bytes,
                crash,
            } => self.clean(percent, map_bytes, crash),
        }
    }

    fn stable(&self) -> i64 {
        let open = self.truth.open.values().map(|(first, _)| *first).min();
        open.unwrap_or(self.log.log_end())
    }

    fn clean(&mut self, percent: i64, map_bytes: usize, crash: bool) {
        let bound = (self.log.log_end() * percent / 100).min(self.stable());
        let before: Vec<_> = content(&self.log)
            .into_iter()
            .filter(|batch| batch.base_offset >= bound)
            .collect();
        let cleaning = Cleaning {
            bound,
            map_bytes,
            ..cleaning(&self.log)
        };
        if crash {
            // So that what the power loss takes is of the cleaning.
            flush(&mut self.log);
            block_on(self.fixture.recovery_points.write()).expect("a healthy disk");
        }
        clean(&mut self.log, cleaning);
        if crash {
            self.lose_power();
        }
        let after: Vec<_> = content(&self.log)
            .into_iter()
            .filter(|batch| batch.base_offset >= bound)
            .collect();
        assert_eq!(after, before, "nothing at or above {bound} is touched");
        let stable = self.stable();
        assert_eq!(read_table(&self.log, stable), self.truth.table(stable));
    }

    fn lose_power(&mut self) {
        let aborted = self
            .log
            .aborted_transactions(0, i64::MAX)
            .expect("a healthy disk");
        let before = self.log.log_end();
        let mut coin = self.coin;
        self.fixture.disk.power_loss(|| {
            coin = coin.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            coin >> 63 == 1
        });
        self.coin = coin;
        self.fixture.restart();
        self.log = self.fixture.open(false);
        assert_eq!(self.log.log_end(), before);
        let known_to = self.log.aborted_known_to();
        let untold = aborted.into_iter();
        for txn in untold.filter(|txn| txn.last_offset >= known_to) {
            self.log.append_aborted(txn).expect("a healthy disk");
        }
        self.log.aborted_told();
    }
}

fn end_with(log: &mut Log, (id, committed, first): (i64, bool, i64), next_open: Option<i64>) {
    let marker = EndTxnMarker {
        committed,
        coordinator_epoch: 0,
    };
    let last_offset = push(log, marker.batch(id, 0, 1)).last_offset;
    if !committed {
        let txn = AbortedTxn {
            producer_id: id,
            first_offset: first,
            last_offset,
            last_stable_offset: next_open.unwrap_or(last_offset + 1),
        };
        log.append_aborted(txn).expect("a healthy disk");
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, failure_persistence: None, ..ProptestConfig::default() })]

    /// LOG-4, LOG-3, TXN-5: whatever is cleaned, however often, with whatever room for keys and whatever crashes,
    /// a reader of committed data builds the same table, and nothing at or above the bound changes.
    #[test]
    fn a_cleaned_log_tells_the_same(deeds in prop::collection::vec(deed(), 1..60), coin in any::<u64>()) {
        let fixture = fixture();
        let log = fixture.open(false);
        let mut model = Model { fixture, log, truth: Truth::default(), coin };
        deeds.into_iter().for_each(|deed| model.run(deed));
    }
}
