//! Joining, staying in and leaving.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker_env::Instant;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::consumer_protocol::{
    CONSUMER_PROTOCOL_TYPE, ConsumerProtocolAssignment, ConsumerProtocolSubscription,
    ConsumerProtocolTopicPartitions,
};
use broker_protocol::ids::TopicPartition;
use bytes::Bytes;

use super::{GroupConsumer, Joined, range};
use crate::config::millis;
use crate::coordinator::moved;
use crate::error::GroupError;

const RANGE: &str = "range";
/// How much longer than its rebalance timeout a JoinGroup may take.
const JOIN_GRACE: Duration = Duration::from_secs(5);

impl GroupConsumer {
    /// Comes into the next generation; false if the deadline came first.
    pub(super) async fn join(&mut self, deadline: Instant) -> Result<bool, GroupError> {
        self.consumer.assign(&[]).await?;
        let mut attempt = 0;
        loop {
            match self.try_join().await {
                Ok(()) => return Ok(true),
                Err(GroupError::Group(error)) if may_come_back(error) => self.note(error),
                Err(GroupError::Timeout { .. }) => self.coordinator.forget(),
                Err(error) => return Err(error),
            }
            if !self.client.pause_before_retry(attempt, deadline).await {
                return Ok(false);
            }
            attempt += 1;
        }
    }

    /// What an error says about this member.
    fn note(&mut self, error: ErrorCode) {
        self.joined = None;
        if error == ErrorCode::UnknownMemberId {
            self.member_id.clear();
        }
        if moved(error) {
            self.coordinator.forget();
        }
    }

    async fn try_join(&mut self) -> Result<(), GroupError> {
        let mut joined = self.join_group().await?;
        if joined.error_code == ErrorCode::MemberIdRequired.code() {
            self.member_id = joined.member_id;
            joined = self.join_group().await?;
        }
        check(joined.error_code)?;
        self.member_id.clone_from(&joined.member_id);
        let assignments = if joined.leader == joined.member_id && !joined.skip_assignment {
            self.assign(&joined.members).await?
        } else {
            Vec::new()
        };
        let partitions = self.sync_group(&joined, assignments).await?;
        let committed = self.fetch_committed(&partitions).await?;
        self.consumer.assign(&partitions).await?;
        for (partition, (offset, epoch)) in &committed {
            self.consumer.seek_with_epoch(partition, *offset, *epoch)?;
        }
        self.rebalances += 1;
        let now = self.client.env().now();
        self.joined = Some(Joined {
            added: partitions.clone(),
            partitions,
            begins_at: committed
                .into_iter()
                .map(|(partition, (offset, _))| (partition, offset))
                .collect(),
            ..Joined::new(joined.generation_id, now, &self.config)
        });
        Ok(())
    }

    async fn join_group(&mut self) -> Result<wire::JoinGroupResponse, GroupError> {
        let subscription = ConsumerProtocolSubscription {
            topics: self.topics.clone(),
            ..Default::default()
        };
        let request = wire::JoinGroupRequest {
            group_id: self.config.group_id.clone(),
            session_timeout_ms: millis(self.config.session_timeout),
            rebalance_timeout_ms: millis(self.config.rebalance_timeout),
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: CONSUMER_PROTOCOL_TYPE.to_string(),
            protocols: vec![wire::JoinGroupRequestProtocol {
                name: RANGE.to_string(),
                metadata: subscription.to_bytes(),
                ..Default::default()
            }],
            ..Default::default()
        };
        let deadline = self.client.env().now() + self.config.rebalance_timeout + JOIN_GRACE;
        let group = self.config.group_id.clone();
        let answer = self
            .coordinator
            .call(&self.client, &group, &request, deadline)
            .await;
        answer.map_err(|(error, _)| error)
    }

    /// The leader's part: everybody's partitions.
    async fn assign(
        &self,
        members: &[wire::JoinGroupResponseMember],
    ) -> Result<Vec<wire::SyncGroupRequestAssignment>, GroupError> {
        let mut wants = BTreeMap::new();
        let mut topics = BTreeSet::new();
        for member in members {
            let subscription = ConsumerProtocolSubscription::from_bytes(member.metadata.clone());
            let wanted = subscription.map_or_else(|_| Vec::new(), |it| it.topics);
            topics.extend(wanted.iter().cloned());
            wants.insert(member.member_id.clone(), wanted);
        }
        let refreshed = self.client.refresh_metadata(&topics).await;
        refreshed.map_err(|error| GroupError::Timeout {
            last: error.to_string(),
        })?;
        let counts = self.client.metadata(|metadata| {
            let count = |topic: &String| {
                let known = metadata.topic(topic)?;
                Some((topic.clone(), i32::try_from(known.partitions.len()).ok()?))
            };
            topics.iter().filter_map(count).collect()
        });
        let assigned = range(&wants, &counts).into_iter();
        let to_wire = |(member_id, partitions)| wire::SyncGroupRequestAssignment {
            member_id,
            assignment: encode(partitions),
            ..Default::default()
        };
        Ok(assigned.map(to_wire).collect())
    }

