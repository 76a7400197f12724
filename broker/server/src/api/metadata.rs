//! Metadata and DescribeTopicPartitions: the published image as clients see it.

use std::sync::Arc;

use broker_core::metadata::{PartitionRegistration, TopicImage, topic_name_problem};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{NodeId, Uuid};

use super::{Api, live_brokers};
use crate::internal_topics::is_internal;

const TOPIC_PARTITIONS_MAX: usize = 2000;

/// Which topics a request names.
enum Wanted {
    All,
    Some(Vec<(Option<String>, Uuid)>),
}

pub async fn handle(
    api: Arc<Api>,
    request: wire::MetadataRequest,
    version: i16,
) -> wire::MetadataResponse {
    let create =
        api.config.auto_create_topics_enable && (version < 4 || request.allow_auto_topic_creation);
    let wanted = wanted(request, version);
    let mut topics = describe(&api, &wanted, version);
    let missing: Vec<String> = topics
        .iter()
        .filter(|topic| topic.error_code == ErrorCode::UnknownTopicOrPartition.code())
        .filter_map(|topic| topic.name.clone())
        .collect();
    if create && !missing.is_empty() {
        create_missing(&api, &mut topics, missing).await;
    }
    let listener = api.config.inter_broker_listener();
    wire::MetadataResponse {
        brokers: live_brokers(&api, &listener),
        cluster_id: Some(api.cluster_id.clone()),
        controller_id: any_live_broker(&api),
        topics,
        ..Default::default()
    }
}

/// Clients send admin requests to "the controller", which in KRaft any broker can be: it forwards.
fn any_live_broker(api: &Api) -> i32 {
    let me = NodeId(api.config.node_id);
    api.metadata.read(|image| {
        let live = |broker: NodeId| image.broker(broker).is_some_and(|broker| !broker.fenced);
        if live(me) {
            me.0
        } else {
            image
                .unfenced_brokers()
                .next()
                .map_or(-1, |broker| broker.id.0)
        }
    })
}

fn wanted(request: wire::MetadataRequest, version: i16) -> Wanted {
    match request.topics {
        None => Wanted::All,
        // In version 0 an empty list means all topics.
        Some(topics) if topics.is_empty() && version == 0 => Wanted::All,
        Some(topics) => Wanted::Some(
            topics
                .into_iter()
                .map(|topic| (topic.name, topic.topic_id))
                .collect(),
        ),
    }
}

fn describe(api: &Api, wanted: &Wanted, version: i16) -> Vec<wire::MetadataResponseTopic> {
    api.metadata.read(|image| {
        let alive = |node: NodeId| image.broker(node).is_some_and(|broker| !broker.fenced);
        let describe_topic = |topic: &TopicImage| describe_topic(topic, version, &alive);
        match wanted {
            Wanted::All => image.topics().map(describe_topic).collect(),
            Wanted::Some(names) => names
                .iter()
                .map(|(name, id)| {
                    let topic = match name {
                        Some(name) => image.topic(name),
                        None => image.topic_by_id(*id),
                    };
                    topic.map_or_else(|| unknown_topic(name.clone(), *id), describe_topic)
                })
                .collect(),
        }
    })
}

fn unknown_topic(name: Option<String>, topic_id: Uuid) -> wire::MetadataResponseTopic {
    let error = match &name {
        None => ErrorCode::UnknownTopicId,
        Some(name) if topic_name_problem(name).is_some() => ErrorCode::InvalidTopicException,
        Some(_) => ErrorCode::UnknownTopicOrPartition,
    };
    wire::MetadataResponseTopic {
        error_code: error.code(),
        name,
        topic_id,
        ..Default::default()
    }
}

fn describe_topic(
    topic: &TopicImage,
    version: i16,
    alive: &impl Fn(NodeId) -> bool,
) -> wire::MetadataResponseTopic {
    let partitions = topic.partitions.iter().map(|(index, partition)| {
        let leader = partition.leader.filter(|leader| alive(*leader));
        // The newer code for a leaderless partition came with version 2.
        let leaderless = if version < 2 {
            ErrorCode::ReplicaNotAvailable
        } else {
            ErrorCode::LeaderNotAvailable
        };
        wire::MetadataResponsePartition {
            error_code: if leader.is_some() {
                0
            } else {
                leaderless.code()
            },
            partition_index: *index,
            leader_id: leader.map_or(-1, |leader| leader.0),
            leader_epoch: partition.leader_epoch.0,
            replica_nodes: ids(&partition.replicas),
            isr_nodes: ids(&partition.isr),
            offline_replicas: offline(partition, alive),
            ..Default::default()
        }
    });
    wire::MetadataResponseTopic {
        name: Some(topic.name.clone()),
        topic_id: topic.id,
        is_internal: is_internal(&topic.name),
        partitions: partitions.collect(),
        ..Default::default()
    }
}

fn offline(partition: &PartitionRegistration, alive: &impl Fn(NodeId) -> bool) -> Vec<i32> {
    partition
        .replicas
        .iter()
        .filter(|replica| !alive(**replica))
        .map(|replica| replica.0)
        .collect()
}

