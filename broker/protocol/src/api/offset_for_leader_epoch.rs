//! OffsetForLeaderEpoch: where a leader epoch ends (KIP-101, KIP-279).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(OffsetForLeaderEpoch, OffsetForLeaderEpochRequest => OffsetForLeaderEpochResponse, 2..=4);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochRequest {
    #[field(versions = "3+", default = -2, ignorable)]
    pub replica_id: i32,
    #[field(versions = "0+")]
    pub topics: Vec<OffsetForLeaderTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "4+")]
pub struct OffsetForLeaderTopic {
    #[field(versions = "0+")]
    pub topic: String,
    #[field(versions = "0+")]
    pub partitions: Vec<OffsetForLeaderPartition>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "4+")]
pub struct OffsetForLeaderPartition {
    #[field(versions = "0+")]
    pub partition: i32,
    #[field(versions = "2+", default = -1, ignorable)]
    pub current_leader_epoch: i32,
    #[field(versions = "0+")]
    pub leader_epoch: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "2-4", flexible = "4+")]
pub struct OffsetForLeaderEpochResponse {
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub topics: Vec<OffsetForLeaderTopicResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "4+")]
pub struct OffsetForLeaderTopicResult {
    #[field(versions = "0+")]
    pub topic: String,
    #[field(versions = "0+")]
    pub partitions: Vec<OffsetForLeaderEpochEpochEndOffset>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "4+")]
pub struct OffsetForLeaderEpochEpochEndOffset {
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub partition: i32,
    #[field(versions = "1+", default = -1, ignorable)]
    pub leader_epoch: i32,
    #[field(versions = "0+", default = -1)]
    pub end_offset: i64,
    pub unknown_tagged_fields: TaggedFields,
}
