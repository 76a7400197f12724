//! ListOffsets: bounds of a partition, or the first offset at a timestamp.

use broker_core::replica::ListBounds;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, TopicIdPartition};
use broker_protocol::record::RecordBatches;
use broker_storage::TimestampHit;

use super::Api;
use crate::partition::{Isolation, Partition};

const LATEST: i64 = -1;
const EARLIEST: i64 = -2;
const MAX_TIMESTAMP: i64 = -3;
const EARLIEST_LOCAL: i64 = -4;
const LATEST_TIERED: i64 = -5;
/// A consumer asks as this replica.
const CONSUMER: i32 = -1;
const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// (timestamp, offset, leader epoch)
type Found = (i64, i64, i32);

pub fn handle(
    api: &Api,
    request: wire::ListOffsetsRequest,
    version: i16,
) -> wire::ListOffsetsResponse {
    let reader =
        (request.replica_id == CONSUMER).then(|| Isolation::from_wire(request.isolation_level));
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic
            .partitions
            .iter()
            .map(|wanted| partition(api, &topic.name, wanted, reader, version));
        wire::ListOffsetsTopicResponse {
            partitions: partitions.collect(),
            name: topic.name.clone(),
            ..Default::default()
        }
    });
    wire::ListOffsetsResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

fn partition(
    api: &Api,
    topic: &str,
    wanted: &wire::ListOffsetsPartition,
    reader: Option<Isolation>,
    version: i16,
) -> wire::ListOffsetsPartitionResponse {
    let mut response = wire::ListOffsetsPartitionResponse {
        partition_index: wanted.partition_index,
        timestamp: -1,
        offset: -1,
        leader_epoch: -1,
        ..Default::default()
    };
    match find(api, topic, wanted, reader) {
        Ok((timestamp, offset, leader_epoch)) => {
            (response.timestamp, response.offset) = (timestamp, offset);
            if version >= 4 {
                response.leader_epoch = leader_epoch;
            }
        }
        // The code is younger than these versions.
        Err(ErrorCode::OffsetNotAvailable) if version < 5 => {
            response.error_code = ErrorCode::LeaderNotAvailable.code();
        }
        Err(error) => response.error_code = error.code(),
    }
    response
}

fn find(
    api: &Api,
    topic: &str,
    wanted: &wire::ListOffsetsPartition,
    reader: Option<Isolation>,
) -> Result<Found, ErrorCode> {
    let topic_id = api
        .metadata
        .read(|image| image.topic_id(topic))
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let id = TopicIdPartition {
        topic_id,
        partition: wanted.partition_index,
    };
    let hosted = api
        .replicas
        .as_ref()
        .and_then(|replicas| replicas.partition(id));
    let Some(partition) = hosted else {
        let known = api.metadata.read(|image| image.partition(id).is_some());
        return Err(if known {
            super::not_hosted(api, id)
        } else {
            ErrorCode::UnknownTopicOrPartition
        });
    };
    let epoch =
        (wanted.current_leader_epoch >= 0).then_some(LeaderEpoch(wanted.current_leader_epoch));
    let bounds = partition.with_core(|core| core.list_bounds(epoch, true))?;
    let end = match reader {
        Some(Isolation::ReadCommitted) => partition.last_stable_offset().min(bounds.high_watermark),
        Some(Isolation::ReadUncommitted) => bounds.high_watermark,
        None => bounds.log_end,
    };
    match wanted.timestamp {
        EARLIEST | EARLIEST_LOCAL => {
            Ok((-1, bounds.log_start, epoch_at(&partition, bounds.log_start)))
        }
        LATEST if reader.is_some() && bounds.high_watermark_lags => {
            Err(ErrorCode::OffsetNotAvailable)
        }
        LATEST => Ok((-1, end, bounds.leader_epoch.0)),
        LATEST_TIERED => Ok((-1, -1, -1)),
        MAX_TIMESTAMP => by_hit(
            partition.with_log(|log| log.find_max_timestamp()),
            None,
            end,
            bounds,
        ),
        timestamp if timestamp >= 0 => by_hit(
            partition.with_log(|log| log.find_timestamp(timestamp)),
            Some(timestamp),
            end,
            bounds,
        ),
        _ => Err(ErrorCode::UnsupportedVersion),
    }
}

fn epoch_at(partition: &Partition, offset: i64) -> i32 {
    let entries = partition.with_core(|core| core.epochs().to_vec());
    entries
        .iter()
        .rev()
        .find(|entry| entry.start_offset <= offset)
        .map_or(-1, |entry| entry.epoch.0)
}

/// The first record of the batch with the timestamp asked for (or with the batch's largest).
fn by_hit(
    hit: Result<Option<TimestampHit>, broker_storage::LogError>,
    timestamp: Option<i64>,
    end: i64,
    bounds: ListBounds,
) -> Result<Found, ErrorCode> {
    let Some(hit) = hit.map_err(|_| ErrorCode::KafkaStorageError)? else {
        return Ok((-1, -1, -1));
    };
    let wanted = timestamp.unwrap_or(hit.info.max_timestamp);
    let corrupt = |_| ErrorCode::CorruptMessage;
    for batch in RecordBatches::new(hit.records.clone()) {
        let batch = batch.map_err(corrupt)?;
        for record in batch.records(DECOMPRESSED_BYTES_MAX).map_err(corrupt)? {
            let record = record.map_err(corrupt)?;
            if record.timestamp >= wanted && record.offset >= bounds.log_start {
                if record.offset < end {
                    return Ok((record.timestamp, record.offset, hit.info.leader_epoch.0));
                }
                if bounds.high_watermark_lags {
                    return Err(ErrorCode::OffsetNotAvailable);
                }
                return Ok((-1, -1, -1));
            }
        }
    }
    Ok((-1, -1, -1))
}
