//! LeaveGroup: members leave a classic group; several at once from v3.

use super::request;
use crate::codec::{Message, TaggedFields};

request!(LeaveGroup, LeaveGroupRequest => LeaveGroupResponse, 0..=5);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupRequest {
    #[field(versions = "0+")]
    pub group_id: String,
    #[field(versions = "0-2")]
    pub member_id: String,
    #[field(versions = "3+")]
    pub members: Vec<MemberIdentity>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "4+")]
pub struct MemberIdentity {
    #[field(versions = "3+")]
    pub member_id: String,
    #[field(versions = "3+", nullable = "3+", default = null)]
    pub group_instance_id: Option<String>,
    #[field(versions = "5+", nullable = "5+", default = null, ignorable)]
    pub reason: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-5", flexible = "4+")]
pub struct LeaveGroupResponse {
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "3+")]
    pub members: Vec<MemberResponse>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "4+")]
pub struct MemberResponse {
    #[field(versions = "3+")]
    pub member_id: String,
    #[field(versions = "3+", nullable = "3+")]
    pub group_instance_id: Option<String>,
    #[field(versions = "3+")]
    pub error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}
