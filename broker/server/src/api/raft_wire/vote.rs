//! Vote.

use broker_core::raft::{Response, VoteRequest, VoteResponse};
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, ReplicaKey, Uuid};

use super::*;

pub fn vote_request(request: &VoteRequest, cluster_id: &str) -> wire::VoteRequest {
    wire::VoteRequest {
        cluster_id: Some(cluster_id.to_string()),
        voter_id: id_of(request.voter.map(|voter| voter.id)),
        topics: vec![wire::VoteRequestTopicData {
            topic_name: METADATA_TOPIC.into(),
            partitions: vec![wire::VoteRequestPartitionData {
                partition_index: 0,
                replica_epoch: request.candidate_epoch.0,
                replica_id: request.candidate.id.0,
                replica_directory_id: request.candidate.directory_id,
                voter_directory_id: request.voter.map_or(Uuid::ZERO, |voter| voter.directory_id),
                last_offset_epoch: request.last_offset_epoch.0,
                last_offset: request.last_offset,
                pre_vote: request.pre_vote,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// # Errors
/// Not exactly the metadata partition.
pub fn vote_from_wire(request: &wire::VoteRequest) -> Result<VoteRequest, NotMetadata> {
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
    Ok(VoteRequest {
        voter: (request.voter_id >= 0).then_some(voter),
        candidate_epoch: LeaderEpoch(partition.replica_epoch),
        candidate: ReplicaKey {
            id: NodeId(partition.replica_id),
            directory_id: partition.replica_directory_id,
        },
        last_offset_epoch: LeaderEpoch(partition.last_offset_epoch),
        last_offset: partition.last_offset,
        pre_vote: partition.pre_vote,
    })
}

pub fn vote_to_wire(response: &VoteResponse, leader: LeaderEndpoint) -> wire::VoteResponse {
    let endpoint = |(node, address): (NodeId, Address)| wire::VoteNodeEndpoint {
        node_id: node.0,
        host: address.host,
        port: address.port,
        ..Default::default()
    };
    wire::VoteResponse {
        node_endpoints: leader.into_iter().map(endpoint).collect(),
        topics: vec![wire::VoteResponseTopicData {
            topic_name: METADATA_TOPIC.into(),
            partitions: vec![wire::VoteResponsePartitionData {
                partition_index: 0,
                error_code: error_code(response.error).code(),
                leader_id: id_of(response.leader),
                leader_epoch: response.leader_epoch.0,
                vote_granted: response.vote_granted,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn vote_response(response: &wire::VoteResponse) -> Answer {
    let partition = response
        .topics
        .first()
        .and_then(|topic| topic.partitions.first());
    let answer = match partition {
        Some(partition) if response.error_code == 0 => VoteResponse {
            error: core_error(partition.error_code),
            leader: node_or_none(partition.leader_id),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
            vote_granted: partition.vote_granted,
        },
        _ => VoteResponse {
            error: core_error(top_level(response.error_code)),
            leader: None,
            leader_epoch: LeaderEpoch(-1),
            vote_granted: false,
        },
    };
    let endpoints = response.node_endpoints.iter();
    Answer {
        endpoints: endpoints
            .map(|node| endpoint(node.node_id, &node.host, node.port))
            .collect(),
        ..Answer::of(Response::Vote(answer))
    }
}
