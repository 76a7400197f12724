//! Envelope: a broker forwards a client's request to the controller (KIP-590).

use bytes::Bytes;

use super::request;
use crate::codec::{Message, TaggedFields};

request!(Envelope, EnvelopeRequest => EnvelopeResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct EnvelopeRequest {
    #[field(versions = "0+")]
    pub request_data: Bytes,
    #[field(versions = "0+", nullable = "0+")]
    pub request_principal: Option<Bytes>,
    #[field(versions = "0+")]
    pub client_host_address: Bytes,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct EnvelopeResponse {
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub response_data: Option<Bytes>,
    #[field(versions = "0+")]
    pub error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}
