//! The metadata quorum's requests, and DescribeQuorum. The voter changes are in `voters`.

use std::sync::Arc;

use broker_core::raft::{Request, Response};
use broker_env::Address;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{NodeId, Uuid};

use super::raft_wire::LeaderEndpoint;
use super::{Api, raft_wire};
use crate::quorum::{QuorumDescription, ReplicaDescription};

/// A member of another cluster must not take part (KIP-595).
pub(super) fn is_foreign(api: &Api, cluster_id: Option<&String>) -> bool {
    cluster_id.is_some_and(|cluster_id| *cluster_id != api.cluster_id)
}

/// The leader that an answer of a version with node endpoints names, and where it listens.
fn leader_endpoint(api: &Api, response: &Response, told: bool) -> LeaderEndpoint {
    let (leader, _) = response.leader_and_epoch();
    let leader = leader.filter(|_| told)?;
    Some((leader, api.quorum.addresses.of(leader)?))
}

/// Learns where the leader that a request names listens; false if nobody knows.
fn learn_leader(api: &Api, leader: NodeId, told: Option<Address>) -> bool {
    if let Some(address) = told {
        api.quorum.addresses.told(leader, address);
    }
    api.quorum.addresses.of(leader).is_some()
}

pub async fn vote(api: Arc<Api>, request: wire::VoteRequest, version: i16) -> wire::VoteResponse {
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
        Some((answer @ Response::Vote(response), _)) => {
            raft_wire::vote_to_wire(&response, leader_endpoint(&api, &answer, version >= 1))
        }
        _ => failed(ErrorCode::BrokerNotAvailable),
    }
}

pub async fn begin_quorum_epoch(
    api: Arc<Api>,
    request: wire::BeginQuorumEpochRequest,
    version: i16,
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
    let listener = api.quorum.addresses.listener();
    let told = raft_wire::begin_quorum_epoch_leader(&request, listener);
    if !learn_leader(&api, core.leader, told) {
        return failed(ErrorCode::InvalidRequest);
    }
    match api.quorum.request(Request::BeginQuorumEpoch(core)).await {
        Some((answer @ Response::BeginQuorumEpoch(response), _)) => {
            let leader = leader_endpoint(&api, &answer, version >= 1);
            raft_wire::begin_quorum_epoch_to_wire(&response, leader)
        }
        _ => failed(ErrorCode::BrokerNotAvailable),
    }
}

pub async fn end_quorum_epoch(
    api: Arc<Api>,
    request: wire::EndQuorumEpochRequest,
    version: i16,
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
    let listener = api.quorum.addresses.listener();
    let told = raft_wire::end_quorum_epoch_leader(&request, listener);
    if !learn_leader(&api, core.leader, told) {
        return failed(ErrorCode::InvalidRequest);
    }
    match api.quorum.request(Request::EndQuorumEpoch(core)).await {
        Some((answer @ Response::EndQuorumEpoch(response), _)) => {
            let leader = leader_endpoint(&api, &answer, version >= 1);
            raft_wire::end_quorum_epoch_to_wire(&response, leader)
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
        Some((answer, records)) => {
            let leader = leader_endpoint(&api, &answer, version >= 16);
            match answer {
                Response::Fetch(response) => raft_wire::fetch_to_wire(&response, records, leader),
                _ => failed(ErrorCode::BrokerNotAvailable),
            }
        }
        None => failed(ErrorCode::BrokerNotAvailable),
    }
}

pub async fn fetch_snapshot(
    api: Arc<Api>,
    request: wire::FetchSnapshotRequest,
    version: i16,
) -> wire::FetchSnapshotResponse {
    let failed = |code: ErrorCode| wire::FetchSnapshotResponse {
        error_code: code.code(),
        ..Default::default()
    };
    if is_foreign(&api, request.cluster_id.as_ref()) {
        return failed(ErrorCode::InconsistentClusterId);
    }
    let Ok(core) = raft_wire::fetch_snapshot_from_wire(&request) else {
        return failed(ErrorCode::InvalidRequest);
    };
    match api.quorum.request(Request::FetchSnapshot(core)).await {
        Some((answer @ Response::FetchSnapshot(response), chunk)) => {
            let leader = leader_endpoint(&api, &answer, version >= 1);
            raft_wire::fetch_snapshot_to_wire(&response, chunk, leader)
        }
        _ => failed(ErrorCode::BrokerNotAvailable),
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
    let states = |replicas: &[ReplicaDescription]| {
        let described = replicas.iter();
        described
            .map(|replica| replica_state(replica, version))
            .collect()
    };
    let partition = wire::DescribeQuorumResponsePartitionData {
        leader_id: quorum.leader.map_or(-1, |leader| leader.0),
        leader_epoch: quorum.epoch.0,
        high_watermark: quorum.high_watermark,
        current_voters: states(&quorum.voters),
        observers: states(&quorum.observers),
        error_message: None,
        ..Default::default()
    };
    wire::DescribeQuorumResponse {
        error_message: None,
        topics: vec![wire::DescribeQuorumResponseTopicData {
            topic_name: raft_wire::METADATA_TOPIC.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        nodes: if version >= 2 {
            nodes(&api, &quorum)
        } else {
            Vec::new()
        },
        ..Default::default()
    }
}

/// Where the voters listen: as the log says, or as this node knows it.
fn nodes(api: &Api, quorum: &QuorumDescription) -> Vec<wire::Node> {
    let listener = |name: &str, host: &str, port: u16| wire::DescribeQuorumListener {
        name: name.into(),
        host: host.into(),
        port,
        ..Default::default()
    };
    let described = quorum.endpoints.iter().map(|(id, endpoints)| {
        let told = endpoints.iter();
        let mut listeners: Vec<_> = told
            .map(|endpoint| listener(&endpoint.name, &endpoint.host, endpoint.port))
            .collect();
        if listeners.is_empty() {
            let addresses = &api.quorum.addresses;
            let known = addresses.of(*id).into_iter();
            listeners
                .extend(known.map(|known| listener(addresses.listener(), &known.host, known.port)));
        }
        wire::Node {
            node_id: id.0,
            listeners,
            ..Default::default()
        }
    });
    described.collect()
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
        last_fetch_timestamp: replica.times.last_fetch,
        last_caught_up_timestamp: replica.times.last_caught_up,
        ..Default::default()
    }
}
