//! ElectLeaders: gives preferred replicas their leadership back, or elects at the price of records
//! (KIP-183, KIP-460).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(ElectLeaders, ElectLeadersRequest => ElectLeadersResponse, 0..=2);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct ElectLeadersRequest {
    #[field(versions = "1+")]
    pub election_type: i8,
    #[field(versions = "0+", nullable = "0+")]
    pub topic_partitions: Option<Vec<ElectLeadersTopicPartitions>>,
    #[field(versions = "0+", default = 60_000)]
    pub timeout_ms: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "2+")]
pub struct ElectLeadersTopicPartitions {
    #[field(versions = "0+")]
    pub topic: String,
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "2+")]
pub struct ElectLeadersResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "1+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub replica_election_results: Vec<ReplicaElectionResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "2+")]
pub struct ReplicaElectionResult {
    #[field(versions = "0+")]
    pub topic: String,
    #[field(versions = "0+")]
    pub partition_result: Vec<ElectLeadersPartitionResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "2+")]
pub struct ElectLeadersPartitionResult {
    #[field(versions = "0+")]
    pub partition_id: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}
