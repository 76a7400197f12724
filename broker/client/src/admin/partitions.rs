//! Where partitions are led and where their replicas are.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{NodeId, TopicPartition};

use super::{Admin, Results, Verdict, verdict};
use crate::config::millis;
use crate::error::AdminError;

/// Whom an election may choose (KIP-460).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ElectionType {
    /// The first replica, if it is in sync.
    Preferred,
    /// Any live replica if nobody leads, at the price of records.
    Unclean,
}

/// A partition whose replicas are being moved.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Reassignment {
    /// Old and new ones.
    pub replicas: Vec<NodeId>,
    pub adding: Vec<NodeId>,
    pub removing: Vec<NodeId>,
}

impl Admin {
    /// Elects leaders.
    ///
    /// # Errors
    /// Per partition, e.g. ELECTION_NOT_NEEDED, PREFERRED_LEADER_NOT_AVAILABLE.
    pub async fn elect_leaders(
        &self,
        kind: ElectionType,
        partitions: &[TopicPartition],
        limit: Duration,
    ) -> Result<Results<TopicPartition, ()>, AdminError> {
        let request = |wanted: &BTreeSet<TopicPartition>, left| {
            let topic = |(topic, partitions)| wire::ElectLeadersTopicPartitions {
                topic,
                partitions,
                ..Default::default()
            };
            wire::ElectLeadersRequest {
                election_type: match kind {
                    ElectionType::Preferred => 0,
                    ElectionType::Unclean => 1,
                },
                topic_partitions: Some(by_topic(wanted).into_iter().map(topic).collect()),
                timeout_ms: millis(left),
                ..Default::default()
            }
        };
        let wanted = partitions.iter().cloned().collect();
        let verdicts = |response| elected(response, partitions);
        self.each(wanted, limit, request, verdicts).await
    }

    /// Moves replicas: each partition to those given, the first preferred as leader; `None` cancels what is
    /// under way. Answered when the move has begun; [`Admin::list_partition_reassignments`] tells when it is
    /// done.
    ///
    /// # Errors
    /// Per partition, e.g. INVALID_REPLICA_ASSIGNMENT, NO_REASSIGNMENT_IN_PROGRESS.
    pub async fn alter_partition_reassignments(
        &self,
        targets: &BTreeMap<TopicPartition, Option<Vec<NodeId>>>,
        limit: Duration,
    ) -> Result<Results<TopicPartition, ()>, AdminError> {
        let request = |wanted: &BTreeSet<TopicPartition>, left| {
            let partition = |topic: &str, index| wire::ReassignablePartition {
                partition_index: index,
                replicas: targets
                    .get(&TopicPartition::new(topic, index))
                    .and_then(Option::as_ref)
                    .map(|nodes| nodes.iter().map(|node| node.0).collect()),
                ..Default::default()
            };
            let topic = |(name, indexes): (String, Vec<i32>)| wire::ReassignableTopic {
                partitions: indexes
                    .into_iter()
                    .map(|index| partition(&name, index))
                    .collect(),
                name,
                ..Default::default()
            };
            wire::AlterPartitionReassignmentsRequest {
                timeout_ms: millis(left),
                topics: by_topic(wanted).into_iter().map(topic).collect(),
                ..Default::default()
            }
        };
        let wanted = targets.keys().cloned().collect();
        let verdicts = |response| reassigned(response, targets);
        self.each(wanted, limit, request, verdicts).await
    }

    /// All moves of replicas that are under way.
    ///
    /// # Errors
    /// No broker answered within `limit`.
    pub async fn list_partition_reassignments(
        &self,
        limit: Duration,
    ) -> Result<BTreeMap<TopicPartition, Reassignment>, AdminError> {
        let request = wire::ListPartitionReassignmentsRequest::default;
        let listed = |response: wire::ListPartitionReassignmentsResponse| {
            let message = response.error_message.clone();
            verdict(response.error_code, message, || ongoing(response))
        };
        self.one(limit, request, listed).await
    }
}

fn by_topic(partitions: &BTreeSet<TopicPartition>) -> BTreeMap<String, Vec<i32>> {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for partition in partitions {
        let indexes = topics.entry(partition.topic.clone()).or_default();
        indexes.push(partition.partition);
    }
    topics
}

fn elected(
    response: wire::ElectLeadersResponse,
    asked: &[TopicPartition],
) -> Vec<(TopicPartition, Verdict<()>)> {
    let top = ErrorCode::from_code_or_unknown(response.error_code);
    if top.is_error() {
        let failed = |partition: &TopicPartition| (partition.clone(), Err((top, None)));
        return asked.iter().map(failed).collect();
    }
    let results = response.replica_election_results.into_iter();
    let partitions = results.flat_map(|topic| {
        let name = topic.topic;
        let one = move |result: wire::ElectLeadersPartitionResult| {
            let partition = TopicPartition::new(name.clone(), result.partition_id);
            (
                partition,
                verdict(result.error_code, result.error_message, || ()),
            )
        };
        topic.partition_result.into_iter().map(one)
    });
    partitions.collect()
}

fn reassigned(
    response: wire::AlterPartitionReassignmentsResponse,
    asked: &BTreeMap<TopicPartition, Option<Vec<NodeId>>>,
) -> Vec<(TopicPartition, Verdict<()>)> {
    let top = ErrorCode::from_code_or_unknown(response.error_code);
    if top.is_error() {
        let message = response.error_message;
        let failed = |partition: &TopicPartition| (partition.clone(), Err((top, message.clone())));
        return asked.keys().map(failed).collect();
    }
    let partitions = response.responses.into_iter().flat_map(|topic| {
        let name = topic.name;
        let one = move |result: wire::ReassignablePartitionResponse| {
            let partition = TopicPartition::new(name.clone(), result.partition_index);
            (
                partition,
                verdict(result.error_code, result.error_message, || ()),
            )
        };
        topic.partitions.into_iter().map(one)
    });
    partitions.collect()
}

fn ongoing(
    response: wire::ListPartitionReassignmentsResponse,
) -> BTreeMap<TopicPartition, Reassignment> {
    let nodes = |ids: Vec<i32>| ids.into_iter().map(NodeId).collect();
    let partitions = response.topics.into_iter().flat_map(|topic| {
        let name = topic.name;
        let one = move |partition: wire::OngoingPartitionReassignment| {
            let reassignment = Reassignment {
                replicas: nodes(partition.replicas),
                adding: nodes(partition.adding_replicas),
                removing: nodes(partition.removing_replicas),
            };
            let id = TopicPartition::new(name.clone(), partition.partition_index);
            (id, reassignment)
        };
        topic.partitions.into_iter().map(one)
    });
    partitions.collect()
}
