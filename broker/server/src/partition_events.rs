//! What partitions ask for, done outside of their locks: ISR changes, fetches, timers.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_core::replica::{AlterPartitionId, AlteredPartition, Input, LeaderOffsets, Timer};
use broker_env::{DiskError, Env};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, PartitionEpoch, TopicIdPartition, Uuid};
use tokio::sync::mpsc;

use crate::config::BrokerConfig;
use crate::controller_channel::ControllerChannel;
use crate::coordinator::Coordinators;
use crate::directory_assignments::Assignment;
use crate::group_coordinator::GroupShard;
use crate::metadata_cache::MetadataCache;
use crate::partition::PartitionEvent;
use crate::peer::Peer;
use crate::replica_fetcher::ReplicaFetchers;
use crate::replica_manager::ReplicaManager;
use crate::transaction_coordinator::TransactionShard;

const ALTER_PARTITION_VERSION: i16 = 3;
const LIST_OFFSETS_VERSION: i16 = 7;
/// Pause before AlterPartition is sent again, as in Kafka.
const ALTER_PARTITION_RETRY: Duration = Duration::from_millis(50);
const EARLIEST: i64 = -2;
const LATEST: i64 = -1;

/// One ISR change that waits for the controller.
type Alteration = PartitionEvent;

pub struct PartitionEvents {
    pub env: Env,
    pub config: Arc<BrokerConfig>,
    pub metadata: Arc<MetadataCache>,
    pub replicas: Arc<ReplicaManager>,
    pub fetchers: Arc<ReplicaFetchers>,
    pub groups: Arc<Coordinators<GroupShard>>,
    pub transactions: Arc<Coordinators<TransactionShard>>,
    /// Told when the log directory fails that the node cannot do without.
    pub failed: mpsc::UnboundedSender<DiskError>,
}

impl PartitionEvents {
    /// Runs until the broker stops.
    pub async fn run(
        self,
        mut events: mpsc::UnboundedReceiver<PartitionEvent>,
        controller: ControllerChannel,
        assignments: mpsc::UnboundedSender<Assignment>,
    ) {
        let (alterations, queue) = mpsc::unbounded_channel();
        let sender = AlterPartitionSender {
            config: self.config.clone(),
            metadata: self.metadata.clone(),
            replicas: self.replicas.clone(),
            controller,
        };
        self.env.spawn("alter partition", sender.run(queue));
        while let Some(event) = events.recv().await {
            match event {
                event @ PartitionEvent::AlterPartition { .. } => {
                    let _sender_ends_with_us = alterations.send(event);
                }
                PartitionEvent::FetchReady { partition, leader } => {
                    self.fetchers.ready(partition, leader)
                }
                PartitionEvent::QueryLeaderOffsets {
                    partition,
                    leader,
                    leader_epoch,
                } => {
                    self.query_leader_offsets(partition, leader, leader_epoch);
                }
                PartitionEvent::Arm { partition, timer } => self.arm(partition, timer),
                PartitionEvent::AssignDirectory {
                    partition,
                    directory,
                } => {
                    let _broker_has_stopped = assignments.send((partition, directory));
                }
                PartitionEvent::Elected {
                    partition,
                    topic,
                    epoch,
                } => {
                    if topic == self.groups.topic() {
                        self.groups.elected(partition, epoch);
                    } else if topic == self.transactions.topic() {
                        self.transactions.elected(partition, epoch);
                    }
                }
                PartitionEvent::Resigned {
                    partition,
                    topic,
                    epoch,
                } => {
                    if topic == self.groups.topic() {
                        self.groups.resigned(partition, epoch);
                    } else if topic == self.transactions.topic() {
                        self.transactions.resigned(partition, epoch);
                    }
                }
                PartitionEvent::DirectoryFailed { directory, error } => {
                    if !self.replicas.fail_directory(directory) {
                        let _broker_has_stopped = self.failed.send(error);
                    }
                }
            }
        }
    }

    fn arm(&self, id: TopicIdPartition, timer: Timer) {
        let delay = match timer {
            Timer::AlterPartitionRetry => ALTER_PARTITION_RETRY,
            Timer::FetchBackoff => Duration::from_millis(
                u64::try_from(self.config.replica_fetch_backoff_ms).unwrap_or(0),
            ),
            Timer::LagWindow => return,
        };
        let Some(partition) = self.replicas.partition(id) else {
            return;
        };
        let sleep = self.env.sleep(delay);
        self.env.spawn("partition timer", async move {
            sleep.await;
            partition.timer(timer);
        });
    }

    /// The follower is out of range: asks where the leader's log starts and ends.
    fn query_leader_offsets(
        &self,
        id: TopicIdPartition,
        leader: NodeId,
        leader_epoch: LeaderEpoch,
    ) {
        let Some(partition) = self.replicas.partition(id) else {
            return;
        };
        let address = self
            .metadata
            .broker_address(leader, &self.config.inter_broker_listener());
        let limit =
            Duration::from_millis(u64::try_from(self.config.request_timeout_ms).unwrap_or(0));
        let (env, node) = (self.env.clone(), self.config.node_id);
        self.env.spawn("leader offsets", async move {
            let offsets = match address {
                Some(address) => {
                    let mut peer = Peer::new(env, address, format!("broker-{node}-offsets"));
                    let name = partition.name.clone();
                    let log_start =
                        list_offset(&mut peer, node, &name, leader_epoch, EARLIEST, limit).await;
                    let log_end =
                        list_offset(&mut peer, node, &name, leader_epoch, LATEST, limit).await;
                    log_start
                        .zip(log_end)
                        .map(|(log_start, log_end)| LeaderOffsets { log_start, log_end })
                }
                None => None,
            };
            partition.step(Input::LeaderOffsets {
                leader_epoch,
                offsets,
            });
        });
    }
}

