//! A consumer group of KIP-848, as the log has it; all of it is hard state.
//!
//! Each key of the log is a slot of its own, so that any subset that compaction may leave gives the same group
//! (GRP-3, G-10): the group's epoch, the target assignment's epoch, and of each member what it wants, what it
//! should have, and what it has. A member's epoch tells how far it is on its way from one to the other.
//!
//! Map: [`assignor`] who should have what · [`reconcile`] a member's next step there · `heartbeat` what
//! a member asks and is told · `leave` leaving, fencing, timers · `commit` which epochs commit and fetch offsets ·
//! `describe`.

pub mod assignor;
mod commit;
mod describe;
mod heartbeat;
mod leave;
pub mod reconcile;

use std::collections::{BTreeMap, BTreeSet};

use broker_probe::mutant;
use broker_protocol::ids::Uuid;

/// Partitions by topic.
pub type Partitions = BTreeMap<Uuid, BTreeSet<i32>>;

/// What the coordinator knows of topics.
pub trait Topics {
    /// Another one if any answer may have changed.
    fn version(&self) -> u64;
    fn topic(&self, name: &str) -> Option<Topic>;
    fn name(&self, id: Uuid) -> Option<String>;
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Topic {
    pub id: Uuid,
    pub partitions: i32,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConsumerGroup {
    pub epoch: Option<GroupEpoch>,
    /// Of the group, when the targets were computed.
    pub assignment_epoch: Option<i32>,
    pub subscriptions: BTreeMap<String, MemberSubscription>,
    pub targets: BTreeMap<String, Partitions>,
    pub current: BTreeMap<String, CurrentAssignment>,
    /// Member id of each instance id.
    instances: BTreeMap<String, String>,
    /// Who has a partition, be it only to revoke it.
    owners: BTreeMap<(Uuid, i32), String>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct GroupEpoch {
    pub epoch: i32,
    /// Of the subscribed topics (KIP-1101); 0: not known.
    pub metadata_hash: i64,
}

/// What a member wants.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct MemberSubscription {
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub topics: BTreeSet<String>,
    pub rebalance_timeout_ms: i32,
    pub server_assignor: Option<String>,
}

/// What a member has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CurrentAssignment {
    /// -2: a static member that is away.
    pub epoch: i32,
    /// The member may not have heard of `epoch` yet.
    pub previous_epoch: i32,
    pub state: MemberState,
    pub assigned: Partitions,
    pub pending_revocation: Partitions,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum MemberState {
    #[default]
    Stable,
    /// It has to give up partitions first.
    UnrevokedPartitions,
    /// Others have not given up yet what it gets.
    UnreleasedPartitions,
}

/// A member is away, and comes back under its instance id.
pub const LEAVE_STATIC_EPOCH: i32 = -2;
pub const LEAVE_EPOCH: i32 = -1;

impl Default for CurrentAssignment {
    /// One that has just come.
    fn default() -> CurrentAssignment {
        CurrentAssignment {
            epoch: 0,
            previous_epoch: -1,
            state: MemberState::Stable,
            assigned: Partitions::new(),
            pending_revocation: Partitions::new(),
        }
    }
}

impl CurrentAssignment {
    pub fn is_reconciled_to(&self, epoch: i32) -> bool {
        self.state == MemberState::Stable && self.epoch == epoch
    }

    /// All that it may still read from.
    pub fn owned(&self) -> impl Iterator<Item = (Uuid, i32)> {
        each(&self.assigned).chain(each(&self.pending_revocation))
    }
}

impl ConsumerGroup {
    pub(super) const NONE: ConsumerGroup = ConsumerGroup {
        epoch: None,
        assignment_epoch: None,
        subscriptions: BTreeMap::new(),
        targets: BTreeMap::new(),
        current: BTreeMap::new(),
        instances: BTreeMap::new(),
        owners: BTreeMap::new(),
    };

    pub fn exists(&self) -> bool {
        self.epoch.is_some()
    }

    pub fn group_epoch(&self) -> i32 {
        self.epoch.map_or(0, |epoch| epoch.epoch)
    }

    pub fn target_epoch(&self) -> i32 {
        self.assignment_epoch.unwrap_or(0)
    }

    pub fn has_members(&self) -> bool {
        !self.subscriptions.is_empty() || !self.current.is_empty()
    }

    pub fn owner(&self, topic: Uuid, partition: i32) -> Option<&String> {
        self.owners.get(&(topic, partition))
    }

    pub fn static_member(&self, instance_id: &str) -> Option<&String> {
        self.instances.get(instance_id)
    }

    #[cfg(any(test, feature = "testbed"))]
    pub(super) fn owners_are(&self, owners: &BTreeMap<(Uuid, i32), String>) -> bool {
        self.owners == *owners
    }

    #[cfg(any(test, feature = "testbed"))]
    pub(super) fn instances(&self) -> impl Iterator<Item = &String> {
        self.instances.values()
    }

    /// Kafka's name of it.
    pub fn state(&self) -> &'static str {
        if !self.has_members() {
            "Empty"
        } else if self.group_epoch() > self.target_epoch() {
            "Assigning"
        } else if self.is_reconciled() {
            "Stable"
        } else {
            "Reconciling"
        }
    }

    fn is_reconciled(&self) -> bool {
        let target = self.target_epoch();
        self.current
            .values()
            .all(|member| member.is_reconciled_to(target))
    }

    /// The topics that some member wants.
    pub fn subscribed_topics(&self) -> BTreeSet<&String> {
        let members = self.subscriptions.values();
        members.flat_map(|member| &member.topics).collect()
    }

    /// Changes if a subscribed topic comes, goes, or grows.
    pub fn metadata_hash(&self, topics: &dyn Topics) -> i64 {
        let mut hash = Fnv::default();
        for name in self.subscribed_topics() {
            if let Some(topic) = topics.topic(name) {
                hash.write(name.as_bytes());
                hash.write(&topic.id.0);
                hash.write(&topic.partitions.to_be_bytes());
            }
        }
        hash.0.cast_signed()
    }

    pub(super) fn set_subscription(&mut self, id: &str, value: Option<MemberSubscription>) {
        assert!(
            value.is_some() || self.subscriptions.contains_key(id) || !mutant!(G_10),
            "a tombstone of {id}, who is no member"
        );
        if let Some(before) = self.subscriptions.remove(id)
            && let Some(instance) = &before.instance_id
            && self.instances.get(instance).is_some_and(|now| now == id)
            && !mutant!(G_14)
        {
            self.instances.remove(instance);
        }
        if let Some(value) = value {
            if let Some(instance) = &value.instance_id {
                self.instances.insert(instance.clone(), id.to_string());
            }
            self.subscriptions.insert(id.to_string(), value);
        }
    }

    pub(super) fn set_current(&mut self, id: &str, value: Option<CurrentAssignment>) {
        if let Some(before) = self.current.remove(id) {
            for partition in before.owned() {
                // After compaction the record by which another one lost it may be missing (G-10).
                if self.owners.get(&partition).is_some_and(|owner| owner == id) {
                    self.owners.remove(&partition);
                }
            }
        }
        if let Some(value) = value {
            for partition in value.owned() {
                self.owners.insert(partition, id.to_string());
            }
            self.current.insert(id.to_string(), value);
        }
    }
}

pub(super) fn set<T>(slots: &mut BTreeMap<String, T>, id: &str, value: Option<T>) {
    match value {
        Some(value) => drop(slots.insert(id.to_string(), value)),
        None => drop(slots.remove(id)),
    }
}

pub fn each(partitions: &Partitions) -> impl Iterator<Item = (Uuid, i32)> {
    let topics = partitions.iter();
    topics.flat_map(|(topic, partitions)| partitions.iter().map(|partition| (*topic, *partition)))
}

pub fn contains(partitions: &Partitions, topic: Uuid, partition: i32) -> bool {
    let of_topic = partitions.get(&topic);
    of_topic.is_some_and(|of_topic| of_topic.contains(&partition))
}

/// FNV-1a: the same on every coordinator and in every release.
struct Fnv(u64);

impl Default for Fnv {
    fn default() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }
}

impl Fnv {
    fn write(&mut self, bytes: &[u8]) {
        for byte in bytes.iter().chain(&[0xff]) {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3);
        }
    }
}
