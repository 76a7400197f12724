//! The leader: appends, acks that wait, what followers have.

use std::collections::{BTreeMap, VecDeque};

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, NodeId, Offset};

use super::isr::PendingIsr;
use super::message::{Acks, FollowerFetch, Isr, Output, PartitionState, Reply};
use super::{Replica, Role};
use crate::Ticket;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Leader {
    pub epoch_start: Offset,
    /// As the controller has it.
    pub committed: Isr,
    /// The change that was asked for and not answered yet: one at a time.
    pub pending: Option<PendingIsr>,
    pub followers: BTreeMap<NodeId, RemoteReplica>,
    /// acks=all, ascending by end.
    pub awaiting_replication: VecDeque<Parked>,
    /// acks=1 with flush-before-ack, ascending by end.
    pub awaiting_flush: VecDeque<Parked>,
}

/// A produce request that waits for its records to be safe.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) struct Parked {
    pub ticket: Ticket,
    pub base_offset: Offset,
    pub end: Offset,
}

/// A follower as its fetches in this leader epoch show it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct RemoteReplica {
    /// None: has not fetched in this epoch.
    pub log_end: Option<Offset>,
    pub log_start: Option<Offset>,
    pub broker_epoch: Option<BrokerEpoch>,
    /// The leader's log end when this follower last fetched.
    leader_end_at_fetch: Option<Offset>,
    /// Had everything the leader had, at some time since the lag window began.
    pub caught_up: bool,
}

impl RemoteReplica {
    /// Caught up too: having what the leader had one fetch ago, else a steady trickle of small appends
    /// would keep every follower behind.
    fn fetched(&mut self, fetch: &FollowerFetch, leader_end: Offset) {
        let caught_up = fetch.fetch_offset >= leader_end
            || self
                .leader_end_at_fetch
                .is_some_and(|before| fetch.fetch_offset >= before);
        self.caught_up |= caught_up;
        self.log_end = Some(fetch.fetch_offset);
        self.log_start = Some(fetch.log_start);
        self.broker_epoch = Some(fetch.broker_epoch);
        self.leader_end_at_fetch = Some(leader_end);
    }
}

impl Leader {
    pub fn new(local: NodeId, state: &PartitionState, epoch_start: Offset) -> Leader {
        let mut leader = Leader {
            epoch_start,
            committed: state.isr.iter().copied().collect(),
            pending: None,
            followers: BTreeMap::new(),
            awaiting_replication: VecDeque::new(),
            awaiting_flush: VecDeque::new(),
        };
        leader.assign(local, &state.replicas);
        for (id, follower) in &mut leader.followers {
            follower.caught_up = leader.committed.contains(id);
        }
        leader
    }

    pub fn lead_again(self, local: NodeId, state: &PartitionState, epoch_start: Offset) -> Leader {
        Leader {
            awaiting_replication: self.awaiting_replication,
            awaiting_flush: self.awaiting_flush,
            ..Leader::new(local, state, epoch_start)
        }
    }

    /// Keeps what is known about followers that stay.
    pub fn assign(&mut self, local: NodeId, replicas: &[NodeId]) {
        self.followers.retain(|id, _| replicas.contains(id));
        for &id in replicas.iter().filter(|&&id| id != local) {
            self.followers.entry(id).or_default();
        }
    }

    pub fn reply_to_all(&mut self, error: ErrorCode, out: &mut Vec<Output>) {
        for parked in self
            .awaiting_flush
            .drain(..)
            .chain(self.awaiting_replication.drain(..))
        {
            out.push(Output::Reply {
                ticket: parked.ticket,
                reply: Reply::Produced(Err(error)),
            });
        }
    }

    fn forget(&mut self, ticket: Ticket) -> bool {
        [&mut self.awaiting_replication, &mut self.awaiting_flush]
            .into_iter()
            .any(|queue| {
                let position = queue.iter().position(|parked| parked.ticket == ticket);
                position
                    .and_then(|position| queue.remove(position))
                    .is_some()
            })
    }
}

impl Replica {
    pub(super) fn append(
        &mut self,
        ticket: Ticket,
        records: u32,
        acks: Acks,
        out: &mut Vec<Output>,
    ) {
        if self.refuses(ticket, acks, out) {
            return;
        }
        let base_offset = self.log.append_as_leader(self.leader_epoch, records);
        out.push(Output::Append {
            ticket,
            base_offset,
            epoch: self.leader_epoch,
        });
        self.park(
            Parked {
                ticket,
                base_offset,
                end: self.log.end,
            },
            acks,
        );
        self.after_log_grew(out);
    }

