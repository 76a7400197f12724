//! What voters and observers say to each other: the fields of Vote, BeginQuorumEpoch, EndQuorumEpoch, Fetch
//! and FetchSnapshot (metadata partition) and of the voter changes (KIP-853), one to one, without cluster id,
//! topic and node endpoints, which are the shell's.

use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};

use super::{Endpoints, VersionRange, VoterSet};

/// Protocol errors of the quorum's requests, with Kafka's names.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Error {
    None,
    /// The request's epoch is older than the receiver's.
    FencedLeaderEpoch,
    /// The request's epoch is newer than the receiver's.
    UnknownLeaderEpoch,
    NotLeaderOrFollower,
    InvalidRequest,
    /// The voter key in the request is not the receiver's (KIP-853).
    InvalidVoterKey,
    BrokerNotAvailable,
    /// KIP-630: the leader does not have the snapshot (any more).
    SnapshotNotFound,
    /// KIP-630: the position lies outside of the snapshot.
    PositionOutOfRange,
    /// KIP-853: a voter with the id exists already.
    DuplicateVoter,
    VoterNotFound,
    /// A voter change that cannot begin or did not commit in time; to be tried again.
    RequestTimedOut,
    /// `kraft.version` is too low for the request.
    UnsupportedVersion,
    /// `kraft.version` cannot be finalized at the level asked for.
    InvalidUpdateVersion,
    /// Any other code a peer answered with.
    Unexpected,
}

/// A log position: the end offset of `epoch`, or of a whole log whose last epoch is `epoch`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetAndEpoch {
    pub offset: Offset,
    pub epoch: LeaderEpoch,
}

impl std::fmt::Display for OffsetAndEpoch {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(formatter, "{}@{}", self.offset, self.epoch)
    }
}

/// A batch without its bytes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchSummary {
    pub base_offset: Offset,
    /// Inclusive.
    pub last_offset: Offset,
    pub epoch: LeaderEpoch,
    /// What the KRaftVersion and KRaftVoters records of a control batch say; None in every other batch.
    pub change: Option<ConfigurationChange>,
}

/// The KRaftVersion and KRaftVoters records of one control batch (KIP-853); at least one of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigurationChange {
    pub kraft_version: Option<i16>,
    pub voters: Option<VoterSet>,
}

