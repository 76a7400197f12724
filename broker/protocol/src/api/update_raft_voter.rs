//! UpdateRaftVoter: a voter tells the leader its endpoints and the `kraft.version` it supports (KIP-853).

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(UpdateRaftVoter, UpdateRaftVoterRequest => UpdateRaftVoterResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UpdateRaftVoterRequest {
    #[field(versions = "0+", nullable = "0+")]
    pub cluster_id: Option<String>,
    /// -1 unknown.
    #[field(versions = "0+")]
    pub current_leader_epoch: i32,
    #[field(versions = "0+")]
    pub voter_id: i32,
    #[field(versions = "0+")]
    pub voter_directory_id: Uuid,
    #[field(versions = "0+")]
    pub listeners: Vec<UpdateRaftVoterListener>,
    #[field(versions = "0+")]
    pub k_raft_version_feature: UpdateRaftVoterKRaftVersionFeature,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct UpdateRaftVoterListener {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub host: String,
    #[field(versions = "0+")]
    pub port: u16,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct UpdateRaftVoterKRaftVersionFeature {
    #[field(versions = "0+")]
    pub min_supported_version: i16,
    #[field(versions = "0+")]
    pub max_supported_version: i16,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct UpdateRaftVoterResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", tag = 0, tagged = "0+")]
    pub current_leader: UpdateRaftVoterCurrentLeader,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct UpdateRaftVoterCurrentLeader {
    #[field(versions = "0+", default = -1)]
    pub leader_id: i32,
    #[field(versions = "0+", default = -1)]
    pub leader_epoch: i32,
    #[field(versions = "0+")]
    pub host: String,
    #[field(versions = "0+")]
    pub port: i32,
    pub unknown_tagged_fields: TaggedFields,
}
