//! What voters and observers say to each other: the fields of Vote, BeginQuorumEpoch, EndQuorumEpoch and
//! Fetch (metadata partition), one to one, without cluster id, topic and end points, which are the shell's.

use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};

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
    /// Any other code a peer answered with.
    Unexpected,
}

/// A log position: the end offset of `epoch`, or of a whole log whose last epoch is `epoch`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetAndEpoch {
    pub offset: Offset,
    pub epoch: LeaderEpoch,
}

/// A batch without its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchSummary {
    pub base_offset: Offset,
    /// Inclusive.
    pub last_offset: Offset,
    pub epoch: LeaderEpoch,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Request {
    Vote(VoteRequest),
    BeginQuorumEpoch(BeginQuorumEpochRequest),
    EndQuorumEpoch(EndQuorumEpochRequest),
    Fetch(FetchRequest),
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Response {
    Vote(VoteResponse),
    BeginQuorumEpoch(EpochResponse),
    EndQuorumEpoch(EpochResponse),
    Fetch(FetchResponse),
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

/// The answer to BeginQuorumEpoch and EndQuorumEpoch.
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
    /// What came with the response. Empty in a [`Reply`](super::Output::Reply): there the shell adds the
    /// bytes of the reply's `read` range, and the receiver's shell summarises what arrived.
    pub batches: Vec<BatchSummary>,
}

impl Response {
    pub fn error(&self) -> Error {
        match self {
            Response::Vote(response) => response.error,
            Response::BeginQuorumEpoch(response) | Response::EndQuorumEpoch(response) => {
                response.error
            }
            Response::Fetch(response) => response.error,
        }
    }

    /// The leader and epoch every response tells.
    pub fn leader_and_epoch(&self) -> (Option<NodeId>, LeaderEpoch) {
        match self {
            Response::Vote(response) => (response.leader, response.leader_epoch),
            Response::BeginQuorumEpoch(response) | Response::EndQuorumEpoch(response) => {
                (response.leader, response.leader_epoch)
            }
            Response::Fetch(response) => (response.leader, response.leader_epoch),
        }
    }
}
