//! Snapshots of the metadata log: whole or not there, whatever happens.

use std::path::Path;
use std::sync::Arc;

use broker_env::{Disk, OpenMode};
use broker_protocol::ids::{LeaderEpoch, Uuid};
use broker_protocol::record::{Voter, VoterEndpoint, VotersRecord};
use bytes::Bytes;
use proptest::prelude::*;

use crate::SnapshotId;
use crate::snapshot::{
    self, PartialSnapshot, SnapshotError, SnapshotHeader, SnapshotReader, SnapshotWriter,
};
use crate::testing::{MemoryDisk, block_on};

const DIRECTORY: &str = "/data/__cluster_metadata-0";

fn id(end_offset: i64, epoch: i32) -> SnapshotId {
    SnapshotId {
        end_offset,
        epoch: LeaderEpoch(epoch),
    }
}

fn disk() -> MemoryDisk {
    let disk = MemoryDisk::new();
    disk.create_directory(Path::new(DIRECTORY))
        .expect("a healthy disk");
    disk
}

fn header() -> SnapshotHeader {
    let endpoint = VoterEndpoint {
        name: "CONTROLLER".into(),
        host: "node-1".into(),
        port: 9093,
        ..Default::default()
    };
    let voter = Voter {
        voter_id: 1,
        voter_directory_id: Uuid([7; 16]),
        endpoints: vec![endpoint],
        ..Default::default()
    };
    SnapshotHeader {
        last_contained_log_timestamp: 99,
        kraft_version: 1,
        voters: Some(VotersRecord {
            voters: vec![voter],
            ..Default::default()
        }),
    }
}

fn values(count: usize) -> Vec<Bytes> {
    (0..count).map(|at| Bytes::from(vec![7; at % 50])).collect()
}

fn begin(disk: &MemoryDisk, id: SnapshotId, batches: &[usize]) -> SnapshotWriter {
    let disk = Arc::new(disk.clone());
    let mut writer = SnapshotWriter::create(disk, Path::new(DIRECTORY), id, &header(), 1234)
        .expect("a healthy disk");
    for count in batches {
        writer.append(&values(*count)).expect("a healthy disk");
    }
    writer
}

fn write(disk: &MemoryDisk, id: SnapshotId, batches: &[usize]) {
    block_on(begin(disk, id, batches).finish()).expect("a healthy disk");
}

fn open(disk: &MemoryDisk, id: SnapshotId) -> SnapshotReader {
    SnapshotReader::open(disk, Path::new(DIRECTORY), id).expect("a listed snapshot opens")
}

fn listed(disk: &MemoryDisk) -> Vec<SnapshotId> {
    snapshot::list(disk, Path::new(DIRECTORY)).expect("a listing")
}

#[test]
fn names_are_kafkas() {
    let name = "00000000000000000042-0000000007.checkpoint";
    assert_eq!(id(42, 7).file_name(), name);
    assert_eq!(SnapshotId::parse(name), Some(id(42, 7)));
    for foreign in [
        "00000000000000000042-0000000007.checkpoint.part",
        "00000000000000000042-0000000007.checkpoint.deleted",
        "42-7.checkpoint",
        "0000000000000000004x-0000000007.checkpoint",
        "00000000000000000042.log",
        "leader-epoch-checkpoint",
        "bootstrap.checkpoint",
    ] {
        assert_eq!(SnapshotId::parse(foreign), None, "{foreign}");
    }
}

#[test]
fn what_was_written_is_read() {
    let disk = disk();
    write(&disk, id(10, 2), &[3, 1]);
    write(&disk, id(9, 2), &[]);
    assert_eq!(listed(&disk), [id(9, 2), id(10, 2)]);
    let mut reader = open(&disk, id(10, 2));
    let mut read = Vec::new();
    while let Some(batch) = reader.next_batch().expect("a whole snapshot") {
        assert_eq!(batch.partition_leader_epoch(), 2);
        let records = batch.records(1 << 20).expect("records");
        read.push(records.map(|record| record.expect("a record").value.expect("a value")));
    }
    let read: Vec<Vec<Bytes>> = read.into_iter().map(Iterator::collect).collect();
    assert_eq!(read, [values(3), values(1)]);
    assert_eq!(reader.header(), &header());
    let summary = open(&disk, id(10, 2)).check().expect("a whole snapshot");
    assert_eq!((summary.records, summary.header), (4, header()));
}

#[test]
fn without_a_kraft_version_there_are_no_voters() {
    let disk = disk();
    let plain = SnapshotHeader {
        kraft_version: 0,
        ..header()
    };
    let shared = Arc::new(disk.clone());
    let writer = SnapshotWriter::create(shared, Path::new(DIRECTORY), id(1, 1), &plain, 5);
    block_on(writer.expect("a healthy disk").finish()).expect("a healthy disk");
    let read = open(&disk, id(1, 1)).check().expect("a whole snapshot");
    assert_eq!((read.header.kraft_version, read.header.voters), (0, None));
}

