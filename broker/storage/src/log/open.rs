//! Loading a log: what may be trusted is trusted, the rest is scanned and cut at the first damage.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use broker_env::{Disk, DiskError};
use broker_probe::probe;
use broker_protocol::ids::{Offset, TopicPartition};

use super::Log;
use super::aborted::AbortedKnown;
use super::flush::{EpochFile, Versions};
use super::producers::Snapshots;
use crate::checkpoint::{OffsetCheckpoint, decode_epochs, read_file};
use crate::config::LogConfig;
use crate::epochs::EpochHistory;
use crate::error::{Damage, LogError};
use crate::health::DirectoryHealth;
use crate::names;
use crate::segment::{ScanFrom, Scanned, Segment};
use crate::tail::TailCache;
use crate::txn_index::Doomed;

/// What [`Log::open`] needs.
pub struct LogOptions {
    pub disk: Arc<dyn Disk>,
    /// The partition's own directory; created if absent.
    pub directory: PathBuf,
    pub partition: TopicPartition,
    pub config: LogConfig,
    pub health: DirectoryHealth,
    /// The log directory's recovery points. The log reads its own from it and keeps it up to date.
    pub recovery_points: OffsetCheckpoint,
    /// Log start from the checkpoint, or where a new log begins.
    pub log_start: Offset,
    /// Everything below was compacted, from the checkpoint.
    pub cleaned_to: Offset,
    /// Stopped under a clean-shutdown marker: nothing is scanned unless it looks wrong.
    pub clean: bool,
    /// Wall time in ms.
    pub now_ms: i64,
}

impl Log {
    /// Opens the log in a directory, or begins one. What recovery changed is not durable yet: flush before the
    /// first append if [`Log::truncation_pending`].
    pub fn open(options: LogOptions) -> Result<Log, LogError> {
        let health = options.health.clone();
        let opened = Loader::new(options)
            .and_then(Loader::load)
            .and_then(Loader::finish);
        if let Err(LogError::Disk(error)) = &opened {
            health.fail(error);
        }
        opened
    }
}

struct Loader {
    options: LogOptions,
    recovery_point: Offset,
    /// Base offsets of the files found, ascending.
    bases: Vec<Offset>,
    /// Segments from here on are scanned.
    scan_from: Offset,
    epochs: EpochHistory,
    epochs_on_disk: Option<EpochHistory>,
    segments: BTreeMap<Offset, Segment>,
    /// Offsets of the producer snapshots found.
    snapshots: Vec<Offset>,
    /// Indexes of aborted transactions without their segment.
    orphans: Vec<PathBuf>,
    /// The first segment that was scanned and holds markers.
    untold_from: Offset,
    /// Damage was cut off or segments were removed.
    cut: bool,
}

impl Loader {
    fn new(options: LogOptions) -> Result<Loader, LogError> {
        let disk = options.disk.as_ref();
        disk.create_directory(&options.directory)?;
        let Found {
            bases,
            snapshots,
            orphans,
        } = clean_up(disk, &options.directory)?;
        let recovery_point = options.recovery_points.get(&options.partition).unwrap_or(0);
        let epochs_on_disk = match read_file(disk, &options.directory.join(names::LEADER_EPOCHS))? {
            Some(bytes) => decode_epochs(&bytes),
            None => None,
        };
        let epochs = EpochHistory::default();
        let (segments, cut) = (BTreeMap::new(), false);
        Ok(Loader {
            options,
            recovery_point,
            bases,
            scan_from: 0,
            epochs,
            epochs_on_disk,
            segments,
            snapshots,
            orphans,
            untold_from: Offset::MAX,
            cut,
        })
    }

    fn load(mut self) -> Result<Loader, LogError> {
        self.scan_from = self.first_to_scan();
        let result = self.load_segments();
        match result {
            Err(LogError::LostBelowRecoveryPoint { corruption, .. })
                if matches!(corruption.damage, Damage::EpochOrder { .. })
                    && self.epochs_on_disk.is_some() =>
            {
                // The log is the truth about its epochs, the file only a summary.
                probe!("storage: leader epoch checkpoint contradicts the log");
                self.epochs_on_disk = None;
                self.scan_from = 0;
                self.load_segments()?;
            }
            result => result?,
        }
        Ok(self)
    }

    /// The segment with the last offset below the recovery point: it may be durable only up to there, and its
    /// indexes may not be. Without a leader epoch checkpoint all batches must tell.
    fn first_to_scan(&mut self) -> Offset {
        if self.epochs_on_disk.is_none() && !self.bases.is_empty() {
            probe!("storage: leader epoch checkpoint missing or damaged");
            return 0;
        }
        if self.options.clean {
            return Offset::MAX;
        }
        let last_durable = self.recovery_point - 1;
        let floor = self.bases.iter().rev().find(|base| **base <= last_durable);
        floor.copied().unwrap_or(0)
    }

