//! One replica of one partition: leader or follower, the ISR, the high watermark (KIP-101, 279, 320, 497,
//! 595's truncation on fetch, 841, 903, 966).
//!
//! - [`message`]: inputs and outputs. [`leader_epochs`]: the epoch history of a log.
//! - `leader`: appends, parked acks, followers' fetches. `isr`: AlterPartition. `high_watermark`: its rule.
//! - `follower`: truncation on divergence, appending what was fetched. `read`: queries, no state change.
//! - [`invariants`]: REP-1 … REP-5 over all replicas of a partition. `cluster`: replicas, their logs and
//!   messages as a value, for scripts and models.
//!
//! Contract with the shell: it validates batches, then [`Replica::step`]s, then does all outputs in order
//! before the next input. Long polls wait in the shell; `Append`, `AppendFetched`, `HighWatermark`,
//! `FollowerCounted` and the role changes say when to look again.

#[cfg(any(test, feature = "testbed"))]
pub mod cluster;
mod follower;
mod high_watermark;
pub mod invariants;
mod isr;
mod leader;
pub mod leader_epochs;
mod log;
pub mod message;
mod read;
#[cfg(test)]
mod tests;

use std::collections::BTreeMap;

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};

use follower::{Follower, Phase};
use leader::{Leader, Parked};
pub use leader_epochs::{EpochEndOffset, EpochEntry, LeaderEpochs};
use log::Log;
pub use message::{
    Acks, AlterPartitionId, AlteredPartition, Config, ConsumerFetch, FetchAnswer, FetchRequest,
    FetchResponse, Fetched, FetchedBatch, FollowerFetch, Input, Isr, LeaderOffsets, ListBounds,
    LogState, Output, PartitionState, Produced, Reply, Timer,
};

/// The replica of a partition on this broker.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Replica {
    local: NodeId,
    config: Config,
    log: Log,
    leader_epoch: LeaderEpoch,
    partition_epoch: PartitionEpoch,
    replicas: Vec<NodeId>,
    eligible: BTreeMap<NodeId, BrokerEpoch>,
    role: Role,
    /// [`Output::Truncate`] was given, its result is due.
    truncating: bool,
    next_request: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
enum Role {
    Leader(Leader),
    Follower(Follower),
    Offline(ErrorCode),
}

impl Replica {
    /// A follower of nobody, until metadata comes.
    pub fn new(local: NodeId, config: Config, log: LogState) -> Replica {
        Replica {
            local,
            config,
            log: Log::open(log),
            leader_epoch: LeaderEpoch(-1),
            partition_epoch: PartitionEpoch(-1),
            replicas: Vec::new(),
            eligible: BTreeMap::new(),
            role: Role::Follower(Follower {
                leader: NodeId::NONE,
                phase: Phase::Fetching,
            }),
            truncating: false,
            next_request: 0,
        }
    }

    /// Takes one input; what is to be done is appended to `out`.
    pub fn step(&mut self, input: Input, out: &mut Vec<Output>) {
        assert!(
            !self.truncating || matches!(input, Input::Truncated { .. } | Input::Stop(_)),
            "the truncation to {} is not reported yet: {input:?}",
            self.log.end
        );
        match input {
            Input::Metadata(state) => self.on_metadata(state, out),
            Input::Eligible(brokers) => {
                self.eligible = brokers;
                self.advance_high_watermark(out);
            }
            Input::Configure(config) => {
                self.config = config;
                self.after_log_grew(out);
            }
            Input::Append {
                ticket,
                records,
                acks,
            } => self.append(ticket, records, acks, out),
            Input::AppendedBefore {
                ticket,
                base_offset,
                last_offset,
                acks,
            } => {
                let end = last_offset + 1;
                self.await_appended(
                    Parked {
                        ticket,
                        base_offset,
                        end,
                    },
                    acks,
                    out,
                );
            }
            Input::Expire(ticket) => self.expire(ticket, out),
            Input::FollowerFetch { ticket, fetch } => self.follower_fetch(ticket, fetch, out),
            Input::DeleteRecords { ticket, offset } => self.delete_records(ticket, offset, out),
            Input::AlterPartitionResult { request, result } => {
                self.on_alter_partition(request, result, out)
            }
            Input::FetchResponse(response) => self.on_fetch_response(response, out),
            Input::LeaderOffsets {
                leader_epoch,
                offsets,
            } => self.on_leader_offsets(leader_epoch, offsets, out),
            Input::Flushed(id) => {
                if self.log.flushed(id) {
                    self.after_log_grew(out);
                }
            }
            Input::Truncated { log_end } => self.on_truncated(log_end, out),
            Input::LogStartAdvanced { log_start } => {
                // The leader is told with the next fetch.
                if self.log.raise_start(log_start) {
                    self.announce_fetch(out);
                }
            }
            Input::Timer(Timer::LagWindow) => self.on_lag_window(out),
            Input::Timer(Timer::AlterPartitionRetry) => self.on_alter_partition_retry(out),
            Input::Timer(Timer::FetchBackoff) => self.on_fetch_backoff(out),
            Input::Stop(error) => self.stop(error, out),
        }
        assert!(
            self.log.start <= self.log.high_watermark && self.log.high_watermark <= self.log.end,
            "high watermark {} outside of {} to {}",
            self.log.high_watermark,
            self.log.start,
            self.log.end
        );
    }

