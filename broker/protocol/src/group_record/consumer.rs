//! Records of consumer groups (KIP-848), as Kafka 4.1 writes them.
//!
//! Of each group: its epoch (key 3), the epoch of its target assignment (6), and of each member its subscription
//! (5), its target assignment (7) and what it has now (8). Key 4 was the metadata of subscribed topics until 4.0;
//! its hash is in the group's record since.

use bytes::Bytes;

use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

/// Key of what a group has one of: 3 its epoch, 6 its target assignment's.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0")]
pub struct ConsumerGroupKey {
    #[field(versions = "0")]
    pub group_id: String,
    pub unknown_tagged_fields: TaggedFields,
}

/// Key of what each member has one of: 5 its subscription, 7 its target assignment, 8 its current one.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0")]
pub struct ConsumerGroupMemberKey {
    #[field(versions = "0")]
    pub group_id: String,
    #[field(versions = "0")]
    pub member_id: String,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupMetadataValue {
    #[field(versions = "0+")]
    pub epoch: i32,
    #[field(tag = 0, tagged = "0+", versions = "0+")]
    pub metadata_hash: i64,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupMemberMetadataValue {
    #[field(versions = "0+", nullable = "0+")]
    pub instance_id: Option<String>,
    #[field(versions = "0+", nullable = "0+")]
    pub rack_id: Option<String>,
    #[field(versions = "0+")]
    pub client_id: String,
    #[field(versions = "0+")]
    pub client_host: String,
    #[field(versions = "0+")]
    pub subscribed_topic_names: Vec<String>,
    #[field(versions = "0+", nullable = "0+")]
    pub subscribed_topic_regex: Option<String>,
    #[field(versions = "0+", default = -1)]
    pub rebalance_timeout_ms: i32,
    #[field(versions = "0+", nullable = "0+")]
    pub server_assignor: Option<String>,
    /// Of a member that speaks the classic protocol.
    #[field(tag = 0, tagged = "0+", versions = "0+", nullable = "0+", default = null)]
    pub classic_member_metadata: Option<ClassicMemberMetadata>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ClassicMemberMetadata {
    #[field(versions = "0+")]
    pub session_timeout_ms: i32,
    #[field(versions = "0+")]
    pub supported_protocols: Vec<ClassicProtocol>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ClassicProtocol {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub metadata: Bytes,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMetadataValue {
    #[field(versions = "0+")]
    pub assignment_epoch: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupTargetAssignmentMemberValue {
    #[field(versions = "0+")]
    pub topic_partitions: Vec<AssignedTopicPartitions>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ConsumerGroupCurrentMemberAssignmentValue {
    #[field(versions = "0+")]
    pub member_epoch: i32,
    #[field(versions = "0+")]
    pub previous_member_epoch: i32,
    /// 0 stable, 1 unrevoked partitions, 2 unreleased partitions.
    #[field(versions = "0+")]
    pub state: i8,
    #[field(versions = "0+")]
    pub assigned_partitions: Vec<AssignedTopicPartitions>,
    #[field(versions = "0+")]
    pub partitions_pending_revocation: Vec<AssignedTopicPartitions>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AssignedTopicPartitions {
    #[field(versions = "0+")]
    pub topic_id: Uuid,
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}
