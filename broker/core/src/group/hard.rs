//! What is in the log: committed offsets, those of open transactions, and each group's last record.

use std::collections::{BTreeMap, BTreeSet};

use broker_probe::{mutant, probe};

use super::consumer_group::{ConsumerGroup, set};
use super::record::{Entry, GroupMetadata, OffsetAndMetadata, Record};

/// A topic's name and one of its partitions.
pub type TopicPartition = (String, i32);

/// Rebuilt by replay; only [`Hard::apply`] changes it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Hard {
    pub(super) groups: BTreeMap<String, Group>,
    /// By producer id, the groups that its open transaction commits offsets of.
    pub(super) transactions: BTreeMap<i64, BTreeSet<String>>,
}

/// A group as the log has it; one without members and metadata is a simple one, that only stores offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Group {
    /// Of a classic group.
    pub metadata: Option<GroupMetadata>,
    /// Of a consumer group (KIP-848).
    pub consumers: ConsumerGroup,
    pub offsets: BTreeMap<TopicPartition, OffsetAndMetadata>,
    /// Of open transactions, in the log's order.
    pub pending: BTreeMap<TopicPartition, Vec<PendingOffset>>,
}

/// An offset that counts if its transaction commits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PendingOffset {
    pub producer_id: i64,
    pub value: OffsetAndMetadata,
    /// A record behind it counts already, and compaction keeps that one: it must win now, too (KAFKA-5247).
    pub superseded: bool,
}

impl Hard {
    pub fn group(&self, id: &str) -> Option<&Group> {
        self.groups.get(id)
    }

    /// What there is of a consumer group, if anything.
    pub fn consumers(&self, id: &str) -> &ConsumerGroup {
        static NONE: ConsumerGroup = ConsumerGroup::NONE;
        self.groups.get(id).map_or(&NONE, |group| &group.consumers)
    }

    pub fn groups(&self) -> impl Iterator<Item = (&String, &Group)> {
        self.groups.iter()
    }

    /// Takes any record in any state: after compaction a tombstone may be all that is left of something, and
    /// offsets may come before their group (G-10).
    pub fn apply(&mut self, entry: &Entry) {
        match entry {
            Entry::Record(record) => self.apply_record(record, None),
            Entry::Transactional {
                producer_id,
                record,
            } => self.apply_record(record, Some(*producer_id)),
            Entry::Marker {
                producer_id,
                committed,
            } => self.end_transaction(*producer_id, *committed),
        }
    }

    pub(super) fn apply_record(&mut self, record: &Record, producer_id: Option<i64>) {
        let id = record.group();
        let group = self.groups.entry(id.to_string()).or_default();
        let consumers = &mut group.consumers;
        match record {
            Record::Offset {
                topic,
                partition,
                value,
                ..
            } => {
                let key = (topic.clone(), *partition);
                match (value, producer_id) {
                    (Some(value), None) => group.commit(key, value.clone()),
                    (Some(value), Some(producer_id)) => {
                        group.pend(key, producer_id, value.clone());
                        let groups = self.transactions.entry(producer_id).or_default();
                        groups.insert(id.to_string());
                    }
                    (None, _) => group.forget(&key),
                }
            }
            Record::Group { value, .. } => group.metadata.clone_from(value),
            Record::ConsumerGroup { value, .. } => consumers.epoch = *value,
            Record::TargetEpoch { value, .. } => consumers.assignment_epoch = *value,
            Record::Subscription { member, value, .. } => {
                consumers.set_subscription(member, value.clone());
            }
            Record::TargetAssignment { member, value, .. } => {
                set(&mut consumers.targets, member, value.clone());
            }
            Record::CurrentAssignment { member, value, .. } => {
                consumers.set_current(member, value.clone());
            }
        }
        self.remove_if_empty(record.group());
    }

    fn end_transaction(&mut self, producer_id: i64, committed: bool) {
        for id in self.transactions.remove(&producer_id).unwrap_or_default() {
            let Some(group) = self.groups.get_mut(&id) else {
                probe!("group: a transaction ended after its group was deleted");
                continue;
            };
            group.end_transaction(producer_id, committed);
            self.remove_if_empty(&id);
        }
    }

    fn remove_if_empty(&mut self, id: &str) {
        if self
            .groups
            .get(id)
            .is_some_and(|group| *group == Group::default())
        {
            self.groups.remove(id);
        }
    }
}

impl Group {
    /// All partitions with an offset, be it only one of an open transaction.
    pub(super) fn partitions(&self) -> BTreeSet<&TopicPartition> {
        self.offsets.keys().chain(self.pending.keys()).collect()
    }

    fn commit(&mut self, key: TopicPartition, value: OffsetAndMetadata) {
        for before in self.pending.get_mut(&key).into_iter().flatten() {
            before.superseded = true;
        }
        self.offsets.insert(key, value);
    }

    fn pend(&mut self, key: TopicPartition, producer_id: i64, value: OffsetAndMetadata) {
        let pending = self.pending.entry(key).or_default();
        pending.retain(|before| before.producer_id != producer_id);
        pending.push(PendingOffset {
            producer_id,
            value,
            superseded: false,
        });
    }

    fn forget(&mut self, key: &TopicPartition) {
        self.offsets.remove(key);
        self.pending.remove(key);
    }

    fn end_transaction(&mut self, producer_id: i64, committed: bool) {
        let offsets = &mut self.offsets;
        self.pending.retain(|key, pending| {
            let found = pending
                .iter()
                .position(|pending| pending.producer_id == producer_id);
            let Some(at) = found else {
                return true;
            };
            let ended = pending.remove(at);
            if committed && (!ended.superseded || mutant!(G_07)) {
                for before in &mut pending[..at] {
                    before.superseded = true;
                }
                offsets.insert(key.clone(), ended.value);
            } else if committed {
                probe!("group: a later commit counts more than a transaction's");
            }
            !pending.is_empty()
        });
    }
}
