//! RemoveRaftVoter: a voter of the metadata quorum becomes an observer (KIP-853).

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(RemoveRaftVoter, RemoveRaftVoterRequest => RemoveRaftVoterResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveRaftVoterRequest {
    #[field(versions = "0+", nullable = "0+")]
    pub cluster_id: Option<String>,
    #[field(versions = "0+")]
    pub voter_id: i32,
    #[field(versions = "0+")]
    pub voter_directory_id: Uuid,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct RemoveRaftVoterResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+", ignorable)]
    pub error_message: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}
