//! What goes into and comes out of a [`Replica`](super::Replica).

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};

use super::leader_epochs::{EpochEndOffset, LeaderEpochs};
use crate::{PersistId, Ticket};

/// What is fixed or slowly changing for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// `min.insync.replicas`; capped by the number of replicas (KIP-966).
    pub min_insync_replicas: usize,
    /// `flush.messages=1`: nothing counts, here or at the leader, before it is durable on this replica.
    pub flush_before_ack: bool,
}

/// A log as it was found at start, after recovery.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogState {
    pub log_start: Offset,
    /// Offset after the last record.
    pub log_end: Offset,
    pub epochs: LeaderEpochs,
    /// From `replication-offset-checkpoint`; 0 if there is none.
    pub high_watermark: Offset,
}

/// The partition's record in the published metadata.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionState {
    /// [`NodeId::NONE`] while nobody leads.
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
}

/// `acks` of a produce request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Acks {
    /// 0: the ticket is never answered, not even with an error.
    None,
    /// 1
    Leader,
    /// -1
    All,
}

/// Everything that can happen to a replica.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// Published metadata: decides the role. Stale or repeated states are ignored.
    Metadata(PartitionState),
    /// Brokers that may be in an ISR, by published metadata: neither fenced nor shutting down (KIP-841),
    /// with their epochs. The local broker belongs in it too.
    Eligible(BTreeMap<NodeId, BrokerEpoch>),
    Configure(Config),

    /// Produce of `records` consecutive offsets (at least one); the shell has validated the batches.
    Append {
        ticket: Ticket,
        records: u32,
        acks: Acks,
    },
    /// Produce of a batch that is in the log already, at `base_offset` up to `last_offset`: nothing is
    /// appended, the answer comes when `acks` says so of these offsets.
    AppendedBefore {
        ticket: Ticket,
        base_offset: Offset,
        last_offset: Offset,
        acks: Acks,
    },
    /// The produce request's `timeout.ms` is over.
    Expire(Ticket),
    /// A fetch by another replica. Answered at once; a long poll asks again with
    /// [`Replica::read_for_follower`](super::Replica::read_for_follower).
    FollowerFetch {
        ticket: Ticket,
        fetch: FollowerFetch,
    },
    /// DeleteRecords up to `offset`; None for the high watermark.
    DeleteRecords {
        ticket: Ticket,
        offset: Option<Offset>,
    },
    /// A lost connection or a timeout of the request is [`ErrorCode::NetworkException`] or
    /// [`ErrorCode::RequestTimedOut`].
    AlterPartitionResult {
        request: AlterPartitionId,
        result: Result<AlteredPartition, ErrorCode>,
    },

    /// Answer (or [`ErrorCode::NetworkException`]) to the fetch that [`Replica::fetch_request`](super::Replica::fetch_request) described.
    FetchResponse(FetchResponse),
    /// Answer to [`Output::QueryLeaderOffsets`]; None if it failed.
    LeaderOffsets {
        leader_epoch: LeaderEpoch,
        offsets: Option<LeaderOffsets>,
    },

    /// [`Output::Flush`] is done.
    Flushed(PersistId),
    /// [`Output::Truncate`] is done; the log may end earlier than asked, on a batch boundary.
    Truncated {
        log_end: Offset,
    },
    /// Retention moved the start of the local log, not above the high watermark.
    LogStartAdvanced {
        log_start: Offset,
    },
    Timer(Timer),
    /// The topic was deleted, the replica moved away, or its log directory failed. Final.
    Stop(ErrorCode),
}

/// Named timers; the shell knows the durations.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// Never armed: the shell fires it every `replica.lag.time.max.ms` on each leader. A follower that was
    /// at no time caught up since the last firing leaves the ISR.
    LagWindow,
    /// A short pause before AlterPartition is sent again.
    AlterPartitionRetry,
    /// `replica.fetch.backoff.ms`; until then [`Replica::fetch_request`](super::Replica::fetch_request) is None.
    FetchBackoff,
}

/// Fetch by a follower, as far as one partition is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FollowerFetch {
    pub follower: NodeId,
    /// KIP-903; -1 skips the check.
    pub broker_epoch: BrokerEpoch,
    /// Without it the fetch is answered but never counted.
    pub current_leader_epoch: Option<LeaderEpoch>,
    pub fetch_offset: Offset,
    pub last_fetched_epoch: Option<LeaderEpoch>,
    pub log_start: Offset,
}

/// Fetch by a consumer, as far as one partition is concerned.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConsumerFetch {
    pub current_leader_epoch: Option<LeaderEpoch>,
    pub fetch_offset: Offset,
    pub last_fetched_epoch: Option<LeaderEpoch>,
    /// False for KIP-392: a follower may serve it.
    pub leader_only: bool,
}