    /// A retry is acknowledged no earlier than what it repeats would be.
    pub(super) fn await_appended(&mut self, parked: Parked, acks: Acks, out: &mut Vec<Output>) {
        if self.refuses(parked.ticket, acks, out) {
            return;
        }
        self.park(parked, acks);
        self.reply_flushed(out);
        self.reply_replicated(out);
    }

    fn refuses(&self, ticket: Ticket, acks: Acks, out: &mut Vec<Output>) -> bool {
        let Err(error) = self.check_append(acks) else {
            return false;
        };
        if acks != Acks::None {
            out.push(Output::Reply {
                ticket,
                reply: Reply::Produced(Err(error)),
            });
        }
        true
    }

    /// Why a produce request is refused whatever is in it.
    pub fn check_append(&self, acks: Acks) -> Result<(), ErrorCode> {
        let leader = self.leader()?;
        if acks == Acks::All && leader.committed.len() < self.effective_min_insync_replicas() {
            return Err(ErrorCode::NotEnoughReplicas);
        }
        Ok(())
    }

    fn park(&mut self, parked: Parked, acks: Acks) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        match acks {
            Acks::None => {}
            Acks::Leader => insert(&mut leader.awaiting_flush, parked),
            Acks::All => insert(&mut leader.awaiting_replication, parked),
        }
    }

    pub(super) fn expire(&mut self, ticket: Ticket, out: &mut Vec<Output>) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if leader.forget(ticket) {
            probe!("replica: produce timed out");
            out.push(Output::Reply {
                ticket,
                reply: Reply::Produced(Err(ErrorCode::RequestTimedOut)),
            });
        }
    }

    pub(super) fn follower_fetch(
        &mut self,
        ticket: Ticket,
        fetch: FollowerFetch,
        out: &mut Vec<Output>,
    ) {
        let mut result = self.read_for_follower(&fetch);
        if let Ok(answer) = &mut result
            && answer.diverging.is_none()
            && fetch.current_leader_epoch.is_some()
        {
            self.count(&fetch, out);
            answer.high_watermark = self.log.high_watermark;
        }
        // a read that failed says nothing about the follower.
        if mutant!(R_17)
            && result.is_err()
            && let Role::Leader(leader) = &mut self.role
            && let Some(follower) = leader.followers.get_mut(&fetch.follower)
        {
            follower.log_end = Some(-1);
        }
        out.push(Output::Reply {
            ticket,
            reply: Reply::FollowerFetched(result),
        });
    }

    /// REP-4: reached only by a fetch of the current epoch whose log is a prefix of this one.
    fn count(&mut self, fetch: &FollowerFetch, out: &mut Vec<Output>) {
        let leader_end = self.log.end;
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let Some(follower) = leader.followers.get_mut(&fetch.follower) else {
            return;
        };
        let changed = follower.log_end != Some(fetch.fetch_offset);
        follower.fetched(fetch, leader_end);
        if changed {
            out.push(Output::FollowerCounted {
                follower: fetch.follower,
                log_end: fetch.fetch_offset,
            });
        }
        self.maybe_expand_isr(fetch.follower, out);
        if changed {
            self.advance_high_watermark(out);
        }
    }

    pub(super) fn delete_records(
        &mut self,
        ticket: Ticket,
        offset: Option<Offset>,
        out: &mut Vec<Output>,
    ) {
        let offset = offset.unwrap_or(self.log.high_watermark);
        let result = match self.leader() {
            Err(error) => Err(error),
            Ok(_) if offset < 0 || offset > self.log.high_watermark => {
                Err(ErrorCode::OffsetOutOfRange)
            }
            Ok(_) => {
                if self.log.raise_start(offset) {
                    out.push(Output::AdvanceLogStart { to: offset });
                }
                Ok(offset)
            }
        };
        out.push(Output::Reply {
            ticket,
            reply: Reply::RecordsDeleted(result),
        });
    }

    pub(super) fn leader(&self) -> Result<&Leader, ErrorCode> {
        match &self.role {
            Role::Leader(leader) => Ok(leader),
            Role::Follower(_) => Err(ErrorCode::NotLeaderOrFollower),
            Role::Offline(error) => Err(*error),
        }
    }
}

/// Keeps the queue ascending by end: only what was appended before does not go to its end.
fn insert(queue: &mut VecDeque<Parked>, parked: Parked) {
    let place = queue.partition_point(|other| other.end <= parked.end);
    queue.insert(place, parked);
}
