//! The life of a leader: the start of its epoch, appends, the high watermark, check-quorum, resignation.

use std::collections::{BTreeMap, BTreeSet};

use broker_probe::{mutant, probe};
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};

use super::configuration::BOOTSTRAP_OFFSET;
use super::voters::is_replica;
use super::{
    BeginQuorumEpochRequest, ConfigurationChange, EndQuorumEpochRequest, EpochResponse, Error,
    Leadership, Output, Progress, Raft, Request, Response, Role, Shutdown, Timer,
};
use crate::Ticket;

impl Raft {
    pub(super) fn become_leader(&mut self, granting: BTreeSet<NodeId>, out: &mut Vec<Output>) {
        let others = self.other_voters();
        let leadership = Leadership {
            epoch_start: self.log.end(),
            high_watermark: None,
            voters: others
                .iter()
                .map(|voter| (voter.id, Progress::default()))
                .collect(),
            observers: BTreeMap::new(),
            change: None,
            told: BTreeMap::new(),
            fetched: BTreeSet::new(),
            parked: BTreeMap::new(),
        };
        self.lost_elections = 0;
        self.disarm_election(out);
        self.change_role(self.epoch, Role::Leader(leadership), out);
        let change = self.bootstrap_change();
        let (base_offset, mut records) = (self.log.end(), 1);
        if let Some(change) = &change {
            self.configurations.append(base_offset, change);
            records += change.records();
        }
        out.push(Output::AppendLeaderChange {
            base_offset,
            epoch: self.epoch,
            voters: self.voters().iter().map(|voter| voter.id).collect(),
            granting_voters: granting.into_iter().collect(),
            change,
        });
        self.log.append(self.epoch, records);
        self.flush(out);
        self.arm_check_quorum(out);
        self.on_begin_timer(out);
        self.advance_high_watermark(out);
    }

    /// Voters that only a bootstrap snapshot names, which is not replicated, go into the log.
    fn bootstrap_change(&self) -> Option<ConfigurationChange> {
        let configuration = self.configuration();
        (configuration.offset == Some(BOOTSTRAP_OFFSET)).then(|| ConfigurationChange {
            kraft_version: Some(configuration.kraft_version),
            voters: Some(configuration.voters.clone()),
        })
    }

    pub(super) fn on_append(
        &mut self,
        ticket: Ticket,
        epoch: LeaderEpoch,
        records: u32,
        out: &mut Vec<Output>,
    ) {
        if records == 0 {
            return out.push(Output::RejectAppend {
                ticket,
                error: Error::InvalidRequest,
            });
        }
        if epoch != self.epoch || !matches!(self.role, Role::Leader(_)) {
            return out.push(Output::RejectAppend {
                ticket,
                error: Error::NotLeaderOrFollower,
            });
        }
        out.push(Output::AppendRecords {
            ticket,
            base_offset: self.log.end(),
            epoch,
        });
        self.log.append(epoch, Offset::from(records));
        self.replicate(out);
    }

    /// What the leader appended goes to its disk and to those who wait for it.
    pub(super) fn replicate(&mut self, out: &mut Vec<Output>) {
        self.flush(out);
        self.advance_high_watermark(out);
        self.answer_parked_with_records(out);
    }

    /// Moves the high watermark to what a majority has flushed.
    pub(super) fn advance_high_watermark(&mut self, out: &mut Vec<Output>) {
        // A leader that is removing itself is no part of the majority (K-08).
        let counts = self.is_voter() || mutant!(K_08);
        let own = counts.then(|| self.log.countable_end());
        let majority = self.voters().majority();
        let Role::Leader(leadership) = &mut self.role else {
            return;
        };
        let mut ends: Vec<Offset> = leadership
            .voters
            .values()
            .filter_map(|voter| voter.end)
            .collect();
        ends.extend(own);
        ends.sort_unstable_by(|left, right| right.cmp(left));
        let Some(&offset) = ends.get(majority - 1) else {
            return;
        };
        // Records of former epochs can still be replaced by a later leader, unless one of this epoch, the
        // LeaderChange at least, is replicated with them (figure 8 of the Raft paper).
        let own_epoch_replicated = if mutant!(K_04) {
            offset >= leadership.epoch_start
        } else {
            offset > leadership.epoch_start
        };
        if own_epoch_replicated && leadership.high_watermark.is_none_or(|known| known < offset) {
            leadership.high_watermark = Some(offset);
            self.raise_high_watermark(offset, out);
            self.answer_parked_with_high_watermark(out);
            self.on_change_committed(out);
        }
    }

