//! Votes and epochs as they are saved and told: RAFT-1, RAFT-4.

use super::judge::{Invariant, Judge};
use super::quorum::Quorum;

impl Quorum {
    pub fn state_saved(&mut self, node: i32, epoch: i32, voted: Option<i32>, judge: &mut Judge) {
        let member = self.member(node);
        let (before, uncertain) = (member.saved_epoch, member.log.loss.damaged);
        judge.demand(
            before <= epoch || uncertain,
            Invariant::Raft1,
            "epoch-fell",
            |_| format!("saved epoch {epoch} after epoch {before}"),
        );
        member.saved_epoch = epoch;
        member.saved_uncertain = false;
        if let Some(voted) = voted {
            let first = *member.votes.entry(epoch).or_insert(voted);
            judge.demand(
                first == voted || uncertain,
                Invariant::Raft1,
                "two-votes",
                |_| format!("voted for {first} and for {voted} in epoch {epoch}"),
            );
        }
    }

    pub fn vote_granted(&mut self, node: i32, epoch: i32, candidate: i32, judge: &mut Judge) {
        let member = self.member(node);
        let first = *member.granted.entry(epoch).or_insert(candidate);
        let uncertain = member.log.loss.damaged;
        judge.demand(
            first == candidate || uncertain,
            Invariant::Raft1,
            "two-votes",
            |_| format!("granted its vote to {first} and to {candidate} in epoch {epoch}"),
        );
        let saved = member.votes.get(&epoch).copied();
        let (saved_epoch, unknown) = (
            member.saved_epoch,
            saved.is_none() && member.saved_uncertain,
        );
        let durable = saved == Some(candidate) || unknown;
        judge.demand(durable || uncertain, Invariant::Raft4, "unsaved-vote", |_| {
            format!(
                "granted its vote to {candidate} in epoch {epoch}, saved is a vote for {saved:?} (epoch {saved_epoch})"
            )
        });
    }
}
