//! From one role to the next, and what every message can tell about epoch and leader.

use std::collections::BTreeSet;

use broker_probe::{mutant, probe};
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset};

use super::{
    Configurations, Error, Fetching, Inconsistency, Output, Raft, Recovered, Role, Snapshot, Timer,
};

impl Raft {
    /// Voters and what is committed for certain, from the last snapshot and the log behind it. A snapshot that
    /// the log does not contain had just been fetched: what it holds is committed, the log is not.
    pub(super) fn recover_snapshot(&mut self, recovered: &Recovered, out: &mut Vec<Output>) {
        let latest = recovered.snapshots.iter().max_by_key(|found| found.id);
        self.configurations = Configurations::starting_at(latest, &self.config.voters);
        let end = latest.map_or(0, |latest: &Snapshot| latest.id.offset);
        if let Some(latest) = latest.filter(|latest| latest.id.offset > 0) {
            if !self.log.contains(latest.id) {
                probe!("raft: a snapshot is ahead of the log at start");
                self.log.start_at(latest.id);
                let snapshot = latest.id;
                out.push(Output::StartLogAt { snapshot });
            }
            self.raise_high_watermark(latest.id.offset, out);
        }
        let later = |(offset, _): &&_| (end..self.log.end()).contains(offset);
        for (offset, change) in recovered.changes.iter().filter(later) {
            self.configurations.append(*offset, change);
        }
    }

    pub(super) fn enter_first_role(&mut self, leader: Option<NodeId>, out: &mut Vec<Output>) {
        let written = self.log.last_epoch();
        if written > self.epoch {
            probe!("raft: log is ahead of quorum-state at start");
            self.become_unattached(written, out);
        } else if mutant!(K_02) && leader == Some(self.id()) {
            self.become_leader(BTreeSet::new(), out);
        } else if let Some(leader) = leader.filter(|&leader| leader != self.id()) {
            self.become_follower(self.epoch, leader, out);
        } else {
            // A former leader too: it may have lost unflushed records that its epoch has shown to others, so
            // it must not write in that epoch again (K-02).
            self.become_unattached(self.epoch, out);
        }
        if self.is_voter() && self.voters().len() == 1 && !matches!(self.role, Role::Leader(_)) {
            self.become_prospective(out);
        }
    }

    /// The one place where epoch and role change.
    pub(super) fn change_role(&mut self, epoch: LeaderEpoch, role: Role, out: &mut Vec<Output>) {
        assert!(epoch >= self.epoch, "epoch {} after {}", epoch, self.epoch);
        if epoch > self.epoch {
            self.voted = None;
        }
        self.epoch = epoch;
        let former = std::mem::replace(&mut self.role, role);
        if matches!(self.role, Role::Candidate { .. }) {
            self.voted = Some(self.config.me);
        }
        self.save(out);
        self.announce(out);
        self.leave(former, out);
    }

    fn announce(&self, out: &mut Vec<Output>) {
        let epoch_start_offset = match &self.role {
            Role::Leader(leadership) => Some(leadership.epoch_start),
            _ => None,
        };
        out.push(Output::RoleChanged {
            epoch: self.epoch,
            role: self.role.name(),
            leader: self.leader(),
            epoch_start_offset,
        });
    }

    /// Ends what the former role had under way.
    fn leave(&mut self, former: Role, out: &mut Vec<Output>) {
        self.fetching = Fetching::Idle;
        self.download = None;
        if matches!(former, Role::Follower { .. }) && self.tells_about_itself() {
            out.push(Output::Disarm(Timer::UpdateVoter));
        }
        for node in std::mem::take(&mut self.retrying) {
            out.push(Output::Disarm(Timer::Retry(node)));
        }
        let Role::Leader(leadership) = former else {
            return;
        };
        out.push(Output::Disarm(Timer::CheckQuorum));
        out.push(Output::Disarm(Timer::BeginQuorumEpoch));
        if !leadership.observers.is_empty() {
            out.push(Output::Disarm(Timer::Observers));
        }
        if let Some(change) = leadership.change {
            self.release_voter_change(change, out);
        }
        if mutant!(K_19) {
            return;
        }
        for (ticket, _) in leadership.parked {
            probe!("raft: a parked fetch is released by the end of leadership");
            out.push(Output::Disarm(Timer::Parked(ticket)));
            self.reply_fetch_error(ticket, Error::NotLeaderOrFollower, out);
        }
    }

    /// The election timer goes on when it runs, so that a candidate that cannot win does not hold up those
    /// that can by raising the epoch over and over.
    pub(super) fn become_unattached(&mut self, epoch: LeaderEpoch, out: &mut Vec<Output>) {
        self.change_role(epoch, Role::Unattached, out);
        if !self.is_voter() {
            self.disarm_election(out);
        } else if !self.election_timer_runs {
            self.arm_election_timer(out);
        }
        self.fetch(out);
    }

    pub(super) fn become_follower(
        &mut self,
        epoch: LeaderEpoch,
        leader: NodeId,
        out: &mut Vec<Output>,
    ) {
        assert!(
            leader != self.id(),
            "node {leader} follows itself in epoch {epoch}"
        );
        self.lost_elections = 0;
        self.change_role(
            epoch,
            Role::Follower {
                leader,
                hears_leader: false,
            },
            out,
        );
        self.complete_shutdown(out);
        self.arm_fetch_timeout(out);
        self.told_leader = false;
        self.arm_update_voter(out);
        self.fetch(out);
    }

    /// What a request or response says about `epoch` and its leader; tells whether it can be believed.
    pub(super) fn observe(
        &mut self,
        epoch: LeaderEpoch,
        leader: Option<NodeId>,
        out: &mut Vec<Output>,
    ) -> bool {
        assert!(
            epoch >= self.epoch,
            "stale epoch {} in {}",
            epoch,
            self.epoch
        );
        // This node's own leadership is either known to it or was lost with its disk.
        let followable = leader.filter(|&leader| leader != self.id());
        match (followable, self.leader()) {
            (Some(claimed), Some(known)) if epoch == self.epoch && claimed != known => {
                out.push(Output::Inconsistent(Inconsistency::TwoLeaders {
                    epoch,
                    known,
                    claimed,
                }));
                return false;
            }
            (Some(leader), None) => self.become_follower(epoch, leader, out),
            (Some(leader), Some(_)) if epoch > self.epoch => {
                self.become_follower(epoch, leader, out)
            }
            (None, _) if epoch > self.epoch => self.become_unattached(epoch, out),
            _ => {}
        }
        if leader == Some(self.id()) && self.voted.is_none() {
            probe!("raft: learns that it led this epoch before it lost its disk");
            self.voted = Some(self.config.me);
            self.save(out);
        }
        true
    }

    /// Digests what every response tells; true when it is about this epoch and its content counts.
    pub(super) fn observe_response(
        &mut self,
        error: Error,
        (leader, epoch): (Option<NodeId>, LeaderEpoch),
        out: &mut Vec<Output>,
    ) -> bool {
        if epoch < self.epoch || error == Error::UnknownLeaderEpoch {
            return false;
        }
        let before = (self.epoch, self.role.name());
        self.observe(epoch, leader, out) && before == (self.epoch, self.role.name())
    }

    pub(super) fn raise_high_watermark(&mut self, offset: Offset, out: &mut Vec<Output>) {
        if self.high_watermark.is_none_or(|known| known < offset) {
            self.high_watermark = Some(offset);
            out.push(Output::HighWatermark(offset));
        }
    }
}