impl ConfigurationChange {
    /// How many control records say it.
    pub fn records(&self) -> Offset {
        Offset::from(self.kraft_version.is_some()) + Offset::from(self.voters.is_some())
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    Vote(VoteRequest),
    BeginQuorumEpoch(BeginQuorumEpochRequest),
    EndQuorumEpoch(EndQuorumEpochRequest),
    Fetch(FetchRequest),
    FetchSnapshot(FetchSnapshotRequest),
    AddVoter(AddVoterRequest),
    RemoveVoter(RemoveVoterRequest),
    UpdateVoter(UpdateVoterRequest),
    ApiVersions(ApiVersionsRequest),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Response {
    Vote(VoteResponse),
    BeginQuorumEpoch(EpochResponse),
    EndQuorumEpoch(EpochResponse),
    Fetch(FetchResponse),
    FetchSnapshot(FetchSnapshotResponse),
    /// On the wire without leader and epoch: there the asking shell gives None and -1.
    AddVoter(EpochResponse),
    /// As the answer to AddVoter.
    RemoveVoter(EpochResponse),
    UpdateVoter(EpochResponse),
    ApiVersions(ApiVersionsResponse),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoteRequest {
    /// Whom the candidate takes the receiver for (v1 and later); None in v0.
    pub voter: Option<ReplicaKey>,
    /// The epoch the vote is for; in a pre-vote the sender's present epoch.
    pub candidate_epoch: LeaderEpoch,
    pub candidate: ReplicaKey,
    /// Epoch of the last record in the candidate's log, 0 when it is empty.
    pub last_offset_epoch: LeaderEpoch,
    /// End offset of the candidate's log.
    pub last_offset: Offset,
    /// KIP-996 (v2): asks whether a vote would be granted, binds nobody.
    pub pre_vote: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoteResponse {
    pub error: Error,
    /// The leader the answering node knows in `leader_epoch`.
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub vote_granted: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BeginQuorumEpochRequest {
    /// Whom the leader takes the receiver for (v1 and later); None in v0.
    pub voter: Option<ReplicaKey>,
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndQuorumEpochRequest {
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    /// Voters by descending end offset: the first may start an election at once, the others later.
    pub preferred_candidates: Vec<ReplicaKey>,
}

/// The answer to BeginQuorumEpoch, EndQuorumEpoch and the voter changes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochResponse {
    pub error: Error,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchRequest {
    pub replica: ReplicaKey,
    pub current_leader_epoch: LeaderEpoch,
    pub fetch_offset: Offset,
    /// Epoch of the record before `fetch_offset`, 0 when the log is empty.
    pub last_fetched_epoch: LeaderEpoch,
    /// KIP-1166 (v18): the high watermark the replica knows; -1 none, `i64::MAX` the version cannot say.
    pub high_watermark: Offset,
    /// How long the leader may park the request when there is nothing new.
    pub max_wait_ms: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchResponse {
    pub error: Error,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    /// None until the leader has committed a record of its own epoch (-1 on the wire).
    pub high_watermark: Option<Offset>,
    pub log_start_offset: Offset,
    /// Set when the fetcher's log does not match: the end of the largest epoch up to the fetcher's last.
    pub diverging: Option<OffsetAndEpoch>,
    /// KIP-630: what the fetcher asks for is no longer in the log; it has to fetch this snapshot first.
    pub snapshot: Option<OffsetAndEpoch>,
    /// What came with the response. Empty in a [`Reply`](super::Output::Reply): there the shell adds the
    /// bytes of the reply's `read` range, and the receiver's shell summarises what arrived.
    pub batches: Vec<BatchSummary>,
}

/// KIP-630: the next chunk of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchSnapshotRequest {
    pub replica: ReplicaKey,
    pub current_leader_epoch: LeaderEpoch,
    pub snapshot: OffsetAndEpoch,
    /// Bytes the replica has.
    pub position: i64,
    /// Longest chunk.
    pub max_bytes: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchSnapshotResponse {
    pub error: Error,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub snapshot: OffsetAndEpoch,
    /// Bytes of the whole snapshot.
    pub size: i64,
    /// Where the chunk begins.
    pub position: i64,
    /// Bytes of the chunk. 0 in a [`Reply`](super::Output::Reply): there the shell adds up to `max_bytes` of
    /// the snapshot from `position`, and the receiver's shell counts what arrived.
    pub chunk_bytes: i64,
}

/// KIP-853 AddRaftVoter. The shell checks before that `endpoints` has the controllers' listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AddVoterRequest {
    pub voter: ReplicaKey,
    pub endpoints: Endpoints,
    /// Answer when the change is committed, as v0 always does. False (KIP-1186, v1) once it is appended: a
    /// voter that adds itself must go on fetching to let it commit.
    pub ack_when_committed: bool,
}

/// KIP-853 RemoveRaftVoter.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RemoveVoterRequest {
    pub voter: ReplicaKey,
}

/// KIP-853 UpdateRaftVoter: a voter tells its leader where it listens and what it supports. The shell checks
/// before that `endpoints` has the controllers' listener.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct UpdateVoterRequest {
    pub current_leader_epoch: LeaderEpoch,
    pub voter: ReplicaKey,
    pub endpoints: Endpoints,
    pub kraft_versions: VersionRange,
}

/// What the leader asks a new voter at `endpoints`. In the server the ApiVersions handler answers, which
/// knows the same range; a core answers its own.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersionsRequest {
    pub voter: ReplicaKey,
    pub endpoints: Endpoints,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ApiVersionsResponse {
    pub error: Error,
    /// The supported feature `kraft.version`; None when it is not among those told.
    pub kraft_versions: Option<VersionRange>,
}

/// Epoch of a message that carries none.
pub(super) const UNKNOWN_EPOCH: LeaderEpoch = LeaderEpoch(-1);

impl Response {
    pub fn error(&self) -> Error {
        match self {
            Response::Vote(response) => response.error,
            Response::BeginQuorumEpoch(response)
            | Response::EndQuorumEpoch(response)
            | Response::AddVoter(response)
            | Response::RemoveVoter(response)
            | Response::UpdateVoter(response) => response.error,
            Response::Fetch(response) => response.error,
            Response::FetchSnapshot(response) => response.error,
            Response::ApiVersions(response) => response.error,
        }
    }

    /// The leader and epoch every response of the quorum tells; ApiVersions tells none.
    pub fn leader_and_epoch(&self) -> (Option<NodeId>, LeaderEpoch) {
        match self {
            Response::Vote(response) => (response.leader, response.leader_epoch),
            Response::BeginQuorumEpoch(response)
            | Response::EndQuorumEpoch(response)
            | Response::AddVoter(response)
            | Response::RemoveVoter(response)
            | Response::UpdateVoter(response) => (response.leader, response.leader_epoch),
            Response::Fetch(response) => (response.leader, response.leader_epoch),
            Response::FetchSnapshot(response) => (response.leader, response.leader_epoch),
            Response::ApiVersions(_) => (None, UNKNOWN_EPOCH),
        }
    }
}
