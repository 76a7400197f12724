//! What is known about the cluster: brokers, topics, and who leads which partition.

use std::collections::BTreeMap;

use broker_env::{Address, Instant};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, Uuid};

/// The cluster as brokers described it, each part at its newest.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ClusterMetadata {
    pub cluster_id: Option<String>,
    /// As KRaft brokers say: any broker that forwards to the controller.
    pub controller: Option<NodeId>,
    pub brokers: BTreeMap<NodeId, BrokerNode>,
    topics: BTreeMap<String, TopicMetadata>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BrokerNode {
    pub address: Address,
    pub rack: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicMetadata {
    pub id: Uuid,
    pub is_internal: bool,
    /// By index; all of them.
    pub partitions: BTreeMap<i32, PartitionMetadata>,
    /// When it was last asked for.
    pub refreshed: Instant,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionMetadata {
    /// `None` while there is none.
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    pub offline_replicas: Vec<NodeId>,
}

impl ClusterMetadata {
    pub fn topic(&self, name: &str) -> Option<&TopicMetadata> {
        self.topics.get(name)
    }

    pub fn topics(&self) -> impl Iterator<Item = (&str, &TopicMetadata)> {
        self.topics
            .iter()
            .map(|(name, topic)| (name.as_str(), topic))
    }

    pub fn partition(&self, topic: &str, partition: i32) -> Option<&PartitionMetadata> {
        self.topic(topic)?.partitions.get(&partition)
    }

    /// Takes an answer over; gives the topics with an error.
    pub(crate) fn update(
        &mut self,
        response: wire::MetadataResponse,
        now: Instant,
    ) -> BTreeMap<String, ErrorCode> {
        if !response.brokers.is_empty() {
            self.brokers = response.brokers.into_iter().filter_map(broker).collect();
        }
        self.cluster_id = response.cluster_id.or(self.cluster_id.take());
        self.controller = node(response.controller_id);
        let mut errors = BTreeMap::new();
        for topic in response.topics {
            let Some(name) = topic.name.clone() else {
                continue;
            };
            match ErrorCode::from_code_or_unknown(topic.error_code) {
                ErrorCode::None => self.update_topic(name, topic, now),
                error => drop(errors.insert(name, error)),
            }
        }
        errors
    }

    /// A broker that lags behind must not take us back to an old leader: of two descriptions of a
    /// partition the one with the later leader epoch counts.
    fn update_topic(&mut self, name: String, topic: wire::MetadataResponseTopic, now: Instant) {
        let mut known = self
            .topics
            .remove(&name)
            .filter(|known| known.id == topic.topic_id);
        let mut partitions = BTreeMap::new();
        for partition in topic.partitions {
            let index = partition.partition_index;
            let told = PartitionMetadata::from(partition);
            let known = known
                .as_mut()
                .and_then(|known| known.partitions.remove(&index));
            let newest = known
                .filter(|known| known.leader_epoch > told.leader_epoch)
                .unwrap_or(told);
            partitions.insert(index, newest);
        }
        // A lagging broker does not know the newest partitions either.
        for (index, partition) in known.map(|known| known.partitions).unwrap_or_default() {
            partitions.entry(index).or_insert(partition);
        }
        let (id, is_internal) = (topic.topic_id, topic.is_internal);
        self.topics.insert(
            name,
            TopicMetadata {
                id,
                is_internal,
                partitions,
                refreshed: now,
            },
        );
    }

    /// A leader named in an answer (KIP-951); true if it is news.
    pub(crate) fn hint(
        &mut self,
        topic_id: Uuid,
        partition: i32,
        leader: NodeId,
        epoch: LeaderEpoch,
    ) -> bool {
        let topic = self.topics.values_mut().find(|topic| topic.id == topic_id);
        let Some(known) = topic.and_then(|topic| topic.partitions.get_mut(&partition)) else {
            return false;
        };
        if epoch <= known.leader_epoch {
            return false;
        }
        known.leader = Some(leader);
        known.leader_epoch = epoch;
        true
    }

    /// A broker's address named in an answer (KIP-951).
    pub(crate) fn endpoint(&mut self, node_id: i32, host: &str, port: i32, rack: Option<&str>) {
        let (Some(node), Ok(port)) = (node(node_id), u16::try_from(port)) else {
            return;
        };
        let address = Address::new(host, port);
        self.brokers.insert(
            node,
            BrokerNode {
                address,
                rack: rack.map(str::to_owned),
            },
        );
    }

    pub(crate) fn forget(&mut self, topic: &str) {
        self.topics.remove(topic);
    }
}

impl From<wire::MetadataResponsePartition> for PartitionMetadata {
    fn from(partition: wire::MetadataResponsePartition) -> PartitionMetadata {
        let nodes = |ids: Vec<i32>| ids.into_iter().map(NodeId).collect();
        PartitionMetadata {
            leader: node(partition.leader_id),
            leader_epoch: LeaderEpoch(partition.leader_epoch),
            replicas: nodes(partition.replica_nodes),
            isr: nodes(partition.isr_nodes),
            offline_replicas: nodes(partition.offline_replicas),
        }
    }
}

fn node(id: i32) -> Option<NodeId> {
    (id >= 0).then_some(NodeId(id))
}

fn broker(broker: wire::MetadataResponseBroker) -> Option<(NodeId, BrokerNode)> {
    let port = u16::try_from(broker.port).ok()?;
    let address = Address::new(broker.host, port);
    Some((
        node(broker.node_id)?,
        BrokerNode {
            address,
            rack: broker.rack,
        },
    ))
}
