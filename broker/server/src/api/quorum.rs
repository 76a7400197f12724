//! The metadata quorum's requests, and DescribeQuorum.

use std::sync::Arc;

use broker_core::raft::{Request, Response};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::Uuid;
use bytes::Bytes;

use super::{Api, raft_wire};
use crate::quorum::ReplicaDescription;

/// A member of another cluster must not take part (KIP-595).
fn is_foreign(api: &Api, cluster_id: Option<&String>) -> bool {
    cluster_id.is_some_and(|cluster_id| *cluster_id != api.cluster_id)
}

pub async fn vote(api: Arc<Api>, request: wire::VoteRequest) -> wire::VoteResponse {
    let failed = |code: ErrorCode| wire::VoteResponse {
        error_code: code.code(),
        ..Default::default()
    };
    if is_foreign(&api, request.cluster_id.as_ref()) {
        return failed(ErrorCode::InconsistentClusterId);
    }
    let Ok(core) = raft_wire::vote_from_wire(&request) else {
        return failed(ErrorCode::InvalidRequest);
    };
    match api.quorum.request(Request::Vote(core)).await {
        Some((Response::Vote(response), _)) => raft_wire::vote_to_wire(&response),
        _ => failed(ErrorCode::BrokerNotAvailable),
    }
}

pub async fn begin_quorum_epoch(
    api: Arc<Api>,
    request: wire::BeginQuorumEpochRequest,
) -> wire::BeginQuorumEpochResponse {
    let failed = |code: ErrorCode| wire::BeginQuorumEpochResponse {
        error_code: code.code(),
        ..Default::default()
    };
    if is_foreign(&api, request.cluster_id.as_ref()) {
        return failed(ErrorCode::InconsistentClusterId);
    }
    let Ok(core) = raft_wire::begin_quorum_epoch_from_wire(&request) else {
        return failed(ErrorCode::InvalidRequest);
    };
    match api.quorum.request(Request::BeginQuorumEpoch(core)).await {
        Some((Response::BeginQuorumEpoch(response), _)) => {
            raft_wire::begin_quorum_epoch_to_wire(&response)
        }
        _ => failed(ErrorCode::BrokerNotAvailable),
    }
}

pub async fn end_quorum_epoch(
    api: Arc<Api>,
    request: wire::EndQuorumEpochRequest,
) -> wire::EndQuorumEpochResponse {
    let failed = |code: ErrorCode| wire::EndQuorumEpochResponse {
        error_code: code.code(),
        ..Default::default()
    };
    if is_foreign(&api, request.cluster_id.as_ref()) {
        return failed(ErrorCode::InconsistentClusterId);
    }
    let Ok(core) = raft_wire::end_quorum_epoch_from_wire(&request) else {
        return failed(ErrorCode::InvalidRequest);
    };
    match api.quorum.request(Request::EndQuorumEpoch(core)).await {
        Some((Response::EndQuorumEpoch(response), _)) => {
            raft_wire::end_quorum_epoch_to_wire(&response)
        }
        _ => failed(ErrorCode::BrokerNotAvailable),
    }
}

pub async fn fetch(
    api: Arc<Api>,
    request: wire::FetchRequest,
    version: i16,
) -> wire::FetchResponse {
    let failed = |code: ErrorCode| wire::FetchResponse {
        error_code: code.code(),
        ..Default::default()
    };
    if is_foreign(&api, request.cluster_id.as_ref()) {
        return failed(ErrorCode::InconsistentClusterId);
    }
    let Ok(core) = raft_wire::fetch_from_wire(&request, version) else {
        return failed(ErrorCode::InvalidRequest);
    };
    match api.quorum.request(Request::Fetch(core)).await {
        Some((Response::Fetch(response), records)) => raft_wire::fetch_to_wire(&response, records),
        _ => failed(ErrorCode::BrokerNotAvailable),
    }
}

/// There are no snapshots yet, so every one that is asked for is not found.
pub fn fetch_snapshot(request: &wire::FetchSnapshotRequest) -> wire::FetchSnapshotResponse {
    let topics = request
        .topics
        .iter()
        .map(|topic| wire::FetchSnapshotResponseTopicSnapshot {
            name: topic.name.clone(),
            partitions: topic
                .partitions
                .iter()
                .map(|partition| wire::FetchSnapshotResponsePartitionSnapshot {
                    index: partition.partition,
                    error_code: ErrorCode::SnapshotNotFound.code(),
                    unaligned_records: Bytes::new(),
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
    wire::FetchSnapshotResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

pub async fn describe(
    api: Arc<Api>,
    request: wire::DescribeQuorumRequest,
    version: i16,
) -> wire::DescribeQuorumResponse {
    let failed = |code: ErrorCode| wire::DescribeQuorumResponse {
        error_code: code.code(),
        error_message: None,
        ..Default::default()
    };
    let metadata_only = request
        .topics
        .iter()
        .all(|topic| topic.topic_name == raft_wire::METADATA_TOPIC);
    if !metadata_only || request.topics.len() != 1 {
        return failed(ErrorCode::InvalidRequest);
    }
    let Some(quorum) = api.quorum.describe().await else {
        return failed(ErrorCode::BrokerNotAvailable);
    };
    if !quorum.leads_here {
        return failed(ErrorCode::NotLeaderOrFollower);
    }
    let partition = wire::DescribeQuorumResponsePartitionData {
        leader_id: quorum.leader.map_or(-1, |leader| leader.0),
        leader_epoch: quorum.epoch.0,
        high_watermark: quorum.high_watermark,
        current_voters: quorum
            .voters
            .iter()
            .map(|replica| replica_state(replica, version))
            .collect(),
        error_message: None,
        ..Default::default()
    };
    let nodes = api.config.voters().into_iter().map(|voter| wire::Node {
        node_id: voter.id,
        listeners: vec![wire::DescribeQuorumListener {
            name: api
                .config
                .controller_listener_names
                .first()
                .cloned()
                .unwrap_or_default(),
            host: voter.host,
            port: voter.port,
            ..Default::default()
        }],
        ..Default::default()
    });
    wire::DescribeQuorumResponse {
        error_message: None,
        topics: vec![wire::DescribeQuorumResponseTopicData {
            topic_name: raft_wire::METADATA_TOPIC.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        nodes: if version >= 2 {
            nodes.collect()
        } else {
            Vec::new()
        },
        ..Default::default()
    }
}

fn replica_state(replica: &ReplicaDescription, version: i16) -> wire::DescribeQuorumReplicaState {
    wire::DescribeQuorumReplicaState {
        replica_id: replica.replica.id.0,
        replica_directory_id: if version >= 2 {
            replica.replica.directory_id
        } else {
            Uuid::ZERO
        },
        log_end_offset: replica.log_end,
        ..Default::default()
    }
}
