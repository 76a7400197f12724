//! What a node is in its epoch.

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ids::{NodeId, Offset};

use super::{EndQuorumEpochRequest, FetchRequest, RoleName};
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
