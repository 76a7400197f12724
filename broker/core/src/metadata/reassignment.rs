//! AlterPartitionReassignments (KIP-455): replicas move in two records. The first adds the new ones beside
//! the old ones; the second, once enough of the new are in sync, takes the old ones out. In between, a
//! cancellation takes the new ones out again.

use std::collections::BTreeSet;

use broker_probe::{mutant, probe};
use broker_protocol::ids::{NodeId, TopicIdPartition};

use super::create_topics::{check_batch_size, check_replica_list};
use super::draft::Draft;
use super::error::ErrorCode;
use super::image::{MetadataImage, TopicImage};
use super::partition::PartitionRegistration;
use super::partition_change::Election;
use super::record::LeaderRecoveryState;
use super::reply::{ApiError, OngoingReassignment, Output, Reply};
use super::request::{AlterPartitionReassignmentsRequest, ReassignablePartition};
use super::soft::Soft;
use crate::Ticket;

/// A partition's replicas, with those that a reassignment adds and removes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reassignment {
    /// Old and new ones, the wanted ones first.
    pub replicas: Vec<NodeId>,
    pub adding: Vec<NodeId>,
    pub removing: Vec<NodeId>,
}

impl Reassignment {
    pub fn of(partition: &PartitionRegistration) -> Reassignment {
        Reassignment {
            replicas: partition.replicas.clone(),
            adding: partition.adding_replicas.clone(),
            removing: partition.removing_replicas.clone(),
        }
    }

    /// Nothing is on its way.
    pub fn settled(replicas: Vec<NodeId>) -> Reassignment {
        Reassignment {
            replicas,
            adding: Vec::new(),
            removing: Vec::new(),
        }
    }

    /// Towards `target`. What an earlier, unfinished reassignment added stays noted as added, so that a
    /// cancellation always leads back to the replicas that were there before the first.
    fn towards(partition: &PartitionRegistration, target: &[NodeId]) -> Reassignment {
        let current: BTreeSet<NodeId> = partition.replicas.iter().copied().collect();
        let wanted: BTreeSet<NodeId> = target.iter().copied().collect();
        let removing: Vec<NodeId> = current.difference(&wanted).copied().collect();
        let before = partition.adding_replicas.iter().copied();
        let adding: BTreeSet<NodeId> = wanted.difference(&current).copied().chain(before).collect();
        Reassignment {
            replicas: target.iter().chain(&removing).copied().collect(),
            adding: adding.into_iter().collect(),
            removing,
        }
    }

    fn is_ongoing(&self) -> bool {
        !self.adding.is_empty() || !self.removing.is_empty()
    }

    fn original(&self) -> Vec<NodeId> {
        without(&self.replicas, &self.adding)
    }
}

fn without(list: &[NodeId], out: &[NodeId]) -> Vec<NodeId> {
    list.iter()
        .copied()
        .filter(|id| !out.contains(id))
        .collect()
}

/// Replicas and ISR after the reassignment, once it can be completed with this ISR:
/// - every replica it adds is in sync;
/// - if it lowers the number of replicas, every one that stays is in sync (KAFKA-15665); else a sick
///   replica that it neither adds nor removes does not hold it up (KAFKA-19975);
/// - what was committed by `min_isr` replicas is still on as many, or on all there are.
pub(super) fn completed(
    reassignment: &Reassignment,
    isr: &[NodeId],
    min_isr: usize,
) -> Option<(Vec<NodeId>, Vec<NodeId>)> {
    if !reassignment.is_ongoing() {
        return None;
    }
    let replicas = without(&reassignment.replicas, &reassignment.removing);
    let isr = without(isr, &reassignment.removing);
    if replicas.is_empty() || isr.is_empty() {
        return None;
    }
    if mutant!(R_35b) {
        return Some((replicas, isr));
    }
    let in_sync = |id: &NodeId| isr.contains(id);
    let needed = without(&reassignment.adding, &reassignment.removing);
    let shrinks = replicas.len() < reassignment.original().len();
    let all_needed = if shrinks || mutant!(R_35) {
        replicas.iter().all(in_sync)
    } else {
        needed.iter().all(in_sync)
    };
    let is_safe = isr.len() >= min_isr.min(replicas.len()) || mutant!(R_35);
    (all_needed && is_safe).then_some((replicas, isr))
}

pub(super) fn alter_partition_reassignments(
    hard: &MetadataImage,
    soft: &Soft,
    ticket: Ticket,
    request: AlterPartitionReassignmentsRequest,
    out: &mut Vec<Output>,
) {
    let mut draft = Draft::new(hard, &soft.config);
    let mut results = Vec::new();
    for wanted in request.partitions {
        let result = alter(&mut draft, &wanted, request.allow_replication_factor_change);
        results.push(((wanted.topic, wanted.partition), result));
    }
    draft.emit(out);
    out.push(Output::Reply(
        ticket,
        Reply::AlterPartitionReassignments(results),
    ));
}

