//! The metadata log as the core sees it: where it starts and ends, which epoch wrote what, how much is
//! flushed, which snapshots there are.

use std::collections::BTreeMap;

use broker_probe::mutant;
use broker_protocol::ids::{LeaderEpoch, Offset};

use super::{BatchSummary, OffsetAndEpoch, Recovered, Snapshot};

/// The epoch Kafka gives an empty log; elected leaders have epochs from 1.
pub(super) const NO_EPOCH: LeaderEpoch = LeaderEpoch(0);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    start: Offset,
    end: Offset,
    flushed: Offset,
    /// Epoch of the record before `start`; that of the snapshot there.
    base_epoch: LeaderEpoch,
    /// Ascending in both; each epoch's first offset.
    epochs: Vec<(LeaderEpoch, Offset)>,
    /// Without the bootstrap snapshot, which nobody can fetch.
    snapshots: BTreeMap<OffsetAndEpoch, Snapshot>,
}

/// Whether a replica can go on from where it says its log ends (KIP-595, KIP-630).
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Continuation {
    Valid,
    Diverging(OffsetAndEpoch),
    Snapshot(OffsetAndEpoch),
}

impl Log {
    pub(super) fn recovered(recovered: &Recovered) -> Log {
        let (start, end) = (recovered.log_start_offset, recovered.log_end_offset);
        assert!(0 <= start && start <= end, "log of {start}..{end}");
        let ascending = recovered
            .epochs
            .is_sorted_by(|left, right| left.0 < right.0 && left.1 < right.1);
        assert!(
            ascending,
            "epochs of the log do not ascend: {:?}",
            recovered.epochs
        );
        let fetchable = |snapshot: &&Snapshot| snapshot.id.offset > 0;
        let found = recovered.snapshots.iter().filter(fetchable);
        let snapshots: BTreeMap<_, _> = found.map(|found| (found.id, found.clone())).collect();
        let latest = snapshots.last_key_value().map_or(0, |(id, _)| id.offset);
        // Records before the start would be nowhere (KAFKA-14240).
        assert!(
            latest >= start,
            "log starts at {start} and the last snapshot ends at {latest}"
        );
        Log {
            start,
            end,
            flushed: end,
            base_epoch: epoch_of_snapshot_at(&snapshots, start),
            epochs: recovered.epochs.clone(),
            snapshots,
        }
    }

    pub fn start(&self) -> Offset {
        self.start
    }

    pub fn end(&self) -> Offset {
        self.end
    }

    /// Offsets below survive a power loss.
    pub fn flushed(&self) -> Offset {
        self.flushed
    }

    /// What this replica may say it has (RAFT-4).
    pub(super) fn countable_end(&self) -> Offset {
        if mutant!(K_01) {
            self.end
        } else {
            self.flushed
        }
    }

    /// Epoch of the last record, or of the snapshot that an empty log starts at, or 0.
    pub fn last_epoch(&self) -> LeaderEpoch {
        self.epochs
            .last()
            .map_or(self.base_epoch, |&(epoch, _)| epoch)
    }

    /// Epoch of the last record below `end`, which is not below the start.
    fn epoch_below(&self, end: Offset) -> LeaderEpoch {
        let later = self.epochs.partition_point(|&(_, start)| start < end);
        let index = later.checked_sub(1);
        index.map_or(self.base_epoch, |index| self.epochs[index].0)
    }

    /// Whether the records below the end of the snapshot are those it was made of.
    pub(super) fn contains(&self, snapshot: OffsetAndEpoch) -> bool {
        let OffsetAndEpoch { offset, epoch } = snapshot;
        (self.start..=self.end).contains(&offset) && self.epoch_below(offset) == epoch
    }

    pub fn latest_snapshot(&self) -> Option<OffsetAndEpoch> {
        self.snapshots.last_key_value().map(|(&id, _)| id)
    }

    fn earliest_snapshot(&self) -> Option<OffsetAndEpoch> {
        self.snapshots.first_key_value().map(|(&id, _)| id)
    }

    /// All snapshots but the bootstrap snapshot.
    pub fn snapshots(&self) -> impl Iterator<Item = &Snapshot> {
        self.snapshots.values()
    }

    pub fn snapshot(&self, id: OffsetAndEpoch) -> Option<&Snapshot> {
        self.snapshots.get(&id)
    }

    pub(super) fn add_snapshot(&mut self, snapshot: Snapshot) {
        self.snapshots.insert(snapshot.id, snapshot);
    }

    /// The name of a snapshot of the records below `end`.
    pub(super) fn snapshot_id(&self, end: Offset) -> OffsetAndEpoch {
        // By KIP-630 the end offset is exclusive (K-14).
        let offset = if mutant!(K_14) { end - 1 } else { end };
        let epoch = self.epoch_below(end);
        OffsetAndEpoch { offset, epoch }
    }

    /// Nothing is left but the snapshot.
    pub(super) fn start_at(&mut self, snapshot: OffsetAndEpoch) {
        let OffsetAndEpoch { offset, epoch } = snapshot;
        self.snapshots.retain(|&known, _| known >= snapshot);
        (self.start, self.end, self.flushed) = (offset, offset, offset);
        self.base_epoch = epoch;
        self.epochs.clear();
    }

