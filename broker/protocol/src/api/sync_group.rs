//! SyncGroup: the leader's assignment goes in, each member's own comes out.

use bytes::Bytes;

use super::request;
use crate::codec::{Message, TaggedFields};

request!(SyncGroup, SyncGroupRequest => SyncGroupResponse, 0..=5);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "4+")]
pub struct SyncGroupRequest {
    #[field(versions = "0+")]
    pub group_id: String,
    #[field(versions = "0+")]
    pub generation_id: i32,
    #[field(versions = "0+")]
    pub member_id: String,
    #[field(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<String>,
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_type: Option<String>,
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_name: Option<String>,
    #[field(versions = "0+")]
    pub assignments: Vec<SyncGroupRequestAssignment>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "4+")]
pub struct SyncGroupRequestAssignment {
    #[field(versions = "0+")]
    pub member_id: String,
    #[field(versions = "0+")]
    pub assignment: Bytes,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "4+")]
pub struct SyncGroupResponse {
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_type: Option<String>,
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub protocol_name: Option<String>,
    #[field(versions = "0+")]
    pub assignment: Bytes,
    pub unknown_tagged_fields: TaggedFields,
}
