//! Produce: record batches into partitions.
//!
//! Topics are named by id from v13. Versions 0-2 are advertised but not implemented (KAFKA-18659).

use bytes::Bytes;

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(Produce, ProduceRequest => ProduceResponse, 3..=13);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "3-13", flexible = "9+")]
pub struct ProduceRequest {
    #[field(versions = "3+", nullable = "3+", default = null)]
    pub transactional_id: Option<String>,
    #[field(versions = "0+")]
    pub acks: i16,
    #[field(versions = "0+")]
    pub timeout_ms: i32,
    #[field(versions = "0+")]
    pub topic_data: Vec<TopicProduceData>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "9+")]
pub struct TopicProduceData {
    #[field(versions = "0-12", ignorable)]
    pub name: String,
    #[field(versions = "13+", ignorable)]
    pub topic_id: Uuid,
    #[field(versions = "0+")]
    pub partition_data: Vec<PartitionProduceData>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "9+")]
pub struct PartitionProduceData {
    #[field(versions = "0+")]
    pub index: i32,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub records: Option<Bytes>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "3-13", flexible = "9+")]
pub struct ProduceResponse {
    #[field(versions = "0+")]
    pub responses: Vec<TopicProduceResponse>,
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "10+", tag = 0, tagged = "10+")]
    pub node_endpoints: Vec<ProduceNodeEndpoint>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "9+")]
pub struct TopicProduceResponse {
    #[field(versions = "0-12", ignorable)]
    pub name: String,
    #[field(versions = "13+", ignorable)]
    pub topic_id: Uuid,
    #[field(versions = "0+")]
    pub partition_responses: Vec<PartitionProduceResponse>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "9+")]
pub struct PartitionProduceResponse {
    #[field(versions = "0+")]
    pub index: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub base_offset: i64,
    #[field(versions = "2+", default = -1, ignorable)]
    pub log_append_time_ms: i64,
    #[field(versions = "5+", default = -1, ignorable)]
    pub log_start_offset: i64,
    #[field(versions = "8+", ignorable)]
    pub record_errors: Vec<BatchIndexAndErrorMessage>,
    #[field(versions = "8+", nullable = "8+", default = null, ignorable)]
    pub error_message: Option<String>,
    #[field(versions = "10+", tag = 0, tagged = "10+")]
    pub current_leader: ProduceLeaderIdAndEpoch,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "9+")]
pub struct BatchIndexAndErrorMessage {
    #[field(versions = "8+")]
    pub batch_index: i32,
    #[field(versions = "8+", nullable = "8+", default = null)]
    pub batch_index_error_message: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "9+")]
pub struct ProduceLeaderIdAndEpoch {
    #[field(versions = "10+", default = -1)]
    pub leader_id: i32,
    #[field(versions = "10+", default = -1)]
    pub leader_epoch: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "9+")]
pub struct ProduceNodeEndpoint {
    #[field(versions = "10+")]
    pub node_id: i32,
    #[field(versions = "10+")]
    pub host: String,
    #[field(versions = "10+")]
    pub port: i32,
    #[field(versions = "10+", nullable = "10+", default = null)]
    pub rack: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}
