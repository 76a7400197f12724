//! A node's disk: what is written, what is synced, and what is on its way from one to the other.

use std::collections::BTreeMap;

use broker_protocol::ids::{LeaderEpoch, Offset};

use super::snapshots::SnapshotFiles;
use crate::PersistId;
use crate::raft::invariants::{LogContent, SnapshotContent};
use crate::raft::{
    BatchSummary, ConfigurationChange, OffsetAndEpoch, QuorumState, ReadRange, Recovered, VoterSet,
};

/// A record. Two records with the same offset, epoch and `written_by` are the same record: a process never
/// writes two at one offset in one epoch.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    pub epoch: LeaderEpoch,
    /// How often the leader that wrote it had been started.
    pub written_by: u32,
    /// Of the same batch as the record before.
    pub continues: bool,
    /// With the first record of a control batch: what the batch says.
    pub change: Option<Box<ConfigurationChange>>,
}

/// The records of a log. Those below `start` are deleted, but the snapshot there was made of them.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct LogEntries {
    pub start: Offset,
    pub entries: Vec<Entry>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Disk {
    /// How often a process has started on it.
    pub restarts: u32,
    pub(super) snapshots: SnapshotFiles,
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

    /// How much of the log survives a power loss, by itself or in a snapshot, which is synced when it gets its
    /// name.
    pub fn durable_end(&self) -> Offset {
        let synced = common_prefix(&self.log.entries, &self.synced.entries);
        let in_snapshot = self.snapshots.latest().filter(|(id, content)| {
            let held = common_prefix(&self.log.entries, content);
            held >= id.offset
        });
        synced.max(in_snapshot.map_or(0, |(id, _)| id.offset))
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
        let mut changes = Vec::new();
        for (offset, entry) in (0..).zip(&self.log.entries).skip(to_index(self.log.start)) {
            if epochs.last().is_none_or(|&(epoch, _)| epoch != entry.epoch) {
                epochs.push((entry.epoch, offset));
            }
            if let Some(change) = &entry.change {
                changes.push((offset, ConfigurationChange::clone(change.as_ref())));
            }
        }
        let quorum_state = (self.saved != QuorumState::default()).then_some(self.saved);
        Recovered {
            quorum_state,
            log_start_offset: self.log.start,
            log_end_offset: self.log.end(),
            epochs,
            snapshots: self.snapshots.recovered(),
            changes,
        }
    }

    pub(super) fn read(&self, range: ReadRange) -> Vec<Entry> {
        assert!(
            range.from >= self.log.start,
            "reads {range:?} of a log that starts at {}",
            self.log.start
        );
        self.log.entries[to_index(range.from)..to_index(range.to)].to_vec()
    }

    pub(super) fn append(&mut self, base: Offset, epoch: LeaderEpoch, records: u64) {
        assert_eq!(base, self.log.end(), "append at a wrong offset");
        for index in 0..records {
            self.log.entries.push(Entry {
                epoch,
                written_by: self.restarts,
                continues: index > 0,
                change: None,
            });
        }
    }

    /// A control batch of `others` records and those of `change`.
    pub(super) fn append_control(
        &mut self,
        base: Offset,
        epoch: LeaderEpoch,
        others: u64,
        change: Option<ConfigurationChange>,
    ) {
        let records = change.as_ref().map_or(0, ConfigurationChange::records);
        self.append(base, epoch, others + records.unsigned_abs());
        self.log.entries[to_index(base)].change = change.map(Box::new);
    }

    pub(super) fn append_fetched(&mut self, batches: &[BatchSummary], entries: &[Entry]) {
        let count = batches
            .iter()
            .map(|batch| batch.last_offset - batch.base_offset + 1)
            .sum();
        let fitting = &entries[..to_index(count)];
        self.log.entries.extend_from_slice(fitting);
    }

    pub(super) fn truncate(&mut self, end: Offset) {
        assert!(
            end >= self.log.start,
            "truncates below the start of the log"
        );
        self.log.entries.truncate(to_index(end));
    }

    pub(super) fn start_log_at(&mut self, snapshot: OffsetAndEpoch) {
        let content = self.snapshots.content(snapshot);
        self.log = LogEntries {
            start: snapshot.offset,
            entries: content[..to_index(snapshot.offset)].to_vec(),
        };
        self.snapshots.delete_before(snapshot.offset);
    }

    /// Durable at once: were it lost, the deleted records would only come back.
    pub(super) fn raise_log_start(&mut self, snapshot: OffsetAndEpoch) {
        self.log.start = snapshot.offset;
        self.synced.start = self
            .synced
            .start
            .max(snapshot.offset.min(self.synced.end()));
        self.snapshots.delete_before(snapshot.offset);
    }

    pub(super) fn save(&mut self, id: PersistId, state: QuorumState) {
        assert!(self.saving.is_none(), "one save at a time");
        self.saving = Some((id, state));
    }

    pub(super) fn flush(&mut self, id: PersistId, end: Offset) {
        assert!(self.flushing.is_none(), "one flush at a time");
        assert!(end <= self.log.end(), "flush up to {end} of {:?}", self.log);
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
        self.snapshots.process_death();
        self.log = self.synced.clone();
    }

    /// The log stays as written; starting on it syncs it.
    pub(super) fn process_death(&mut self) {
        (self.saving, self.flushing) = (None, None);
        self.snapshots.process_death();
        self.synced = self.log.clone();
    }
}

