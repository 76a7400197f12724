//! What goes into the core and what comes out. Outputs are in an order the shell can execute one by one.

use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};

use super::{
    BatchSummary, ConfigurationChange, Endpoints, Error, OffsetAndEpoch, Request, Response,
    VersionRange, VoterSet,
};
use crate::{PersistId, Ticket};

/// `controller.quorum.*`; all times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    pub me: ReplicaKey,
    /// `controller.quorum.voters`: in force while neither snapshot nor log name voters. Empty otherwise.
    pub voters: VoterSet,
    /// The ids under which the shell reaches `controller.quorum.bootstrap.servers`, negative as in Kafka: whom
    /// a node without a leader asks for one. Empty: the voters.
    pub bootstrap_servers: Vec<NodeId>,
    /// Where this node listens as a voter. Empty: it never sends UpdateVoter or AddVoter about itself.
    pub endpoints: Endpoints,
    /// `kraft.version`s this node supports.
    pub kraft_versions: VersionRange,
    /// `process.roles` has `controller`: as an observer it may become a voter.
    pub is_controller: bool,
    /// `controller.quorum.auto.join.enable`: as an observer it makes itself a voter.
    pub auto_join: bool,
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
    /// `controller.quorum.request.timeout.ms`: a voter change that takes longer is answered
    /// REQUEST_TIMED_OUT.
    pub request_timeout_ms: u64,
    /// Longest chunk of a snapshot to ask for.
    pub snapshot_chunk_bytes: i32,
}

impl Config {
    /// Kafka's default times.
    pub fn new(me: ReplicaKey, voters: VoterSet) -> Config {
        Config {
            me,
            voters,
            bootstrap_servers: Vec::new(),
            endpoints: Endpoints::new(),
            kraft_versions: VersionRange::KRAFT,
            is_controller: false,
            auto_join: false,
            election_timeout_ms: 1000,
            election_backoff_max_ms: 1000,
            fetch_timeout_ms: 2000,
            retry_backoff_ms: 20,
            fetch_max_wait_ms: 500,
            request_timeout_ms: 2000,
            snapshot_chunk_bytes: 8 * 1024 * 1024,
        }
    }
}

/// The `quorum-state` file.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct QuorumState {
    pub epoch: LeaderEpoch,
    pub leader: Option<NodeId>,
    /// The one candidate this node voted for in `epoch`.
    pub voted: Option<ReplicaKey>,
}

/// A snapshot on disk (KIP-630): the state after all records below `id.offset`, the last of which has
/// `id.epoch`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Snapshot {
    pub id: OffsetAndEpoch,
    /// Bytes of the file.
    pub size: i64,
    /// Of its KRaftVersion record; 0 without one.
    pub kraft_version: i16,
    /// Of its KRaftVoters record.
    pub voters: Option<VoterSet>,
}

