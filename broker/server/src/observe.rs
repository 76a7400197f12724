//! What a broker tells an observer about its own state changes: the simulator's ground truth.
//!
//! Production runs with [`Observer::none`]. Each observation is made in the same synchronous step as the
//! change itself, so an observer sees the changes of all nodes in one total order.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use crate::core_steps::CoreStep;

use broker_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, TopicIdPartition, Uuid,
};
use broker_protocol::record::EndTxnMarker;
use broker_storage::BatchInfo;

/// A batch as the log holds it.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchSummary {
    pub base_offset: Offset,
    pub last_offset: Offset,
    pub leader_epoch: LeaderEpoch,
    /// CRC-32C field of the batch: identifies the content.
    pub crc: u32,
    /// Of an idempotent producer's batch.
    pub producer: Option<BatchProducer>,
    /// Of a batch in a transaction, the marker that ends it included.
    pub transaction: Option<BatchTransaction>,
}

/// How a batch belongs to a transaction of its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchTransaction {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// It ends the transaction; else it is data.
    pub marker: Option<EndTxnMarker>,
}

impl BatchSummary {
    pub fn of(info: &BatchInfo, marker: Option<EndTxnMarker>) -> BatchSummary {
        BatchSummary {
            base_offset: info.base_offset,
            last_offset: info.last_offset,
            leader_epoch: info.leader_epoch,
            crc: info.crc,
            producer: producer(info),
            transaction: info.is_transactional().then_some(BatchTransaction {
                producer_id: info.producer_id,
                producer_epoch: info.producer_epoch,
                marker,
            }),
        }
    }
}

/// Who wrote a batch, and where it stands in that producer's series.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BatchProducer {
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub base_sequence: i32,
}

/// What a batch's header says of its producer.
pub fn producer(info: &BatchInfo) -> Option<BatchProducer> {
    info.is_sequenced().then_some(BatchProducer {
        producer_id: info.producer_id,
        producer_epoch: info.producer_epoch,
        base_sequence: info.base_sequence,
    })
}

/// Who appended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum AppendRole {
    Leader,
    Follower,
}

/// A state change of one node. Offsets named `end` are exclusive.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Observation {
    /// The process started (again); nothing is loaded yet.
    Started,
    /// Graceful stop has finished writing the clean-shutdown marker.
    StoppedCleanly,
    /// A log directory was taken offline after a disk error.
    LogDirectoryFailed {
        path: String,
    },

    /// A partition log was opened, after recovery.
    LogLoaded {
        partition: TopicIdPartition,
        log_start: Offset,
        log_end: Offset,
        /// (epoch, start offset), ascending.
        epochs: Vec<(LeaderEpoch, Offset)>,
        high_watermark: Offset,
        /// Loaded under a clean-shutdown marker, so without recovery.
        clean: bool,
        batches: Vec<BatchSummary>,
    },
    /// The log was deleted with its topic.
    LogDeleted {
        partition: TopicIdPartition,
    },
    Appended {
        partition: TopicIdPartition,
        batch: BatchSummary,
        role: AppendRole,
        epoch: LeaderEpoch,
    },
    Truncated {
        partition: TopicIdPartition,
        log_end: Offset,
    },
    /// Everything below `end` is durable.
    Flushed {
        partition: TopicIdPartition,
        end: Offset,
    },
    LogStartAdvanced {
        partition: TopicIdPartition,
        log_start: Offset,
    },
    /// The log was compacted below `end`.
    LogCleaned {
        partition: TopicIdPartition,
        end: Offset,
    },
    BecameLeader {
        partition: TopicIdPartition,
        epoch: LeaderEpoch,
        epoch_start: Offset,
        isr: Vec<NodeId>,
        partition_epoch: PartitionEpoch,
    },
    BecameFollower {
        partition: TopicIdPartition,
        epoch: LeaderEpoch,
        leader: NodeId,
        partition_epoch: PartitionEpoch,
    },
    /// `maximal_isr` is committed plus pending, for a leader; empty for a follower.
    HighWatermark {
        partition: TopicIdPartition,
        high_watermark: Offset,
        epoch: LeaderEpoch,
        leader: bool,
        maximal_isr: Vec<NodeId>,
        min_insync_replicas: i32,
    },
    /// The leader counts this follower's log end from now on.
    FollowerCounted {
        partition: TopicIdPartition,
        follower: NodeId,
        log_end: Offset,
        epoch: LeaderEpoch,
    },
    /// The leader's view of the ISR changed.
    IsrChanged {
        partition: TopicIdPartition,
        committed: Vec<NodeId>,
        maximal: Vec<NodeId>,
        epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
    },
    /// A produce request was answered without error.
    ProduceAcknowledged {
        partition: TopicIdPartition,
        base_offset: Offset,
        last_offset: Offset,
        acks: i16,
    },
    /// A batch of an idempotent producer does not follow on what the leader knows of it.
    SequenceRefused {
        partition: TopicIdPartition,
        producer: BatchProducer,
        records: u32,
    },
    /// A producer got an id of its own.
    ProducerIdGiven {
        producer_id: i64,
    },
    /// Records were handed to a consumer: `[from, end)` under `limit` (high watermark or LSO). For a reader of
    /// committed data `aborted` is what it is to leave out: producer id and first offset of each transaction.
    ConsumerRead {
        partition: TopicIdPartition,
        from: Offset,
        end: Offset,
        limit: Offset,
        aborted: Option<Vec<(i64, Offset)>>,
    },
    /// An answer to OffsetForLeaderEpoch, or the divergence check of a fetch.
    EpochEndOffsetAnswered {
        partition: TopicIdPartition,
        asked: LeaderEpoch,
        answer_epoch: LeaderEpoch,
        end_offset: Offset,
    },

    /// The metadata quorum member's persistent state, as made durable.
    QuorumStateSaved {
        epoch: LeaderEpoch,
        leader: Option<NodeId>,
        voted: Option<NodeId>,
    },
    /// A standard (not a pre-) vote was granted in an answer that left this node.
    VoteGranted {
        epoch: LeaderEpoch,
        candidate: NodeId,
    },
    QuorumRole {
        epoch: LeaderEpoch,
        role: QuorumRole,
        leader: Option<NodeId>,
        voters: Vec<NodeId>,
    },
    /// `kraft.version` or the voters changed, committed or not.
    QuorumVoters {
        voters: Vec<NodeId>,
    },
    /// `snapshots` are ids of whole ones that hold records: end offset and epoch, oldest first.
    MetadataLogLoaded {
        log_start: Offset,
        log_end: Offset,
        batches: Vec<BatchSummary>,
        snapshots: Vec<(Offset, LeaderEpoch)>,
    },
    /// A snapshot is durable under its name: made here, or fetched.
    MetadataSnapshotWritten {
        end: Offset,
        epoch: LeaderEpoch,
    },
    /// Everything was deleted; the log goes on at the end of this snapshot.
    MetadataLogReplaced {
        end: Offset,
        epoch: LeaderEpoch,
    },
    /// The log starts at the end of a snapshot now.
    MetadataLogStartAdvanced {
        log_start: Offset,
    },
    /// The image as a snapshot has it; `hash` of the whole image. Topics that are not in it and were there
    /// before are gone, though no node may ever see the record that removed them.
    MetadataSnapshotLoaded {
        end: Offset,
        epoch: LeaderEpoch,
        hash: u64,
        topics: Vec<Uuid>,
    },
    MetadataAppended {
        batch: BatchSummary,
    },
    MetadataTruncated {
        log_end: Offset,
    },
    MetadataFlushed {
        end: Offset,
    },
    /// The offset a member reported as its own in a fetch or counts for itself as leader.
    MetadataCounted {
        voter: NodeId,
        end: Offset,
        epoch: LeaderEpoch,
    },
    MetadataHighWatermark {
        high_watermark: Offset,
        epoch: LeaderEpoch,
        leader: bool,
    },
    /// The image after all records below `end` were applied; `hash` of the whole image.
    MetadataApplied {
        end: Offset,
        epoch: LeaderEpoch,
        hash: u64,
    },
    /// The controller on this node became active: it has applied everything before `epoch`'s start.
    ControllerActive {
        epoch: LeaderEpoch,
        applied_end: Offset,
    },
    ControllerInactive {
        epoch: LeaderEpoch,
    },
    /// The active controller's partition record after a change.
    PartitionRegistered {
        partition: TopicIdPartition,
        state: PartitionState,
    },
    PartitionRemoved {
        partition: TopicIdPartition,
    },
    /// This broker serves what an internal partition coordinates, from now on.
    CoordinatorLoaded {
        partition: TopicIdPartition,
        epoch: LeaderEpoch,
    },
    /// It does not any more.
    CoordinatorUnloaded {
        partition: TopicIdPartition,
        epoch: LeaderEpoch,
    },
    BrokerRegistered {
        broker: NodeId,
        epoch: BrokerEpoch,
        fenced: bool,
        shutting_down: bool,
    },
}

