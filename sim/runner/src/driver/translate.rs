//! The broker's observations as the checker's events: the checkers know no Kafka types.

use broker_protocol::ids::{NodeId, TopicIdPartition};
use broker_server::observe::{self, Observation};
use sim_checkers::cluster::event::{
    AppendRole, BatchProducer, BatchSummary, BatchTransaction, Event, PartitionId, PartitionState,
    QuorumRole,
};

pub fn partition_id(partition: TopicIdPartition) -> PartitionId {
    PartitionId {
        topic: u128::from_be_bytes(partition.topic_id.0),
        index: partition.partition,
    }
}

fn batch(batch: observe::BatchSummary) -> BatchSummary {
    BatchSummary {
        base_offset: batch.base_offset,
        last_offset: batch.last_offset,
        leader_epoch: batch.leader_epoch.0,
        crc: batch.crc,
        producer: batch.producer.map(batch_producer),
        transaction: batch.transaction.map(|transaction| BatchTransaction {
            producer_id: transaction.producer_id,
            producer_epoch: transaction.producer_epoch,
            committed: transaction.marker.map(|marker| marker.committed),
        }),
    }
}

fn batch_producer(producer: observe::BatchProducer) -> BatchProducer {
    BatchProducer {
        id: producer.producer_id,
        epoch: producer.producer_epoch,
        base_sequence: producer.base_sequence,
    }
}

fn batches(all: Vec<observe::BatchSummary>) -> Vec<BatchSummary> {
    all.into_iter().map(batch).collect()
}

fn ids(nodes: Vec<NodeId>) -> Vec<i32> {
    nodes.into_iter().map(|node| node.0).collect()
}

fn id(node: Option<NodeId>) -> Option<i32> {
    node.map(|node| node.0)
}

fn role(role: observe::QuorumRole) -> QuorumRole {
    match role {
        observe::QuorumRole::Unattached => QuorumRole::Unattached,
        observe::QuorumRole::Voted => QuorumRole::Voted,
        observe::QuorumRole::Prospective => QuorumRole::Prospective,
        observe::QuorumRole::Candidate => QuorumRole::Candidate,
        observe::QuorumRole::Leader => QuorumRole::Leader,
        observe::QuorumRole::Follower => QuorumRole::Follower,
        observe::QuorumRole::Observer => QuorumRole::Observer,
        observe::QuorumRole::Resigned => QuorumRole::Resigned,
    }
}

fn state(state: observe::PartitionState) -> PartitionState {
    PartitionState {
        replicas: ids(state.replicas),
        isr: ids(state.isr),
        eligible: ids(state.eligible),
        leader: id(state.leader),
        leader_epoch: state.leader_epoch.0,
        partition_epoch: state.partition_epoch.0,
        min_insync_replicas: state.min_insync_replicas,
        recovering: state.recovering,
    }
}

pub fn event(observation: Observation) -> Event {
    match observation {
        Observation::Started => Event::Started,
        Observation::StoppedCleanly => Event::StoppedCleanly,
        Observation::ProducerIdGiven { producer_id } => Event::ProducerIdGiven { producer_id },
        Observation::LogDirectoryFailed { path } => Event::LogDirectoryFailed { path },
        quorum @ (Observation::QuorumStateSaved { .. }
        | Observation::VoteGranted { .. }
        | Observation::QuorumRole { .. }
        | Observation::QuorumVoters { .. }
        | Observation::MetadataLogLoaded { .. }
        | Observation::MetadataSnapshotWritten { .. }
        | Observation::MetadataLogReplaced { .. }
        | Observation::MetadataLogStartAdvanced { .. }
        | Observation::MetadataSnapshotLoaded { .. }
        | Observation::MetadataAppended { .. }
        | Observation::MetadataTruncated { .. }
        | Observation::MetadataFlushed { .. }
        | Observation::MetadataCounted { .. }
        | Observation::MetadataHighWatermark { .. }) => quorum_event(quorum),
        metadata @ (Observation::MetadataApplied { .. }
        | Observation::ControllerActive { .. }
        | Observation::ControllerInactive { .. }
        | Observation::PartitionRegistered { .. }
        | Observation::PartitionRemoved { .. }
        | Observation::BrokerRegistered { .. }) => metadata_event(metadata),
        log @ (Observation::LogLoaded { .. }
        | Observation::LogDeleted { .. }
        | Observation::Appended { .. }
        | Observation::Truncated { .. }
        | Observation::Flushed { .. }
        | Observation::LogCleaned { .. }
        | Observation::LogStartAdvanced { .. }) => log_event(log),
        replica => replica_event(replica),
    }
}

