//! What goes into and comes out of a [`Consumer`](super::Consumer).

use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicIdPartition};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// `auto.offset.reset`; None asks the application.
    pub reset: Option<OffsetReset>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum OffsetReset {
    Earliest,
    Latest,
}

/// Counts the jumps of positions, over all partitions of a consumer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Generation(pub u64);

/// The next offset to read, and the epoch of the record before it if that is known.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct OffsetAndEpoch {
    pub offset: Offset,
    pub epoch: Option<LeaderEpoch>,
}

/// Answer to OffsetForLeaderEpoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochEndOffset {
    pub epoch: LeaderEpoch,
    pub end_offset: Offset,
}

/// One partition of a fetch request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchPosition {
    pub partition: TopicIdPartition,
    pub generation: Generation,
    pub offset: Offset,
    pub current_leader_epoch: LeaderEpoch,
    pub last_fetched_epoch: Option<LeaderEpoch>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fetched {
    pub diverging: Option<EpochEndOffset>,
    pub high_watermark: Offset,
    pub log_start: Offset,
    /// The leader asks to read from this one instead (KIP-392).
    pub preferred_read_replica: Option<NodeId>,
    /// Complete batches in log order. The first may begin below the fetch offset.
    pub batches: Vec<FetchedBatch>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct FetchedBatch {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub leader_epoch: LeaderEpoch,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// With the committed position, or None if there is none.
    Assign {
        partition: TopicIdPartition,
        position: Option<OffsetAndEpoch>,
    },
    Revoke {
        partition: TopicIdPartition,
    },
    Seek {
        partition: TopicIdPartition,
        position: OffsetAndEpoch,
    },
    SeekTo {
        partition: TopicIdPartition,
        reset: OffsetReset,
    },
    Pause {
        partition: TopicIdPartition,
        paused: bool,
    },
    /// From metadata.
    Leader {
        partition: TopicIdPartition,
        leader: Option<NodeId>,
        epoch: LeaderEpoch,
    },
    /// The shell could send a fetch to this broker, and has room for the answer.
    Fetch {
        node: NodeId,
    },
    /// One partition's part of a fetch answer, with what was asked.
    FetchResult {
        position: FetchPosition,
        result: Result<Fetched, ErrorCode>,
    },
    /// The answer left this partition out, as nothing is new in it (KIP-227), or there was none for a reason
    /// that is not the partition's.
    FetchUnchanged {
        position: FetchPosition,
    },
    /// The application got everything before `next`.
    Delivered {
        partition: TopicIdPartition,
        generation: Generation,
        next: OffsetAndEpoch,
    },
    /// Answer to [`Output::ListOffset`].
    OffsetListed {
        partition: TopicIdPartition,
        generation: Generation,
        result: Result<OffsetAndEpoch, ErrorCode>,
    },
    /// Answer to [`Output::OffsetForLeaderEpoch`]; None for Kafka's undefined epoch.
    EpochEnd {
        partition: TopicIdPartition,
        generation: Generation,
        /// As in the question.
        current_leader_epoch: LeaderEpoch,
        result: Result<Option<EpochEndOffset>, ErrorCode>,
    },
    Timer(Timer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// `retry.backoff.ms`
    Retry(TopicIdPartition),
    /// `metadata.max.age.ms`: then the leader is asked again which replica to read from.
    PreferredReplica(TopicIdPartition, Generation, NodeId),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    Fetch {
        node: NodeId,
        positions: Vec<FetchPosition>,
    },
    /// Keep the fetched records with `from <= offset < next.offset` for the application; those below `from`
    /// were asked for by nobody. `Delivered` with `next` when it has got all of them.
    Accept {
        partition: TopicIdPartition,
        generation: Generation,
        from: Offset,
        next: OffsetAndEpoch,
    },
    /// The position jumped: forget what the application has not got yet.
    DropBuffered {
        partition: TopicIdPartition,
    },
    ListOffset {
        partition: TopicIdPartition,
        generation: Generation,
        node: NodeId,
        current_leader_epoch: LeaderEpoch,
        reset: OffsetReset,
    },
    OffsetForLeaderEpoch {
        partition: TopicIdPartition,
        generation: Generation,
        node: NodeId,
        current_leader_epoch: LeaderEpoch,
        epoch: LeaderEpoch,
    },
    RefreshMetadata {
        partition: TopicIdPartition,
    },
    Arm(Timer),
    /// Records the application has got are no longer in the log; `divergent` is the first such offset, if
    /// that can be told. With a reset policy reading goes on, without one only after a seek.
    TruncationDetected {
        partition: TopicIdPartition,
        position: Offset,
        divergent: Option<Offset>,
    },
    /// There is no position and no policy to find one (`offset` None), or the error is final: reading goes
    /// on only after a seek.
    Stalled {
        partition: TopicIdPartition,
        offset: Option<Offset>,
        error: Option<ErrorCode>,
    },
}
