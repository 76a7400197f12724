//! ConsumerGroupHeartbeat: a member of a consumer group of KIP-848 says what it wants and has, and is told what
//! it gets.
//!
//! Whatever has not changed since the last heartbeat is left out. A regular expression from v1.

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(ConsumerGroupHeartbeat, ConsumerGroupHeartbeatRequest => ConsumerGroupHeartbeatResponse, 0..=1);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupHeartbeatRequest {
    #[field(versions = "0+")]
    pub group_id: String,
    /// From v1 the member's own choice; before, the coordinator's.
    #[field(versions = "0+")]
    pub member_id: String,
    /// 0 joins, -1 leaves, -2 leaves as a static member that comes back.
    #[field(versions = "0+")]
    pub member_epoch: i32,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub instance_id: Option<String>,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub rack_id: Option<String>,
    #[field(versions = "0+", default = -1)]
    pub rebalance_timeout_ms: i32,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub subscribed_topic_names: Option<Vec<String>>,
    #[field(versions = "1+", nullable = "1+", default = null)]
    pub subscribed_topic_regex: Option<String>,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub server_assignor: Option<String>,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub topic_partitions: Option<Vec<ConsumerGroupTopicPartitions>>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ConsumerGroupTopicPartitions {
    #[field(versions = "0+")]
    pub topic_id: Uuid,
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupHeartbeatResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub error_message: Option<String>,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub member_id: Option<String>,
    #[field(versions = "0+")]
    pub member_epoch: i32,
    #[field(versions = "0+")]
    pub heartbeat_interval_ms: i32,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub assignment: Option<ConsumerGroupHeartbeatAssignment>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ConsumerGroupHeartbeatAssignment {
    #[field(versions = "0+")]
    pub topic_partitions: Vec<ConsumerGroupTopicPartitions>,
    pub unknown_tagged_fields: TaggedFields,
}
