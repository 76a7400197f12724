//! FetchSnapshot.

use broker_core::raft::{FetchSnapshotRequest, FetchSnapshotResponse, OffsetAndEpoch, Response};
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, ReplicaKey};
use bytes::Bytes;

use super::*;

pub fn fetch_snapshot_request(
    request: &FetchSnapshotRequest,
    cluster_id: &str,
) -> wire::FetchSnapshotRequest {
    wire::FetchSnapshotRequest {
        cluster_id: Some(cluster_id.to_string()),
        replica_id: request.replica.id.0,
        max_bytes: request.max_bytes,
        topics: vec![wire::FetchSnapshotRequestTopicSnapshot {
            name: METADATA_TOPIC.into(),
            partitions: vec![wire::FetchSnapshotRequestPartitionSnapshot {
                partition: 0,
                current_leader_epoch: request.current_leader_epoch.0,
                snapshot_id: wire::FetchSnapshotRequestSnapshotId {
                    end_offset: request.snapshot.offset,
                    epoch: request.snapshot.epoch.0,
                    ..Default::default()
                },
                position: request.position,
                replica_directory_id: request.replica.directory_id,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// # Errors
/// Not exactly the metadata partition.
pub fn fetch_snapshot_from_wire(
    request: &wire::FetchSnapshotRequest,
) -> Result<FetchSnapshotRequest, NotMetadata> {
    let [topic] = request.topics.as_slice() else {
        return Err(NotMetadata);
    };
    let [partition] = topic.partitions.as_slice() else {
        return Err(NotMetadata);
    };
    check_name(&topic.name, partition.partition)?;
    Ok(FetchSnapshotRequest {
        replica: ReplicaKey {
            id: NodeId(request.replica_id),
            directory_id: partition.replica_directory_id,
        },
        current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
        snapshot: OffsetAndEpoch {
            offset: partition.snapshot_id.end_offset,
            epoch: LeaderEpoch(partition.snapshot_id.epoch),
        },
        position: partition.position,
        max_bytes: request.max_bytes,
    })
}

pub fn fetch_snapshot_to_wire(
    response: &FetchSnapshotResponse,
    chunk: Bytes,
    leader: LeaderEndpoint,
) -> wire::FetchSnapshotResponse {
    let endpoint = |(node, address): (NodeId, Address)| wire::FetchSnapshotNodeEndpoint {
        node_id: node.0,
        host: address.host,
        port: address.port,
        ..Default::default()
    };
    let partition = wire::FetchSnapshotResponsePartitionSnapshot {
        index: 0,
        error_code: error_code(response.error).code(),
        snapshot_id: wire::FetchSnapshotResponseSnapshotId {
            end_offset: response.snapshot.offset,
            epoch: response.snapshot.epoch.0,
            ..Default::default()
        },
        current_leader: wire::FetchSnapshotLeaderIdAndEpoch {
            leader_id: id_of(response.leader),
            leader_epoch: response.leader_epoch.0,
            ..Default::default()
        },
        size: response.size,
        position: response.position,
        unaligned_records: chunk,
        ..Default::default()
    };
    wire::FetchSnapshotResponse {
        topics: vec![wire::FetchSnapshotResponseTopicSnapshot {
            name: METADATA_TOPIC.into(),
            partitions: vec![partition],
            ..Default::default()
        }],
        node_endpoints: leader.into_iter().map(endpoint).collect(),
        ..Default::default()
    }
}

pub fn fetch_snapshot_response(response: wire::FetchSnapshotResponse) -> Answer {
    let top = response.error_code;
    let nodes = response.node_endpoints.iter();
    let endpoints = nodes
        .map(|node| endpoint(node.node_id, &node.host, node.port))
        .collect();
    let topic = response.topics.into_iter().next();
    let partition = topic.and_then(|topic| topic.partitions.into_iter().next());
    let Some(partition) = partition.filter(|_| top == 0) else {
        return Answer::of(Response::FetchSnapshot(FetchSnapshotResponse {
            error: core_error(top_level(top)),
            leader: None,
            leader_epoch: LeaderEpoch(-1),
            snapshot: OffsetAndEpoch {
                offset: -1,
                epoch: LeaderEpoch(-1),
            },
            size: 0,
            position: 0,
            chunk_bytes: 0,
        }));
    };
    let chunk = partition.unaligned_records;
    let answer = FetchSnapshotResponse {
        error: core_error(partition.error_code),
        leader: node_or_none(partition.current_leader.leader_id),
        leader_epoch: LeaderEpoch(partition.current_leader.leader_epoch),
        snapshot: OffsetAndEpoch {
            offset: partition.snapshot_id.end_offset,
            epoch: LeaderEpoch(partition.snapshot_id.epoch),
        },
        size: partition.size,
        position: partition.position,
        chunk_bytes: i64::try_from(chunk.len()).expect("a frame is shorter than 2^63"),
    };
    Answer {
        response: Response::FetchSnapshot(answer),
        bytes: chunk,
        endpoints,
    }
}
