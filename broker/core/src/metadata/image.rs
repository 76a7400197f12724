//! The metadata image: what replay of `__cluster_metadata` yields, on controllers and brokers alike.
//!
//! Written only by [`MetadataImage::apply`] (in `apply`); `index` keeps the lookups by broker, `hash`
//! the fingerprint, `snapshot` the way back to records. Topics and partitions are [`Shared`], so
//! that a copy to publish costs little.

mod apply;
mod hash;
mod index;
mod shared;
mod snapshot;

use std::collections::{BTreeMap, BTreeSet};
use std::ops::Deref;

use broker_protocol::ids::{BrokerEpoch, NodeId, TopicIdPartition, Uuid};

use super::partition::{PartitionRegistration, directory};
use super::record::{
    ConfigResource, Endpoint, Record, RegisterBrokerRecord, RegisterControllerRecord, VersionRange,
};
use index::Index;

pub use shared::Shared;

/// Feature that turns on eligible leader replicas (KIP-966); level 1 is on.
pub const ELR_FEATURE: &str = "eligible.leader.replicas.version";
/// `min.insync.replicas`, of a topic or of the cluster.
pub const MIN_INSYNC_REPLICAS: &str = "min.insync.replicas";
/// `unclean.leader.election.enable`, of a topic or of the cluster.
pub const UNCLEAN_LEADER_ELECTION: &str = "unclean.leader.election.enable";

/// All cluster metadata at one offset of the log.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MetadataImage {
    brokers: BTreeMap<NodeId, BrokerRegistration>,
    controllers: BTreeMap<NodeId, RegisterControllerRecord>,
    topics: BTreeMap<Uuid, Shared<TopicImage>>,
    topic_ids: BTreeMap<String, Uuid>,
    configs: BTreeMap<ConfigResource, BTreeMap<String, String>>,
    features: BTreeMap<String, i16>,
    producer_ids: ProducerIds,
    index: Index,
    hash: u64,
}

/// A broker as it registered, plus its fencing state.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BrokerRegistration {
    pub id: NodeId,
    /// The offset at which its registration batch begins.
    pub epoch: BrokerEpoch,
    pub incarnation_id: Uuid,
    pub endpoints: Vec<Endpoint>,
    pub features: BTreeMap<String, VersionRange>,
    pub rack: Option<String>,
    pub fenced: bool,
    pub in_controlled_shutdown: bool,
    /// Directories that work.
    pub log_directories: Vec<Uuid>,
}

impl BrokerRegistration {
    fn from_record(record: &RegisterBrokerRecord) -> BrokerRegistration {
        BrokerRegistration {
            id: record.broker,
            epoch: record.epoch,
            incarnation_id: record.incarnation_id,
            endpoints: record.endpoints.clone(),
            features: record.features.clone(),
            rack: record.rack.clone(),
            fenced: record.fenced,
            in_controlled_shutdown: record.in_controlled_shutdown,
            log_directories: record.log_directories.clone(),
        }
    }

    /// Whether it may lead and be in an ISR.
    pub fn is_active(&self) -> bool {
        !self.fenced && !self.in_controlled_shutdown
    }

    pub fn endpoint(&self, listener: &str) -> Option<&Endpoint> {
        self.endpoints
            .iter()
            .find(|endpoint| endpoint.name == listener)
    }

    /// Whether a replica in `directory` can be served (KIP-858).
    pub fn has_online_directory(&self, directory: Uuid) -> bool {
        let unplaced = [directory::UNASSIGNED, directory::MIGRATING];
        unplaced.contains(&directory) || self.log_directories.contains(&directory)
    }

    /// Where a new replica goes: the only directory, or [`directory::UNASSIGNED`] until the broker chose.
    pub fn default_directory(&self) -> Uuid {
        match self.log_directories.as_slice() {
            [only] => *only,
            _ => directory::UNASSIGNED,
        }
    }
}

/// A topic and its partitions, numbered from 0.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicImage {
    pub name: String,
    pub id: Uuid,
    pub partitions: BTreeMap<i32, Shared<PartitionRegistration>>,
}

/// The next block of producer ids to give out.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct ProducerIds {
    /// Who got the last block, and in which incarnation.
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    /// First id never given out.
    pub next_producer_id: i64,
}

