//! `kraft.version` and the voters as a function of the log (KIP-853): each control record is in force from the
//! moment it is appended, committed or not, and gone when it is truncated.

use broker_protocol::ids::Offset;

use super::{ConfigurationChange, Snapshot, VoterSet};

/// Where the records of the bootstrap snapshot (`00000000000000000000-0000000000.checkpoint`) are taken to be.
pub(super) const BOOTSTRAP_OFFSET: Offset = -1;

/// What is in force from an offset on.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Configuration {
    /// Base offset of the batch that says it; the last offset of a snapshot, -1 for the bootstrap snapshot;
    /// None for the static `controller.quorum.voters`.
    pub offset: Option<Offset>,
    pub kraft_version: i16,
    pub voters: VoterSet,
}

/// Ascending by offset, never empty; only the first may be without an offset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Configurations(Vec<Configuration>);

impl Configurations {
    /// What the snapshot says, or else `static_voters`.
    pub(super) fn starting_at(
        snapshot: Option<&Snapshot>,
        static_voters: &VoterSet,
    ) -> Configurations {
        let stored = snapshot.filter(|snapshot| snapshot.voters.is_some());
        let offset = stored.map(|snapshot| snapshot.id.offset - 1);
        let voters = stored.and_then(|snapshot| snapshot.voters.clone());
        Configurations(vec![Configuration {
            offset,
            kraft_version: snapshot.map_or(0, |snapshot| snapshot.kraft_version),
            voters: voters.unwrap_or_else(|| static_voters.clone()),
        }])
    }

    pub(super) fn latest(&self) -> &Configuration {
        self.0.last().expect("there is always a configuration")
    }

    /// What is in force for the records below `end`.
    pub(super) fn below(&self, end: Offset) -> &Configuration {
        let below = |known: &&Configuration| known.offset.is_none_or(|offset| offset < end);
        let found = self.0.iter().rev().find(below);
        found.unwrap_or(&self.0[0])
    }

    pub(super) fn iter(&self) -> impl Iterator<Item = &Configuration> {
        self.0.iter()
    }

    pub(super) fn append(&mut self, offset: Offset, change: &ConfigurationChange) {
        let latest = self.latest();
        assert!(
            latest.offset.is_none_or(|known| known < offset),
            "a configuration at {offset} after {:?}",
            latest.offset
        );
        let next = Configuration {
            offset: Some(offset),
            kraft_version: change.kraft_version.unwrap_or(latest.kraft_version),
            voters: change.voters.as_ref().unwrap_or(&latest.voters).clone(),
        };
        self.0.push(next);
    }

    /// Forgets what was written at or above `end`; tells whether that changes what is in force.
    pub(super) fn truncate(&mut self, end: Offset) -> bool {
        let stays = |known: &Configuration| known.offset.is_none_or(|offset| offset < end);
        let kept = 1.max(self.0.iter().take_while(|known| stays(known)).count());
        let changed = kept < self.0.len();
        self.0.truncate(kept);
        changed
    }

    /// Forgets what no record at or above `start` needs.
    pub(super) fn forget_before(&mut self, start: Offset) {
        let older = |known: &&Configuration| known.offset.is_none_or(|offset| offset < start);
        let replaced = self.0.iter().take_while(older).count().saturating_sub(1);
        self.0.drain(..replaced);
    }
}
