//! OffsetForLeaderEpoch: where an epoch ends, for clients that look for truncation (KIP-320).

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, TopicIdPartition};

use super::Api;

pub fn handle(
    api: &Api,
    request: wire::OffsetForLeaderEpochRequest,
) -> wire::OffsetForLeaderEpochResponse {
    let topics = request
        .topics
        .into_iter()
        .map(|topic| wire::OffsetForLeaderTopicResult {
            partitions: topic
                .partitions
                .iter()
                .map(|wanted| partition(api, &topic.topic, wanted))
                .collect(),
            topic: topic.topic.clone(),
            ..Default::default()
        });
    wire::OffsetForLeaderEpochResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}

fn partition(
    api: &Api,
    topic: &str,
    wanted: &wire::OffsetForLeaderPartition,
) -> wire::OffsetForLeaderEpochEpochEndOffset {
    let mut response = wire::OffsetForLeaderEpochEpochEndOffset {
        partition: wanted.partition,
        leader_epoch: -1,
        end_offset: -1,
        ..Default::default()
    };
    match find(api, topic, wanted) {
        Ok(Some((epoch, end_offset))) => {
            (response.leader_epoch, response.end_offset) = (epoch.0, end_offset)
        }
        Ok(None) => {}
        Err(error) => response.error_code = error.code(),
    }
    response
}

fn find(
    api: &Api,
    topic: &str,
    wanted: &wire::OffsetForLeaderPartition,
) -> Result<Option<(LeaderEpoch, i64)>, ErrorCode> {
    let topic_id = api
        .metadata
        .read(|image| image.topic_id(topic))
        .ok_or(ErrorCode::UnknownTopicOrPartition)?;
    let id = TopicIdPartition {
        topic_id,
        partition: wanted.partition,
    };
    let hosted = api
        .replicas
        .as_ref()
        .and_then(|replicas| replicas.partition(id));
    let partition = hosted.ok_or_else(|| {
        let known = api.metadata.read(|image| image.partition(id).is_some());
        if known {
            super::not_hosted(api, id)
        } else {
            ErrorCode::UnknownTopicOrPartition
        }
    })?;
    let current =
        (wanted.current_leader_epoch >= 0).then_some(LeaderEpoch(wanted.current_leader_epoch));
    let asked = LeaderEpoch(wanted.leader_epoch);
    let end = partition.with_core(|core| core.end_offset_for_epoch(current, asked, true))?;
    Ok(end.map(|end| (end.epoch, end.end_offset)))
}