/// Brokers, controllers and features.
impl MetadataImage {
    pub fn brokers(&self) -> &BTreeMap<NodeId, BrokerRegistration> {
        &self.brokers
    }

    pub fn broker(&self, id: NodeId) -> Option<&BrokerRegistration> {
        self.brokers.get(&id)
    }

    /// Whether the broker is registered, unfenced and not shutting down.
    pub fn is_active(&self, id: NodeId) -> bool {
        self.broker(id).is_some_and(BrokerRegistration::is_active)
    }

    /// Brokers that clients may be sent to, in the order of their ids.
    pub fn unfenced_brokers(&self) -> impl Iterator<Item = &BrokerRegistration> {
        self.brokers.values().filter(|broker| !broker.fenced)
    }

    pub fn controllers(&self) -> &BTreeMap<NodeId, RegisterControllerRecord> {
        &self.controllers
    }

    /// Finalized features; one that is absent is at level 0.
    pub fn features(&self) -> &BTreeMap<String, i16> {
        &self.features
    }

    pub fn feature_level(&self, name: &str) -> i16 {
        self.features.get(name).copied().unwrap_or(0)
    }

    /// Whether eligible leader replicas are tracked (KIP-966).
    pub fn elr_enabled(&self) -> bool {
        self.feature_level(ELR_FEATURE) >= 1
    }

    pub fn producer_ids(&self) -> ProducerIds {
        self.producer_ids
    }
}

/// Topics and partitions.
impl MetadataImage {
    pub fn topic(&self, name: &str) -> Option<&TopicImage> {
        self.topic_by_id(*self.topic_ids.get(name)?)
    }

    pub fn topic_by_id(&self, id: Uuid) -> Option<&TopicImage> {
        self.topics.get(&id).map(Deref::deref)
    }

    pub fn topic_id(&self, name: &str) -> Option<Uuid> {
        self.topic_ids.get(name).copied()
    }

    pub fn topic_name(&self, id: Uuid) -> Option<&str> {
        self.topic_by_id(id).map(|topic| topic.name.as_str())
    }

    /// Every topic, in the order of ids.
    pub fn topics(&self) -> impl Iterator<Item = &TopicImage> {
        self.topics.values().map(Deref::deref)
    }

    /// Every topic name with its id, in the order of names.
    pub fn topic_ids(&self) -> &BTreeMap<String, Uuid> {
        &self.topic_ids
    }

    pub fn partition(&self, partition: TopicIdPartition) -> Option<&PartitionRegistration> {
        let topic = self.topics.get(&partition.topic_id)?;
        topic.partitions.get(&partition.partition).map(Deref::deref)
    }

    pub fn partition_by_name(&self, topic: &str, partition: i32) -> Option<&PartitionRegistration> {
        self.topic(topic)?
            .partitions
            .get(&partition)
            .map(Deref::deref)
    }

    /// Every partition, in the order of topic ids.
    pub fn partitions(&self) -> impl Iterator<Item = (TopicIdPartition, &PartitionRegistration)> {
        self.topics.values().flat_map(|topic| {
            topic.partitions.iter().map(|(&partition, registration)| {
                (
                    TopicIdPartition {
                        topic_id: topic.id,
                        partition,
                    },
                    registration.deref(),
                )
            })
        })
    }

    /// Partitions that have a replica on `broker`.
    pub fn partitions_on(&self, broker: NodeId) -> impl Iterator<Item = TopicIdPartition> {
        self.index.replicas.of(broker)
    }

    /// Partitions whose ISR contains `broker`.
    pub fn partitions_with_isr_member(
        &self,
        broker: NodeId,
    ) -> impl Iterator<Item = TopicIdPartition> {
        self.index.isr.of(broker)
    }

    /// Partitions whose ELR contains `broker`.
    pub fn partitions_with_elr_member(
        &self,
        broker: NodeId,
    ) -> impl Iterator<Item = TopicIdPartition> {
        self.index.elr.of(broker)
    }

    pub fn leaderless_partitions(&self) -> &BTreeSet<TopicIdPartition> {
        &self.index.leaderless
    }

