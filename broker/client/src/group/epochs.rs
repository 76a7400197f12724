//! The protocol of KIP-848: heartbeats say what this member wants and has, and bring what it gets.
//!
//! Partitions come and go one by one: those that stay are read on, those that come begin at their committed
//! offsets, and what goes is given up with the next heartbeat, which then is sent at once.

use std::collections::{BTreeMap, BTreeSet};

use broker_env::{Instant, random};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{TopicPartition, Uuid};

use super::{GroupConsumer, Joined};
use crate::config::millis;
use crate::coordinator::moved;
use crate::error::GroupError;

const JOIN_EPOCH: i32 = 0;
const LEAVE_EPOCH: i32 = -1;
/// A static member comes back.
const LEAVE_STATIC_EPOCH: i32 = -2;

impl GroupConsumer {
    /// Comes into the group; false if the deadline came first.
    pub(super) async fn join_by_heartbeat(
        &mut self,
        deadline: Instant,
    ) -> Result<bool, GroupError> {
        self.consumer.assign(&[]).await?;
        if self.member_id.is_empty() {
            let id = random::uuid(self.client.env().random.as_ref());
            self.member_id = Uuid(id).to_string();
        }
        let mut attempt = 0;
        loop {
            match self.send_heartbeat(JOIN_EPOCH, true).await {
                Ok(answer) => {
                    let now = self.client.env().now();
                    self.joined = Some(Joined::new(answer.member_epoch, now, &self.config));
                    self.hear(answer).await?;
                    return Ok(true);
                }
                Err(GroupError::Group(error)) if may_join_later(error) => self.look_again(error),
                Err(GroupError::Timeout { .. }) => self.coordinator.forget(),
                Err(error) => return Err(error),
            }
            if !self.client.pause_before_retry(attempt, deadline).await {
                return Ok(false);
            }
            attempt += 1;
        }
    }

    /// To be fenced is no error: the next poll joins again, without any partition.
    pub(super) async fn heartbeat_in_epoch(&mut self) -> Result<(), GroupError> {
        let Some(joined) = &mut self.joined else {
            return Ok(());
        };
        let now = self.client.env().now();
        joined.next_heartbeat = now + self.config.heartbeat_interval;
        let epoch = joined.generation;
        // Until the answer is taken in it may be lost: then the next one has to bring all there is.
        let is_full = std::mem::replace(&mut joined.needs_all, true);
        match self.send_heartbeat(epoch, is_full).await {
            Ok(answer) => self.hear(answer).await,
            Err(GroupError::Group(error)) if moved(error) => {
                self.look_again(error);
                Ok(())
            }
            Err(GroupError::Group(
                ErrorCode::FencedMemberEpoch
                | ErrorCode::UnknownMemberId
                | ErrorCode::GroupIdNotFound,
            )) => {
                self.joined = None;
                Ok(())
            }
            Err(GroupError::Timeout { .. }) => Ok(()),
            Err(error) => Err(error),
        }
    }

    pub(super) async fn leave_by_heartbeat(&mut self) {
        if self.joined.is_none() {
            return;
        }
        let epoch = match &self.config.instance_id {
            Some(_) => LEAVE_STATIC_EPOCH,
            None => LEAVE_EPOCH,
        };
        if let Err(error) = self.send_heartbeat(epoch, false).await {
            let group = &self.config.group_id;
            tracing::debug!(group, %error, "left without saying so");
        }
        self.joined = None;
    }

    fn look_again(&mut self, error: ErrorCode) {
        if moved(error) {
            self.coordinator.forget();
        }
    }

    async fn send_heartbeat(
        &mut self,
        epoch: i32,
        is_full: bool,
    ) -> Result<wire::ConsumerGroupHeartbeatResponse, GroupError> {
        let owned = self.by_id(self.assignment());
        let request = wire::ConsumerGroupHeartbeatRequest {
            group_id: self.config.group_id.clone(),
            member_id: self.member_id.clone(),
            member_epoch: epoch,
            instance_id: self.config.instance_id.clone(),
            rebalance_timeout_ms: match is_full {
                true => millis(self.config.rebalance_timeout),
                false => -1,
            },
            subscribed_topic_names: is_full.then(|| self.topics.clone()),
            server_assignor: self.config.remote_assignor.clone(),
            topic_partitions: Some(owned),
            ..Default::default()
        };
        let limit = self.client.config().request_timeout;
        let deadline = self.client.env().now() + limit;
        let group = self.config.group_id.clone();
        let answer = self
            .coordinator
            .call(&self.client, &group, &request, deadline)
            .await;
        let answer = answer.map_err(|(error, _)| error)?;
        match ErrorCode::from_code_or_unknown(answer.error_code) {
            ErrorCode::None => Ok(answer),
            error => Err(GroupError::Group(error)),
        }
    }