    /// Records below `start` and snapshots that end before it are deleted.
    pub(super) fn raise_start(&mut self, start: Offset) {
        assert!(
            self.start < start && start <= self.end,
            "raise the start of {self:?} to {start}"
        );
        self.base_epoch = self.epoch_below(start);
        let begun = self.epochs.partition_point(|&(_, first)| first <= start);
        self.epochs.drain(..begun.saturating_sub(1));
        if let Some((_, first)) = self.epochs.first_mut() {
            *first = start.max(*first);
        }
        if start == self.end {
            self.epochs.clear();
        }
        self.start = start;
        self.snapshots.retain(|id, _| id.offset >= start);
    }

    pub(super) fn end_offset_and_epoch(&self) -> OffsetAndEpoch {
        OffsetAndEpoch {
            offset: self.end,
            epoch: self.last_epoch(),
        }
    }

    /// The largest epoch in the log up to `epoch`, and where it ends.
    pub fn end_of_epoch(&self, epoch: LeaderEpoch) -> OffsetAndEpoch {
        let later = self.epochs.partition_point(|&(known, _)| known <= epoch);
        let end = self.epochs.get(later).map_or(self.end, |&(_, start)| start);
        match later.checked_sub(1) {
            Some(index) => OffsetAndEpoch {
                offset: end,
                epoch: self.epochs[index].0,
            },
            None => OffsetAndEpoch {
                offset: self.start,
                epoch: self.base_epoch,
            },
        }
    }

    /// How a replica whose log ends with (`offset`, `epoch`) gets on.
    pub(super) fn continue_from(&self, offset: Offset, epoch: LeaderEpoch) -> Continuation {
        if let Some(latest) = self.latest_snapshot()
            && self.needs_snapshot(offset, epoch)
        {
            return Continuation::Snapshot(latest);
        }
        if offset == 0 && self.start == 0 {
            return Continuation::Valid;
        }
        let known = self.end_of_epoch(epoch);
        // An equal offset of another epoch is another record (K-28).
        if mutant!(K_28) && offset <= self.end {
            return Continuation::Valid;
        }
        if known.epoch != epoch || known.offset < offset {
            Continuation::Diverging(known)
        } else {
            Continuation::Valid
        }
    }

    /// What comes next is deleted, or where the logs part is no longer known. An empty log is filled faster
    /// by a snapshot than by the records it was made of.
    fn needs_snapshot(&self, offset: Offset, epoch: LeaderEpoch) -> bool {
        let Some(earliest) = self.earliest_snapshot() else {
            return false;
        };
        let foreign_snapshot = offset == self.start && offset == earliest.offset;
        offset == 0
            || offset < self.start
            || (foreign_snapshot && epoch != earliest.epoch)
            || epoch < earliest.epoch
    }

    /// Where to cut when a leader answered `diverging`.
    pub(super) fn truncation_point(&self, diverging: OffsetAndEpoch) -> Offset {
        let known = self.end_of_epoch(diverging.epoch);
        if known.epoch == diverging.epoch {
            known.offset.min(diverging.offset)
        } else {
            known.offset
        }
    }

    pub(super) fn append(&mut self, epoch: LeaderEpoch, records: Offset) {
        assert!(
            records > 0 && epoch >= self.last_epoch(),
            "append {records} of {epoch} to {self:?}"
        );
        if self.epochs.last().is_none_or(|&(last, _)| last < epoch) {
            self.epochs.push((epoch, self.end));
        }
        self.end += records;
    }

    /// How many of a leader's batches continue this log within `current_epoch`.
    pub(super) fn continuation(
        &self,
        batches: &[BatchSummary],
        current_epoch: LeaderEpoch,
    ) -> usize {
        let (mut end, mut epoch) = (self.end, self.last_epoch());
        for (count, batch) in batches.iter().enumerate() {
            let ordered = batch.base_offset == end && batch.last_offset >= batch.base_offset;
            let lawful = batch.epoch > NO_EPOCH && (epoch..=current_epoch).contains(&batch.epoch);
            match batch.last_offset.checked_add(1) {
                Some(next) if ordered && lawful => (end, epoch) = (next, batch.epoch),
                _ => return count,
            }
        }
        batches.len()
    }

    pub(super) fn truncate(&mut self, end: Offset) {
        assert!(
            self.start <= end && end <= self.end,
            "truncate {self:?} to {end}"
        );
        self.end = end;
        self.flushed = self.flushed.min(end);
        self.epochs.retain(|&(_, start)| start < end);
    }

    pub(super) fn flushed_to(&mut self, end: Offset) {
        self.flushed = self.flushed.max(end.min(self.end));
    }
}

fn epoch_of_snapshot_at(
    snapshots: &BTreeMap<OffsetAndEpoch, Snapshot>,
    start: Offset,
) -> LeaderEpoch {
    let found = snapshots.keys().find(|id| id.offset == start);
    found.map_or(NO_EPOCH, |id| id.epoch)
}
