//! The metadata quorum (KRaft): one node's part in electing a leader and replicating the metadata log.
//!
//! **States** ([`Role`]): Unattached → Prospective → Candidate → Leader → Resigned → Unattached; any of them
//! becomes Follower when it hears of a leader, and Unattached when it hears of a newer epoch. An observer
//! (not among the voters) is only ever Unattached or Follower.
//!
//! **Messages** ([`Request`]): Vote with pre-vote (KIP-595, KIP-996), BeginQuorumEpoch, EndQuorumEpoch, and
//! Fetch, by which followers pull the log and acknowledge what they have (KIP-595); FetchSnapshot for what the
//! log no longer has (KIP-630); AddVoter, RemoveVoter and UpdateVoter, which change the quorum (KIP-853).
//!
//! **Safety** ([`invariants`], RAFT-1 … RAFT-6):
//! - one vote per epoch; a restart never brings leadership of the same epoch back (K-02);
//! - the leader's high watermark passes only what a majority has flushed, and only together with a record of
//!   its own epoch (K-01, K-04);
//! - no node truncates below its high watermark (K-05);
//! - nothing is said before the quorum state it depends on is saved, and no fetch reports unflushed records;
//! - the voters are those of the last KRaftVoters record in the log, committed or not; they change by one at a
//!   time, and only after the leader has committed in its own epoch (K-10);
//! - what is deleted from the log is in a snapshot of what is committed.
//!
//! **Contract with the shell**: execute outputs one after another before the next input. The shell keeps the
//! record bytes: it appends what [`Output::AppendLeaderChange`], [`Output::AppendChange`],
//! [`Output::AppendRecords`] and [`Output::AppendFetched`] say, adds the bytes of a reply's `read` range or
//! snapshot chunk, and summarises what a response brings. Appends and truncations take effect at once;
//! [`Output::Flush`], [`Output::SaveQuorumState`], [`Output::WriteSnapshot`] and [`Output::FinishSnapshot`] may
//! take time. A failed disk operation is not an input: the log directory is
//! dead and the process stops. Start a node with [`Raft::start`] on what was read, and synced, from disk.

#[cfg(any(test, feature = "testbed"))]
pub mod cluster;
mod configuration;
mod download;
mod election;
mod fetch;
mod follower;
pub mod invariants;
mod io;
mod leader;
mod log;
mod membership;
mod message;
mod persistence;
mod reconfiguration;
mod role;
mod snapshot;
#[cfg(test)]
mod tests;
mod transition;
mod voters;

use std::collections::BTreeSet;

use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};

pub use configuration::Configuration;
pub use io::{
    Config, Inconsistency, Input, Output, QuorumState, ReadRange, Recovered, RoleName, Snapshot,
    Timer,
};
pub use log::Log;
pub use message::{
    AddVoterRequest, ApiVersionsRequest, ApiVersionsResponse, BatchSummary,
    BeginQuorumEpochRequest, ConfigurationChange, EndQuorumEpochRequest, EpochResponse, Error,
    FetchRequest, FetchResponse, FetchSnapshotRequest, FetchSnapshotResponse, OffsetAndEpoch,
    RemoveVoterRequest, Request, Response, UpdateVoterRequest, VoteRequest, VoteResponse,
};
pub use role::{Ballot, Leadership, ObserverProgress, Progress, Role};
pub use voters::{Endpoint, Endpoints, VersionRange, Voter, VoterSet};

use configuration::Configurations;
use download::Download;
use follower::Fetching;
use persistence::Persistence;

/// One node of the metadata quorum.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Raft {
    config: Config,
    epoch: LeaderEpoch,
    voted: Option<ReplicaKey>,
    role: Role,
    log: Log,
    configurations: Configurations,
    writing_snapshot: Option<OffsetAndEpoch>,
    download: Option<Download>,
    /// Highest this process knows; not stored, a restarted node learns it anew.
    high_watermark: Option<Offset>,
    fetching: Fetching,
    /// Whom the last fetch that failed went to; an observer without a leader asks the next voter.
    asked: Option<NodeId>,
    /// Nodes whose retry timer runs.
    retrying: BTreeSet<NodeId>,
    /// Elections lost in a row, for the pause before the next.
    lost_elections: u32,
    election_timer_runs: bool,
    /// Follower: with `kraft.version` 0 its leader knows where it listens.
    told_leader: bool,
    shutdown: Shutdown,
    persistence: Persistence,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Shutdown {
    NotAsked,
    HandingOver,
    Complete,
}

