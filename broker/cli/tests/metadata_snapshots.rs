//! Snapshots of the metadata log (KIP-630) on real processes: written, read by a node that comes later, dumped,
//! damaged.

mod support;

use std::path::Path;

use support::command::{Cli, broker, done};
use support::good::Good;
use support::node::{Node, edit};
use support::quorum::{await_members, eventually, metadata_files, nodes, offset_of};
use support::{assert_says, code};

/// A snapshot every few records, and nothing kept that it replaces.
const SMALL: &str = "metadata.log.max.record.bytes.between.snapshots=1500\n\
                     metadata.max.retention.bytes=1500\nmetadata.log.segment.bytes=1000";

fn create_topics(node: &Node, count: usize) {
    let mut wire = node.connect();
    for number in 0..count {
        wire.create_topic(&format!("topic-{number}"), 1, &[]);
    }
}

fn topics(node: &Node) -> Vec<String> {
    let listed = done(&Cli::of(node).run(&["topics", "list"]));
    listed.lines().map(str::to_owned).collect()
}

/// The log no longer starts at 0.
fn is_trimmed(node: &Node) -> bool {
    let first = metadata_files(node, "log")
        .first()
        .map(|path| offset_of(path));
    first.is_some_and(|first| first > 0)
}

fn latest_snapshot(node: &Node) -> i64 {
    let last = metadata_files(node, "checkpoint").pop();
    last.map_or(-1, |path| offset_of(&path))
}

#[test]
fn a_node_that_comes_late_starts_from_a_snapshot() {
    let mut nodes = nodes(2, &[SMALL, SMALL]);
    nodes[0].launch();
    let mut good = Good::start(&nodes[0]);
    create_topics(&nodes[0], 30);
    eventually("the log is trimmed", || is_trimmed(&nodes[0]));

    nodes[1].launch();
    await_members(&nodes[0], &[1], &[2]);
    eventually("the node has a snapshot", || latest_snapshot(&nodes[1]) > 0);
    assert!(is_trimmed(&nodes[1]), "it copied the log instead");
    eventually("the node knows all topics", || {
        topics(&nodes[1]).len() == 31
    });
    assert_eq!(topics(&nodes[0]), topics(&nodes[1]));

    for node in &mut nodes {
        node.terminate();
    }
    nodes.iter_mut().for_each(Node::launch);
    assert_eq!(topics(&nodes[0]).len(), 31);
    good.check(&mut nodes[0]);
    // What it learned by the snapshot it can lead with.
    let config = nodes[1].config().display().to_string();
    done(&Cli::of(&nodes[0]).run(&["quorum", "add-voter", "--config", &config]));
    await_members(&nodes[1], &[1, 2], &[]);
}

#[test]
fn a_configured_quorum_keeps_its_log_short_too() {
    let mut node = Node::start(SMALL);
    let mut good = Good::start(&node);
    create_topics(&node, 20);
    eventually("the log is trimmed", || is_trimmed(&node));
    node.kill();
    node.launch();
    good.check(&mut node);
    assert_eq!(topics(&node).len(), 21);

    node.terminate();
    let snapshot = metadata_files(&node, "checkpoint").pop().expect("one");
    let snapshot = snapshot.display().to_string();
    let dumped = done(&broker(&[
        "dump-log",
        "--cluster-metadata-decoder",
        &snapshot,
    ]));
    for part in [
        "SnapshotHeader",
        "TopicRecord { name: \"topic-0\"",
        "RegisterBroker",
        "SnapshotFooter",
    ] {
        assert!(dumped.contains(part), "{part} is not in {dumped}");
    }
}

#[test]
fn a_damaged_snapshot_is_not_used_and_refused_where_it_is_needed() {
    let mut node = Node::start(SMALL);
    let mut good = Good::start(&node);
    create_topics(&node, 20);
    eventually("the log is trimmed", || is_trimmed(&node));
    node.terminate();
    let spoil = |path: &Path| {
        edit(path, |bytes| {
            let at = bytes.len() / 2;
            bytes[at] ^= 1;
        });
    };
    let snapshots = metadata_files(&node, "checkpoint");
    snapshots.iter().for_each(|path| spoil(path));
    let (said, status) = node.refuses();
    assert_says(&said, &["snapshot", "metadata log starts at", "CRC-32C"]);
    assert_eq!(status.code(), Some(1));
    snapshots.iter().for_each(|path| spoil(path));
    // One that was being written when the process ended is no snapshot.
    let partial = snapshots[0].with_extension("checkpoint.part");
    std::fs::write(&partial, b"half").expect("the folder is there");
    node.launch();
    good.check(&mut node);
    assert!(!partial.exists());
}

#[test]
fn a_damaged_snapshot_is_left_alone_while_the_log_is_whole() {
    let mut node = Node::start("metadata.log.max.record.bytes.between.snapshots=1500");
    let mut good = Good::start(&node);
    create_topics(&node, 10);
    eventually("a snapshot", || latest_snapshot(&node) > 0);
    node.terminate();
    let snapshot = metadata_files(&node, "checkpoint").pop().expect("one");
    edit(&snapshot, |bytes| bytes.truncate(bytes.len() - 10));
    node.launch();
    good.check(&mut node);
    assert_eq!(topics(&node).len(), 11);
    assert_says(&node.log(), &["snapshot is not used"]);
}

#[test]
fn a_snapshot_nobody_has_is_not_found() {
    use broker_protocol::api as wire;
    use broker_protocol::{ErrorCode, ids::Uuid};
    let node = Node::start("");
    Good::start(&node);
    let request = |cluster_id: &str, replica_id: i32, epoch: i32| {
        let partition = wire::FetchSnapshotRequestPartitionSnapshot {
            current_leader_epoch: epoch,
            snapshot_id: wire::FetchSnapshotRequestSnapshotId {
                end_offset: 5,
                epoch: 1,
                ..Default::default()
            },
            replica_directory_id: Uuid([7; 16]),
            ..Default::default()
        };
        wire::FetchSnapshotRequest {
            cluster_id: Some(cluster_id.into()),
            replica_id,
            topics: vec![wire::FetchSnapshotRequestTopicSnapshot {
                name: "__cluster_metadata".into(),
                partitions: vec![partition],
                ..Default::default()
            }],
            ..Default::default()
        }
    };
    let mut wire = support::wire::Wire::connect(node.controller_port);
    let cluster_id = done(&Cli::of(&node).run(&["quorum", "describe", "--status"]));
    let cluster_id = cluster_id.lines().next().expect("the first line");
    let cluster_id = cluster_id.rsplit(' ').next().expect("its value").to_owned();
    let epoch = 1;
    let top = wire.call(&request("theirs", 9, epoch), 1).error_code;
    assert_eq!(top, code(ErrorCode::InconsistentClusterId));
    for (replica_id, epoch, expected) in [
        (9, epoch, ErrorCode::SnapshotNotFound),
        (9, epoch - 1, ErrorCode::FencedLeaderEpoch),
        (9, epoch + 9, ErrorCode::UnknownLeaderEpoch),
        (-1, epoch, ErrorCode::InvalidRequest),
    ] {
        let answer = wire.call(&request(&cluster_id, replica_id, epoch), 1);
        let found = answer.topics[0].partitions[0].error_code;
        assert_eq!(found, code(expected), "replica {replica_id}, epoch {epoch}");
    }
}
