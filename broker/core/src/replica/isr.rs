//! Changes of the ISR: proposed here, decided by the controller (KIP-497, 841, 903).

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, NodeId};

use super::leader::{Leader, RemoteReplica};
use super::message::{AlterPartitionId, AlteredPartition, Isr, Output, Timer};
use super::{Replica, Role};

/// A proposal under way. Until it is known to be refused, its members count as well as the committed
/// ones: both sets may be what the controller has.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct PendingIsr {
    /// None between an attempt whose fate is unknown and the next.
    pub request: Option<AlterPartitionId>,
    pub isr: Isr,
    /// An attempt whose fate is unknown may still be on its way to the controller.
    pub unresolved: bool,
    /// Refused, while an earlier attempt is unresolved: the controller is asked for the committed ISR, and with
    /// the partition epoch that it answers no earlier attempt can come true any more.
    pub withdrawn: bool,
}

impl Leader {
    pub fn in_maximal_isr(&self, id: NodeId) -> bool {
        self.committed.contains(&id)
            || self
                .pending
                .as_ref()
                .is_some_and(|pending| pending.isr.contains(&id))
    }

    pub fn maximal_isr(&self) -> Isr {
        let pending = self.pending.iter().flat_map(|pending| &pending.isr);
        self.committed.iter().chain(pending).copied().collect()
    }

    pub fn maximal_isr_len(&self) -> usize {
        let pending = self.pending.iter().flat_map(|pending| &pending.isr);
        self.committed.len() + pending.filter(|id| !self.committed.contains(id)).count()
    }

    /// Whatever was pending is decided by now, one way or the other.
    pub fn commit_isr(&mut self, isr: Isr) {
        self.committed = isr;
        self.pending = None;
    }
}

impl Replica {
    /// KIP-841, KIP-903: only the incarnation that the controller would accept.
    pub(super) fn is_eligible(&self, id: NodeId, follower: &RemoteReplica) -> bool {
        match (self.eligible.get(&id), follower.broker_epoch) {
            (Some(_), Some(BrokerEpoch(-1))) => true,
            (Some(published), Some(fetched)) if *published == fetched => true,
            (Some(_), Some(_)) => {
                probe!("replica: a follower restarted and the controller has not told yet");
                mutant!(R_19)
            }
            _ => mutant!(R_19),
        }
    }

    pub(super) fn maybe_expand_isr(&mut self, id: NodeId, out: &mut Vec<Output>) {
        let Role::Leader(leader) = &self.role else {
            return;
        };
        if leader.pending.is_some() || leader.committed.contains(&id) {
            return;
        }
        let follower = &leader.followers[&id];
        if !self.is_in_sync(leader, follower) || !self.is_eligible(id, follower) {
            return;
        }
        let mut isr = leader.committed.clone();
        isr.insert(id);
        self.propose_isr(isr, out);
    }

    /// the high watermark of a new leader lags; between it and the epoch's start there may be
    /// committed records.
    fn is_in_sync(&self, leader: &Leader, follower: &RemoteReplica) -> bool {
        follower.log_end.is_some_and(|end| {
            end >= self.log.high_watermark && (end >= leader.epoch_start || mutant!(R_05))
        })
    }

    /// Followers that at no time since the last window had everything leave the ISR; those that have it
    /// now stay, even if silent: the controller fences dead brokers.
    pub(super) fn on_lag_window(&mut self, out: &mut Vec<Output>) {
        let (local, log_end) = (self.local, self.log.end);
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let mut isr = leader.committed.clone();
        isr.retain(|id| {
            *id == local
                || leader
                    .followers
                    .get(id)
                    .is_some_and(|it| it.caught_up || it.log_end == Some(log_end))
        });
        for follower in leader.followers.values_mut() {
            follower.caught_up = false;
        }
        if leader.pending.is_none() && isr.len() < leader.committed.len() {
            probe!("replica: ISR shrinks");
            self.propose_isr(isr, out);
        }
        self.advance_high_watermark(out);
    }

