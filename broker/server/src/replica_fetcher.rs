//! Followers fetch: one task per leader, one fetch at a time, in one session (KIP-227), for all partitions
//! that follow it. A partition in which nothing happens is neither asked for nor answered.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_core::fetch_session::{FetchParams, FetchSession, SessionRequest};
use broker_core::metadata::MetadataImage;
use broker_core::replica::{EpochEndOffset, FetchRequest, Fetched};
use broker_env::Env;
use broker_env::time::timeout;
use broker_probe::probe;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, TopicIdPartition, Uuid};
use tokio::sync::Notify;

use crate::config::BrokerConfig;
use crate::metadata_cache::MetadataCache;
use crate::partition::{FetchResult, Partition, fetched_batches};
use crate::peer::Peer;
use crate::replica_manager::ReplicaManager;
use crate::replication_quotas::{ReplicationQuotas, Side};

const FETCH_VERSION: i16 = 17;
/// The first with the follower's broker epoch (KIP-903), which leaders of ours insist on.
const FETCH_VERSION_MIN: i16 = 15;

/// The fetch tasks of a broker.
pub struct ReplicaFetchers {
    env: Env,
    config: Arc<BrokerConfig>,
    metadata: Arc<MetadataCache>,
    replicas: Arc<ReplicaManager>,
    lines: Mutex<BTreeMap<NodeId, Arc<Line>>>,
}

/// What a leader's task is told.
#[derive(Default)]
struct Line {
    /// Partitions whose position, epoch or leader may have changed: to be looked at before the next fetch.
    changed: Mutex<BTreeSet<TopicIdPartition>>,
    ready: Notify,
}

/// The partitions a task fetches, each with what its core asked for, and the session that repeats none of it.
#[derive(Default)]
struct Fetching {
    session: FetchSession,
    asked: BTreeMap<TopicIdPartition, (Arc<Partition>, FetchRequest)>,
    /// Had all the leader had committed, as of the last answer: never throttled.
    caught_up: BTreeSet<TopicIdPartition>,
    /// Left out while the throttle's rate is exceeded.
    throttled: BTreeSet<TopicIdPartition>,
}

impl ReplicaFetchers {
    pub fn new(
        env: Env,
        config: Arc<BrokerConfig>,
        metadata: Arc<MetadataCache>,
        replicas: Arc<ReplicaManager>,
    ) -> ReplicaFetchers {
        ReplicaFetchers {
            env,
            config,
            metadata,
            replicas,
            lines: Mutex::default(),
        }
    }

    /// The partition has something to fetch from this leader, and nothing from any other.
    pub fn ready(self: &Arc<Self>, partition: TopicIdPartition, leader: NodeId) {
        let mut lines = self.lines.lock().expect("no panic under this lock");
        for (_, other) in lines.iter().filter(|(id, _)| **id != leader) {
            other.note(partition);
        }
        if leader == NodeId::NONE || leader.0 == self.config.node_id {
            return;
        }
        let line = lines.entry(leader).or_insert_with(|| {
            let line = Arc::new(Line::default());
            self.env
                .spawn("replica fetcher", self.clone().run(leader, line.clone()));
            line
        });
        line.note(partition);
        line.ready.notify_one();
    }

    async fn run(self: Arc<Self>, leader: NodeId, line: Arc<Line>) {
        let mut peer: Option<Peer> = None;
        let mut fetching = Fetching::default();
        loop {
            self.look_at_changes(leader, &line, &mut fetching);
            if fetching.asked.is_empty() {
                self.wait(&line, &fetching).await;
                continue;
            }
            let address = self
                .metadata
                .broker_address(leader, &self.config.inter_broker_listener());
            if peer
                .as_ref()
                .is_some_and(|peer| Some(peer.address()) != address.as_ref())
            {
                peer = None;
            }
            let Some(address) = address else {
                fetching.fail_all(ErrorCode::NetworkException);
                continue;
            };
            let peer = peer.get_or_insert_with(|| {
                let client_id = format!("broker-{}-fetcher-{leader}", self.config.node_id);
                Peer::new(self.env.clone(), address, client_id)
            });
            let request = self.request(fetching.session.request());
            let wait = Duration::from_millis(millis(self.config.replica_fetch_wait_max_ms));
            let limit = wait + Duration::from_millis(millis(self.config.replica_socket_timeout_ms));
            match peer.call(&request, self.version(), limit).await {
                Ok(response) => fetching.answered(&line, &self.replicas.quotas, response),
                Err(error) => {
                    tracing::debug!(node = self.config.node_id, %leader, %error, "replica fetch failed");
                    fetching.session.failed();
                    fetching.fail_all(ErrorCode::NetworkException);
                }
            }
        }
    }

