//! The image's fingerprint: exclusive or of one hash per entity, so each change costs only itself.

use std::hash::{DefaultHasher, Hash, Hasher};

use super::MetadataImage;

/// What kind of entity a hash is of; keeps equal values of different kinds apart.
#[derive(Clone, Copy, Hash)]
pub(super) enum Kind {
    Broker,
    Controller,
    Topic,
    Partition,
    Config,
    Feature,
    ProducerIds,
}

/// SipHash with the fixed keys of `DefaultHasher::new`: the same in every process of one build.
fn entity_hash(kind: Kind, entity: impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    kind.hash(&mut hasher);
    entity.hash(&mut hasher);
    hasher.finish()
}

/// Adds an entity to the fingerprint, or takes it out again.
pub(super) fn toggle(hash: &mut u64, kind: Kind, entity: impl Hash) {
    *hash ^= entity_hash(kind, entity);
}

impl MetadataImage {
    /// The fingerprint computed from scratch: what the kept one must equal.
    pub fn recomputed_hash(&self) -> u64 {
        let mut hash = 0;
        self.brokers
            .values()
            .for_each(|broker| toggle(&mut hash, Kind::Broker, broker));
        self.controllers
            .values()
            .for_each(|controller| toggle(&mut hash, Kind::Controller, controller));
        for topic in self.topics() {
            toggle(&mut hash, Kind::Topic, (&topic.name, topic.id));
        }
        for (partition, registration) in self.partitions() {
            toggle(&mut hash, Kind::Partition, (partition, registration));
        }
        for (resource, values) in &self.configs {
            values
                .iter()
                .for_each(|value| toggle(&mut hash, Kind::Config, (resource, value)));
        }
        self.features
            .iter()
            .for_each(|feature| toggle(&mut hash, Kind::Feature, feature));
        if self.producer_ids != Default::default() {
            toggle(&mut hash, Kind::ProducerIds, self.producer_ids);
        }
        hash
    }
}
