//! Replay: the only writer of the image.
//!
//! A record that does not fit the image means that the log or its writer is broken; going on would let
//! nodes diverge, so it is an assertion.

use std::collections::BTreeMap;

use broker_probe::mutant;
use broker_protocol::ids::{BrokerEpoch, NodeId, PartitionEpoch, TopicIdPartition, Uuid};

use super::super::partition::PartitionRegistration;
use super::super::record::{
    BrokerRegistrationChangeRecord, ConfigResource, PartitionChangeRecord, PartitionRecord, Record,
    RegisterBrokerRecord, RegisterControllerRecord,
};
use super::hash::{Kind, toggle};
use super::{BrokerRegistration, MetadataImage, ProducerIds, Shared, TopicImage};

impl MetadataImage {
    /// Replays one record.
    ///
    /// # Panics
    /// If the record does not fit, e.g. changes a partition that is not there.
    pub fn apply(&mut self, record: &Record) {
        match record {
            Record::RegisterBroker(record) => self.apply_register_broker(record),
            Record::UnregisterBroker { broker, epoch } => {
                self.apply_unregister_broker(*broker, *epoch)
            }
            Record::FenceBroker { broker, epoch } => self.apply_fencing(*broker, *epoch, true),
            Record::UnfenceBroker { broker, epoch } => self.apply_fencing(*broker, *epoch, false),
            Record::BrokerRegistrationChange(record) => self.apply_registration_change(record),
            Record::Topic { name, topic_id } => self.apply_topic(name, *topic_id),
            Record::Partition(record) => self.apply_partition(record),
            Record::PartitionChange(record) => self.apply_partition_change(record),
            Record::RemoveTopic { topic_id } => self.apply_remove_topic(*topic_id),
            Record::Config {
                resource,
                name,
                value,
            } => self.apply_config(resource, name, value.as_deref()),
            Record::FeatureLevel { name, level } => self.apply_feature(name, *level),
            Record::ProducerIds {
                broker,
                broker_epoch,
                next_producer_id,
            } => {
                self.apply_producer_ids(*broker, *broker_epoch, *next_producer_id);
            }
            Record::RegisterController(record) => self.apply_register_controller(record),
            Record::ClearElr { topic_name } => self.apply_clear_elr(topic_name.as_deref()),
            Record::BeginTransaction { .. } | Record::EndTransaction | Record::NoOp => {}
            Record::AbortTransaction { .. } => {
                panic!("an aborted transaction is dropped by `Replay`, its records never get here")
            }
        }
    }

    fn apply_register_broker(&mut self, record: &RegisterBrokerRecord) {
        let registration = BrokerRegistration::from_record(record);
        toggle(&mut self.hash, Kind::Broker, &registration);
        if let Some(previous) = self.brokers.insert(record.broker, registration) {
            toggle(&mut self.hash, Kind::Broker, &previous);
        }
    }

    fn apply_unregister_broker(&mut self, broker: NodeId, epoch: BrokerEpoch) {
        let registration = self.brokers.remove(&broker);
        let registration =
            registration.unwrap_or_else(|| panic!("broker {broker} is not registered"));
        assert_eq!(
            registration.epoch, epoch,
            "unregistration of another incarnation of broker {broker}"
        );
        toggle(&mut self.hash, Kind::Broker, &registration);
    }

    fn apply_fencing(&mut self, broker: NodeId, epoch: BrokerEpoch, fenced: bool) {
        let change = BrokerRegistrationChangeRecord::new(broker, epoch);
        self.apply_registration_change(&BrokerRegistrationChangeRecord {
            fenced: Some(fenced),
            ..change
        });
    }

    fn apply_registration_change(&mut self, record: &BrokerRegistrationChangeRecord) {
        let broker = record.broker;
        let registration = self.brokers.get_mut(&broker);
        let registration =
            registration.unwrap_or_else(|| panic!("broker {broker} is not registered"));
        assert_eq!(
            registration.epoch, record.epoch,
            "change of another incarnation of broker {broker}"
        );
        toggle(&mut self.hash, Kind::Broker, &*registration);
        if let Some(fenced) = record.fenced {
            registration.fenced = fenced;
        }
        registration.in_controlled_shutdown |= record.in_controlled_shutdown;
        if let Some(directories) = &record.log_directories {
            registration.log_directories.clone_from(directories);
        }
        toggle(&mut self.hash, Kind::Broker, &*registration);
    }

    fn apply_topic(&mut self, name: &str, id: Uuid) {
        let topic = TopicImage {
            name: name.to_owned(),
            id,
            partitions: BTreeMap::new(),
        };
        let previous = self.topics.insert(id, Shared::new(topic));
        assert!(previous.is_none(), "topic id {id} of {name} is taken");
        let previous = self.topic_ids.insert(name.to_owned(), id);
        assert!(previous.is_none(), "topic {name} exists");
        self.index.add_topic_name(name);
        toggle(&mut self.hash, Kind::Topic, (name, id));
    }

    fn apply_partition(&mut self, record: &PartitionRecord) {
        let registration = Shared::new(PartitionRegistration::from_record(record));
        let previous = self.replace_partition(record.partition, Some(registration));
        assert!(previous.is_none(), "partition {} exists", record.partition);
    }

    fn apply_partition_change(&mut self, record: &PartitionChangeRecord) {
        let id = record.partition;
        let current = self
            .partition(id)
            .unwrap_or_else(|| panic!("partition {id} is not there"));
        let next = current.merge(record);
        self.replace_partition(id, Some(Shared::new(next)));
    }