async fn list_offset(
    peer: &mut Peer,
    node: i32,
    name: &broker_protocol::ids::TopicPartition,
    epoch: LeaderEpoch,
    timestamp: i64,
    limit: Duration,
) -> Option<i64> {
    let request = wire::ListOffsetsRequest {
        replica_id: node,
        topics: vec![wire::ListOffsetsTopic {
            name: name.topic.clone(),
            partitions: vec![wire::ListOffsetsPartition {
                partition_index: name.partition,
                current_leader_epoch: epoch.0,
                timestamp,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let response = peer
        .call(&request, LIST_OFFSETS_VERSION, limit)
        .await
        .ok()?;
    let answer = response
        .topics
        .into_iter()
        .next()?
        .partitions
        .into_iter()
        .next()?;
    (answer.error_code == 0).then_some(answer.offset)
}

/// Sends ISR changes to the controller, all that wait in one request, one request at a time.
struct AlterPartitionSender {
    config: Arc<BrokerConfig>,
    metadata: Arc<MetadataCache>,
    replicas: Arc<ReplicaManager>,
    controller: ControllerChannel,
}

impl AlterPartitionSender {
    async fn run(mut self, mut queue: mpsc::UnboundedReceiver<Alteration>) {
        while let Some(first) = queue.recv().await {
            let mut waiting = vec![first];
            while let Ok(next) = queue.try_recv() {
                waiting.push(next);
            }
            let request = self.request(&waiting);
            let limit =
                Duration::from_millis(u64::try_from(self.config.request_timeout_ms).unwrap_or(0));
            let results = match self
                .controller
                .call(&request, ALTER_PARTITION_VERSION, limit)
                .await
            {
                Ok(response) => results(&response),
                Err(error) => {
                    tracing::debug!(node = self.config.node_id, %error, "AlterPartition failed");
                    BTreeMap::new()
                }
            };
            self.distribute(waiting, &results);
        }
    }

    fn request(&self, waiting: &[Alteration]) -> wire::AlterPartitionRequest {
        let mut topics: BTreeMap<Uuid, Vec<wire::AlterPartitionRequestPartitionData>> =
            BTreeMap::new();
        for alteration in waiting {
            if let PartitionEvent::AlterPartition {
                partition,
                leader_epoch,
                partition_epoch,
                isr,
                ..
            } = alteration
            {
                let member =
                    |(id, epoch): &(NodeId, broker_protocol::ids::BrokerEpoch)| wire::BrokerState {
                        broker_id: id.0,
                        broker_epoch: epoch.0,
                        ..Default::default()
                    };
                let data = wire::AlterPartitionRequestPartitionData {
                    partition_index: partition.partition,
                    leader_epoch: leader_epoch.0,
                    new_isr_with_epochs: isr.iter().map(member).collect(),
                    partition_epoch: partition_epoch.0,
                    ..Default::default()
                };
                topics.entry(partition.topic_id).or_default().push(data);
            }
        }
        let me = NodeId(self.config.node_id);
        let topic = |(topic_id, partitions)| wire::AlterPartitionRequestTopicData {
            topic_id,
            partitions,
            ..Default::default()
        };
        wire::AlterPartitionRequest {
            broker_id: me.0,
            broker_epoch: self
                .metadata
                .read(|image| image.broker(me).map_or(-1, |broker| broker.epoch.0)),
            topics: topics.into_iter().map(topic).collect(),
            ..Default::default()
        }
    }

    /// Who is not in the answer does not know what became of the request.
    fn distribute(
        &self,
        waiting: Vec<Alteration>,
        results: &BTreeMap<TopicIdPartition, AlterResult>,
    ) {
        for alteration in waiting {
            if let PartitionEvent::AlterPartition {
                partition, request, ..
            } = alteration
                && let Some(hosted) = self.replicas.partition(partition)
            {
                let unknown = Err(ErrorCode::NetworkException);
                let result = results.get(&partition).cloned().unwrap_or(unknown);
                answer(&hosted, request, result);
            }
        }
    }
}

type AlterResult = Result<AlteredPartition, ErrorCode>;

fn answer(
    partition: &Arc<crate::partition::Partition>,
    request: AlterPartitionId,
    result: AlterResult,
) {
    partition.alter_partition_result(request, result);
}

fn results(response: &wire::AlterPartitionResponse) -> BTreeMap<TopicIdPartition, AlterResult> {
    let mut results = BTreeMap::new();
    if response.error_code != 0 {
        return results;
    }
    for topic in &response.topics {
        for data in &topic.partitions {
            let id = TopicIdPartition {
                topic_id: topic.topic_id,
                partition: data.partition_index,
            };
            let result = match ErrorCode::from_code(data.error_code)
                .unwrap_or(ErrorCode::UnknownServerError)
            {
                ErrorCode::None => Ok(AlteredPartition {
                    leader_epoch: LeaderEpoch(data.leader_epoch),
                    partition_epoch: PartitionEpoch(data.partition_epoch),
                    isr: data.isr.iter().copied().map(NodeId).collect(),
                }),
                code => Err(code),
            };
            results.insert(id, result);
        }
    }
    results
}
