//! AssignReplicasToDirs: where brokers host their replicas.

use std::sync::Arc;

use broker_core::metadata::{AssignReplicasRequest, Input, ReplicaAssignment, Reply};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{BrokerEpoch, NodeId};

use super::Api;

pub async fn assign_replicas(
    api: Arc<Api>,
    request: wire::AssignReplicasToDirsRequest,
) -> wire::AssignReplicasToDirsResponse {
    let failed = |code: ErrorCode| wire::AssignReplicasToDirsResponse {
        error_code: code.code(),
        ..Default::default()
    };
    let asked = AssignReplicasRequest {
        broker: NodeId(request.broker_id),
        broker_epoch: BrokerEpoch(request.broker_epoch),
        assignments: assignments(&request),
    };
    match api
        .quorum
        .controller(move |ticket, _| Input::AssignReplicas(ticket, asked))
        .await
    {
        Ok(Reply::AssignReplicas(Ok(results))) => respond(&request, results),
        Ok(Reply::AssignReplicas(Err(refused))) => failed(refused.code),
        Ok(other) => panic!("the controller answered AssignReplicasToDirs with {other:?}"),
        Err(_) => failed(ErrorCode::NotController),
    }
}

fn assignments(request: &wire::AssignReplicasToDirsRequest) -> Vec<ReplicaAssignment> {
    let mut assignments = Vec::new();
    for directory in &request.directories {
        for topic in &directory.topics {
            let partitions = topic.partitions.iter().map(|partition| ReplicaAssignment {
                topic_id: topic.topic_id,
                partition: partition.partition_index,
                directory: directory.id,
            });
            assignments.extend(partitions);
        }
    }
    assignments
}

/// The results are in the order of the request.
fn respond(
    request: &wire::AssignReplicasToDirsRequest,
    results: Vec<Result<(), ErrorCode>>,
) -> wire::AssignReplicasToDirsResponse {
    let mut results = results.into_iter();
    let mut partition = |asked: &wire::AssignReplicasToDirsRequestPartition| {
        let result = results.next().expect("one result for each assignment");
        wire::AssignReplicasToDirsResponsePartition {
            partition_index: asked.partition_index,
            error_code: result.err().map_or(0, ErrorCode::code),
            ..Default::default()
        }
    };
    let mut topic =
        |asked: &wire::AssignReplicasToDirsRequestTopic| wire::AssignReplicasToDirsResponseTopic {
            topic_id: asked.topic_id,
            partitions: asked.partitions.iter().map(&mut partition).collect(),
            ..Default::default()
        };
    let directories =
        request
            .directories
            .iter()
            .map(|asked| wire::AssignReplicasToDirsResponseDirectory {
                id: asked.id,
                topics: asked.topics.iter().map(&mut topic).collect(),
                ..Default::default()
            });
    wire::AssignReplicasToDirsResponse {
        directories: directories.collect(),
        ..Default::default()
    }
}