    /// As `metadata.version` has it: a leader of an older release may know no higher one.
    fn version(&self) -> i16 {
        let finalized = self.metadata.read(MetadataImage::metadata_version);
        finalized
            .fetch_request_version()
            .clamp(FETCH_VERSION_MIN, FETCH_VERSION)
    }

    /// Takes over what changed; drops what follows somebody else by now, or has nothing to ask: it will be
    /// announced when it has.
    fn look_at_changes(&self, leader: NodeId, line: &Line, fetching: &mut Fetching) {
        let mut changed =
            std::mem::take(&mut *line.changed.lock().expect("no panic under this lock"));
        changed.append(&mut fetching.throttled);
        for id in changed {
            let asked = self.replicas.partition(id).and_then(|partition| {
                let request = partition.fetch_request()?;
                (request.leader == leader).then_some((partition, request))
            });
            match asked {
                Some((partition, _)) if self.is_throttled(&partition, fetching) => {
                    probe!("replica fetcher: throttled");
                    fetching.drop_partition(id);
                    fetching.throttled.insert(id);
                }
                Some((partition, request)) => {
                    fetching.session.want(id, self.params(&request));
                    fetching.asked.insert(id, (partition, request));
                }
                None => fetching.drop_partition(id),
            }
        }
    }

    /// KIP-73: a throttled replica that lags waits while the rate is exceeded.
    fn is_throttled(&self, partition: &Partition, fetching: &Fetching) -> bool {
        partition.throttled().follower
            && !fetching.caught_up.contains(&partition.id)
            && self.replicas.quotas.is_exceeded(Side::Follower)
    }

    /// Until something is announced; with throttled partitions not for long.
    async fn wait(&self, line: &Line, fetching: &Fetching) {
        if fetching.throttled.is_empty() {
            return line.ready.notified().await;
        }
        let pause = Duration::from_millis(millis(self.config.replica_fetch_backoff_ms));
        let _either_way = timeout(&self.env, pause, line.ready.notified()).await;
    }

    fn params(&self, request: &FetchRequest) -> FetchParams {
        FetchParams {
            current_leader_epoch: Some(request.leader_epoch),
            fetch_offset: request.fetch_offset,
            last_fetched_epoch: request.last_fetched_epoch,
            log_start: request.log_start,
            max_bytes: bounded(self.config.replica_fetch_max_bytes),
        }
    }

    fn request(&self, session: SessionRequest) -> wire::FetchRequest {
        let broker_epoch = self.metadata.read(|image| {
            image
                .broker(NodeId(self.config.node_id))
                .map_or(-1, |broker| broker.epoch.0)
        });
        wire::FetchRequest {
            replica_state: wire::FetchReplicaState {
                replica_id: self.config.node_id,
                replica_epoch: broker_epoch,
                ..Default::default()
            },
            max_wait_ms: bounded(self.config.replica_fetch_wait_max_ms),
            min_bytes: bounded(self.config.replica_fetch_min_bytes),
            max_bytes: bounded(self.config.replica_fetch_response_max_bytes),
            session_id: session.session_id,
            session_epoch: session.session_epoch,
            topics: topics(session.partitions),
            forgotten_topics_data: forgotten(session.forgotten),
            ..Default::default()
        }
    }
}

impl Line {
    fn note(&self, partition: TopicIdPartition) {
        self.changed
            .lock()
            .expect("no panic under this lock")
            .insert(partition);
    }
}

impl Fetching {
    fn drop_partition(&mut self, id: TopicIdPartition) {
        self.session.drop_partition(id);
        self.asked.remove(&id);
    }

