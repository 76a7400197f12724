//! OffsetCommit, OffsetFetch, OffsetDelete: a group's positions.

use std::sync::Arc;
use std::time::Duration;

use broker_core::group::{
    CommitRequest, CommittedPartition, DeleteOffsetsRequest, FetchOffsetsRequest, FetchedOffset,
    MemberContext, Reply, Request,
};
use broker_env::time::timeout;
use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, Uuid};

use super::Api;
use super::groups::ask;

pub async fn commit(
    api: Arc<Api>,
    request: wire::OffsetCommitRequest,
    version: i16,
) -> wire::OffsetCommitResponse {
    let known = known_partitions(&api, &request.topics);
    let partitions = committed_partitions(&request.topics, &known);
    let errors = match partitions.is_empty() {
        true => Vec::new(),
        false => committed(&api, &request, partitions, version).await,
    };
    let mut errors = each_partition(&known, errors).into_iter();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(errors.by_ref());
        let partitions = partitions.map(|(partition, error)| wire::OffsetCommitResponsePartition {
            partition_index: partition.partition_index,
            error_code: error.code(),
            ..Default::default()
        });
        wire::OffsetCommitResponseTopic {
            partitions: partitions.collect(),
            name: topic.name,
            ..Default::default()
        }
    });
    wire::OffsetCommitResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

/// An error for each partition of the request: those of `errors` are of the known ones.
pub(super) fn each_partition(
    known: &[Vec<Option<Uuid>>],
    errors: Vec<ErrorCode>,
) -> Vec<ErrorCode> {
    let mut errors = errors.into_iter();
    let each = known.iter().flatten().map(|id| match id {
        Some(_) => errors.next().expect("a commit has an answer for each"),
        None => ErrorCode::UnknownTopicOrPartition,
    });
    each.collect()
}

/// The topic's id for each partition that there is.
pub(super) fn known_partitions(
    api: &Api,
    topics: &[wire::OffsetCommitRequestTopic],
) -> Vec<Vec<Option<Uuid>>> {
    api.metadata.read(|image| {
        let topics = topics.iter().map(|topic| {
            let found = image.topic(&topic.name);
            let id = |partition: &wire::OffsetCommitRequestPartition| {
                let found = found?;
                found.partitions.get(&partition.partition_index)?;
                Some(found.id)
            };
            topic.partitions.iter().map(id).collect()
        });
        topics.collect()
    })
}

pub(super) fn committed_partitions(
    topics: &[wire::OffsetCommitRequestTopic],
    known: &[Vec<Option<Uuid>>],
) -> Vec<CommittedPartition> {
    let topics = topics.iter().zip(known);
    let partitions = topics.flat_map(|(topic, known)| {
        let partitions = topic.partitions.iter().zip(known);
        partitions.filter_map(|(partition, id)| {
            id.map(|id| committed_partition(&topic.name, id, partition))
        })
    });
    partitions.collect()
}

/// One error for each known partition, in order.
async fn committed(
    api: &Api,
    request: &wire::OffsetCommitRequest,
    partitions: Vec<CommittedPartition>,
    version: i16,
) -> Vec<ErrorCode> {
    let count = partitions.len();
    let commit = CommitRequest {
        group: request.group_id.clone(),
        member: MemberContext {
            member_id: request.member_id.clone(),
            instance_id: request.group_instance_id.clone(),
            generation: request.generation_id_or_member_epoch,
        },
        retention_ms: request.retention_time_ms,
        knows_consumer_groups: version >= 9,
        partitions,
    };
    let asked = ask(api, &request.group_id, Request::Commit(commit));
    match in_time(api, asked).await {
        Ok(Reply::Commit(Ok(errors))) => errors,
        Ok(Reply::Commit(Err(error))) | Err(error) => vec![error; count],
        Ok(other) => panic!(
            "{}: OffsetCommit was answered with {other:?}",
            request.group_id
        ),
    }
}

