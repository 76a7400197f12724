//! Fetch for followers and consumers: a read of each partition of the session, repeated until there is enough
//! or the wait is over.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use broker_core::fetch_session::{
    Context, FetchParams, Finished, Outcome, Request, SessionPartition, SessionTopic,
};
use broker_core::replica::{ConsumerFetch, FollowerFetch};
use broker_env::time::timeout;
use broker_probe::probe;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::frame::decode_request;
use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, TopicIdPartition, Uuid};
use broker_storage::AbortedTxn;
use bytes::Bytes;

use super::{Api, RawRequest, encode_chunks, leader_hint, raft_wire};
use crate::connection::Answer;
use crate::partition::{FetchRead, Isolation, Partition, ReadLimits};
use crate::replica_manager::ReplicaManager;
use crate::replication_quotas::{ReplicationQuotas, Side};
use crate::waiters::Waiter;

/// Who reads, and what of one partition.
enum Reader {
    Follower(FollowerFetch),
    Consumer(ConsumerFetch),
}

/// One partition of the session.
struct Asked {
    id: TopicIdPartition,
    partition: Option<Arc<Partition>>,
    reader: Reader,
    max_bytes: usize,
    /// For a follower, and listed in `leader.replication.throttled.replicas`.
    throttled: bool,
}

struct Limits {
    min_bytes: usize,
    max_bytes: usize,
    /// The live brokers in the consumer's rack, where one of them should serve it.
    same_rack: BTreeSet<NodeId>,
    isolation: Isolation,
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
    match fetch(api, request, version).await {
        Ok(response) => response,
        Err(error) => wire::FetchResponse {
            error_code: error.code(),
            ..Default::default()
        },
    }
}

/// # Errors
/// For the request as a whole.
async fn fetch(
    api: &Api,
    request: wire::FetchRequest,
    version: i16,
) -> Result<wire::FetchResponse, ErrorCode> {
    if raft_wire::is_metadata_fetch(&request) {
        return Err(ErrorCode::InvalidRequest);
    }
    let replicas = api.replicas.as_ref().ok_or(ErrorCode::InvalidRequest)?;
    let context = replicas
        .sessions
        .begin(session_request(&request, version))?;
    let asked = ask(api, &request, &context, version);
    let limits = Limits {
        min_bytes: usize::try_from(request.min_bytes).unwrap_or(0),
        max_bytes: usize::try_from(i64::from(request.max_bytes).min(api.config.fetch_max_bytes))
            .unwrap_or(0),
        same_rack: same_rack(api, &request, version),
        isolation: Isolation::from_wire(request.isolation_level),
    };
    let wait = Duration::from_millis(u64::try_from(request.max_wait_ms).unwrap_or(0));
    let reads = read_until_enough(api, &asked, &limits, wait).await;
    count_throttled(replicas, &asked, &reads);
    let outcomes: Vec<Outcome> = reads.iter().map(outcome).collect();
    let finished = replicas.sessions.finish(&context, &outcomes)?;
    Ok(respond(api, &context, &finished, &asked, reads, version))
}

/// Empty unless `replica.selector.class` is the rack-aware one and the consumer names its rack.
fn same_rack(api: &Api, request: &wire::FetchRequest, version: i16) -> BTreeSet<NodeId> {
    let rack = &request.rack_id;
    let by_rack = api.config.selects_replicas_by_rack() && !rack.is_empty();
    if !by_rack || replica_id(request, version) >= 0 {
        return BTreeSet::new();
    }
    api.metadata.read(|image| {
        let brokers = image.unfenced_brokers();
        let there = brokers.filter(|broker| broker.rack.as_ref() == Some(rack));
        there.map(|broker| broker.id).collect()
    })
}

fn replica_id(request: &wire::FetchRequest, version: i16) -> i32 {
    match version {
        15.. => request.replica_state.replica_id,
        _ => request.replica_id,
    }
}

fn session_request(request: &wire::FetchRequest, version: i16) -> Request {
    let name = |topic: &str, topic_id: Uuid| match version {
        13.. => SessionTopic::Id(topic_id),
        _ => SessionTopic::Name(topic.to_string()),
    };
    let mut partitions = Vec::new();
    for topic in &request.topics {
        for wanted in &topic.partitions {
            let partition = SessionPartition {
                topic: name(&topic.topic, topic.topic_id),
                partition: wanted.partition,
            };
            partitions.push((partition, params(wanted)));
        }
    }
    let forgotten = request.forgotten_topics_data.iter().flat_map(|topic| {
        topic.partitions.iter().map(|partition| SessionPartition {
            topic: name(&topic.topic, topic.topic_id),
            partition: *partition,
        })
    });
    Request {
        session_id: request.session_id,
        session_epoch: request.session_epoch,
        privileged: replica_id(request, version) >= 0,
        uses_topic_ids: version >= 13,
        forgotten: forgotten.collect(),
        partitions,
    }
}

