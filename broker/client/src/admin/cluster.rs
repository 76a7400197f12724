//! The cluster's nodes and its metadata quorum.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_env::Address;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, ReplicaKey, Uuid};

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
    /// Where the voters listen, by listener.
    pub endpoints: BTreeMap<NodeId, Vec<VoterEndpoint>>,
}

/// Where a voter listens as a controller.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct VoterEndpoint {
    /// Listener name.
    pub name: String,
    pub address: Address,
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

    /// Makes a controller, which already fetches as an observer, a voter (KIP-853).
    ///
    /// # Errors
    /// DUPLICATE_VOTER, UNSUPPORTED_VERSION while `kraft.version` is 0, or no answer within `limit`.
    pub async fn add_voter(
        &self,
        voter: ReplicaKey,
        endpoints: &[VoterEndpoint],
        limit: Duration,
    ) -> Result<(), AdminError> {
        let listener = |endpoint: &VoterEndpoint| wire::AddRaftVoterListener {
            name: endpoint.name.clone(),
            host: endpoint.address.host.clone(),
            port: endpoint.address.port,
            ..Default::default()
        };
        let request = || wire::AddRaftVoterRequest {
            cluster_id: None,
            timeout_ms: i32::try_from(limit.as_millis()).unwrap_or(i32::MAX),
            voter_id: voter.id.0,
            voter_directory_id: voter.directory_id,
            listeners: endpoints.iter().map(listener).collect(),
            ..Default::default()
        };
        let added = |response: wire::AddRaftVoterResponse| {
            verdict(response.error_code, response.error_message, || ())
        };
        self.one(limit, request, added).await
    }

    /// Makes a voter an observer (KIP-853).
    ///
    /// # Errors
    /// VOTER_NOT_FOUND, UNSUPPORTED_VERSION while `kraft.version` is 0, or no answer within `limit`.
    pub async fn remove_voter(&self, voter: ReplicaKey, limit: Duration) -> Result<(), AdminError> {
        let request = || wire::RemoveRaftVoterRequest {
            cluster_id: None,
            voter_id: voter.id.0,
            voter_directory_id: voter.directory_id,
            ..Default::default()
        };
        let removed = |response: wire::RemoveRaftVoterResponse| {
            verdict(response.error_code, response.error_message, || ())
        };
        self.one(limit, request, removed).await
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
    let endpoints = response.nodes.into_iter().map(endpoints).collect();
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
        endpoints,
    })
}

fn endpoints(node: wire::Node) -> (NodeId, Vec<VoterEndpoint>) {
    let listeners = node.listeners.into_iter().map(|listener| VoterEndpoint {
        name: listener.name,
        address: Address::new(listener.host, listener.port),
    });
    (NodeId(node.node_id), listeners.collect())
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
