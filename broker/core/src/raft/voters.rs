//! The voters of the quorum (KIP-853): who they are, where they listen, which `kraft.version` they support.

use std::collections::BTreeMap;

use broker_protocol::ids::{NodeId, ReplicaKey};

/// Versions of a feature that a node supports, both inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VersionRange {
    pub min: i16,
    pub max: i16,
}

impl VersionRange {
    /// `kraft.version` of a node that knows KIP-853.
    pub const KRAFT: VersionRange = VersionRange { min: 0, max: 1 };
    /// Before a node has told its own, as in a static `controller.quorum.voters`.
    pub const STATIC: VersionRange = VersionRange { min: 0, max: 0 };

    pub fn contains(self, version: i16) -> bool {
        (self.min..=self.max).contains(&version)
    }
}

/// Where a node listens, by listener; the core hands it on and never looks at it.
pub type Endpoints = Vec<Endpoint>;

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Endpoint {
    /// Listener name.
    pub name: String,
    pub host: String,
    pub port: u16,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Voter {
    pub key: ReplicaKey,
    pub endpoints: Endpoints,
    pub kraft_versions: VersionRange,
}

/// The voters by id, as a KRaftVoters record holds them.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VoterSet(BTreeMap<NodeId, Voter>);

impl VoterSet {
    /// Voters of whom only the key is known, as with a static `controller.quorum.voters`.
    pub fn new(voters: impl IntoIterator<Item = ReplicaKey>) -> VoterSet {
        let known_by_key = |key| Voter {
            key,
            endpoints: Endpoints::new(),
            kraft_versions: VersionRange::STATIC,
        };
        VoterSet::of(voters.into_iter().map(known_by_key))
    }

    pub fn of(voters: impl IntoIterator<Item = Voter>) -> VoterSet {
        let by_id = |voter: Voter| (voter.key.id, voter);
        VoterSet(voters.into_iter().map(by_id).collect())
    }

    pub fn contains(&self, replica: ReplicaKey) -> bool {
        self.get(replica.id)
            .is_some_and(|voter| is_replica(voter, replica))
    }

    pub fn get(&self, id: NodeId) -> Option<ReplicaKey> {
        self.voter(id).map(|voter| voter.key)
    }

    pub fn voter(&self, id: NodeId) -> Option<&Voter> {
        self.0.get(&id)
    }

    pub fn iter(&self) -> impl Iterator<Item = ReplicaKey> + '_ {
        self.voters().map(|voter| voter.key)
    }

    pub fn voters(&self) -> impl Iterator<Item = &Voter> {
        self.0.values()
    }

    pub fn len(&self) -> usize {
        self.0.len()
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// How many voters are more than half.
    pub fn majority(&self) -> usize {
        self.0.len() / 2 + 1
    }

    /// None when a voter has its id already.
    pub(super) fn with(&self, voter: Voter) -> Option<VoterSet> {
        if self.0.contains_key(&voter.key.id) {
            return None;
        }
        let mut voters = self.0.clone();
        voters.insert(voter.key.id, voter);
        Some(VoterSet(voters))
    }

    /// None when `replica` is no voter, or the only one: a quorum without voters could never act again.
    pub(super) fn without(&self, replica: ReplicaKey) -> Option<VoterSet> {
        if !self.contains(replica) || self.len() == 1 {
            return None;
        }
        let mut voters = self.0.clone();
        voters.remove(&replica.id);
        Some(VoterSet(voters))
    }

    /// The same voters with what `voter` says about itself; None when it is none of them.
    pub(super) fn updated(&self, voter: Voter) -> Option<VoterSet> {
        if !self.contains(voter.key) {
            return None;
        }
        let mut voters = self.0.clone();
        voters.insert(voter.key.id, voter);
        Some(VoterSet(voters))
    }
}

/// Whether `replica` is the one that `expected` names. A directory id counts only where it is expected: a
/// static voter set and requests of old versions name none.
pub(super) fn is_replica(expected: ReplicaKey, replica: ReplicaKey) -> bool {
    expected.id == replica.id
        && (expected.directory_id.is_zero() || expected.directory_id == replica.directory_id)
}
