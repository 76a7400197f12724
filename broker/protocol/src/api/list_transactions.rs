//! ListTransactions: the transactional ids a coordinator has (KIP-664), by age from v1 (KIP-994) and by a
//! pattern of their name from v2 (KIP-1152).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(ListTransactions, ListTransactionsRequest => ListTransactionsResponse, 0..=2);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct ListTransactionsRequest {
    #[field(versions = "0+")]
    pub state_filters: Vec<String>,
    #[field(versions = "0+")]
    pub producer_id_filters: Vec<i64>,
    #[field(versions = "1+", default = -1)]
    pub duration_filter: i64,
    #[field(versions = "2+", nullable = "2+", default = null)]
    pub transactional_id_pattern: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct ListTransactionsResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub unknown_state_filters: Vec<String>,
    #[field(versions = "0+")]
    pub transaction_states: Vec<ListedTransaction>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct ListedTransaction {
    #[field(versions = "0+")]
    pub transactional_id: String,
    #[field(versions = "0+")]
    pub producer_id: i64,
    #[field(versions = "0+")]
    pub transaction_state: String,
    pub unknown_tagged_fields: TaggedFields,
}
