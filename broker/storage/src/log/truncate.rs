//! Cutting the end of a log.

use std::ops::Bound;

use broker_probe::{mutant, probe};
use broker_protocol::ids::Offset;

use super::{FlushJob, Log};
use crate::error::LogError;
use crate::segment::Segment;
use crate::txn_index::Doomed;

impl Log {
    /// Removes all records at and above `offset`; if that is inside of a batch, the whole batch. `None` if
    /// there is nothing to remove. Otherwise **the job must be run and finished before the next append**.
    pub fn truncate_to(&mut self, offset: Offset) -> Result<Option<FlushJob>, LogError> {
        self.check_usable()?;
        if offset >= self.log_end {
            return Ok(None);
        }
        if offset < self.log_start {
            return self.truncate_fully_and_start_at(offset).map(Some);
        }
        probe!("storage: truncated");
        self.remove_snapshots((Bound::Excluded(offset), Bound::Unbounded))?;
        let result = self.truncate_segments(offset);
        self.watch(result)?;
        // It may end earlier than asked, on a batch boundary.
        self.remove_snapshots((Bound::Excluded(self.log_end), Bound::Unbounded))?;
        Ok(Some(self.truncated()))
    }

    /// Removes everything: the log then starts and ends at `offset`. The same rule as for
    /// [`Log::truncate_to`].
    pub fn truncate_fully_and_start_at(&mut self, offset: Offset) -> Result<FlushJob, LogError> {
        self.check_usable()?;
        assert!(
            offset >= 0,
            "{}: a log cannot start at {offset}",
            self.partition
        );
        probe!("storage: truncated fully");
        self.remove_snapshots((Bound::Unbounded, Bound::Unbounded))?;
        let result = self.replace_segments(offset);
        self.watch(result)?;
        Ok(self.truncated())
    }

    /// Whether a truncation waits for its job to be finished, so that appends are refused.
    pub fn truncation_pending(&self) -> bool {
        self.versions.truncation_pending()
    }

    fn truncate_segments(&mut self, offset: Offset) -> Result<(), LogError> {
        // Fixed before the map changes: a view of the live map would pick other segments (L-14).
        let floor = *self
            .segments
            .range(..=offset)
            .next_back()
            .expect("offset is not below the log start")
            .0;
        let doomed: Vec<Offset> = self
            .segments
            .range(floor + 1..)
            .map(|(base, _)| *base)
            .collect();
        for base in doomed.into_iter().rev() {
            let segment = self.segments.remove(&base).expect("just listed");
            self.remove_files(&segment)?;
        }
        self.active_mut().truncate_to(offset)?;
        self.log_end = offset.min(self.active().next_offset()).max(self.log_start);
        Ok(())
    }

    fn replace_segments(&mut self, offset: Offset) -> Result<(), LogError> {
        while let Some((_, segment)) = self.segments.pop_last() {
            self.remove_files(&segment)?;
        }
        let now_ms = self.unflushed_since_ms.unwrap_or(0);
        let segment = Segment::create(&self.disk, &self.directory, offset, now_ms)?;
        self.segments.insert(offset, segment);
        if mutant!(L_14) {
            // As if the list of what is to go were made only now.
            let doomed = self.active().paths();
            doomed.iter().try_for_each(|path| self.disk.remove(path))?;
        }
        self.log_start = offset;
        self.log_end = offset;
        // Epochs below the new start are those of records that this replica does not have.
        if self.epochs.clear() {
            self.versions.epochs_changed();
        }
        Ok(())
    }

    fn remove_files(&mut self, segment: &Segment) -> Result<(), LogError> {
        for path in segment.paths() {
            self.disk.remove(&path)?;
        }
        self.doomed.extend(segment.aborted_file().map(Doomed::new));
        Ok(())
    }

    fn truncated(&mut self) -> FlushJob {
        if self.epochs.truncate_end(self.log_end) {
            self.versions.epochs_changed();
        }
        if !mutant!(P_08) {
            self.cleaned_to = self.cleaned_to.min(self.log_end);
        }
        self.tail.truncate(self.log_end);
        self.versions.truncated();
        self.set_flushed_end(self.flushed_end.min(self.log_end));
        self.check_invariants();
        self.start_flush().expect("a truncation is pending")
    }
}
