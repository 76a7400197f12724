//! Heartbeat: keeps a member of a classic group alive.

use super::request;
use crate::codec::{Message, TaggedFields};

request!(Heartbeat, HeartbeatRequest => HeartbeatResponse, 0..=4);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "4+")]
pub struct HeartbeatRequest {
    #[field(versions = "0+")]
    pub group_id: String,
    #[field(versions = "0+")]
    pub generation_id: i32,
    #[field(versions = "0+")]
    pub member_id: String,
    #[field(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "4+")]
pub struct HeartbeatResponse {
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}
