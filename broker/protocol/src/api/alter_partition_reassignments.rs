//! AlterPartitionReassignments: starts and cancels moves of replicas (KIP-455, KIP-860).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(AlterPartitionReassignments, AlterPartitionReassignmentsRequest => AlterPartitionReassignmentsResponse, 0..=1);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct AlterPartitionReassignmentsRequest {
    #[field(versions = "0+", default = 60_000)]
    pub timeout_ms: i32,
    #[field(versions = "1+", default = true)]
    pub allow_replication_factor_change: bool,
    #[field(versions = "0+")]
    pub topics: Vec<ReassignableTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ReassignableTopic {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<ReassignablePartition>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ReassignablePartition {
    #[field(versions = "0+")]
    pub partition_index: i32,
    /// `None` cancels.
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub replicas: Option<Vec<i32>>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct AlterPartitionReassignmentsResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "1+", default = true, ignorable)]
    pub allow_replication_factor_change: bool,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    #[field(versions = "0+")]
    pub responses: Vec<ReassignableTopicResponse>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ReassignableTopicResponse {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<ReassignablePartitionResponse>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ReassignablePartitionResponse {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}