/// As long as `offsets.commit.timeout.ms`.
pub(super) async fn in_time(
    api: &Api,
    asked: impl Future<Output = Result<Reply, ErrorCode>>,
) -> Result<Reply, ErrorCode> {
    let limit = u64::try_from(api.config.offsets_commit_timeout_ms).unwrap_or(0);
    match timeout(&api.env, Duration::from_millis(limit), asked).await {
        Ok(reply) => reply,
        Err(_) => {
            probe!("offset commit: not replicated in time");
            Err(ErrorCode::CoordinatorNotAvailable)
        }
    }
}

fn committed_partition(
    topic: &str,
    topic_id: Uuid,
    partition: &wire::OffsetCommitRequestPartition,
) -> CommittedPartition {
    let epoch = partition.committed_leader_epoch;
    CommittedPartition {
        topic: topic.to_string(),
        topic_id,
        partition: partition.partition_index,
        offset: partition.committed_offset,
        leader_epoch: (epoch >= 0).then_some(LeaderEpoch(epoch)),
        metadata: partition.committed_metadata.clone().unwrap_or_default(),
    }
}

pub async fn fetch(
    api: Arc<Api>,
    request: wire::OffsetFetchRequest,
    version: i16,
) -> wire::OffsetFetchResponse {
    if version < 8 {
        return fetch_one(&api, request, version).await;
    }
    let mut groups = Vec::with_capacity(request.groups.len());
    for group in request.groups {
        groups.push(fetch_group(&api, group, request.require_stable).await);
    }
    wire::OffsetFetchResponse {
        groups,
        ..Default::default()
    }
}

