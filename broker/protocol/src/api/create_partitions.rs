//! CreatePartitions: raises a topic's partition count.

use super::request;
use crate::codec::{Message, TaggedFields};

request!(CreatePartitions, CreatePartitionsRequest => CreatePartitionsResponse, 0..=3);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsRequest {
    #[field(versions = "0+")]
    pub topics: Vec<CreatePartitionsTopic>,
    #[field(versions = "0+")]
    pub timeout_ms: i32,
    #[field(versions = "0+")]
    pub validate_only: bool,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "2+")]
pub struct CreatePartitionsTopic {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub count: i32,
    #[field(versions = "0+", nullable = "0+")]
    pub assignments: Option<Vec<CreatePartitionsAssignment>>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "2+")]
pub struct CreatePartitionsAssignment {
    #[field(versions = "0+")]
    pub broker_ids: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-3", flexible = "2+")]
pub struct CreatePartitionsResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub results: Vec<CreatePartitionsTopicResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "2+")]
pub struct CreatePartitionsTopicResult {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub error_message: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}
