//! ConsumerGroupHeartbeat, ConsumerGroupDescribe: the group protocol of KIP-848.

use std::sync::Arc;

use broker_core::group::consumer_group::Partitions;
use broker_core::group::{
    ConsumerHeartbeatRequest, DescribedConsumer, DescribedConsumerGroup, DescribedPartitions,
    Reply, Request,
};
use broker_env::random;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::Uuid;

use super::Api;
use super::groups::{Sender, ask};
use crate::features::GROUP_VERSION_FEATURE;

/// From here on members choose their ids.
const OWN_MEMBER_ID: i16 = 1;
/// `MemberType` in ConsumerGroupDescribe.
const CONSUMER: i8 = 1;

/// Whether the cluster has the protocol.
fn is_enabled(api: &Api) -> bool {
    let level = api
        .metadata
        .read(|image| image.features().get(GROUP_VERSION_FEATURE).copied());
    level.is_some_and(|level| level >= 1)
}

pub async fn heartbeat(
    api: Arc<Api>,
    request: wire::ConsumerGroupHeartbeatRequest,
    version: i16,
    sender: Sender,
) -> wire::ConsumerGroupHeartbeatResponse {
    match heard(&api, request, version, sender).await {
        Ok(response) => response,
        Err((error, message)) => wire::ConsumerGroupHeartbeatResponse {
            error_code: error.code(),
            error_message: message.map(str::to_string),
            ..Default::default()
        },
    }
}

async fn heard(
    api: &Api,
    request: wire::ConsumerGroupHeartbeatRequest,
    version: i16,
    sender: Sender,
) -> Result<wire::ConsumerGroupHeartbeatResponse, (ErrorCode, Option<&'static str>)> {
    check(api, &request, version)?;
    let group = request.group_id.clone();
    let request = Request::ConsumerHeartbeat(core_request(api, request, sender));
    let heard = match ask(api, &group, request).await {
        Ok(Reply::ConsumerHeartbeat(heard)) => heard,
        Ok(other) => panic!("group {group}: ConsumerGroupHeartbeat was answered with {other:?}"),
        Err(error) => Err(error),
    };
    let heard = heard.map_err(|error| (error, None))?;
    Ok(wire::ConsumerGroupHeartbeatResponse {
        member_id: Some(heard.member_id),
        member_epoch: heard.member_epoch,
        heartbeat_interval_ms: heard.heartbeat_interval_ms,
        assignment: heard
            .assignment
            .map(|assignment| wire::ConsumerGroupHeartbeatAssignment {
                topic_partitions: to_wire(assignment),
                ..Default::default()
            }),
        ..Default::default()
    })
}

fn check(
    api: &Api,
    request: &wire::ConsumerGroupHeartbeatRequest,
    version: i16,
) -> Result<(), (ErrorCode, Option<&'static str>)> {
    let regex = request.subscribed_topic_regex.as_deref().unwrap_or("");
    if !is_enabled(api) {
        Err((ErrorCode::UnsupportedVersion, None))
    } else if version >= OWN_MEMBER_ID && request.member_id.is_empty() {
        Err((ErrorCode::InvalidRequest, Some("MemberId can't be empty.")))
    } else if !regex.is_empty() {
        let message = "regular expressions are not resolved by this broker";
        Err((ErrorCode::InvalidRegularExpression, Some(message)))
    } else {
        Ok(())
    }
}

fn core_request(
    api: &Api,
    request: wire::ConsumerGroupHeartbeatRequest,
    sender: Sender,
) -> ConsumerHeartbeatRequest {
    let topics = request.subscribed_topic_names;
    ConsumerHeartbeatRequest {
        group: request.group_id,
        member_id: request.member_id,
        fresh_member_id: Uuid(random::uuid(api.env.random.as_ref())).to_string(),
        member_epoch: request.member_epoch,
        instance_id: request.instance_id,
        rack_id: request.rack_id,
        rebalance_timeout_ms: request.rebalance_timeout_ms,
        topics: topics.map(|topics| topics.into_iter().collect()),
        server_assignor: request.server_assignor,
        owned: request.topic_partitions.map(from_wire),
        client_id: sender.client_id,
        client_host: sender.host,
    }
}

