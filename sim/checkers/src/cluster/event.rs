//! What happens in a cluster, as plain numbers: `broker/server/src/observe.rs` one to one, and what the
//! runner does to processes and disks.

use std::fmt;

use serde::{Deserialize, Serialize};

/// A partition by topic id (the 16 bytes, big endian).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct PartitionId {
    pub topic: u128,
    pub index: i32,
}

/// A batch as a log holds it; `crc` stands for its content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchSummary {
    pub base_offset: i64,
    pub last_offset: i64,
    pub leader_epoch: i32,
    pub crc: u32,
    pub producer: Option<BatchProducer>,
    pub transaction: Option<BatchTransaction>,
}

/// How a batch belongs to a transaction of its producer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchTransaction {
    pub producer_id: i64,
    pub producer_epoch: i16,
    /// It ends the transaction; whether by a commit.
    pub committed: Option<bool>,
}

/// Who wrote a batch, and where it stands in the series of that producer's records for the partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct BatchProducer {
    pub id: i64,
    pub epoch: i16,
    /// Sequence of the first record; from 0 to 2^31 - 1 and around.
    pub base_sequence: i32,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum AppendRole {
    Leader,
    Follower,
}

/// KRaft roles.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
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

/// A partition as the metadata image has it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PartitionState {
    pub replicas: Vec<i32>,
    pub isr: Vec<i32>,
    pub eligible: Vec<i32>,
    pub leader: Option<i32>,
    pub leader_epoch: i32,
    pub partition_epoch: i32,
    pub min_insync_replicas: i32,
    /// The leader was elected uncleanly and its ISR has not changed since (KIP-704).
    #[serde(default)]
    pub recovering: bool,
}

/// Something that happened at one node. Offsets named `end` are exclusive.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Event {
    // From the runner.
    /// The process died; what it wrote is in the page cache.
    NodeKilled,
    /// The machine lost power. `lost`: the budget counts this replica as one that lost data.
    PowerLost {
        lost: bool,
    },
    /// The runner started a process; the same as `Started`.
    NodeStarted,
    /// The disk is empty and the node will be a new replica (another directory id).
    DiskWiped,
    /// Bit rot, lost or misdirected writes, syncs that lied: what this disk holds proves nothing any more.
    DiskDamaged,
    /// Disk calls fail with errors, or a failed sync dropped the cache: what is durable stays.
    DiskFailing,

    // From the broker.
    Started,
    StoppedCleanly,
    LogDirectoryFailed {
        path: String,
    },

    LogLoaded {
        partition: PartitionId,
        log_start: i64,
        log_end: i64,
        /// (epoch, start offset), ascending.
        epochs: Vec<(i32, i64)>,
        high_watermark: i64,
        clean: bool,
        batches: Vec<BatchSummary>,
    },
    LogDeleted {
        partition: PartitionId,
    },
    Appended {
        partition: PartitionId,
        batch: BatchSummary,
        role: AppendRole,
        epoch: i32,
    },
    Truncated {
        partition: PartitionId,
        log_end: i64,
    },
    Flushed {
        partition: PartitionId,
        end: i64,
    },
    /// Compacted below `end`.
    LogCleaned {
        partition: PartitionId,
        end: i64,
    },
    LogStartAdvanced {
        partition: PartitionId,
        log_start: i64,
    },
    BecameLeader {
        partition: PartitionId,
        epoch: i32,
        epoch_start: i64,
        isr: Vec<i32>,
        partition_epoch: i32,
    },
    BecameFollower {
        partition: PartitionId,
        epoch: i32,
        leader: i32,
        partition_epoch: i32,
    },
    HighWatermark {
        partition: PartitionId,
        high_watermark: i64,
        epoch: i32,
        leader: bool,
        maximal_isr: Vec<i32>,
        min_insync_replicas: i32,
    },
    FollowerCounted {
        partition: PartitionId,
        follower: i32,
        log_end: i64,
        epoch: i32,
    },
    IsrChanged {
        partition: PartitionId,
        committed: Vec<i32>,
        maximal: Vec<i32>,
        epoch: i32,
        partition_epoch: i32,
    },
    ProduceAcknowledged {
        partition: PartitionId,
        base_offset: i64,
        last_offset: i64,
        acks: i16,
    },
    /// A leader finds a gap before this batch, or that it is older than what it recognises.
    SequenceRefused {
        partition: PartitionId,
        producer: BatchProducer,
        records: i64,
    },
    /// A producer got an id of its own.
    ProducerIdGiven {
        producer_id: i64,
    },
    /// `aborted`, for a reader of committed data: what it is to leave out, as producer id and first offset.
    ConsumerRead {
        partition: PartitionId,
        from: i64,
        end: i64,
        limit: i64,
        aborted: Option<Vec<(i64, i64)>>,
    },
    EpochEndOffsetAnswered {
        partition: PartitionId,
        asked: i32,
        answer_epoch: i32,
        end_offset: i64,
    },

    QuorumStateSaved {
        epoch: i32,
        leader: Option<i32>,
        voted: Option<i32>,
    },
    VoteGranted {
        epoch: i32,
        candidate: i32,
    },
    QuorumRole {
        epoch: i32,
        role: QuorumRole,
        leader: Option<i32>,
        voters: Vec<i32>,
    },
    QuorumVoters {
        voters: Vec<i32>,
    },
    MetadataLogLoaded {
        log_start: i64,
        log_end: i64,
        batches: Vec<BatchSummary>,
        /// (end offset, epoch) of whole ones that hold records.
        snapshots: Vec<(i64, i32)>,
    },
    MetadataSnapshotWritten {
        end: i64,
        epoch: i32,
    },
    /// The log is emptied and goes on at the end of a snapshot.
    MetadataLogReplaced {
        end: i64,
        epoch: i32,
    },
    MetadataLogStartAdvanced {
        log_start: i64,
    },
    MetadataSnapshotLoaded {
        end: i64,
        epoch: i32,
        hash: u64,
        topics: Vec<u128>,
    },
    MetadataAppended {
        batch: BatchSummary,
    },
    MetadataTruncated {
        log_end: i64,
    },
    MetadataFlushed {
        end: i64,
    },
    MetadataCounted {
        voter: i32,
        end: i64,
        epoch: i32,
    },
    MetadataHighWatermark {
        high_watermark: i64,
        epoch: i32,
        leader: bool,
    },
    MetadataApplied {
        end: i64,
        epoch: i32,
        hash: u64,
    },
    ControllerActive {
        epoch: i32,
        applied_end: i64,
    },
    ControllerInactive {
        epoch: i32,
    },
    /// As the node publishes it, after `MetadataApplied` of the same image.
    PartitionRegistered {
        partition: PartitionId,
        state: PartitionState,
    },
    /// `index` -1: all of the topic.
    PartitionRemoved {
        partition: PartitionId,
    },
    /// The node serves what an internal partition coordinates.
    CoordinatorLoaded {
        partition: PartitionId,
        epoch: i32,
    },
    /// It does not any more.
    CoordinatorUnloaded {
        partition: PartitionId,
        epoch: i32,
    },
    BrokerRegistered {
        broker: i32,
        epoch: i64,
        fenced: bool,
        shutting_down: bool,
    },
}

