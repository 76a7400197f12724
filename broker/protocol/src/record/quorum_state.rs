//! Content of the file `quorum-state`: what a quorum member must not forget. Kafka writes its fields as JSON.

use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

/// Epoch, vote and leader. Version 0 belongs to `kraft.version` 0, version 1 to 1 (KIP-853).
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct QuorumStateData {
    #[field(versions = "0")]
    pub cluster_id: String,
    #[field(versions = "0+", default = -1)]
    pub leader_id: i32,
    #[field(versions = "0+", default = -1)]
    pub leader_epoch: i32,
    #[field(versions = "0+", default = -1)]
    pub voted_id: i32,
    #[field(versions = "1+")]
    pub voted_directory_id: Uuid,
    #[field(versions = "0")]
    pub applied_offset: i64,
    #[field(versions = "0", nullable = "0")]
    pub current_voters: Option<Vec<QuorumStateVoter>>,
    pub unknown_tagged_fields: TaggedFields,
}

/// A voter in a version 0 [`QuorumStateData`].
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct QuorumStateVoter {
    #[field(versions = "0")]
    pub voter_id: i32,
    pub unknown_tagged_fields: TaggedFields,
}
