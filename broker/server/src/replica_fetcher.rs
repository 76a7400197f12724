//! Followers fetch: one task per leader, one fetch at a time for all partitions that follow it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_core::metadata::MetadataImage;
use broker_core::replica::{EpochEndOffset, FetchRequest, Fetched};
use broker_env::Env;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, TopicIdPartition};
use tokio::sync::Notify;

use crate::config::BrokerConfig;
use crate::metadata_cache::MetadataCache;
use crate::partition::{FetchResult, Partition, fetched_batches};
use crate::peer::Peer;
use crate::replica_manager::ReplicaManager;

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

#[derive(Default)]
struct Line {
    partitions: Mutex<BTreeSet<TopicIdPartition>>,
    ready: Notify,
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

    /// The partition has something to fetch from this leader.
    pub fn ready(self: &Arc<Self>, partition: TopicIdPartition, leader: NodeId) {
        if leader == NodeId::NONE || leader.0 == self.config.node_id {
            return;
        }
        let mut lines = self.lines.lock().expect("no panic under this lock");
        let line = lines.entry(leader).or_insert_with(|| {
            let line = Arc::new(Line::default());
            self.env
                .spawn("replica fetcher", self.clone().run(leader, line.clone()));
            line
        });
        line.partitions
            .lock()
            .expect("no panic under this lock")
            .insert(partition);
        line.ready.notify_one();
    }

    async fn run(self: Arc<Self>, leader: NodeId, line: Arc<Line>) {
        let mut peer: Option<Peer> = None;
        loop {
            let asked = self.collect(leader, &line);
            if asked.is_empty() {
                line.ready.notified().await;
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
                fail_all(asked);
                continue;
            };
            let client_id = format!("broker-{}-fetcher-{leader}", self.config.node_id);
            let peer = peer.get_or_insert_with(|| Peer::new(self.env.clone(), address, client_id));
            let request = self.request(&asked);
            let wait = Duration::from_millis(millis(self.config.replica_fetch_wait_max_ms));
            let limit = wait + Duration::from_millis(millis(self.config.replica_socket_timeout_ms));
            match peer.call(&request, self.version(), limit).await {
                Ok(response) => distribute(asked, response),
                Err(error) => {
                    tracing::debug!(node = self.config.node_id, %leader, %error, "replica fetch failed");
                    fail_all(asked);
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

    /// What each partition asks for; forgets those that follow somebody else by now.
    fn collect(&self, leader: NodeId, line: &Line) -> Asked {
        let mut asked = Asked::new();
        let mut partitions = line.partitions.lock().expect("no panic under this lock");
        partitions.retain(|id| {
            let Some(partition) = self.replicas.partition(*id) else {
                return false;
            };
            match partition.fetch_request() {
                Some(request) if request.leader == leader => {
                    asked.insert(*id, (partition, request));
                    true
                }
                Some(_) => false,
                None => partition.with_core(|core| core.current_leader() == leader),
            }
        });
        asked
    }

    fn request(&self, asked: &Asked) -> wire::FetchRequest {
        let broker_epoch = self.metadata.read(|image| {
            image
                .broker(NodeId(self.config.node_id))
                .map_or(-1, |broker| broker.epoch.0)
        });
        let mut topics: BTreeMap<broker_protocol::ids::Uuid, Vec<wire::FetchPartition>> =
            BTreeMap::new();
        for (id, (_, request)) in asked {
            topics
                .entry(id.topic_id)
                .or_default()
                .push(wire::FetchPartition {
                    partition: id.partition,
                    current_leader_epoch: request.leader_epoch.0,
                    fetch_offset: request.fetch_offset,
                    last_fetched_epoch: request.last_fetched_epoch.map_or(-1, |epoch| epoch.0),
                    log_start_offset: request.log_start,
                    partition_max_bytes: bounded(self.config.replica_fetch_max_bytes),
                    ..Default::default()
                });
        }
        let topic = |(topic_id, partitions)| wire::FetchTopic {
            topic_id,
            partitions,
            ..Default::default()
        };
        wire::FetchRequest {
            replica_state: wire::FetchReplicaState {
                replica_id: self.config.node_id,
                replica_epoch: broker_epoch,
                ..Default::default()
            },
            max_wait_ms: bounded(self.config.replica_fetch_wait_max_ms),
            min_bytes: bounded(self.config.replica_fetch_min_bytes),
            max_bytes: bounded(self.config.replica_fetch_response_max_bytes),
            session_epoch: -1,
            topics: topics.into_iter().map(topic).collect(),
            ..Default::default()
        }
    }
}

type Asked = BTreeMap<TopicIdPartition, (Arc<Partition>, FetchRequest)>;

fn fail_all(asked: Asked) {
    for (_, (partition, request)) in asked {
        partition.fetch_response(request, Err(ErrorCode::NetworkException));
    }
}

fn distribute(mut asked: Asked, response: wire::FetchResponse) {
    for topic in response.responses {
        for data in topic.partitions {
            let id = TopicIdPartition {
                topic_id: topic.topic_id,
                partition: data.partition_index,
            };
            if let Some((partition, request)) = asked.remove(&id) {
                let result = fetched(&partition, data);
                partition.fetch_response(request, result);
            }
        }
    }
    // A leader that does not mention a partition, or failed as a whole.
    fail_all(asked);
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