    /// Each partition backs off, and is announced again after that.
    fn fail_all(&mut self, error: ErrorCode) {
        for (id, (partition, request)) in std::mem::take(&mut self.asked) {
            self.session.drop_partition(id);
            partition.fetch_response(request, Err(error));
        }
    }

    fn answered(&mut self, line: &Line, quotas: &ReplicationQuotas, response: wire::FetchResponse) {
        let error = ErrorCode::from_code(response.error_code);
        let error = error.unwrap_or(ErrorCode::UnknownServerError);
        if error != ErrorCode::None {
            if !self.session.refused(error) {
                self.fail_all(error);
            }
            return;
        }
        let mut answers = BTreeMap::new();
        for topic in response.responses {
            for data in topic.partitions {
                let id = TopicIdPartition {
                    topic_id: topic.topic_id,
                    partition: data.partition_index,
                };
                answers.insert(id, data);
            }
        }
        let answered = answers.keys().copied().collect();
        if let Err(error) = self.session.answered(response.session_id, &answered) {
            return self.fail_all(error);
        }
        // The others are as they were: they cost nothing here.
        for (id, data) in answers {
            if let Some((partition, request)) = self.asked.get(&id) {
                let high_watermark = data.high_watermark;
                let result = fetched(partition, data);
                if let Ok((_, records)) = &result
                    && partition.throttled().follower
                {
                    quotas.record(Side::Follower, records.len());
                }
                partition.fetch_response(*request, result);
                let log_end = partition.with_core(broker_core::replica::Replica::log_end);
                if log_end >= high_watermark {
                    self.caught_up.insert(id);
                } else {
                    self.caught_up.remove(&id);
                }
                line.note(id);
            }
        }
    }
}

fn topics(partitions: Vec<(TopicIdPartition, FetchParams)>) -> Vec<wire::FetchTopic> {
    let mut topics: BTreeMap<Uuid, Vec<wire::FetchPartition>> = BTreeMap::new();
    for (id, params) in partitions {
        let epoch = |epoch: Option<LeaderEpoch>| epoch.map_or(-1, |epoch| epoch.0);
        let partition = wire::FetchPartition {
            partition: id.partition,
            current_leader_epoch: epoch(params.current_leader_epoch),
            fetch_offset: params.fetch_offset,
            last_fetched_epoch: epoch(params.last_fetched_epoch),
            log_start_offset: params.log_start,
            partition_max_bytes: params.max_bytes,
            ..Default::default()
        };
        topics.entry(id.topic_id).or_default().push(partition);
    }
    let topic = |(topic_id, partitions)| wire::FetchTopic {
        topic_id,
        partitions,
        ..Default::default()
    };
    topics.into_iter().map(topic).collect()
}

fn forgotten(partitions: Vec<TopicIdPartition>) -> Vec<wire::ForgottenTopic> {
    let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
    for id in partitions {
        topics.entry(id.topic_id).or_default().push(id.partition);
    }
    let topic = |(topic_id, partitions)| wire::ForgottenTopic {
        topic_id,
        partitions,
        ..Default::default()
    };
    topics.into_iter().map(topic).collect()
}

fn fetched(partition: &Partition, data: wire::FetchPartitionData) -> FetchResult {
    match ErrorCode::from_code(data.error_code) {
        Some(ErrorCode::None) => {}
        Some(code) => return Err(code),
        None => return Err(ErrorCode::UnknownServerError),
    }
    let (batches, records) =
        fetched_batches(&data.records.unwrap_or_default()).map_err(|error| {
            tracing::warn!(partition = %partition.name, %error, "fetched records are damaged");
            ErrorCode::CorruptMessage
        })?;
    let diverging = &data.diverging_epoch;
    let diverging = (diverging.end_offset >= 0).then_some(EpochEndOffset {
        epoch: LeaderEpoch(diverging.epoch),
        end_offset: diverging.end_offset,
    });
    let (high_watermark, log_start) = (data.high_watermark, data.log_start_offset);
    Ok((
        Fetched {
            diverging,
            high_watermark,
            log_start,
            batches,
        },
        records,
    ))
}

fn bounded(value: i64) -> i32 {
    i32::try_from(value).unwrap_or(i32::MAX)
}

fn millis(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
