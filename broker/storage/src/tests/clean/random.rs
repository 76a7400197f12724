//! Any content, any bound, any room for keys, any crash.

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::record::{EndTxnMarker, RecordBatches};
use proptest::prelude::*;

use super::{clean, cleaning, fixture, push, write};
use crate::testing::{Fixture, block_on, content, flush};
use crate::{AbortedTxn, Cleaning, Log};

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

fn deed() -> impl Strategy<Value = Deed> {
    prop_oneof![
        5 => prop::collection::vec((key(), prop::bool::weighted(0.8)), 1..4).prop_map(Deed::Write),
        3 => (7..9_i64, key()).prop_map(|(id, key)| Deed::Transact(id, key)),
        2 => (7..9_i64, any::<bool>()).prop_map(|(id, committed)| Deed::End(id, committed)),
        2 => (0..110_i64, 0..400_usize, any::<bool>())
            .prop_map(|(percent, map_bytes, crash)| Deed::Clean { percent, map_bytes, crash }),
    ]
}

/// Offsets and keys.
type Written = Vec<(i64, Vec<u8>)>;

/// What a log was told, whatever of it is left.
#[derive(Default)]
struct Truth {
    /// Committed or in no transaction, by offset: key and value.
    records: BTreeMap<i64, (Vec<u8>, Option<Vec<u8>>)>,
    /// Open: first offset, sequence and records.
    open: BTreeMap<i64, (i64, Written)>,
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
    let mut left_out = BTreeSet::new();
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
