//! Compaction: sealed segments are written anew without what nobody needs any more.
//!
//! One segment at a time takes the place of the old one by a rename, so that any crash leaves the old or the new.
//! The last batch of a segment stays, if only its frame, so segments still join. The index of aborted transactions
//! stays as it is: it may name some whose marker is gone, which a reader is not told.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_env::{BoxFuture, Disk, OpenMode};
use broker_probe::{mutant, probe};
use broker_protocol::ids::Offset;
use broker_protocol::record::BatchView;

use super::Log;
use crate::batch::BatchInfo;
use crate::cleaner::{Cleaner, Cleaning, Kept, OffsetMap, TransactionsRead};
use crate::error::{Corruption, Damage, LogError};
use crate::health::DirectoryHealth;
use crate::scan::{BatchScanner, SEQUENTIAL_BYTES, ScanError};
use crate::segment::Segment;
use crate::txn_index::AbortedTxn;

/// How much of a log could be cleaned, in bytes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Cleanable {
    pub clean_bytes: u64,
    pub dirty_bytes: u64,
}

/// Writes cleaned segments; run it without the log's lock. While it lives no segment is removed.
#[must_use = "nothing is cleaned until the job was run and finished"]
pub struct CleanJob {
    disk: Arc<dyn Disk>,
    directory: PathBuf,
    health: DirectoryHealth,
    deleted: Arc<AtomicBool>,
    sources: Vec<Source>,
    aborted: Vec<AbortedTxn>,
    cleaning: Cleaning,
    first_dirty: Offset,
    index_interval_bytes: u32,
    generation: u64,
    guard: Arc<()>,
}

/// A segment to be cleaned.
struct Source {
    base_offset: Offset,
    last_offset: Offset,
    size: u32,
    path: PathBuf,
    file: Arc<dyn broker_env::File>,
}

/// Cleaned segments, durable under other names; give them to [`Log::finish_cleaning`].
#[must_use = "the log does not know of the cleaned segments"]
pub struct CleanDone {
    cleaned: Vec<(Segment, u32)>,
    end: Offset,
    generation: u64,
    _guard: Arc<()>,
}

impl Log {
    /// What [`Log::start_cleaning`] would look at.
    pub fn cleanable(&self, bound: Offset) -> Cleanable {
        let mut found = Cleanable::default();
        let end = self.cleaning_end(bound);
        for segment in self.segments.values().filter(|it| it.next_offset() <= end) {
            let bytes = u64::from(segment.size());
            if segment.next_offset() <= self.cleaned_to {
                found.clean_bytes += bytes;
            } else {
                found.dirty_bytes += bytes;
            }
        }
        found
    }

    /// The segments that may be cleaned end here: the active one is not among them, nor what may still change
    /// (P-05).
    fn cleaning_end(&self, bound: Offset) -> Offset {
        let active = self.active_base_offset();
        if mutant!(P_05) {
            return active;
        }
        bound.min(active)
    }

    /// `None` if there is nothing to clean, or segments are being removed.
    pub fn start_cleaning(&mut self, cleaning: Cleaning) -> Result<Option<CleanJob>, LogError> {
        self.check_usable()?;
        if Arc::strong_count(&self.removal_pending) > 1 && !mutant!(P_10) {
            return Ok(None);
        }
        let end = self.cleaning_end(cleaning.bound);
        let sealed = self
            .segments
            .values()
            .filter(|it| !it.is_empty() && it.next_offset() <= end);
        let sources: Vec<Source> = sealed.map(Source::of).collect();
        let first_dirty = self.cleaned_to.max(self.log_start);
        let (Some(first), Some(last)) = (sources.first(), sources.last()) else {
            return Ok(None);
        };
        if last.last_offset < first_dirty {
            return Ok(None);
        }
        let aborted = self.aborted_transactions(first.base_offset, last.last_offset + 1)?;
        Ok(Some(CleanJob {
            disk: self.disk.clone(),
            directory: self.directory.clone(),
            health: self.health.clone(),
            deleted: self.deleted.clone(),
            sources,
            aborted,
            cleaning,
            first_dirty,
            index_interval_bytes: self.config.index_interval_bytes,
            generation: self.versions.generation(),
            guard: self.removal_pending.clone(),
        }))
    }