fn ids(nodes: &[NodeId]) -> Vec<i32> {
    nodes.iter().map(|node| node.0).collect()
}

/// Creates topics on first use; the client gets LEADER_NOT_AVAILABLE and asks again, as in Kafka.
async fn create_missing(
    api: &Arc<Api>,
    topics: &mut [wire::MetadataResponseTopic],
    missing: Vec<String>,
) {
    let creatable = |name: &String| wire::CreatableTopic {
        name: name.clone(),
        num_partitions: -1,
        replication_factor: -1,
        ..Default::default()
    };
    let request = wire::CreateTopicsRequest {
        topics: missing.iter().map(creatable).collect(),
        timeout_ms: 10_000,
        ..Default::default()
    };
    let created = api.forwarder.call(&request, 7).await;
    for topic in topics.iter_mut().filter(|topic| {
        topic
            .name
            .as_ref()
            .is_some_and(|name| missing.contains(name))
    }) {
        let result = created.as_ref().and_then(|response| {
            response
                .topics
                .iter()
                .find(|result| Some(&result.name) == topic.name.as_ref())
        });
        let code = result.map_or(ErrorCode::LeaderNotAvailable.code(), |result| {
            result.error_code
        });
        let made = code == 0 || code == ErrorCode::TopicAlreadyExists.code();
        topic.error_code = if made {
            ErrorCode::LeaderNotAvailable.code()
        } else {
            code
        };
    }
}

/// Paged: topics in name order, at most `response_partition_limit` partitions, then a cursor (KIP-966).
pub fn describe_topic_partitions(
    api: &Api,
    request: &wire::DescribeTopicPartitionsRequest,
) -> wire::DescribeTopicPartitionsResponse {
    let limit = usize::try_from(request.response_partition_limit)
        .unwrap_or(0)
        .clamp(1, TOPIC_PARTITIONS_MAX);
    let cursor = request
        .cursor
        .as_ref()
        .map(|cursor| (cursor.topic_name.as_str(), cursor.partition_index));
    api.metadata.read(|image| {
        let alive = |node: NodeId| image.broker(node).is_some_and(|broker| !broker.fenced);
        let mut names: Vec<&str> = if request.topics.is_empty() {
            image.topic_ids().keys().map(String::as_str).collect()
        } else {
            request
                .topics
                .iter()
                .map(|topic| topic.name.as_str())
                .collect()
        };
        names.sort_unstable();
        names.dedup();
        names.retain(|name| cursor.is_none_or(|(topic, _)| *name >= topic));
        let mut response = wire::DescribeTopicPartitionsResponse {
            next_cursor: None,
            ..Default::default()
        };
        let mut left = limit;
        for name in names {
            if left == 0 {
                response.next_cursor = Some(cursor_at(name, 0));
                break;
            }
            let Some(topic) = image.topic(name) else {
                response
                    .topics
                    .push(wire::DescribeTopicPartitionsResponseTopic {
                        error_code: ErrorCode::UnknownTopicOrPartition.code(),
                        name: Some(name.to_string()),
                        ..Default::default()
                    });
                continue;
            };
            let from = cursor
                .filter(|(topic, _)| *topic == name)
                .map_or(0, |(_, partition)| partition);
            let rest: Vec<_> = topic.partitions.range(from..).collect();
            let page = rest
                .iter()
                .take(left)
                .map(|(index, partition)| describe_partition(**index, partition, &alive));
            response
                .topics
                .push(wire::DescribeTopicPartitionsResponseTopic {
                    name: Some(name.to_string()),
                    topic_id: topic.id,
                    is_internal: is_internal(name),
                    partitions: page.collect(),
                    ..Default::default()
                });
            if rest.len() > left {
                response.next_cursor = Some(cursor_at(name, *rest[left].0));
                break;
            }
            left -= rest.len();
        }
        response
    })
}

fn cursor_at(topic: &str, partition: i32) -> wire::DescribeTopicPartitionsResponseCursor {
    wire::DescribeTopicPartitionsResponseCursor {
        topic_name: topic.to_string(),
        partition_index: partition,
        ..Default::default()
    }
}

fn describe_partition(
    index: i32,
    partition: &PartitionRegistration,
    alive: &impl Fn(NodeId) -> bool,
) -> wire::DescribeTopicPartitionsResponsePartition {
    let leader = partition.leader.filter(|leader| alive(*leader));
    let code = if leader.is_some() {
        ErrorCode::None
    } else {
        ErrorCode::LeaderNotAvailable
    };
    wire::DescribeTopicPartitionsResponsePartition {
        error_code: code.code(),
        partition_index: index,
        leader_id: leader.map_or(-1, |leader| leader.0),
        leader_epoch: partition.leader_epoch.0,
        replica_nodes: ids(&partition.replicas),
        isr_nodes: ids(&partition.isr),
        eligible_leader_replicas: Some(ids(&partition.eligible_leader_replicas)),
        last_known_elr: Some(ids(&partition.last_known_elr)),
        offline_replicas: offline(partition, alive),
        ..Default::default()
    }
}
