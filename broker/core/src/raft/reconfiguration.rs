//! The leader's side of voter changes (KIP-853): add, remove and update a voter, finalize `kraft.version`.
//!
//! A change is one KRaftVoters record. It is in force as soon as it is appended, so the next may only follow
//! when it is committed, and the first of a leader only when it has committed in its own epoch: otherwise two
//! leaders could act with majorities that do not meet (K-10).

use broker_probe::{mutant, probe};
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};

use super::{
    AddVoterRequest, ApiVersionsRequest, ApiVersionsResponse, ConfigurationChange, Error,
    Leadership, Output, Raft, RemoveVoterRequest, Request, Response, Role, Timer,
    UpdateVoterRequest, VersionRange, Voter, VoterSet,
};
use crate::Ticket;

/// The first `kraft.version` with voters in the log.
pub(super) const RECONFIGURATION_VERSION: i16 = 1;

/// A voter change somebody waits for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct VoterChange {
    ticket: Ticket,
    kind: Kind,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
enum Kind {
    Add,
    Remove,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Stage {
    /// The new voter is asked which `kraft.version` it supports.
    AwaitsVersions(AddVoterRequest),
    /// The record at this offset is not committed yet.
    AwaitsCommit(Offset),
}

impl Raft {
    pub(super) fn on_add_voter_request(
        &mut self,
        ticket: Ticket,
        request: AddVoterRequest,
        out: &mut Vec<Output>,
    ) {
        let error = self.add_voter_error(&request);
        if error != Error::None {
            return self.reply_change(ticket, Kind::Add, error, out);
        }
        let (to, endpoints) = (request.voter.id, request.endpoints.clone());
        let asked = ApiVersionsRequest {
            voter: request.voter,
            endpoints,
        };
        let stage = Stage::AwaitsVersions(request);
        self.begin_voter_change(ticket, Kind::Add, stage, out);
        let request = Request::ApiVersions(asked);
        self.say(Output::Send { to, request }, out);
    }

    fn add_voter_error(&self, request: &AddVoterRequest) -> Error {
        let voter = request.voter;
        let Role::Leader(leadership) = &self.role else {
            return Error::NotLeaderOrFollower;
        };
        if voter.id.0 < 0 || voter.directory_id.is_zero() {
            return Error::InvalidRequest;
        }
        match self.change_refused(leadership) {
            Error::None if self.voters().get(voter.id).is_some() => Error::DuplicateVoter,
            error => error,
        }
    }

    /// Why no voter change may begin now.
    fn change_refused(&self, leadership: &Leadership) -> Error {
        let configuration = self.configuration();
        if leadership.change.is_some() {
            return Error::RequestTimedOut;
        }
        let committed = match leadership.high_watermark {
            Some(committed) => configuration.offset.is_none_or(|offset| offset < committed),
            None => false,
        };
        if leadership.high_watermark.is_none() && !mutant!(K_10) {
            Error::RequestTimedOut
        } else if configuration.kraft_version < RECONFIGURATION_VERSION {
            Error::UnsupportedVersion
        } else if !committed && !mutant!(K_10) {
            probe!("raft: a voter change waits for the one before");
            Error::RequestTimedOut
        } else {
            Error::None
        }
    }

    fn begin_voter_change(
        &mut self,
        ticket: Ticket,
        kind: Kind,
        stage: Stage,
        out: &mut Vec<Output>,
    ) {
        let ms = self.config.request_timeout_ms;
        if let Role::Leader(leadership) = &mut self.role {
            leadership.change = Some(VoterChange {
                ticket,
                kind,
                stage,
            });
            out.push(Output::Arm {
                timer: Timer::VoterChange,
                min_ms: ms,
                max_ms: ms,
            });
        }
    }

    /// Answers whoever waits for the voter change under way. What is appended stays in force.
    pub(super) fn end_voter_change(&mut self, error: Error, out: &mut Vec<Output>) {
        if let Role::Leader(leadership) = &mut self.role
            && let Some(change) = leadership.change.take()
        {
            out.push(Output::Disarm(Timer::VoterChange));
            self.reply_change(change.ticket, change.kind, error, out);
        }
    }

    pub(super) fn release_voter_change(&mut self, change: VoterChange, out: &mut Vec<Output>) {
        probe!("raft: leadership ends during a voter change");
        out.push(Output::Disarm(Timer::VoterChange));
        self.reply_change(change.ticket, change.kind, Error::NotLeaderOrFollower, out);
    }

    fn reply_change(&mut self, ticket: Ticket, kind: Kind, error: Error, out: &mut Vec<Output>) {
        let response = self.epoch_response(error);
        let response = match kind {
            Kind::Add => Response::AddVoter(response),
            Kind::Remove => Response::RemoveVoter(response),
        };
        self.reply(ticket, response, out);
    }

    pub(super) fn on_api_versions_request(&mut self, ticket: Ticket, out: &mut Vec<Output>) {
        let response = ApiVersionsResponse {
            error: Error::None,
            kraft_versions: Some(self.config.kraft_versions),
        };
        self.reply(ticket, Response::ApiVersions(response), out);
    }

