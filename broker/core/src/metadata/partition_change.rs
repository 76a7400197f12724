//! From a partition and what is wanted of it to a change record: elects the leader, tracks eligible
//! leader replicas (KIP-966), and decides which epochs grow.
//!
//! Leader epoch: grows with each change of the leader and when replicas go, not when only the ISR shrinks
//! (KAFKA-15021). Partition epoch: grows with each record.

use broker_probe::{mutant, probe};
use broker_protocol::ids::{NodeId, TopicIdPartition, Uuid};

use super::partition::{PartitionRegistration, directory};
use super::reassignment::{Reassignment, completed};
use super::record::{LeaderRecoveryState, PartitionChangeRecord};

/// Who may be elected.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Election {
    /// The current leader if it may go on, else the first that may.
    Online,
    /// The preferred replica if it may, else as `Online`.
    Preferred,
    /// As `Online`, else any live replica, at the price of committed data.
    Unclean,
}

pub(super) struct PartitionChangeBuilder<'a> {
    pub id: TopicIdPartition,
    pub current: &'a PartitionRegistration,
    pub is_acceptable_leader: &'a dyn Fn(NodeId) -> bool,
    /// Where a new replica goes; [`directory::UNASSIGNED`] if its broker is to choose.
    pub default_directory: &'a dyn Fn(NodeId) -> Uuid,
    pub min_insync_replicas: usize,
    pub elr_enabled: bool,
    /// Of `metadata.version` below 3.6.
    pub bumps_leader_epoch_on_shrink: bool,
    pub election: Election,
    /// A broker that lost its memory of what it had: not even eligible.
    pub unclean_shutdown: Option<NodeId>,
    pub target_isr: Vec<NodeId>,
    /// Write the ISR also if nothing changes, so that the partition epoch grows.
    pub reaffirms_isr: bool,
    pub target_elr: Vec<NodeId>,
    pub target_recovery_state: LeaderRecoveryState,
    pub assignment: Reassignment,
}

