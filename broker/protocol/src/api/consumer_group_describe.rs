//! ConsumerGroupDescribe: state and members of consumer groups of KIP-848.

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(ConsumerGroupDescribe, ConsumerGroupDescribeRequest => ConsumerGroupDescribeResponse, 0..=1);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupDescribeRequest {
    #[field(versions = "0+")]
    pub group_ids: Vec<String>,
    #[field(versions = "0+")]
    pub include_authorized_operations: bool,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct ConsumerGroupDescribeResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub groups: Vec<DescribedConsumerGroup>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribedConsumerGroup {
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub error_message: Option<String>,
    #[field(versions = "0+")]
    pub group_id: String,
    #[field(versions = "0+")]
    pub group_state: String,
    #[field(versions = "0+")]
    pub group_epoch: i32,
    #[field(versions = "0+")]
    pub assignment_epoch: i32,
    #[field(versions = "0+")]
    pub assignor_name: String,
    #[field(versions = "0+")]
    pub members: Vec<DescribedConsumerGroupMember>,
    #[field(versions = "0+", default = i32::MIN)]
    pub authorized_operations: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribedConsumerGroupMember {
    #[field(versions = "0+")]
    pub member_id: String,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub instance_id: Option<String>,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub rack_id: Option<String>,
    #[field(versions = "0+")]
    pub member_epoch: i32,
    #[field(versions = "0+")]
    pub client_id: String,
    #[field(versions = "0+")]
    pub client_host: String,
    #[field(versions = "0+")]
    pub subscribed_topic_names: Vec<String>,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub subscribed_topic_regex: Option<String>,
    #[field(versions = "0+")]
    pub assignment: DescribedConsumerGroupAssignment,
    #[field(versions = "0+")]
    pub target_assignment: DescribedConsumerGroupAssignment,
    /// -1 unknown, 0 classic, 1 consumer.
    #[field(versions = "1+", default = -1, ignorable)]
    pub member_type: i8,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribedConsumerGroupAssignment {
    #[field(versions = "0+")]
    pub topic_partitions: Vec<DescribedTopicPartitions>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribedTopicPartitions {
    #[field(versions = "0+")]
    pub topic_id: Uuid,
    #[field(versions = "0+")]
    pub topic_name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}
