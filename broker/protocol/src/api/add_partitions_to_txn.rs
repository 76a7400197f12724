//! AddPartitionsToTxn: a transaction will write to these partitions.
//!
//! Clients send one transaction, up to v3; brokers several, from v4, and may ask without adding (KIP-890).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(AddPartitionsToTxn, AddPartitionsToTxnRequest => AddPartitionsToTxnResponse, 0..=5);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "3+")]
pub struct AddPartitionsToTxnRequest {
    #[field(versions = "4+")]
    pub transactions: Vec<AddPartitionsToTxnTransaction>,
    #[field(versions = "0-3")]
    pub v3_and_below_transactional_id: String,
    #[field(versions = "0-3")]
    pub v3_and_below_producer_id: i64,
    #[field(versions = "0-3")]
    pub v3_and_below_producer_epoch: i16,
    #[field(versions = "0-3")]
    pub v3_and_below_topics: Vec<AddPartitionsToTxnTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct AddPartitionsToTxnTransaction {
    #[field(versions = "4+")]
    pub transactional_id: String,
    #[field(versions = "4+")]
    pub producer_id: i64,
    #[field(versions = "4+")]
    pub producer_epoch: i16,
    #[field(versions = "4+")]
    pub verify_only: bool,
    #[field(versions = "4+")]
    pub topics: Vec<AddPartitionsToTxnTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct AddPartitionsToTxnTopic {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "3+")]
pub struct AddPartitionsToTxnResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "4+", ignorable)]
    pub error_code: i16,
    #[field(versions = "4+")]
    pub results_by_transaction: Vec<AddPartitionsToTxnResult>,
    #[field(versions = "0-3")]
    pub results_by_topic_v3_and_below: Vec<AddPartitionsToTxnTopicResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct AddPartitionsToTxnResult {
    #[field(versions = "4+")]
    pub transactional_id: String,
    #[field(versions = "4+")]
    pub topic_results: Vec<AddPartitionsToTxnTopicResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct AddPartitionsToTxnTopicResult {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub results_by_partition: Vec<AddPartitionsToTxnPartitionResult>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct AddPartitionsToTxnPartitionResult {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub partition_error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}
