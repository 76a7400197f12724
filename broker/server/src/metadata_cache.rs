//! The published metadata image, and what each publication changed.

use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, RwLock};

use broker_core::metadata::{ConfigResource, ConfigResourceType, MetadataImage, Record, Replay};
use broker_env::Address;
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicIdPartition, Uuid};

use crate::config::{BrokerConfig, TopicConfig};
use crate::quorum::Committed;
use crate::waiters::{Waiter, Waiters};

/// What a run of committed records touched.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct MetadataDelta {
    pub partitions: BTreeSet<TopicIdPartition>,
    pub removed_topics: BTreeSet<Uuid>,
    pub removed_names: BTreeSet<String>,
    /// Registration or fencing of some broker.
    pub brokers: bool,
    pub configured_topics: BTreeSet<String>,
}

/// The image all request handlers read.
#[derive(Default)]
pub struct MetadataCache {
    state: RwLock<CacheState>,
    waiters: Mutex<Waiters>,
}

#[derive(Default)]
struct CacheState {
    image: MetadataImage,
    replay: Replay,
    end: Offset,
    epoch: LeaderEpoch,
}

impl MetadataCache {
    /// Reads the image; do not wait inside.
    pub fn read<T>(&self, read: impl FnOnce(&MetadataImage) -> T) -> T {
        read(&self.state.read().expect("no panic under this lock").image)
    }

    /// Last offset applied; -1 if none.
    pub fn last_offset(&self) -> Offset {
        self.state.read().expect("no panic under this lock").end - 1
    }

    /// Applies committed records, as far as their transaction is complete; gives the hash of the image after
    /// them.
    pub fn apply(&self, committed: &Committed, delta: &mut MetadataDelta) -> u64 {
        let mut state = self.state.write().expect("no panic under this lock");
        for record in state.replay.read(&committed.records).iter() {
            delta.note(&state.image, record);
            state.image.apply(record);
        }
        assert!(
            committed.end > state.end,
            "metadata applied to {} twice",
            committed.end
        );
        state.end = committed.end;
        state.epoch = committed.epoch;
        state.image.hash()
    }

    /// Replaces the image by that of a snapshot; gives its hash.
    pub fn replace(
        &self,
        image: MetadataImage,
        end: Offset,
        epoch: LeaderEpoch,
        delta: &mut MetadataDelta,
    ) -> u64 {
        let mut state = self.state.write().expect("no panic under this lock");
        assert!(
            end >= state.end,
            "a snapshot that ends at {end} replaces metadata up to {}",
            state.end
        );
        delta.note_all(&state.image, &image);
        let hash = image.hash();
        *state = CacheState {
            image,
            replay: Replay::default(),
            end,
            epoch,
        };
        hash
    }

    /// Whether the records up to here end inside a transaction, of which the image has none (KIP-868).
    pub fn is_inside_transaction(&self) -> bool {
        let state = self.state.read().expect("no panic under this lock");
        state.replay.is_open()
    }

    /// The image as it is; shares what it can.
    pub fn image(&self) -> MetadataImage {
        self.read(MetadataImage::clone)
    }

    /// Wakes all that wait for a publication.
    pub fn published(&self) {
        self.waiters
            .lock()
            .expect("no panic under this lock")
            .wake_all();
    }

    /// Wakes the waiter at the next publication.
    pub fn wait(&self, waiter: &Arc<Waiter>) {
        self.waiters
            .lock()
            .expect("no panic under this lock")
            .add(waiter);
    }

    /// Where a broker listens under a listener name.
    pub fn broker_address(&self, broker: NodeId, listener: &str) -> Option<Address> {
        self.read(|image| {
            let endpoint = image.broker(broker)?.endpoint(listener)?;
            Some(Address::new(endpoint.host.clone(), endpoint.port))
        })
    }

    /// A topic's properties over what the broker's are, static ones and those changed at run time.
    pub fn topic_config(&self, topic: &str, config: &BrokerConfig) -> TopicConfig {
        self.read(|image| {
            let broker = ConfigResource::broker(NodeId(config.node_id));
            let mut effective = config.topic_defaults();
            for resource in [ConfigResource::cluster(), broker] {
                let set = image.configs().get(&resource).into_iter().flatten();
                for (name, value) in set {
                    effective.override_default(name, value);
                }
            }
            match image.configs().get(&ConfigResource::topic(topic)) {
                Some(overrides) => effective.with_overrides(overrides),
                None => effective,
            }
        })
    }
}

