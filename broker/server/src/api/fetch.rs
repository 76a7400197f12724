//! Fetch for followers and consumers: a read of each partition, repeated until there is enough or the wait
//! is over.

use std::sync::Arc;
use std::time::Duration;

use broker_core::replica::{ConsumerFetch, FollowerFetch};
use broker_env::time::timeout;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::frame::decode_request;
use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, TopicIdPartition, Uuid};
use bytes::Bytes;

use super::{Api, RawRequest, encode_chunks, leader_hint, raft_wire};
use crate::connection::Answer;
use crate::partition::{FetchRead, Partition, ReadLimits};
use crate::waiters::Waiter;

/// Who reads, and what of one partition.
enum Reader {
    Follower(FollowerFetch),
    Consumer(ConsumerFetch),
}

/// One partition of the request.
struct Asked {
    topic: usize,
    index: i32,
    id: TopicIdPartition,
    partition: Option<Arc<Partition>>,
    reader: Reader,
    max_bytes: usize,
}

struct Limits {
    min_bytes: usize,
    max_bytes: usize,
}

type ReadResult = Result<FetchRead, ErrorCode>;

pub async fn answer(api: Arc<Api>, raw: RawRequest) -> Answer {
    let version = raw.version;
    let request = match decode_request::<wire::FetchRequest>(raw.frame, version) {
        Ok((_, request)) => request,
        Err(error) => return Answer::Close(format!("malformed Fetch request: {error}")),
    };
    let response = handle(&api, request, version).await;
    encode_chunks::<wire::FetchRequest>(&response, version, raw.correlation_id)
}

async fn handle(api: &Api, request: wire::FetchRequest, version: i16) -> wire::FetchResponse {
    // Sessions are not kept: every fetch is a full one, which the protocol allows (KIP-227).
    if request.session_id != 0 {
        let error_code = ErrorCode::FetchSessionIdNotFound.code();
        return wire::FetchResponse {
            error_code,
            ..Default::default()
        };
    }
    if raft_wire::is_metadata_fetch(&request) {
        let error_code = ErrorCode::InvalidRequest.code();
        return wire::FetchResponse {
            error_code,
            ..Default::default()
        };
    }
    let names: Vec<(String, Uuid)> = request
        .topics
        .iter()
        .map(|topic| resolve(api, topic, version))
        .collect();
    let asked = ask(api, &request, &names, version);
    let limits = Limits {
        min_bytes: usize::try_from(request.min_bytes).unwrap_or(0),
        max_bytes: usize::try_from(i64::from(request.max_bytes).min(api.config.fetch_max_bytes))
            .unwrap_or(0),
    };
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let reads = read_until_enough(api, &asked, &limits, wait).await;
    respond(api, &names, &asked, reads, version)
}

fn resolve(api: &Api, topic: &wire::FetchTopic, version: i16) -> (String, Uuid) {
    api.metadata.read(|image| match version {
        13.. => (
            image.topic_name(topic.topic_id).unwrap_or("").to_string(),
            topic.topic_id,
        ),
        _ => (
            topic.topic.clone(),
            image.topic_id(&topic.topic).unwrap_or(Uuid::ZERO),
        ),
    })
}

fn ask(
    api: &Api,
    request: &wire::FetchRequest,
    names: &[(String, Uuid)],
    version: i16,
) -> Vec<Asked> {
    let replica_id = if version >= 15 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    let mut asked = Vec::new();
    for (topic, (wire_topic, (_, topic_id))) in request.topics.iter().zip(names).enumerate() {
        for wanted in &wire_topic.partitions {
            let id = TopicIdPartition {
                topic_id: *topic_id,
                partition: wanted.partition,
            };
            let epoch = |epoch: i32| (epoch >= 0).then_some(LeaderEpoch(epoch));
            let reader = if replica_id >= 0 {
                Reader::Follower(FollowerFetch {
                    follower: NodeId(replica_id),
                    broker_epoch: BrokerEpoch(request.replica_state.replica_epoch),
                    current_leader_epoch: epoch(wanted.current_leader_epoch),
                    fetch_offset: wanted.fetch_offset,
                    last_fetched_epoch: epoch(wanted.last_fetched_epoch),
                    log_start: wanted.log_start_offset,
                })
            } else {
                Reader::Consumer(ConsumerFetch {
                    current_leader_epoch: epoch(wanted.current_leader_epoch),
                    fetch_offset: wanted.fetch_offset,
                    last_fetched_epoch: epoch(wanted.last_fetched_epoch),
                    leader_only: true,
                })
            };
            asked.push(Asked {
                topic,
                index: wanted.partition,
                id,
                partition: api
                    .replicas
                    .as_ref()
                    .and_then(|replicas| replicas.partition(id)),
                reader,
                max_bytes: usize::try_from(wanted.partition_max_bytes).unwrap_or(0),
            });
        }
    }
    asked
}

