//! AddRaftVoter: a controller becomes a voter of the metadata quorum (KIP-853).

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(AddRaftVoter, AddRaftVoterRequest => AddRaftVoterResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AddRaftVoterRequest {
    #[field(versions = "0+", nullable = "0+")]
    pub cluster_id: Option<String>,
    /// How long the leader may take until the change is committed.
    #[field(versions = "0+")]
    pub timeout_ms: i32,
    #[field(versions = "0+")]
    pub voter_id: i32,
    #[field(versions = "0+")]
    pub voter_directory_id: Uuid,
    #[field(versions = "0+")]
    pub listeners: Vec<AddRaftVoterListener>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AddRaftVoterListener {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub host: String,
    #[field(versions = "0+")]
    pub port: u16,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AddRaftVoterResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+", ignorable)]
    pub error_message: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}
