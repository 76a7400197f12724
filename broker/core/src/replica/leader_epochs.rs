//! The first offset of every leader epoch in one log: `leader-epoch-checkpoint` in memory (KIP-101).
//!
//! Both columns grow strictly. An entry without data (start = log end) exists only for the epoch in which
//! this replica leads; a follower drops it when it truncates, even if no record goes.

use broker_probe::mutant;
use broker_protocol::ids::{LeaderEpoch, Offset};

/// Where an epoch begins.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochEntry {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

/// The largest epoch not above the asked one, and the offset after its last record.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EpochEndOffset {
    pub epoch: LeaderEpoch,
    pub end_offset: Offset,
}

/// Ascending list of epochs and their first offsets.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LeaderEpochs {
    entries: Vec<EpochEntry>,
}

impl LeaderEpochs {
    /// From a checkpoint or a recovered log; entries that do not grow replace those before them.
    pub fn from_entries(entries: impl IntoIterator<Item = EpochEntry>) -> LeaderEpochs {
        let mut epochs = LeaderEpochs::default();
        for entry in entries {
            epochs.assign(entry.epoch, entry.start_offset);
        }
        epochs
    }

    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub fn latest(&self) -> Option<EpochEntry> {
        self.entries.last().copied()
    }

    pub fn latest_epoch(&self) -> Option<LeaderEpoch> {
        self.latest().map(|entry| entry.epoch)
    }

    /// Notes that `epoch` begins at `start_offset`, unless it is the latest already. Conflicting later
    /// entries are dropped: they can only be epochs without data or data that was replaced.
    pub fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) {
        assert!(
            epoch.0 >= 0 && start_offset >= 0,
            "epoch {epoch} starts at {start_offset}"
        );
        if let Some(latest) = self.latest()
            && latest.epoch == epoch
            && start_offset >= latest.start_offset
        {
            return;
        }
        while self
            .latest()
            .is_some_and(|entry| entry.epoch >= epoch || entry.start_offset >= start_offset)
        {
            self.entries.pop();
        }
        self.entries.push(EpochEntry {
            epoch,
            start_offset,
        });
    }

    /// KIP-279: the answer for an epoch that is not in the log is the largest one below it. None if
    /// nothing can be said: `asked` is undefined or newer than every epoch known here.
    pub fn end_offset_for(&self, asked: LeaderEpoch, log_end: Offset) -> Option<EpochEndOffset> {
        if asked.0 < 0 {
            return mutant!(R_16).then_some(EpochEndOffset {
                epoch: asked,
                end_offset: log_end,
            });
        }
        if self.latest_epoch() == Some(asked) {
            return Some(EpochEndOffset {
                epoch: asked,
                end_offset: log_end,
            });
        }
        let above = self.entries.partition_point(|entry| entry.epoch <= asked);
        let end_offset = self.entries.get(above)?.start_offset;
        // Below all known epochs the data is gone; the reader goes on from what is left.
        let epoch = above
            .checked_sub(1)
            .map_or(asked, |floor| self.entries[floor].epoch);
        Some(EpochEndOffset { epoch, end_offset })
    }

    /// The epoch of the record at `offset`; None below the first known epoch.
    pub fn epoch_for_offset(&self, offset: Offset) -> Option<LeaderEpoch> {
        let above = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        above.checked_sub(1).map(|index| self.entries[index].epoch)
    }

    /// Forgets what begins at or after the new log end, also when the log itself did not get shorter.
    pub fn truncate_from_end(&mut self, log_end: Offset) {
        while self
            .latest()
            .is_some_and(|entry| entry.start_offset >= log_end)
        {
            self.entries.pop();
        }
    }

    /// Forgets what ended before the new log start; the epoch that covers it now begins there.
    pub fn truncate_from_start(&mut self, log_start: Offset) {
        let covered = self
            .entries
            .partition_point(|entry| entry.start_offset <= log_start);
        if covered == 0 {
            return;
        }
        self.entries.drain(..covered - 1);
        self.entries[0].start_offset = log_start;
    }

    pub fn clear(&mut self) {
        self.entries.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn epochs(entries: &[(i32, i64)]) -> LeaderEpochs {
        LeaderEpochs::from_entries(entries.iter().map(|&(epoch, start_offset)| EpochEntry {
            epoch: LeaderEpoch(epoch),
            start_offset,
        }))
    }

    fn end(epochs: &LeaderEpochs, asked: i32) -> Option<(i32, i64)> {
        epochs
            .end_offset_for(LeaderEpoch(asked), 100)
            .map(|answer| (answer.epoch.0, answer.end_offset))
    }

    #[test]
    fn end_offsets_follow_kip_279() {
        let epochs = epochs(&[(2, 10), (4, 20), (7, 50)]);
        assert_eq!(end(&epochs, -1), None);
        assert_eq!(end(&epochs, 1), Some((1, 10)));
        assert_eq!(end(&epochs, 2), Some((2, 20)));
        assert_eq!(end(&epochs, 3), Some((2, 20)));
        assert_eq!(end(&epochs, 4), Some((4, 50)));
        assert_eq!(end(&epochs, 6), Some((4, 50)));
        assert_eq!(end(&epochs, 7), Some((7, 100)));
        assert_eq!(end(&epochs, 8), None);
        assert_eq!(end(&LeaderEpochs::default(), 0), None);
    }

    #[test]
    fn assigning_keeps_both_columns_growing() {
        assert_eq!(epochs(&[(1, 0), (1, 5)]), epochs(&[(1, 0)]));
        assert_eq!(epochs(&[(1, 0), (2, 5), (3, 5)]), epochs(&[(1, 0), (3, 5)]));
        assert_eq!(epochs(&[(1, 0), (3, 5), (2, 7)]), epochs(&[(1, 0), (2, 7)]));
    }

    #[test]
    fn truncation_from_both_ends() {
        let mut some = epochs(&[(1, 0), (2, 5), (3, 9)]);
        some.truncate_from_end(9);
        assert_eq!(some, epochs(&[(1, 0), (2, 5)]));
        some.truncate_from_start(6);
        assert_eq!(some, epochs(&[(2, 6)]));
        some.truncate_from_start(3);
        assert_eq!(some, epochs(&[(2, 6)]));
        assert_eq!(some.epoch_for_offset(5), None);
        assert_eq!(some.epoch_for_offset(6), Some(LeaderEpoch(2)));
    }
}
