//! A follower's or observer's side of Fetch: one request at a time, matched with its answer, and never a
//! report of records that are not flushed.

use broker_probe::{mutant, probe};
use broker_protocol::ids::{NodeId, Offset};

use super::{
    Error, FetchRequest, FetchResponse, FetchSnapshotRequest, Inconsistency, OffsetAndEpoch,
    Output, Raft, Request, Role, Shutdown,
};

/// The fetch under way, of records or of a snapshot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Fetching {
    Idle,
    InFlight {
        to: NodeId,
        request: FetchRequest,
    },
    Chunk {
        to: NodeId,
        request: FetchSnapshotRequest,
    },
}

impl Raft {
    /// Sends the next fetch, if one is due: at most one in flight, not before the log is flushed, not during
    /// the pause after a failure.
    pub(super) fn fetch(&mut self, out: &mut Vec<Output>) {
        let Some(to) = self.fetch_target() else {
            return;
        };
        if self.fetching != Fetching::Idle
            || !self.retrying.is_empty()
            || self.shutdown != Shutdown::NotAsked
            || self.finishes_download()
        {
            return;
        }
        if let Some(request) = self.next_chunk() {
            self.fetching = Fetching::Chunk { to, request };
            let request = Request::FetchSnapshot(request);
            return self.say(Output::Send { to, request }, out);
        }
        // Observers too: the leader takes what they fetch for flushed as soon as they become voters (K-13).
        let flushes = self.is_voter() || !mutant!(K_13);
        if flushes && self.log.countable_end() < self.log.end() {
            return self.flush(out);
        }
        let request = self.fetch_request();
        self.fetching = Fetching::InFlight { to, request };
        self.say(
            Output::Send {
                to,
                request: Request::Fetch(request),
            },
            out,
        );
    }

    fn fetch_target(&self) -> Option<NodeId> {
        match &self.role {
            Role::Follower { leader, .. } => Some(*leader),
            Role::Unattached if !self.config.bootstrap_servers.is_empty() => {
                self.next_of(self.config.bootstrap_servers.clone())
            }
            Role::Unattached if !self.is_voter() => {
                self.next_of(self.other_voters().iter().map(|voter| voter.id).collect())
            }
            _ => None,
        }
    }

    /// The node after the one asked last.
    fn next_of(&self, mut nodes: Vec<NodeId>) -> Option<NodeId> {
        nodes.sort_unstable();
        let after = nodes.iter().find(|&&node| Some(node) > self.asked);
        after.or(nodes.first()).copied()
    }

    fn fetch_request(&self) -> FetchRequest {
        let OffsetAndEpoch { offset, epoch } = self.log.end_offset_and_epoch();
        FetchRequest {
            replica: self.config.me,
            current_leader_epoch: self.epoch,
            fetch_offset: offset,
            last_fetched_epoch: epoch,
            high_watermark: self.high_watermark.unwrap_or(-1),
            max_wait_ms: self.config.fetch_max_wait_ms,
        }
    }

    pub(super) fn on_fetch_response(
        &mut self,
        from: NodeId,
        request: FetchRequest,
        response: &FetchResponse,
        out: &mut Vec<Output>,
    ) {
        if !self.take_in_flight(from, &request) {
            return;
        }
        let told = (response.leader, response.leader_epoch);
        let counts = self.observe_response(response.error, told, out);
        let Role::Follower { leader, .. } = self.role else {
            return self.fetch_failed(from, out);
        };
        if self.fetching != Fetching::Idle {
            return;
        }
        if !counts || response.error != Error::None || leader != from {
            return self.fetch_failed(from, out);
        }
        let taken = match (response.diverging, response.snapshot) {
            (Some(diverging), _) => self.truncate_to(from, diverging, out),
            (None, Some(id)) => self.begin_download(id, out),
            (None, None) => self.append_fetched(response, out),
        };
        if taken {
            self.heard_leader(leader, out);
            self.fetch(out);
        } else {
            self.fetch_failed(from, out);
        }
    }

    pub(super) fn heard_leader(&mut self, leader: NodeId, out: &mut Vec<Output>) {
        self.role = Role::Follower {
            leader,
            hears_leader: true,
        };
        self.arm_fetch_timeout(out);
    }

    pub(super) fn on_fetch_failed(
        &mut self,
        to: NodeId,
        request: &FetchRequest,
        out: &mut Vec<Output>,
    ) {
        if self.take_in_flight(to, request) {
            self.fetch_failed(to, out);
        }
    }

    /// Whether this answers the fetch under way; anything else is late and speaks of a log that is no more.
    fn take_in_flight(&mut self, from: NodeId, request: &FetchRequest) -> bool {
        let matches = self.awaits_fetch(from, request);
        if matches {
            self.fetching = Fetching::Idle;
        } else {
            probe!("raft: an answer to a fetch that is no longer under way");
        }
        matches
    }

    /// Whether an answer to this fetch would be looked at; any other is late.
    pub fn awaits_fetch(&self, to: NodeId, request: &FetchRequest) -> bool {
        self.fetching
            == Fetching::InFlight {
                to,
                request: *request,
            }
    }

    pub(super) fn fetch_failed(&mut self, to: NodeId, out: &mut Vec<Output>) {
        self.asked = Some(to);
        if self.fetch_target().is_some()
            && self.fetching == Fetching::Idle
            && self.retrying.is_empty()
        {
            self.retry_later(to, out);
        }
    }

    fn truncate_to(
        &mut self,
        leader: NodeId,
        diverging: OffsetAndEpoch,
        out: &mut Vec<Output>,
    ) -> bool {
        let truncation = self.log.truncation_point(diverging);
        if let Some(high_watermark) = self.high_watermark
            && truncation < high_watermark
            && !mutant!(K_05)
        {
            let broken = Inconsistency::TruncationBelowHighWatermark {
                leader,
                truncation,
                high_watermark,
            };
            out.push(Output::Inconsistent(broken));
            return false;
        }
        let truncation = truncation.max(self.log.start());
        if truncation < self.log.end() {
            probe!("raft: a follower truncates");
            self.log.truncate(truncation);
            self.cap_flush(truncation);
            out.push(Output::Truncate { end: truncation });
            if self.configurations.truncate(truncation) {
                probe!("raft: a voter change is truncated");
                self.announce_configuration(out);
            }
        }
        true
    }

    fn append_fetched(&mut self, response: &FetchResponse, out: &mut Vec<Output>) -> bool {
        let fitting = self.log.continuation(&response.batches, self.epoch);
        let batches = response.batches[..fitting].to_vec();
        let mut changed = false;
        for batch in &batches {
            self.log
                .append(batch.epoch, batch.last_offset - batch.base_offset + 1);
            if let Some(change) = &batch.change {
                self.configurations.append(batch.base_offset, change);
                changed = true;
            }
        }
        if !batches.is_empty() {
            out.push(Output::AppendFetched { batches });
            self.flush(out);
        }
        if changed {
            self.announce_configuration(out);
        }
        if let Some(told) = response.high_watermark {
            let known: Offset = told.min(self.log.end());
            self.raise_high_watermark(known, out);
        }
        fitting == response.batches.len()
    }
}
