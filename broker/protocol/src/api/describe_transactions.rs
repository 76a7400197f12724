//! DescribeTransactions: what a coordinator knows of transactional ids (KIP-664).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(DescribeTransactions, DescribeTransactionsRequest => DescribeTransactionsResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeTransactionsRequest {
    #[field(versions = "0+")]
    pub transactional_ids: Vec<String>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct DescribeTransactionsResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub transaction_states: Vec<DescribedTransaction>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribedTransaction {
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub transactional_id: String,
    #[field(versions = "0+")]
    pub transaction_state: String,
    #[field(versions = "0+")]
    pub transaction_timeout_ms: i32,
    #[field(versions = "0+")]
    pub transaction_start_time_ms: i64,
    #[field(versions = "0+")]
    pub producer_id: i64,
    #[field(versions = "0+")]
    pub producer_epoch: i16,
    #[field(versions = "0+")]
    pub topics: Vec<DescribedTransactionTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribedTransactionTopic {
    #[field(versions = "0+")]
    pub topic: String,
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}