    pub(super) fn arm_check_quorum(&mut self, out: &mut Vec<Output>) {
        // The only voter is its own majority and hears no fetches (K-07).
        let alone = self.voters().len() == 1 && self.is_voter();
        if !alone || mutant!(K_07) {
            let ms = self.config.fetch_timeout_ms.saturating_mul(3) / 2;
            out.push(Output::Arm {
                timer: Timer::CheckQuorum,
                min_ms: ms,
                max_ms: ms,
            });
        }
    }

    /// A voter fetched: with it a majority may have been heard again.
    pub(super) fn count_fetch_of(&mut self, voter: NodeId, out: &mut Vec<Output>) {
        let needed = self.fetches_needed();
        let Role::Leader(leadership) = &mut self.role else {
            return;
        };
        if let Some(progress) = leadership.voters.get_mut(&voter) {
            progress.acknowledged = true;
            leadership.fetched.insert(voter);
            if leadership.fetched.len() >= needed {
                leadership.fetched.clear();
                self.arm_check_quorum(out);
            }
        }
    }

    /// How many other voters make a majority, with the leader if it is one.
    fn fetches_needed(&self) -> usize {
        self.voters().majority() - usize::from(self.is_voter())
    }

    pub(super) fn on_check_quorum_timer(&mut self, out: &mut Vec<Output>) {
        // None when all others have been removed since the timer was armed.
        if matches!(self.role, Role::Leader(_)) && (self.fetches_needed() > 0 || mutant!(K_07)) {
            probe!("raft: check-quorum makes the leader resign");
            self.resign(out);
        }
    }

    pub(super) fn on_begin_timer(&mut self, out: &mut Vec<Output>) {
        let Role::Leader(leadership) = &mut self.role else {
            return;
        };
        let mut silent = Vec::new();
        for (&id, progress) in &mut leadership.voters {
            if !std::mem::take(&mut progress.acknowledged) {
                silent.push(id);
            }
        }
        self.arm_begin_timer(out);
        for to in silent {
            let request = BeginQuorumEpochRequest {
                voter: self.voters().get(to),
                leader: self.id(),
                leader_epoch: self.epoch,
            };
            self.say(
                Output::Send {
                    to,
                    request: Request::BeginQuorumEpoch(request),
                },
                out,
            );
        }
    }

    pub(super) fn arm_begin_timer(&self, out: &mut Vec<Output>) {
        if let Role::Leader(leadership) = &self.role
            && !leadership.voters.is_empty()
        {
            let ms = self.config.fetch_timeout_ms / 2;
            out.push(Output::Arm {
                timer: Timer::BeginQuorumEpoch,
                min_ms: ms,
                max_ms: ms,
            });
        }
    }

    pub(super) fn on_begin_request(
        &mut self,
        ticket: Ticket,
        request: BeginQuorumEpochRequest,
        out: &mut Vec<Output>,
    ) {
        let mut error = self.learn_leader(request.leader_epoch, request.leader, out);
        let for_me = request
            .voter
            .is_none_or(|voter| is_replica(voter, self.config.me));
        if error == Error::None && !for_me {
            error = Error::InvalidVoterKey;
        }
        let response = Response::BeginQuorumEpoch(self.epoch_response(error));
        self.say(
            Output::Reply {
                ticket,
                response,
                read: None,
            },
            out,
        );
    }

    pub(super) fn on_begin_response(
        &mut self,
        from: NodeId,
        request: BeginQuorumEpochRequest,
        response: EpochResponse,
        out: &mut Vec<Output>,
    ) {
        let told = (response.leader, response.leader_epoch);
        let counts =
            self.observe_response(response.error, told, out) && response.error == Error::None;
        if let Role::Leader(leadership) = &mut self.role
            && counts
            && request.leader_epoch == self.epoch
            && let Some(progress) = leadership.voters.get_mut(&from)
        {
            progress.acknowledged = true;
        }
    }

    pub(super) fn on_resign(&mut self, epoch: LeaderEpoch, out: &mut Vec<Output>) {
        if epoch == self.epoch && matches!(self.role, Role::Leader(_)) {
            self.resign(out);
        }
    }

    pub(super) fn on_shutdown(&mut self, out: &mut Vec<Output>) {
        if self.shutdown != Shutdown::NotAsked {
            return;
        }
        self.shutdown = Shutdown::HandingOver;
        let others = self.other_voters().len();
        match &self.role {
            Role::Leader(_) if others > 0 => self.resign(out),
            Role::Resigned { .. } => {}
            _ => self.complete_shutdown(out),
        }
    }

