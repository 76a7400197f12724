//! DeleteTopics: by name, from v6 also by id.

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(DeleteTopics, DeleteTopicsRequest => DeleteTopicsResponse, 1..=6);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsRequest {
    #[field(versions = "6+")]
    pub topics: Vec<DeleteTopicState>,
    #[field(versions = "0-5", ignorable)]
    pub topic_names: Vec<String>,
    #[field(versions = "0+")]
    pub timeout_ms: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "4+")]
pub struct DeleteTopicState {
    #[field(versions = "6+", nullable = "6+", default = null)]
    pub name: Option<String>,
    #[field(versions = "6+")]
    pub topic_id: Uuid,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "1-6", flexible = "4+")]
pub struct DeleteTopicsResponse {
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub responses: Vec<DeletableTopicResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "4+")]
pub struct DeletableTopicResult {
    #[field(versions = "0+", nullable = "6+")]
    pub name: Option<String>,
    #[field(versions = "6+", ignorable)]
    pub topic_id: Uuid,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub error_message: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}
