//! The index of aborted transactions: Kafka's format, and when it is believed.

use broker_env::Disk;

use crate::AbortedTxn;
use crate::testing::{Fixture, abort, append, block_on, flush, marker};

/// Written down by hand from Kafka's AbortedTxn.
const BY_KAFKA: &str = concat!(
    "0000",
    "0000000000000007",
    "0000000000000000",
    "0000000000000002",
    "0000000000000003",
);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_file_is_as_kafka_writes_it() {
    let fixture = Fixture::new(200, 0);
    let mut log = fixture.open(false);
    append(&mut log, 2, 0, 1, 20).expect("an append");
    let (_, txn) = abort(&mut log, 0, 0);
    append(&mut log, 1, 0, 1, 200).expect("an append into the next segment");
    let bytes = fixture.disk.bytes(&Fixture::file(0, "txnindex"));
    assert_eq!(hex(&bytes), BY_KAFKA);
    let entry: &[u8; 34] = bytes.as_slice().try_into().expect("one entry");
    assert_eq!(AbortedTxn::decode(entry), Some(txn));
    for (at, value) in [(1, 1), (2, 0xff), (17, 9), (18, 0xff)] {
        let mut other = *entry;
        other[at] = value;
        assert_eq!(AbortedTxn::decode(&other), None, "byte {at}");
    }
}

#[test]
fn a_partition_without_aborts_has_no_such_file() {
    let fixture = Fixture::new(200, 0);
    let mut log = fixture.open(false);
    for _ in 0..5 {
        append(&mut log, 1, 0, 1, 100).expect("an append");
    }
    let names = fixture.disk.list(&Fixture::directory()).expect("a listing");
    assert!(!names.iter().any(|name| name.ends_with("txnindex")));
}

/// A search ends with the first entry after which no marker can be about what was asked for.
#[test]
fn later_segments_are_searched_while_older_transactions_were_open() {
    let fixture = Fixture::new(150, 0);
    let mut log = fixture.open(false);
    let mut told = Vec::new();
    for (at, last_stable_offset) in (0..5).zip([0, 0, 0, 8, 10]) {
        append(&mut log, 1, 0, 1, 20).expect("an append");
        let bytes = marker(log.log_end(), 0, 7);
        log.append(&bytes, &[crate::testing::info(&bytes)], 1)
            .expect("an append");
        let txn = AbortedTxn {
            producer_id: 7,
            first_offset: if at == 3 { 0 } else { 2 * at },
            last_offset: 2 * at + 1,
            last_stable_offset,
        };
        log.append_aborted(txn).expect("a healthy disk");
        told.push(txn);
    }
    assert_eq!(
        log.aborted_transactions(0, 1).expect("a healthy disk"),
        [told[0], told[3]]
    );
    assert_eq!(
        log.aborted_transactions(6, 8).expect("a healthy disk"),
        [told[3]]
    );
    assert_eq!(
        log.aborted_transactions(0, 10).expect("a healthy disk"),
        told
    );
}

#[test]
fn what_a_scan_finds_has_to_be_told_again_and_what_is_trusted_has_not() {
    let mut fixture = Fixture::new(200, 0);
    let mut log = fixture.open(false);
    let mut told = Vec::new();
    for at in 0..4 {
        append(&mut log, 1, 0, 1, 90).expect("an append");
        told.push(abort(&mut log, 0, 2 * at).1);
        flush(&mut log);
    }
    assert!(log.segment_base_offsets().len() > 2);
    let active = log.active_base_offset();
    block_on(fixture.recovery_points.write()).expect("a healthy disk");
    drop(log);
    fixture.restart();
    let mut log = fixture.open(false);
    assert_eq!(log.aborted_known_to(), active);
    assert_eq!(fixture.recovery_points.get(log.partition()), Some(active));
    let known = log.aborted_transactions(0, 100).expect("a healthy disk");
    let trusted = told.iter().filter(|txn| txn.last_offset < active);
    assert_eq!(known, trusted.copied().collect::<Vec<_>>());
    for txn in &told {
        log.append_aborted(*txn).expect("a healthy disk");
    }
    log.aborted_told();
    assert_eq!(
        log.aborted_transactions(0, 100).expect("a healthy disk"),
        told
    );
    flush(&mut log);
    assert_eq!(
        fixture.recovery_points.get(log.partition()),
        Some(log.log_end())
    );
}

#[test]
fn a_damaged_file_is_not_believed() {
    let fixture = Fixture::new(200, 0);
    let mut log = fixture.open(false);
    append(&mut log, 2, 0, 1, 20).expect("an append");
    abort(&mut log, 0, 0);
    append(&mut log, 1, 0, 1, 200).expect("an append into the next segment");
    let job = log.start_closing_flush().expect("a healthy disk");
    let done = block_on(job.expect("something to flush").run()).expect("a healthy disk");
    log.finish_flush(done);
    drop(log);
    assert_eq!(fixture.open(true).aborted_known_to(), i64::MAX);
    fixture
        .disk
        .corrupt(&Fixture::file(0, "txnindex"), |bytes| bytes[2] = 0xff);
    assert_eq!(fixture.open(true).aborted_known_to(), 0);
}