/// A partition as the metadata image has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionState {
    pub replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    pub eligible: Vec<NodeId>,
    pub leader: Option<NodeId>,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    pub min_insync_replicas: i32,
    /// The leader was elected uncleanly and its ISR has not changed since (KIP-704).
    pub recovering: bool,
}

/// KRaft roles (KIP-595, KIP-996).
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum QuorumRole {
    Unattached,
    Voted,
    Prospective,
    Candidate,
    Leader,
    Follower,
    Observer,
    Resigned,
}

/// Hears of the cores' steps.
type StepSink = dyn Fn(CoreStep<'_>) + Send + Sync;

/// Receives observations; cheap to clone.
#[derive(Clone)]
pub struct Observer {
    sink: Option<Arc<dyn Fn(Observation) + Send + Sync>>,
    steps: Option<Arc<StepSink>>,
    instances: Arc<AtomicU64>,
}

impl Observer {
    /// Nobody listens: production.
    pub fn none() -> Observer {
        Observer {
            sink: None,
            steps: None,
            instances: Arc::default(),
        }
    }

    pub fn new(sink: impl Fn(Observation) + Send + Sync + 'static) -> Observer {
        Observer {
            sink: Some(Arc::new(sink)),
            steps: None,
            instances: Arc::default(),
        }
    }

    /// Tells the cores' steps, too.
    pub fn with_steps(self, sink: impl Fn(CoreStep<'_>) + Send + Sync + 'static) -> Observer {
        Observer {
            steps: Some(Arc::new(sink)),
            ..self
        }
    }

    /// A copy of what a core is about to take, if its steps are told.
    pub fn recorded<T: Clone>(&self, input: &T) -> Option<T> {
        self.steps.as_ref().map(|_| input.clone())
    }

    /// A number for a core among others of its kind, ascending.
    pub fn instance(&self) -> u64 {
        self.instances.fetch_add(1, Ordering::Relaxed)
    }

    pub fn step(&self, step: CoreStep<'_>) {
        if let Some(sink) = &self.steps {
            sink(step);
        }
    }

    /// The closure is not run when nobody listens.
    pub fn observe(&self, make: impl FnOnce() -> Observation) {
        if let Some(sink) = &self.sink {
            sink(make());
        }
    }

    pub fn is_listening(&self) -> bool {
        self.sink.is_some()
    }
}
