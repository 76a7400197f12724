//! OffsetFetch: a group's committed positions; several groups at once from v8.
//!
//! v10 (topic ids) is unstable in 4.1 and not advertised.

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(OffsetFetch, OffsetFetchRequest => OffsetFetchResponse, 1..=10);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchRequest {
    #[field(versions = "0-7")]
    pub group_id: String,
    #[field(versions = "0-7", nullable = "2-7")]
    pub topics: Option<Vec<OffsetFetchRequestTopic>>,
    #[field(versions = "8+")]
    pub groups: Vec<OffsetFetchRequestGroup>,
    #[field(versions = "7+")]
    pub require_stable: bool,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct OffsetFetchRequestTopic {
    #[field(versions = "0-7")]
    pub name: String,
    #[field(versions = "0-7")]
    pub partition_indexes: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct OffsetFetchRequestGroup {
    #[field(versions = "8+")]
    pub group_id: String,
    #[field(versions = "9+", nullable = "9+", default = null, ignorable)]
    pub member_id: Option<String>,
    #[field(versions = "9+", default = -1, ignorable)]
    pub member_epoch: i32,
    #[field(versions = "8+", nullable = "8+")]
    pub topics: Option<Vec<OffsetFetchRequestTopics>>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct OffsetFetchRequestTopics {
    #[field(versions = "8-9", ignorable)]
    pub name: String,
    #[field(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    #[field(versions = "8+")]
    pub partition_indexes: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "1-10", flexible = "6+")]
pub struct OffsetFetchResponse {
    #[field(versions = "3+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0-7")]
    pub topics: Vec<OffsetFetchResponseTopic>,
    #[field(versions = "2-7", ignorable)]
    pub error_code: i16,
    #[field(versions = "8+")]
    pub groups: Vec<OffsetFetchResponseGroup>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct OffsetFetchResponseTopic {
    #[field(versions = "0-7")]
    pub name: String,
    #[field(versions = "0-7")]
    pub partitions: Vec<OffsetFetchResponsePartition>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct OffsetFetchResponsePartition {
    #[field(versions = "0-7")]
    pub partition_index: i32,
    #[field(versions = "0-7")]
    pub committed_offset: i64,
    #[field(versions = "5-7", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    #[field(versions = "0-7", nullable = "0-7")]
    pub metadata: Option<String>,
    #[field(versions = "0-7")]
    pub error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct OffsetFetchResponseGroup {
    #[field(versions = "8+")]
    pub group_id: String,
    #[field(versions = "8+")]
    pub topics: Vec<OffsetFetchResponseTopics>,
    #[field(versions = "8+")]
    pub error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct OffsetFetchResponseTopics {
    #[field(versions = "8-9", ignorable)]
    pub name: String,
    #[field(versions = "10+", ignorable)]
    pub topic_id: Uuid,
    #[field(versions = "8+")]
    pub partitions: Vec<OffsetFetchResponsePartitions>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct OffsetFetchResponsePartitions {
    #[field(versions = "8+")]
    pub partition_index: i32,
    #[field(versions = "8+")]
    pub committed_offset: i64,
    #[field(versions = "8+", default = -1, ignorable)]
    pub committed_leader_epoch: i32,
    #[field(versions = "8+", nullable = "8+")]
    pub metadata: Option<String>,
    #[field(versions = "8+")]
    pub error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}