async fn read_until_enough(
    api: &Api,
    asked: &[Asked],
    limits: &Limits,
    wait: Duration,
) -> Vec<ReadResult> {
    let deadline = api.env.now() + wait;
    let mut first = true;
    let waiter = Waiter::new();
    loop {
        let mut reads = read_all(asked, limits, first);
        if enough(&reads, limits) || api.env.now() >= deadline {
            return reads;
        }
        // Registered before the second look: nothing that happens in between is missed.
        for one in asked {
            register(one, &waiter);
        }
        reads = read_all(asked, limits, false);
        if enough(&reads, limits) {
            return reads;
        }
        drop(reads);
        first = false;
        let remaining = deadline.saturating_since(api.env.now());
        let _woken_or_over = timeout(&api.env, remaining, waiter.woken()).await;
    }
}

fn register(asked: &Asked, waiter: &Arc<Waiter>) {
    match (&asked.partition, &asked.reader) {
        (Some(partition), Reader::Follower(_)) => partition.wait_for_log_end(waiter),
        (Some(partition), Reader::Consumer(_)) => partition.wait_for_high_watermark(waiter),
        (None, _) => {}
    }
}

/// Reads the partitions in the order of the request until the answer is full. The first batch of the whole
/// answer comes even if it is over every limit (KIP-74).
fn read_all(asked: &[Asked], limits: &Limits, count_followers: bool) -> Vec<ReadResult> {
    let mut left = limits.max_bytes;
    let mut empty = true;
    let mut reads = Vec::with_capacity(asked.len());
    for one in asked {
        let read_limits = ReadLimits {
            max_bytes: left.min(one.max_bytes),
            min_one_message: empty,
        };
        let read = read_one(one, read_limits, count_followers);
        if let Ok(read) = &read {
            left = left.saturating_sub(read.records.len());
            empty &= read.records.is_empty();
        }
        reads.push(read);
    }
    reads
}

fn read_one(asked: &Asked, limits: ReadLimits, count_followers: bool) -> ReadResult {
    let partition = asked
        .partition
        .as_ref()
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    match &asked.reader {
        Reader::Follower(fetch) if count_followers => partition.follower_fetch(*fetch, limits),
        Reader::Follower(fetch) => partition.read_for_follower(fetch, limits),
        Reader::Consumer(fetch) => partition.read_for_consumer(fetch, limits),
    }
}

/// Errors and divergence are told at once.
fn enough(reads: &[ReadResult], limits: &Limits) -> bool {
    let mut bytes = 0;
    for read in reads {
        match read {
            Ok(read) if read.answer.diverging.is_none() => bytes += read.records.len(),
            Ok(_) | Err(_) => return true,
        }
    }
    bytes >= limits.min_bytes
}

fn respond(
    api: &Api,
    names: &[(String, Uuid)],
    asked: &[Asked],
    reads: Vec<ReadResult>,
    version: i16,
) -> wire::FetchResponse {
    let mut responses: Vec<wire::FetchableTopicResponse> = names
        .iter()
        .map(|(topic, topic_id)| wire::FetchableTopicResponse {
            topic: topic.clone(),
            topic_id: *topic_id,
            ..Default::default()
        })
        .collect();
    for (one, read) in asked.iter().zip(reads) {
        responses[one.topic]
            .partitions
            .push(partition_data(api, one, read, version));
    }
    wire::FetchResponse {
        responses,
        ..Default::default()
    }
}

fn partition_data(
    api: &Api,
    asked: &Asked,
    read: ReadResult,
    version: i16,
) -> wire::FetchPartitionData {
    let mut data = wire::FetchPartitionData {
        partition_index: asked.index,
        high_watermark: -1,
        aborted_transactions: None,
        records: Some(Bytes::new()),
        ..Default::default()
    };
    match read {
        Ok(read) => {
            data.high_watermark = read.answer.high_watermark;
            data.last_stable_offset = read.answer.high_watermark;
            data.log_start_offset = read.answer.log_start;
            data.records = Some(read.records);
            if let Some(diverging) = read.answer.diverging {
                data.diverging_epoch = wire::FetchEpochEndOffset {
                    epoch: diverging.epoch.0,
                    end_offset: diverging.end_offset,
                    ..Default::default()
                };
            }
        }
        Err(error) => {
            data.error_code = refine(api, asked, error, version).code();
            if version >= 12
                && matches!(
                    error,
                    ErrorCode::NotLeaderOrFollower | ErrorCode::FencedLeaderEpoch
                )
                && let Some((leader_id, leader_epoch)) = leader_hint(api, asked.id)
            {
                data.current_leader = wire::FetchLeaderIdAndEpoch {
                    leader_id,
                    leader_epoch,
                    ..Default::default()
                };
            }
        }
    }
    data
}

/// Not hosted here: it may be elsewhere, or the topic id may be unknown.
fn refine(api: &Api, asked: &Asked, error: ErrorCode, version: i16) -> ErrorCode {
    if asked.partition.is_some() {
        return error;
    }
    api.metadata
        .read(|image| match image.topic_by_id(asked.id.topic_id) {
            Some(_) if image.partition(asked.id).is_some() => super::not_hosted(api, asked.id),
            None if version >= 13 => ErrorCode::UnknownTopicId,
            _ => ErrorCode::UnknownTopicOrPartition,
        })
}
