//! BrokerHeartbeat: keeps a broker unfenced; carries its wish to be fenced or to shut down.

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(BrokerHeartbeat, BrokerHeartbeatRequest => BrokerHeartbeatResponse, 0..=1);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct BrokerHeartbeatRequest {
    #[field(versions = "0+")]
    pub broker_id: i32,
    #[field(versions = "0+", default = -1)]
    pub broker_epoch: i64,
    #[field(versions = "0+")]
    pub current_metadata_offset: i64,
    #[field(versions = "0+")]
    pub want_fence: bool,
    #[field(versions = "0+")]
    pub want_shut_down: bool,
    #[field(versions = "1+", tag = 0, tagged = "1+")]
    pub offline_log_dirs: Vec<Uuid>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct BrokerHeartbeatResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub is_caught_up: bool,
    #[field(versions = "0+", default = true)]
    pub is_fenced: bool,
    #[field(versions = "0+")]
    pub should_shut_down: bool,
    pub unknown_tagged_fields: TaggedFields,
}