/// The one group of requests before version 8, in the answer's old shape.
async fn fetch_one(
    api: &Api,
    request: wire::OffsetFetchRequest,
    version: i16,
) -> wire::OffsetFetchResponse {
    let asked = request.topics.clone();
    let topics = request.topics.map(|topics| {
        let topics = topics
            .into_iter()
            .map(|topic| wire::OffsetFetchRequestTopics {
                name: topic.name,
                partition_indexes: topic.partition_indexes,
                ..Default::default()
            });
        topics.collect()
    });
    let group = wire::OffsetFetchRequestGroup {
        group_id: request.group_id,
        topics,
        ..Default::default()
    };
    let mut fetched = fetch_group(api, group, request.require_stable).await;
    if fetched.error_code != 0 && version < 2 {
        // There is no error but those of partitions.
        fetched.topics = refused(asked.unwrap_or_default(), fetched.error_code);
    }
    let topics = fetched
        .topics
        .into_iter()
        .map(|topic| wire::OffsetFetchResponseTopic {
            name: topic.name,
            partitions: topic
                .partitions
                .into_iter()
                .map(|partition| wire::OffsetFetchResponsePartition {
                    partition_index: partition.partition_index,
                    committed_offset: partition.committed_offset,
                    committed_leader_epoch: partition.committed_leader_epoch,
                    metadata: partition.metadata,
                    error_code: partition.error_code,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        });
    wire::OffsetFetchResponse {
        topics: topics.collect(),
        error_code: fetched.error_code,
        ..Default::default()
    }
}

fn refused(
    topics: Vec<wire::OffsetFetchRequestTopic>,
    error_code: i16,
) -> Vec<wire::OffsetFetchResponseTopics> {
    let partition = |index: i32| wire::OffsetFetchResponsePartitions {
        partition_index: index,
        committed_offset: -1,
        metadata: Some(String::new()),
        error_code,
        ..Default::default()
    };
    let topics = topics
        .into_iter()
        .map(|topic| wire::OffsetFetchResponseTopics {
            partitions: topic.partition_indexes.into_iter().map(partition).collect(),
            name: topic.name,
            ..Default::default()
        });
    topics.collect()
}

async fn fetch_group(
    api: &Api,
    group: wire::OffsetFetchRequestGroup,
    require_stable: bool,
) -> wire::OffsetFetchResponseGroup {
    let partitions = group.topics.map(|topics| {
        let all = topics.iter().flat_map(|topic| {
            let indexes = topic.partition_indexes.iter();
            indexes.map(|index| (topic.name.clone(), *index))
        });
        all.collect()
    });
    let request = Request::FetchOffsets(FetchOffsetsRequest {
        group: group.group_id.clone(),
        member_id: group.member_id.filter(|member| !member.is_empty()),
        member_epoch: group.member_epoch,
        partitions,
        require_stable,
    });
    let (error, fetched) = match ask(api, &group.group_id, request).await {
        Ok(Reply::FetchOffsets(Ok(fetched))) => (ErrorCode::None, fetched),
        Ok(Reply::FetchOffsets(Err(error))) => (error, Vec::new()),
        Ok(other) => panic!(
            "{}: OffsetFetch was answered with {other:?}",
            group.group_id
        ),
        Err(error) => (error, Vec::new()),
    };
    wire::OffsetFetchResponseGroup {
        group_id: group.group_id,
        topics: by_topic(api, fetched),
        error_code: error.code(),
        ..Default::default()
    }
}

/// Partitions of one topic follow each other.
fn by_topic(api: &Api, fetched: Vec<FetchedOffset>) -> Vec<wire::OffsetFetchResponseTopics> {
    let mut topics: Vec<wire::OffsetFetchResponseTopics> = Vec::new();
    for mut offset in fetched {
        forget_if_of_a_namesake(api, &mut offset);
        if topics.last().is_none_or(|topic| topic.name != offset.topic) {
            topics.push(wire::OffsetFetchResponseTopics {
                name: offset.topic.clone(),
                ..Default::default()
            });
        }
        let topic = topics.last_mut().expect("pushed above");
        topic.partitions.push(wire::OffsetFetchResponsePartitions {
            partition_index: offset.partition,
            committed_offset: offset.offset,
            committed_leader_epoch: offset.leader_epoch.map_or(-1, |epoch| epoch.0),
            metadata: Some(offset.metadata),
            error_code: offset.error.code(),
            ..Default::default()
        });
    }
    topics
}

/// The topic that the offset was committed for is gone, and another one has its name (KAFKA-19154).
fn forget_if_of_a_namesake(api: &Api, offset: &mut FetchedOffset) {
    let current = api.metadata.read(|image| image.topic_id(&offset.topic));
    let is_other = current.is_some_and(|current| current != offset.topic_id);
    if is_other && offset.topic_id != Uuid::ZERO && !mutant!(G_16) {
        probe!("offset fetch: an offset of a deleted topic");
        offset.offset = -1;
        offset.leader_epoch = None;
        offset.metadata.clear();
    }
}

pub async fn delete(
    api: Arc<Api>,
    request: wire::OffsetDeleteRequest,
) -> wire::OffsetDeleteResponse {
    let partitions = request.topics.iter().flat_map(|topic| {
        let partitions = topic.partitions.iter();
        partitions.map(|partition| (topic.name.clone(), partition.partition_index))
    });
    let delete = DeleteOffsetsRequest {
        group: request.group_id.clone(),
        partitions: partitions.collect(),
    };
    let deleted = match ask(&api, &request.group_id, Request::DeleteOffsets(delete)).await {
        Ok(Reply::DeleteOffsets(deleted)) => deleted,
        Ok(other) => panic!(
            "{}: OffsetDelete was answered with {other:?}",
            request.group_id
        ),
        Err(error) => Err(error),
    };
    let errors = match deleted {
        Ok(errors) => errors,
        Err(error) => {
            return wire::OffsetDeleteResponse {
                error_code: error.code(),
                ..Default::default()
            };
        }
    };
    let mut errors = errors.into_iter();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(errors.by_ref());
        let partitions = partitions.map(|(partition, error)| wire::OffsetDeleteResponsePartition {
            partition_index: partition.partition_index,
            error_code: error.code(),
            ..Default::default()
        });
        wire::OffsetDeleteResponseTopic {
            partitions: partitions.collect(),
            name: topic.name,
            ..Default::default()
        }
    });
    wire::OffsetDeleteResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}
