//! The metadata quorum's messages between wire and core: Vote, BeginQuorumEpoch, EndQuorumEpoch and Fetch
//! of `__cluster_metadata-0`. Both directions, because every member both asks and answers.

use broker_core::raft::{
    self, BeginQuorumEpochRequest, EndQuorumEpochRequest, EpochResponse, Error, FetchRequest,
    FetchResponse, OffsetAndEpoch, Response, VoteRequest, VoteResponse,
};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, ReplicaKey, Uuid};
use bytes::Bytes;

pub const VOTE_VERSION: i16 = 2;
pub const BEGIN_QUORUM_EPOCH_VERSION: i16 = 1;
pub const END_QUORUM_EPOCH_VERSION: i16 = 1;
pub const FETCH_VERSION: i16 = 18;

pub const METADATA_TOPIC: &str = "__cluster_metadata";
/// Kafka's fixed id of that topic.
pub const METADATA_TOPIC_ID: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);

/// A core response and, of a fetch, the record bytes.
pub type Answer = (Response, Bytes);

/// The request names no metadata partition, or more than it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct NotMetadata;

fn node_or_none(id: i32) -> Option<NodeId> {
    (id >= 0).then_some(NodeId(id))
}

fn id_of(node: Option<NodeId>) -> i32 {
    node.map_or(-1, |node| node.0)
}

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

