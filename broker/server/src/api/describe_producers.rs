//! DescribeProducers: who writes to a partition, and since where a transaction is open (KIP-664).

use broker_core::producer_state::ProducerEntry;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::TopicIdPartition;

use super::Api;

pub fn handle(
    api: &Api,
    request: wire::DescribeProducersRequest,
) -> wire::DescribeProducersResponse {
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partition_indexes.iter();
        let partitions = partitions.map(|index| partition(api, &topic.name, *index));
        wire::DescribeProducersResponseTopic {
            partitions: partitions.collect(),
            name: topic.name.clone(),
            ..Default::default()
        }
    });
    wire::DescribeProducersResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

fn partition(api: &Api, topic: &str, index: i32) -> wire::DescribeProducersResponsePartition {
    let (error, active_producers) = match producers(api, topic, index) {
        Ok(producers) => (ErrorCode::None, producers),
        Err(error) => (error, Vec::new()),
    };
    wire::DescribeProducersResponsePartition {
        partition_index: index,
        error_code: error.code(),
        active_producers: active_producers.into_iter().map(active).collect(),
        ..Default::default()
    }
}

fn producers(api: &Api, topic: &str, partition: i32) -> Result<Vec<ProducerEntry>, ErrorCode> {
    let topic_id = api
        .metadata
        .read(|image| image.topic_id(topic))
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let id = TopicIdPartition {
        topic_id,
        partition,
    };
    let replicas = api.replicas.as_ref();
    match replicas.and_then(|replicas| replicas.partition(id)) {
        Some(partition) => partition.describe_producers(),
        None if api.metadata.read(|image| image.partition(id).is_some()) => {
            Err(super::not_hosted(api, id))
        }
        None => Err(ErrorCode::UnknownTopicOrPartition),
    }
}

fn active(entry: ProducerEntry) -> wire::ActiveProducer {
    wire::ActiveProducer {
        producer_id: entry.producer_id,
        producer_epoch: i32::from(entry.producer_epoch),
        last_sequence: entry.last.map_or(-1, |last| last.last_sequence),
        last_timestamp: entry.last_timestamp,
        coordinator_epoch: entry.coordinator_epoch,
        current_txn_start_offset: entry.txn_first_offset.unwrap_or(-1),
        ..Default::default()
    }
}