impl Event {
    /// A part of publishing a metadata image.
    pub(super) fn publishes(&self) -> bool {
        matches!(
            self,
            Event::PartitionRegistered { .. }
                | Event::PartitionRemoved { .. }
                | Event::BrokerRegistered { .. }
        )
    }

    /// The partition whose replica it is about.
    pub(super) fn partition(&self) -> Option<PartitionId> {
        match self {
            Event::LogLoaded { partition, .. }
            | Event::LogDeleted { partition }
            | Event::Appended { partition, .. }
            | Event::Truncated { partition, .. }
            | Event::Flushed { partition, .. }
            | Event::LogCleaned { partition, .. }
            | Event::LogStartAdvanced { partition, .. }
            | Event::BecameLeader { partition, .. }
            | Event::BecameFollower { partition, .. }
            | Event::HighWatermark { partition, .. }
            | Event::FollowerCounted { partition, .. }
            | Event::IsrChanged { partition, .. }
            | Event::ProduceAcknowledged { partition, .. }
            | Event::ConsumerRead { partition, .. }
            | Event::SequenceRefused { partition, .. }
            | Event::CoordinatorLoaded { partition, .. }
            | Event::CoordinatorUnloaded { partition, .. }
            | Event::EpochEndOffsetAnswered { partition, .. } => Some(*partition),
            _ => None,
        }
    }
}

impl BatchSummary {
    /// Offset behind the last record.
    pub fn end(&self) -> i64 {
        self.last_offset + 1
    }
}

impl fmt::Display for BatchSummary {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let BatchSummary {
            base_offset,
            last_offset,
            leader_epoch,
            crc,
            producer,
            transaction,
        } = self;
        write!(
            formatter,
            "{base_offset}..={last_offset} (epoch {leader_epoch}, crc {crc:08x}"
        )?;
        if let Some(BatchProducer {
            id,
            epoch,
            base_sequence,
        }) = producer
        {
            write!(
                formatter,
                ", producer {id} epoch {epoch} sequence {base_sequence}"
            )?;
        }
        match transaction.map(|transaction| transaction.committed) {
            Some(Some(true)) => write!(formatter, ", commits")?,
            Some(Some(false)) => write!(formatter, ", aborts")?,
            Some(None) => write!(formatter, ", transactional")?,
            None => {}
        }
        write!(formatter, ")")
    }
}
