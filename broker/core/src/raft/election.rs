//! Votes and pre-votes (KIP-595, KIP-996).

use broker_probe::{mutant, probe};
use broker_protocol::ids::{LeaderEpoch, NodeId, ReplicaKey};

use super::voters::is_replica;
use super::{
    Ballot, Error, Output, Raft, Request, Response, Role, Shutdown, Timer, VoteRequest,
    VoteResponse,
};
use crate::Ticket;

/// Kafka's base of the exponential pause between lost elections.
const ELECTION_BACKOFF_BASE_MS: u64 = 100;
/// Doubling stops here; the configured maximum is reached long before.
const LOST_ELECTIONS_MAX: u32 = 10;

impl Raft {
    pub(super) fn on_election_timer(&mut self, out: &mut Vec<Output>) {
        self.election_timer_runs = false;
        if self.shutdown != Shutdown::NotAsked {
            return self.complete_shutdown(out);
        }
        match &self.role {
            Role::Follower { .. } | Role::Unattached if !self.is_voter() => {
                probe!("raft: an observer lost the leader");
                self.become_unattached(self.epoch, out);
            }
            Role::Unattached | Role::Follower { .. } | Role::Prospective { leader: None, .. } => {
                self.become_prospective(out);
            }
            Role::Prospective {
                leader: Some(leader),
                ..
            } => self.become_follower(self.epoch, *leader, out),
            Role::Candidate { .. } => {
                self.lost_elections = (self.lost_elections + 1).min(LOST_ELECTIONS_MAX);
                self.become_prospective(out);
            }
            Role::Resigned { .. } => self.leave_resigned_epoch(out),
            Role::Leader(_) => {}
        }
    }

    pub(super) fn become_prospective(&mut self, out: &mut Vec<Output>) {
        if mutant!(K_11) {
            return self.become_candidate(out);
        }
        let mut ballot = Ballot::default();
        ballot.record(self.id(), true);
        let leader = self.leader();
        self.change_role(self.epoch, Role::Prospective { ballot, leader }, out);
        self.arm_election_timer(out);
        self.ask_for_votes(out);
        self.count_votes(out);
    }

    fn become_candidate(&mut self, out: &mut Vec<Output>) {
        let Some(epoch) = self.epoch.0.checked_add(1) else {
            probe!("raft: no epochs left");
            return self.arm_election_timer(out);
        };
        let role = Role::Candidate {
            ballot: Ballot::default(),
            backing_off: false,
        };
        self.change_role(LeaderEpoch(epoch), role, out);
        self.arm_election_timer(out);
        self.ask_for_votes(out);
    }

    /// A candidate's own vote counts when it is durable, like every other vote.
    pub(super) fn count_own_vote(&mut self, out: &mut Vec<Output>) {
        let me = self.id();
        if let Role::Candidate { ballot, .. } = &mut self.role {
            ballot.record(me, true);
            self.count_votes(out);
        }
    }

    fn ask_for_votes(&mut self, out: &mut Vec<Output>) {
        for voter in self.other_voters() {
            self.send_vote_request(voter, out);
        }
    }

    fn send_vote_request(&mut self, voter: ReplicaKey, out: &mut Vec<Output>) {
        let request = VoteRequest {
            voter: Some(voter),
            candidate_epoch: self.epoch,
            candidate: self.config.me,
            last_offset_epoch: self.log.last_epoch(),
            last_offset: self.log.end(),
            pre_vote: matches!(self.role, Role::Prospective { .. }),
        };
        self.say(
            Output::Send {
                to: voter.id,
                request: Request::Vote(request),
            },
            out,
        );
    }

    pub(super) fn on_vote_request(
        &mut self,
        ticket: Ticket,
        request: VoteRequest,
        out: &mut Vec<Output>,
    ) {
        let error = self.vote_request_error(&request);
        if error != Error::None {
            return self.reply_vote(ticket, error, false, out);
        }
        if request.candidate_epoch > self.epoch {
            self.become_unattached(request.candidate_epoch, out);
        }
        if request
            .voter
            .is_some_and(|voter| !is_replica(voter, self.config.me))
            && !mutant!(K_20b)
        {
            probe!("raft: asked for the vote of a disk that was replaced");
            return self.reply_vote(ticket, Error::InvalidVoterKey, false, out);
        }
        let granted = self.can_grant(&request);
        if granted && !request.pre_vote && self.voted.is_none() {
            self.voted = Some(request.candidate);
            self.save(out);
            self.arm_election_timer(out);
        }
        self.reply_vote(ticket, Error::None, granted, out);
    }

    fn vote_request_error(&self, request: &VoteRequest) -> Error {
        let (epoch, last_epoch) = (request.candidate_epoch, request.last_offset_epoch);
        let last_epoch_possible = if request.pre_vote {
            last_epoch <= epoch
        } else {
            last_epoch < epoch
        };
        if request.last_offset < 0
            || last_epoch.0 < 0
            || request.candidate.id.0 < 0
            || !last_epoch_possible
        {
            Error::InvalidRequest
        } else if epoch < self.epoch {
            Error::FencedLeaderEpoch
        } else {
            Error::None
        }
    }

    fn can_grant(&self, request: &VoteRequest) -> bool {
        let up_to_date = (request.last_offset_epoch, request.last_offset)
            >= (self.log.last_epoch(), self.log.end());
        if request.pre_vote {
            return up_to_date && !self.hears_leader();
        }
        match (&self.role, self.voted) {
            (Role::Unattached | Role::Prospective { .. }, Some(voted)) => {
                is_replica(voted, request.candidate)
            }
            (Role::Unattached | Role::Prospective { leader: None, .. }, None) => up_to_date,
            // This epoch has a leader already, or this node voted for itself.
            _ => false,
        }
    }