impl Raft {
    /// A node that starts on what its disk holds; `out` takes its first outputs.
    pub fn start(config: Config, recovered: &Recovered, out: &mut Vec<Output>) -> Raft {
        let saved = recovered.quorum_state.unwrap_or_default();
        let mut raft = Raft {
            configurations: Configurations::starting_at(None, &config.voters),
            config,
            epoch: saved.epoch,
            voted: saved.voted,
            role: Role::Unattached,
            log: Log::recovered(recovered),
            writing_snapshot: None,
            download: None,
            high_watermark: None,
            fetching: Fetching::Idle,
            asked: None,
            retrying: BTreeSet::new(),
            lost_elections: 0,
            election_timer_runs: false,
            told_leader: false,
            shutdown: Shutdown::NotAsked,
            persistence: Persistence::recovered(saved),
        };
        raft.recover_snapshot(recovered, out);
        raft.enter_first_role(saved.leader, out);
        raft
    }

    /// Takes one input; appends what the shell must do to `out`, in order.
    pub fn step(&mut self, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Request { ticket, request } => match request {
                Request::Vote(request) => self.on_vote_request(ticket, request, out),
                Request::BeginQuorumEpoch(request) => self.on_begin_request(ticket, request, out),
                Request::EndQuorumEpoch(request) => self.on_end_request(ticket, &request, out),
                Request::Fetch(request) => self.on_fetch_request(ticket, request, out),
                Request::FetchSnapshot(request) => {
                    self.on_fetch_snapshot_request(ticket, request, out);
                }
                Request::AddVoter(request) => self.on_add_voter_request(ticket, request, out),
                Request::RemoveVoter(request) => self.on_remove_voter_request(ticket, request, out),
                Request::UpdateVoter(request) => self.on_update_voter_request(ticket, request, out),
                Request::ApiVersions(_) => self.on_api_versions_request(ticket, out),
            },
            Input::Response {
                from,
                request,
                response,
            } => self.on_response(from, request, &response, out),
            Input::RequestFailed { to, request } => self.on_request_failed(to, &request, out),
            Input::Cancelled { ticket } => self.on_cancelled(ticket, out),
            Input::Append {
                ticket,
                epoch,
                records,
            } => self.on_append(ticket, epoch, records, out),
            Input::CreateSnapshot { end } => self.on_create_snapshot(end, out),
            Input::SnapshotWritten { id, size } => self.on_snapshot_written(id, size),
            Input::SnapshotFetched(snapshot) => self.on_snapshot_fetched(snapshot, out),
            Input::SnapshotDamaged { id } => self.on_snapshot_damaged(id, out),
            Input::DeleteBefore { snapshot } => self.on_delete_before(snapshot, out),
            Input::UpgradeKraftVersion {
                ticket,
                epoch,
                version,
                validate_only,
            } => self.on_upgrade(ticket, (epoch, version, validate_only), out),
            Input::Timer(timer) => self.on_timer(timer, out),
            Input::Persisted(id) => self.on_persisted(id, out),
            Input::Resign { epoch } => self.on_resign(epoch, out),
            Input::Shutdown => self.on_shutdown(out),
        }
    }

    pub fn id(&self) -> NodeId {
        self.config.me.id
    }

    pub fn config(&self) -> &Config {
        &self.config
    }

    pub fn epoch(&self) -> LeaderEpoch {
        self.epoch
    }

    pub fn role(&self) -> &Role {
        &self.role
    }

    pub fn log(&self) -> &Log {
        &self.log
    }

    /// Records below are known to be committed; None before this process heard of any.
    pub fn high_watermark(&self) -> Option<Offset> {
        self.high_watermark
    }

    /// The leader of this node's epoch, if it knows one.
    pub fn leader(&self) -> Option<NodeId> {
        match &self.role {
            Role::Unattached | Role::Candidate { .. } => None,
            Role::Prospective { leader, .. } => *leader,
            Role::Follower { leader, .. } => Some(*leader),
            Role::Leader(_) | Role::Resigned { .. } => Some(self.id()),
        }
    }

    pub fn is_voter(&self) -> bool {
        self.voters().contains(self.config.me)
    }

    /// `kraft.version` and the voters in force: those of the last record in the log, committed or not.
    pub fn configuration(&self) -> &Configuration {
        self.configurations.latest()
    }

    pub fn voters(&self) -> &VoterSet {
        &self.configuration().voters
    }

    /// What was in force from which offset on, ascending, as far back as the log needs it.
    pub fn configurations(&self) -> impl Iterator<Item = &Configuration> {
        self.configurations.iter()
    }

    /// What the quorum-state file must say now.
    pub fn quorum_state(&self) -> QuorumState {
        QuorumState {
            epoch: self.epoch,
            leader: self.leader(),
            voted: self.voted,
        }
    }

    /// What the quorum-state file says for certain.
    pub fn saved_quorum_state(&self) -> QuorumState {
        self.persistence.saved
    }

    /// The voters but this node.
    fn other_voters(&self) -> Vec<ReplicaKey> {
        self.voters()
            .iter()
            .filter(|voter| voter.id != self.id())
            .collect()
    }

    fn on_response(
        &mut self,
        from: NodeId,
        request: Request,
        response: &Response,
        out: &mut Vec<Output>,
    ) {
        match (request, response) {
            (Request::Vote(request), Response::Vote(response)) => {
                self.on_vote_response(from, request, *response, out);
            }
            (Request::FetchSnapshot(request), Response::FetchSnapshot(response)) => {
                self.on_fetch_snapshot_response(from, request, *response, out);
            }
            (Request::ApiVersions(request), Response::ApiVersions(response)) => {
                self.on_api_versions_response(&request, *response, out);
            }
            (Request::UpdateVoter(_), Response::UpdateVoter(response)) => {
                self.on_update_voter_response(*response, out);
            }
            // The update-voter timer looks at what has come of them.
            (Request::AddVoter(_), Response::AddVoter(_))
            | (Request::RemoveVoter(_), Response::RemoveVoter(_)) => {}
            (Request::BeginQuorumEpoch(request), Response::BeginQuorumEpoch(response)) => {
                self.on_begin_response(from, request, *response, out);
            }
            (Request::EndQuorumEpoch(request), Response::EndQuorumEpoch(response)) => {
                self.on_end_response(from, &request, *response, out);
            }
            (Request::Fetch(request), Response::Fetch(response)) => {
                self.on_fetch_response(from, request, response, out);
            }
            (request, _) => self.on_request_failed(from, &request, out),
        }
    }

    fn on_request_failed(&mut self, to: NodeId, request: &Request, out: &mut Vec<Output>) {
        match request {
            Request::Vote(vote) => self.on_vote_failed(to, vote, out),
            // The begin-quorum-epoch timer repeats it.
            Request::BeginQuorumEpoch(_) => {}
            Request::EndQuorumEpoch(end) => self.on_end_failed(to, end, out),
            Request::Fetch(fetch) => self.on_fetch_failed(to, fetch, out),
            Request::FetchSnapshot(fetch) => self.on_fetch_snapshot_failed(to, fetch, out),
            Request::ApiVersions(request) => self.on_api_versions_failed(request, out),
            // The update-voter timer repeats them.
            Request::AddVoter(_) | Request::RemoveVoter(_) | Request::UpdateVoter(_) => {}
        }
    }

    fn on_timer(&mut self, timer: Timer, out: &mut Vec<Output>) {
        match timer {
            Timer::Election => self.on_election_timer(out),
            Timer::Retry(node) => self.on_retry_timer(node, out),
            Timer::CheckQuorum => self.on_check_quorum_timer(out),
            Timer::BeginQuorumEpoch => self.on_begin_timer(out),
            Timer::VoterChange => self.end_voter_change(Error::RequestTimedOut, out),
            Timer::Observers => self.on_observers_timer(out),
            Timer::UpdateVoter => self.on_update_voter_timer(out),
            Timer::Parked(ticket) => self.on_parked_timer(ticket, out),
        }
    }

    fn on_retry_timer(&mut self, node: NodeId, out: &mut Vec<Output>) {
        self.retrying.remove(&node);
        match &self.role {
            Role::Prospective { .. } | Role::Candidate { .. } => {
                self.repeat_vote_request(node, out)
            }
            Role::Resigned { .. } => self.repeat_end_request(node, out),
            Role::Follower { .. } | Role::Unattached => self.fetch(out),
            Role::Leader(_) => {}
        }
    }

    fn retry_later(&mut self, node: NodeId, out: &mut Vec<Output>) {
        self.retrying.insert(node);
        let backoff_ms = self.config.retry_backoff_ms;
        out.push(Output::Arm {
            timer: Timer::Retry(node),
            min_ms: backoff_ms,
            max_ms: backoff_ms,
        });
    }
}
