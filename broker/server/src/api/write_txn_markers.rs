//! WriteTxnMarkers: ends transactions in partitions that this broker leads.

use std::sync::Arc;
use std::time::Duration;

use broker_env::time::timeout;
use broker_probe::mutant;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::TopicIdPartition;
use broker_protocol::record::EndTxnMarker;
use tokio::sync::oneshot;

use super::Api;
use crate::coordinator::{Marker, Producer};
use crate::internal_topics::CONSUMER_OFFSETS;
use crate::partition::{Partition, ProduceBatch, ProduceReply};

/// One marker in one partition.
enum Pending {
    Refused(ErrorCode),
    Waiting(oneshot::Receiver<ProduceReply>),
    /// The group coordinator appends it.
    Completing(oneshot::Receiver<Result<(), ErrorCode>>),
}

/// By topic, of one marker.
type Started = Vec<(String, Vec<(i32, Pending)>)>;

pub async fn handle(
    api: Arc<Api>,
    request: wire::WriteTxnMarkersRequest,
) -> wire::WriteTxnMarkersResponse {
    let started = request.markers.iter().map(|marker| start(&api, marker));
    let started: Vec<Started> = started.collect();
    let limit = u64::try_from(api.config.request_timeout_ms).unwrap_or(0);
    let deadline = api.env.now() + Duration::from_millis(limit);
    let mut markers = Vec::with_capacity(started.len());
    for (marker, topics) in request.markers.iter().zip(started) {
        let mut results = Vec::with_capacity(topics.len());
        for (name, pending) in topics {
            let mut partitions = Vec::with_capacity(pending.len());
            for (partition_index, pending) in pending {
                let left = deadline.saturating_since(api.env.now());
                partitions.push(wire::WritableTxnMarkerPartitionResult {
                    partition_index,
                    error_code: finish(&api, pending, left).await.code(),
                    ..Default::default()
                });
            }
            results.push(wire::WritableTxnMarkerTopicResult {
                name,
                partitions,
                ..Default::default()
            });
        }
        markers.push(wire::WritableTxnMarkerResult {
            producer_id: marker.producer_id,
            topics: results,
            ..Default::default()
        });
    }
    wire::WriteTxnMarkersResponse {
        markers,
        ..Default::default()
    }
}

fn start(api: &Api, marker: &wire::WritableTxnMarker) -> Started {
    let topics = marker.topics.iter().map(|topic| {
        let partitions = topic.partition_indexes.iter();
        let partitions = partitions.map(|index| {
            let pending = match hosted(api, &topic.name, *index) {
                Some(partition) => write(api, &partition, marker),
                None => Pending::Refused(not_here()),
            };
            (*index, pending)
        });
        (topic.name.clone(), partitions.collect())
    });
    topics.collect()
}

/// The coordinator looks for the leader and asks again. What it cannot retry it gives up (T-14).
fn not_here() -> ErrorCode {
    if mutant!(T_14) {
        return ErrorCode::UnsupportedForMessageFormat;
    }
    ErrorCode::UnknownTopicOrPartition
}

pub(super) fn hosted(api: &Api, topic: &str, partition: i32) -> Option<Arc<Partition>> {
    let topic_id = api.metadata.read(|image| image.topic_id(topic))?;
    let id = TopicIdPartition {
        topic_id,
        partition,
    };
    api.replicas.as_ref()?.partition(id)
}

fn write(api: &Api, partition: &Arc<Partition>, marker: &wire::WritableTxnMarker) -> Pending {
    if partition.name.topic == CONSUMER_OFFSETS {
        return end_in_group_coordinator(api, partition.id.partition, marker);
    }
    let end = EndTxnMarker {
        committed: marker.transaction_result,
        coordinator_epoch: marker.coordinator_epoch,
    };
    let (producer_id, producer_epoch) = (marker.producer_id, marker.producer_epoch);
    let now = api.env.clock.wall();
    let batch = ProduceBatch::end_of_transaction(producer_id, producer_epoch, end, now);
    Pending::Waiting(partition.produce(batch, -1))
}

/// Offsets of a transaction count from the marker on, for the coordinator as for whoever replays its log.
fn end_in_group_coordinator(
    api: &Api,
    partition: i32,
    marker: &wire::WritableTxnMarker,
) -> Pending {
    let Some(groups) = &api.groups else {
        return Pending::Refused(not_here());
    };
    let marker = Marker {
        producer: Producer {
            id: marker.producer_id,
            epoch: marker.producer_epoch,
        },
        coordinator_epoch: marker.coordinator_epoch,
        committed: marker.transaction_result,
    };
    match groups.complete_transaction(partition, marker) {
        Ok(answer) => Pending::Completing(answer),
        Err(error) => Pending::Refused(as_of_partition(error)),
    }
}

/// Transaction coordinators know what partitions say, not what group coordinators do.
fn as_of_partition(error: ErrorCode) -> ErrorCode {
    match error {
        ErrorCode::NotCoordinator
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::CoordinatorLoadInProgress => ErrorCode::NotLeaderOrFollower,
        error => error,
    }
}

async fn finish(api: &Api, pending: Pending, limit: Duration) -> ErrorCode {
    let answer = match pending {
        Pending::Refused(error) => return error,
        Pending::Waiting(answer) => answer,
        Pending::Completing(answer) => {
            return match timeout(&api.env, limit, answer).await {
                Ok(Ok(Ok(()))) => ErrorCode::None,
                Ok(Ok(Err(error))) => as_of_partition(error),
                Ok(Err(_)) => ErrorCode::NotLeaderOrFollower,
                Err(_) => ErrorCode::RequestTimedOut,
            };
        }
    };
    match timeout(&api.env, limit, answer).await {
        Ok(Ok(Ok(_))) => ErrorCode::None,
        Ok(Ok(Err(error))) => error,
        Ok(Err(_)) => ErrorCode::NotLeaderOrFollower,
        Err(_) => ErrorCode::RequestTimedOut,
    }
}
