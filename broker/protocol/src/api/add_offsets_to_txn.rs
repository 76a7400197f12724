//! AddOffsetsToTxn: a transaction will commit offsets of a group.

use super::request;
use crate::codec::{Message, TaggedFields};

request!(AddOffsetsToTxn, AddOffsetsToTxnRequest => AddOffsetsToTxnResponse, 0..=4);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "3+")]
pub struct AddOffsetsToTxnRequest {
    #[field(versions = "0+")]
    pub transactional_id: String,
    #[field(versions = "0+")]
    pub producer_id: i64,
    #[field(versions = "0+")]
    pub producer_epoch: i16,
    #[field(versions = "0+")]
    pub group_id: String,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "3+")]
pub struct AddOffsetsToTxnResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}
