//! The cluster's nodes and its metadata quorum.

use std::time::Duration;

use broker_env::Address;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, Uuid};

use super::{Admin, Verdict, verdict};
use crate::error::AdminError;

const METADATA_TOPIC: &str = "__cluster_metadata";

/// The cluster as a broker sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterDescription {
    pub cluster_id: String,
    /// Any broker that forwards to the controller.
    pub controller: Option<NodeId>,
    pub nodes: Vec<ClusterNode>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ClusterNode {
    pub id: NodeId,
    pub address: Address,
    pub rack: Option<String>,
}

/// The metadata quorum as its leader sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumInfo {
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    pub high_watermark: i64,
    pub voters: Vec<QuorumReplica>,
    pub observers: Vec<QuorumReplica>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumReplica {
    pub id: NodeId,
    pub directory_id: Uuid,
    pub log_end_offset: i64,
    /// Milliseconds since the epoch; -1 unknown.
    pub last_fetch_timestamp: i64,
    /// Milliseconds since the epoch; -1 unknown.
    pub last_caught_up_timestamp: i64,
}

impl Admin {
    /// # Errors
    /// No broker answered within `limit`.
    pub async fn describe_cluster(
        &self,
        limit: Duration,
    ) -> Result<ClusterDescription, AdminError> {
        let described = |response: wire::DescribeClusterResponse| {
            let message = response.error_message.clone();
            verdict(response.error_code, message, || cluster(response))
        };
        self.one(limit, wire::DescribeClusterRequest::default, described)
            .await
    }

    /// # Errors
    /// No broker answered, or none knew a leader of the quorum, within `limit`.
    pub async fn describe_quorum(&self, limit: Duration) -> Result<QuorumInfo, AdminError> {
        let request = || {
            let partitions = vec![wire::DescribeQuorumRequestPartitionData::default()];
            let topic_name = METADATA_TOPIC.to_string();
            let topic = wire::DescribeQuorumRequestTopicData {
                topic_name,
                partitions,
                ..Default::default()
            };
            wire::DescribeQuorumRequest {
                topics: vec![topic],
                ..Default::default()
            }
        };
        self.one(limit, request, quorum).await
    }
}

fn cluster(response: wire::DescribeClusterResponse) -> ClusterDescription {
    let node = |broker: wire::DescribeClusterBroker| {
        let port = u16::try_from(broker.port).ok()?;
        let address = Address::new(broker.host, port);
        Some(ClusterNode {
            id: NodeId(broker.broker_id),
            address,
            rack: broker.rack,
        })
    };
    ClusterDescription {
        cluster_id: response.cluster_id,
        controller: (response.controller_id >= 0).then_some(NodeId(response.controller_id)),
        nodes: response.brokers.into_iter().filter_map(node).collect(),
    }
}

fn quorum(response: wire::DescribeQuorumResponse) -> Verdict<QuorumInfo> {
    let top = ErrorCode::from_code_or_unknown(response.error_code);
    if top.is_error() {
        return Err((top, response.error_message));
    }
    let partition = response
        .topics
        .into_iter()
        .flat_map(|topic| topic.partitions)
        .next();
    let Some(partition) = partition else {
        return Err((
            ErrorCode::UnknownServerError,
            Some("an answer without the metadata partition".to_string()),
        ));
    };
    let message = partition.error_message.clone();
    verdict(partition.error_code, message, || QuorumInfo {
        leader: NodeId(partition.leader_id),
        leader_epoch: LeaderEpoch(partition.leader_epoch),
        high_watermark: partition.high_watermark,
        voters: partition.current_voters.into_iter().map(replica).collect(),
        observers: partition.observers.into_iter().map(replica).collect(),
    })
}

fn replica(state: wire::DescribeQuorumReplicaState) -> QuorumReplica {
    QuorumReplica {
        id: NodeId(state.replica_id),
        directory_id: state.replica_directory_id,
        log_end_offset: state.log_end_offset,
        last_fetch_timestamp: state.last_fetch_timestamp,
        last_caught_up_timestamp: state.last_caught_up_timestamp,
    }
}
