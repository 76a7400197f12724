//! DescribeCluster: cluster id, controller and endpoints (KIP-700).

use super::request;
use crate::codec::{Message, TaggedFields};

request!(DescribeCluster, DescribeClusterRequest => DescribeClusterResponse, 0..=2);

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterRequest {
    #[field(versions = "0+")]
    pub include_cluster_authorized_operations: bool,
    #[field(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    #[field(versions = "2+")]
    pub include_fenced_brokers: bool,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-2", flexible = "0+")]
pub struct DescribeClusterResponse {
    #[field(versions = "0+")]
    pub throttle_time_ms: i32,
    #[field(versions = "0+")]
    pub error_code: i16,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub error_message: Option<String>,
    #[field(versions = "1+", default = 1)]
    pub endpoint_type: i8,
    #[field(versions = "0+")]
    pub cluster_id: String,
    #[field(versions = "0+", default = -1)]
    pub controller_id: i32,
    #[field(versions = "0+")]
    pub brokers: Vec<DescribeClusterBroker>,
    #[field(versions = "0+", default = i32::MIN)]
    pub cluster_authorized_operations: i32,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct DescribeClusterBroker {
    #[field(versions = "0+")]
    pub broker_id: i32,
    #[field(versions = "0+")]
    pub host: String,
    #[field(versions = "0+")]
    pub port: i32,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub rack: Option<String>,
    #[field(versions = "2+")]
    pub is_fenced: bool,
    pub unknown_tagged_fields: TaggedFields,
}
