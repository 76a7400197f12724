//! AllocateProducerIds: a block of producer ids for one broker (KIP-730).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(AllocateProducerIds, AllocateProducerIdsRequest => AllocateProducerIdsResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AllocateProducerIdsRequest {
    #[field(versions = "0+")]
    pub broker_id: i32,
    #[field(versions = "0+", default = -1)]
    pub broker_epoch: i64,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AllocateProducerIdsResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub producer_id_start: i64,
    #[field(versions = "0+")]
    pub producer_id_len: i32,
    pub unknown_tagged_fields: TaggedFields,
}
