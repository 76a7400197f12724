//! When the leader's high watermark moves, and who is answered then.

use broker_probe::mutant;

use super::leader::Leader;
use super::message::{Output, Produced, Reply};
use super::{Replica, Role};
use broker_protocol::ErrorCode;
use broker_protocol::ids::Offset;

impl Replica {
    /// `min.insync.replicas`, but not more than there are replicas (KIP-966).
    pub fn effective_min_insync_replicas(&self) -> usize {
        self.config
            .min_insync_replicas
            .min(self.replicas.len())
            .max(1)
    }

    pub(super) fn advance_high_watermark(&mut self, out: &mut Vec<Output>) {
        if let Some(end) = self.committable_end()
            && self.log.raise_high_watermark(end, out)
        {
            self.reply_replicated(out);
        }
    }

    /// How far a leader may move its high watermark: the smallest counted log end in the maximal ISR. Nowhere
    /// while the committed ISR is too small, because then its members may all be lost without the controller
    /// knowing a complete replica (KIP-966).
    pub(super) fn committable_end(&self) -> Option<Offset> {
        let Role::Leader(leader) = &self.role else {
            return None;
        };
        if leader.committed.len() < self.effective_min_insync_replicas() && !mutant!(R_20) {
            return None;
        }
        let own_end = if self.config.flush_before_ack {
            self.log.flushed_end
        } else {
            self.log.end
        };
        self.replicated_end(leader, own_end)
    }

    /// None while a member of the maximal ISR has not been heard of in this epoch. A replica that is caught
    /// up and may join is waited for as well, or else it would chase the high watermark for ever.
    fn replicated_end(&self, leader: &Leader, own_end: Offset) -> Option<Offset> {
        let mut end = own_end;
        for (&id, follower) in &leader.followers {
            let joining = follower.caught_up && self.is_eligible(id, follower);
            if leader.in_maximal_isr(id) || joining {
                end = end.min(follower.log_end?);
            }
        }
        Some(end)
    }

    /// Acks of all that the high watermark has passed.
    pub(super) fn reply_replicated(&mut self, out: &mut Vec<Output>) {
        let min_insync_replicas = self.effective_min_insync_replicas();
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        let enough = leader.maximal_isr_len() >= min_insync_replicas;
        while let Some(parked) = leader.awaiting_replication.front()
            && parked.end <= self.log.high_watermark
        {
            let produced = Produced {
                base_offset: parked.base_offset,
                log_start: self.log.start,
            };
            let result = if enough {
                Ok(produced)
            } else {
                Err(ErrorCode::NotEnoughReplicasAfterAppend)
            };
            out.push(Output::Reply {
                ticket: parked.ticket,
                reply: Reply::Produced(result),
            });
            leader.awaiting_replication.pop_front();
        }
    }

    /// Acks of the leader alone, where they have to be durable.
    pub(super) fn reply_flushed(&mut self, out: &mut Vec<Output>) {
        let durable = if self.config.flush_before_ack {
            self.log.flushed_end
        } else {
            self.log.end
        };
        let Role::Leader(leader) = &mut self.role else {
            return;
        };
        while let Some(parked) = leader.awaiting_flush.front()
            && parked.end <= durable
        {
            let produced = Produced {
                base_offset: parked.base_offset,
                log_start: self.log.start,
            };
            out.push(Output::Reply {
                ticket: parked.ticket,
                reply: Reply::Produced(Ok(produced)),
            });
            leader.awaiting_flush.pop_front();
        }
    }
}
