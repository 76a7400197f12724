//! What is assigned, and who leads it.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use broker_core::consumer::{Input, OffsetAndEpoch};
use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, NodeId, TopicIdPartition, TopicPartition};

use super::shell::{Shell, State};
use crate::error::ConsumerError;
use crate::refresh::{Refresh, Subscriber};
use crate::tasks::lock;

impl Shell {
    pub async fn assign(
        self: &Arc<Self>,
        partitions: &[TopicPartition],
    ) -> Result<(), ConsumerError> {
        let ids = self.resolve(partitions).await?;
        let mut state = lock(&self.state);
        let gone: Vec<TopicPartition> = state
            .ids
            .keys()
            .filter(|known| !ids.contains_key(known))
            .cloned()
            .collect();
        for partition in gone {
            let Some(partition) = state.ids.remove(&partition) else {
                continue;
            };
            state.buffer.discard(partition);
            self.step(&mut state, Input::Revoke { partition }, None);
        }
        for (name, partition) in ids {
            state
                .names
                .entry(partition.topic_id)
                .or_insert_with(|| name.topic.as_str().into());
            let before = state.ids.insert(name, partition);
            if let Some(recreated) = before.filter(|before| *before != partition) {
                self.step(
                    &mut state,
                    Input::Revoke {
                        partition: recreated,
                    },
                    None,
                );
            }
            self.step(
                &mut state,
                Input::Assign {
                    partition,
                    position: None,
                },
                None,
            );
        }
        self.tell_leaders(&mut state);
        self.pump(&mut state);
        Ok(())
    }

    async fn resolve(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, TopicIdPartition>, ConsumerError> {
        let limit = self.client.config().default_api_timeout;
        let deadline = self.client.env().now() + limit;
        let topics: BTreeSet<String> = partitions
            .iter()
            .map(|partition| partition.topic.clone())
            .collect();
        let mut attempt = 0;
        loop {
            let id_of = |partition: &TopicPartition| {
                let known = self.client.metadata(|metadata| {
                    let topic = metadata.topic(&partition.topic)?;
                    topic
                        .partitions
                        .contains_key(&partition.partition)
                        .then_some(topic.id)
                });
                known.map(|topic_id| TopicIdPartition {
                    topic_id,
                    partition: partition.partition,
                })
            };
            let found: BTreeMap<_, _> = partitions
                .iter()
                .filter_map(|partition| Some((partition.clone(), id_of(partition)?)))
                .collect();
            let Some(missing) = partitions
                .iter()
                .find(|partition| !found.contains_key(partition))
            else {
                return Ok(found);
            };
            let last = match self.client.refresh_metadata(&topics).await {
                Ok(_) if id_of(missing).is_some() => continue,
                Ok(errors) => {
                    let error = errors
                        .get(&missing.topic)
                        .copied()
                        .unwrap_or(ErrorCode::UnknownTopicOrPartition);
                    format!("{missing}: {error}")
                }
                Err(error) => error.to_string(),
            };
            if !self.client.pause_before_retry(attempt, deadline).await {
                return Err(ConsumerError::Timeout { limit, last });
            }
            attempt += 1;
        }
    }

    pub fn assignment(&self) -> Vec<TopicPartition> {
        lock(&self.state).ids.keys().cloned().collect()
    }

    pub fn act(
        self: &Arc<Self>,
        partition: &TopicPartition,
        input: impl FnOnce(TopicIdPartition) -> Input,
    ) -> Result<(), ConsumerError> {
        let mut state = lock(&self.state);
        let id = state.ids.get(partition).copied();
        let id = id.ok_or_else(|| ConsumerError::NotAssigned(partition.clone()))?;
        // Nobody is waiting for the answer to a position that is given up.
        state
            .errors
            .retain(|error| partition_of(error) != Some(partition));
        self.step(&mut state, input(id), None);
        self.pump(&mut state);
        Ok(())
    }

    pub fn position(&self, partition: &TopicPartition) -> Option<OffsetAndEpoch> {
        let state = lock(&self.state);
        state.core.position(*state.ids.get(partition)?)
    }

    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        let state = lock(&self.state);
        state.core.lag(*state.ids.get(partition)?)
    }

    /// The core's view of who leads what is assigned; true if everything has a leader.
    pub(super) fn tell_leaders(self: &Arc<Self>, state: &mut State) -> bool {
        let known: Vec<(TopicIdPartition, Option<NodeId>, LeaderEpoch)> =
            self.client.metadata(|metadata| {
                let known = state.ids.iter().map(|(name, id)| {
                    let topic = metadata
                        .topic(&name.topic)
                        .filter(|topic| topic.id == id.topic_id);
                    let partition = topic.and_then(|topic| topic.partitions.get(&id.partition));
                    partition.map_or((*id, None, LeaderEpoch(-1)), |known| {
                        (*id, known.leader, known.leader_epoch)
                    })
                });
                known.collect()
            });
        let mut complete = true;
        for (partition, leader, epoch) in known {
            complete &= leader.is_some();
            self.step(
                state,
                Input::Leader {
                    partition,
                    leader,
                    epoch,
                },
                None,
            );
        }
        complete
    }
}

impl Subscriber for Shell {
    fn refresh(&self) -> &Refresh {
        &self.refresh
    }

    fn topics(&self) -> BTreeSet<String> {
        lock(&self.state)
            .ids
            .keys()
            .map(|partition| partition.topic.clone())
            .collect()
    }

    fn updated(self: Arc<Self>) -> bool {
        let mut state = lock(&self.state);
        let complete = self.tell_leaders(&mut state);
        self.pump(&mut state);
        complete
    }
}

fn partition_of(error: &ConsumerError) -> Option<&TopicPartition> {
    match error {
        ConsumerError::NoOffsetForPartition(partition)
        | ConsumerError::OffsetOutOfRange { partition, .. }
        | ConsumerError::LogTruncation { partition, .. }
        | ConsumerError::Partition { partition, .. } => Some(partition),
        ConsumerError::NotAssigned(_) | ConsumerError::Timeout { .. } | ConsumerError::Closed => {
            None
        }
    }
}