    fn load_segments(&mut self) -> Result<(), LogError> {
        self.segments.clear();
        self.untold_from = Offset::MAX;
        self.epochs = self.epochs_on_disk.clone().unwrap_or_default();
        self.epochs.truncate_end(self.scan_from);
        for at in 0..self.bases.len() {
            let base = self.bases[at];
            if self.ends_before(base) {
                return self.remove_files_from(at);
            }
            let Scanned {
                mut segment,
                damage,
                has_markers,
            } = self.load_segment(base)?;
            if has_markers {
                self.untold_from = self.untold_from.min(base);
            }
            let Some(damage) = damage else {
                segment.unload_indexes();
                self.segments.insert(base, segment);
                continue;
            };
            self.judge(&segment, damage)?;
            self.cut |= segment.cut_tail()?;
            self.segments.insert(base, segment);
            return self.remove_files_from(at + 1);
        }
        Ok(())
    }

    /// Whether the log so far does not reach `base`: the segments from there on are left-overs of a truncation
    /// that was not durable, or behind a tail that was lost.
    fn ends_before(&self, base: Offset) -> bool {
        let Some((_, segment)) = self.segments.last_key_value() else {
            return false;
        };
        let (end, next_base) = (segment.next_offset(), base);
        // Compaction leaves such holes in segments that were durable.
        let compacted = self.options.config.cleanup_compact && next_base <= self.recovery_point;
        if end == next_base || self.options.clean || compacted {
            return false;
        }
        probe!("storage: segments do not join");
        tracing::warn!(partition = %self.options.partition, damage = %Damage::Gap { end, next_base }, "log cut");
        true
    }

    fn load_segment(&mut self, base: Offset) -> Result<Scanned, LogError> {
        let LogOptions {
            disk,
            directory,
            now_ms,
            ..
        } = &self.options;
        if base < self.scan_from {
            if let Some(segment) = Segment::open_durable(disk, directory, base, *now_ms)? {
                return Ok(Scanned {
                    segment,
                    damage: None,
                    has_markers: false,
                });
            }
            probe!("storage: index rebuilt");
        }
        let mut known = self.epochs.clone();
        let scanned = base >= self.scan_from;
        if !scanned {
            known.truncate_end(base);
        }
        let from = ScanFrom {
            expected: base,
            epochs: &mut known,
            index_interval_bytes: self.options.config.index_interval_bytes,
        };
        let mut result = Segment::scan(disk, directory, base, *now_ms, from)?;
        if scanned {
            self.epochs = known;
        }
        // All but the last segment get no more appends; the last one completes its time index when rolled.
        if self.bases.last() != Some(&base) {
            result.segment.seal()?;
        }
        Ok(result)
    }

    /// A torn tail is cut; damage in what was durable is not.
    fn judge(&self, segment: &Segment, damage: Damage) -> Result<(), LogError> {
        let (offset, recovery_point) = (segment.next_offset(), self.recovery_point);
        let corruption = segment.corruption(u64::from(segment.size()), damage);
        if offset < recovery_point {
            probe!("storage: damage below the recovery point");
            return Err(LogError::LostBelowRecoveryPoint {
                offset,
                recovery_point,
                corruption,
            });
        }
        probe!("storage: torn tail cut");
        tracing::warn!(partition = %self.options.partition, offset, %corruption, "log cut");
        Ok(())
    }

    fn remove_files_from(&mut self, at: usize) -> Result<(), LogError> {
        let doomed = self.bases.split_off(at.min(self.bases.len()));
        for base in doomed.into_iter().rev() {
            self.cut = true;
            let LogOptions {
                disk, directory, ..
            } = &self.options;
            remove_segment_files(disk.as_ref(), directory, base)?;
            let aborted = directory.join(names::segment_file(base, names::TXN_INDEX));
            if disk.exists(&aborted) {
                self.orphans.push(aborted);
            }
        }
        Ok(())
    }

    fn finish(mut self) -> Result<Log, LogError> {
        let log_start = self.options.log_start;
        if self
            .segments
            .values()
            .next_back()
            .is_some_and(|last| last.next_offset() < log_start)
        {
            probe!("storage: log ends below its start");
            self.segments.clear();
            self.remove_files_from(0)?;
        }
        let mut versions = Versions::default();
        if !self.options.clean {
            // The process before may have died between creating a segment and syncing its name.
            versions.names_changed();
        }
        if self.segments.is_empty() {
            let LogOptions {
                disk,
                directory,
                now_ms,
                ..
            } = &self.options;
            let segment = Segment::create(disk, directory, log_start, *now_ms)?;
            self.segments.insert(log_start, segment);
            versions.names_changed();
        }
        let (first, last) = (
            self.segments.first_key_value(),
            self.segments.last_key_value(),
        );
        let log_start = log_start.max(*first.expect("one was created if there was none").0);
        let log_end = last
            .expect("one was created if there was none")
            .1
            .next_offset();
        self.epochs.truncate_end(log_end);
        self.epochs.truncate_start(log_start);
        if self.epochs_on_disk.as_ref() != Some(&self.epochs) {
            versions.epochs_changed();
        }
        // The recovery point on disk may be above the log end: of a truncation that a crash cut short. It must
        // be lowered before appends reach it again and are taken for durable.
        if self.cut || self.recovery_point > log_end || self.remove_later_snapshots(log_end)? {
            versions.truncated();
        }
        Ok(self.into_log(log_start, log_end, versions))
    }