#[test]
fn a_snapshot_is_copied_in_chunks_of_any_size() {
    let disk = disk();
    write(&disk, id(10, 2), &[30, 1]);
    let source = open(&disk, id(10, 2));
    let target = Arc::new(self::disk());
    let mut copy = PartialSnapshot::create(target.clone(), Path::new(DIRECTORY), id(10, 2))
        .expect("a healthy disk");
    while copy.size() < source.size_bytes() {
        let chunk = source.read_at(copy.size(), 37).expect("a chunk");
        copy.append(&chunk).expect("a healthy disk");
    }
    assert!(
        source
            .read_at(copy.size(), 37)
            .expect("no bytes")
            .is_empty()
    );
    let unfinished = SnapshotReader::open_file(target.as_ref(), copy.path());
    let summary = unfinished.expect("it is there").check();
    assert_eq!(summary.expect("a whole snapshot").records, 31);
    assert!(listed(&target).is_empty(), "no name before it is durable");
    block_on(copy.finish()).expect("a healthy disk");
    assert_eq!(listed(&target), [id(10, 2)]);
}

#[test]
fn leftovers_are_removed_and_finished_snapshots_stay() {
    let disk = disk();
    write(&disk, id(5, 1), &[1]);
    drop(begin(&disk, id(6, 1), &[2]));
    begin(&disk, id(7, 1), &[2]);
    let deleted = Path::new(DIRECTORY).join("00000000000000000003-0000000001.checkpoint.deleted");
    disk.open(&deleted, OpenMode::Create).expect("a file");
    snapshot::remove_leftovers(&disk, Path::new(DIRECTORY)).expect("a healthy disk");
    assert_eq!(disk.list(Path::new(DIRECTORY)).expect("a listing").len(), 1);
    snapshot::remove(&disk, Path::new(DIRECTORY), &[id(4, 1), id(5, 1)]).expect("a healthy disk");
    assert!(listed(&disk).is_empty());
}

#[test]
fn a_snapshot_whose_sync_fails_gets_no_name() {
    let disk = disk();
    let writer = begin(&disk, id(5, 1), &[1]);
    disk.fail_next_sync();
    block_on(writer.finish()).expect_err("the sync fails");
    assert!(listed(&disk).is_empty());
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::default() })]

    /// Power loss at any moment: what has the name is whole, and what was finished is there.
    #[test]
    fn power_loss_leaves_a_whole_snapshot_or_none(
        batches in prop::collection::vec(1..40_usize, 0..6),
        finished: bool,
        coins in prop::collection::vec(any::<bool>(), 64),
    ) {
        let disk = disk();
        write(&disk, id(5, 1), &[2]);
        block_on(disk.sync_directory(Path::new("/data"))).expect("a healthy disk");
        let writer = begin(&disk, id(9, 1), &batches);
        if finished {
            block_on(writer.finish()).expect("a healthy disk");
        }
        let mut coin = coins.into_iter().cycle();
        disk.power_loss(|| coin.next().expect("it cycles"));
        let expected = if finished { vec![id(5, 1), id(9, 1)] } else { vec![id(5, 1)] };
        prop_assert_eq!(listed(&disk), expected);
        for found in listed(&disk) {
            let summary = open(&disk, found).check().expect("a whole snapshot");
            let records: usize = if found == id(5, 1) { 2 } else { batches.iter().sum() };
            prop_assert_eq!(summary.records, u64::try_from(records).expect("small"));
        }
    }

    /// Any cut and any changed byte is noticed, but for the epoch in a batch's header, which means nothing
    /// in a snapshot.
    #[test]
    fn damage_is_noticed(cut: bool, at in 0..10_000_usize, flip in 1..=255_u8) {
        let disk = disk();
        write(&disk, id(5, 1), &[3, 2]);
        let path = id(5, 1).path(Path::new(DIRECTORY));
        let (starts, length) = batch_starts(&disk.bytes(&path));
        let at = at % length;
        let start = starts.iter().rev().find(|start| **start <= at).expect("the first is 0");
        prop_assume!(cut || !(12..16).contains(&(at - start)));
        disk.corrupt(&path, |bytes| {
            if cut { bytes.truncate(at) } else { bytes[at] ^= flip }
        });
        let error = open(&disk, id(5, 1)).check().expect_err("damage");
        prop_assert!(!matches!(error, SnapshotError::Disk(_)), "{}", error);
        prop_assert!(error.to_string().contains("checkpoint"), "{}", error);
    }
}

fn batch_starts(bytes: &[u8]) -> (Vec<usize>, usize) {
    let mut starts = vec![0];
    loop {
        let start = starts[starts.len() - 1];
        let length = bytes[start + 8..start + 12].try_into().expect("4 bytes");
        let next = start + 12 + usize::try_from(i32::from_be_bytes(length)).expect("positive");
        if next == bytes.len() {
            return (starts, next);
        }
        starts.push(next);
    }
}
