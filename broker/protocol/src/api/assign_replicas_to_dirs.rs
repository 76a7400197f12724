//! AssignReplicasToDirs: a broker tells the controller which log directory hosts which replica (KIP-858).

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(AssignReplicasToDirs, AssignReplicasToDirsRequest => AssignReplicasToDirsResponse, 0..=0);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AssignReplicasToDirsRequest {
    #[field(versions = "0+")]
    pub broker_id: i32,
    #[field(versions = "0+", default = -1)]
    pub broker_epoch: i64,
    #[field(versions = "0+")]
    pub directories: Vec<AssignReplicasToDirsRequestDirectory>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AssignReplicasToDirsRequestDirectory {
    #[field(versions = "0+")]
    pub id: Uuid,
    #[field(versions = "0+")]
    pub topics: Vec<AssignReplicasToDirsRequestTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AssignReplicasToDirsRequestTopic {
    #[field(versions = "0+")]
    pub topic_id: Uuid,
    #[field(versions = "0+")]
    pub partitions: Vec<AssignReplicasToDirsRequestPartition>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AssignReplicasToDirsRequestPartition {
    #[field(versions = "0+")]
    pub partition_index: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct AssignReplicasToDirsResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub directories: Vec<AssignReplicasToDirsResponseDirectory>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AssignReplicasToDirsResponseDirectory {
    #[field(versions = "0+")]
    pub id: Uuid,
    #[field(versions = "0+")]
    pub topics: Vec<AssignReplicasToDirsResponseTopic>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AssignReplicasToDirsResponseTopic {
    #[field(versions = "0+")]
    pub topic_id: Uuid,
    #[field(versions = "0+")]
    pub partitions: Vec<AssignReplicasToDirsResponsePartition>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct AssignReplicasToDirsResponsePartition {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    pub unknown_tagged_fields: TaggedFields,
}
