//! AlterPartition: a leader asks for another ISR (KIP-497, KIP-841, KIP-903).

use broker_probe::{mutant, probe};
use broker_protocol::ids::{BrokerEpoch, NodeId, TopicIdPartition, Uuid};

use super::cluster::check_broker_epoch;
use super::draft::Draft;
use super::error::ErrorCode;
use super::image::MetadataImage;
use super::partition::PartitionRegistration;
use super::partition_change::Election;
use super::record::LeaderRecoveryState;
use super::reply::{AlterPartitionResult, AlteredPartition, Output, Reply};
use super::request::{AlterPartition, AlterPartitionRequest};
use super::soft::Soft;
use crate::Ticket;

pub(super) fn alter_partition(
    hard: &MetadataImage,
    soft: &Soft,
    ticket: Ticket,
    request: AlterPartitionRequest,
    out: &mut Vec<Output>,
) {
    if let Err(error) = check_broker_epoch(hard, request.broker, request.broker_epoch) {
        out.push(Output::Reply(ticket, Reply::AlterPartition(Err(error))));
        return;
    }
    let mut draft = Draft::new(hard, &soft.config);
    let mut results = Vec::new();
    for change in &request.partitions {
        let result = alter(&mut draft, request.broker, change);
        let AlterPartition {
            topic_id,
            partition,
            ..
        } = *change;
        results.push(AlterPartitionResult {
            topic_id,
            partition,
            result,
        });
    }
    draft.emit_in_batches(out);
    out.push(Output::Reply(ticket, Reply::AlterPartition(Ok(results))));
}

fn alter(
    draft: &mut Draft<'_>,
    broker: NodeId,
    change: &AlterPartition,
) -> Result<AlteredPartition, ErrorCode> {
    let id = TopicIdPartition {
        topic_id: change.topic_id,
        partition: change.partition,
    };
    if draft.image.topic_by_id(id.topic_id).is_none() {
        return Err(ErrorCode::UnknownTopicId);
    }
    if draft.image.partition(id).is_none() {
        return Err(ErrorCode::UnknownTopicOrPartition);
    }
    let current = draft.partition(id);
    match check(draft, current, broker, change)? {
        Verdict::AlreadySo => return Ok(altered(current)),
        Verdict::Change => {}
    }
    let leader = current.leader;
    draft.change(id, Election::Online, |builder| {
        builder.target_isr = change.new_isr.iter().map(|&(member, _)| member).collect();
        // A leader that asks for the ISR as it is wants to be sure that nothing it asked for before, and
        // that is still on its way, is granted later.
        builder.reaffirms_isr = true;
        builder.target_recovery_state = change.leader_recovery_state;
    });
    let next = draft.partition(id);
    // A completed reassignment may have taken the leader out.
    if next.leader != leader {
        probe!("metadata: AlterPartition changed the leader");
        return Err(ErrorCode::NewLeaderElected);
    }
    Ok(altered(next))
}

fn altered(partition: &PartitionRegistration) -> AlteredPartition {
    AlteredPartition {
        leader: partition.leader.unwrap_or(NodeId::NONE),
        leader_epoch: partition.leader_epoch,
        isr: partition.isr.clone(),
        leader_recovery_state: partition.leader_recovery_state,
        partition_epoch: partition.partition_epoch,
    }
}

enum Verdict {
    Change,
    /// A retry whose first answer was lost.
    AlreadySo,
}

/// In Kafka's order; the leader acts on the code, so the order matters.
fn check(
    draft: &Draft<'_>,
    current: &PartitionRegistration,
    broker: NodeId,
    change: &AlterPartition,
) -> Result<Verdict, ErrorCode> {
    let newer = change.leader_epoch > current.leader_epoch
        || change.partition_epoch > current.partition_epoch;
    if newer {
        // The leader has seen more than this controller: it is most likely no longer the active one.
        probe!("metadata: AlterPartition from the future");
        return Err(ErrorCode::NotController);
    }
    if change.leader_epoch < current.leader_epoch {
        probe!("metadata: AlterPartition fenced by leader epoch");
        return Err(ErrorCode::FencedLeaderEpoch);
    }
    if current.leader != Some(broker) {
        return Err(ErrorCode::InvalidRequest);
    }
    if change.partition_epoch < current.partition_epoch {
        // KAFKA-14144: the answer to a change that was made may get lost. Refusing the retry would leave
        // the leader asking the same for ever.
        if is_same_state(current, change) && !mutant!(R_25) {
            probe!("metadata: AlterPartition retried");
            return Ok(Verdict::AlreadySo);
        }
        return Err(ErrorCode::InvalidUpdateVersion);
    }
    check_isr(draft, current, change)?;
    Ok(Verdict::Change)
}

fn is_same_state(current: &PartitionRegistration, change: &AlterPartition) -> bool {
    let mut asked: Vec<NodeId> = change.new_isr.iter().map(|&(member, _)| member).collect();
    let mut isr = current.isr.clone();
    asked.sort_unstable();
    isr.sort_unstable();
    asked == isr && change.leader_recovery_state == current.leader_recovery_state
}

fn check_isr(
    draft: &Draft<'_>,
    current: &PartitionRegistration,
    change: &AlterPartition,
) -> Result<(), ErrorCode> {
    let mut isr: Vec<NodeId> = change.new_isr.iter().map(|&(member, _)| member).collect();
    isr.sort_unstable();
    let distinct = isr.windows(2).all(|pair| pair[0] != pair[1]);
    let all_replicas = isr.iter().all(|member| current.replicas.contains(member));
    let has_leader = current.leader.is_some_and(|leader| isr.contains(&leader));
    if !distinct || !all_replicas || !has_leader {
        return Err(ErrorCode::InvalidRequest);
    }
    if change.leader_recovery_state == LeaderRecoveryState::Recovering {
        let recovered = current.leader_recovery_state == LeaderRecoveryState::Recovered;
        if isr.len() > 1 || recovered {
            return Err(ErrorCode::InvalidRequest);
        }
    }
    let is_eligible = |&(member, epoch): &(NodeId, BrokerEpoch)| {
        is_eligible(draft.image, member, epoch, current.directory(member))
    };
    if change.new_isr.iter().all(is_eligible) || mutant!(R_19) {
        return Ok(());
    }
    probe!("metadata: ineligible replica");
    Err(ErrorCode::IneligibleReplica)
}

/// Fenced and stopping brokers stay out (KIP-841), so does one that has restarted since the leader last
/// heard of it (KIP-903), and one whose directory has failed meanwhile: it could never lead.
fn is_eligible(image: &MetadataImage, member: NodeId, epoch: BrokerEpoch, directory: Uuid) -> bool {
    let Some(registration) = image.broker(member).filter(|it| it.is_active()) else {
        return false;
    };
    if epoch != BrokerEpoch(-1) && epoch != registration.epoch {
        probe!("metadata: a replica restarted since its leader heard of it");
        return false;
    }
    registration.has_online_directory(directory)
}