impl<'a> PartitionChangeBuilder<'a> {
    /// Wants nothing but a leader.
    pub fn new(
        id: TopicIdPartition,
        current: &'a PartitionRegistration,
        is_acceptable_leader: &'a dyn Fn(NodeId) -> bool,
        default_directory: &'a dyn Fn(NodeId) -> Uuid,
    ) -> PartitionChangeBuilder<'a> {
        PartitionChangeBuilder {
            id,
            current,
            is_acceptable_leader,
            default_directory,
            min_insync_replicas: 1,
            elr_enabled: false,
            bumps_leader_epoch_on_shrink: false,
            election: Election::Online,
            unclean_shutdown: None,
            target_isr: current.isr.clone(),
            reaffirms_isr: false,
            target_elr: current.eligible_leader_replicas.clone(),
            target_recovery_state: current.leader_recovery_state,
            assignment: Reassignment::of(current),
        }
    }

    /// None if nothing changes.
    pub fn build(mut self) -> Option<PartitionChangeRecord> {
        let mut record = PartitionChangeRecord::new(self.id);
        if self.target_isr.is_empty() && mutant!(R_20c) {
            // The last member would lead again, whatever it lost meanwhile.
            self.target_isr.clone_from(&self.current.isr);
        }
        self.complete_reassignment();
        self.populate_elr();
        self.elect(&mut record);
        self.begin_leader_epoch_without_removed_replicas(&mut record);
        self.set_elr(&mut record);
        self.set_isr(&mut record);
        self.set_last_known_leader(&mut record);
        self.bump_leader_epoch_on_shrink(&mut record);
        self.set_assignment(&mut record);
        if self.target_recovery_state != self.current.leader_recovery_state {
            record.leader_recovery_state = Some(self.target_recovery_state);
        }
        if record.is_no_op() && self.reaffirms_isr {
            record.isr = Some(self.target_isr);
        }
        (!record.is_no_op()).then_some(record)
    }

    fn complete_reassignment(&mut self) {
        let min_isr = self.min_insync_replicas;
        if let Some((replicas, isr)) = completed(&self.assignment, &self.target_isr, min_isr) {
            probe!("metadata: reassignment completed");
            self.assignment = Reassignment::settled(replicas);
            self.target_isr = isr;
        }
    }

    /// Whoever leaves the ISR below `min.insync.replicas` stays eligible: nothing can be committed
    /// without it, so it has all that is.
    fn populate_elr(&mut self) {
        if !self.elr_enabled {
            return;
        }
        if self.target_isr.len() >= self.min_insync_replicas {
            self.target_elr.clear();
            return;
        }
        let mut eligible = std::mem::take(&mut self.target_elr);
        let leavers = self
            .current
            .isr
            .iter()
            .filter(|id| !eligible.contains(id))
            .copied();
        eligible.extend(leavers.collect::<Vec<_>>());
        eligible.retain(|id| !self.target_isr.contains(id));
        eligible.retain(|id| self.assignment.replicas.contains(id));
        if !mutant!(R_20b) {
            eligible.retain(|&id| self.unclean_shutdown != Some(id));
        }
        if !eligible.is_empty() {
            probe!("metadata: replica became eligible");
        }
        self.target_elr = eligible;
    }

    fn elect(&mut self, record: &mut PartitionChangeRecord) {
        let (leader, unclean) = self.choose_leader();
        if leader == self.current.leader {
            return;
        }
        record.leader = Some(leader.unwrap_or(NodeId::NONE));
        let Some(leader) = leader else {
            probe!("metadata: partition became leaderless");
            return;
        };
        if unclean {
            probe!("metadata: unclean election");
            record.isr = Some(vec![leader]);
            if self.current.leader_recovery_state == LeaderRecoveryState::Recovered {
                record.leader_recovery_state = Some(LeaderRecoveryState::Recovering);
            }
        } else if self.target_elr.contains(&leader) {
            probe!("metadata: leader from the eligible replicas");
            self.target_isr = vec![leader];
            self.target_elr.retain(|&id| id != leader);
            // min.insync.replicas may have become 1 while nobody led: the leader may commit alone now.
            if self.min_insync_replicas <= 1 {
                self.target_elr.clear();
            }
        }
    }

    /// The leader, and whether it may lack committed data.
    fn choose_leader(&self) -> (Option<NodeId>, bool) {
        let replicas = &self.assignment.replicas;
        let preferred = replicas
            .first()
            .filter(|_| self.election == Election::Preferred);
        let mut candidates = preferred
            .into_iter()
            .chain(&self.current.leader)
            .chain(replicas);
        if let Some(&leader) = candidates.find(|&&id| self.is_valid_leader(id)) {
            return (Some(leader), false);
        }
        if let Some(leader) = self.last_known_leader() {
            return (Some(leader), true);
        }
        let mut live = replicas
            .iter()
            .filter(|&&id| (self.is_acceptable_leader)(id));
        match live.next() {
            Some(&leader) if self.election == Election::Unclean || mutant!(R_32) => {
                (Some(leader), true)
            }
            _ => (None, false),
        }
    }

    /// A follower that is told to stop only because it is no replica any longer must be told so in a new
    /// leader epoch, or its fetches would still count.
    fn begin_leader_epoch_without_removed_replicas(&self, record: &mut PartitionChangeRecord) {
        let stays = |id: &NodeId| self.assignment.replicas.contains(id);
        if record.leader.is_none() && !self.current.replicas.iter().all(stays) {
            record.leader = Some(self.current.leader.unwrap_or(NodeId::NONE));
        }
    }

    /// In the ISR, or in the ELR if the ISR is empty, and alive.
    fn is_valid_leader(&self, replica: NodeId) -> bool {
        let complete = self.target_isr.contains(&replica)
            || (self.target_isr.is_empty() && self.target_elr.contains(&replica));
        complete && (self.is_acceptable_leader)(replica)
    }

    /// KIP-966: when ISR and ELR are empty, the last leader is the best guess, once it is back.
    fn last_known_leader(&self) -> Option<NodeId> {
        if !self.elr_enabled || !self.target_elr.is_empty() || !self.target_isr.is_empty() {
            return None;
        }
        let [last] = *self.current.last_known_elr.as_slice() else {
            return None;
        };
        let is_replica = self.assignment.replicas.contains(&last);
        (is_replica && (mutant!(R_22) || (self.is_acceptable_leader)(last))).then_some(last)
    }

    fn set_elr(&mut self, record: &mut PartitionChangeRecord) {
        let unclean = record.isr.is_some();
        if unclean || !self.elr_enabled {
            self.target_elr.clear();
        }
        if self.target_elr != self.current.eligible_leader_replicas {
            record.eligible_leader_replicas = Some(self.target_elr.clone());
        }
    }

    /// Without ELR the last member stays, because only it has all the data.
    fn set_isr(&self, record: &mut PartitionChangeRecord) {
        let may_set = !self.target_isr.is_empty() || self.elr_enabled;
        if record.isr.is_none() && may_set && self.target_isr != self.current.isr {
            record.isr = Some(self.target_isr.clone());
        }
    }

    /// To name the leader, even the same one, is to begin a new epoch.
    fn bump_leader_epoch_on_shrink(&self, record: &mut PartitionChangeRecord) {
        let Some(isr) = record
            .isr
            .as_ref()
            .filter(|_| self.bumps_leader_epoch_on_shrink)
        else {
            return;
        };
        let shrinks = self.current.isr.iter().any(|member| !isr.contains(member));
        if shrinks && record.leader.is_none() {
            record.leader = self.current.leader;
        }
    }

    fn set_last_known_leader(&self, record: &mut PartitionChangeRecord) {
        if !self.elr_enabled {
            if !self.current.last_known_elr.is_empty() {
                record.last_known_elr = Some(Vec::new());
            }
            return;
        }
        let known = &self.current.last_known_elr;
        let current_leader = self.current.leader.unwrap_or(NodeId::NONE);
        let next_leader = record.leader.unwrap_or(current_leader);
        let isr_becomes_empty = record.isr.as_ref().is_some_and(Vec::is_empty);
        if isr_becomes_empty && self.assignment.replicas.contains(&current_leader) {
            if known.as_slice() != [current_leader] {
                record.last_known_elr = Some(vec![current_leader]);
            }
            return;
        }
        let has_left = !known.iter().all(|id| self.assignment.replicas.contains(id));
        if has_left || (next_leader != NodeId::NONE && !known.is_empty()) {
            record.last_known_elr = Some(Vec::new());
        }
    }
    fn set_assignment(&self, record: &mut PartitionChangeRecord) {
        let Reassignment {
            replicas,
            adding,
            removing,
        } = &self.assignment;
        let current = self.current;
        let directory = |&id: &NodeId| match current.directory(id) {
            directory::LOST if !current.replicas.contains(&id) => (self.default_directory)(id),
            known => known,
        };
        record.replicas = changed(&current.replicas, replicas.clone());
        record.adding_replicas = changed(&current.adding_replicas, adding.clone());
        record.removing_replicas = changed(&current.removing_replicas, removing.clone());
        let directories = replicas.iter().map(directory).collect();
        record.directories = changed(&current.directories, directories);
    }
}

fn changed<T: PartialEq>(current: &[T], next: Vec<T>) -> Option<Vec<T>> {
    (current != next).then_some(next)
}