    pub(super) fn on_api_versions_response(
        &mut self,
        request: &ApiVersionsRequest,
        response: ApiVersionsResponse,
        out: &mut Vec<Output>,
    ) {
        let Some(request) = self.awaited_voter(request) else {
            return;
        };
        let version = self.configuration().kraft_version;
        let supported = response
            .kraft_versions
            .filter(|range| range.contains(version));
        let caught_up = self.is_caught_up(request.voter);
        match supported {
            _ if response.error != Error::None => {
                self.end_voter_change(Error::RequestTimedOut, out);
            }
            None => self.end_voter_change(Error::InvalidRequest, out),
            // It would only delay what commits with it.
            Some(_) if !caught_up => {
                probe!("raft: a new voter has not caught up");
                self.end_voter_change(Error::RequestTimedOut, out);
            }
            Some(kraft_versions) => self.add_voter(request, kraft_versions, out),
        }
    }

    pub(super) fn on_api_versions_failed(
        &mut self,
        request: &ApiVersionsRequest,
        out: &mut Vec<Output>,
    ) {
        if self.awaited_voter(request).is_some() {
            self.end_voter_change(Error::RequestTimedOut, out);
        }
    }

    fn awaited_voter(&self, asked: &ApiVersionsRequest) -> Option<AddVoterRequest> {
        let Role::Leader(Leadership {
            change:
                Some(VoterChange {
                    stage: Stage::AwaitsVersions(request),
                    ..
                }),
            ..
        }) = &self.role
        else {
            return None;
        };
        let matches = (request.voter, &request.endpoints) == (asked.voter, &asked.endpoints);
        matches.then(|| request.clone())
    }

    /// The observer was once at the end of this leader's log and is not forgotten since.
    fn is_caught_up(&self, replica: ReplicaKey) -> bool {
        let Role::Leader(leadership) = &self.role else {
            return false;
        };
        let observer = leadership.observers.get(&replica);
        observer.is_some_and(|observer| observer.caught_up)
    }

    fn add_voter(
        &mut self,
        request: AddVoterRequest,
        kraft_versions: VersionRange,
        out: &mut Vec<Output>,
    ) {
        let ack_when_committed = request.ack_when_committed;
        let voters = self.voters().with(Voter {
            key: request.voter,
            endpoints: request.endpoints,
            kraft_versions,
        });
        let voters = voters.expect("no change comes between the check of the id and this");
        let offset = self.append_change(voters_only(voters), out);
        if ack_when_committed {
            self.await_commit(offset);
        } else {
            self.end_voter_change(Error::None, out);
        }
        self.replicate(out);
    }

    fn await_commit(&mut self, offset: Offset) {
        if let Role::Leader(leadership) = &mut self.role
            && let Some(change) = &mut leadership.change
        {
            change.stage = Stage::AwaitsCommit(offset);
        }
    }

    pub(super) fn on_remove_voter_request(
        &mut self,
        ticket: Ticket,
        request: RemoveVoterRequest,
        out: &mut Vec<Output>,
    ) {
        let error = match &self.role {
            Role::Leader(leadership) => self.change_refused(leadership),
            _ => Error::NotLeaderOrFollower,
        };
        if error != Error::None {
            return self.reply_change(ticket, Kind::Remove, error, out);
        }
        let Some(voters) = self.voters().without(request.voter) else {
            let error = if self.voters().contains(request.voter) {
                Error::InvalidRequest
            } else {
                Error::VoterNotFound
            };
            return self.reply_change(ticket, Kind::Remove, error, out);
        };
        let offset = self.append_change(voters_only(voters), out);
        self.begin_voter_change(ticket, Kind::Remove, Stage::AwaitsCommit(offset), out);
        self.replicate(out);
    }

    /// Answered at once: what the voter says about itself changes no majority.
    pub(super) fn on_update_voter_request(
        &mut self,
        ticket: Ticket,
        request: UpdateVoterRequest,
        out: &mut Vec<Output>,
    ) {
        let error = self.update_voter(request, out);
        let response = Response::UpdateVoter(self.epoch_response(error));
        self.reply(ticket, response, out);
        self.replicate(out);
    }

    fn update_voter(&mut self, request: UpdateVoterRequest, out: &mut Vec<Output>) -> Error {
        let otherwise = match &self.role {
            Role::Leader(leadership) if leadership.change.is_some() => Error::RequestTimedOut,
            Role::Leader(leadership) if leadership.high_watermark.is_none() => {
                Error::RequestTimedOut
            }
            Role::Leader(_) => Error::None,
            _ => Error::NotLeaderOrFollower,
        };
        let error = self.epoch_error(request.current_leader_epoch, otherwise);
        if error != Error::None {
            return error;
        }
        let version = self.configuration().kraft_version;
        if !request.kraft_versions.contains(version) {
            return Error::InvalidRequest;
        }
        let voter = Voter {
            key: request.voter,
            endpoints: request.endpoints,
            kraft_versions: request.kraft_versions,
        };
        if version < RECONFIGURATION_VERSION {
            return self.remember_voter(voter);
        }
        self.record_voter(voter, out)
    }

