//! Lookups derived from the partitions: who is where, what is leaderless, which names collide.

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ids::{NodeId, TopicIdPartition};

use super::super::partition::PartitionRegistration;
use super::Shared;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Index {
    pub replicas: ByBroker,
    pub isr: ByBroker,
    pub elr: ByBroker,
    pub leaderless: Shared<BTreeSet<TopicIdPartition>>,
    pub imbalanced: Shared<BTreeSet<TopicIdPartition>>,
    pub reassigning: Shared<BTreeSet<TopicIdPartition>>,
    pub partition_count: usize,
    leader_counts: BTreeMap<NodeId, usize>,
    preferred_counts: BTreeMap<NodeId, usize>,
    /// Topics by their name with `.` as `_`, only those that have one of the two.
    collisions: BTreeMap<String, BTreeSet<String>>,
}

impl Index {
    pub fn add(&mut self, id: TopicIdPartition, partition: &PartitionRegistration) {
        self.partition_count += 1;
        self.replicas.add(id, &partition.replicas);
        self.isr.add(id, &partition.isr);
        self.elr.add(id, &partition.eligible_leader_replicas);
        match partition.leader {
            Some(leader) => *self.leader_counts.entry(leader).or_insert(0) += 1,
            None => _ = self.leaderless.make_mut().insert(id),
        }
        if let Some(preferred) = partition.preferred_leader() {
            *self.preferred_counts.entry(preferred).or_insert(0) += 1;
        }
        if is_imbalanced(partition) {
            self.imbalanced.make_mut().insert(id);
        }
        if partition.is_reassigning() {
            self.reassigning.make_mut().insert(id);
        }
    }

    pub fn remove(&mut self, id: TopicIdPartition, partition: &PartitionRegistration) {
        self.partition_count -= 1;
        self.replicas.remove(id, &partition.replicas);
        self.isr.remove(id, &partition.isr);
        self.elr.remove(id, &partition.eligible_leader_replicas);
        match partition.leader {
            Some(leader) => count_down(&mut self.leader_counts, leader),
            None => _ = self.leaderless.make_mut().remove(&id),
        }
        if let Some(preferred) = partition.preferred_leader() {
            count_down(&mut self.preferred_counts, preferred);
        }
        if is_imbalanced(partition) {
            self.imbalanced.make_mut().remove(&id);
        }
        if partition.is_reassigning() {
            self.reassigning.make_mut().remove(&id);
        }
    }

    pub fn preferred_count(&self, broker: NodeId) -> usize {
        self.preferred_counts.get(&broker).copied().unwrap_or(0)
    }

    pub fn leader_count(&self, broker: NodeId) -> usize {
        self.leader_counts.get(&broker).copied().unwrap_or(0)
    }

    pub fn add_topic_name(&mut self, name: &str) {
        if has_collision_characters(name) {
            self.collisions
                .entry(unify(name))
                .or_default()
                .insert(name.to_owned());
        }
    }

    pub fn remove_topic_name(&mut self, name: &str) {
        let unified = unify(name);
        if let Some(names) = self.collisions.get_mut(&unified) {
            names.remove(name);
            if names.is_empty() {
                self.collisions.remove(&unified);
            }
        }
    }

    pub fn colliding_topic(&self, name: &str) -> Option<&str> {
        let names = self.collisions.get(&unify(name))?;
        names.first().map(String::as_str)
    }
}

fn count_down(counts: &mut BTreeMap<NodeId, usize>, broker: NodeId) {
    let count = counts
        .get_mut(&broker)
        .expect("counted when the partition was added");
    *count -= 1;
    if *count == 0 {
        counts.remove(&broker);
    }
}

fn is_imbalanced(partition: &PartitionRegistration) -> bool {
    partition.leader != partition.preferred_leader()
}

fn has_collision_characters(name: &str) -> bool {
    name.contains(['.', '_'])
}

fn unify(name: &str) -> String {
    name.replace('.', "_")
}

/// The partitions of each broker, in one role.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct ByBroker {
    partitions: BTreeMap<NodeId, Shared<BTreeSet<TopicIdPartition>>>,
}

impl ByBroker {
    pub fn of(&self, broker: NodeId) -> impl Iterator<Item = TopicIdPartition> {
        self.partitions
            .get(&broker)
            .into_iter()
            .flat_map(|set| set.iter().copied())
    }

    fn add(&mut self, id: TopicIdPartition, brokers: &[NodeId]) {
        for &broker in brokers {
            self.partitions
                .entry(broker)
                .or_default()
                .make_mut()
                .insert(id);
        }
    }

    fn remove(&mut self, id: TopicIdPartition, brokers: &[NodeId]) {
        for broker in brokers {
            let set = self
                .partitions
                .get_mut(broker)
                .expect("indexed when the partition was added");
            set.make_mut().remove(&id);
            if set.is_empty() {
                self.partitions.remove(broker);
            }
        }
    }
}
