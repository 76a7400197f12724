//! UnregisterBroker: forgets a dead broker.

use super::request;
use crate::codec::{Message, TaggedFields};

request!(UnregisterBroker, UnregisterBrokerRequest => UnregisterBrokerResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UnregisterBrokerRequest {
    #[field(versions = "0+")]
    pub broker_id: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UnregisterBrokerResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+")]
    pub error_message: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}