    /// Takes in an answer. If that fails on the way, the next one brings it again.
    async fn hear(
        &mut self,
        answer: wire::ConsumerGroupHeartbeatResponse,
    ) -> Result<(), GroupError> {
        let Some(joined) = &mut self.joined else {
            return Ok(());
        };
        joined.generation = answer.member_epoch;
        joined.needs_all = answer.assignment.is_some();
        let Some(assignment) = answer.assignment else {
            return Ok(());
        };
        let Some(partitions) = self.by_name(assignment.topic_partitions).await else {
            return Ok(());
        };
        match self.take_over(partitions).await {
            // Somebody's transaction has yet to end, or the coordinator has moved.
            Err(GroupError::Group(error)) if may_join_later(error) || is_pending(error) => {
                self.look_again(error);
                Ok(())
            }
            Err(GroupError::Timeout { .. }) => Ok(()),
            other => other,
        }
    }

    async fn take_over(&mut self, partitions: Vec<TopicPartition>) -> Result<(), GroupError> {
        let before: BTreeSet<TopicPartition> = self.assignment().iter().cloned().collect();
        let after: BTreeSet<TopicPartition> = partitions.iter().cloned().collect();
        let added: Vec<TopicPartition> = after.difference(&before).cloned().collect();
        if self.config.auto_commit_interval.is_some() && !before.is_subset(&after) {
            // Who gets what goes begins where this member was.
            let _tried = self.commit().await;
        }
        let committed = self.fetch_committed(&added).await?;
        self.consumer.assign(&partitions).await?;
        for (partition, (offset, epoch)) in &committed {
            self.consumer.seek_with_epoch(partition, *offset, *epoch)?;
        }
        let now = self.client.env().now();
        let Some(joined) = &mut self.joined else {
            return Ok(());
        };
        joined.needs_all = false;
        joined.partitions = partitions;
        if before != after || joined.is_new {
            joined.is_new = false;
            joined.begins_at = committed
                .into_iter()
                .map(|(partition, (offset, _))| (partition, offset))
                .collect();
            joined.added = added;
            self.rebalances += 1;
        }
        if !before.is_subset(&after) {
            joined.next_heartbeat = now;
        }
        Ok(())
    }

    fn by_id(&self, partitions: &[TopicPartition]) -> Vec<wire::ConsumerGroupTopicPartitions> {
        let mut topics: BTreeMap<Uuid, Vec<i32>> = BTreeMap::new();
        self.client.metadata(|metadata| {
            for partition in partitions {
                if let Some(topic) = metadata.topic(&partition.topic) {
                    let of_topic = topics.entry(topic.id).or_default();
                    of_topic.push(partition.partition);
                }
            }
        });
        let topics = topics.into_iter();
        topics
            .map(
                |(topic_id, partitions)| wire::ConsumerGroupTopicPartitions {
                    topic_id,
                    partitions,
                    ..Default::default()
                },
            )
            .collect()
    }

    /// `None` while a topic is not known.
    async fn by_name(
        &self,
        topics: Vec<wire::ConsumerGroupTopicPartitions>,
    ) -> Option<Vec<TopicPartition>> {
        let named = || {
            self.client.metadata(|metadata| {
                let mut partitions = Vec::new();
                for assigned in &topics {
                    let (name, _) = metadata
                        .topics()
                        .find(|(_, topic)| topic.id == assigned.topic_id)?;
                    let indexes = assigned.partitions.iter();
                    partitions.extend(indexes.map(|index| TopicPartition::new(name, *index)));
                }
                Some(partitions)
            })
        };
        if let Some(known) = named() {
            return Some(known);
        }
        let wanted: BTreeSet<String> = self.topics.iter().cloned().collect();
        self.client.refresh_metadata(&wanted).await.ok()?;
        named()
    }
}

/// Errors that pass by themselves.
fn may_join_later(error: ErrorCode) -> bool {
    moved(error) || error == ErrorCode::UnreleasedInstanceId
}

fn is_pending(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::UnstableOffsetCommit
            | ErrorCode::StaleMemberEpoch
            | ErrorCode::UnknownMemberId
            | ErrorCode::UnknownTopicOrPartition
    )
}
