//! The metadata log as the core sees it: where it starts and ends, which epoch wrote what, how much is flushed.

use broker_probe::mutant;
use broker_protocol::ids::{LeaderEpoch, Offset};

use super::{BatchSummary, OffsetAndEpoch, Recovered};

/// The epoch Kafka gives an empty log; elected leaders have epochs from 1.
pub(super) const NO_EPOCH: LeaderEpoch = LeaderEpoch(0);

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Log {
    start: Offset,
    end: Offset,
    flushed: Offset,
    /// Ascending in both; each epoch's first offset.
    epochs: Vec<(LeaderEpoch, Offset)>,
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
        Log {
            start,
            end,
            flushed: end,
            epochs: recovered.epochs.clone(),
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

    /// Epoch of the last record, 0 for an empty log.
    pub fn last_epoch(&self) -> LeaderEpoch {
        self.epochs.last().map_or(NO_EPOCH, |&(epoch, _)| epoch)
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
                epoch: NO_EPOCH,
            },
        }
    }

    /// Where a log that ends with (`offset`, `epoch`) parts from this one; None when it is a prefix.
    pub(super) fn divergence(&self, offset: Offset, epoch: LeaderEpoch) -> Option<OffsetAndEpoch> {
        if offset == 0 && self.start == 0 {
            return None;
        }
        let known = self.end_of_epoch(epoch);
        (known.epoch != epoch || known.offset < offset).then_some(known)
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
        if epoch > self.last_epoch() {
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
