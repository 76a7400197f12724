//! Groups: who is in them and where they are.

use std::collections::BTreeMap;
use std::time::Duration;

use broker_env::Instant;
use broker_protocol::api as wire;
use broker_protocol::consumer_protocol::{CONSUMER_PROTOCOL_TYPE, ConsumerProtocolAssignment};
use broker_protocol::ids::TopicPartition;
use broker_protocol::{ErrorCode, Request};

use super::Admin;
use crate::coordinator::{Coordinator, moved};
use crate::error::{AdminError, CallError, GroupError};

/// A group as its coordinator lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupListing {
    pub group_id: String,
    /// Empty for one that only stores offsets.
    pub protocol_type: String,
    pub state: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupDescription {
    pub group_id: String,
    pub state: String,
    pub protocol_type: String,
    /// Of a stable group; of one of KIP-848 its assignor.
    pub protocol: String,
    pub members: Vec<GroupMember>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub host: String,
    /// Of consumers in a stable group.
    pub partitions: Vec<TopicPartition>,
}

impl Admin {
    /// The groups of all coordinators.
    ///
    /// # Errors
    /// Some broker did not answer, or not yet.
    pub async fn list_groups(&self, limit: Duration) -> Result<Vec<GroupListing>, AdminError> {
        let deadline = self.client.env().now() + limit;
        let cluster = self.describe_cluster(limit).await?;
        let mut groups = Vec::new();
        for node in cluster.nodes {
            let mut attempt = 0;
            loop {
                let left = deadline.saturating_since(self.client.env().now());
                let request = wire::ListGroupsRequest::default();
                let last = match self.client.call(node.id, &request, left).await {
                    Ok(answer) => match ErrorCode::from_code_or_unknown(answer.error_code) {
                        ErrorCode::None => {
                            groups.extend(answer.groups.into_iter().map(listed));
                            break;
                        }
                        error if moved(error) => error.to_string(),
                        error => return Err(AdminError::api(error, None)),
                    },
                    Err(CallError::Closed) => return Err(AdminError::Closed),
                    Err(CallError::UnknownNode(_)) => {
                        let refreshed = self.client.refresh_metadata(&Default::default()).await;
                        refreshed
                            .err()
                            .map_or_else(String::new, |error| error.to_string())
                    }
                    Err(error) => error.to_string(),
                };
                if !self.client.pause_before_retry(attempt, deadline).await {
                    return Err(AdminError::Timeout { limit, last });
                }
                attempt += 1;
            }
        }
        groups.sort_by(|left, right| left.group_id.cmp(&right.group_id));
        Ok(groups)
    }

    /// # Errors
    /// GROUP_ID_NOT_FOUND
    pub async fn describe_group(
        &self,
        group: &str,
        limit: Duration,
    ) -> Result<GroupDescription, AdminError> {
        if let Some(described) = self.describe_consumer_group(group, limit).await? {
            return Ok(described);
        }
        let request = wire::DescribeGroupsRequest {
            groups: vec![group.to_string()],
            ..Default::default()
        };
        let verdict = |answer: &wire::DescribeGroupsResponse| {
            let error = answer.groups.first().map_or(0, |group| group.error_code);
            ErrorCode::from_code_or_unknown(error)
        };
        let answer = self
            .ask_coordinator(group, &request, limit, verdict)
            .await?;
        let found = answer.groups.into_iter().next();
        let found = found.filter(|group| group.group_state != "Dead");
        found
            .map(described)
            .ok_or_else(|| AdminError::api(ErrorCode::GroupIdNotFound, None))
    }

    /// `None` if it is not of KIP-848, or the cluster has none of these.
    async fn describe_consumer_group(
        &self,
        group: &str,
        limit: Duration,
    ) -> Result<Option<GroupDescription>, AdminError> {
        let request = wire::ConsumerGroupDescribeRequest {
            group_ids: vec![group.to_string()],
            ..Default::default()
        };
        let verdict = |answer: &wire::ConsumerGroupDescribeResponse| {
            let error = answer.groups.first().map_or(0, |group| group.error_code);
            match ErrorCode::from_code_or_unknown(error) {
                ErrorCode::GroupIdNotFound | ErrorCode::UnsupportedVersion => ErrorCode::None,
                error => error,
            }
        };
        let answer = self
            .ask_coordinator(group, &request, limit, verdict)
            .await?;
        let found = answer.groups.into_iter().next();
        Ok(found
            .filter(|group| group.error_code == 0)
            .map(described_consumers))
    }

    /// The next offset of each partition that the group has committed.
    ///
    /// # Errors
    /// As its coordinator says.
    pub async fn group_offsets(
        &self,
        group: &str,
        limit: Duration,
    ) -> Result<BTreeMap<TopicPartition, i64>, AdminError> {
        let request = wire::OffsetFetchRequest {
            groups: vec![wire::OffsetFetchRequestGroup {
                group_id: group.to_string(),
                topics: None,
                ..Default::default()
            }],
            ..Default::default()
        };
        let verdict = |answer: &wire::OffsetFetchResponse| {
            let error = answer.groups.first().map_or(0, |group| group.error_code);
            ErrorCode::from_code_or_unknown(error)
        };
        let answer = self
            .ask_coordinator(group, &request, limit, verdict)
            .await?;
        let topics = answer.groups.into_iter().flat_map(|group| group.topics);
        let offsets = topics.flat_map(|topic| {
            let name = topic.name;
            let partitions = topic.partitions.into_iter();
            partitions.map(move |partition| {
                let name = TopicPartition::new(name.as_str(), partition.partition_index);
                (name, partition.committed_offset)
            })
        });
        Ok(offsets.filter(|(_, offset)| *offset >= 0).collect())
    }

