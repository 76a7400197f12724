//! ListPartitionReassignments: moves of replicas that are under way (KIP-455).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(ListPartitionReassignments, ListPartitionReassignmentsRequest => ListPartitionReassignmentsResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsRequest {
    #[field(versions = "0+", default = 60_000)]
    pub timeout_ms: i32,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub topics: Option<Vec<ListPartitionReassignmentsTopics>>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ListPartitionReassignmentsTopics {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partition_indexes: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct ListPartitionReassignmentsResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    #[field(versions = "0+")]
    pub topics: Vec<OngoingTopicReassignment>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct OngoingTopicReassignment {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<OngoingPartitionReassignment>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct OngoingPartitionReassignment {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub replicas: Vec<i32>,
    #[field(versions = "0+")]
    pub adding_replicas: Vec<i32>,
    #[field(versions = "0+")]
    pub removing_replicas: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}
