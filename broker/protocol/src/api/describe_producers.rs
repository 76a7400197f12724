//! DescribeProducers: who writes to a partition, and since where a transaction is open (KIP-664).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(DescribeProducers, DescribeProducersRequest => DescribeProducersResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeProducersRequest {
    #[field(versions = "0+")]
    pub topics: Vec<DescribeProducersRequestTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribeProducersRequestTopic {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partition_indexes: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeProducersResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub topics: Vec<DescribeProducersResponseTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribeProducersResponseTopic {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<DescribeProducersResponsePartition>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribeProducersResponsePartition {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub error_message: Option<String>,
    #[field(versions = "0+")]
    pub active_producers: Vec<ActiveProducer>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ActiveProducer {
    #[field(versions = "0+")]
    pub producer_id: i64,
    #[field(versions = "0+")]
    pub producer_epoch: i32,
    #[field(versions = "0+", default = -1)]
    pub last_sequence: i32,
    #[field(versions = "0+", default = -1)]
    pub last_timestamp: i64,
    #[field(versions = "0+")]
    pub coordinator_epoch: i32,
    #[field(versions = "0+", default = -1)]
    pub current_txn_start_offset: i64,
    pub unknown_tagged_fields: TaggedFields,
}
