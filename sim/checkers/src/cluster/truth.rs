//! What was really written and committed, kept from events and never taken from a node's word alone.

use std::collections::BTreeMap;

use super::event::BatchSummary;
use super::shadow::ShadowLog;

/// Where a batch stands: epoch and base offset, which together name one batch.
pub type Place = (i32, i64);

/// What the leaders wrote: per epoch, ascending, each with the place of the batch before it.
///
/// If every follower appends a batch only behind the batch that its leader had before it, then two logs
/// with a batch of the same place are identical up to it (log matching), by induction.
#[derive(Clone, Debug, Default)]
pub struct Written {
    epochs: BTreeMap<i32, Vec<(BatchSummary, Option<Place>)>>,
}

/// How an appended batch stands to what leaders wrote.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Match {
    Same {
        before: Option<Place>,
    },
    Other(BatchSummary),
    /// No leader wrote anything there in this epoch.
    Unknown,
}

pub fn place(batch: &BatchSummary) -> Place {
    (batch.leader_epoch, batch.base_offset)
}

impl Written {
    /// The end of what was written in the epoch, if anything was.
    pub fn end(&self, epoch: i32) -> Option<i64> {
        self.epochs
            .get(&epoch)
            .and_then(|batches| batches.last())
            .map(|(batch, _)| batch.end())
    }

    pub fn push(&mut self, batch: BatchSummary, before: Option<Place>) {
        let batches = self.epochs.entry(batch.leader_epoch).or_default();
        let at = batches.partition_point(|(other, _)| other.base_offset < batch.base_offset);
        batches.insert(at, (batch, before));
    }

    pub fn find(&self, batch: &BatchSummary) -> Match {
        let Some(batches) = self.epochs.get(&batch.leader_epoch) else {
            return Match::Unknown;
        };
        let at = batches.partition_point(|(other, _)| other.last_offset < batch.base_offset);
        match batches.get(at) {
            Some((other, before)) if other == batch => Match::Same { before: *before },
            Some((other, _)) if other.base_offset <= batch.last_offset => Match::Other(*other),
            _ => Match::Unknown,
        }
    }
}

/// A committed batch.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Entry {
    pub batch: BatchSummary,
    /// Of the leader that committed it.
    pub epoch: i32,
    pub event: u64,
    pub acknowledged: bool,
}

/// A log lacks something that was committed.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Lack {
    pub entry: Entry,
    pub instead: Option<BatchSummary>,
}

/// The true committed prefix: what was below a leader's high watermark.
#[derive(Clone, Debug, Default)]
pub struct Committed {
    entries: Vec<Entry>,
    /// The highest high watermark of a leader.
    pub end: i64,
    /// Losses beyond the budget, or reported ones, made the prefix shorter in this leader epoch; older
    /// high watermarks prove nothing since.
    pub shortened_in: Option<i32>,
}

impl Committed {
    fn index_of(&self, offset: i64) -> usize {
        self.entries
            .partition_point(|entry| entry.batch.last_offset < offset)
    }

    /// Commits what `log` has from the committed end up to `end`.
    pub fn extend(&mut self, log: &ShadowLog, end: i64, epoch: i32, event: u64) {
        for batch in log
            .range(self.end, end)
            .filter(|batch| batch.base_offset >= self.end)
        {
            self.entries.push(Entry {
                batch: *batch,
                epoch,
                event,
                acknowledged: false,
            });
        }
        self.end = self.end.max(end);
    }

    pub fn acknowledge(&mut self, base_offset: i64, last_offset: i64) {
        let from = self.index_of(base_offset);
        for entry in &mut self.entries[from..] {
            if entry.batch.base_offset > last_offset {
                break;
            }
            entry.acknowledged = true;
        }
    }

    /// The first committed batch in `[from, to)`, of those that `relevant` names, that `log` does not have;
    /// what lies below the log's start was deleted.
    pub fn lacking(
        &self,
        log: &ShadowLog,
        from: i64,
        to: i64,
        relevant: impl Fn(&Entry) -> bool,
    ) -> Option<Lack> {
        let from = from.max(log.start);
        let entries = self.entries[self.index_of(from)..].iter();
        let mut own = log.range(from, to).peekable();
        for entry in entries.take_while(|entry| entry.batch.end() <= to) {
            while own
                .next_if(|own| own.base_offset < entry.batch.base_offset)
                .is_some()
            {}
            let found = own.next_if(|own| own.base_offset == entry.batch.base_offset);
            if found != Some(&entry.batch) && relevant(entry) {
                let instead = found.or_else(|| log.at(entry.batch.base_offset)).copied();
                return Some(Lack {
                    entry: *entry,
                    instead,
                });
            }
        }
        None
    }

    /// The epoch of the committed batch that ends at `end`.
    pub fn epoch_of_end(&self, end: i64) -> Option<i32> {
        let entry = self.entries.get(self.index_of(end - 1))?;
        (entry.batch.end() == end).then_some(entry.batch.leader_epoch)
    }

    /// Whether something acknowledged is at or above `offset`.
    pub fn acknowledged_from(&self, offset: i64) -> Option<&Entry> {
        self.entries[self.index_of(offset)..]
            .iter()
            .find(|entry| entry.acknowledged)
    }

    /// Gives up what is at or above `end`.
    pub fn shorten(&mut self, end: i64, epoch: i32) {
        let keep = self
            .entries
            .partition_point(|entry| entry.batch.base_offset < end);
        self.entries.truncate(keep);
        self.end = self.end.min(end);
        self.shortened_in = self.shortened_in.max(Some(epoch));
    }
}
