//! The follower: truncates where its log diverges from the leader's, appends what it fetched.

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset};

use super::leader_epochs::EpochEndOffset;
use super::message::{
    FetchRequest, FetchResponse, Fetched, FetchedBatch, LeaderOffsets, Output, Timer,
};
use super::{Replica, Role};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Follower {
    /// [`NodeId::NONE`] while nobody leads.
    pub leader: NodeId,
    pub phase: Phase,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Fetching,
    /// Out of range: the leader's bounds are asked for.
    QueryingOffsets,
    BackingOff,
}

impl Replica {
    /// What to ask the leader for next; None while there is no leader, after an error until the timer, and
    /// with flush-before-ack until everything here is durable: the fetch offset is this replica's
    /// acknowledgement.
    pub fn fetch_request(&self) -> Option<FetchRequest> {
        let Role::Follower(follower) = &self.role else {
            return None;
        };
        let durable = !self.config.flush_before_ack || self.log.flushed_end >= self.log.end;
        let ready = follower.phase == Phase::Fetching && follower.leader != NodeId::NONE && durable;
        (ready && !self.truncating).then(|| FetchRequest {
            leader: follower.leader,
            leader_epoch: self.leader_epoch,
            fetch_offset: self.log.end,
            last_fetched_epoch: self.log.epochs.latest_epoch(),
            log_start: self.log.start,
        })
    }

    pub(super) fn announce_fetch(&self, out: &mut Vec<Output>) {
        if self.fetch_request().is_some() {
            out.push(Output::FetchReady);
        }
    }

    fn enter(&mut self, phase: Phase) {
        if let Role::Follower(follower) = &mut self.role {
            follower.phase = phase;
        }
    }

    fn back_off(&mut self, out: &mut Vec<Output>) {
        self.enter(Phase::BackingOff);
        out.push(Output::Arm(Timer::FetchBackoff));
    }

    pub(super) fn on_fetch_backoff(&mut self, out: &mut Vec<Output>) {
        if matches!(&self.role, Role::Follower(follower) if follower.phase == Phase::BackingOff) {
            self.enter(Phase::Fetching);
            self.announce_fetch(out);
        }
    }

    pub(super) fn on_fetch_response(&mut self, response: FetchResponse, out: &mut Vec<Output>) {
        if !self.is_awaited(&response.request) {
            probe!("replica: stale fetch response ignored");
            return;
        }
        match response.result {
            Ok(fetched) => match fetched.diverging {
                // the leader's high watermark is about the leader's log, which this one is not yet.
                Some(diverging) => {
                    if mutant!(R_10) {
                        self.log.raise_high_watermark(fetched.high_watermark, out);
                    }
                    self.truncate_diverging(diverging, out);
                }
                None => self.append_fetched(&fetched, out),
            },
            Err(ErrorCode::OffsetOutOfRange) => self.query_leader_offsets(out),
            Err(_) => self.back_off(out),
        }
    }

    /// an answer to an older epoch, position or history says nothing about this log. R-13: neither does
    /// one to a fetch of a time when this replica was a follower of somebody else, or is none any more.
    fn is_awaited(&self, request: &FetchRequest) -> bool {
        if mutant!(R_13) {
            return request.fetch_offset == self.log.end;
        }
        self.fetch_request().is_some_and(|current| {
            let same_epoch =
                request.leader_epoch == current.leader_epoch && request.leader == current.leader;
            let same_history = request.last_fetched_epoch == current.last_fetched_epoch;
            request.fetch_offset == current.fetch_offset
                && ((same_epoch && same_history) || mutant!(R_11))
        })
    }

    /// KIP-279: the leader's epoch may be unknown here; then this cuts to the end of the largest epoch
    /// below it, and the next fetch asks about that one.
    fn truncate_diverging(&mut self, leader: EpochEndOffset, out: &mut Vec<Output>) {
        probe!("replica: truncated on divergence");
        let own = self.log.epochs.end_offset_for(leader.epoch, self.log.end);
        let to = match own {
            _ if mutant!(R_02) => leader.end_offset,
            Some(own) if own.epoch != leader.epoch => own.end_offset,
            Some(own) => own.end_offset.min(leader.end_offset),
            None => leader.end_offset,
        };
        if to < 0 {
            return self.back_off(out);
        }
        self.truncate(to.min(self.log.end), out);
        self.after_truncation(out);
    }