/// What the shell found on disk. All of it counts as flushed: the shell syncs the log before it starts.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Recovered {
    /// None when the file does not exist. The shell leaves out a leader whose address it does not know.
    pub quorum_state: Option<QuorumState>,
    pub log_start_offset: Offset,
    pub log_end_offset: Offset,
    /// Ascending (epoch, first offset), as in `leader-epoch-checkpoint`.
    pub epochs: Vec<(LeaderEpoch, Offset)>,
    /// Every whole snapshot, the bootstrap snapshot with its id (0, 0) too; partial downloads are deleted
    /// before. The shell refuses to start on a log whose start is beyond the last of them (KAFKA-14240).
    pub snapshots: Vec<Snapshot>,
    /// The log's control batches that change the configuration, ascending by base offset.
    pub changes: Vec<(Offset, ConfigurationChange)>,
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
    /// The state machine has applied all records below `end`, which ends a committed batch, and wants to keep
    /// its state: answered with [`Output::WriteSnapshot`], or with nothing when there is no use for it.
    CreateSnapshot { end: Offset },
    /// The snapshot of a [`Output::WriteSnapshot`] is whole and synced under its name.
    SnapshotWritten { id: OffsetAndEpoch, size: i64 },
    /// The snapshot of a [`Output::FinishSnapshot`] is whole and synced under its name.
    SnapshotFetched(Snapshot),
    /// The snapshot of a [`Output::FinishSnapshot`] is damaged and deleted.
    SnapshotDamaged { id: OffsetAndEpoch },
    /// Retention (`metadata.max.retention.bytes`, `.ms`): nothing before this snapshot is needed any more.
    /// Refused when the node does not have the snapshot.
    DeleteBefore { snapshot: OffsetAndEpoch },
    /// The controller of `epoch` finalizes `kraft.version`; answered with [`Output::KraftVersion`].
    UpgradeKraftVersion {
        ticket: Ticket,
        epoch: LeaderEpoch,
        version: i16,
        validate_only: bool,
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
    /// Leader: the voter change under way has taken too long.
    VoterChange,
    /// Leader: forgets the observers that have not fetched for as long.
    Observers,
    /// Follower: time to tell the leader where it listens, or to make itself a voter.
    UpdateVoter,
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
    /// `to` is a voter, a leader that a message named, or a bootstrap server. The shell must know addresses:
    /// of voters from [`Output::ConfigurationChanged`], of leaders from the message that named them (it gives
    /// the core no leader whose address it does not know), of a new voter from the ApiVersions request itself.
    Send {
        to: NodeId,
        request: Request,
    },
    /// `read` is set when records go with a Fetch answer. With a FetchSnapshot answer without an error go up to
    /// `max_bytes` of the snapshot from its position; if the file is gone the shell answers SNAPSHOT_NOT_FOUND.
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
    /// Append the control batch that opens an epoch: one LeaderChange record, and behind it in the same batch
    /// the KRaftVersion and KRaftVoters records of `change`, in this order, which so far only the bootstrap
    /// snapshot held.
    AppendLeaderChange {
        base_offset: Offset,
        epoch: LeaderEpoch,
        voters: Vec<NodeId>,
        granting_voters: Vec<NodeId>,
        change: Option<ConfigurationChange>,
    },
    /// Append one control batch with the records of `change`, KRaftVersion before KRaftVoters.
    AppendChange {
        base_offset: Offset,
        epoch: LeaderEpoch,
        change: ConfigurationChange,
    },
    /// `kraft.version` and the voters in force from now on; at the start ask
    /// [`Raft::configuration`](super::Raft::configuration). Committed once the high watermark says so.
    ConfigurationChanged {
        kraft_version: i16,
        voters: VoterSet,
    },
    /// The answer to [`Input::UpgradeKraftVersion`]: committed once the high watermark reaches the end given;
    /// None when there was nothing to change or it was only to be validated.
    KraftVersion {
        ticket: Ticket,
        result: Result<Option<Offset>, Error>,
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
    /// Write a snapshot named `id` of the state at the `end` of [`Input::CreateSnapshot`]: the header, then
    /// KRaftVersion and, if there are, KRaftVoters, then the state. Then [`Input::SnapshotWritten`].
    WriteSnapshot {
        id: OffsetAndEpoch,
        kraft_version: i16,
        /// None while the voters are those of `controller.quorum.voters`.
        voters: Option<VoterSet>,
    },
    /// Write the chunk of the FetchSnapshot response that is the current input to the partial snapshot `id` at
    /// `position`; at 0 a new one begins, and every other partial one is dropped.
    AppendChunk {
        id: OffsetAndEpoch,
        position: i64,
    },
    /// The partial snapshot `id` is complete: check it, sync it and give it its name, then
    /// [`Input::SnapshotFetched`] or [`Input::SnapshotDamaged`].
    FinishSnapshot {
        id: OffsetAndEpoch,
    },
    /// Delete all records; the log goes on at the end of this snapshot, and the state machine loads it. Older
    /// snapshots are deleted. Takes effect at once, as a truncation.
    StartLogAt {
        snapshot: OffsetAndEpoch,
    },
    /// The log starts at the end of this snapshot from now on: delete the segments and the snapshots before.
    RaiseLogStart {
        snapshot: OffsetAndEpoch,
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
    /// A snapshot that would replace committed records with fewer.
    SnapshotBelowHighWatermark {
        snapshot: OffsetAndEpoch,
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