fn log_event(observation: Observation) -> Event {
    match observation {
        Observation::LogLoaded {
            partition,
            log_start,
            log_end,
            epochs,
            high_watermark,
            clean,
            batches: loaded,
        } => Event::LogLoaded {
            partition: partition_id(partition),
            log_start,
            log_end,
            epochs: epochs
                .into_iter()
                .map(|(epoch, start)| (epoch.0, start))
                .collect(),
            high_watermark,
            clean,
            batches: batches(loaded),
        },
        Observation::LogDeleted { partition } => Event::LogDeleted {
            partition: partition_id(partition),
        },
        Observation::Appended {
            partition,
            batch: appended,
            role,
            epoch,
        } => Event::Appended {
            partition: partition_id(partition),
            batch: batch(appended),
            role: match role {
                observe::AppendRole::Leader => AppendRole::Leader,
                observe::AppendRole::Follower => AppendRole::Follower,
            },
            epoch: epoch.0,
        },
        Observation::Truncated { partition, log_end } => Event::Truncated {
            partition: partition_id(partition),
            log_end,
        },
        Observation::Flushed { partition, end } => Event::Flushed {
            partition: partition_id(partition),
            end,
        },
        Observation::LogCleaned { partition, end } => Event::LogCleaned {
            partition: partition_id(partition),
            end,
        },
        Observation::LogStartAdvanced {
            partition,
            log_start,
        } => Event::LogStartAdvanced {
            partition: partition_id(partition),
            log_start,
        },
        other => unreachable!("not about a log: {other:?}"),
    }
}

fn replica_event(observation: Observation) -> Event {
    match observation {
        Observation::BecameLeader {
            partition,
            epoch,
            epoch_start,
            isr,
            partition_epoch,
        } => Event::BecameLeader {
            partition: partition_id(partition),
            epoch: epoch.0,
            epoch_start,
            isr: ids(isr),
            partition_epoch: partition_epoch.0,
        },
        Observation::BecameFollower {
            partition,
            epoch,
            leader,
            partition_epoch,
        } => Event::BecameFollower {
            partition: partition_id(partition),
            epoch: epoch.0,
            leader: leader.0,
            partition_epoch: partition_epoch.0,
        },
        Observation::HighWatermark {
            partition,
            high_watermark,
            epoch,
            leader,
            maximal_isr,
            min_insync_replicas,
        } => Event::HighWatermark {
            partition: partition_id(partition),
            high_watermark,
            epoch: epoch.0,
            leader,
            maximal_isr: ids(maximal_isr),
            min_insync_replicas,
        },
        Observation::FollowerCounted {
            partition,
            follower,
            log_end,
            epoch,
        } => Event::FollowerCounted {
            partition: partition_id(partition),
            follower: follower.0,
            log_end,
            epoch: epoch.0,
        },
        Observation::IsrChanged {
            partition,
            committed,
            maximal,
            epoch,
            partition_epoch,
        } => Event::IsrChanged {
            partition: partition_id(partition),
            committed: ids(committed),
            maximal: ids(maximal),
            epoch: epoch.0,
            partition_epoch: partition_epoch.0,
        },
        Observation::CoordinatorLoaded { partition, epoch } => Event::CoordinatorLoaded {
            partition: partition_id(partition),
            epoch: epoch.0,
        },
        Observation::CoordinatorUnloaded { partition, epoch } => Event::CoordinatorUnloaded {
            partition: partition_id(partition),
            epoch: epoch.0,
        },
        Observation::ProduceAcknowledged {
            partition,
            base_offset,
            last_offset,
            acks,
        } => Event::ProduceAcknowledged {
            partition: partition_id(partition),
            base_offset,
            last_offset,
            acks,
        },
        Observation::SequenceRefused {
            partition,
            producer,
            records,
        } => Event::SequenceRefused {
            partition: partition_id(partition),
            producer: batch_producer(producer),
            records: i64::from(records),
        },
        Observation::ConsumerRead {
            partition,
            from,
            end,
            limit,
            aborted,
        } => Event::ConsumerRead {
            partition: partition_id(partition),
            from,
            end,
            limit,
            aborted,
        },
        Observation::EpochEndOffsetAnswered {
            partition,
            asked,
            answer_epoch,
            end_offset,
        } => Event::EpochEndOffsetAnswered {
            partition: partition_id(partition),
            asked: asked.0,
            answer_epoch: answer_epoch.0,
            end_offset,
        },
        other => unreachable!("not about a replica: {other:?}"),
    }
}

