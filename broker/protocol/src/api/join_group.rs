//! JoinGroup: enters a classic group's rebalance.

use bytes::Bytes;

use super::request;
use crate::codec::{Message, TaggedFields};

request!(JoinGroup, JoinGroupRequest => JoinGroupResponse, 0..=9);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-9", flexible = "6+")]
pub struct JoinGroupRequest {
    #[field(versions = "0+")]
    pub group_id: String,
    #[field(versions = "0+")]
    pub session_timeout_ms: i32,
    #[field(versions = "1+", default = -1, ignorable)]
    pub rebalance_timeout_ms: i32,
    #[field(versions = "0+")]
    pub member_id: String,
    #[field(versions = "5+", nullable = "5+", default = null)]
    pub group_instance_id: Option<String>,
    #[field(versions = "0+")]
    pub protocol_type: String,
    #[field(versions = "0+")]
    pub protocols: Vec<JoinGroupRequestProtocol>,
    #[field(versions = "8+", nullable = "8+", default = null, ignorable)]
    pub reason: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct JoinGroupRequestProtocol {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub metadata: Bytes,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-9", flexible = "6+")]
pub struct JoinGroupResponse {
    #[field(versions = "2+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", default = -1)]
    pub generation_id: i32,
    #[field(versions = "7+", nullable = "7+", default = null, ignorable)]
    pub protocol_type: Option<String>,
    #[field(versions = "0+", nullable = "7+")]
    pub protocol_name: Option<String>,
    #[field(versions = "0+")]
    pub leader: String,
    #[field(versions = "9+")]
    pub skip_assignment: bool,
    #[field(versions = "0+")]
    pub member_id: String,
    #[field(versions = "0+")]
    pub members: Vec<JoinGroupResponseMember>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "6+")]
pub struct JoinGroupResponseMember {
    #[field(versions = "0+")]
    pub member_id: String,
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub group_instance_id: Option<String>,
    #[field(versions = "0+")]
    pub metadata: Bytes,
    pub unknown_tagged_fields: TaggedFields,
}
