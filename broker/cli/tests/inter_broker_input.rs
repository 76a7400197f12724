//! What members of a cluster must not take from each other: requests of another cluster, of an earlier epoch, of an
//! earlier process, of strangers, and the same one twice. All over the wire, to a real process.

mod support;

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::Uuid;
use support::code;
use support::command::{Cli, done};
use support::good::Good;
use support::node::Node;
use support::wire::Wire;

const METADATA: &str = "__cluster_metadata";
/// The epoch in which the only voter leads.
const EPOCH: i32 = 1;
const STRANGER: i32 = 9;

fn cluster_id(node: &Node) -> String {
    let status = done(&Cli::of(node).run(&["quorum", "describe", "--status"]));
    let line = status.lines().next().expect("the first line");
    line.rsplit(' ').next().expect("its value").to_owned()
}

fn vote(cluster_id: &str, epoch: i32) -> wire::VoteRequest {
    let partition = wire::VoteRequestPartitionData {
        replica_epoch: epoch,
        replica_id: STRANGER,
        replica_directory_id: Uuid([9; 16]),
        last_offset: 1_000_000,
        // Of an epoch that has begun; a vote proper would have to be for a later one.
        pre_vote: true,
        ..Default::default()
    };
    wire::VoteRequest {
        cluster_id: Some(cluster_id.into()),
        topics: vec![wire::VoteRequestTopicData {
            topic_name: METADATA.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn begin(cluster_id: &str, leader_id: i32, leader_epoch: i32) -> wire::BeginQuorumEpochRequest {
    let partition = wire::BeginQuorumEpochRequestPartitionData {
        leader_id,
        leader_epoch,
        ..Default::default()
    };
    wire::BeginQuorumEpochRequest {
        cluster_id: Some(cluster_id.into()),
        topics: vec![wire::BeginQuorumEpochRequestTopicData {
            topic_name: METADATA.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn end(cluster_id: &str, leader_id: i32, leader_epoch: i32) -> wire::EndQuorumEpochRequest {
    let partition = wire::EndQuorumEpochRequestPartitionData {
        leader_id,
        leader_epoch,
        ..Default::default()
    };
    wire::EndQuorumEpochRequest {
        cluster_id: Some(cluster_id.into()),
        topics: vec![wire::EndQuorumEpochRequestTopicData {
            topic_name: METADATA.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn heartbeat(broker_id: i32, broker_epoch: i64) -> wire::BrokerHeartbeatRequest {
    wire::BrokerHeartbeatRequest {
        broker_id,
        broker_epoch,
        ..Default::default()
    }
}

#[test]
fn members_of_another_cluster_are_refused() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let mut wire = Wire::connect(node.controller_port);
    let refused = code(ErrorCode::InconsistentClusterId);
    assert_eq!(wire.call(&vote("theirs", 50), 2).error_code, refused);
    assert_eq!(wire.call(&begin("theirs", 1, 50), 1).error_code, refused);
    assert_eq!(wire.call(&end("theirs", 1, 50), 1).error_code, refused);
    let fetch = wire::FetchRequest {
        cluster_id: Some("theirs".into()),
        ..Default::default()
    };
    assert_eq!(wire.call(&fetch, 17).error_code, refused);
    let registration = wire::BrokerRegistrationRequest {
        broker_id: STRANGER,
        cluster_id: "theirs".into(),
        ..Default::default()
    };
    assert_eq!(wire.call(&registration, 4).error_code, refused);
    good.check(&mut node);
}

#[test]
fn epochs_of_the_past_change_no_leader() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let ours = cluster_id(&node);
    let mut wire = Wire::connect(node.controller_port);
    // Late, and then once more.
    for _ in 0..2 {
        let answer = wire.call(&vote(&ours, EPOCH - 1), 2);
        let voted = &answer.topics[0].partitions[0];
        assert_eq!(voted.error_code, code(ErrorCode::FencedLeaderEpoch));
        assert!(!voted.vote_granted);
        let begun = wire.call(&begin(&ours, 1, EPOCH - 1), 1);
        let begun = begun.topics[0].partitions[0].error_code;
        assert_eq!(begun, code(ErrorCode::FencedLeaderEpoch));
        let ended = wire.call(&end(&ours, 1, EPOCH - 1), 1);
        let ended = ended.topics[0].partitions[0].error_code;
        assert_eq!(ended, code(ErrorCode::FencedLeaderEpoch));
    }
    good.check(&mut node);
}

#[test]
fn processes_of_the_past_and_strangers_change_nothing() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let mut wire = Wire::connect(node.controller_port);
    let stale = code(ErrorCode::StaleBrokerEpoch);
    // Of no process there has been, or of one to come; twice, as a network may have it.
    for epoch in [-1, -1, 0, 1 << 40] {
        let answer = wire.call(&heartbeat(1, epoch), 1);
        assert_eq!(answer.error_code, stale, "epoch {epoch}");
        let alteration = wire::AlterPartitionRequest {
            broker_id: 1,
            broker_epoch: epoch,
            ..Default::default()
        };
        let answer = wire.call(&alteration, 3);
        assert_eq!(answer.error_code, stale, "epoch {epoch}");
        let assignment = wire::AssignReplicasToDirsRequest {
            broker_id: 1,
            broker_epoch: epoch,
            ..Default::default()
        };
        let answer = wire.call(&assignment, 0);
        assert_eq!(answer.error_code, stale, "epoch {epoch}");
        let ids = wire::AllocateProducerIdsRequest {
            broker_id: 1,
            broker_epoch: epoch,
            ..Default::default()
        };
        let answer = wire.call(&ids, 0);
        assert_eq!(answer.error_code, stale, "epoch {epoch}");
    }
    // As Kafka says it of a broker that is not registered.
    let unknown = wire.call(&heartbeat(STRANGER, 5), 1).error_code;
    assert_eq!(unknown, stale);
    good.check(&mut node);
}