    async fn sync_group(
        &mut self,
        joined: &wire::JoinGroupResponse,
        assignments: Vec<wire::SyncGroupRequestAssignment>,
    ) -> Result<Vec<TopicPartition>, GroupError> {
        let request = wire::SyncGroupRequest {
            group_id: self.config.group_id.clone(),
            generation_id: joined.generation_id,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            protocol_type: joined.protocol_type.clone(),
            protocol_name: joined.protocol_name.clone(),
            assignments,
            ..Default::default()
        };
        let deadline = self.client.env().now() + self.config.rebalance_timeout + JOIN_GRACE;
        let group = self.config.group_id.clone();
        let answer = self
            .coordinator
            .call(&self.client, &group, &request, deadline)
            .await;
        let answer = answer.map_err(|(error, _)| error)?;
        check(answer.error_code)?;
        Ok(decode(answer.assignment))
    }

    /// A rebalance, or the loss of the membership, is no error: the next poll joins again.
    pub(super) async fn heartbeat(&mut self) -> Result<(), GroupError> {
        let Some(joined) = &mut self.joined else {
            return Ok(());
        };
        let now = self.client.env().now();
        joined.next_heartbeat = now + self.config.heartbeat_interval;
        let request = wire::HeartbeatRequest {
            group_id: self.config.group_id.clone(),
            generation_id: joined.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            ..Default::default()
        };
        let deadline = now + self.config.session_timeout;
        let group = self.config.group_id.clone();
        match self
            .coordinator
            .call(&self.client, &group, &request, deadline)
            .await
        {
            Ok(answer) => match ErrorCode::from_code_or_unknown(answer.error_code) {
                ErrorCode::None => Ok(()),
                // The session goes on at another coordinator.
                error if moved(error) => {
                    self.coordinator.forget();
                    Ok(())
                }
                error if may_come_back(error) => {
                    self.note(error);
                    Ok(())
                }
                error => Err(GroupError::Group(error)),
            },
            Err((GroupError::Timeout { .. }, _)) => Ok(()),
            Err((error, _)) => Err(error),
        }
    }

    pub(super) async fn leave(&mut self) {
        self.joined = None;
        if self.member_id.is_empty() {
            return;
        }
        let request = wire::LeaveGroupRequest {
            group_id: self.config.group_id.clone(),
            members: vec![wire::MemberIdentity {
                member_id: std::mem::take(&mut self.member_id),
                ..Default::default()
            }],
            ..Default::default()
        };
        let deadline = self.client.env().now() + self.client.config().request_timeout;
        let group = self.config.group_id.clone();
        let left = self
            .coordinator
            .call(&self.client, &group, &request, deadline)
            .await;
        if let Err((error, _)) = left {
            tracing::debug!(group, %error, "left without saying so");
        }
    }

    /// The generation is over, or this member is out of it.
    pub(super) fn lost(&mut self, error: ErrorCode) {
        self.note(error);
    }
}

/// Errors that another JoinGroup mends.
pub(super) fn may_come_back(error: ErrorCode) -> bool {
    moved(error)
        || matches!(
            error,
            ErrorCode::RebalanceInProgress
                | ErrorCode::IllegalGeneration
                | ErrorCode::UnknownMemberId
        )
}

pub(super) fn check(code: i16) -> Result<(), GroupError> {
    match ErrorCode::from_code_or_unknown(code) {
        ErrorCode::None => Ok(()),
        error => Err(GroupError::Group(error)),
    }
}

fn encode(partitions: Vec<TopicPartition>) -> Bytes {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        topics
            .entry(partition.topic)
            .or_default()
            .push(partition.partition);
    }
    let topics = topics.into_iter();
    let assignment = ConsumerProtocolAssignment {
        assigned_partitions: topics
            .map(|(topic, partitions)| ConsumerProtocolTopicPartitions {
                topic,
                partitions,
                ..Default::default()
            })
            .collect(),
        ..Default::default()
    };
    assignment.to_bytes()
}

/// Nothing, if the leader left this member out or speaks another language.
fn decode(bytes: Bytes) -> Vec<TopicPartition> {
    let Ok(assignment) = ConsumerProtocolAssignment::from_bytes(bytes) else {
        return Vec::new();
    };
    let topics = assignment.assigned_partitions.into_iter();
    let partitions = topics.flat_map(|topic| {
        let name = topic.topic;
        let indexes = topic.partitions.into_iter();
        indexes.map(move |index| TopicPartition::new(name.as_str(), index))
    });
    partitions.collect()
}
