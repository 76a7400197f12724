//! A node's disk: what is written, what is synced, and what is on its way from one to the other.

use broker_protocol::ids::{LeaderEpoch, Offset};

use crate::PersistId;
use crate::raft::invariants::LogContent;
use crate::raft::{BatchSummary, QuorumState, ReadRange, Recovered};

/// A record. Two records with the same offset, epoch and `written_by` are the same record: a process never
/// writes two at one offset in one epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    pub epoch: LeaderEpoch,
    /// How often the leader that wrote it had been started.
    pub written_by: u32,
}

/// The records of a log that starts at 0.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogEntries(pub Vec<Entry>);

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    /// How often a process has started on it.
    pub restarts: u32,
    log: LogEntries,
    synced: LogEntries,
    flushing: Option<(PersistId, LogEntries)>,
    saved: QuorumState,
    saving: Option<(PersistId, QuorumState)>,
}

impl Disk {
    pub fn log(&self) -> &LogEntries {
        &self.log
    }

    /// How much of the log survives a power loss.
    pub fn durable_end(&self) -> Offset {
        let pairs = self.log.0.iter().zip(&self.synced.0);
        to_offset(
            pairs
                .take_while(|(written, synced)| written == synced)
                .count(),
        )
    }

    pub fn saved(&self) -> QuorumState {
        self.saved
    }

    pub fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    pub fn is_flushing(&self) -> bool {
        self.flushing.is_some()
    }

    pub(super) fn recovered(&self) -> Recovered {
        let mut epochs: Vec<(LeaderEpoch, Offset)> = Vec::new();
        for (offset, entry) in (0..).zip(&self.log.0) {
            if epochs.last().is_none_or(|&(epoch, _)| epoch != entry.epoch) {
                epochs.push((entry.epoch, offset));
            }
        }
        let quorum_state = (self.saved != QuorumState::default()).then_some(self.saved);
        Recovered {
            quorum_state,
            log_start_offset: 0,
            log_end_offset: self.log.end_offset(),
            epochs,
            ..Recovered::default()
        }
    }

    pub(super) fn read(&self, range: ReadRange) -> Vec<Entry> {
        self.log.0[to_index(range.from)..to_index(range.to)].to_vec()
    }

    pub(super) fn append(&mut self, base: Offset, epoch: LeaderEpoch, records: u64) {
        assert_eq!(base, self.log.end_offset(), "append at a wrong offset");
        for _ in 0..records {
            self.log.0.push(Entry {
                epoch,
                written_by: self.restarts,
            });
        }
    }

    pub(super) fn append_fetched(&mut self, batches: &[BatchSummary], entries: &[Entry]) {
        let count = batches
            .iter()
            .map(|batch| batch.last_offset - batch.base_offset + 1)
            .sum();
        self.log.0.extend_from_slice(&entries[..to_index(count)]);
    }

    pub(super) fn truncate(&mut self, end: Offset) {
        self.log.0.truncate(to_index(end));
    }

    pub(super) fn save(&mut self, id: PersistId, state: QuorumState) {
        assert!(self.saving.is_none(), "one save at a time");
        self.saving = Some((id, state));
    }

    pub(super) fn flush(&mut self, id: PersistId, end: Offset) {
        assert!(self.flushing.is_none(), "one flush at a time");
        assert!(
            end <= self.log.end_offset(),
            "flush up to {end} of {:?}",
            self.log
        );
        self.flushing = Some((id, self.log.clone()));
    }

    pub(super) fn finish_save(&mut self) -> PersistId {
        let (id, state) = self.saving.take().expect("a save is under way");
        self.saved = state;
        id
    }

    /// What was written when the flush began is synced; a truncation since then is not, so that a power loss
    /// brings the old tail back.
    pub(super) fn finish_flush(&mut self) -> PersistId {
        let (id, log) = self.flushing.take().expect("a flush is under way");
        self.synced = log;
        id
    }

    pub(super) fn power_loss(&mut self) {
        (self.saving, self.flushing) = (None, None);
        self.log = self.synced.clone();
    }

    /// The log stays as written; starting on it syncs it.
    pub(super) fn process_death(&mut self) {
        (self.saving, self.flushing) = (None, None);
        self.synced = self.log.clone();
    }
}

impl LogContent for LogEntries {
    fn start_offset(&self) -> Offset {
        0
    }

    fn end_offset(&self) -> Offset {
        to_offset(self.0.len())
    }

    fn epoch_at(&self, offset: Offset) -> LeaderEpoch {
        self.0[to_index(offset)].epoch
    }

    fn hash_below(&self, end: Offset) -> u64 {
        let mix = |hash: u64, entry: &Entry| {
            let content =
                i64::from(entry.epoch.0).unsigned_abs() << 32 | u64::from(entry.written_by);
            (hash ^ content)
                .wrapping_mul(0x9e37_79b9_7f4a_7c15)
                .rotate_left(29)
        };
        self.0[..to_index(end)].iter().fold(0x5151, mix)
    }
}

fn to_offset(count: usize) -> Offset {
    Offset::try_from(count).expect("few records")
}

fn to_index(offset: Offset) -> usize {
    usize::try_from(offset).expect("offsets of this log are small and not negative")
}