fn params(wanted: &wire::FetchPartition) -> FetchParams {
    let epoch = |epoch: i32| (epoch >= 0).then_some(LeaderEpoch(epoch));
    FetchParams {
        current_leader_epoch: epoch(wanted.current_leader_epoch),
        fetch_offset: wanted.fetch_offset,
        last_fetched_epoch: epoch(wanted.last_fetched_epoch),
        log_start: wanted.log_start_offset,
        max_bytes: wanted.partition_max_bytes,
    }
}

fn ask(api: &Api, request: &wire::FetchRequest, context: &Context, version: i16) -> Vec<Asked> {
    let replica_id = replica_id(request, version);
    let mut asked = Vec::with_capacity(context.partitions.len());
    for (partition, params) in &context.partitions {
        let topic_id = match &partition.topic {
            SessionTopic::Id(id) => *id,
            SessionTopic::Name(name) => api
                .metadata
                .read(|image| image.topic_id(name))
                .unwrap_or(Uuid::ZERO),
        };
        let id = TopicIdPartition {
            topic_id,
            partition: partition.partition,
        };
        let reader = if replica_id >= 0 {
            Reader::Follower(FollowerFetch {
                follower: NodeId(replica_id),
                broker_epoch: BrokerEpoch(request.replica_state.replica_epoch),
                current_leader_epoch: params.current_leader_epoch,
                fetch_offset: params.fetch_offset,
                last_fetched_epoch: params.last_fetched_epoch,
                log_start: params.log_start,
            })
        } else {
            Reader::Consumer(ConsumerFetch {
                current_leader_epoch: params.current_leader_epoch,
                fetch_offset: params.fetch_offset,
                last_fetched_epoch: params.last_fetched_epoch,
                // KIP-392: who can name a rack may read from followers.
                leader_only: version < 11,
            })
        };
        let partition = api
            .replicas
            .as_ref()
            .and_then(|replicas| replicas.partition(id));
        let throttled = replica_id >= 0
            && partition
                .as_ref()
                .is_some_and(|partition| partition.throttled().leader);
        asked.push(Asked {
            id,
            partition,
            reader,
            throttled,
            max_bytes: usize::try_from(params.max_bytes).unwrap_or(0),
        });
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
    let quotas = api.replicas.as_ref().map(|replicas| &replicas.quotas);
    let mut first = true;
    let waiter = Waiter::new();
    loop {
        let mut reads = read_all(quotas, asked, limits, first);
        if enough(&reads, limits) || api.env.now() >= deadline {
            return reads;
        }
        // Registered before the second look: nothing that happens in between is missed.
        for one in asked {
            register(one, &waiter);
        }
        reads = read_all(quotas, asked, limits, false);
        if enough(&reads, limits) {
            return reads;
        }
        drop(reads);
        first = false;
        let remaining = deadline.saturating_since(api.env.now());
        let _woken_or_over = timeout(&api.env, remaining, waiter.woken()).await;
    }
}

/// What throttled replicas take counts, in sync or not (KIP-73).
fn count_throttled(replicas: &ReplicaManager, asked: &[Asked], reads: &[ReadResult]) {
    let mut bytes = 0;
    for (one, read) in asked.iter().zip(reads) {
        if one.throttled
            && let Ok(read) = read
        {
            bytes += read.records.len();
        }
    }
    if bytes > 0 {
        replicas.quotas.record(Side::Leader, bytes);
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
fn read_all(
    quotas: Option<&ReplicationQuotas>,
    asked: &[Asked],
    limits: &Limits,
    count_followers: bool,
) -> Vec<ReadResult> {
    let mut left = limits.max_bytes;
    let mut empty = true;
    let mut reads = Vec::with_capacity(asked.len());
    for one in asked {
        let waits = one.throttled
            && !is_in_sync(one)
            && quotas.is_some_and(|quotas| quotas.is_exceeded(Side::Leader));
        if waits {
            probe!("fetch: a lagging follower is throttled");
        }
        let read_limits = ReadLimits {
            max_bytes: if waits { 0 } else { left.min(one.max_bytes) },
            min_one_message: empty && !waits,
        };
        let read = read_one(one, limits, read_limits, count_followers);
        if let Ok(read) = &read {
            left = left.saturating_sub(read.records.len());
            empty &= read.records.is_empty();
        }
        reads.push(read);
    }
    reads
}

fn is_in_sync(asked: &Asked) -> bool {
    let (Some(partition), Reader::Follower(fetch)) = (&asked.partition, &asked.reader) else {
        return false;
    };
    partition.with_core(|core| core.is_in_isr(fetch.follower))
}

fn read_one(
    asked: &Asked,
    limits: &Limits,
    read_limits: ReadLimits,
    count_followers: bool,
) -> ReadResult {
    let partition = asked
        .partition
        .as_ref()
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    match &asked.reader {
        Reader::Follower(fetch) if count_followers => partition.follower_fetch(*fetch, read_limits),
        Reader::Follower(fetch) => partition.read_for_follower(fetch, read_limits),
        Reader::Consumer(fetch) => {
            let (same_rack, isolation) = (&limits.same_rack, limits.isolation);
            partition.read_for_consumer(fetch, same_rack, isolation, read_limits)
        }
    }
}

/// Errors, divergence and a preferred replica are told at once.
fn enough(reads: &[ReadResult], limits: &Limits) -> bool {
    let mut bytes = 0;
    for read in reads {
        match read {
            Ok(read) if !has_news(read) => bytes += read.records.len(),
            Ok(_) | Err(_) => return true,
        }
    }
    bytes >= limits.min_bytes
}

fn has_news(read: &FetchRead) -> bool {
    read.answer.diverging.is_some() || read.preferred_read_replica.is_some()
}

/// What a session remembers of a read.
fn outcome(read: &ReadResult) -> Outcome {
    match read {
        Ok(read) => Outcome {
            high_watermark: read.answer.high_watermark,
            log_start: read.answer.log_start,
            has_records: !read.records.is_empty(),
            has_news: has_news(read),
            failed: false,
        },
        Err(_) => Outcome {
            high_watermark: -1,
            log_start: -1,
            has_records: false,
            has_news: false,
            failed: true,
        },
    }
}

fn respond(
    api: &Api,
    context: &Context,
    finished: &Finished,
    asked: &[Asked],
    reads: Vec<ReadResult>,
    version: i16,
) -> wire::FetchResponse {
    let mut responses: Vec<wire::FetchableTopicResponse> = Vec::new();
    let mut places: BTreeMap<&SessionTopic, usize> = BTreeMap::new();
    let partitions = context.partitions.iter().zip(&finished.included);
    for (((partition, _), included), (one, read)) in partitions.zip(asked.iter().zip(reads)) {
        if !included {
            continue;
        }
        let place = *places.entry(&partition.topic).or_insert_with(|| {
            responses.push(topic_response(&partition.topic));
            responses.len() - 1
        });
        let data = partition_data(api, one, read, version);
        responses[place].partitions.push(data);
    }
    wire::FetchResponse {
        session_id: finished.session_id,
        responses,
        ..Default::default()
    }
}

fn topic_response(topic: &SessionTopic) -> wire::FetchableTopicResponse {
    let (topic, topic_id) = match topic {
        SessionTopic::Id(id) => (String::new(), *id),
        SessionTopic::Name(name) => (name.clone(), Uuid::ZERO),
    };
    wire::FetchableTopicResponse {
        topic,
        topic_id,
        ..Default::default()
    }
}

fn aborted_transactions(aborted: Vec<AbortedTxn>) -> Vec<wire::AbortedTransaction> {
    let each = aborted.into_iter();
    each.map(|txn| wire::AbortedTransaction {
        producer_id: txn.producer_id,
        first_offset: txn.first_offset,
        ..Default::default()
    })
    .collect()
}

fn partition_data(
    api: &Api,
    asked: &Asked,
    read: ReadResult,
    version: i16,
) -> wire::FetchPartitionData {
    let mut data = wire::FetchPartitionData {
        partition_index: asked.id.partition,
        high_watermark: -1,
        aborted_transactions: None,
        records: Some(Bytes::new()),
        ..Default::default()
    };
    match read {
        Ok(read) => {
            data.high_watermark = read.answer.high_watermark;
            data.last_stable_offset = read.last_stable_offset;
            data.aborted_transactions = read.aborted.map(aborted_transactions);
            data.log_start_offset = read.answer.log_start;
            data.records = Some(read.records);
            data.preferred_read_replica = read.preferred_read_replica.map_or(-1, |node| node.0);
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
