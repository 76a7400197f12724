//! What a node is in its epoch.

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ids::{NodeId, Offset, ReplicaKey};

use super::reconfiguration::VoterChange;
use super::{EndQuorumEpochRequest, FetchRequest, RoleName, Voter};
use crate::Ticket;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Role {
    /// Knows no leader. A voter waits for the election timer, an observer asks one voter after the other.
    Unattached,
    /// KIP-996: asks whether it would be elected, before it disturbs anyone with a new epoch.
    Prospective {
        ballot: Ballot,
        leader: Option<NodeId>,
    },
    /// Voted for itself in a new epoch. With `backing_off` it lost and waits for the election timer.
    Candidate {
        ballot: Ballot,
        backing_off: bool,
    },
    Follower {
        leader: NodeId,
        /// The leader answered since this node follows it and has not said that it resigns.
        hears_leader: bool,
    },
    Leader(Leadership),
    /// Gave up leadership of the epoch, in which nobody else can be elected.
    Resigned {
        request: EndQuorumEpochRequest,
        unacknowledged: BTreeSet<NodeId>,
    },
}

/// Who answered a vote or pre-vote, and how.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ballot {
    pub granted: BTreeSet<NodeId>,
    pub rejected: BTreeSet<NodeId>,
}

impl Ballot {
    pub(super) fn is_open(&self, voter: NodeId) -> bool {
        !self.granted.contains(&voter) && !self.rejected.contains(&voter)
    }

    pub(super) fn record(&mut self, voter: NodeId, granted: bool) {
        if self.is_open(voter) {
            if granted {
                self.granted.insert(voter)
            } else {
                self.rejected.insert(voter)
            };
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leadership {
    /// Offset of the LeaderChange record.
    pub epoch_start: Offset,
    /// None until a record of this epoch is committed.
    pub high_watermark: Option<Offset>,
    /// The other voters.
    pub voters: BTreeMap<NodeId, Progress>,
    /// Replicas that fetch and are no voters.
    pub observers: BTreeMap<ReplicaKey, ObserverProgress>,
    pub(super) change: Option<VoterChange>,
    /// With `kraft.version` 0: what the voters have told about themselves.
    pub(super) told: BTreeMap<NodeId, Voter>,
    /// Voters that fetched since the check-quorum timer was armed.
    pub(super) fetched: BTreeSet<NodeId>,
    /// Fetches that wait for something new; at most one per replica.
    pub(super) parked: BTreeMap<Ticket, FetchRequest>,
}

/// What the leader knows of another voter.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Progress {
    /// End of the log the voter reported, which it has flushed; None before its first fetch.
    pub end: Option<Offset>,
    /// Fetched, or answered BeginQuorumEpoch, since that request was last due.
    pub(super) acknowledged: bool,
}

/// What the leader knows of an observer.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ObserverProgress {
    /// End of its log, all of it flushed.
    pub end: Offset,
    /// End of the leader's log when it last fetched.
    pub(super) leader_end: Offset,
    /// Has once had all that was there at its last fetch but one.
    pub caught_up: bool,
    /// Fetched since the observers' timer was armed.
    pub(super) seen: bool,
}

impl Leadership {
    /// An observer fetched from `fetch_offset`; true when it is the first known.
    pub(super) fn record_observer(
        &mut self,
        replica: ReplicaKey,
        fetch_offset: Offset,
        leader_end: Offset,
    ) -> bool {
        let first = self.observers.is_empty();
        let known = self.observers.get(&replica);
        let reached = known.map_or(leader_end, |known| known.leader_end);
        let caught_up = fetch_offset >= reached || known.is_some_and(|known| known.caught_up);
        let progress = ObserverProgress {
            end: fetch_offset,
            leader_end,
            caught_up,
            seen: true,
        };
        self.observers.insert(replica, progress);
        first
    }

    /// The voters changed to `others` and this node, if it is one. What is known of a replica stays known.
    pub(super) fn sort_replicas(&mut self, others: &[ReplicaKey]) {
        let former = std::mem::take(&mut self.voters);
        for voter in others {
            let observed = self.observers.remove(voter).map(|observer| Progress {
                end: Some(observer.end),
                acknowledged: true,
            });
            let known = former.get(&voter.id).copied();
            let progress = observed.or(known).unwrap_or_default();
            self.voters.insert(voter.id, progress);
        }
        self.fetched.retain(|id| self.voters.contains_key(id));
    }
}

impl Role {
    pub fn name(&self) -> RoleName {
        match self {
            Role::Unattached => RoleName::Unattached,
            Role::Prospective { .. } => RoleName::Prospective,
            Role::Candidate { .. } => RoleName::Candidate,
            Role::Follower { .. } => RoleName::Follower,
            Role::Leader(_) => RoleName::Leader,
            Role::Resigned { .. } => RoleName::Resigned,
        }
    }
}
