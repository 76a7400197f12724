//! What DescribeQuorum tells (KIP-836, KIP-853).

use std::collections::BTreeMap;

use broker_core::raft::{Endpoint, FetchRequest, Role};
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};

use super::Quorum;

/// The quorum as its leader sees it; on other members only who leads.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuorumDescription {
    pub leader: Option<NodeId>,
    pub epoch: LeaderEpoch,
    pub leads_here: bool,
    pub kraft_version: i16,
    pub high_watermark: Offset,
    pub voters: Vec<ReplicaDescription>,
    pub observers: Vec<ReplicaDescription>,
    /// Where the voters listen, as far as the log says.
    pub endpoints: BTreeMap<NodeId, Vec<Endpoint>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaDescription {
    pub replica: ReplicaKey,
    /// -1 until it has fetched.
    pub log_end: Offset,
    pub times: FetchTimes,
}

/// When a replica fetched; wall time in ms, -1 never.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FetchTimes {
    pub last_fetch: i64,
    /// When it had everything that the leader had when it fetched the last time before.
    pub last_caught_up: i64,
    /// End of the leader's log when it last fetched.
    log_end: Offset,
}

impl FetchTimes {
    const NEVER: FetchTimes = FetchTimes {
        last_fetch: -1,
        last_caught_up: -1,
        log_end: -1,
    };

    fn fetched(&mut self, fetch_offset: Offset, log_end: Offset, now: i64) {
        if fetch_offset >= log_end {
            self.last_caught_up = now.max(self.last_caught_up);
        } else if self.log_end >= 0 && fetch_offset >= self.log_end {
            self.last_caught_up = self.last_fetch.max(self.last_caught_up);
        }
        self.last_fetch = now.max(self.last_fetch);
        self.log_end = log_end;
    }
}

impl Quorum {
    pub(super) fn leads(&self) -> bool {
        matches!(self.raft.role(), Role::Leader(_))
    }

    /// Remembers who fetches when; what the fetch is worth is the core's to say.
    pub(super) fn note_fetch(&mut self, fetch: &FetchRequest) {
        if !self.leads()
            || fetch.current_leader_epoch != self.raft.epoch()
            || fetch.replica.id.0 < 0
        {
            return;
        }
        let (now, log_end) = (self.env.clock.wall().0, self.log.end());
        let known = self.fetches.entry(fetch.replica);
        let times = known.or_insert(FetchTimes::NEVER);
        times.fetched(fetch.fetch_offset, log_end, now);
        if let Role::Leader(leadership) = self.raft.role() {
            let (voters, observers) = (self.raft.voters(), &leadership.observers);
            self.fetches.retain(|replica, _| {
                *replica == fetch.replica
                    || voters.contains(*replica)
                    || observers.contains_key(replica)
            });
        }
    }

    pub(super) fn describe(&self) -> QuorumDescription {
        let configuration = self.raft.configuration();
        let mut description = QuorumDescription {
            leader: self.raft.leader(),
            epoch: self.raft.epoch(),
            leads_here: self.leads(),
            kraft_version: configuration.kraft_version,
            high_watermark: self.raft.high_watermark().unwrap_or(-1),
            voters: Vec::new(),
            observers: Vec::new(),
            endpoints: BTreeMap::new(),
        };
        let Role::Leader(leadership) = self.raft.role() else {
            return description;
        };
        for voter in configuration.voters.voters() {
            description.voters.push(self.describe_voter(voter.key));
            description
                .endpoints
                .insert(voter.key.id, voter.endpoints.clone());
        }
        let times = |replica| self.fetches.get(replica).copied();
        description.observers = leadership
            .observers
            .iter()
            .map(|(replica, progress)| ReplicaDescription {
                replica: *replica,
                log_end: progress.end,
                times: times(replica).unwrap_or(FetchTimes::NEVER),
            })
            .collect();
        description
    }

    fn describe_voter(&self, voter: ReplicaKey) -> ReplicaDescription {
        if voter.id == self.node {
            let now = self.env.clock.wall().0;
            let times = FetchTimes {
                last_fetch: now,
                last_caught_up: now,
                ..FetchTimes::NEVER
            };
            return ReplicaDescription {
                replica: voter,
                log_end: self.log.end(),
                times,
            };
        }
        let progress = match self.raft.role() {
            Role::Leader(leadership) => leadership.voters.get(&voter.id),
            _ => None,
        };
        let fetched = |(replica, times): (&ReplicaKey, &FetchTimes)| {
            (replica.id == voter.id && self.raft.voters().contains(*replica)).then_some(*times)
        };
        ReplicaDescription {
            replica: voter,
            log_end: progress.and_then(|progress| progress.end).unwrap_or(-1),
            times: self
                .fetches
                .iter()
                .find_map(fetched)
                .unwrap_or(FetchTimes::NEVER),
        }
    }
}
