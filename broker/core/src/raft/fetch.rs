//! The leader's side of Fetch: what a replica has, what it gets, and the wait when there is nothing new.

use broker_probe::{mutant, probe};
use broker_protocol::ids::{LeaderEpoch, NodeId, Offset};

use super::log::Continuation;
use super::{
    Error, FetchRequest, FetchResponse, Leadership, ObserverProgress, Output, Raft, ReadRange,
    Response, Role, Timer,
};
use crate::Ticket;

/// Kafka's: an observer that has not fetched for so long is gone.
const OBSERVER_SESSION_MS: u64 = 300_000;

impl Raft {
    pub(super) fn on_fetch_request(
        &mut self,
        ticket: Ticket,
        request: FetchRequest,
        out: &mut Vec<Output>,
    ) {
        let error = self.fetch_request_error(&request);
        if error != Error::None {
            return self.reply_fetch_error(ticket, error, out);
        }
        self.release_former_fetch(request.replica.id, out);
        let (offset, epoch) = (request.fetch_offset, request.last_fetched_epoch);
        let (diverging, snapshot) = match self.log.continue_from(offset, epoch) {
            Continuation::Valid => {
                self.record_fetch(&request, out);
                return self.answer_or_park(ticket, request, out);
            }
            Continuation::Diverging(at) => {
                probe!("raft: a follower's log diverges");
                (Some(at), None)
            }
            Continuation::Snapshot(id) => {
                probe!("raft: a follower is sent to a snapshot");
                (None, Some(id))
            }
        };
        self.count_fetch_if_voter(&request, out);
        let response = FetchResponse {
            diverging,
            snapshot,
            ..self.fetch_response()
        };
        self.reply_fetch(ticket, response, None, out);
    }

    fn fetch_request_error(&self, request: &FetchRequest) -> Error {
        let (epoch, last) = (request.current_leader_epoch, request.last_fetched_epoch);
        let replica = request.replica.id;
        let Role::Leader(leadership) = &self.role else {
            return self.epoch_error(epoch, Error::NotLeaderOrFollower);
        };
        let possible = request.fetch_offset >= 0 && last.0 >= 0 && last <= epoch;
        let foreign = replica.0 >= 0 && replica != self.id();
        let shrinks = mutant!(K_20) && leadership.would_shrink(request);
        if !possible || !foreign || shrinks {
            Error::InvalidRequest
        } else {
            self.epoch_error(epoch, Error::None)
        }
    }

    /// Fences a request to a leader of `epoch`; `otherwise` when it is this node's.
    pub(super) fn epoch_error(&self, epoch: LeaderEpoch, otherwise: Error) -> Error {
        match epoch.cmp(&self.epoch) {
            std::cmp::Ordering::Less => Error::FencedLeaderEpoch,
            std::cmp::Ordering::Greater => Error::UnknownLeaderEpoch,
            std::cmp::Ordering::Equal => otherwise,
        }
    }

    /// A replica has one fetch at a time; a second means that it gave up the first.
    fn release_former_fetch(&mut self, replica: NodeId, out: &mut Vec<Output>) {
        let Role::Leader(leadership) = &self.role else {
            return;
        };
        let former = leadership
            .parked
            .iter()
            .find(|(_, request)| request.replica.id == replica);
        if let Some((&ticket, _)) = former {
            probe!("raft: a replica fetches again while its fetch is parked");
            self.release(ticket, out);
        }
    }

    fn count_fetch_if_voter(&mut self, request: &FetchRequest, out: &mut Vec<Output>) {
        if self.voters().contains(request.replica) {
            self.count_fetch_of(request.replica.id, out);
        }
    }

    /// The fetch offset is the acknowledgement: everything below is flushed there.
    fn record_fetch(&mut self, request: &FetchRequest, out: &mut Vec<Output>) {
        if !self.voters().contains(request.replica) {
            return self.record_observer(request, out);
        }
        let Role::Leader(leadership) = &mut self.role else {
            return;
        };
        if let Some(progress) = leadership.voters.get_mut(&request.replica.id) {
            if progress.end.is_some_and(|end| request.fetch_offset < end) {
                // It lost its disk. To refuse it would only keep it from catching up (K-20).
                probe!("raft: a voter's log end went back");
            }
            progress.end = Some(request.fetch_offset);
        }
        self.count_fetch_of(request.replica.id, out);
        self.advance_high_watermark(out);
    }

    fn record_observer(&mut self, request: &FetchRequest, out: &mut Vec<Output>) {
        let end = self.log.end();
        if let Role::Leader(leadership) = &mut self.role
            && leadership.record_observer(request.replica, request.fetch_offset, end)
        {
            arm_observers(out);
        }
    }

    /// Forgets the observers that are gone.
    pub(super) fn on_observers_timer(&mut self, out: &mut Vec<Output>) {
        let Role::Leader(leadership) = &mut self.role else {
            return;
        };
        let seen = |_: &_, observer: &mut ObserverProgress| std::mem::take(&mut observer.seen);
        leadership.observers.retain(seen);
        if !leadership.observers.is_empty() {
            arm_observers(out);
        }
    }

