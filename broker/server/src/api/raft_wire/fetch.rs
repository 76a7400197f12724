//! Fetch of the metadata partition.

use broker_core::raft::{FetchRequest, FetchResponse, OffsetAndEpoch, Response};
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, ReplicaKey};
use bytes::Bytes;

use super::*;

pub fn fetch_request(request: &FetchRequest, cluster_id: &str) -> wire::FetchRequest {
    wire::FetchRequest {
        cluster_id: Some(cluster_id.to_string()),
        replica_state: wire::FetchReplicaState {
            replica_id: request.replica.id.0,
            replica_epoch: -1,
            ..Default::default()
        },
        max_wait_ms: i32::try_from(request.max_wait_ms).unwrap_or(i32::MAX),
        min_bytes: 0,
        session_epoch: -1,
        topics: vec![wire::FetchTopic {
            topic_id: METADATA_TOPIC_ID,
            partitions: vec![wire::FetchPartition {
                partition: 0,
                current_leader_epoch: request.current_leader_epoch.0,
                fetch_offset: request.fetch_offset,
                last_fetched_epoch: request.last_fetched_epoch.0,
                log_start_offset: -1,
                partition_max_bytes: 0,
                replica_directory_id: request.replica.directory_id,
                high_watermark: request.high_watermark,
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

/// Whether a fetch is one of the metadata partition, as members and observers send it.
pub fn is_metadata_fetch(request: &wire::FetchRequest) -> bool {
    let named = |topic: &wire::FetchTopic| {
        topic.topic_id == METADATA_TOPIC_ID || topic.topic == METADATA_TOPIC
    };
    request.topics.iter().any(named)
}

/// # Errors
/// Not exactly the metadata partition.
pub fn fetch_from_wire(
    request: &wire::FetchRequest,
    version: i16,
) -> Result<FetchRequest, NotMetadata> {
    let [topic] = request.topics.as_slice() else {
        return Err(NotMetadata);
    };
    let [partition] = topic.partitions.as_slice() else {
        return Err(NotMetadata);
    };
    if partition.partition != 0 || !is_metadata_fetch(request) {
        return Err(NotMetadata);
    }
    let id = if version >= 15 {
        request.replica_state.replica_id
    } else {
        request.replica_id
    };
    Ok(FetchRequest {
        replica: ReplicaKey {
            id: NodeId(id),
            directory_id: partition.replica_directory_id,
        },
        current_leader_epoch: LeaderEpoch(partition.current_leader_epoch),
        fetch_offset: partition.fetch_offset,
        last_fetched_epoch: LeaderEpoch(partition.last_fetched_epoch),
        high_watermark: partition.high_watermark,
        max_wait_ms: u64::try_from(request.max_wait_ms).unwrap_or(0),
    })
}

pub fn fetch_to_wire(
    response: &FetchResponse,
    records: Bytes,
    leader: LeaderEndpoint,
) -> wire::FetchResponse {
    let none = OffsetAndEpoch {
        offset: -1,
        epoch: LeaderEpoch(-1),
    };
    let diverging = response.diverging.unwrap_or(none);
    let snapshot = response.snapshot.unwrap_or(none);
    let endpoint = |(node, address): (NodeId, Address)| wire::FetchNodeEndpoint {
        node_id: node.0,
        host: address.host,
        port: i32::from(address.port),
        ..Default::default()
    };
    wire::FetchResponse {
        node_endpoints: leader.into_iter().map(endpoint).collect(),
        responses: vec![wire::FetchableTopicResponse {
            topic: METADATA_TOPIC.into(),
            topic_id: METADATA_TOPIC_ID,
            partitions: vec![wire::FetchPartitionData {
                partition_index: 0,
                error_code: error_code(response.error).code(),
                high_watermark: response.high_watermark.unwrap_or(-1),
                log_start_offset: response.log_start_offset,
                diverging_epoch: wire::FetchEpochEndOffset {
                    epoch: diverging.epoch.0,
                    end_offset: diverging.offset,
                    ..Default::default()
                },
                current_leader: wire::FetchLeaderIdAndEpoch {
                    leader_id: id_of(response.leader),
                    leader_epoch: response.leader_epoch.0,
                    ..Default::default()
                },
                snapshot_id: wire::FetchSnapshotId {
                    end_offset: snapshot.offset,
                    epoch: snapshot.epoch.0,
                    ..Default::default()
                },
                aborted_transactions: None,
                records: Some(records),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

pub fn fetch_response(response: wire::FetchResponse) -> Answer {
    let top = response.error_code;
    let nodes = response.node_endpoints.iter();
    let endpoints = nodes
        .filter_map(|node| {
            Some(endpoint(
                node.node_id,
                &node.host,
                node.port.try_into().ok()?,
            ))
        })
        .collect();
    let topic = response.responses.into_iter().next();
    let Some(partition) = topic
        .and_then(|topic| topic.partitions.into_iter().next())
        .filter(|_| top == 0)
    else {
        let answer = FetchResponse {
            error: core_error(top_level(top)),
            leader: None,
            leader_epoch: LeaderEpoch(-1),
            high_watermark: None,
            log_start_offset: -1,
            diverging: None,
            snapshot: None,
            batches: vec![],
        };
        return Answer::of(Response::Fetch(answer));
    };
    let snapshot = &partition.snapshot_id;
    let diverging = &partition.diverging_epoch;
    let answer = FetchResponse {
        error: core_error(partition.error_code),
        leader: node_or_none(partition.current_leader.leader_id),
        leader_epoch: LeaderEpoch(partition.current_leader.leader_epoch),
        high_watermark: (partition.high_watermark >= 0).then_some(partition.high_watermark),
        log_start_offset: partition.log_start_offset,
        diverging: (diverging.end_offset >= 0).then_some(OffsetAndEpoch {
            offset: diverging.end_offset,
            epoch: LeaderEpoch(diverging.epoch),
        }),
        snapshot: (snapshot.end_offset >= 0).then_some(OffsetAndEpoch {
            offset: snapshot.end_offset,
            epoch: LeaderEpoch(snapshot.epoch),
        }),
        batches: vec![],
    };
    Answer {
        response: Response::Fetch(answer),
        bytes: partition.records.unwrap_or_default(),
        endpoints,
    }
}