fn from_wire(topics: Vec<wire::ConsumerGroupTopicPartitions>) -> Partitions {
    let mut partitions = Partitions::new();
    for topic in topics {
        let of_topic = partitions.entry(topic.topic_id).or_default();
        of_topic.extend(topic.partitions);
    }
    partitions.retain(|_, of_topic| !of_topic.is_empty());
    partitions
}

fn to_wire(partitions: Partitions) -> Vec<wire::ConsumerGroupTopicPartitions> {
    let topics = partitions.into_iter();
    let topics = topics.map(
        |(topic_id, partitions)| wire::ConsumerGroupTopicPartitions {
            topic_id,
            partitions: partitions.into_iter().collect(),
            ..Default::default()
        },
    );
    topics.collect()
}

pub async fn describe(
    api: Arc<Api>,
    request: wire::ConsumerGroupDescribeRequest,
) -> wire::ConsumerGroupDescribeResponse {
    let mut groups = Vec::with_capacity(request.group_ids.len());
    for group_id in request.group_ids {
        groups.push(describe_one(&api, group_id).await);
    }
    wire::ConsumerGroupDescribeResponse {
        groups,
        ..Default::default()
    }
}

async fn describe_one(api: &Api, group_id: String) -> wire::DescribedConsumerGroup {
    let request = Request::DescribeConsumers {
        group: group_id.clone(),
    };
    let asked = match (is_enabled(api), group_id.is_empty()) {
        (false, _) => Err(ErrorCode::UnsupportedVersion),
        (true, true) => Err(ErrorCode::InvalidGroupId),
        (true, false) => ask(api, &group_id, request).await,
    };
    let described_group = match asked {
        Ok(Reply::DescribeConsumers(described)) => described,
        Ok(other) => panic!("{group_id}: ConsumerGroupDescribe was answered with {other:?}"),
        Err(error) => Err(error),
    };
    match described_group {
        Ok(group) => described(group_id, group),
        Err(error) => wire::DescribedConsumerGroup {
            error_code: error.code(),
            error_message: (error == ErrorCode::GroupIdNotFound)
                .then(|| format!("Group {group_id} is not a consumer group.")),
            group_id,
            ..Default::default()
        },
    }
}

fn described(group_id: String, group: DescribedConsumerGroup) -> wire::DescribedConsumerGroup {
    wire::DescribedConsumerGroup {
        group_id,
        group_state: group.state.into(),
        group_epoch: group.epoch,
        assignment_epoch: group.assignment_epoch,
        assignor_name: group.assignor,
        members: group.members.into_iter().map(described_member).collect(),
        ..Default::default()
    }
}

fn described_member(member: DescribedConsumer) -> wire::DescribedConsumerGroupMember {
    let subscription = member.subscription;
    wire::DescribedConsumerGroupMember {
        member_id: member.member_id,
        instance_id: subscription.instance_id,
        rack_id: subscription.rack_id,
        member_epoch: member.epoch,
        client_id: subscription.client_id,
        client_host: subscription.client_host,
        subscribed_topic_names: subscription.topics.into_iter().collect(),
        assignment: assignment(member.assignment),
        target_assignment: assignment(member.target),
        member_type: CONSUMER,
        ..Default::default()
    }
}

fn assignment(partitions: DescribedPartitions) -> wire::DescribedConsumerGroupAssignment {
    let topics = partitions.into_iter();
    let topics = topics.map(|topic| wire::DescribedTopicPartitions {
        topic_id: topic.topic_id,
        topic_name: topic.topic,
        partitions: topic.partitions,
        ..Default::default()
    });
    wire::DescribedConsumerGroupAssignment {
        topic_partitions: topics.collect(),
        ..Default::default()
    }
}
