//! FetchSnapshot: a metadata snapshot, chunk by chunk (KIP-630).
//!
//! `unaligned_records` may start and end inside a batch.

use bytes::Bytes;

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(FetchSnapshot, FetchSnapshotRequest => FetchSnapshotResponse, 0..=1);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct FetchSnapshotRequest {
    #[field(versions = "0+", nullable = "0+", tag = 0, tagged = "0+", default = null)]
    pub cluster_id: Option<String>,
    #[field(versions = "0+", default = -1)]
    pub replica_id: i32,
    #[field(versions = "0+", default = i32::MAX)]
    pub max_bytes: i32,
    #[field(versions = "0+")]
    pub topics: Vec<FetchSnapshotRequestTopicSnapshot>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct FetchSnapshotRequestTopicSnapshot {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<FetchSnapshotRequestPartitionSnapshot>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct FetchSnapshotRequestPartitionSnapshot {
    #[field(versions = "0+")]
    pub partition: i32,
    #[field(versions = "0+")]
    pub current_leader_epoch: i32,
    #[field(versions = "0+")]
    pub snapshot_id: FetchSnapshotRequestSnapshotId,
    #[field(versions = "0+")]
    pub position: i64,
    #[field(versions = "1+", tag = 0, tagged = "1+", ignorable)]
    pub replica_directory_id: Uuid,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct FetchSnapshotRequestSnapshotId {
    #[field(versions = "0+")]
    pub end_offset: i64,
    #[field(versions = "0+")]
    pub epoch: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct FetchSnapshotResponse {
    #[field(versions = "0+", ignorable)]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub topics: Vec<FetchSnapshotResponseTopicSnapshot>,
    #[field(versions = "1+", tag = 0, tagged = "1+")]
    pub node_endpoints: Vec<FetchSnapshotNodeEndpoint>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct FetchSnapshotResponseTopicSnapshot {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<FetchSnapshotResponsePartitionSnapshot>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct FetchSnapshotResponsePartitionSnapshot {
    #[field(versions = "0+")]
    pub index: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+")]
    pub snapshot_id: FetchSnapshotResponseSnapshotId,
    #[field(versions = "0+", tag = 0, tagged = "0+")]
    pub current_leader: FetchSnapshotLeaderIdAndEpoch,
    #[field(versions = "0+")]
    pub size: i64,
    #[field(versions = "0+")]
    pub position: i64,
    #[field(versions = "0+")]
    pub unaligned_records: Bytes,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct FetchSnapshotResponseSnapshotId {
    #[field(versions = "0+")]
    pub end_offset: i64,
    #[field(versions = "0+")]
    pub epoch: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct FetchSnapshotLeaderIdAndEpoch {
    #[field(versions = "0+")]
    pub leader_id: i32,
    #[field(versions = "0+")]
    pub leader_epoch: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct FetchSnapshotNodeEndpoint {
    #[field(versions = "1+")]
    pub node_id: i32,
    #[field(versions = "1+")]
    pub host: String,
    #[field(versions = "1+")]
    pub port: u16,
    pub unknown_tagged_fields: TaggedFields,
}