    fn answer_or_park(&mut self, ticket: Ticket, request: FetchRequest, out: &mut Vec<Output>) {
        let end = self.log.end();
        let Role::Leader(leadership) = &mut self.role else {
            // What this fetch acknowledged was the last that a leader outside of its voters had to commit.
            probe!("raft: a fetch ends a leadership");
            return self.reply_fetch_error(ticket, Error::NotLeaderOrFollower, out);
        };
        let news = request.fetch_offset < end || leadership.knows_higher_watermark(&request);
        if news || request.max_wait_ms == 0 {
            return self.answer(ticket, &request, out);
        }
        let ms = request.max_wait_ms;
        leadership.parked.insert(ticket, request);
        out.push(Output::Arm {
            timer: Timer::Parked(ticket),
            min_ms: ms,
            max_ms: ms,
        });
    }

    fn answer(&mut self, ticket: Ticket, request: &FetchRequest, out: &mut Vec<Output>) {
        let (from, to) = (request.fetch_offset, self.log.end());
        let read = (from < to).then_some(ReadRange { from, to });
        self.reply_fetch(ticket, self.fetch_response(), read, out);
    }

    fn release(&mut self, ticket: Ticket, out: &mut Vec<Output>) {
        let Role::Leader(leadership) = &mut self.role else {
            return;
        };
        if let Some(request) = leadership.parked.remove(&ticket) {
            out.push(Output::Disarm(Timer::Parked(ticket)));
            self.answer(ticket, &request, out);
        }
    }

    pub(super) fn answer_parked_with_records(&mut self, out: &mut Vec<Output>) {
        let end = self.log.end();
        self.release_all(|_, request| request.fetch_offset < end, out);
    }

    pub(super) fn answer_parked_with_high_watermark(&mut self, out: &mut Vec<Output>) {
        self.release_all(
            |leadership, request| leadership.knows_higher_watermark(request),
            out,
        );
    }

    fn release_all(
        &mut self,
        chosen: impl Fn(&Leadership, &FetchRequest) -> bool,
        out: &mut Vec<Output>,
    ) {
        let Role::Leader(leadership) = &self.role else {
            return;
        };
        let waiting = leadership
            .parked
            .iter()
            .filter(|(_, request)| chosen(leadership, request));
        let tickets: Vec<Ticket> = waiting.map(|(&ticket, _)| ticket).collect();
        for ticket in tickets {
            self.release(ticket, out);
        }
    }

    pub(super) fn on_parked_timer(&mut self, ticket: Ticket, out: &mut Vec<Output>) {
        let Role::Leader(leadership) = &mut self.role else {
            return;
        };
        if let Some(request) = leadership.parked.remove(&ticket) {
            self.answer(ticket, &request, out);
        }
    }

    pub(super) fn on_cancelled(&mut self, ticket: Ticket, out: &mut Vec<Output>) {
        let Role::Leader(leadership) = &mut self.role else {
            return;
        };
        if leadership.parked.remove(&ticket).is_some() {
            out.push(Output::Disarm(Timer::Parked(ticket)));
        }
    }

    fn fetch_response(&self) -> FetchResponse {
        let high_watermark = match &self.role {
            Role::Leader(leadership) => leadership.high_watermark,
            _ => None,
        };
        FetchResponse {
            error: Error::None,
            leader: self.leader(),
            leader_epoch: self.epoch,
            high_watermark,
            log_start_offset: self.log.start(),
            diverging: None,
            snapshot: None,
            batches: Vec::new(),
        }
    }

    pub(super) fn reply_fetch_error(
        &mut self,
        ticket: Ticket,
        error: Error,
        out: &mut Vec<Output>,
    ) {
        let response = FetchResponse {
            error,
            high_watermark: None,
            ..self.fetch_response()
        };
        self.reply_fetch(ticket, response, None, out);
    }

    fn reply_fetch(
        &mut self,
        ticket: Ticket,
        response: FetchResponse,
        read: Option<ReadRange>,
        out: &mut Vec<Output>,
    ) {
        let response = Response::Fetch(response);
        self.say(
            Output::Reply {
                ticket,
                response,
                read,
            },
            out,
        );
    }
}

fn arm_observers(out: &mut Vec<Output>) {
    out.push(Output::Arm {
        timer: Timer::Observers,
        min_ms: OBSERVER_SESSION_MS,
        max_ms: OBSERVER_SESSION_MS,
    });
}

impl Leadership {
    /// A replica without new records still needs the news that they are committed (K-23).
    fn knows_higher_watermark(&self, request: &FetchRequest) -> bool {
        self.high_watermark
            .is_some_and(|known: Offset| request.high_watermark < known)
    }

    fn would_shrink(&self, request: &FetchRequest) -> bool {
        let progress = self.voters.get(&request.replica.id);
        progress
            .and_then(|progress| progress.end)
            .is_some_and(|end| request.fetch_offset < end)
    }
}
