//! EndTxn: commits or aborts a transaction. From v5 the answer carries the epoch of the next one (KIP-890).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(EndTxn, EndTxnRequest => EndTxnResponse, 0..=5);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "3+")]
pub struct EndTxnRequest {
    #[field(versions = "0+")]
    pub transactional_id: String,
    #[field(versions = "0+")]
    pub producer_id: i64,
    #[field(versions = "0+")]
    pub producer_epoch: i16,
    #[field(versions = "0+")]
    pub committed: bool,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "3+")]
pub struct EndTxnResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "5+", default = -1, ignorable)]
    pub producer_id: i64,
    #[field(versions = "5+", default = -1, ignorable)]
    pub producer_epoch: i16,
    pub unknown_tagged_fields: TaggedFields,
}
