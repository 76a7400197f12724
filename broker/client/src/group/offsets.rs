//! Committing positions and reading them back.

use std::collections::BTreeMap;

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, TopicPartition};

use super::membership::{check, may_come_back};
use super::{GroupConsumer, GroupProtocol, Joined};
use crate::coordinator::moved;
use crate::error::GroupError;

/// What was committed: the next offset of each partition.
pub type Committed = BTreeMap<TopicPartition, i64>;

/// Why a commit has no success.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum CommitError {
    /// Nothing was committed: this is not a member's current generation, or nothing of this is allowed.
    #[error("{0}")]
    Refused(ErrorCode),
    /// It may be committed, now or later.
    #[error("{0}; it may be committed")]
    Unknown(String),
}

impl GroupConsumer {
    /// What a commit would commit now.
    pub fn positions(&self) -> Committed {
        let partitions = self.assignment().iter();
        let known = partitions.filter_map(|partition| {
            let position = self.consumer.position(partition)?;
            Some((partition.clone(), position))
        });
        known.collect()
    }

    /// Commits the positions: everything that polls have returned. Sent once; nothing to do is a success.
    ///
    /// # Errors
    /// See [`CommitError`]. After a refusal the next poll joins again.
    pub async fn commit(&mut self) -> Result<Committed, CommitError> {
        let positions = self.positions();
        let Some(joined) = self.joined.clone() else {
            return Err(CommitError::Refused(ErrorCode::RebalanceInProgress));
        };
        if positions.is_empty() {
            return Ok(positions);
        }
        let request = self.commit_request(&joined, &positions);
        let deadline = self.client.env().now() + self.client.config().request_timeout;
        let group = self.config.group_id.clone();
        let answer = self
            .coordinator
            .call(&self.client, &group, &request, deadline)
            .await;
        let answer = answer.map_err(|(error, may_have_arrived)| match may_have_arrived {
            true => CommitError::Unknown(error.to_string()),
            false => CommitError::Refused(ErrorCode::NetworkException),
        })?;
        let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
        let errors = partitions.map(|it| ErrorCode::from_code_or_unknown(it.error_code));
        match errors.max_by_key(|error| *error != ErrorCode::None) {
            None | Some(ErrorCode::None) => Ok(positions),
            // It may have been appended before the coordinator moved.
            Some(error) if moved(error) => {
                self.coordinator.forget();
                Err(CommitError::Unknown(error.to_string()))
            }
            Some(error) => {
                if may_come_back(error) {
                    self.lost(error);
                }
                Err(CommitError::Refused(error))
            }
        }
    }

    fn commit_request(&self, joined: &Joined, positions: &Committed) -> wire::OffsetCommitRequest {
        let mut topics: BTreeMap<String, Vec<wire::OffsetCommitRequestPartition>> = BTreeMap::new();
        for (partition, offset) in positions {
            let partitions = topics.entry(partition.topic.clone()).or_default();
            partitions.push(wire::OffsetCommitRequestPartition {
                partition_index: partition.partition,
                committed_offset: *offset,
                committed_metadata: Some(String::new()),
                ..Default::default()
            });
        }
        let topics = topics.into_iter();
        wire::OffsetCommitRequest {
            group_id: self.config.group_id.clone(),
            generation_id_or_member_epoch: joined.generation,
            member_id: self.member_id.clone(),
            group_instance_id: self.config.instance_id.clone(),
            topics: topics
                .map(|(name, partitions)| wire::OffsetCommitRequestTopic {
                    name,
                    partitions,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }

    /// Where the group is in those partitions that it has committed.
    pub(super) async fn fetch_committed(
        &mut self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, (i64, Option<LeaderEpoch>)>, GroupError> {
        if partitions.is_empty() {
            return Ok(BTreeMap::new());
        }
        let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            topics
                .entry(partition.topic.clone())
                .or_default()
                .push(partition.partition);
        }
        let topics = topics.into_iter();
        let member = self.joined.as_ref();
        let member = member.filter(|_| self.config.protocol == GroupProtocol::Consumer);
        let request = wire::OffsetFetchRequest {
            groups: vec![wire::OffsetFetchRequestGroup {
                group_id: self.config.group_id.clone(),
                member_id: member.map(|_| self.member_id.clone()),
                member_epoch: member.map_or(-1, |joined| joined.generation),
                topics: Some(
                    topics
                        .map(|(name, partition_indexes)| wire::OffsetFetchRequestTopics {
                            name,
                            partition_indexes,
                            ..Default::default()
                        })
                        .collect(),
                ),
                ..Default::default()
            }],
            require_stable: true,
            ..Default::default()
        };
        let deadline = self.client.env().now() + self.client.config().request_timeout;
        let group = self.config.group_id.clone();
        let answer = self
            .coordinator
            .call(&self.client, &group, &request, deadline)
            .await;
        let answer = answer.map_err(|(error, _)| error)?;
        let mut committed = BTreeMap::new();
        for group in answer.groups {
            check(group.error_code)?;
            for topic in group.topics {
                for partition in topic.partitions {
                    check(partition.error_code)?;
                    if partition.committed_offset >= 0 {
                        let name =
                            TopicPartition::new(topic.name.as_str(), partition.partition_index);
                        let epoch = Some(partition.committed_leader_epoch);
                        let epoch = epoch.filter(|epoch| *epoch >= 0).map(LeaderEpoch);
                        committed.insert(name, (partition.committed_offset, epoch));
                    }
                }
            }
        }
        Ok(committed)
    }
}
