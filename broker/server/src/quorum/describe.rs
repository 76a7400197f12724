//! What DescribeQuorum tells (KIP-836).

use broker_core::raft::Role;
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};

use super::Quorum;

/// The quorum as its leader sees it; on other members only who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    pub leader: Option<NodeId>,
    pub epoch: LeaderEpoch,
    pub leads_here: bool,
    pub high_watermark: Offset,
    pub voters: Vec<ReplicaDescription>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaDescription {
    pub replica: ReplicaKey,
    /// -1 until it has fetched.
    pub log_end: Offset,
}

impl Quorum {
    pub(super) fn leads(&self) -> bool {
        matches!(self.raft.role(), Role::Leader(_))
    }

    pub(super) fn describe(&self) -> QuorumDescription {
        let mut description = QuorumDescription {
            leader: self.raft.leader(),
            epoch: self.raft.epoch(),
            leads_here: self.leads(),
            high_watermark: self.raft.high_watermark().unwrap_or(-1),
            voters: Vec::new(),
        };
        if let Role::Leader(leadership) = self.raft.role() {
            let me = self.raft.config().me;
            description.voters = self
                .raft
                .voters()
                .iter()
                .map(|replica| {
                    let progress = leadership
                        .voters
                        .get(&replica.id)
                        .and_then(|progress| progress.end);
                    let log_end = if replica.id == me.id {
                        self.log.end()
                    } else {
                        progress.unwrap_or(-1)
                    };
                    ReplicaDescription { replica, log_end }
                })
                .collect();
        }
        description
    }
}
