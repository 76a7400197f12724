//! Which leader epoch starts at which offset (KIP-101), kept equal to what the batches say.

use broker_protocol::ids::{LeaderEpoch, Offset};

/// The first offset of a leader epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct EpochEntry {
    pub epoch: LeaderEpoch,
    pub start_offset: Offset,
}

/// Ascending in epoch and start offset.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct EpochHistory {
    entries: Vec<EpochEntry>,
}

impl EpochHistory {
    /// `None` if the entries are not ascending in both fields.
    pub fn new(entries: Vec<EpochEntry>) -> Option<EpochHistory> {
        let ascending = entries.windows(2).all(|pair| {
            pair[0].epoch < pair[1].epoch && pair[0].start_offset < pair[1].start_offset
        });
        ascending.then_some(EpochHistory { entries })
    }

    pub fn entries(&self) -> &[EpochEntry] {
        &self.entries
    }

    pub fn latest(&self) -> Option<LeaderEpoch> {
        self.entries.last().map(|entry| entry.epoch)
    }

    /// The epoch of the record at `offset`, for an offset inside of the log.
    pub fn epoch_at(&self, offset: Offset) -> Option<LeaderEpoch> {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= offset);
        after.checked_sub(1).map(|at| self.entries[at].epoch)
    }

    /// The largest epoch not above `epoch`, and where it ends (KIP-279). `None` if there is none: the asked
    /// epoch is older than the log, or the log knows no epoch.
    pub fn end_offset(&self, epoch: LeaderEpoch, log_end: Offset) -> Option<(LeaderEpoch, Offset)> {
        let after = self.entries.partition_point(|entry| entry.epoch <= epoch);
        let found = self.entries[after.checked_sub(1)?].epoch;
        Some((
            found,
            self.entries
                .get(after)
                .map_or(log_end, |next| next.start_offset),
        ))
    }

    /// An epoch starts at an offset: drops entries that this contradicts. Whether anything changed.
    pub(crate) fn assign(&mut self, epoch: LeaderEpoch, start_offset: Offset) -> bool {
        if epoch.0 < 0 || self.latest() == Some(epoch) {
            return false;
        }
        self.entries
            .retain(|entry| entry.epoch < epoch && entry.start_offset < start_offset);
        self.entries.push(EpochEntry {
            epoch,
            start_offset,
        });
        true
    }

    /// The log now ends at `log_end`. Whether anything changed.
    pub(crate) fn truncate_end(&mut self, log_end: Offset) -> bool {
        let kept = self
            .entries
            .partition_point(|entry| entry.start_offset < log_end);
        let changed = kept < self.entries.len();
        self.entries.truncate(kept);
        changed
    }

    /// The log is empty. Whether anything changed.
    pub(crate) fn clear(&mut self) -> bool {
        let changed = !self.entries.is_empty();
        self.entries.clear();
        changed
    }

    /// The log now starts at `log_start`: the epoch in force there starts there. Whether anything changed.
    pub(crate) fn truncate_start(&mut self, log_start: Offset) -> bool {
        let after = self
            .entries
            .partition_point(|entry| entry.start_offset <= log_start);
        let Some(first) = after.checked_sub(1) else {
            return false;
        };
        let changed = first > 0 || self.entries[0].start_offset != log_start;
        self.entries.drain(..first);
        self.entries[0].start_offset = log_start;
        changed
    }
}
