//! The image as records: what a snapshot (`.checkpoint`, KIP-630) holds.

use super::super::record::{Record, RegisterBrokerRecord};
use super::{BrokerRegistration, MetadataImage, ProducerIds, TopicImage};
use broker_protocol::ids::TopicIdPartition;

impl MetadataImage {
    /// Records that, applied to an empty image, give this one.
    pub fn to_records(&self) -> Vec<Record> {
        let mut records = Vec::new();
        for (name, &level) in &self.features {
            records.push(Record::FeatureLevel {
                name: name.clone(),
                level,
            });
        }
        records.extend(self.brokers.values().map(register_broker));
        records.extend(
            self.controllers
                .values()
                .cloned()
                .map(Record::RegisterController),
        );
        for topic in self.topics() {
            topic_records(topic, &mut records);
        }
        for (resource, values) in &self.configs {
            records.extend(values.iter().map(|(name, value)| Record::Config {
                resource: resource.clone(),
                name: name.clone(),
                value: Some(value.clone()),
            }));
        }
        let ProducerIds {
            broker,
            broker_epoch,
            next_producer_id,
        } = self.producer_ids;
        if next_producer_id > 0 {
            records.push(Record::ProducerIds {
                broker,
                broker_epoch,
                next_producer_id,
            });
        }
        let version = self.metadata_version();
        let records = records.into_iter();
        records.filter_map(|record| version.lower(record)).collect()
    }
}

fn register_broker(broker: &BrokerRegistration) -> Record {
    Record::RegisterBroker(RegisterBrokerRecord {
        broker: broker.id,
        incarnation_id: broker.incarnation_id,
        epoch: broker.epoch,
        endpoints: broker.endpoints.clone(),
        features: broker.features.clone(),
        rack: broker.rack.clone(),
        fenced: broker.fenced,
        in_controlled_shutdown: broker.in_controlled_shutdown,
        log_directories: broker.log_directories.clone(),
    })
}

fn topic_records(topic: &TopicImage, records: &mut Vec<Record>) {
    records.push(Record::Topic {
        name: topic.name.clone(),
        topic_id: topic.id,
    });
    for (&partition, registration) in &topic.partitions {
        let id = TopicIdPartition {
            topic_id: topic.id,
            partition,
        };
        records.push(Record::Partition(registration.to_record(id)));
    }
}
