//! OffsetDelete: forgets a group's positions (KIP-496).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(OffsetDelete, OffsetDeleteRequest => OffsetDeleteResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0")]
pub struct OffsetDeleteRequest {
    #[field(versions = "0+")]
    pub group_id: String,
    #[field(versions = "0+")]
    pub topics: Vec<OffsetDeleteRequestTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message()]
pub struct OffsetDeleteRequestTopic {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<OffsetDeleteRequestPartition>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message()]
pub struct OffsetDeleteRequestPartition {
    #[field(versions = "0+")]
    pub partition_index: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0")]
pub struct OffsetDeleteResponse {
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub topics: Vec<OffsetDeleteResponseTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message()]
pub struct OffsetDeleteResponseTopic {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<OffsetDeleteResponsePartition>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message()]
pub struct OffsetDeleteResponsePartition {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}