/// What a fetch may read: `[fetch_offset, limit)`, or nothing if the reader's log diverges.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchAnswer {
    /// Set: the reader has to truncate (a consumer: to reset) and gets no records.
    pub diverging: Option<EpochEndOffset>,
    /// Exclusive: the log end for a follower, the high watermark for a consumer (the shell lowers it to the
    /// LSO for read_committed). May be below the fetch offset: then there is nothing to read.
    pub limit: Offset,
    pub high_watermark: Offset,
    pub log_start: Offset,
}

/// What a follower asks its leader for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchRequest {
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    pub fetch_offset: Offset,
    pub last_fetched_epoch: Option<LeaderEpoch>,
    pub log_start: Offset,
}

/// The leader's answer, with the request it answers, so that late ones are recognised.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchResponse {
    pub request: FetchRequest,
    pub result: Result<Fetched, ErrorCode>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Fetched {
    pub diverging: Option<EpochEndOffset>,
    pub high_watermark: Offset,
    pub log_start: Offset,
    /// Complete batches in log order; gaps between them are compacted away.
    pub batches: Vec<FetchedBatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchedBatch {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

/// The leader's log bounds, from ListOffsets with a replica id.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct LeaderOffsets {
    pub log_start: Offset,
    pub log_end: Offset,
}

/// Names one attempt to change the ISR; unique per replica instance.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlterPartitionId(pub u64);

/// The partition as the controller has it after AlterPartition.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct AlteredPartition {
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub isr: Vec<NodeId>,
}

/// The answer to a ticket.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    Produced(Result<Produced, ErrorCode>),
    FollowerFetched(Result<FetchAnswer, ErrorCode>),
    /// The offset everything below which is now deleted here; the request is done when
    /// [`Replica::low_watermark`](super::Replica::low_watermark) has reached it.
    RecordsDeleted(Result<Offset, ErrorCode>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Produced {
    pub base_offset: Offset,
    pub log_start: Offset,
}

/// What the shell has to do, in this order, before it feeds the next input.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Append the records of `ticket` to the log. If that fails, drop the outputs after it and
    /// [`Input::Stop`] the replica.
    Append {
        ticket: Ticket,
        base_offset: Offset,
        epoch: LeaderEpoch,
    },
    /// Append all batches of the fetch response just given.
    AppendFetched {
        log_end: Offset,
    },
    /// Cut the log (and its epoch checkpoint, even if no record goes), then [`Input::Truncated`].
    Truncate {
        to: Offset,
    },
    /// Delete everything and go on as an empty log at `at`; needs no report.
    TruncateFully {
        at: Offset,
    },
    AdvanceLogStart {
        to: Offset,
    },
    /// Make everything below `end` durable, then [`Input::Flushed`]. One at a time.
    Flush {
        id: PersistId,
        end: Offset,
    },
    /// The high watermark moved: wakes consumers' and followers' long polls.
    HighWatermark {
        high_watermark: Offset,
    },
    Reply {
        ticket: Ticket,
        reply: Reply,
    },

    /// The epoch's start must be in the epoch checkpoint before records of it are served.
    BecameLeader {
        epoch: LeaderEpoch,
        epoch_start: Offset,
    },
    BecameFollower {
        epoch: LeaderEpoch,
        leader: NodeId,
    },
    /// From now on the follower's log end counts for the high watermark.
    FollowerCounted {
        follower: NodeId,
        log_end: Offset,
    },
    /// Committed or maximal ISR changed; ask the replica for them.
    IsrChanged,
    /// Ask the controller for this ISR. An epoch of -1: not known, not checked.
    AlterPartition {
        request: AlterPartitionId,
        leader_epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
        isr: Vec<(NodeId, BrokerEpoch)>,
    },
    /// `fetch_request()` has something (new) to ask for.
    FetchReady,
    /// Ask the leader for its log bounds (ListOffsets as a replica), then [`Input::LeaderOffsets`].
    QueryLeaderOffsets {
        leader: NodeId,
        leader_epoch: LeaderEpoch,
    },
    Arm(Timer),
}

/// Bounds for ListOffsets, and whether they can be trusted yet.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ListBounds {
    pub log_start: Offset,
    pub high_watermark: Offset,
    pub log_end: Offset,
    pub leader_epoch: LeaderEpoch,
    /// A new leader's high watermark is still below the start of its epoch: consumers get
    /// OFFSET_NOT_AVAILABLE for "latest" and for timestamps found above the high watermark.
    pub high_watermark_lags: bool,
}

/// A set of brokers in an ISR.
pub type Isr = BTreeSet<NodeId>;
