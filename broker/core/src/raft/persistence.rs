//! Nothing is said that depends on what a power loss could take back (RAFT-4): while the quorum state is
//! being saved, requests and replies wait here. At most one save and one flush are under way.

use broker_protocol::ids::Offset;

use super::{Output, QuorumState, Raft, Request, Response, Role};
use crate::{PersistId, Ticket};

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Persistence {
    /// What the file holds for certain.
    pub(super) saved: QuorumState,
    saving: Option<(PersistId, QuorumState)>,
    flushing: Option<(PersistId, Offset)>,
    held: Vec<Output>,
}

impl Persistence {
    pub(super) fn recovered(saved: QuorumState) -> Persistence {
        Persistence {
            saved,
            ..Persistence::default()
        }
    }

    pub(super) fn is_saving(&self) -> bool {
        self.saving.is_some()
    }

    /// Ids are used again only when nobody can still answer the former use: the numbers stay small, which
    /// keeps the model's states few.
    fn next_id(&self) -> PersistId {
        let saving = self.saving.map(|(id, _)| id);
        let flushing = self.flushing.map(|(id, _)| id);
        saving
            .max(flushing)
            .map_or(PersistId(0), |PersistId(last)| PersistId(last + 1))
    }
}

impl Raft {
    /// Saves the quorum state if it changed. Every transition calls it before it says anything.
    pub(super) fn save(&mut self, out: &mut Vec<Output>) {
        let state = self.quorum_state();
        if self.persistence.saving.is_none() && state != self.persistence.saved {
            let id = self.persistence.next_id();
            self.persistence.saving = Some((id, state));
            out.push(Output::SaveQuorumState { id, state });
        }
    }

    /// A request or reply: out when all it can depend on is durable.
    pub(super) fn say(&mut self, output: Output, out: &mut Vec<Output>) {
        if self.persistence.is_saving() {
            self.persistence.held.push(output);
        } else {
            assert_eq!(
                self.quorum_state(),
                self.persistence.saved,
                "{output:?} before the state is saved"
            );
            out.push(output);
        }
    }

    /// A reply without records.
    pub(super) fn reply(&mut self, ticket: Ticket, response: Response, out: &mut Vec<Output>) {
        let output = Output::Reply {
            ticket,
            response,
            read: None,
        };
        self.say(output, out);
    }

    /// Flushes what is not flushed yet; one flush serves everything appended before it starts.
    pub(super) fn flush(&mut self, out: &mut Vec<Output>) {
        let end = self.log.end();
        if self.persistence.flushing.is_none() && self.log.flushed() < end {
            let id = self.persistence.next_id();
            self.persistence.flushing = Some((id, end));
            out.push(Output::Flush { id, end });
        }
    }

    /// A flush under way says nothing about what is appended after a truncation.
    pub(super) fn cap_flush(&mut self, end: Offset) {
        if let Some((_, flushing)) = &mut self.persistence.flushing {
            *flushing = end.min(*flushing);
        }
    }

    pub(super) fn on_persisted(&mut self, id: PersistId, out: &mut Vec<Output>) {
        if let Some((_, state)) = self.persistence.saving.take_if(|(saving, _)| *saving == id) {
            self.persistence.saved = state;
            self.on_saved(out);
        } else if let Some((_, end)) = self
            .persistence
            .flushing
            .take_if(|(flushing, _)| *flushing == id)
        {
            self.log.flushed_to(end);
            self.flush(out);
            self.advance_high_watermark(out);
            self.fetch(out);
        } else {
            panic!("{id:?} was never asked for or is done already");
        }
    }

    fn on_saved(&mut self, out: &mut Vec<Output>) {
        self.save(out);
        if !self.persistence.is_saving() {
            for output in std::mem::take(&mut self.persistence.held) {
                if self.still_means(&output) {
                    out.push(output);
                }
            }
            self.count_own_vote(out);
        }
    }

    /// Every reply is owed. A request may have lost its sense while it was held: a fetch must not go out
    /// when the log has been truncated since, because it would report what is no longer there.
    fn still_means(&self, output: &Output) -> bool {
        match output {
            Output::Send {
                to,
                request: Request::Fetch(fetch),
            } => self.awaits_fetch(*to, fetch),
            Output::Send {
                to,
                request: Request::FetchSnapshot(fetch),
            } => self.awaits_chunk(*to, fetch),
            Output::Send {
                to,
                request: Request::Vote(vote),
            } => self.awaits_vote(*to, vote),
            Output::Send {
                request: Request::BeginQuorumEpoch(begin),
                ..
            } => begin.leader_epoch == self.epoch && matches!(self.role, Role::Leader(_)),
            Output::Send {
                request: Request::EndQuorumEpoch(end),
                ..
            } => end.leader_epoch == self.epoch && matches!(self.role, Role::Resigned { .. }),
            _ => true,
        }
    }
}