fn alter(
    draft: &mut Draft<'_>,
    wanted: &ReassignablePartition,
    allow_replication_factor_change: bool,
) -> Result<(), ApiError> {
    let (name, partition) = (&wanted.topic, wanted.partition);
    let topic = find_topic(draft.image, name)?;
    if !topic.partitions.contains_key(&partition) {
        let message = format!("Unable to find partition {name}:{partition}.");
        return Err(ApiError::new(ErrorCode::UnknownTopicOrPartition, message));
    }
    let id = TopicIdPartition {
        topic_id: topic.id,
        partition,
    };
    check_batch_size(draft.records.len() + 1)?;
    match &wanted.replicas {
        None => cancel(draft, name, id),
        Some(target) => {
            check_target(draft, id, target, allow_replication_factor_change)?;
            start(draft, id, target);
            Ok(())
        }
    }
}

fn find_topic<'a>(image: &'a MetadataImage, name: &str) -> Result<&'a TopicImage, ApiError> {
    image.topic(name).ok_or_else(|| {
        let message = format!("Unable to find a topic named {name}.");
        ApiError::new(ErrorCode::UnknownTopicOrPartition, message)
    })
}

fn check_target(
    draft: &Draft<'_>,
    id: TopicIdPartition,
    target: &[NodeId],
    allow_replication_factor_change: bool,
) -> Result<(), ApiError> {
    check_replica_list(draft.image, target)?;
    let current = draft.partition(id);
    let replication_factor = without(&current.replicas, &current.removing_replicas).len();
    if !allow_replication_factor_change && target.len() != replication_factor {
        let message = format!(
            "The replication factor is changed from {replication_factor} to {}",
            target.len()
        );
        return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message));
    }
    Ok(())
}

fn start(draft: &mut Draft<'_>, id: TopicIdPartition, target: &[NodeId]) {
    let current = draft.partition(id);
    if current.is_reassigning() {
        probe!("metadata: reassignment overridden");
    }
    let assignment = Reassignment::towards(current, target);
    draft.change(id, Election::Online, |builder| {
        builder.assignment = assignment;
    });
}

/// Back to the replicas from before. If none of them is in sync any longer, that may cost records, and so
/// needs `unclean.leader.election.enable`. Eligible replicas are no way out: should the last of them restart
/// uncleanly, nobody would be left to wait for.
fn cancel(draft: &mut Draft<'_>, topic: &str, id: TopicIdPartition) -> Result<(), ApiError> {
    let current = draft.partition(id);
    if !current.is_reassigning() {
        return Err(ApiError::new(
            ErrorCode::NoReassignmentInProgress,
            "No partition reassignment is in progress.",
        ));
    }
    let original = Reassignment::of(current).original();
    let isr = without(&current.isr, &current.adding_replicas);
    let unclean = isr.is_empty();
    if unclean && !draft.unclean_election_enabled(topic) {
        let message = format!(
            "Unable to revert partition assignment for {topic}:{} because it would require an unclean leader election.",
            id.partition
        );
        return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    probe!("metadata: reassignment cancelled");
    let first = original.first().copied();
    let has_live = original.iter().any(|&id| draft.can_lead(current, id));
    draft.change(id, Election::Online, |builder| {
        builder.assignment = Reassignment::settled(original);
        builder.target_isr = isr;
        if unclean && !has_live {
            // Nobody can be elected yet; whoever comes back first must recover.
            builder.target_isr.extend(first);
            builder.target_recovery_state = LeaderRecoveryState::Recovering;
        }
    });
    Ok(())
}

/// ListPartitionReassignments; of all partitions, or of those named that are there.
pub(super) fn list_partition_reassignments(
    hard: &MetadataImage,
    ticket: Ticket,
    asked: Option<Vec<(String, i32)>>,
    out: &mut Vec<Output>,
) {
    let ongoing = match asked {
        None => hard
            .reassigning_partitions()
            .iter()
            .filter_map(|&id| ongoing(hard, id))
            .collect(),
        Some(asked) => asked
            .into_iter()
            .filter_map(|(topic, partition)| {
                let topic_id = hard.topic_id(&topic)?;
                ongoing(
                    hard,
                    TopicIdPartition {
                        topic_id,
                        partition,
                    },
                )
            })
            .collect(),
    };
    out.push(Output::Reply(
        ticket,
        Reply::ListPartitionReassignments(ongoing),
    ));
}

fn ongoing(hard: &MetadataImage, id: TopicIdPartition) -> Option<OngoingReassignment> {
    let partition = hard.partition(id).filter(|it| it.is_reassigning())?;
    Some(OngoingReassignment {
        topic: hard.topic_name(id.topic_id)?.to_owned(),
        partition: id.partition,
        replicas: partition.replicas.clone(),
        adding: partition.adding_replicas.clone(),
        removing: partition.removing_replicas.clone(),
    })
}
