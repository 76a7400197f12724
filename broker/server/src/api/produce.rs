//! Produce: every partition on its own, the answer when the slowest has one.
//!
//! What belongs to a transaction waits for its coordinator first, see `transactional`.

mod transactional;

use std::sync::Arc;
use std::time::Duration;

use broker_env::time::timeout;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::frame::decode_request;
use broker_protocol::ids::{TopicIdPartition, Uuid};
use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::{Api, RawRequest, encode, leader_hint};
use crate::connection::{Answer, SHARED_BYTES_MAX};
use crate::internal_topics::is_internal;
use crate::partition::{Partition, ProduceBatch, ProduceReply};

/// The first version whose clients know zstd (KIP-110).
const ZSTD_VERSION: i16 = 7;

/// One partition of the request, started.
struct Started {
    index: i32,
    id: TopicIdPartition,
    answer: Pending,
}

enum Pending {
    Refused(ErrorCode, Option<String>),
    /// Valid, and not appended yet.
    Ready(Arc<Partition>, Box<ProduceBatch>),
    Waiting(oneshot::Receiver<ProduceReply>),
}

struct StartedTopic {
    name: String,
    topic_id: Uuid,
    partitions: Vec<Started>,
}

pub async fn answer(api: Arc<Api>, raw: RawRequest) -> Answer {
    let version = raw.version;
    let frame_bytes = raw.frame.len();
    let request = match decode_request::<wire::ProduceRequest>(raw.frame, version) {
        Ok((_, request)) => request,
        Err(error) => return Answer::Close(format!("malformed Produce request: {error}")),
    };
    let acks = request.acks;
    let limit = Duration::from_millis(u64::try_from(request.timeout_ms).unwrap_or(0));
    let transactional_id = request.transactional_id.clone();
    let mut topics = start(&api, request, version, frame_bytes);
    if let Some(transactional_id) = transactional_id {
        transactional::append(&api, transactional_id, (version, acks), &mut topics).await;
    }
    if acks == 0 {
        return silent(&topics);
    }
    let response = finish(&api, topics, limit, version >= 10).await;
    encode::<wire::ProduceRequest>(&response, version, raw.correlation_id)
}

/// With acks=0 an error can only be told by closing the connection, as Kafka does.
fn silent(topics: &[StartedTopic]) -> Answer {
    let refused = topics
        .iter()
        .flat_map(|topic| &topic.partitions)
        .find_map(|started| match &started.answer {
            Pending::Refused(code, _) => Some(code),
            Pending::Waiting(_) | Pending::Ready(..) => None,
        });
    match refused {
        Some(code) => Answer::Close(format!("produce with acks=0 failed: {}", code.name())),
        None => Answer::Silent,
    }
}

/// Appends what is in no transaction; runs without waiting, so that requests of a connection append in their
/// order.
fn start(
    api: &Api,
    request: wire::ProduceRequest,
    version: i16,
    frame_bytes: usize,
) -> Vec<StartedTopic> {
    let acks = request.acks;
    let transactional = request.transactional_id.is_some();
    let mut topics = Vec::with_capacity(request.topic_data.len());
    for data in request.topic_data {
        let (name, topic_id) = api.metadata.read(|image| match version {
            13.. => (
                image.topic_name(data.topic_id).unwrap_or("").to_string(),
                data.topic_id,
            ),
            _ => (
                data.name.clone(),
                image.topic_id(&data.name).unwrap_or(Uuid::ZERO),
            ),
        });
        let mut partitions = Vec::with_capacity(data.partition_data.len());
        for partition in data.partition_data {
            let id = TopicIdPartition {
                topic_id,
                partition: partition.index,
            };
            let answer = if !(-1..=1).contains(&acks) {
                Pending::Refused(ErrorCode::InvalidRequiredAcks, None)
            } else {
                let records = own(partition.records.unwrap_or_default(), frame_bytes);
                match validate(api, id, records, version) {
                    Pending::Ready(partition, batch) if !transactional => {
                        append(&partition, *batch, acks)
                    }
                    other => other,
                }
            };
            partitions.push(Started {
                index: partition.index,
                id,
                answer,
            });
        }
        topics.push(StartedTopic {
            name,
            topic_id,
            partitions,
        });
    }
    topics
}

/// A record of a transaction says which in its request.
fn append(partition: &Arc<Partition>, batch: ProduceBatch, acks: i16) -> Pending {
    if batch.is_transactional() {
        let message = "a transactional record without a transactional id".to_string();
        return Pending::Refused(ErrorCode::TransactionalIdAuthorizationFailed, Some(message));
    }
    Pending::Waiting(partition.produce(batch, acks))
}