    /// A log that was emptied at once needs no report from the storage.
    fn after_truncation(&mut self, out: &mut Vec<Output>) {
        if !self.truncating {
            self.after_log_grew(out);
        }
    }

    fn append_fetched(&mut self, fetched: &Fetched, out: &mut Vec<Output>) {
        if !self.follows_on(&fetched.batches) {
            probe!("replica: fetched batches do not follow on");
            return self.back_off(out);
        }
        if let Some(first) = fetched.batches.first() {
            let within_batch = first.base_offset < self.log.end;
            if within_batch {
                self.log
                    .truncate_fully(first.base_offset, self.log.start, out);
            }
            for batch in &fetched.batches {
                self.log.append_as_follower(*batch);
            }
            out.push(Output::AppendFetched {
                log_end: self.log.end,
            });
            if within_batch {
                // The log start lies inside of the first batch, the files now begin with it.
                out.push(Output::AdvanceLogStart { to: self.log.start });
            }
        }
        self.log.raise_high_watermark(fetched.high_watermark, out);
        let log_start = fetched.log_start.min(self.log.high_watermark);
        if self.log.raise_start(log_start) {
            out.push(Output::AdvanceLogStart { to: log_start });
        }
        self.after_log_grew(out);
    }

    /// Offsets and epochs grow, and the first batch begins at the log end or above it (compaction); below
    /// it only in an empty log.
    fn follows_on(&self, batches: &[FetchedBatch]) -> bool {
        let empty = self.log.start == self.log.end;
        let mut end = match batches.first() {
            Some(first) if empty && first.base_offset >= 0 && first.last_offset >= self.log.end => {
                first.base_offset
            }
            _ => self.log.end,
        };
        let mut epoch = self.log.epochs.latest_epoch().unwrap_or(LeaderEpoch(0));
        batches.iter().all(|batch| {
            let grows = end <= batch.base_offset && batch.base_offset <= batch.last_offset;
            let of_epoch = epoch <= batch.leader_epoch && batch.leader_epoch <= self.leader_epoch;
            end = batch.last_offset.saturating_add(1);
            epoch = batch.leader_epoch;
            grows && of_epoch
        })
    }

    fn query_leader_offsets(&mut self, out: &mut Vec<Output>) {
        let Role::Follower(follower) = &mut self.role else {
            return;
        };
        probe!("replica: fetch offset out of range");
        follower.phase = Phase::QueryingOffsets;
        out.push(Output::QueryLeaderOffsets {
            leader: follower.leader,
            leader_epoch: self.leader_epoch,
        });
    }

    /// Out of range above (only after an unclean election): go back to the leader's end. Below: nothing
    /// here is of use any more.
    pub(super) fn on_leader_offsets(
        &mut self,
        leader_epoch: LeaderEpoch,
        offsets: Option<LeaderOffsets>,
        out: &mut Vec<Output>,
    ) {
        let Role::Follower(follower) = &self.role else {
            return;
        };
        if leader_epoch != self.leader_epoch || follower.phase != Phase::QueryingOffsets {
            probe!("replica: stale leader offsets ignored");
            return;
        }
        match offsets {
            Some(offsets) if valid(offsets) && offsets.log_end < self.log.end => {
                self.enter(Phase::Fetching);
                self.truncate(offsets.log_end, out);
                self.after_truncation(out);
            }
            Some(offsets) if valid(offsets) && offsets.log_start > self.log.end => {
                self.enter(Phase::Fetching);
                self.restart_at(offsets.log_start, out);
            }
            _ => self.back_off(out),
        }
    }

    fn restart_at(&mut self, log_start: Offset, out: &mut Vec<Output>) {
        self.log.truncate_fully(log_start, log_start, out);
        self.after_truncation(out);
    }
}

fn valid(offsets: LeaderOffsets) -> bool {
    0 <= offsets.log_start && offsets.log_start <= offsets.log_end
}