    /// The log or its durable part grew, or the rule for what counts changed.
    fn after_log_grew(&mut self, out: &mut Vec<Output>) {
        if self.config.flush_before_ack {
            self.log.request_flush(out);
        }
        match &self.role {
            Role::Leader(_) => {
                self.reply_flushed(out);
                self.advance_high_watermark(out);
            }
            Role::Follower(_) => self.announce_fetch(out),
            Role::Offline(_) => {}
        }
    }

    /// only a new leader epoch resets what is known about followers; a new partition epoch alone
    /// brings a new ISR and assignment. An equal one may still carry a new assignment (the answer to
    /// AlterPartition told us its epoch first), but no ISR: that would forget a pending one.
    fn on_metadata(&mut self, state: PartitionState, out: &mut Vec<Output>) {
        if matches!(self.role, Role::Offline(_)) {
            return;
        }
        if state.partition_epoch < self.partition_epoch || state.leader_epoch < self.leader_epoch {
            probe!("replica: stale metadata ignored");
            return;
        }
        let new_leader_epoch = state.leader_epoch > self.leader_epoch;
        let new_partition_epoch = state.partition_epoch > self.partition_epoch;
        self.leader_epoch = state.leader_epoch;
        self.partition_epoch = state.partition_epoch;
        self.replicas.clone_from(&state.replicas);
        match (state.leader == self.local, new_leader_epoch) {
            (true, true) => self.become_leader(&state, out),
            (false, true) => self.become_follower(state.leader, out),
            (_, false) => self.update_leader(&state, new_partition_epoch, out),
        }
    }

    fn become_leader(&mut self, state: &PartitionState, out: &mut Vec<Output>) {
        if self.log.epochs.latest_epoch() >= Some(state.leader_epoch) {
            // Led in this epoch before a restart: offsets of it may be lost and would be given out twice.
            probe!("replica: restarted leader does not lead again in its epoch");
            self.become_follower(NodeId::NONE, out);
            return;
        }
        let epoch_start = self.log.end;
        self.log.epochs.assign(state.leader_epoch, epoch_start);
        let previous = std::mem::replace(
            &mut self.role,
            Role::Offline(ErrorCode::NotLeaderOrFollower),
        );
        self.role = Role::Leader(match previous {
            // The log stays as it is, so what waits for acks may go on waiting in the new epoch. Followers
            // are forgotten: another leader in between may have made them truncate (REP-4).
            Role::Leader(before) => before.lead_again(self.local, state, epoch_start),
            _ => Leader::new(self.local, state, epoch_start),
        });
        out.push(Output::BecameLeader {
            epoch: state.leader_epoch,
            epoch_start,
        });
        out.push(Output::IsrChanged);
        self.after_log_grew(out);
    }

    fn become_follower(&mut self, leader: NodeId, out: &mut Vec<Output>) {
        if let Role::Leader(before) = &mut self.role {
            before.reply_to_all(ErrorCode::NotLeaderOrFollower, out);
        }
        let same_leader = matches!(&self.role, Role::Follower(before) if before.leader == leader);
        self.role = Role::Follower(Follower {
            leader,
            phase: Phase::Fetching,
        });
        out.push(Output::BecameFollower {
            epoch: self.leader_epoch,
            leader,
        });
        // The epochs this replica led in without a record are not in its log.
        if !mutant!(R_14) {
            self.log.epochs.truncate_from_end(self.log.end);
        }
        if mutant!(R_04) && same_leader && leader != NodeId::NONE {
            self.log.epochs.assign(self.leader_epoch, self.log.end);
        }
        if mutant!(R_01) {
            self.truncate(self.log.high_watermark, out);
        }
        self.after_log_grew(out);
    }

    fn update_leader(
        &mut self,
        state: &PartitionState,
        new_partition_epoch: bool,
        out: &mut Vec<Output>,
    ) {
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        if mutant!(R_29) && new_partition_epoch {
            leader.followers.clear();
        }
        leader.assign(self.local, &state.replicas);
        if new_partition_epoch {
            leader.commit_isr(state.isr.iter().copied().collect());
            out.push(Output::IsrChanged);
        }
        self.advance_high_watermark(out);
    }

    /// Cuts the log and waits for the storage to tell where exactly.
    fn truncate(&mut self, to: Offset, out: &mut Vec<Output>) {
        if to < self.log.high_watermark {
            probe!("replica: truncated below the high watermark");
        }
        self.log.truncate(to, out);
        self.truncating = matches!(out.last(), Some(Output::Truncate { .. }));
    }

    fn on_truncated(&mut self, log_end: Offset, out: &mut Vec<Output>) {
        assert!(
            self.truncating,
            "truncated to {log_end} without being asked"
        );
        self.truncating = false;
        self.log.truncated(log_end);
        self.after_log_grew(out);
    }

    fn stop(&mut self, error: ErrorCode, out: &mut Vec<Output>) {
        if let Role::Leader(leader) = &mut self.role {
            leader.reply_to_all(error, out);
        }
        self.truncating = false;
        self.role = Role::Offline(error);
    }
}