/// The records in a buffer that the log may keep: the frame's if they are most of it and nobody else reads it,
/// else a copy, because a few bytes must not keep a large buffer alive.
fn own(records: Bytes, frame_bytes: usize) -> BytesMut {
    if frame_bytes < SHARED_BYTES_MAX || records.len() < frame_bytes / 2 {
        return BytesMut::from(records.as_ref());
    }
    records
        .try_into_mut()
        .unwrap_or_else(|shared| BytesMut::from(shared.as_ref()))
}

fn validate(api: &Api, id: TopicIdPartition, records: BytesMut, version: i16) -> Pending {
    let Some(partition) = api
        .replicas
        .as_ref()
        .and_then(|replicas| replicas.partition(id))
    else {
        return Pending::Refused(not_hosted(api, id, version), None);
    };
    if is_internal(&partition.name.topic) {
        // What is in there is for coordinators to say.
        return Pending::Refused(ErrorCode::InvalidTopicException, None);
    }
    let config = partition.topic_config();
    match ProduceBatch::validate(records, &config, api.env.clock.wall()) {
        Ok(batch) if version < ZSTD_VERSION && batch.is_zstd() => {
            let message = format!("zstd needs Produce version {ZSTD_VERSION}");
            Pending::Refused(ErrorCode::UnsupportedCompressionType, Some(message))
        }
        Ok(batch) => Pending::Ready(partition, Box::new(batch)),
        Err((code, message)) => Pending::Refused(code, Some(message)),
    }
}

/// The partition may exist elsewhere, or not at all.
fn not_hosted(api: &Api, id: TopicIdPartition, version: i16) -> ErrorCode {
    let known = api.metadata.read(|image| image.partition(id).is_some());
    let topic_known = api
        .metadata
        .read(|image| image.topic_by_id(id.topic_id).is_some());
    match (known, topic_known) {
        (true, _) => super::not_hosted(api, id),
        (false, false) if version >= 13 => ErrorCode::UnknownTopicId,
        _ => ErrorCode::UnknownTopicOrPartition,
    }
}

async fn finish(
    api: &Api,
    topics: Vec<StartedTopic>,
    limit: Duration,
    hints: bool,
) -> wire::ProduceResponse {
    let deadline = api.env.now() + limit;
    let mut responses = Vec::with_capacity(topics.len());
    for topic in topics {
        let mut partition_responses = Vec::with_capacity(topic.partitions.len());
        for started in topic.partitions {
            let remaining = deadline.saturating_since(api.env.now());
            partition_responses.push(finish_partition(api, started, remaining, hints).await);
        }
        responses.push(wire::TopicProduceResponse {
            name: topic.name,
            topic_id: topic.topic_id,
            partition_responses,
            ..Default::default()
        });
    }
    wire::ProduceResponse {
        responses,
        ..Default::default()
    }
}

/// `hints`: this version can name the leader to try instead.
async fn finish_partition(
    api: &Api,
    started: Started,
    limit: Duration,
    hints: bool,
) -> wire::PartitionProduceResponse {
    let (result, message) = match started.answer {
        Pending::Refused(code, message) => (Err(code), message),
        Pending::Waiting(answer) => (wait(api, answer, limit).await, None),
        Pending::Ready(partition, _) => panic!("{}: a batch was left behind", partition.name),
    };
    let mut response = wire::PartitionProduceResponse {
        index: started.index,
        base_offset: -1,
        error_message: message,
        ..Default::default()
    };
    match result {
        Ok(produced) => {
            response.base_offset = produced.base_offset;
            response.log_start_offset = produced.log_start;
        }
        Err(error) => {
            response.error_code = error.code();
            if hints
                && error == ErrorCode::NotLeaderOrFollower
                && let Some((leader_id, leader_epoch)) = leader_hint(api, started.id)
            {
                response.current_leader = wire::ProduceLeaderIdAndEpoch {
                    leader_id,
                    leader_epoch,
                    ..Default::default()
                };
            }
        }
    }
    response
}

/// The record stays in the log when the time is over: the outcome is unknown to the client.
async fn wait(
    api: &Api,
    mut answer: oneshot::Receiver<ProduceReply>,
    limit: Duration,
) -> ProduceReply {
    if let Ok(reply) = answer.try_recv() {
        return reply;
    }
    match timeout(&api.env, limit, answer).await {
        Ok(Ok(reply)) => reply,
        Ok(Err(_)) => Err(ErrorCode::NotLeaderOrFollower),
        Err(_) => Err(ErrorCode::RequestTimedOut),
    }
}
