//! DescribeQuorum: leader, voters and observers of the metadata quorum, with their lag.

use super::request;
use crate::codec::{Message, TaggedFields};
use crate::ids::Uuid;

request!(DescribeQuorum, DescribeQuorumRequest => DescribeQuorumResponse, 0..=2);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumRequest {
    #[field(versions = "0+")]
    pub topics: Vec<DescribeQuorumRequestTopicData>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribeQuorumRequestTopicData {
    #[field(versions = "0+")]
    pub topic_name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<DescribeQuorumRequestPartitionData>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribeQuorumRequestPartitionData {
    #[field(versions = "0+")]
    pub partition_index: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeQuorumResponse {
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "2+", nullable = "2+", ignorable)]
    pub error_message: Option<String>,
    #[field(versions = "0+")]
    pub topics: Vec<DescribeQuorumResponseTopicData>,
    #[field(versions = "2+")]
    pub nodes: Vec<Node>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribeQuorumResponseTopicData {
    #[field(versions = "0+")]
    pub topic_name: String,
    #[field(versions = "0+")]
    pub partitions: Vec<DescribeQuorumResponsePartitionData>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribeQuorumResponsePartitionData {
    #[field(versions = "0+")]
    pub partition_index: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "2+", nullable = "2+", ignorable)]
    pub error_message: Option<String>,
    #[field(versions = "0+")]
    pub leader_id: i32,
    #[field(versions = "0+")]
    pub leader_epoch: i32,
    #[field(versions = "0+")]
    pub high_watermark: i64,
    #[field(versions = "0+")]
    pub current_voters: Vec<DescribeQuorumReplicaState>,
    #[field(versions = "0+")]
    pub observers: Vec<DescribeQuorumReplicaState>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribeQuorumReplicaState {
    #[field(versions = "0+")]
    pub replica_id: i32,
    #[field(versions = "2+")]
    pub replica_directory_id: Uuid,
    #[field(versions = "0+")]
    pub log_end_offset: i64,
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_fetch_timestamp: i64,
    #[field(versions = "1+", default = -1, ignorable)]
    pub last_caught_up_timestamp: i64,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct Node {
    #[field(versions = "2+")]
    pub node_id: i32,
    #[field(versions = "2+")]
    pub listeners: Vec<DescribeQuorumListener>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribeQuorumListener {
    #[field(versions = "2+")]
    pub name: String,
    #[field(versions = "2+")]
    pub host: String,
    #[field(versions = "2+")]
    pub port: u16,
    pub unknown_tagged_fields: TaggedFields,
}