    /// Snapshots of what the log has no more. They must be gone for good before the log grows over their
    /// offsets again: it would be with other batches.
    fn remove_later_snapshots(&mut self, log_end: Offset) -> Result<bool, LogError> {
        let (kept, later) = self
            .snapshots
            .iter()
            .partition(|offset| **offset <= log_end);
        let later: Vec<Offset> = later;
        self.snapshots = kept;
        for offset in &later {
            probe!("storage: producer snapshot above the log end removed");
            let name = names::segment_file(*offset, names::PRODUCER_SNAPSHOT);
            let LogOptions {
                disk, directory, ..
            } = &self.options;
            disk.remove(&directory.join(name))?;
        }
        Ok(!later.is_empty())
    }

    fn into_log(self, log_start: Offset, log_end: Offset, versions: Versions) -> Log {
        let LogOptions {
            disk,
            directory,
            partition,
            config,
            health,
            recovery_points,
            cleaned_to,
            clean,
            now_ms,
            ..
        } = self.options;
        let flushed_end = if clean && !self.cut {
            log_end
        } else {
            self.recovery_point.clamp(0, log_end)
        };
        let mut log = Log {
            epoch_file: Arc::new(EpochFile::new(
                disk.clone(),
                directory.join(names::LEADER_EPOCHS),
            )),
            disk,
            directory,
            partition,
            tail: TailCache::new(config.tail_cache_bytes),
            config,
            health,
            recovery_points,
            segments: self.segments,
            log_start,
            log_end,
            flushed_end: 0,
            cleaned_to: cleaned_to.clamp(0, log_end),
            unflushed_since_ms: (flushed_end < log_end).then_some(now_ms),
            epochs: self.epochs,
            versions,
            producer_snapshots: Snapshots::new(self.snapshots),
            aborted_known: AbortedKnown::to(self.untold_from),
            doomed: self.orphans.into_iter().map(Doomed::new).collect(),
            deleted: Arc::default(),
            removal_pending: Arc::default(),
            recovered: self.cut,
        };
        log.set_flushed_end(flushed_end);
        log.check_invariants();
        log
    }
}

/// What a log's directory holds.
struct Found {
    /// Base offsets of the segments.
    bases: Vec<Offset>,
    /// Offsets of the producer snapshots.
    snapshots: Vec<Offset>,
    /// Indexes of aborted transactions without their segment: a power loss may still bring that back.
    orphans: Vec<PathBuf>,
}

/// Removes what a crash left half done.
fn clean_up(disk: &dyn Disk, directory: &Path) -> Result<Found, DiskError> {
    let listed = disk.list(directory)?;
    let bases: Vec<Offset> = listed
        .iter()
        .filter_map(|name| names::base_offset_of(name, names::LOG))
        .collect();
    for name in &listed {
        let index = names::base_offset_of(name, names::INDEX)
            .or(names::base_offset_of(name, names::TIME_INDEX));
        let orphan = index.is_some_and(|base| bases.binary_search(&base).is_err());
        let left_over = [names::DELETED, names::CLEANED, ".tmp"];
        if orphan || left_over.iter().any(|suffix| name.ends_with(suffix)) {
            disk.remove(&directory.join(name))?;
        }
    }
    let snapshots = listed
        .iter()
        .filter_map(|name| names::base_offset_of(name, names::PRODUCER_SNAPSHOT))
        .collect();
    let orphans = listed
        .iter()
        .filter(|name| {
            let base = names::base_offset_of(name, names::TXN_INDEX);
            base.is_some_and(|base| bases.binary_search(&base).is_err())
        })
        .map(|name| directory.join(name))
        .collect();
    Ok(Found {
        bases,
        snapshots,
        orphans,
    })
}

fn remove_segment_files(disk: &dyn Disk, directory: &Path, base: Offset) -> Result<(), DiskError> {
    for extension in [names::LOG, names::INDEX, names::TIME_INDEX] {
        let path = directory.join(names::segment_file(base, extension));
        if disk.exists(&path) {
            disk.remove(&path)?;
        }
    }
    Ok(())
}
