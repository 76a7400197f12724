//! ListOffsets: the offset for a timestamp, or for one of the special timestamps -1 to -6.

use super::request;
use crate::codec::{Message, TaggedFields};

request!(ListOffsets, ListOffsetsRequest => ListOffsetsResponse, 1..=10);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "1-10", flexible = "6+")]
pub struct ListOffsetsRequest {
    #[field(versions = "0+")]
    pub replica_id: i32,
    #[field(versions = "2+")]
    pub isolation_level: i8,
    #[field(versions = "0+")]
    pub topics: Vec<ListOffsetsTopic>,
    #[field(versions = "10+", ignorable)]
    pub timeout_ms: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct ListOffsetsTopic {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<ListOffsetsPartition>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct ListOffsetsPartition {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "4+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    #[field(versions = "0+")]
    pub timestamp: i64,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "1-10", flexible = "6+")]
pub struct ListOffsetsResponse {
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub topics: Vec<ListOffsetsTopicResponse>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct ListOffsetsTopicResponse {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<ListOffsetsPartitionResponse>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct ListOffsetsPartitionResponse {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "1+", default = -1)]
    pub timestamp: i64,
    #[field(versions = "1+", default = -1)]
    pub offset: i64,
    #[field(versions = "4+", default = -1)]
    pub leader_epoch: i32,
    pub unknown_tagged_fields: TaggedFields,
}
