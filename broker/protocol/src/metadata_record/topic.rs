//! Records about topics and their partitions.

use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

/// A topic is created.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct TopicRecord {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub topic_id: Uuid,
    pub unknown_tagged_fields: TaggedFields,
}

/// A partition as a whole: at creation, and in snapshots.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct PartitionRecord {
    #[field(versions = "0+", default = -1)]
    pub partition_id: i32,
    #[field(versions = "0+")]
    pub topic_id: Uuid,
    #[field(versions = "0+")]
    pub replicas: Vec<i32>,
    #[field(versions = "0+")]
    pub isr: Vec<i32>,
    #[field(versions = "0+")]
    pub removing_replicas: Vec<i32>,
    #[field(versions = "0+")]
    pub adding_replicas: Vec<i32>,
    /// -1: no leader.
    #[field(versions = "0+", default = -1)]
    pub leader: i32,
    /// 0: recovered; 1: recovering from an unclean election.
    #[field(tag = 0, tagged = "0+")]
    pub leader_recovery_state: i8,
    #[field(versions = "0+", default = -1)]
    pub leader_epoch: i32,
    #[field(versions = "0+", default = -1)]
    pub partition_epoch: i32,
    /// Log directory of each replica, in the order of `replicas` (KIP-858).
    #[field(versions = "1+")]
    pub directories: Vec<Uuid>,
    #[field(tag = 1, tagged = "2+", nullable = "2+", default = null)]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    #[field(tag = 2, tagged = "2+", nullable = "2+", default = null)]
    pub last_known_elr: Option<Vec<i32>>,
    pub unknown_tagged_fields: TaggedFields,
}

/// What changes of a partition; absent fields stay.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct PartitionChangeRecord {
    #[field(versions = "0+", default = -1)]
    pub partition_id: i32,
    #[field(versions = "0+")]
    pub topic_id: Uuid,
    #[field(tag = 0, tagged = "0+", nullable = "0+", default = null)]
    pub isr: Option<Vec<i32>>,
    /// -2: unchanged; -1: no leader.
    #[field(tag = 1, tagged = "0+", default = -2)]
    pub leader: i32,
    #[field(tag = 2, tagged = "0+", nullable = "0+", default = null)]
    pub replicas: Option<Vec<i32>>,
    #[field(tag = 3, tagged = "0+", nullable = "0+", default = null)]
    pub removing_replicas: Option<Vec<i32>>,
    #[field(tag = 4, tagged = "0+", nullable = "0+", default = null)]
    pub adding_replicas: Option<Vec<i32>>,
    /// -1: unchanged; 0: recovered; 1: recovering from an unclean election.
    #[field(tag = 5, tagged = "0+", default = -1)]
    pub leader_recovery_state: i8,
    /// Log directory of each replica, in the order of `replicas` (KIP-858).
    #[field(tag = 8, tagged = "1+", nullable = "1+", default = null)]
    pub directories: Option<Vec<Uuid>>,
    #[field(tag = 6, tagged = "2+", nullable = "2+", default = null)]
    pub eligible_leader_replicas: Option<Vec<i32>>,
    #[field(tag = 7, tagged = "2+", nullable = "2+", default = null)]
    pub last_known_elr: Option<Vec<i32>>,
    pub unknown_tagged_fields: TaggedFields,
}

/// A topic and its partitions are deleted.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveTopicRecord {
    #[field(versions = "0+")]
    pub topic_id: Uuid,
    pub unknown_tagged_fields: TaggedFields,
}

/// Eligible leader replicas of a topic, or of all, are dropped (KIP-966).
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ClearElrRecord {
    /// Empty: all topics.
    #[field(versions = "0+")]
    pub topic_name: String,
    pub unknown_tagged_fields: TaggedFields,
}
