//! The small files are Kafka's.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use broker_env::Disk;
use broker_protocol::ids::{LeaderEpoch, NodeId, TopicPartition, Uuid};
use proptest::prelude::*;

use crate::checkpoint::{decode_offsets, encode_offsets};
use crate::testing::{Fixture, MemoryDisk, append, block_on, content, flush};
use crate::{
    DirectoryError, Log, MetaProperties, OffsetCheckpoint, PartitionMetadata, QuorumState,
};

fn offsets() -> BTreeMap<TopicPartition, i64> {
    BTreeMap::from([
        (TopicPartition::new("a.b-c_d", 0), 7),
        (TopicPartition::new("t", 12), 0),
    ])
}

#[test]
fn offset_checkpoints_are_kafkas_text() {
    assert_eq!(encode_offsets(&offsets()), b"0\n2\na.b-c_d 0 7\nt 12 0\n");
    assert_eq!(
        decode_offsets(b"0\n2\na.b-c_d 0 7\nt 12 0\n"),
        Some(offsets())
    );
    assert_eq!(decode_offsets(b"0\n0\n"), Some(BTreeMap::new()));
    for malformed in [
        "",
        "0",
        "1\n0\n",
        "0\n1\n",
        "0\n1\nt 0\n",
        "0\n1\nt x 0\n",
        "0\n-1\n",
        "0\n1\nt 0 1\nu 0 1\n",
    ] {
        assert_eq!(decode_offsets(malformed.as_bytes()), None, "{malformed:?}");
    }
}

#[test]
fn meta_properties_are_kafkas() {
    let id = Uuid::parse("J8aAPcfLQt2bqs1JT_rMgQ").expect("a Uuid");
    let expected = MetaProperties {
        cluster_id: "Iq0pGyLzRHeEMAHcpW8Ncg".to_owned(),
        node_id: NodeId(3),
        directory_id: id,
    };
    let text = "#\n#Thu Oct 24 12:00:00 UTC 2024\nnode.id=3\ndirectory.id=J8aAPcfLQt2bqs1JT_rMgQ\nversion=1\ncluster.id=Iq0pGyLzRHeEMAHcpW8Ncg\n";
    assert_eq!(
        MetaProperties::decode(text.as_bytes()),
        Ok(expected.clone())
    );
    assert_eq!(MetaProperties::decode(&expected.encode()), Ok(expected));
    for (malformed, reason) in [
        ("", "no version"),
        ("version=0\nbroker.id=1\n", "version 0"),
        (
            "version=1\ncluster.id=x\ndirectory.id=J8aAPcfLQt2bqs1JT_rMgQ\n",
            "no node.id",
        ),
        (
            "version=1\nnode.id=x\ncluster.id=x\ndirectory.id=J8aAPcfLQt2bqs1JT_rMgQ\n",
            "node.id x",
        ),
        (
            "version=1\nnode.id=1\ncluster.id=x\ndirectory.id=short\n",
            "directory.id short",
        ),
        ("garbage\n", "garbage"),
    ] {
        let error = MetaProperties::decode(malformed.as_bytes()).expect_err("malformed");
        assert!(error.contains(reason), "{error} should name {reason}");
    }
}

#[test]
fn partition_metadata_is_kafkas() {
    let metadata = PartitionMetadata {
        topic_id: Uuid::parse("J8aAPcfLQt2bqs1JT_rMgQ").expect("a Uuid"),
    };
    assert_eq!(
        metadata.encode(),
        b"version: 0\ntopic_id: J8aAPcfLQt2bqs1JT_rMgQ"
    );
    assert_eq!(
        PartitionMetadata::decode(&metadata.encode()),
        Some(metadata)
    );
    for malformed in [
        "",
        "version: 1\ntopic_id: J8aAPcfLQt2bqs1JT_rMgQ",
        "version: 0\n",
        "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAAA",
    ] {
        assert_eq!(
            PartitionMetadata::decode(malformed.as_bytes()),
            None,
            "{malformed:?}"
        );
    }
}

#[test]
fn quorum_state_is_kafkas_in_both_versions() {
    let dynamic = r#"{"leaderId":-1,"leaderEpoch":2,"votedId":1,"votedDirectoryId":"J8aAPcfLQt2bqs1JT_rMgQ","data_version":1}"#;
    let expected = QuorumState {
        leader_id: None,
        leader_epoch: LeaderEpoch(2),
        voted_id: Some(NodeId(1)),
        voted_directory_id: Uuid::parse("J8aAPcfLQt2bqs1JT_rMgQ").expect("a Uuid"),
        current_voters: Vec::new(),
        data_version: 1,
    };
    assert_eq!(
        QuorumState::decode(dynamic.as_bytes()),
        Ok(expected.clone())
    );
    assert_eq!(
        QuorumState::decode(&expected.encode()),
        Ok(expected.clone())
    );
    let fixed = r#"{"clusterId":"","leaderId":1,"leaderEpoch":2,"votedId":-1,"appliedOffset":0,"currentVoters":[{"voterId":1},{"voterId":2}],"data_version":0}"#;
    let expected = QuorumState {
        leader_id: Some(NodeId(1)),
        voted_id: None,
        voted_directory_id: Uuid::ZERO,
        current_voters: vec![NodeId(1), NodeId(2)],
        data_version: 0,
        ..expected
    };
    assert_eq!(QuorumState::decode(fixed.as_bytes()), Ok(expected.clone()));
    assert_eq!(QuorumState::decode(&expected.encode()), Ok(expected));
    for malformed in [
        "",
        "{}",
        "[]",
        r#"{"data_version":2}"#,
        r#"{"data_version":1,"leaderId":1}"#,
    ] {
        assert!(
            QuorumState::decode(malformed.as_bytes()).is_err(),
            "{malformed}"
        );
    }
}

