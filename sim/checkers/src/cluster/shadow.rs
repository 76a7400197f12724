//! One log as it must be, from what its node said it did.

use std::collections::VecDeque;

use super::event::{BatchSummary, BatchTransaction};

/// The worst that happened to a log since it was last loaded, ascending in what it may have done.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum Stop {
    /// At most the process ended: all that was written is there. A truncation that was not flushed may not have
    /// reached the file.
    #[default]
    Intact,
    /// The disk gave errors: an append that failed may be there or not, what was not flushed may be gone.
    Failing,
    /// What was not flushed may be gone, a truncation that was not flushed may be undone.
    PowerLost,
    /// Nothing can be said.
    Damaged,
}

/// What may have been lost, for judging durability.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Loss {
    /// Event at which data was last lost.
    pub since: Option<u64>,
    /// The newest leader epoch of the partition at that time.
    pub in_epoch: Option<i32>,
    /// Power went and the log was not loaded since.
    pub suspect: bool,
    pub damaged: bool,
}

impl Loss {
    /// Whether data that was there at `event` may be gone.
    pub fn after(&self, event: u64) -> bool {
        self.suspect || self.damaged || self.since.is_some_and(|since| since >= event)
    }

    /// Whether the replica may lack what it had in `epoch` or before.
    pub fn in_or_after(&self, epoch: i32) -> bool {
        self.suspect || self.damaged || self.in_epoch.is_some_and(|lost| lost >= epoch)
    }
}

/// A log: batches ascending, bounds, epochs.
#[derive(Clone, Debug, Default)]
pub struct ShadowLog {
    batches: VecDeque<BatchSummary>,
    pub start: i64,
    pub end: i64,
    /// Everything below survives a power loss.
    pub flushed: i64,
    /// First offset of each epoch; the last may have no record.
    pub epochs: Vec<(i32, i64)>,
    /// Cut off by a truncation that is not flushed: the next start may bring it back.
    undone: Vec<BatchSummary>,
    /// Emptied to begin anew elsewhere, which is not flushed: a power loss may undo any part of it.
    replacing: bool,
    pub stop: Stop,
    pub loss: Loss,
}

/// How a loaded log differs from its shadow.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct LoadFindings {
    /// A batch that was never appended here, or is another one than was.
    pub foreign: Option<(BatchSummary, Option<BatchSummary>)>,
    /// A batch that is missing although later ones are there.
    pub hole: Option<BatchSummary>,
    /// Below this everything had to be there.
    pub required_end: Option<i64>,
    /// The log starts later than it did.
    pub front_lost: bool,
    /// Something that was appended and not cut off is gone.
    pub lost: bool,
}

impl ShadowLog {
    pub fn last(&self) -> Option<&BatchSummary> {
        self.batches.back()
    }

    fn index_of(&self, offset: i64) -> usize {
        self.batches
            .partition_point(|batch| batch.last_offset < offset)
    }

    /// The batch that holds `offset`.
    pub fn at(&self, offset: i64) -> Option<&BatchSummary> {
        self.batches
            .get(self.index_of(offset))
            .filter(|batch| batch.base_offset <= offset)
    }

    /// Batches that end above `from` and begin below `to`.
    pub fn range(&self, from: i64, to: i64) -> impl Iterator<Item = &BatchSummary> {
        self.batches
            .range(self.index_of(from)..)
            .take_while(move |batch| batch.base_offset < to)
    }

    /// A producer's batches here, the last one first.
    pub fn of_producer(&self, producer_id: i64) -> impl Iterator<Item = &BatchSummary> {
        let of_it =
            move |batch: &&BatchSummary| batch.producer.is_some_and(|it| it.id == producer_id);
        self.batches.iter().rev().filter(of_it)
    }

    /// The last batch here of a producer's transactions.
    pub fn last_of_transaction(&self, producer_id: i64) -> Option<&BatchSummary> {
        let of_it = |batch: &&BatchSummary| {
            let transaction = batch.transaction;
            transaction.is_some_and(|it| it.producer_id == producer_id)
        };
        self.batches.iter().rev().find(of_it)
    }

    /// The first marker of a producer behind `offset`, with its offset.
    pub fn marker_after(&self, offset: i64, producer_id: i64) -> Option<(i64, BatchTransaction)> {
        self.batches
            .range(self.index_of(offset)..)
            .filter_map(|batch| Some((batch.last_offset, batch.transaction?)))
            .find(|(_, it)| it.producer_id == producer_id && it.committed.is_some())
    }

    pub fn append(&mut self, batch: BatchSummary) {
        self.assign_epoch(batch.leader_epoch, batch.base_offset);
        self.end = batch.end();
        self.batches.push_back(batch);
    }

    /// Later entries that conflict can only be epochs without records.
    pub fn assign_epoch(&mut self, epoch: i32, start: i64) {
        if self
            .epochs
            .last()
            .is_some_and(|last| last.0 == epoch && last.1 <= start)
        {
            return;
        }
        while self
            .epochs
            .last()
            .is_some_and(|last| last.0 >= epoch || last.1 >= start)
        {
            self.epochs.pop();
        }
        self.epochs.push((epoch, start));
    }