impl LogEntries {
    pub fn end(&self) -> Offset {
        to_offset(self.entries.len())
    }
}

impl LogContent for Disk {
    fn start_offset(&self) -> Offset {
        self.log.start
    }

    fn end_offset(&self) -> Offset {
        self.log.end()
    }

    fn epoch_at(&self, offset: Offset) -> LeaderEpoch {
        self.log.entries[to_index(offset)].epoch
    }

    fn hash_below(&self, end: Offset) -> u64 {
        hash_of(&self.log.entries[..to_index(end)])
    }

    fn is_batch_boundary(&self, offset: Offset) -> bool {
        let next = self.log.entries.get(to_index(offset));
        next.is_none_or(|entry| !entry.continues)
    }

    fn configuration(&self) -> Option<(i16, VoterSet)> {
        configuration_of(&self.log.entries)
    }

    fn snapshots(&self) -> Vec<SnapshotContent> {
        self.snapshots.contents()
    }
}

pub(super) fn hash_of(entries: &[Entry]) -> u64 {
    let mix = |hash: u64, entry: &Entry| {
        let content = i64::from(entry.epoch.0).unsigned_abs() << 32 | u64::from(entry.written_by);
        (hash ^ content)
            .wrapping_mul(0x9e37_79b9_7f4a_7c15)
            .rotate_left(29)
    };
    entries.iter().fold(0x5151, mix)
}

/// What the control records among these say; None when there are none.
pub(super) fn configuration_of(entries: &[Entry]) -> Option<(i16, VoterSet)> {
    let changes = entries.iter().filter_map(|entry| entry.change.as_deref());
    let voters = changes
        .clone()
        .rev()
        .find_map(|change| change.voters.clone())?;
    let version = changes.rev().find_map(|change| change.kraft_version);
    Some((version.unwrap_or(0), voters))
}

fn common_prefix(left: &[Entry], right: &[Entry]) -> Offset {
    let pairs = left.iter().zip(right);
    to_offset(pairs.take_while(|(left, right)| left == right).count())
}

pub(super) fn to_offset(count: usize) -> Offset {
    Offset::try_from(count).expect("few records")
}

pub(super) fn to_index(offset: Offset) -> usize {
    usize::try_from(offset).expect("offsets of this log are small and not negative")
}

/// Contents of snapshot files by id.
pub(super) type Contents = BTreeMap<OffsetAndEpoch, Vec<Entry>>;