    /// Without voters in the log the leader keeps what they tell for the day of the upgrade (KAFKA-16538).
    fn remember_voter(&mut self, voter: Voter) -> Error {
        let id = voter.key.id;
        let known = self.voters().get(id).is_some();
        match &mut self.role {
            Role::Leader(leadership) if known => {
                leadership.told.insert(id, voter);
                Error::None
            }
            _ => Error::VoterNotFound,
        }
    }

    fn record_voter(&mut self, voter: Voter, out: &mut Vec<Output>) -> Error {
        let Role::Leader(leadership) = &self.role else {
            return Error::NotLeaderOrFollower;
        };
        let error = self.change_refused(leadership);
        if error != Error::None {
            return error;
        }
        match self.voters().updated(voter) {
            Some(voters) if voters != *self.voters() => {
                self.append_change(voters_only(voters), out);
                Error::None
            }
            Some(_) => Error::None,
            None => Error::VoterNotFound,
        }
    }

    pub(super) fn on_upgrade(
        &mut self,
        ticket: Ticket,
        (epoch, version, validate_only): (LeaderEpoch, i16, bool),
        out: &mut Vec<Output>,
    ) {
        let result = match self.upgraded_voters(epoch, version) {
            Ok(Some(voters)) if !validate_only => {
                let change = ConfigurationChange {
                    kraft_version: Some(version),
                    voters: Some(voters),
                };
                self.append_change(change, out);
                Ok(Some(self.log.end()))
            }
            Ok(_) => Ok(None),
            Err(error) => Err(error),
        };
        out.push(Output::KraftVersion { ticket, result });
        self.replicate(out);
    }

    /// The voters to record with `version`; none when it is finalized already.
    fn upgraded_voters(&self, epoch: LeaderEpoch, version: i16) -> Result<Option<VoterSet>, Error> {
        let leadership = match &self.role {
            Role::Leader(leadership) if epoch == self.epoch => leadership,
            _ => return Err(Error::NotLeaderOrFollower),
        };
        let configuration = self.configuration();
        let finalized = configuration.kraft_version;
        if version == finalized {
            return Ok(None);
        }
        if version < finalized || !self.config.kraft_versions.contains(version) {
            return Err(Error::InvalidUpdateVersion);
        }
        if leadership.high_watermark.is_none() {
            return Err(Error::RequestTimedOut);
        }
        let own = self.own_voter();
        let told = |id: NodeId| match id == own.key.id {
            true => Some(&own),
            false => leadership.told.get(&id),
        };
        let able = |voter: &&Voter| {
            !voter.key.directory_id.is_zero() && voter.kraft_versions.contains(version)
        };
        let voters = configuration
            .voters
            .iter()
            .map(|voter| told(voter.id).filter(able).cloned());
        let voters: Option<Vec<Voter>> = voters.collect();
        let voters = voters.ok_or(Error::InvalidUpdateVersion)?;
        Ok(Some(VoterSet::of(voters)))
    }

    /// Appends the records of `change`, which are in force from here on; returns their offset.
    fn append_change(&mut self, change: ConfigurationChange, out: &mut Vec<Output>) -> Offset {
        let base_offset = self.log.end();
        self.log.append(self.epoch, change.records());
        self.configurations.append(base_offset, &change);
        out.push(Output::AppendChange {
            base_offset,
            epoch: self.epoch,
            change,
        });
        self.announce_configuration(out);
        self.follow_voters(out);
        base_offset
    }

    pub(super) fn announce_configuration(&self, out: &mut Vec<Output>) {
        let configuration = self.configuration();
        out.push(Output::ConfigurationChanged {
            kraft_version: configuration.kraft_version,
            voters: configuration.voters.clone(),
        });
    }

    /// What the leader knows of replicas, sorted into voters and observers anew.
    fn follow_voters(&mut self, out: &mut Vec<Output>) {
        let others = self.other_voters();
        if let Role::Leader(leadership) = &mut self.role {
            leadership.sort_replicas(&others);
        }
        self.arm_check_quorum(out);
        self.arm_begin_timer(out);
    }

    /// The high watermark moved: whoever waits for a change learns it, and a leader that is no voter any more
    /// leaves the quorum to those who are.
    pub(super) fn on_change_committed(&mut self, out: &mut Vec<Output>) {
        let Role::Leader(leadership) = &self.role else {
            return;
        };
        let committed = leadership.high_watermark.unwrap_or(0);
        if let Some(VoterChange {
            stage: Stage::AwaitsCommit(offset),
            ..
        }) = &leadership.change
            && *offset < committed
        {
            self.end_voter_change(Error::None, out);
        }
        let latest = self.configuration();
        if !self.is_voter() && latest.offset.is_some_and(|offset| offset < committed) {
            probe!("raft: a leader that removed itself resigns");
            self.resign(out);
        }
    }
}

fn voters_only(voters: VoterSet) -> ConfigurationChange {
    ConfigurationChange {
        kraft_version: None,
        voters: Some(voters),
    }
}