    /// Takes the cleaned segments in; durable with the next flush. Everything below the offset given back is
    /// clean. `None`: the log was truncated meanwhile, and nothing changed.
    pub fn finish_cleaning(&mut self, done: CleanDone) -> Result<Option<Offset>, LogError> {
        self.check_usable()?;
        let CleanDone {
            cleaned,
            end,
            generation,
            _guard,
        } = done;
        if generation != self.versions.generation() {
            probe!("storage: cleaning overtaken by a truncation");
            for (segment, _) in cleaned {
                let discarded = segment.discard(self.disk.as_ref()).map_err(LogError::from);
                self.watch(discarded)?;
            }
            return Ok(None);
        }
        for (segment, size_before) in cleaned {
            let base = segment.base_offset;
            let is_same = self
                .segments
                .get(&base)
                .is_some_and(|old| old.size() == size_before);
            assert!(
                is_same || mutant!(P_10),
                "{}: segment {base} of {size_before} bytes is not what was cleaned",
                self.partition
            );
            let taken = self.take_in(segment).map_err(LogError::from);
            self.watch(taken)?;
        }
        self.cleaned_to = end;
        self.tail.forget_below(end);
        self.check_invariants();
        Ok(Some(end))
    }

    fn take_in(&mut self, mut segment: Segment) -> Result<(), broker_env::DiskError> {
        segment.replace(
            self.disk.as_ref(),
            self.segments.remove(&segment.base_offset),
        )?;
        self.segments.insert(segment.base_offset, segment);
        self.versions.names_changed();
        Ok(())
    }
}

impl Source {
    fn of(segment: &Segment) -> Source {
        Source {
            base_offset: segment.base_offset,
            last_offset: segment.next_offset() - 1,
            size: segment.size(),
            path: segment.path().to_owned(),
            file: segment.log_file(),
        }
    }

    /// Hands every batch to `visit`, until it says that it is enough.
    fn read(
        &self,
        mut visit: impl FnMut(&BatchInfo, &BatchView<'_>) -> Result<bool, LogError>,
    ) -> Result<(), LogError> {
        let end = u64::from(self.size);
        let mut scanner = BatchScanner::new(self.file.clone(), 0, end, SEQUENTIAL_BYTES);
        loop {
            let position = scanner.position();
            let next = match scanner.next_batch() {
                Ok(next) => next,
                Err(ScanError::Disk(error)) => return Err(error.into()),
                Err(ScanError::Damaged(damage)) => return Err(self.corrupt(position, damage)),
            };
            let Some((info, bytes)) = next else {
                return Ok(());
            };
            let view = BatchView::new(bytes);
            let view = view.map_err(|error| self.corrupt(position, error.into()))?;
            if !visit(&info, &view)? {
                return Ok(());
            }
        }
    }

    fn corrupt(&self, position: u64, damage: Damage) -> LogError {
        LogError::Corrupt(Corruption {
            path: self.path.clone(),
            position,
            damage,
        })
    }
}

impl CleanJob {
    /// Reads the log twice, writes and syncs. On an error of the disk the log directory is offline.
    pub fn run(self) -> BoxFuture<'static, Result<CleanDone, LogError>> {
        Box::pin(async move {
            let (health, deleted) = (self.health.clone(), self.deleted.clone());
            let result = self.clean().await;
            if let Err(LogError::Disk(error)) = &result
                && !deleted.load(Ordering::Relaxed)
            {
                health.fail(error);
            }
            result
        })
    }

