//! AssignReplicasToDirs (KIP-858): brokers say which of their log directories hosts a replica, or that its log
//! is lost.

use broker_probe::probe;
use broker_protocol::ids::{NodeId, TopicIdPartition};

use super::cluster::check_broker_epoch;
use super::draft::Draft;
use super::error::ErrorCode;
use super::image::MetadataImage;
use super::partition_change::Election;
use super::reply::{ApiError, Output, Reply};
use super::request::{AssignReplicasRequest, ReplicaAssignment};
use super::soft::Soft;
use crate::Ticket;

pub(super) fn assign_replicas(
    hard: &MetadataImage,
    soft: &Soft,
    ticket: Ticket,
    request: AssignReplicasRequest,
    out: &mut Vec<Output>,
) {
    if let Err(error) = check_broker_epoch(hard, request.broker, request.broker_epoch) {
        out.push(Output::Reply(ticket, Reply::AssignReplicas(Err(error))));
        return;
    }
    if !hard.metadata_version().has_directories() {
        // The records of this version could not keep what is said.
        let error = ApiError::from(ErrorCode::UnsupportedVersion);
        out.push(Output::Reply(ticket, Reply::AssignReplicas(Err(error))));
        return;
    }
    let mut draft = Draft::new(hard, &soft.config);
    let results = request
        .assignments
        .iter()
        .map(|assignment| assign(&mut draft, request.broker, assignment))
        .collect();
    draft.emit_in_batches(out);
    out.push(Output::Reply(ticket, Reply::AssignReplicas(Ok(results))));
}

fn assign(
    draft: &mut Draft<'_>,
    broker: NodeId,
    assignment: &ReplicaAssignment,
) -> Result<(), ErrorCode> {
    let id = TopicIdPartition {
        topic_id: assignment.topic_id,
        partition: assignment.partition,
    };
    if draft.image.topic_by_id(id.topic_id).is_none() {
        return Err(ErrorCode::UnknownTopicId);
    }
    let partition = draft.image.partition(id);
    let partition = partition.ok_or(ErrorCode::UnknownTopicOrPartition)?;
    if !partition.replicas.contains(&broker) {
        return Err(ErrorCode::NotLeaderOrFollower);
    }
    draft.assign_directory(id, broker, assignment.directory);
    let registration = draft.image.broker(broker).expect("its epoch was checked");
    if !registration.has_online_directory(assignment.directory) {
        probe!("metadata: a replica's directory is offline");
        draft.withdraw_from(id, broker);
    } else if draft.partition(id).leader.is_none() {
        // Its log is there again: it may be the one that nobody could lead without.
        draft.change(id, Election::Online, |_| {});
    }
    Ok(())
}
