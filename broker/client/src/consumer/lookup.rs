//! What the core wants to know of leaders: offsets to start at, and where epochs end. One request per
//! broker and kind.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_core::consumer::{
    EpochEndOffset, Generation, Input, OffsetAndEpoch, OffsetReset, Output,
};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{LeaderEpoch, NodeId, TopicIdPartition, TopicPartition};

use super::shell::{Shell, State};
use crate::client::Client;
use crate::config::IsolationLevel;
use crate::error::CallError;
use crate::offsets::{self, OffsetSpec};

#[derive(Clone)]
struct OffsetLookup {
    partition: TopicIdPartition,
    generation: Generation,
    epoch: LeaderEpoch,
    spec: OffsetSpec,
}

#[derive(Clone)]
struct EpochLookup {
    partition: TopicIdPartition,
    generation: Generation,
    current_leader_epoch: LeaderEpoch,
    epoch: LeaderEpoch,
}

/// Questions that came up in one step.
#[derive(Default)]
pub struct Lookups {
    offsets: BTreeMap<NodeId, Vec<OffsetLookup>>,
    epochs: BTreeMap<NodeId, Vec<EpochLookup>>,
}

impl Lookups {
    /// Takes `ListOffset` and `OffsetForLeaderEpoch`.
    pub fn add(&mut self, output: Output) {
        match output {
            Output::ListOffset {
                partition,
                generation,
                node,
                current_leader_epoch,
                reset,
            } => {
                let spec = match reset {
                    OffsetReset::Earliest => OffsetSpec::Earliest,
                    OffsetReset::Latest => OffsetSpec::Latest,
                };
                let lookup = OffsetLookup {
                    partition,
                    generation,
                    epoch: current_leader_epoch,
                    spec,
                };
                self.offsets.entry(node).or_default().push(lookup);
            }
            Output::OffsetForLeaderEpoch {
                partition,
                generation,
                node,
                current_leader_epoch,
                epoch,
            } => {
                let lookup = EpochLookup {
                    partition,
                    generation,
                    current_leader_epoch,
                    epoch,
                };
                self.epochs.entry(node).or_default().push(lookup);
            }
            other => unreachable!("not a lookup: {other:?}"),
        }
    }
}

impl Shell {
    pub(super) fn look_up(self: &Arc<Self>, state: &State, lookups: Lookups) {
        let named = |partition: TopicIdPartition| {
            let topic = state
                .names
                .get(&partition.topic_id)
                .map_or("", |name| name.as_ref());
            TopicPartition::new(topic, partition.partition)
        };
        let committed = self.config.isolation_level == IsolationLevel::ReadCommitted;
        for (node, mut lookups) in lookups.offsets {
            let latest = lookups
                .iter_mut()
                .filter(|lookup| committed && lookup.spec == OffsetSpec::Latest);
            latest.for_each(|lookup| lookup.spec = OffsetSpec::LastStable);
            let names = lookups
                .iter()
                .map(|lookup| named(lookup.partition))
                .collect();
            let (weak, client) = (Arc::downgrade(self), self.client.clone());
            self.tasks.spawn("list offsets", async move {
                let inputs = list_offsets(&client, node, names, &lookups).await;
                if let Some(shell) = weak.upgrade() {
                    shell.steps(inputs);
                }
            });
        }
        for (node, lookups) in lookups.epochs {
            let names = lookups
                .iter()
                .map(|lookup| named(lookup.partition))
                .collect();
            let (weak, client) = (Arc::downgrade(self), self.client.clone());
            self.tasks.spawn("offset for leader epoch", async move {
                let inputs = epoch_ends(&client, node, names, &lookups).await;
                if let Some(shell) = weak.upgrade() {
                    shell.steps(inputs);
                }
            });
        }
    }
}

async fn list_offsets(
    client: &Client,
    node: NodeId,
    names: Vec<TopicPartition>,
    lookups: &[OffsetLookup],
) -> Vec<Input> {
    let questions: Vec<_> = names
        .iter()
        .cloned()
        .zip(lookups)
        .map(|(name, lookup)| (name, lookup.epoch, lookup.spec))
        .collect();
    let answers = offsets::ask(client, node, &questions).await;
    let input = |(name, lookup): (&TopicPartition, &OffsetLookup)| {
        let listed = match &answers {
            Ok(answers) => answers
                .get(name)
                .copied()
                .unwrap_or(Err(ErrorCode::NetworkException)),
            Err(_) => Err(ErrorCode::NetworkException),
        };
        let position = |offset| OffsetAndEpoch {
            offset,
            epoch: None,
        };
        let result = match listed {
            Ok(listed) if listed.offset >= 0 => Ok(position(listed.offset)),
            Ok(_) => Err(ErrorCode::OffsetNotAvailable),
            Err(error) => Err(error),
        };
        Input::OffsetListed {
            partition: lookup.partition,
            generation: lookup.generation,
            result,
        }
    };
    names.iter().zip(lookups).map(input).collect()
}

async fn epoch_ends(
    client: &Client,
    node: NodeId,
    names: Vec<TopicPartition>,
    lookups: &[EpochLookup],
) -> Vec<Input> {
    let mut topics: BTreeMap<String, Vec<wire::OffsetForLeaderPartition>> = BTreeMap::new();
    for (name, lookup) in names.iter().zip(lookups) {
        topics
            .entry(name.topic.clone())
            .or_default()
            .push(wire::OffsetForLeaderPartition {
                partition: name.partition,
                current_leader_epoch: lookup.current_leader_epoch.0,
                leader_epoch: lookup.epoch.0,
                ..Default::default()
            });
    }
    let topic = |(topic, partitions)| wire::OffsetForLeaderTopic {
        topic,
        partitions,
        ..Default::default()
    };
    let request = wire::OffsetForLeaderEpochRequest {
        replica_id: -1,
        topics: topics.into_iter().map(topic).collect(),
        ..Default::default()
    };
    let response = client
        .call(node, &request, client.config().request_timeout)
        .await;
    let input = |(name, lookup): (&TopicPartition, &EpochLookup)| Input::EpochEnd {
        partition: lookup.partition,
        generation: lookup.generation,
        current_leader_epoch: lookup.current_leader_epoch,
        result: epoch_end(&response, name),
    };
    names.iter().zip(lookups).map(input).collect()
}

fn epoch_end(
    response: &Result<wire::OffsetForLeaderEpochResponse, CallError>,
    name: &TopicPartition,
) -> Result<Option<EpochEndOffset>, ErrorCode> {
    let response = response.as_ref().map_err(|_| ErrorCode::NetworkException)?;
    let topic = response
        .topics
        .iter()
        .find(|topic| topic.topic == name.topic);
    let end = topic.and_then(|topic| {
        topic
            .partitions
            .iter()
            .find(|end| end.partition == name.partition)
    });
    let end = end.ok_or(ErrorCode::NetworkException)?;
    match ErrorCode::from_code_or_unknown(end.error_code) {
        ErrorCode::None if end.leader_epoch < 0 || end.end_offset < 0 => Ok(None),
        ErrorCode::None => Ok(Some(EpochEndOffset {
            epoch: LeaderEpoch(end.leader_epoch),
            end_offset: end.end_offset,
        })),
        error => Err(error),
    }
}
