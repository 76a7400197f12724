//! One partition's log: segments, leader epochs, tail cache, flush state.
//!
//! Map: this file holds state and getters; `log/open.rs` loads and recovers; `log/append.rs` and `log/read.rs`
//! are the data path; `log/truncate.rs` cuts the end; `log/retention.rs` moves the start; `log/flush.rs` makes
//! durable; `log/clean.rs` compacts; `log/producers.rs` keeps snapshots of the producers' state, `log/aborted.rs` what they aborted;
//! `log/delete.rs` ends it.
//!
//! Invariants: segments are contiguous in base offset order and the last one is active, all others are sealed;
//! `log_start <= log_end`, `flushed_end <= log_end`; leader epochs never decrease.

mod aborted;
mod append;
mod clean;
mod delete;
mod flush;
mod open;
mod producers;
mod read;
mod retention;
mod truncate;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_env::Disk;
use broker_protocol::ids::{LeaderEpoch, Offset, TopicPartition};

pub use append::Appended;
pub use clean::{CleanDone, CleanJob, Cleanable};
pub use flush::{FlushDone, FlushJob};
pub use open::LogOptions;
pub use read::{LogRead, TimestampHit};
pub use retention::RemovalJob;

use crate::checkpoint::OffsetCheckpoint;
use crate::config::LogConfig;
use crate::epochs::EpochHistory;
use crate::error::LogError;
use crate::health::DirectoryHealth;
use crate::segment::Segment;
use crate::tail::TailCache;
use crate::txn_index::Doomed;
use aborted::AbortedKnown;
use flush::{EpochFile, Versions};
use producers::Snapshots;

/// A partition's log. Not shared: wrap it in a lock, and hold that lock over nothing that waits.
pub struct Log {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    partition: TopicPartition,
    config: LogConfig,
    health: DirectoryHealth,
    recovery_points: OffsetCheckpoint,
    segments: BTreeMap<Offset, Segment>,
    log_start: Offset,
    log_end: Offset,
    /// Everything below is durable: the recovery point.
    flushed_end: Offset,
    /// Everything below was compacted.
    cleaned_to: Offset,
    /// When the oldest append that is not flushed was made, in ms.
    unflushed_since_ms: Option<i64>,
    epochs: EpochHistory,
    epoch_file: Arc<EpochFile>,
    versions: Versions,
    producer_snapshots: Snapshots,
    aborted_known: AbortedKnown,
    /// Indexes of aborted transactions that go with the next flush.
    doomed: Vec<Doomed>,
    tail: TailCache,
    /// Set by deletion and shared with jobs, whose files may be gone then.
    deleted: Arc<AtomicBool>,
    /// Held by the one removal that may not be durable yet.
    removal_pending: Arc<()>,
    recovered: bool,
}

impl Log {
    pub fn partition(&self) -> &TopicPartition {
        &self.partition
    }

    /// `<data directory>/<topic>-<partition>`.
    pub fn directory(&self) -> &Path {
        &self.directory
    }

    pub fn config(&self) -> &LogConfig {
        &self.config
    }

    /// Takes effect from the next append or retention run on.
    pub fn set_config(&mut self, config: LogConfig) {
        self.tail.set_limit(config.tail_cache_bytes);
        self.config = config;
    }

    /// Its files are gone or going; nothing is said of them any more.
    pub fn is_deleted(&self) -> bool {
        self.deleted.load(Ordering::Relaxed)
    }

    /// First offset that may be read.
    pub fn log_start(&self) -> Offset {
        self.log_start
    }

    /// Offset of the next record.
    pub fn log_end(&self) -> Offset {
        self.log_end
    }

    /// Everything below is durable. Never above the log end; goes back with a truncation.
    pub fn flushed_end(&self) -> Offset {
        self.flushed_end
    }

    /// Everything below was compacted (`cleaner-offset-checkpoint`).
    pub fn cleaned_to(&self) -> Offset {
        self.cleaned_to
    }

    /// First offset of each leader epoch, ascending.
    pub fn epochs(&self) -> &EpochHistory {
        &self.epochs
    }

    /// Leader epoch of the last record, or of the last [`Log::assign_epoch`].
    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.epochs.latest()
    }

    /// A leader's epoch starts at the log end although it has no record yet (KIP-101). Not kept over a restart
    /// until a record of the epoch is appended.
    pub fn assign_epoch(&mut self, epoch: LeaderEpoch) {
        if self.epochs.latest().is_some_and(|latest| latest >= epoch) {
            return;
        }
        if self.epochs.assign(epoch, self.log_end) {
            self.versions.epochs_changed();
        }
    }

    /// The largest epoch not above `epoch` and its end offset, see [`EpochHistory::end_offset`].
    pub fn end_offset_of_epoch(&self, epoch: LeaderEpoch) -> Option<(LeaderEpoch, Offset)> {
        self.epochs.end_offset(epoch, self.log_end)
    }

    /// Bytes of all segments, indexes not counted.
    pub fn size_bytes(&self) -> u64 {
        self.segments
            .values()
            .map(|segment| u64::from(segment.size()))
            .sum()
    }

    /// Base offsets of the segments, ascending; the last one is active.
    pub fn segment_base_offsets(&self) -> Vec<Offset> {
        self.segments.keys().copied().collect()
    }

    /// Whether opening found damage and cut it off.
    pub fn was_recovered(&self) -> bool {
        self.recovered
    }

    /// Keeps at most `limit_bytes` of the tail cache now; it grows again with the next appends.
    pub fn shrink_tail_cache(&mut self, limit_bytes: usize) {
        self.tail.shrink(limit_bytes);
    }

    fn active(&self) -> &Segment {
        self.segments
            .last_key_value()
            .expect("a log always has an active segment")
            .1
    }

    fn active_mut(&mut self) -> &mut Segment {
        self.segments
            .last_entry()
            .expect("a log always has an active segment")
            .into_mut()
    }

    /// Refuses on a log that may not be changed any more.
    fn check_usable(&self) -> Result<(), LogError> {
        if self.deleted.load(Ordering::Relaxed) {
            return Err(LogError::Deleted);
        }
        match self.health.failure() {
            Some(error) if !broker_probe::mutant!(L_07) => Err(LogError::Offline(error.clone())),
            _ => Ok(()),
        }
    }

    /// Takes the directory offline if the error is one of the disk; the fence of L-07.
    fn watch<T>(&self, result: Result<T, LogError>) -> Result<T, LogError> {
        if let Err(LogError::Disk(error)) = &result {
            self.health.fail(error);
        }
        result
    }

    fn check_invariants(&self) {
        let (start, end, flushed) = (self.log_start, self.log_end, self.flushed_end);
        assert!(
            start <= end,
            "{}: log start {start} is above log end {end}",
            self.partition
        );
        assert!(
            flushed <= end,
            "{}: flushed end {flushed} is above log end {end}",
            self.partition
        );
        let base = self.active().base_offset;
        assert!(
            base <= end,
            "{}: active segment {base} starts above log end {end}",
            self.partition
        );
    }
}

impl std::fmt::Debug for Log {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Log")
            .field("partition", &self.partition)
            .field("log_start", &self.log_start)
            .field("log_end", &self.log_end)
            .field("flushed_end", &self.flushed_end)
            .field("segments", &self.segments.len())
            .finish()
    }
}
