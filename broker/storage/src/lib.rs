//! Partition logs in Kafka's on-disk format, over [`broker_env::Disk`].
//!
//! Map: [`Log`] is one partition's log (`log`, `segment`, `index`, `epochs`, `tail`); [`LogDirectory`] is one
//! data directory with its lock, identity, clean-shutdown marker and checkpoints (`directory`); [`FlushJob`]
//! and [`RemovalJob`] are the asynchronous halves of what a log does, so that no lock is held over an fsync;
//! [`dump`] reads files tolerantly, for tools; [`snapshot`] is the metadata log's snapshots,
//! [`producer_snapshot`] the state of a partition's producers; [`quorum_state`], [`properties`] and [`checkpoint`] are the small files beside the logs.
//!
//! Contract:
//! - Appends, reads and truncations are synchronous: they end in the page cache. Only what must be durable is
//!   asynchronous, as a job that is taken from the log, run without it and handed back.
//! - **A truncation must be durable before the next append**: [`Log::truncate_to`] returns the job, and appends
//!   fail with [`LogError::TruncationPending`] until it is finished. Otherwise power loss could splice old
//!   batches behind new ones, or bring removed segments back, and no checksum would notice.
//! - Everything below the recovery point is durable. Recovery scans from the segment that holds the last offset
//!   below it and cuts at the first batch that is damaged or out of order. Damage *below* the recovery point is
//!   not a torn tail but a disk that lost what it acknowledged: such a log does not open
//!   ([`LogError::LostBelowRecoveryPoint`]), because cutting there would silently drop records that others count
//!   on; only replication may replace them. That is why a truncation lowers the recovery point durably before it
//!   cuts a file: half a cut must not look like damage. A process that ends in between finds the old tail again.
//! - A failed write or sync fences the log and takes the log directory offline; nothing is ever retried.

pub mod checkpoint;
pub mod dump;
pub mod producer_snapshot;
pub mod properties;
pub mod quorum_state;
pub mod snapshot;

mod batch;
mod buffers;
mod cleaner;
mod config;
mod directory;
mod epochs;
mod error;
mod health;
mod index;
mod log;
mod marker;
mod names;
mod scan;
mod segment;
mod tail;
mod txn_index;

pub use batch::{BatchInfo, end_txn_marker};
pub use checkpoint::OffsetCheckpoint;
pub use cleaner::{Cleaning, LastBatch};
pub use config::LogConfig;
pub use directory::{DirectoryOptions, FailedLog, LogDirectory, SharedLog};
pub use epochs::{EpochEntry, EpochHistory};
pub use error::{Corruption, Damage, DirectoryError, LogError};
pub use health::DirectoryHealth;
pub use log::{
    Appended, CleanDone, CleanJob, Cleanable, FlushDone, FlushJob, Log, LogOptions, LogRead,
    RemovalJob, TimestampHit,
};
pub use producer_snapshot::ProducerSnapshotEntry;
pub use properties::{MetaProperties, PartitionMetadata};
pub use quorum_state::QuorumState;
pub use snapshot::SnapshotId;
pub use txn_index::AbortedTxn;

#[cfg(test)]
mod testing;
#[cfg(test)]
mod tests;