fn quorum_event(observation: Observation) -> Event {
    match observation {
        Observation::QuorumStateSaved {
            epoch,
            leader,
            voted,
        } => Event::QuorumStateSaved {
            epoch: epoch.0,
            leader: id(leader),
            voted: id(voted),
        },
        Observation::VoteGranted { epoch, candidate } => Event::VoteGranted {
            epoch: epoch.0,
            candidate: candidate.0,
        },
        Observation::QuorumRole {
            epoch,
            role: held,
            leader,
            voters,
        } => Event::QuorumRole {
            epoch: epoch.0,
            role: role(held),
            leader: id(leader),
            voters: ids(voters),
        },
        Observation::MetadataLogLoaded {
            log_start,
            log_end,
            batches: loaded,
            snapshots,
        } => Event::MetadataLogLoaded {
            log_start,
            log_end,
            batches: batches(loaded),
            snapshots: snapshots
                .into_iter()
                .map(|(end, epoch)| (end, epoch.0))
                .collect(),
        },
        snapshot @ (Observation::MetadataSnapshotWritten { .. }
        | Observation::MetadataLogReplaced { .. }
        | Observation::MetadataLogStartAdvanced { .. }
        | Observation::MetadataSnapshotLoaded { .. }) => snapshot_event(snapshot),
        Observation::QuorumVoters { voters } => Event::QuorumVoters {
            voters: ids(voters),
        },
        Observation::MetadataAppended { batch: appended } => Event::MetadataAppended {
            batch: batch(appended),
        },
        Observation::MetadataTruncated { log_end } => Event::MetadataTruncated { log_end },
        Observation::MetadataFlushed { end } => Event::MetadataFlushed { end },
        Observation::MetadataCounted { voter, end, epoch } => Event::MetadataCounted {
            voter: voter.0,
            end,
            epoch: epoch.0,
        },
        Observation::MetadataHighWatermark {
            high_watermark,
            epoch,
            leader,
        } => Event::MetadataHighWatermark {
            high_watermark,
            epoch: epoch.0,
            leader,
        },
        other => unreachable!("not about the quorum: {other:?}"),
    }
}

fn snapshot_event(observation: Observation) -> Event {
    match observation {
        Observation::MetadataSnapshotWritten { end, epoch } => Event::MetadataSnapshotWritten {
            end,
            epoch: epoch.0,
        },
        Observation::MetadataLogReplaced { end, epoch } => Event::MetadataLogReplaced {
            end,
            epoch: epoch.0,
        },
        Observation::MetadataLogStartAdvanced { log_start } => {
            Event::MetadataLogStartAdvanced { log_start }
        }
        Observation::MetadataSnapshotLoaded {
            end,
            epoch,
            hash,
            topics,
        } => Event::MetadataSnapshotLoaded {
            end,
            epoch: epoch.0,
            hash,
            topics: topics
                .into_iter()
                .map(|topic| u128::from_be_bytes(topic.0))
                .collect(),
        },
        other => unreachable!("not about snapshots: {other:?}"),
    }
}

fn metadata_event(observation: Observation) -> Event {
    match observation {
        Observation::MetadataApplied { end, epoch, hash } => Event::MetadataApplied {
            end,
            epoch: epoch.0,
            hash,
        },
        Observation::ControllerActive { epoch, applied_end } => Event::ControllerActive {
            epoch: epoch.0,
            applied_end,
        },
        Observation::ControllerInactive { epoch } => Event::ControllerInactive { epoch: epoch.0 },
        Observation::PartitionRegistered {
            partition,
            state: registered,
        } => Event::PartitionRegistered {
            partition: partition_id(partition),
            state: state(registered),
        },
        Observation::PartitionRemoved { partition } => Event::PartitionRemoved {
            partition: partition_id(partition),
        },
        Observation::BrokerRegistered {
            broker,
            epoch,
            fenced,
            shutting_down,
        } => Event::BrokerRegistered {
            broker: broker.0,
            epoch: epoch.0,
            fenced,
            shutting_down,
        },
        other => unreachable!("not about metadata: {other:?}"),
    }
}