    /// A leader that shuts down waits until the others know, or have a new leader, or take too long.
    pub(super) fn complete_shutdown(&mut self, out: &mut Vec<Output>) {
        if self.shutdown == Shutdown::HandingOver {
            self.shutdown = Shutdown::Complete;
            out.push(Output::ShutdownComplete);
        }
    }

    pub(super) fn resign(&mut self, out: &mut Vec<Output>) {
        let unacknowledged = self.other_voters().iter().map(|voter| voter.id).collect();
        let request = EndQuorumEpochRequest {
            leader: self.id(),
            leader_epoch: self.epoch,
            preferred_candidates: self.preferred_successors(),
        };
        self.change_role(
            self.epoch,
            Role::Resigned {
                request: request.clone(),
                unacknowledged,
            },
            out,
        );
        self.arm_election_timer(out);
        for voter in self.other_voters() {
            let request = Request::EndQuorumEpoch(request.clone());
            self.say(
                Output::Send {
                    to: voter.id,
                    request,
                },
                out,
            );
        }
    }

    /// The other voters, the one with the longest log first.
    fn preferred_successors(&self) -> Vec<ReplicaKey> {
        let Role::Leader(leadership) = &self.role else {
            return Vec::new();
        };
        let mut successors = self.other_voters();
        successors.sort_by_key(|voter| {
            let end = leadership
                .voters
                .get(&voter.id)
                .and_then(|progress| progress.end);
            std::cmp::Reverse(end)
        });
        successors
    }

    pub(super) fn on_end_request(
        &mut self,
        ticket: Ticket,
        request: &EndQuorumEpochRequest,
        out: &mut Vec<Output>,
    ) {
        let error = self.learn_leader(request.leader_epoch, request.leader, out);
        if let Role::Follower {
            leader,
            hears_leader,
        } = &mut self.role
            && error == Error::None
            && *leader == request.leader
        {
            *hears_leader = false;
            let successors = &request.preferred_candidates;
            let position = successors
                .iter()
                .position(|&key| is_replica(key, self.config.me));
            if self.is_voter() {
                self.arm_succession(position.unwrap_or(successors.len()), successors.len(), out);
            }
        }
        let response = Response::EndQuorumEpoch(self.epoch_response(error));
        self.say(
            Output::Reply {
                ticket,
                response,
                read: None,
            },
            out,
        );
    }

    /// BeginQuorumEpoch and EndQuorumEpoch name the leader of an epoch.
    fn learn_leader(&mut self, epoch: LeaderEpoch, leader: NodeId, out: &mut Vec<Output>) -> Error {
        if epoch < self.epoch {
            Error::FencedLeaderEpoch
        } else if leader.0 < 0 || leader == self.id() || !self.observe(epoch, Some(leader), out) {
            Error::InvalidRequest
        } else {
            Error::None
        }
    }

    pub(super) fn epoch_response(&self, error: Error) -> EpochResponse {
        EpochResponse {
            error,
            leader: self.leader(),
            leader_epoch: self.epoch,
        }
    }

    pub(super) fn on_end_response(
        &mut self,
        from: NodeId,
        request: &EndQuorumEpochRequest,
        response: EpochResponse,
        out: &mut Vec<Output>,
    ) {
        let told = (response.leader, response.leader_epoch);
        if !self.observe_response(response.error, told, out) || request.leader_epoch != self.epoch {
            return;
        }
        if response.error != Error::None {
            return self.on_end_failed(from, request, out);
        }
        if let Role::Resigned { unacknowledged, .. } = &mut self.role {
            unacknowledged.remove(&from);
            if unacknowledged.is_empty() {
                self.complete_shutdown(out);
            }
        }
    }

    pub(super) fn on_end_failed(
        &mut self,
        to: NodeId,
        request: &EndQuorumEpochRequest,
        out: &mut Vec<Output>,
    ) {
        if let Role::Resigned { unacknowledged, .. } = &self.role
            && request.leader_epoch == self.epoch
            && unacknowledged.contains(&to)
        {
            self.retry_later(to, out);
        }
    }

    pub(super) fn repeat_end_request(&mut self, to: NodeId, out: &mut Vec<Output>) {
        if let Role::Resigned {
            request,
            unacknowledged,
        } = &self.role
            && unacknowledged.contains(&to)
        {
            let request = Request::EndQuorumEpoch(request.clone());
            self.say(Output::Send { to, request }, out);
        }
    }

    /// Nobody else can be elected in the epoch of a leader that resigned, so the next one has to begin.
    pub(super) fn leave_resigned_epoch(&mut self, out: &mut Vec<Output>) {
        match self.epoch.0.checked_add(1) {
            Some(epoch) => self.become_unattached(LeaderEpoch(epoch), out),
            None => probe!("raft: no epochs left"),
        }
    }
}
