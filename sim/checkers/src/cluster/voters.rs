//! Voters that come and go (KIP-853): RAFT-5.

use std::collections::BTreeSet;

use super::event::QuorumRole;
use super::judge::{Invariant, Judge};
use super::quorum::Quorum;

/// What a leader has done with its voters; forgotten with its epoch.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// It has moved the high watermark, so a record of its epoch is committed.
    pub commits: bool,
    /// Where its log ended with its last change.
    pub last_end: Option<i64>,
}

impl Quorum {
    /// RAFT-5: a leader changes its voters by one at a time, the next only after the last is committed, and none
    /// before it has committed in its epoch. Others may see several changes at once.
    pub fn voters(&mut self, node: i32, voters: &[i32], judge: &mut Judge) {
        let member = self.member(node);
        let before = std::mem::replace(&mut member.voters, voters.to_vec());
        if member.role != Some(QuorumRole::Leader) {
            return;
        }
        let (was, is): (BTreeSet<i32>, BTreeSet<i32>) = (
            before.into_iter().collect(),
            voters.iter().copied().collect(),
        );
        let changed = was.symmetric_difference(&is).count();
        if changed == 0 {
            return;
        }
        let (epoch, committed) = (member.epoch, member.high_watermark);
        let changes = member.changes;
        member.changes.last_end = Some(member.log.end);
        judge.demand(changed == 1, Invariant::Raft5, "several-voters", |_| {
            format!("leader of epoch {epoch} changes the voters from {was:?} to {is:?} at once")
        });
        judge.demand(changes.commits, Invariant::Raft5, "change-before-commit", |_| {
            format!("leader of epoch {epoch} changes the voters to {is:?} before it commits in its epoch")
        });
        let open = changes.last_end.filter(|end| committed < Some(*end));
        judge.demand(open.is_none(), Invariant::Raft5, "two-changes", |_| {
            format!(
                "leader of epoch {epoch} changes the voters to {is:?}, the change before, which ends at {open:?}, \
                 is not committed (high watermark {committed:?})"
            )
        });
    }
}
