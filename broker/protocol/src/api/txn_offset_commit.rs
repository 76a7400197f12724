//! TxnOffsetCommit: a group's positions, which count once the transaction commits.
//!
//! Member and generation from v3 (KIP-447); from v5 the offsets join the transaction by themselves (KIP-890).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(TxnOffsetCommit, TxnOffsetCommitRequest => TxnOffsetCommitResponse, 0..=5);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "3+")]
pub struct TxnOffsetCommitRequest {
    #[field(versions = "0+")]
    pub transactional_id: String,
    #[field(versions = "0+")]
    pub group_id: String,
    #[field(versions = "0+")]
    pub producer_id: i64,
    #[field(versions = "0+")]
    pub producer_epoch: i16,
    #[field(versions = "3+", default = -1)]
    pub generation_id: i32,
    #[field(versions = "3+")]
    pub member_id: String,
    #[field(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<String>,
    #[field(versions = "0+")]
    pub topics: Vec<TxnOffsetCommitRequestTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct TxnOffsetCommitRequestTopic {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<TxnOffsetCommitRequestPartition>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct TxnOffsetCommitRequestPartition {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub committed_offset: i64,
    #[field(versions = "2+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    #[field(versions = "0+", nullable = "0+")]
    pub committed_metadata: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "3+")]
pub struct TxnOffsetCommitResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub topics: Vec<TxnOffsetCommitResponseTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct TxnOffsetCommitResponseTopic {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<TxnOffsetCommitResponsePartition>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct TxnOffsetCommitResponsePartition {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}