    /// Moves a group without members to these offsets.
    ///
    /// # Errors
    /// UNKNOWN_MEMBER_ID while it has members.
    pub async fn alter_group_offsets(
        &self,
        group: &str,
        offsets: &BTreeMap<TopicPartition, i64>,
        limit: Duration,
    ) -> Result<(), AdminError> {
        let mut topics: BTreeMap<String, Vec<wire::OffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, offset) in offsets {
            let partitions = topics.entry(partition.topic.clone()).or_default();
            partitions.push(wire::OffsetCommitRequestPartition {
                partition_index: partition.partition,
                committed_offset: *offset,
                committed_metadata: Some(String::new()),
                ..Default::default()
            });
        }
        let topics = topics
            .into_iter()
            .map(|(name, partitions)| wire::OffsetCommitRequestTopic {
                name,
                partitions,
                ..Default::default()
            });
        let request = wire::OffsetCommitRequest {
            group_id: group.to_string(),
            generation_id_or_member_epoch: -1,
            topics: topics.collect(),
            ..Default::default()
        };
        let verdict = |answer: &wire::OffsetCommitResponse| {
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            let errors = partitions.map(|it| ErrorCode::from_code_or_unknown(it.error_code));
            errors
                .max_by_key(|error| *error != ErrorCode::None)
                .unwrap_or_default()
        };
        self.ask_coordinator(group, &request, limit, verdict)
            .await
            .map(drop)
    }

    /// Deletes a group without members, with its offsets.
    ///
    /// # Errors
    /// NON_EMPTY_GROUP, GROUP_ID_NOT_FOUND
    pub async fn delete_group(&self, group: &str, limit: Duration) -> Result<(), AdminError> {
        let request = wire::DeleteGroupsRequest {
            groups_names: vec![group.to_string()],
            ..Default::default()
        };
        let verdict = |answer: &wire::DeleteGroupsResponse| {
            let error = answer.results.first().map_or(0, |result| result.error_code);
            ErrorCode::from_code_or_unknown(error)
        };
        self.ask_coordinator(group, &request, limit, verdict)
            .await
            .map(drop)
    }

    /// Until the coordinator has a verdict.
    async fn ask_coordinator<R: Request>(
        &self,
        group: &str,
        request: &R,
        limit: Duration,
        verdict: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, AdminError> {
        let deadline: Instant = self.client.env().now() + limit;
        let mut coordinator = Coordinator::default();
        let mut attempt = 0;
        loop {
            let called = coordinator
                .call(&self.client, group, request, deadline)
                .await;
            let last = match called {
                Ok(answer) => match verdict(&answer) {
                    ErrorCode::None => return Ok(answer),
                    error if moved(error) => error.to_string(),
                    error => return Err(AdminError::api(error, None)),
                },
                Err((GroupError::Closed, _)) => return Err(AdminError::Closed),
                Err((GroupError::Group(error), _)) => return Err(AdminError::api(error, None)),
                Err((error, _)) => error.to_string(),
            };
            coordinator.forget();
            if !self.client.pause_before_retry(attempt, deadline).await {
                return Err(AdminError::Timeout { limit, last });
            }
            attempt += 1;
        }
    }
}

fn listed(group: wire::ListedGroup) -> GroupListing {
    GroupListing {
        group_id: group.group_id,
        protocol_type: group.protocol_type,
        state: group.group_state,
    }
}

fn described(group: wire::DescribedGroup) -> GroupDescription {
    let is_consumers = group.protocol_type == CONSUMER_PROTOCOL_TYPE;
    let members = group.members.into_iter().map(|member| GroupMember {
        partitions: match is_consumers {
            true => partitions(member.member_assignment),
            false => Vec::new(),
        },
        member_id: member.member_id,
        instance_id: member.group_instance_id,
        client_id: member.client_id,
        host: member.client_host,
    });
    GroupDescription {
        members: members.collect(),
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: group.protocol_type,
        protocol: group.protocol_data,
    }
}

fn described_consumers(group: wire::DescribedConsumerGroup) -> GroupDescription {
    let members = group.members.into_iter().map(|member| {
        let topics = member.assignment.topic_partitions.into_iter();
        let partitions = topics.flat_map(|topic| {
            let name = topic.topic_name;
            let indexes = topic.partitions.into_iter();
            indexes.map(move |index| TopicPartition::new(name.as_str(), index))
        });
        GroupMember {
            partitions: partitions.collect(),
            member_id: member.member_id,
            instance_id: member.instance_id,
            client_id: member.client_id,
            host: member.client_host,
        }
    });
    GroupDescription {
        members: members.collect(),
        group_id: group.group_id,
        state: group.group_state,
        protocol_type: CONSUMER_PROTOCOL_TYPE.to_string(),
        protocol: group.assignor_name,
    }
}

fn partitions(assignment: bytes::Bytes) -> Vec<TopicPartition> {
    let assignment = ConsumerProtocolAssignment::from_bytes(assignment).unwrap_or_default();
    let topics = assignment.assigned_partitions.into_iter();
    let all = topics.flat_map(|topic| {
        let name = topic.topic;
        let indexes = topic.partitions.into_iter();
        indexes.map(move |index| TopicPartition::new(name.as_str(), index))
    });
    all.collect()
}