impl MetadataDelta {
    pub fn is_empty(&self) -> bool {
        *self == MetadataDelta::default()
    }

    /// As if all records between two images had arrived.
    fn note_all(&mut self, before: &MetadataImage, after: &MetadataImage) {
        for topic in before.topics() {
            if after.topic_name(topic.id).is_none() {
                self.partitions
                    .retain(|partition| partition.topic_id != topic.id);
                self.removed_topics.insert(topic.id);
                self.removed_names.insert(topic.name.clone());
            }
        }
        for (id, registration) in after.partitions() {
            if before.partition(id) != Some(registration) {
                self.partitions.insert(id);
            }
        }
        self.brokers |= before.brokers() != after.brokers();
        self.note_configs(before, after);
    }

    fn note_configs(&mut self, before: &MetadataImage, after: &MetadataImage) {
        let resources = before.configs().keys().chain(after.configs().keys());
        for resource in resources {
            if before.configs().get(resource) == after.configs().get(resource) {
                continue;
            }
            if resource.kind == ConfigResourceType::Topic {
                self.configured_topics.insert(resource.name.clone());
            } else {
                self.configured_topics
                    .extend(after.topics().map(|topic| topic.name.clone()));
            }
        }
    }

    /// `image` is as it was before the record.
    fn note(&mut self, image: &MetadataImage, record: &Record) {
        match record {
            Record::Partition(record) => {
                self.partitions.insert(record.partition);
            }
            Record::PartitionChange(record) => {
                self.partitions.insert(record.partition);
            }
            Record::RemoveTopic { topic_id } => {
                self.partitions
                    .retain(|partition| partition.topic_id != *topic_id);
                self.removed_topics.insert(*topic_id);
                self.removed_names
                    .extend(image.topic_name(*topic_id).map(str::to_string));
            }
            Record::RegisterBroker(_)
            | Record::UnregisterBroker { .. }
            | Record::FenceBroker { .. }
            | Record::UnfenceBroker { .. }
            | Record::BrokerRegistrationChange(_) => self.brokers = true,
            Record::Config { resource, .. } if resource.kind == ConfigResourceType::Topic => {
                self.configured_topics.insert(resource.name.clone());
            }
            Record::Config { .. } => {
                self.configured_topics
                    .extend(image.topics().map(|topic| topic.name.clone()));
            }
            // The partition epochs grow, and a leader that does not hear of it is refused for ever.
            Record::ClearElr { .. } => self.partitions.extend(image.partitions_changed_by(record)),
            Record::Topic { .. }
            | Record::FeatureLevel { .. }
            | Record::ProducerIds { .. }
            | Record::RegisterController(_)
            | Record::BeginTransaction { .. }
            | Record::EndTransaction
            | Record::AbortTransaction { .. }
            | Record::NoOp => {}
        }
    }
}

#[cfg(test)]
mod snapshot_tests;
#[cfg(test)]
mod tests {
    use broker_core::metadata::{LeaderRecoveryState, PartitionRecord};
    use broker_protocol::ids::PartitionEpoch;

    use super::*;

    /// Its partition epoch grows: a leader that is not told asks with the old one, and is refused for ever.
    #[test]
    fn leaders_hear_of_a_cleared_elr() {
        let partition = TopicIdPartition {
            topic_id: Uuid([7; 16]),
            partition: 0,
        };
        let mut image = MetadataImage::default();
        image.apply(&Record::Topic {
            name: "t".into(),
            topic_id: partition.topic_id,
        });
        image.apply(&Record::Partition(PartitionRecord {
            partition,
            replicas: vec![NodeId(1), NodeId(2)],
            isr: vec![NodeId(1)],
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            leader: NodeId(1),
            leader_recovery_state: LeaderRecoveryState::Recovered,
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            directories: vec![Uuid([1; 16]), Uuid([2; 16])],
            eligible_leader_replicas: vec![NodeId(2)],
            last_known_elr: Vec::new(),
        }));
        for topic_name in [None, Some("t".to_string())] {
            let mut delta = MetadataDelta::default();
            delta.note(&image, &Record::ClearElr { topic_name });
            assert_eq!(delta.partitions, BTreeSet::from([partition]));
        }
    }
}