    fn apply_remove_topic(&mut self, id: Uuid) {
        let topic = self
            .topics
            .get(&id)
            .unwrap_or_else(|| panic!("topic {id} is not there"));
        let topic = topic.clone();
        for &partition in topic.partitions.keys() {
            self.replace_partition(
                TopicIdPartition {
                    topic_id: id,
                    partition,
                },
                None,
            );
        }
        self.topics.remove(&id);
        self.topic_ids.remove(&topic.name);
        self.index.remove_topic_name(&topic.name);
        toggle(&mut self.hash, Kind::Topic, (&topic.name, id));
        let configs = self
            .configs
            .remove(&ConfigResource::topic(&topic.name))
            .unwrap_or_default();
        for value in &configs {
            toggle(
                &mut self.hash,
                Kind::Config,
                (ConfigResource::topic(&topic.name), value),
            );
        }
    }

    /// Keeps index and hash in step; gives what was there before.
    fn replace_partition(
        &mut self,
        id: TopicIdPartition,
        next: Option<Shared<PartitionRegistration>>,
    ) -> Option<Shared<PartitionRegistration>> {
        let topic = self.topics.get_mut(&id.topic_id);
        let topic = topic
            .unwrap_or_else(|| panic!("topic of {id} is not there"))
            .make_mut();
        let previous = match &next {
            Some(next) => topic.partitions.insert(id.partition, next.clone()),
            None => topic.partitions.remove(&id.partition),
        };
        if let Some(previous) = &previous {
            self.index.remove(id, previous);
            toggle(&mut self.hash, Kind::Partition, (id, &**previous));
        }
        if let Some(next) = &next {
            self.index.add(id, next);
            toggle(&mut self.hash, Kind::Partition, (id, &**next));
        }
        previous
    }

    fn apply_config(&mut self, resource: &ConfigResource, name: &str, value: Option<&str>) {
        let values = self.configs.entry(resource.clone()).or_default();
        let previous = match value {
            Some(value) => values.insert(name.to_owned(), value.to_owned()),
            None => values.remove(name),
        };
        if values.is_empty() {
            self.configs.remove(resource);
        }
        if let Some(previous) = previous {
            toggle(&mut self.hash, Kind::Config, (resource, (name, previous)));
        }
        if let Some(value) = value {
            toggle(&mut self.hash, Kind::Config, (resource, (name, value)));
        }
    }

    fn apply_feature(&mut self, name: &str, level: i16) {
        let previous = match level {
            0 => self.features.remove(name),
            level => self.features.insert(name.to_owned(), level),
        };
        if let Some(previous) = previous {
            toggle(&mut self.hash, Kind::Feature, (name, previous));
        }
        if level != 0 {
            toggle(&mut self.hash, Kind::Feature, (name, level));
        }
    }

    fn apply_producer_ids(
        &mut self,
        broker: NodeId,
        broker_epoch: BrokerEpoch,
        next_producer_id: i64,
    ) {
        let current = self.producer_ids;
        let grows = next_producer_id > current.next_producer_id;
        // KAFKA-20031: an equal one would give the same block to two brokers.
        assert!(
            grows || (mutant!(M_07) && next_producer_id == current.next_producer_id),
            "next producer id {next_producer_id} after {}",
            current.next_producer_id
        );
        if current != ProducerIds::default() {
            toggle(&mut self.hash, Kind::ProducerIds, current);
        }
        self.producer_ids = ProducerIds {
            broker,
            broker_epoch,
            next_producer_id,
        };
        if self.producer_ids != ProducerIds::default() {
            toggle(&mut self.hash, Kind::ProducerIds, self.producer_ids);
        }
    }

    fn apply_register_controller(&mut self, record: &RegisterControllerRecord) {
        toggle(&mut self.hash, Kind::Controller, record);
        if let Some(previous) = self.controllers.insert(record.controller, record.clone()) {
            toggle(&mut self.hash, Kind::Controller, &previous);
        }
    }

    /// The partition epoch grows too, as with every change of a partition.
    fn apply_clear_elr(&mut self, topic_name: Option<&str>) {
        let topics: Vec<Shared<TopicImage>> = match topic_name {
            Some(name) => {
                let id = self
                    .topic_id(name)
                    .unwrap_or_else(|| panic!("topic {name} is not there"));
                vec![self.topics[&id].clone()]
            }
            None => self.topics.values().cloned().collect(),
        };
        for topic in topics {
            for (&partition, registration) in &topic.partitions {
                self.clear_elr(
                    TopicIdPartition {
                        topic_id: topic.id,
                        partition,
                    },
                    registration,
                );
            }
        }
    }

    fn clear_elr(&mut self, id: TopicIdPartition, registration: &PartitionRegistration) {
        let nothing = registration.eligible_leader_replicas.is_empty()
            && registration.last_known_elr.is_empty();
        // Without an ISR there is no leader that could commit under the new value: the ELR stays complete,
        // and is all there is to elect from.
        if nothing || registration.isr.is_empty() {
            return;
        }
        let mut next = registration.clone();
        next.eligible_leader_replicas.clear();
        next.last_known_elr.clear();
        next.partition_epoch = PartitionEpoch(registration.partition_epoch.0 + 1);
        self.replace_partition(id, Some(Shared::new(next)));
    }
}
