//! AlterPartitionReassignments and ListPartitionReassignments at the active controller (KIP-455).

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_core::metadata::{self as core, ApiError, Input, Reply};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::NodeId;

use super::Api;
use super::admin::split;

pub async fn alter(
    api: Arc<Api>,
    request: wire::AlterPartitionReassignmentsRequest,
) -> wire::AlterPartitionReassignmentsResponse {
    let allow_replication_factor_change = request.allow_replication_factor_change;
    let partitions = request.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        let wanted = move |partition: wire::ReassignablePartition| core::ReassignablePartition {
            topic: name.clone(),
            partition: partition.partition_index,
            replicas: partition
                .replicas
                .map(|replicas| replicas.into_iter().map(NodeId).collect()),
        };
        topic.partitions.into_iter().map(wanted)
    });
    let core_request = core::AlterPartitionReassignmentsRequest {
        partitions: partitions.collect(),
        allow_replication_factor_change,
    };
    let reply = api
        .quorum
        .controller(move |ticket, _| Input::AlterPartitionReassignments(ticket, core_request))
        .await;
    let response = wire::AlterPartitionReassignmentsResponse {
        allow_replication_factor_change,
        error_message: None,
        ..Default::default()
    };
    match reply {
        Ok(Reply::AlterPartitionReassignments(results)) => {
            wire::AlterPartitionReassignmentsResponse {
                responses: by_topic(results),
                ..response
            }
        }
        Ok(other) => panic!("the controller answered AlterPartitionReassignments with {other:?}"),
        Err(_) => wire::AlterPartitionReassignmentsResponse {
            error_code: ErrorCode::NotController.code(),
            ..response
        },
    }
}

fn by_topic(
    results: Vec<((String, i32), Result<(), ApiError>)>,
) -> Vec<wire::ReassignableTopicResponse> {
    let mut topics: BTreeMap<String, Vec<wire::ReassignablePartitionResponse>> = BTreeMap::new();
    for ((topic, partition_index), result) in results {
        let (error_code, error_message) = split(result);
        let one = wire::ReassignablePartitionResponse {
            partition_index,
            error_code,
            error_message,
            ..Default::default()
        };
        topics.entry(topic).or_default().push(one);
    }
    let topic = |(name, partitions)| wire::ReassignableTopicResponse {
        name,
        partitions,
        ..Default::default()
    };
    topics.into_iter().map(topic).collect()
}

pub async fn list(
    api: Arc<Api>,
    request: wire::ListPartitionReassignmentsRequest,
) -> wire::ListPartitionReassignmentsResponse {
    let asked = request.topics.map(|topics| {
        let flat = topics.into_iter().flat_map(|topic| {
            let name = topic.name;
            let named = move |partition| (name.clone(), partition);
            topic.partition_indexes.into_iter().map(named)
        });
        flat.collect()
    });
    let reply = api
        .quorum
        .controller(move |ticket, _| Input::ListPartitionReassignments(ticket, asked))
        .await;
    let response = wire::ListPartitionReassignmentsResponse {
        error_message: None,
        ..Default::default()
    };
    match reply {
        Ok(Reply::ListPartitionReassignments(ongoing)) => {
            wire::ListPartitionReassignmentsResponse {
                topics: ongoing_by_topic(ongoing),
                ..response
            }
        }
        Ok(other) => panic!("the controller answered ListPartitionReassignments with {other:?}"),
        Err(_) => wire::ListPartitionReassignmentsResponse {
            error_code: ErrorCode::NotController.code(),
            ..response
        },
    }
}

fn ongoing_by_topic(
    ongoing: Vec<core::OngoingReassignment>,
) -> Vec<wire::OngoingTopicReassignment> {
    let ids = |nodes: Vec<NodeId>| nodes.into_iter().map(|node| node.0).collect();
    let mut topics: BTreeMap<String, Vec<wire::OngoingPartitionReassignment>> = BTreeMap::new();
    for one in ongoing {
        let partition = wire::OngoingPartitionReassignment {
            partition_index: one.partition,
            replicas: ids(one.replicas),
            adding_replicas: ids(one.adding),
            removing_replicas: ids(one.removing),
            ..Default::default()
        };
        topics.entry(one.topic).or_default().push(partition);
    }
    let topic = |(name, partitions)| wire::OngoingTopicReassignment {
        name,
        partitions,
        ..Default::default()
    };
    topics.into_iter().map(topic).collect()
}
