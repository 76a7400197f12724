//! AlterPartition: a leader asks the controller to change its partition's ISR (KIP-497).

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(AlterPartition, AlterPartitionRequest => AlterPartitionResponse, 2..=3);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "2-3", flexible = "0+")]
pub struct AlterPartitionRequest {
    #[field(versions = "0+")]
    pub broker_id: i32,
    #[field(versions = "0+", default = -1)]
    pub broker_epoch: i64,
    #[field(versions = "0+")]
    pub topics: Vec<AlterPartitionRequestTopicData>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AlterPartitionRequestTopicData {
    #[field(versions = "2+", ignorable)]
    pub topic_id: Uuid,
    #[field(versions = "0+")]
    pub partitions: Vec<AlterPartitionRequestPartitionData>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AlterPartitionRequestPartitionData {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub leader_epoch: i32,
    #[field(versions = "0-2")]
    pub new_isr: Vec<i32>,
    #[field(versions = "3+")]
    pub new_isr_with_epochs: Vec<BrokerState>,
    #[field(versions = "1+")]
    pub leader_recovery_state: i8,
    #[field(versions = "0+")]
    pub partition_epoch: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct BrokerState {
    #[field(versions = "3+")]
    pub broker_id: i32,
    #[field(versions = "3+", default = -1)]
    pub broker_epoch: i64,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "2-3", flexible = "0+")]
pub struct AlterPartitionResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub topics: Vec<AlterPartitionResponseTopicData>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AlterPartitionResponseTopicData {
    #[field(versions = "2+", ignorable)]
    pub topic_id: Uuid,
    #[field(versions = "0+")]
    pub partitions: Vec<AlterPartitionResponsePartitionData>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AlterPartitionResponsePartitionData {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub leader_id: i32,
    #[field(versions = "0+")]
    pub leader_epoch: i32,
    #[field(versions = "0+")]
    pub isr: Vec<i32>,
    #[field(versions = "1+", ignorable)]
    pub leader_recovery_state: i8,
    #[field(versions = "0+")]
    pub partition_epoch: i32,
    pub unknown_tagged_fields: TaggedFields,
}