#[test]
fn a_quorum_state_is_old_or_new_after_power_loss() {
    let (disk, directory) = (MemoryDisk::new(), Path::new("/data"));
    disk.create_directory(directory).expect("a healthy disk");
    assert_eq!(QuorumState::read(&disk, directory), Ok(None));
    let state = |epoch| QuorumState {
        leader_id: None,
        leader_epoch: LeaderEpoch(epoch),
        voted_id: Some(NodeId(1)),
        voted_directory_id: Uuid::ZERO,
        current_voters: Vec::new(),
        data_version: 1,
    };
    block_on(state(1).write(Arc::new(disk.clone()), directory)).expect("a healthy disk");
    block_on(state(2).write(Arc::new(disk.clone()), directory)).expect("a healthy disk");
    disk.power_loss(|| false);
    assert_eq!(QuorumState::read(&disk, directory), Ok(Some(state(2))));
    disk.corrupt(&directory.join("quorum-state"), |bytes| bytes.truncate(10));
    assert!(matches!(
        QuorumState::read(&disk, directory),
        Err(DirectoryError::Malformed { .. })
    ));
}

#[test]
fn index_files_are_kafkas() {
    let fixture = Fixture::new(600, 150);
    let mut log = fixture.open(false);
    for timestamp in [5, 7, 6, 9] {
        append(&mut log, 2, 0, timestamp, 100).expect("an append");
    }
    // The fourth batch rolls; each but the first comes over 150 bytes after the last entry.
    let entries: [[i32; 2]; 2] = [[3, 161], [5, 322]];
    let bytes: Vec<u8> = entries
        .as_flattened()
        .iter()
        .flat_map(|number| number.to_be_bytes())
        .collect();
    assert_eq!(fixture.disk.bytes(&Fixture::file(0, "index")), bytes);
    let mut bytes = 7_i64.to_be_bytes().to_vec();
    bytes.extend(3_i32.to_be_bytes());
    assert_eq!(fixture.disk.bytes(&Fixture::file(0, "timeindex")), bytes);
}

#[test]
fn a_log_keeps_one_file_open_for_each_segment() {
    let mut fixture = Fixture::new(600, 150);
    let logs_only = |log: &Log| {
        let bases = log.segment_base_offsets().into_iter();
        bases
            .map(|base| Fixture::file(base, "log"))
            .collect::<Vec<_>>()
    };
    let mut log = fixture.open(false);
    assert_eq!(fixture.disk.open_files(), logs_only(&log));
    for timestamp in [5, 7, 6, 9] {
        append(&mut log, 2, 0, timestamp, 100).expect("an append");
    }
    flush(&mut log);
    assert_eq!(fixture.disk.open_files(), logs_only(&log));
    for clean in [false, true] {
        drop(log);
        fixture.restart();
        log = fixture.open(clean);
        log.find_timestamp(7).expect("a readable log");
        content(&log);
        assert_eq!(fixture.disk.open_files(), logs_only(&log));
    }
    assert_eq!(logs_only(&log).len(), 2);
}

#[test]
fn an_index_may_go_before_it_is_synced() {
    let fixture = Fixture::new(400, 0);
    let mut log = fixture.open(false);
    for timestamp in 0..4 {
        append(&mut log, 1, 0, timestamp, 100).expect("an append");
    }
    let flush = log.start_flush().expect("nothing is durable yet");
    log.advance_log_start(2).expect("below the log end");
    let removal = log.remove_old_segment(0, 4).expect("retention");
    block_on(removal.expect("a segment below the start").run()).expect("a healthy disk");
    assert!(!fixture.disk.exists(&Fixture::file(0, "index")));
    let done = block_on(flush.run()).expect("what is gone needs no sync");
    log.finish_flush(done);
    assert_eq!(log.flushed_end(), 4);
}

#[test]
fn a_checkpoint_is_written_once_and_read_back() {
    let disk = MemoryDisk::new();
    disk.create_directory(Path::new("/data"))
        .expect("a healthy disk");
    let path = Path::new("/data/replication-offset-checkpoint");
    let open =
        || OffsetCheckpoint::read(Arc::new(disk.clone()), path).expect("a well-formed checkpoint");
    let checkpoint = open();
    let partition = TopicPartition::new("t", 1);
    checkpoint.set(&partition, 5);
    assert_eq!(open().get(&partition), None);
    block_on(checkpoint.write()).expect("a healthy disk");
    disk.fail_next_sync();
    block_on(checkpoint.write()).expect("nothing changed, so nothing is synced");
    checkpoint.set(&partition, 6);
    assert!(block_on(checkpoint.write()).is_err());
    disk.power_loss(|| false);
    assert_eq!(open().get(&partition), Some(5));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 256, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn damaged_small_files_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode_offsets(&bytes);
        let _ = MetaProperties::decode(&bytes);
        let _ = PartitionMetadata::decode(&bytes);
        let _ = QuorumState::decode(&bytes);
    }
}
