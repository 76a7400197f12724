//! What can go wrong with a log or a log directory; [`Damage`] says what is wrong with bytes found on disk.

use std::path::PathBuf;

use broker_env::DiskError;
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicPartition};
use broker_protocol::record::BatchError;

/// What is wrong with the bytes at a position of a segment.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Damage {
    #[error("batch needs {needed} bytes, the file has {available} more")]
    Cut { needed: u64, available: u64 },
    #[error(transparent)]
    Batch(#[from] BatchError),
    #[error("batch starts at offset {base_offset}, but the log is at {expected}")]
    OffsetOrder {
        expected: Offset,
        base_offset: Offset,
    },
    #[error("batch has leader epoch {epoch} after {latest}")]
    EpochOrder {
        latest: LeaderEpoch,
        epoch: LeaderEpoch,
    },
    #[error("last offset {last_offset} does not fit a segment that starts at {base_offset}")]
    RelativeOffset {
        base_offset: Offset,
        last_offset: Offset,
    },
    #[error("the segment ends at offset {end}, the next one starts at {next_base}")]
    Gap { end: Offset, next_base: Offset },
}

/// Damage, and where it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("{path}, byte {position}: {damage}", path = path.display())]
pub struct Corruption {
    pub path: PathBuf,
    pub position: u64,
    pub damage: Damage,
}

/// Why a log refuses or fails.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LogError {
    /// This very call failed at the disk; the log directory is offline from now on.
    #[error(transparent)]
    Disk(#[from] DiskError),
    /// The log directory went offline earlier, for the reason given.
    #[error("log directory is offline: {0}")]
    Offline(DiskError),
    #[error("the log was deleted")]
    Deleted,
    /// Run and finish the job of the truncation first.
    #[error("a truncation is not durable yet")]
    TruncationPending,
    #[error("offset {offset} is outside of {log_start}..={log_end}")]
    OutOfRange {
        offset: Offset,
        log_start: Offset,
        log_end: Offset,
    },
    #[error("batch {base_offset}..={last_offset} does not follow log end {log_end}")]
    OutOfOrder {
        base_offset: Offset,
        last_offset: Offset,
        log_end: Offset,
    },
    #[error("leader epoch {epoch} at offset {base_offset} is below the log's latest {latest}")]
    EpochRegressed {
        epoch: LeaderEpoch,
        latest: LeaderEpoch,
        base_offset: Offset,
    },
    /// Bytes on disk are not what was written; found by a read.
    #[error(transparent)]
    Corrupt(#[from] Corruption),
    /// Found while opening: the disk lost what it had acknowledged as durable.
    #[error("damage at offset {offset}, below the recovery point {recovery_point}: {corruption}")]
    LostBelowRecoveryPoint {
        offset: Offset,
        recovery_point: Offset,
        corruption: Corruption,
    },
}

/// Why a log directory cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DirectoryError {
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("log directory is offline: {0}")]
    Offline(DiskError),
    #[error("{path} is in use by another process (lock on .lock)", path = path.display())]
    InUse { path: PathBuf },
    #[error("{path} is not formatted: it has no meta.properties", path = path.display())]
    NotFormatted { path: PathBuf },
    #[error("{path} is formatted already", path = path.display())]
    AlreadyFormatted { path: PathBuf },
    #[error("{path} belongs to cluster {found}, not {expected}", path = path.display())]
    WrongCluster {
        path: PathBuf,
        expected: String,
        found: String,
    },
    #[error("{path} belongs to node {found}, not {expected}", path = path.display())]
    WrongNode {
        path: PathBuf,
        expected: NodeId,
        found: NodeId,
    },
    #[error("{path} is malformed: {reason}", path = path.display())]
    Malformed { path: PathBuf, reason: String },
    #[error("{0} exists already")]
    LogExists(TopicPartition),
    #[error("{0} is not in this log directory")]
    NoSuchLog(TopicPartition),
    #[error("{partition}: {error}")]
    Log {
        partition: TopicPartition,
        error: Box<LogError>,
    },
}
