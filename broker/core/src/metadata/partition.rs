//! One partition as the metadata image has it, and how a change record alters it.

use broker_probe::mutant;
use broker_protocol::ids::{LeaderEpoch, NodeId, PartitionEpoch, TopicIdPartition, Uuid};

use super::record::{LeaderRecoveryState, PartitionChangeRecord, PartitionRecord};

/// Reserved directory ids (KIP-858).
pub mod directory {
    use broker_protocol::ids::Uuid;

    /// The partition was last written at a `metadata.version` without directories.
    pub const MIGRATING: Uuid = Uuid([0; 16]);
    /// The broker has not yet said which of its directories hosts the replica.
    pub const UNASSIGNED: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1]);
    /// The directory that hosts the replica failed.
    pub const LOST: Uuid = Uuid([0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 2]);

    /// Whether no real directory may have this id: Kafka reserves the first hundred.
    pub fn is_reserved(id: Uuid) -> bool {
        id.0[..15] == [0; 15] && id.0[15] < 100
    }
}

/// A partition's replicas, leader and epochs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionRegistration {
    /// In the order of preference.
    pub replicas: Vec<NodeId>,
    /// In the order of `replicas`.
    pub directories: Vec<Uuid>,
    pub isr: Vec<NodeId>,
    /// KIP-966: left the ISR while it was below `min.insync.replicas`, so they have all committed data.
    pub eligible_leader_replicas: Vec<NodeId>,
    /// At most the last leader, kept while ISR and ELR are empty.
    pub last_known_elr: Vec<NodeId>,
    pub removing_replicas: Vec<NodeId>,
    pub adding_replicas: Vec<NodeId>,
    pub leader: Option<NodeId>,
    pub leader_recovery_state: LeaderRecoveryState,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
}

impl PartitionRegistration {
    pub fn from_record(record: &PartitionRecord) -> PartitionRegistration {
        let directories = if record.directories.is_empty() {
            vec![directory::MIGRATING; record.replicas.len()]
        } else {
            record.directories.clone()
        };
        PartitionRegistration {
            replicas: record.replicas.clone(),
            directories,
            isr: record.isr.clone(),
            eligible_leader_replicas: record.eligible_leader_replicas.clone(),
            last_known_elr: record.last_known_elr.clone(),
            removing_replicas: record.removing_replicas.clone(),
            adding_replicas: record.adding_replicas.clone(),
            leader: node_or_none(record.leader),
            leader_recovery_state: record.leader_recovery_state,
            leader_epoch: record.leader_epoch,
            partition_epoch: record.partition_epoch,
        }
    }

    /// The record that recreates it, as a snapshot needs it.
    pub fn to_record(&self, partition: TopicIdPartition) -> PartitionRecord {
        PartitionRecord {
            partition,
            replicas: self.replicas.clone(),
            isr: self.isr.clone(),
            removing_replicas: self.removing_replicas.clone(),
            adding_replicas: self.adding_replicas.clone(),
            leader: self.leader.unwrap_or(NodeId::NONE),
            leader_recovery_state: self.leader_recovery_state,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            directories: self.directories.clone(),
            eligible_leader_replicas: self.eligible_leader_replicas.clone(),
            last_known_elr: self.last_known_elr.clone(),
        }
    }

    /// The partition after `change`; both epochs grow here and nowhere else.
    pub fn merge(&self, change: &PartitionChangeRecord) -> PartitionRegistration {
        let mut next = self.clone();
        assign(&mut next.isr, &change.isr);
        assign(&mut next.replicas, &change.replicas);
        assign(&mut next.directories, &change.directories);
        if change.directories.is_none() && next.directories.len() != next.replicas.len() {
            next.directories = vec![directory::MIGRATING; next.replicas.len()];
        }
        assign(&mut next.removing_replicas, &change.removing_replicas);
        assign(&mut next.adding_replicas, &change.adding_replicas);
        assign(
            &mut next.eligible_leader_replicas,
            &change.eligible_leader_replicas,
        );
        assign(&mut next.last_known_elr, &change.last_known_elr);
        assign(
            &mut next.leader_recovery_state,
            &change.leader_recovery_state,
        );
        let is_same = |leader: NodeId| node_or_none(leader) == self.leader;
        if let Some(leader) = change.leader.filter(|&it| !(is_same(it) && mutant!(M_11))) {
            next.leader = node_or_none(leader);
            next.leader_epoch = LeaderEpoch(self.leader_epoch.0 + 1);
        }
        next.partition_epoch = PartitionEpoch(self.partition_epoch.0 + 1);
        next
    }

    /// The directory of `replica`, [`directory::LOST`] if it is not a replica.
    pub fn directory(&self, replica: NodeId) -> Uuid {
        let position = self.replicas.iter().position(|&id| id == replica);
        position
            .and_then(|index| self.directories.get(index).copied())
            .unwrap_or(directory::LOST)
    }

    pub fn preferred_leader(&self) -> Option<NodeId> {
        self.replicas.first().copied()
    }

    pub fn is_reassigning(&self) -> bool {
        !self.removing_replicas.is_empty() || !self.adding_replicas.is_empty()
    }
}

fn assign<T: Clone>(field: &mut T, change: &Option<T>) {
    if let Some(value) = change {
        field.clone_from(value);
    }
}

fn node_or_none(node: NodeId) -> Option<NodeId> {
    (node != NodeId::NONE).then_some(node)
}
