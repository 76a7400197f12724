//! What goes into the core and what comes out. Outputs are in an order the shell can execute one by one.

use std::collections::BTreeMap;

use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};

use super::{BatchSummary, Error, Request, Response};
use crate::{PersistId, Ticket};

/// `controller.quorum.*`; all times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    pub me: ReplicaKey,
    pub voters: VoterSet,
    /// Longest a voter waits for votes or for news of a leader; the timer runs between once and twice this.
    pub election_timeout_ms: u64,
    /// Longest pause before a lost election is repeated.
    pub election_backoff_max_ms: u64,
    /// A voter that has not fetched successfully for this long starts an election; a leader without fetches
    /// from a majority for one and a half times this long resigns.
    pub fetch_timeout_ms: u64,
    /// Pause after a request that failed.
    pub retry_backoff_ms: u64,
    /// How long a fetch asks the leader to park it.
    pub fetch_max_wait_ms: u64,
}

impl Config {
    /// Kafka's default times.
    pub fn new(me: ReplicaKey, voters: VoterSet) -> Config {
        Config {
            me,
            voters,
            election_timeout_ms: 1000,
            election_backoff_max_ms: 1000,
            fetch_timeout_ms: 2000,
            retry_backoff_ms: 20,
            fetch_max_wait_ms: 500,
        }
    }
}

/// The voters; static for now (KIP-853 will make it a function of the log).
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct VoterSet(BTreeMap<NodeId, ReplicaKey>);

impl VoterSet {
    pub fn new(voters: impl IntoIterator<Item = ReplicaKey>) -> VoterSet {
        VoterSet(voters.into_iter().map(|voter| (voter.id, voter)).collect())
    }

    pub fn contains(&self, replica: ReplicaKey) -> bool {
        self.0
            .get(&replica.id)
            .is_some_and(|&voter| same_replica(voter, replica))
    }

    pub fn get(&self, id: NodeId) -> Option<ReplicaKey> {
        self.0.get(&id).copied()
    }

    pub fn iter(&self) -> impl Iterator<Item = ReplicaKey> + '_ {
        self.0.values().copied()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many voters are more than half.
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }
}

/// Directory ids count only where both sides know them (static voters do not).
pub(super) fn same_replica(left: ReplicaKey, right: ReplicaKey) -> bool {
    left.id == right.id
        && (left.directory_id.is_zero()
            || right.directory_id.is_zero()
            || left.directory_id == right.directory_id)
}

/// The `quorum-state` file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct QuorumState {
    pub epoch: LeaderEpoch,
    pub leader: Option<NodeId>,
    /// The one candidate this node voted for in `epoch`.
    pub voted: Option<ReplicaKey>,
}

/// What the shell found on disk. All of it counts as flushed: the shell syncs the log before it starts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Recovered {
    /// None when the file does not exist.
    pub quorum_state: Option<QuorumState>,
    pub log_start_offset: Offset,
    pub log_end_offset: Offset,
    /// Ascending (epoch, first offset), as in `leader-epoch-checkpoint`.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// A peer's request. Answered exactly once under `ticket`, possibly much later.
    Request { ticket: Ticket, request: Request },
    /// The answer to a [`Output::Send`], with the request it answers: the core keeps no correlation ids.
    Response {
        from: NodeId,
        request: Request,
        response: Response,
    },
    /// Timed out, disconnected or answered with something that is no answer.
    RequestFailed { to: NodeId, request: Request },
    /// A parked fetch whose connection is gone; nothing more is said to it.
    Cancelled { ticket: Ticket },
    /// The controller wants to append one batch as leader of `epoch`.
    Append {
        ticket: Ticket,
        epoch: LeaderEpoch,
        records: u32,
    },
    /// An armed timer ran out. A timer that was disarmed or armed anew must not fire for its former term.
    Timer(Timer),
    /// Done, exactly once for every id the core gave out.
    Persisted(PersistId),
    /// The controller gives up leadership of `epoch`.
    Resign { epoch: LeaderEpoch },
    /// Graceful shutdown; ends with [`Output::ShutdownComplete`].
    Shutdown,
}

/// Armed timers by name; arming an armed timer restarts it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Election timeout; in a follower the fetch timeout, in a node that resigned the end of its epoch.
    Election,
    /// The next attempt to reach this node.
    Retry(NodeId),
    /// Leader: resigns unless a majority fetches before.
    CheckQuorum,
    /// Leader: reminds the voters that do not fetch.
    BeginQuorumEpoch,
    /// Leader: the parked fetch with this ticket has waited long enough.
    Parked(Ticket),
}

/// Offsets the shell reads from the log into a fetch answer: at least one batch if its limit allows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReadRange {
    pub from: Offset,
    /// Exclusive.
    pub to: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    Send {
        to: NodeId,
        request: Request,
    },
    Reply {
        ticket: Ticket,
        response: Response,
        read: Option<ReadRange>,
    },
    /// After a random time between `min_ms` and `max_ms`.
    Arm {
        timer: Timer,
        min_ms: u64,
        max_ms: u64,
    },
    Disarm(Timer),
    /// Replace the `quorum-state` file and sync, then `Persisted(id)`.
    SaveQuorumState {
        id: PersistId,
        state: QuorumState,
    },
    /// Append the control batch that opens an epoch: one LeaderChange record.
    AppendLeaderChange {
        base_offset: Offset,
        epoch: LeaderEpoch,
        voters: Vec<NodeId>,
        granting_voters: Vec<NodeId>,
    },
    /// Append the ticket's batch. Committed when the high watermark passes it; lost when the role changes
    /// before that.
    AppendRecords {
        ticket: Ticket,
        base_offset: Offset,
        epoch: LeaderEpoch,
    },
    RejectAppend {
        ticket: Ticket,
        error: Error,
    },
    /// Append these batches of the fetch response that is the current input, and none after them.
    AppendFetched {
        batches: Vec<BatchSummary>,
    },
    /// Cut the log so that it ends at `end`.
    Truncate {
        end: Offset,
    },
    /// Sync the log, which now ends at `end`, then `Persisted(id)`.
    Flush {
        id: PersistId,
        end: Offset,
    },
    /// Records below are committed; grows within the life of a process.
    HighWatermark(Offset),
    /// A leader's controller may act once it has applied all records before `epoch_start_offset` (K-17).
    RoleChanged {
        epoch: LeaderEpoch,
        role: RoleName,
        leader: Option<NodeId>,
        epoch_start_offset: Option<Offset>,
    },
    /// A peer said what no correct peer can say; the shell logs it and stops the process.
    Inconsistent(Inconsistency),
    ShutdownComplete,
}

/// Evidence that the quorum's safety is already broken.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Inconsistency {
    TruncationBelowHighWatermark {
        leader: NodeId,
        truncation: Offset,
        high_watermark: Offset,
    },
    TwoLeaders {
        epoch: LeaderEpoch,
        known: NodeId,
        claimed: NodeId,
    },
}

/// [`Role`](super::Role) without its data.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum RoleName {
    Unattached,
    Prospective,
    Candidate,
    Follower,
    Leader,
    Resigned,
}