pub fn vote_to_wire(response: &VoteResponse) -> wire::VoteResponse {
    wire::VoteResponse {
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
    (Response::Vote(answer), Bytes::new())
}

pub fn begin_quorum_epoch_request(
    request: &BeginQuorumEpochRequest,
    cluster_id: &str,
) -> wire::BeginQuorumEpochRequest {
    wire::BeginQuorumEpochRequest {
        cluster_id: Some(cluster_id.to_string()),
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

pub fn begin_quorum_epoch_to_wire(response: &EpochResponse) -> wire::BeginQuorumEpochResponse {
    wire::BeginQuorumEpochResponse {
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
    (
        Response::BeginQuorumEpoch(epoch_response(response.error_code, told)),
        Bytes::new(),
    )
}

pub fn end_quorum_epoch_request(
    request: &EndQuorumEpochRequest,
    cluster_id: &str,
) -> wire::EndQuorumEpochRequest {
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

pub fn end_quorum_epoch_to_wire(response: &EpochResponse) -> wire::EndQuorumEpochResponse {
    wire::EndQuorumEpochResponse {
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
    (
        Response::EndQuorumEpoch(epoch_response(response.error_code, told)),
        Bytes::new(),
    )
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

pub fn fetch_request(request: &FetchRequest, cluster_id: &str) -> wire::FetchRequest {
    wire::FetchRequest {
        cluster_id: Some(cluster_id.to_string()),
        replica_state: wire::FetchReplicaState {
            replica_id: request.replica.id.0,
            replica_epoch: -1,
            ..Default::default()
        },
        max_wait_ms: i32::try_from(request.max_wait_ms).unwrap_or(i32::MAX),
        min_bytes: 0,
        session_epoch: -1,
        topics: vec![wire::FetchTopic {
            topic_id: METADATA_TOPIC_ID,
            partitions: vec![wire::FetchPartition {
                partition: 0,
                current_leader_epoch: request.current_leader_epoch.0,
                fetch_offset: request.fetch_offset,
                last_fetched_epoch: request.last_fetched_epoch.0,
                log_start_offset: -1,
                partition_max_bytes: 0,
                replica_directory_id: request.replica.directory_id,
                high_watermark: request.high_watermark,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Whether a fetch is one of the metadata partition, as members and observers send it.
pub fn is_metadata_fetch(request: &wire::FetchRequest) -> bool {
    let named = |topic: &wire::FetchTopic| {
        topic.topic_id == METADATA_TOPIC_ID || topic.topic == METADATA_TOPIC
    };
    request.topics.iter().any(named)
}

/// # Errors
/// Not exactly the metadata partition.
pub fn fetch_from_wire(
    request: &wire::FetchRequest,
    version: i16,
) -> Result<FetchRequest, NotMetadata> {
    let [topic] = request.topics.as_slice() else {
        return Err(NotMetadata);
    };
    let [partition] = topic.partitions.as_slice() else {
        return Err(NotMetadata);
    };
    if partition.partition != 0 || !is_metadata_fetch(request) {
        return Err(NotMetadata);
    }
    let id = if version >= 15 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    Ok(FetchRequest {
        replica: ReplicaKey {
            id: NodeId(id),
            directory_id: partition.replica_directory_id,
        },
        current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
        fetch_offset: partition.fetch_offset,
        last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
        high_watermark: partition.high_watermark,
        max_wait_ms: u64::try_from(request.max_wait_ms).unwrap_or(0),
    })
}

pub fn fetch_to_wire(response: &FetchResponse, records: Bytes) -> wire::FetchResponse {
    let diverging = response.diverging.unwrap_or(OffsetAndEpoch {
        offset: -1,
        epoch: LeaderEpoch(-1),
    });
    wire::FetchResponse {
        responses: vec![wire::FetchableTopicResponse {
            topic: METADATA_TOPIC.into(),
            topic_id: METADATA_TOPIC_ID,
            partitions: vec![wire::FetchPartitionData {
                partition_index: 0,
                error_code: error_code(response.error).code(),
                high_watermark: response.high_watermark.unwrap_or(-1),
                log_start_offset: response.log_start_offset,
                diverging_epoch: wire::FetchEpochEndOffset {
                    epoch: diverging.epoch.0,
                    end_offset: diverging.offset,
                    ..Default::default()
                },
                current_leader: wire::FetchLeaderIdAndEpoch {
                    leader_id: id_of(response.leader),
                    leader_epoch: response.leader_epoch.0,
                    ..Default::default()
                },
                aborted_transactions: None,
                records: Some(records),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn fetch_response(response: wire::FetchResponse) -> Answer {
    let top = response.error_code;
    let topic = response.responses.into_iter().next();
    let Some(partition) = topic
        .and_then(|topic| topic.partitions.into_iter().next())
        .filter(|_| top == 0)
    else {
        let answer = FetchResponse {
            error: core_error(top_level(top)),
            leader: None,
            leader_epoch: LeaderEpoch(-1),
            high_watermark: None,
            log_start_offset: -1,
            diverging: None,
            snapshot: None,
            batches: vec![],
        };
        return (Response::Fetch(answer), Bytes::new());
    };
    let diverging = &partition.diverging_epoch;
    let answer = FetchResponse {
        error: core_error(partition.error_code),
        leader: node_or_none(partition.current_leader.leader_id),
        leader_epoch: LeaderEpoch(partition.current_leader.leader_epoch),
        high_watermark: (partition.high_watermark >= 0).then_some(partition.high_watermark),
        log_start_offset: partition.log_start_offset,
        diverging: (diverging.end_offset >= 0).then_some(OffsetAndEpoch {
            offset: diverging.end_offset,
            epoch: LeaderEpoch(diverging.epoch),
        }),
        snapshot: None,
        batches: vec![],
    };
    (
        Response::Fetch(answer),
        partition.records.unwrap_or_default(),
    )
}

fn check_name(topic: &str, partition: i32) -> Result<(), NotMetadata> {
    if topic == METADATA_TOPIC && partition == 0 {
        Ok(())
    } else {
        Err(NotMetadata)
    }
}

/// A response without its partition and without an error is no answer.
fn top_level(code: i16) -> i16 {
    if code == 0 {
        ErrorCode::UnknownServerError.code()
    } else {
        code
    }
}

pub fn error_code(error: raft::Error) -> ErrorCode {
    match error {
        Error::None => ErrorCode::None,
        Error::FencedLeaderEpoch => ErrorCode::FencedLeaderEpoch,
        Error::UnknownLeaderEpoch => ErrorCode::UnknownLeaderEpoch,
        Error::NotLeaderOrFollower => ErrorCode::NotLeaderOrFollower,
        Error::InvalidRequest => ErrorCode::InvalidRequest,
        Error::InvalidVoterKey => ErrorCode::InvalidVoterKey,
        Error::BrokerNotAvailable => ErrorCode::BrokerNotAvailable,
        Error::SnapshotNotFound => ErrorCode::SnapshotNotFound,
        Error::PositionOutOfRange => ErrorCode::PositionOutOfRange,
        Error::DuplicateVoter => ErrorCode::DuplicateVoter,
        Error::VoterNotFound => ErrorCode::VoterNotFound,
        Error::RequestTimedOut => ErrorCode::RequestTimedOut,
        Error::UnsupportedVersion => ErrorCode::UnsupportedVersion,
        Error::InvalidUpdateVersion => ErrorCode::InvalidUpdateVersion,
        Error::Unexpected => ErrorCode::UnknownServerError,
    }
}

fn core_error(code: i16) -> Error {
    match ErrorCode::from_code(code) {
        Some(ErrorCode::None) => Error::None,
        Some(ErrorCode::FencedLeaderEpoch) => Error::FencedLeaderEpoch,
        Some(ErrorCode::UnknownLeaderEpoch) => Error::UnknownLeaderEpoch,
        Some(ErrorCode::NotLeaderOrFollower) => Error::NotLeaderOrFollower,
        Some(ErrorCode::InvalidRequest) => Error::InvalidRequest,
        Some(ErrorCode::InvalidVoterKey) => Error::InvalidVoterKey,
        Some(ErrorCode::BrokerNotAvailable) => Error::BrokerNotAvailable,
        Some(ErrorCode::SnapshotNotFound) => Error::SnapshotNotFound,
        Some(ErrorCode::PositionOutOfRange) => Error::PositionOutOfRange,
        Some(ErrorCode::DuplicateVoter) => Error::DuplicateVoter,
        Some(ErrorCode::VoterNotFound) => Error::VoterNotFound,
        Some(ErrorCode::RequestTimedOut) => Error::RequestTimedOut,
        Some(ErrorCode::UnsupportedVersion) => Error::UnsupportedVersion,
        Some(ErrorCode::InvalidUpdateVersion) => Error::InvalidUpdateVersion,
        _ => Error::Unexpected,
    }
}