    /// Forgets epochs without records.
    pub fn trim_epochs(&mut self) {
        while self.epochs.last().is_some_and(|last| last.1 >= self.end) {
            self.epochs.pop();
        }
    }

    /// Cuts to `log_end`; outside of the log it means: emptied, begins anew there. True then.
    pub fn truncate(&mut self, log_end: i64) -> bool {
        let anew = log_end < self.start || log_end > self.end;
        while self
            .batches
            .back()
            .is_some_and(|batch| anew || batch.last_offset >= log_end)
        {
            self.undone.extend(self.batches.pop_back());
        }
        self.end = log_end;
        if anew {
            self.start = log_end;
            self.epochs.clear();
        }
        self.trim_epochs();
        self.flushed = self.flushed.min(log_end);
        anew
    }

    /// Everything is removed; the log begins anew at `start`.
    pub fn start_over(&mut self, start: i64) {
        self.undone.extend(self.batches.drain(..));
        (self.start, self.end, self.flushed) = (start, start, start);
        self.epochs.clear();
        self.replacing = true;
    }

    /// Everything up to `end`, and every truncation, is durable.
    pub fn flush(&mut self, end: i64) {
        self.flushed = self.flushed.max(end.min(self.end));
        self.undone.clear();
        self.replacing = false;
    }

    pub fn advance_start(&mut self, start: i64) {
        self.start = start;
        self.end = self.end.max(start);
        self.flushed = self.flushed.max(start);
        while self
            .batches
            .front()
            .is_some_and(|batch| batch.last_offset < start)
        {
            self.batches.pop_front();
        }
        let below = self.epochs.partition_point(|entry| entry.1 <= start);
        if below > 1 {
            self.epochs.drain(..below - 1);
        }
        if let Some(first) = self.epochs.first_mut() {
            first.1 = first.1.max(start.min(self.end));
        }
    }

    /// The process ended, or something happened to its disk.
    pub fn stopped(&mut self, stop: Stop) {
        self.stop = self.stop.max(stop);
    }

    /// Takes a loaded log as the truth from now on; a loaded log is durable, because loading ends with a flush.
    pub fn load(&mut self, log_start: i64, log_end: i64, batches: &[BatchSummary]) -> LoadFindings {
        if self.loss.damaged {
            self.stop = Stop::Damaged;
        }
        let undone = self.replacing && self.stop > Stop::Intact;
        let findings = if undone {
            LoadFindings::default()
        } else {
            self.findings(log_start, log_end, batches)
        };
        self.batches = batches.iter().copied().collect();
        self.start = log_start;
        self.end = log_end;
        self.flushed = log_end;
        self.undone.clear();
        self.replacing = false;
        self.stop = Stop::Intact;
        self.epochs = derived_epochs(log_start, batches);
        findings
    }

    fn findings(&self, log_start: i64, log_end: i64, batches: &[BatchSummary]) -> LoadFindings {
        let mut findings = self.compare(log_end, batches);
        findings.front_lost =
            log_start > self.start.max(0) && self.stop < Stop::Damaged && self.undone.is_empty();
        findings.required_end = match self.stop {
            Stop::Intact => Some(self.end),
            Stop::Failing | Stop::PowerLost => Some(self.flushed.min(self.end)),
            Stop::Damaged => None,
        };
        findings.lost |= log_end < self.end || log_start > self.start.max(0);
        findings
    }

    fn compare(&self, log_end: i64, batches: &[BatchSummary]) -> LoadFindings {
        let mut findings = LoadFindings::default();
        let mut own = self
            .batches
            .iter()
            .filter(|batch| batch.last_offset < log_end)
            .peekable();
        for batch in batches
            .iter()
            .filter(|batch| batch.last_offset >= self.start)
        {
            while let Some(before) = own.next_if(|own| own.base_offset < batch.base_offset) {
                findings.hole = findings.hole.or(Some(*before));
            }
            let expected = own
                .next_if(|own| own.base_offset == batch.base_offset)
                .copied();
            if expected != Some(*batch) && !self.may_reappear(batch) {
                findings.foreign = findings.foreign.or(Some((*batch, expected)));
            }
        }
        findings.hole = findings.hole.or(own.next().copied());
        findings.lost = findings.hole.is_some();
        findings
    }

    fn may_reappear(&self, batch: &BatchSummary) -> bool {
        match self.stop {
            Stop::Intact | Stop::PowerLost => self.undone.contains(batch),
            Stop::Failing => batch.base_offset >= self.end || self.undone.contains(batch),
            Stop::Damaged => true,
        }
    }
}

/// First offsets of epochs as batches tell them, from `log_start` on.
pub fn derived_epochs(log_start: i64, batches: &[BatchSummary]) -> Vec<(i32, i64)> {
    let mut epochs: Vec<(i32, i64)> = Vec::new();
    for batch in batches
        .iter()
        .filter(|batch| batch.last_offset >= log_start)
    {
        if epochs
            .last()
            .is_none_or(|last| last.0 != batch.leader_epoch)
        {
            epochs.push((batch.leader_epoch, batch.base_offset.max(log_start)));
        }
    }
    epochs
}
