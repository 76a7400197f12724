//! The snapshots on a disk. A byte of one is a record of the prefix it was made of.

use broker_protocol::ids::Offset;

use super::disk::{Contents, Entry, configuration_of, hash_of, to_index, to_offset};
use crate::raft::invariants::SnapshotContent;
use crate::raft::{OffsetAndEpoch, Snapshot, VoterSet};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct SnapshotFiles {
    /// Voters of the bootstrap snapshot, with `kraft.version` 1.
    pub(super) bootstrap: Option<VoterSet>,
    whole: Contents,
    /// Up to where the state machine whose snapshot is asked for has applied.
    pub(super) applied: Option<Offset>,
    /// Being written.
    writing: Option<(OffsetAndEpoch, Vec<Entry>)>,
    /// Being fetched, and whether all of it is there.
    partial: Option<(OffsetAndEpoch, Vec<Entry>, bool)>,
}

impl SnapshotFiles {
    pub(super) fn latest(&self) -> Option<(OffsetAndEpoch, &[Entry])> {
        let latest = self.whole.last_key_value();
        latest.map(|(&id, content)| (id, content.as_slice()))
    }

    pub(super) fn content(&self, id: OffsetAndEpoch) -> &[Entry] {
        &self.whole[&id]
    }

    pub(super) fn ids(&self) -> impl Iterator<Item = OffsetAndEpoch> + '_ {
        self.whole.keys().copied()
    }

    pub(super) fn is_writing(&self) -> bool {
        self.writing.is_some()
    }

    /// A fetched snapshot waits for its name.
    pub(super) fn is_finishing(&self) -> bool {
        self.partial.as_ref().is_some_and(|(_, _, all)| *all)
    }

    pub(super) fn write(&mut self, id: OffsetAndEpoch, content: Vec<Entry>) {
        assert!(self.writing.is_none(), "one snapshot at a time");
        self.writing = Some((id, content));
    }

    /// Voters and version of the snapshot being written, as its content says.
    pub(super) fn written_configuration(&self) -> (i16, Option<VoterSet>) {
        let (id, content) = self.writing.as_ref().expect("a snapshot is being written");
        let snapshot = as_read(*id, content);
        (snapshot.kraft_version, snapshot.voters)
    }

    pub(super) fn finish_write(&mut self) -> (OffsetAndEpoch, i64) {
        let (id, content) = self.writing.take().expect("a snapshot is being written");
        let size = to_offset(content.len());
        self.whole.insert(id, content);
        (id, size)
    }

    pub(super) fn chunk(&self, id: OffsetAndEpoch, position: i64, bytes: i32) -> Vec<Entry> {
        let content = self.content(id);
        let end = content.len().min(to_index(position + i64::from(bytes)));
        content[to_index(position)..end].to_vec()
    }

    pub(super) fn append_chunk(&mut self, id: OffsetAndEpoch, position: i64, chunk: &[Entry]) {
        if position == 0 {
            self.partial = Some((id, Vec::new(), false));
        }
        let (partial, content, _) = self.partial.as_mut().expect("begun at 0");
        assert!(
            *partial == id && to_offset(content.len()) == position,
            "a chunk of {id:?} at {position} after those of {partial:?}"
        );
        content.extend_from_slice(chunk);
    }

    pub(super) fn finish(&mut self, id: OffsetAndEpoch) {
        let (partial, _, all) = self.partial.as_mut().expect("a snapshot is being fetched");
        assert_eq!(*partial, id, "finishes another snapshot than it fetches");
        *all = true;
    }

    pub(super) fn finish_fetched(&mut self) -> Snapshot {
        let (id, content, _) = self.partial.take().expect("a snapshot is being fetched");
        let snapshot = as_read(id, &content);
        self.whole.insert(id, content);
        snapshot
    }

    pub(super) fn damage_fetched(&mut self) -> OffsetAndEpoch {
        let (id, ..) = self.partial.take().expect("a snapshot is being fetched");
        id
    }

    pub(super) fn delete_before(&mut self, start: i64) {
        self.whole.retain(|id, _| id.offset >= start);
    }

    pub(super) fn process_death(&mut self) {
        (self.writing, self.partial) = (None, None);
    }

    pub(super) fn recovered(&self) -> Vec<Snapshot> {
        let bootstrap = self.bootstrap.iter().map(|voters| Snapshot {
            id: OffsetAndEpoch::default(),
            size: 0,
            kraft_version: 1,
            voters: Some(voters.clone()),
        });
        let whole = self.whole.iter().map(|(&id, content)| as_read(id, content));
        bootstrap.chain(whole).collect()
    }

    pub(super) fn contents(&self) -> Vec<SnapshotContent> {
        let content = |(&id, content): (&OffsetAndEpoch, &Vec<Entry>)| SnapshotContent {
            id,
            hash: hash_of(content),
        };
        self.whole.iter().map(content).collect()
    }
}

fn as_read(id: OffsetAndEpoch, content: &[Entry]) -> Snapshot {
    let configuration = configuration_of(content);
    Snapshot {
        id,
        size: to_offset(content.len()),
        kraft_version: configuration.as_ref().map_or(0, |(version, _)| *version),
        voters: configuration.map(|(_, voters)| voters),
    }
}
