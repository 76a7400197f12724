//! BeginQuorumEpoch and EndQuorumEpoch: the two that name a leader and where it listens.

use broker_core::raft::{BeginQuorumEpochRequest, EndQuorumEpochRequest, EpochResponse, Response};
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, ReplicaKey, Uuid};

use super::*;

pub fn begin_quorum_epoch_request(
    request: &BeginQuorumEpochRequest,
    cluster_id: &str,
    leader: &[Endpoint],
) -> wire::BeginQuorumEpochRequest {
    let listener = |endpoint: &Endpoint| wire::BeginQuorumEpochLeaderEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        ..Default::default()
    };
    wire::BeginQuorumEpochRequest {
        cluster_id: Some(cluster_id.to_string()),
        leader_endpoints: leader.iter().map(listener).collect(),
        voter_id: id_of(request.voter.map(|voter| voter.id)),
        topics: vec![wire::BeginQuorumEpochRequestTopicData {
            topic_name: METADATA_TOPIC.into(),
            partitions: vec![wire::BeginQuorumEpochRequestPartitionData {
                partition_index: 0,
                voter_directory_id: request.voter.map_or(Uuid::ZERO, |voter| voter.directory_id),
                leader_id: request.leader.0,
                leader_epoch: request.leader_epoch.0,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Where the leader that the request names listens under `listener`, if it says so.
pub fn begin_quorum_epoch_leader(
    request: &wire::BeginQuorumEpochRequest,
    listener: &str,
) -> Option<Address> {
    let mut endpoints = request.leader_endpoints.iter();
    let found = endpoints.find(|endpoint| endpoint.name.eq_ignore_ascii_case(listener))?;
    Some(Address::new(found.host.clone(), found.port))
}

/// # Errors
/// Not exactly the metadata partition.
pub fn begin_quorum_epoch_from_wire(
    request: &wire::BeginQuorumEpochRequest,
) -> Result<BeginQuorumEpochRequest, NotMetadata> {
    let [topic] = request.topics.as_slice() else {
        return Err(NotMetadata);
    };
    let [partition] = topic.partitions.as_slice() else {
        return Err(NotMetadata);
    };
    check_name(&topic.topic_name, partition.partition_index)?;
    let voter = ReplicaKey {
        id: NodeId(request.voter_id),
        directory_id: partition.voter_directory_id,
    };
    Ok(BeginQuorumEpochRequest {
        voter: (request.voter_id >= 0).then_some(voter),
        leader: NodeId(partition.leader_id),
        leader_epoch: LeaderEpoch(partition.leader_epoch),
    })
}

pub fn begin_quorum_epoch_to_wire(
    response: &EpochResponse,
    leader: LeaderEndpoint,
) -> wire::BeginQuorumEpochResponse {
    let endpoint = |(node, address): (NodeId, Address)| wire::BeginQuorumEpochNodeEndpoint {
        node_id: node.0,
        host: address.host,
        port: address.port,
        ..Default::default()
    };
    wire::BeginQuorumEpochResponse {
        node_endpoints: leader.into_iter().map(endpoint).collect(),
        topics: vec![wire::BeginQuorumEpochResponseTopicData {
            topic_name: METADATA_TOPIC.into(),
            partitions: vec![wire::BeginQuorumEpochResponsePartitionData {
                partition_index: 0,
                error_code: error_code(response.error).code(),
                leader_id: id_of(response.leader),
                leader_epoch: response.leader_epoch.0,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn begin_quorum_epoch_response(response: &wire::BeginQuorumEpochResponse) -> Answer {
    let partition = response
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    let told = partition.map(|partition| {
        (
            partition.error_code,
            partition.leader_id,
            partition.leader_epoch,
        )
    });
    let endpoints = response.node_endpoints.iter();
    Answer {
        endpoints: endpoints
            .map(|node| endpoint(node.node_id, &node.host, node.port))
            .collect(),
        ..Answer::of(Response::BeginQuorumEpoch(epoch_response(
            response.error_code,
            told,
        )))
    }
}

pub fn end_quorum_epoch_request(
    request: &EndQuorumEpochRequest,
    cluster_id: &str,
    leader: &[Endpoint],
) -> wire::EndQuorumEpochRequest {
    let listener = |endpoint: &Endpoint| wire::EndQuorumEpochLeaderEndpoint {
        name: endpoint.name.clone(),
        host: endpoint.host.clone(),
        port: endpoint.port,
        ..Default::default()
    };
    let candidates = request
        .preferred_candidates
        .iter()
        .map(|candidate| wire::ReplicaInfo {
            candidate_id: candidate.id.0,
            candidate_directory_id: candidate.directory_id,
            ..Default::default()
        });
    wire::EndQuorumEpochRequest {
        cluster_id: Some(cluster_id.to_string()),
        leader_endpoints: leader.iter().map(listener).collect(),
        topics: vec![wire::EndQuorumEpochRequestTopicData {
            topic_name: METADATA_TOPIC.into(),
            partitions: vec![wire::EndQuorumEpochRequestPartitionData {
                partition_index: 0,
                leader_id: request.leader.0,
                leader_epoch: request.leader_epoch.0,
                preferred_candidates: candidates.collect(),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Where the leader that the request names listens under `listener`, if it says so.
pub fn end_quorum_epoch_leader(
    request: &wire::EndQuorumEpochRequest,
    listener: &str,
) -> Option<Address> {
    let mut endpoints = request.leader_endpoints.iter();
    let found = endpoints.find(|endpoint| endpoint.name.eq_ignore_ascii_case(listener))?;
    Some(Address::new(found.host.clone(), found.port))
}

/// # Errors
/// Not exactly the metadata partition.
pub fn end_quorum_epoch_from_wire(
    request: &wire::EndQuorumEpochRequest,
) -> Result<EndQuorumEpochRequest, NotMetadata> {
    let [topic] = request.topics.as_slice() else {
        return Err(NotMetadata);
    };
    let [partition] = topic.partitions.as_slice() else {
        return Err(NotMetadata);
    };
    check_name(&topic.topic_name, partition.partition_index)?;
    let by_id = |id: &i32| ReplicaKey {
        id: NodeId(*id),
        directory_id: Uuid::ZERO,
    };
    let by_key = |candidate: &wire::ReplicaInfo| ReplicaKey {
        id: NodeId(candidate.candidate_id),
        directory_id: candidate.candidate_directory_id,
    };
    let mut candidates: Vec<ReplicaKey> =
        partition.preferred_candidates.iter().map(by_key).collect();
    if candidates.is_empty() {
        candidates = partition.preferred_successors.iter().map(by_id).collect();
    }
    Ok(EndQuorumEpochRequest {
        leader: NodeId(partition.leader_id),
        leader_epoch: LeaderEpoch(partition.leader_epoch),
        preferred_candidates: candidates,
    })
}

pub fn end_quorum_epoch_to_wire(
    response: &EpochResponse,
    leader: LeaderEndpoint,
) -> wire::EndQuorumEpochResponse {
    let endpoint = |(node, address): (NodeId, Address)| wire::EndQuorumEpochNodeEndpoint {
        node_id: node.0,
        host: address.host,
        port: address.port,
        ..Default::default()
    };
    wire::EndQuorumEpochResponse {
        node_endpoints: leader.into_iter().map(endpoint).collect(),
        topics: vec![wire::EndQuorumEpochResponseTopicData {
            topic_name: METADATA_TOPIC.into(),
            partitions: vec![wire::EndQuorumEpochResponsePartitionData {
                partition_index: 0,
                error_code: error_code(response.error).code(),
                leader_id: id_of(response.leader),
                leader_epoch: response.leader_epoch.0,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn end_quorum_epoch_response(response: &wire::EndQuorumEpochResponse) -> Answer {
    let partition = response
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    let told = partition.map(|partition| {
        (
            partition.error_code,
            partition.leader_id,
            partition.leader_epoch,
        )
    });
    let endpoints = response.node_endpoints.iter();
    Answer {
        endpoints: endpoints
            .map(|node| endpoint(node.node_id, &node.host, node.port))
            .collect(),
        ..Answer::of(Response::EndQuorumEpoch(epoch_response(
            response.error_code,
            told,
        )))
    }
}

fn epoch_response(top: i16, told: Option<(i16, i32, i32)>) -> EpochResponse {
    match told {
        Some((error, leader, epoch)) if top == 0 => EpochResponse {
            error: core_error(error),
            leader: node_or_none(leader),
            leader_epoch: LeaderEpoch(epoch),
        },
        _ => EpochResponse {
            error: core_error(top_level(top)),
            leader: None,
            leader_epoch: LeaderEpoch(-1),
        },
    }
}