    fn hears_leader(&self) -> bool {
        match &self.role {
            Role::Leader(_) => true,
            Role::Follower { hears_leader, .. } => *hears_leader,
            _ => false,
        }
    }

    fn reply_vote(
        &mut self,
        ticket: Ticket,
        error: Error,
        vote_granted: bool,
        out: &mut Vec<Output>,
    ) {
        let response = VoteResponse {
            error,
            leader: self.leader(),
            leader_epoch: self.epoch,
            vote_granted,
        };
        self.say(
            Output::Reply {
                ticket,
                response: Response::Vote(response),
                read: None,
            },
            out,
        );
    }

    pub(super) fn on_vote_response(
        &mut self,
        from: NodeId,
        request: VoteRequest,
        response: VoteResponse,
        out: &mut Vec<Output>,
    ) {
        let told = (response.leader, response.leader_epoch);
        if !self.observe_response(response.error, told, out) || !self.awaits_vote(from, &request) {
            return;
        }
        if response.error != Error::None {
            return self.retry_later(from, out);
        }
        if let Role::Prospective { ballot, .. } | Role::Candidate { ballot, .. } = &mut self.role {
            ballot.record(from, response.vote_granted);
        }
        self.count_votes(out);
    }

    pub(super) fn on_vote_failed(
        &mut self,
        to: NodeId,
        request: &VoteRequest,
        out: &mut Vec<Output>,
    ) {
        if self.awaits_vote(to, request) {
            self.retry_later(to, out);
        }
    }

    /// Whether this node still runs for what `request` asked of `voter`.
    pub(super) fn awaits_vote(&self, voter: NodeId, request: &VoteRequest) -> bool {
        let (ballot, pre_vote) = match &self.role {
            Role::Prospective { ballot, .. } => (ballot, true),
            Role::Candidate {
                ballot,
                backing_off: false,
            } => (ballot, false),
            _ => return false,
        };
        request.candidate_epoch == self.epoch
            && request.pre_vote == pre_vote
            && self.voters().get(voter).is_some()
            && ballot.is_open(voter)
    }

    pub(super) fn repeat_vote_request(&mut self, voter: NodeId, out: &mut Vec<Output>) {
        let (Role::Prospective { ballot, .. }
        | Role::Candidate {
            ballot,
            backing_off: false,
        }) = &self.role
        else {
            return;
        };
        if let Some(key) = self
            .config
            .voters
            .get(voter)
            .filter(|_| ballot.is_open(voter))
        {
            self.send_vote_request(key, out);
        }
    }

    fn count_votes(&mut self, out: &mut Vec<Output>) {
        let (Role::Prospective { ballot, .. } | Role::Candidate { ballot, .. }) = &self.role else {
            return;
        };
        let majority = self.voters().majority();
        let won = ballot.granted.len() >= majority;
        let lost = ballot.rejected.len() > self.voters().len() - majority;
        match &mut self.role {
            Role::Prospective { .. } if won => self.become_candidate(out),
            Role::Prospective {
                leader: Some(leader),
                ..
            } if lost => {
                probe!("raft: pre-vote lost, back to the leader");
                let leader = *leader;
                self.become_follower(self.epoch, leader, out);
            }
            Role::Candidate { ballot, .. } if won => {
                let granting = std::mem::take(&mut ballot.granted);
                self.become_leader(granting, out);
            }
            Role::Candidate { backing_off, .. } if lost && !*backing_off => {
                *backing_off = true;
                self.arm_election_backoff(out);
            }
            _ => {}
        }
    }

    fn arm_election_backoff(&mut self, out: &mut Vec<Output>) {
        let longest_ms = ELECTION_BACKOFF_BASE_MS << (self.lost_elections + 1);
        let max_ms = longest_ms.min(self.config.election_backoff_max_ms);
        self.arm_election(0, max_ms, out);
    }

    /// `position` among the preferred successors of a leader that resigned: the first at once, the others
    /// later, so that they do not split the votes.
    pub(super) fn arm_succession(
        &mut self,
        position: usize,
        successors: usize,
        out: &mut Vec<Output>,
    ) {
        let max_ms = self.config.election_backoff_max_ms;
        let ms = match position {
            0 => 0,
            _ if position >= successors => max_ms,
            _ => {
                let halvings = u32::try_from(successors - position).unwrap_or(u32::MAX);
                max_ms.checked_shr(halvings).unwrap_or(0)
            }
        };
        self.arm_election(ms, ms, out);
    }

    pub(super) fn arm_election_timer(&mut self, out: &mut Vec<Output>) {
        let min_ms = self.config.election_timeout_ms;
        self.arm_election(min_ms, min_ms.saturating_mul(2), out);
    }

    pub(super) fn arm_fetch_timeout(&mut self, out: &mut Vec<Output>) {
        let ms = self.config.fetch_timeout_ms;
        self.arm_election(ms, ms, out);
    }

    fn arm_election(&mut self, min_ms: u64, max_ms: u64, out: &mut Vec<Output>) {
        self.election_timer_runs = true;
        out.push(Output::Arm {
            timer: Timer::Election,
            min_ms,
            max_ms,
        });
    }

    pub(super) fn disarm_election(&mut self, out: &mut Vec<Output>) {
        if std::mem::take(&mut self.election_timer_runs) {
            out.push(Output::Disarm(Timer::Election));
        }
    }
}