    fn propose_isr(&mut self, isr: Isr, out: &mut Vec<Output>) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        assert!(
            isr.contains(&self.local),
            "leader {} outside of its ISR {isr:?}",
            self.local
        );
        leader.pending = Some(PendingIsr {
            request: None,
            isr,
            unresolved: false,
            withdrawn: false,
        });
        out.push(Output::IsrChanged);
        self.send_alter_partition(out);
    }

    /// built anew from the state for each attempt. Each has its own id, so that a late answer to an
    /// earlier one is not taken for the answer to this.
    fn send_alter_partition(&mut self, out: &mut Vec<Output>) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(pending) = &mut leader.pending else {
            return;
        };
        let request = AlterPartitionId(self.next_request);
        self.next_request += 1;
        pending.request = Some(request);
        let broker_epoch = |id: &NodeId| {
            let known = if *id == self.local {
                self.eligible.get(id).copied()
            } else {
                leader.followers[id].broker_epoch
            };
            known.unwrap_or(BrokerEpoch(-1))
        };
        let wanted = if pending.withdrawn {
            &leader.committed
        } else {
            &pending.isr
        };
        let isr = wanted.iter().map(|id| (*id, broker_epoch(id))).collect();
        out.push(Output::AlterPartition {
            request,
            leader_epoch: self.leader_epoch,
            partition_epoch: self.partition_epoch,
            isr,
        });
    }

    pub(super) fn on_alter_partition(
        &mut self,
        request: AlterPartitionId,
        result: Result<AlteredPartition, ErrorCode>,
        out: &mut Vec<Output>,
    ) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(pending) = leader
            .pending
            .as_mut()
            .filter(|pending| pending.request == Some(request))
        else {
            probe!("replica: late AlterPartition answer ignored");
            return;
        };
        let error = match result {
            Ok(altered) => return self.on_altered(altered, out),
            Err(error) => error,
        };
        match after_error(error) {
            AfterError::BackToCommitted if pending.unresolved => {
                probe!("replica: refused ISR withdrawn");
                pending.request = None;
                pending.withdrawn = true;
                out.push(Output::Arm(Timer::AlterPartitionRetry));
            }
            AfterError::BackToCommitted => {
                leader.pending = None;
                out.push(Output::IsrChanged);
                self.advance_high_watermark(out);
            }
            // perhaps an earlier attempt was applied.
            AfterError::AwaitMetadata => pending.request = None,
            AfterError::TryAgain => {
                pending.request = None;
                pending.unresolved = true;
                out.push(Output::Arm(Timer::AlterPartitionRetry));
            }
        }
    }

    fn on_altered(&mut self, altered: AlteredPartition, out: &mut Vec<Output>) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if altered.leader_epoch != self.leader_epoch
            || altered.partition_epoch < self.partition_epoch
        {
            probe!("replica: AlterPartition answer of another epoch");
            return;
        }
        self.partition_epoch = altered.partition_epoch;
        leader.commit_isr(altered.isr.into_iter().collect());
        out.push(Output::IsrChanged);
        // a confirmed shrink may be all that the high watermark waited for.
        if !mutant!(R_26) {
            self.advance_high_watermark(out);
        }
    }

    pub(super) fn on_alter_partition_retry(&mut self, out: &mut Vec<Output>) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let unanswered = |pending: &&mut PendingIsr| pending.request.is_none();
        if let Some(pending) = leader.pending.as_mut().filter(unanswered) {
            if mutant!(R_28) {
                pending.isr.clear();
            }
            self.send_alter_partition(out);
        }
    }
}

/// What to make of a refused proposal.
enum AfterError {
    BackToCommitted,
    AwaitMetadata,
    TryAgain,
}

fn after_error(error: ErrorCode) -> AfterError {
    match error {
        // The controller says that the partition epoch is current and that it changed nothing.
        ErrorCode::IneligibleReplica | ErrorCode::OperationNotAttempted => {
            AfterError::BackToCommitted
        }
        // Newer metadata is on its way and decides.
        ErrorCode::FencedLeaderEpoch
        | ErrorCode::InvalidUpdateVersion
        | ErrorCode::InvalidRequest
        | ErrorCode::NewLeaderElected
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::UnknownTopicId => AfterError::AwaitMetadata,
        // It may have been applied.
        _ => AfterError::TryAgain,
    }
}
