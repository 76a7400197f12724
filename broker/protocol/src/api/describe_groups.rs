//! DescribeGroups: state and members of classic groups.

use bytes::Bytes;

use super::request;
use crate::codec::{Message, TaggedFields};

request!(DescribeGroups, DescribeGroupsRequest => DescribeGroupsResponse, 0..=6);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsRequest {
    #[field(versions = "0+")]
    pub groups: Vec<String>,
    #[field(versions = "3+")]
    pub include_authorized_operations: bool,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-6", flexible = "5+")]
pub struct DescribeGroupsResponse {
    #[field(versions = "1+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub groups: Vec<DescribedGroup>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "5+")]
pub struct DescribedGroup {
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "6+", nullable = "6+", default = null)]
    pub error_message: Option<String>,
    #[field(versions = "0+")]
    pub group_id: String,
    #[field(versions = "0+")]
    pub group_state: String,
    #[field(versions = "0+")]
    pub protocol_type: String,
    #[field(versions = "0+")]
    pub protocol_data: String,
    #[field(versions = "0+")]
    pub members: Vec<DescribedGroupMember>,
    #[field(versions = "3+", default = i32::MIN)]
    pub authorized_operations: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "5+")]
pub struct DescribedGroupMember {
    #[field(versions = "0+")]
    pub member_id: String,
    #[field(versions = "4+", nullable = "4+", default = null, ignorable)]
    pub group_instance_id: Option<String>,
    #[field(versions = "0+")]
    pub client_id: String,
    #[field(versions = "0+")]
    pub client_host: String,
    #[field(versions = "0+")]
    pub member_metadata: Bytes,
    #[field(versions = "0+")]
    pub member_assignment: Bytes,
    pub unknown_tagged_fields: TaggedFields,
}
