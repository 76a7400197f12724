//! TxnOffsetCommit: a group's positions, as part of a producer's transaction.

use std::sync::Arc;

use broker_core::group::{MemberContext, Producer, Reply, Request, TransactionalCommitRequest};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;

use super::Api;
use super::offsets::{ask_to_commit, committed_partitions, each_partition, known_partitions};

pub async fn commit(
    api: Arc<Api>,
    request: wire::TxnOffsetCommitRequest,
) -> wire::TxnOffsetCommitResponse {
    let topics: Vec<_> = request.topics.iter().map(plain).collect();
    let known = known_partitions(&api, &topics);
    let partitions = committed_partitions(&topics, &known);
    let count = partitions.len();
    let errors = match count {
        0 => Vec::new(),
        _ => {
            let commit = TransactionalCommitRequest {
                group: request.group_id.clone(),
                member: MemberContext {
                    member_id: request.member_id.clone(),
                    instance_id: request.group_instance_id.clone(),
                    generation: request.generation_id,
                },
                producer: Producer {
                    id: request.producer_id,
                    epoch: request.producer_epoch,
                },
                partitions,
            };
            let committed = committed(&api, commit).await;
            committed.unwrap_or_else(|error| vec![error; count])
        }
    };
    response(request, each_partition(&known, errors))
}

async fn committed(
    api: &Api,
    commit: TransactionalCommitRequest,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let group = commit.group.clone();
    let request = Request::CommitTransactional(commit);
    match ask_to_commit(api, &group, request).await.map_err(mapped)? {
        Reply::CommitTransactional(committed) => committed,
        other => panic!("{group}: TxnOffsetCommit was answered with {other:?}"),
    }
}

/// What the partition of the group says, as clients of its coordinator understand it.
fn mapped(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::NotEnoughReplicas
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        // Older clients retry this one without asking for another coordinator.
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        error => error,
    }
}

/// As an OffsetCommit has it.
fn plain(topic: &wire::TxnOffsetCommitRequestTopic) -> wire::OffsetCommitRequestTopic {
    let partitions = topic.partitions.iter();
    let partitions = partitions.map(|partition| wire::OffsetCommitRequestPartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        committed_metadata: partition.committed_metadata.clone(),
        ..Default::default()
    });
    wire::OffsetCommitRequestTopic {
        name: topic.name.clone(),
        partitions: partitions.collect(),
        ..Default::default()
    }
}

fn response(
    request: wire::TxnOffsetCommitRequest,
    errors: Vec<ErrorCode>,
) -> wire::TxnOffsetCommitResponse {
    let mut errors = errors.into_iter();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(errors.by_ref());
        let partitions =
            partitions.map(
                |(partition, error)| wire::TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.code(),
                    ..Default::default()
                },
            );
        wire::TxnOffsetCommitResponseTopic {
            partitions: partitions.collect(),
            name: topic.name,
            ..Default::default()
        }
    });
    wire::TxnOffsetCommitResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}
