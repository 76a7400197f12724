//! Snapshots of the producers' state: Kafka's format, and when they come and go.

use broker_env::Disk;

use crate::producer_snapshot::{decode, encode};
use crate::testing::{Fixture, append, block_on, flush};
use crate::{Log, ProducerSnapshotEntry};

pub(super) fn entry(producer_id: i64) -> ProducerSnapshotEntry {
    ProducerSnapshotEntry {
        producer_id,
        producer_epoch: 2,
        last_sequence: 11,
        last_offset: 9,
        offset_delta: 1,
        timestamp: 1_700_000_000_000,
        coordinator_epoch: -1,
        current_txn_first_offset: -1,
    }
}

/// Written down by hand from Kafka's ProducerSnapshot.json; the checksum by another implementation of CRC-32C.
const BY_KAFKA: &str = concat!(
    "0001",
    "a7214547",
    "00000001",
    "0000000000000007",
    "0002",
    "0000000b",
    "0000000000000009",
    "00000001",
    "0000018bcfe56800",
    "ffffffff",
    "ffffffffffffffff",
);

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_file_is_as_kafka_writes_it() {
    let bytes = encode(&[entry(7)]);
    assert_eq!(hex(&bytes), BY_KAFKA);
    assert_eq!(decode(&bytes), Some(vec![entry(7)]));
    assert_eq!(decode(&encode(&[])), Some(vec![]));
}

#[test]
fn no_damaged_file_is_believed() {
    let bytes = encode(&[entry(7), entry(8)]);
    for length in 0..bytes.len() {
        assert_eq!(decode(&bytes[..length]), None, "{length} bytes");
    }
    for at in 0..bytes.len() {
        let mut damaged = bytes.clone();
        damaged[at] ^= 1;
        assert_eq!(decode(&damaged), None, "byte {at}");
    }
    let mut longer = bytes;
    longer.push(0);
    assert_eq!(decode(&longer), None);
}

fn filled(fixture: &Fixture, batches: usize) -> Log {
    let mut log = fixture.open(false);
    for _ in 0..batches {
        append(&mut log, 2, 0, 1, 100).expect("an append");
    }
    log
}

fn found(log: &mut Log) -> Option<i64> {
    let newest = log
        .read_producer_snapshot(i64::MAX)
        .expect("a healthy disk");
    newest.map(|(offset, _)| offset)
}

#[test]
fn the_newest_snapshot_that_is_whole_is_used() {
    let fixture = Fixture::new(500, 100);
    let mut log = filled(&fixture, 10);
    assert_eq!(found(&mut log), None);
    for offset in [6, 12, 18] {
        log.write_producer_snapshot(offset, &[entry(offset)])
            .expect("a healthy disk");
    }
    assert_eq!(found(&mut log), Some(18));
    let newest = Fixture::file(18, "snapshot");
    fixture.disk.corrupt(&newest, |bytes| bytes[5] ^= 1);
    assert_eq!(found(&mut log), Some(12));
    flush(&mut log);
    drop(log);
    assert_eq!(found(&mut fixture.open(false)), Some(12));
}

#[test]
fn a_snapshot_does_not_outlive_the_log_that_it_is_of() {
    let mut fixture = Fixture::new(500, 100);
    let mut log = filled(&fixture, 10);
    for offset in [6, 12, 20] {
        log.write_producer_snapshot(offset, &[])
            .expect("a healthy disk");
    }
    flush(&mut log);
    let job = log.truncate_to(13).expect("a healthy disk");
    assert_eq!(found(&mut log), Some(12));
    let done = block_on(job.expect("a truncation").run()).expect("a healthy disk");
    log.finish_flush(done);
    // Of a log that lost its end with the power.
    log.write_producer_snapshot(99, &[])
        .expect("a healthy disk");
    flush(&mut log);
    drop(log);
    fixture.restart();
    let mut log = fixture.try_open(false).expect("a log that opens");
    assert!(
        log.truncation_pending(),
        "its removal comes before any append"
    );
    assert_eq!(found(&mut log), Some(12));
    flush(&mut log);
    let job = log.truncate_fully_and_start_at(50).expect("a healthy disk");
    let done = block_on(job.run()).expect("a healthy disk");
    log.finish_flush(done);
    assert_eq!(found(&mut log), None);
}

/// KIP-360: what was deleted is still known of its producers.
#[test]
fn a_segment_goes_only_when_its_producers_are_durable_elsewhere() {
    let fixture = Fixture::new(500, 100);
    let mut log = filled(&fixture, 10);
    for offset in [6, 12, 18] {
        log.write_producer_snapshot(offset, &[])
            .expect("a healthy disk");
    }
    log.advance_log_start(13).expect("a healthy disk");
    let removed = |log: &mut Log| {
        let job = log.remove_old_segment(1, 20).expect("a healthy disk");
        job.is_some_and(|job| block_on(job.run()).is_ok())
    };
    assert!(!removed(&mut log), "no snapshot is durable");
    flush(&mut log);
    assert!(removed(&mut log) && removed(&mut log) && !removed(&mut log));
    assert_eq!(log.segment_base_offsets(), [12, 18]);
    assert!(!fixture.disk.exists(&Fixture::file(6, "snapshot")));
    assert!(fixture.disk.exists(&Fixture::file(12, "snapshot")));
    assert_eq!(found(&mut log), Some(18));
}

#[test]
fn the_batches_behind_a_snapshot_are_walked_over_all_segments() {
    let fixture = Fixture::new(500, 100);
    let log = filled(&fixture, 10);
    for from in [0, 5, 6, 19, 20] {
        let mut bases = Vec::new();
        log.for_each_batch_from(from, |batch, _| bases.push(batch.base_offset))
            .expect("a healthy disk");
        let expected: Vec<i64> = (0..20).step_by(2).filter(|base| base + 1 >= from).collect();
        assert_eq!(bases, expected, "from {from}");
    }
}
