//! FindCoordinator: which broker coordinates a group, a transactional id or a share partition.
//!
//! Several keys at once from v4.

use super::request;
use crate::codec::{Message, TaggedFields};

request!(FindCoordinator, FindCoordinatorRequest => FindCoordinatorResponse, 0..=6);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorRequest {
    #[field(versions = "0-3")]
    pub key: String,
    #[field(versions = "1+")]
    pub key_type: i8,
    #[field(versions = "4+")]
    pub coordinator_keys: Vec<String>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-6", flexible = "3+")]
pub struct FindCoordinatorResponse {
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0-3")]
    pub error_code: i16,
    #[field(versions = "1-3", nullable = "1-3", ignorable)]
    pub error_message: Option<String>,
    #[field(versions = "0-3")]
    pub node_id: i32,
    #[field(versions = "0-3")]
    pub host: String,
    #[field(versions = "0-3")]
    pub port: i32,
    #[field(versions = "4+")]
    pub coordinators: Vec<Coordinator>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "3+")]
pub struct Coordinator {
    #[field(versions = "4+")]
    pub key: String,
    #[field(versions = "4+")]
    pub node_id: i32,
    #[field(versions = "4+")]
    pub host: String,
    #[field(versions = "4+")]
    pub port: i32,
    #[field(versions = "4+")]
    pub error_code: i16,
    #[field(versions = "4+", nullable = "4+", ignorable)]
    pub error_message: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}