    async fn clean(self) -> Result<CleanDone, LogError> {
        let map = self.read_keys()?;
        let end = map.end();
        let transactions = TransactionsRead::new(self.aborted.clone());
        let mut cleaner = Cleaner::new(map, transactions, self.cleaning.clone());
        let mut cleaned = Vec::new();
        for source in self
            .sources
            .iter()
            .take_while(|source| source.base_offset < end)
        {
            if let Some(mut segment) = self.clean_segment(source, &mut cleaner)? {
                segment.log_file().sync_data().await?;
                for path in segment.index_paths() {
                    self.disk.open(&path, OpenMode::Write)?.sync_data().await?;
                }
                segment.all_synced();
                cleaned.push((segment, source.size));
            }
        }
        Ok(CleanDone {
            cleaned,
            end,
            generation: self.generation,
            _guard: self.guard,
        })
    }

    fn read_keys(&self) -> Result<OffsetMap, LogError> {
        let first_dirty = self.first_dirty;
        let mut map = OffsetMap::new(first_dirty, self.cleaning.map_bytes);
        let mut transactions = TransactionsRead::new(self.aborted.clone());
        let dirty = self.sources.iter();
        for source in dirty.filter(|source| source.last_offset >= first_dirty) {
            source.read(|info, batch| {
                map.read(info, batch, &mut transactions)
                    .map_err(|damage| source.corrupt(0, damage))?;
                Ok(!map.is_full())
            })?;
            if map.is_full() {
                probe!("storage: no room for more keys");
                break;
            }
        }
        Ok(map)
    }

    /// `None` if nothing of it goes.
    fn clean_segment(
        &self,
        source: &Source,
        cleaner: &mut Cleaner,
    ) -> Result<Option<Segment>, LogError> {
        let (base, now_ms) = (source.base_offset, self.cleaning.now_ms);
        let mut target: Option<Segment> = None;
        let mut kept: Vec<(BatchInfo, bytes::Bytes)> = Vec::new();
        let mut changed = false;
        source.read(|info, batch| {
            let must_stay = info.last_offset == source.last_offset;
            let outcome = cleaner
                .clean(info, batch, must_stay)
                .map_err(|damage| source.corrupt(0, damage))?;
            changed |= outcome != Kept::Whole;
            let bytes = match outcome {
                Kept::Whole => bytes::Bytes::copy_from_slice(batch.as_bytes()),
                Kept::Changed(bytes) => bytes,
                Kept::Nothing => return Ok(true),
            };
            let view = BatchView::new(&bytes).map_err(|error| source.corrupt(0, error.into()))?;
            kept.push((BatchInfo::of(&view), bytes.clone()));
            if kept.iter().map(|(_, bytes)| bytes.len()).sum::<usize>() >= SEQUENTIAL_BYTES {
                self.write(&mut target, base, now_ms, &mut kept)?;
            }
            Ok(true)
        })?;
        self.write(&mut target, base, now_ms, &mut kept)?;
        let mut segment = target.expect("the last batch stays");
        if !changed {
            segment.discard(self.disk.as_ref())?;
            return Ok(None);
        }
        segment.seal()?;
        Ok(Some(segment))
    }

    fn write(
        &self,
        target: &mut Option<Segment>,
        base: Offset,
        now_ms: i64,
        kept: &mut Vec<(BatchInfo, bytes::Bytes)>,
    ) -> Result<(), LogError> {
        if target.is_none() {
            let directory: &Path = &self.directory;
            let created = Segment::create_cleaned(&self.disk, directory, base, now_ms)?;
            *target = Some(created);
        }
        let segment = target.as_mut().expect("just created");
        let (infos, parts): (Vec<BatchInfo>, Vec<bytes::Bytes>) = kept.drain(..).unzip();
        let bytes = parts.concat();
        if !bytes.is_empty() {
            segment.append(&bytes, &infos, self.index_interval_bytes)?;
        }
        Ok(())
    }
}