    /// Partitions that are led by another replica than the preferred one.
    pub fn imbalanced_partitions(&self) -> &BTreeSet<TopicIdPartition> {
        &self.index.imbalanced
    }

    /// Partitions whose replicas are being moved (KIP-455).
    pub fn reassigning_partitions(&self) -> &BTreeSet<TopicIdPartition> {
        &self.index.reassigning
    }

    /// How many partitions have `broker` as their preferred leader.
    pub fn preferred_count(&self, broker: NodeId) -> usize {
        self.index.preferred_count(broker)
    }

    /// How many partitions `broker` leads.
    pub fn leader_count(&self, broker: NodeId) -> usize {
        self.index.leader_count(broker)
    }

    pub fn partition_count(&self) -> usize {
        self.index.partition_count
    }

    /// Partitions that `record` creates, changes or removes; to be asked before it is applied. With
    /// [`MetadataImage::partition`] after it an observer sees each change.
    pub fn partitions_changed_by(&self, record: &Record) -> Vec<TopicIdPartition> {
        match record {
            Record::Partition(record) => vec![record.partition],
            Record::PartitionChange(record) => vec![record.partition],
            Record::RemoveTopic { topic_id } => self.partitions_of_topic(*topic_id).collect(),
            Record::ClearElr {
                topic_name: Some(name),
            } => self
                .topic_id(name)
                .into_iter()
                .flat_map(|id| self.partitions_of_topic(id))
                .collect(),
            Record::ClearElr { topic_name: None } => self.partitions().map(|(id, _)| id).collect(),
            _ => Vec::new(),
        }
    }

    pub fn partitions_of_topic(&self, topic_id: Uuid) -> impl Iterator<Item = TopicIdPartition> {
        let numbers = self
            .topics
            .get(&topic_id)
            .into_iter()
            .flat_map(|topic| topic.partitions.keys());
        numbers.map(move |&partition| TopicIdPartition {
            topic_id,
            partition,
        })
    }

    /// An existing topic whose name differs from `name` at most in `.` against `_`: their metrics would
    /// have the same name.
    pub fn colliding_topic(&self, name: &str) -> Option<&str> {
        self.index.colliding_topic(name)
    }
}

/// Configurations: only what was set dynamically; static values and defaults are the caller's.
impl MetadataImage {
    pub fn configs(&self) -> &BTreeMap<ConfigResource, BTreeMap<String, String>> {
        &self.configs
    }

    pub fn config(&self, resource: &ConfigResource, name: &str) -> Option<&str> {
        self.configs.get(resource)?.get(name).map(String::as_str)
    }

    pub fn topic_config(&self, topic: &str, name: &str) -> Option<&str> {
        self.config(&ConfigResource::topic(topic), name)
    }

    /// The broker's own dynamic value, else the cluster-wide one.
    pub fn broker_config(&self, broker: NodeId, name: &str) -> Option<&str> {
        let own = self.config(&ConfigResource::broker(broker), name);
        own.or_else(|| self.config(&ConfigResource::cluster(), name))
    }

    /// Of the topic, else cluster-wide, else `static_default`; at least 1.
    pub fn min_insync_replicas(&self, topic: &str, static_default: i32) -> i32 {
        let set = self.topic_or_cluster_config(topic, MIN_INSYNC_REPLICAS);
        set.and_then(|value| value.parse().ok())
            .unwrap_or(static_default)
            .max(1)
    }

    /// Of the topic, else cluster-wide, else `static_default`.
    pub fn unclean_election_enabled(&self, topic: &str, static_default: bool) -> bool {
        let set = self.topic_or_cluster_config(topic, UNCLEAN_LEADER_ELECTION);
        set.map_or(static_default, |value| value == "true")
    }

    fn topic_or_cluster_config(&self, topic: &str, name: &str) -> Option<&str> {
        self.topic_config(topic, name)
            .or_else(|| self.config(&ConfigResource::cluster(), name))
    }
}

impl MetadataImage {
    /// Fingerprint of the content, equal on all nodes that applied the same records (META-2), also when
    /// one of them started from a snapshot. Kept up by `apply`, so reading it is free.
    pub fn hash(&self) -> u64 {
        self.hash
    }
}
