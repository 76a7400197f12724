//! Leaders and those who follow them: REP-1, REP-4, META-1 for leaders.

use std::collections::BTreeSet;

use super::Budget;
use super::event::BatchSummary;
use super::judge::{Invariant, Judge};
use super::partition::{Counted, Partition, Replica, Role};
use super::truth::Lack;

impl Partition {
    /// GRP-2: a coordinator is the leader of its epoch, and on one node epochs go forward only.
    pub fn coordinator_loaded(&mut self, node: i32, epoch: i32, judge: &mut Judge) {
        let id = self.id;
        let leads = self.leaders.get(&epoch) == Some(&node);
        let mut later = self.coordinators.range(epoch + 1..);
        let is_stale = later.any(|(_, coordinator)| *coordinator == node);
        judge.demand(
            leads && !is_stale,
            Invariant::Grp2,
            "two-coordinators",
            |judge| {
                let name = judge.name(id);
                format!("{name}: coordinates in epoch {epoch}, which it does not lead or has left")
            },
        );
        self.coordinators.insert(epoch, node);
    }

    pub fn became_leader(
        &mut self,
        node: i32,
        epoch: i32,
        epoch_start: i64,
        budget: &Budget,
        judge: &mut Judge,
    ) {
        self.one_leader(node, epoch, judge);
        let id = self.id;
        let Some(replica) = self.replicas.get_mut(&node) else {
            return;
        };
        let (before, end) = (replica.epoch, replica.log.end);
        judge.demand(before < epoch, Invariant::Meta1, "stale-epoch", |judge| {
            format!(
                "{}: leads in epoch {epoch} after epoch {before}",
                judge.name(id)
            )
        });
        judge.demand(
            epoch_start == end,
            Invariant::Rep3,
            "epoch-start",
            |judge| {
                format!(
                    "{}: epoch {epoch} starts at {epoch_start}, the log ends at {end}",
                    judge.name(id)
                )
            },
        );
        replica.role = Role::Leader;
        replica.epoch = epoch;
        replica.counted.clear();
        replica.log.assign_epoch(epoch, epoch_start);
        self.leader_completeness(node, epoch, budget, judge);
    }

    /// META-1: one leader in an epoch, and it is the one the controller chose.
    fn one_leader(&mut self, node: i32, epoch: i32, judge: &mut Judge) {
        let (id, first) = (self.id, *self.leaders.entry(epoch).or_insert(node));
        judge.demand(first == node, Invariant::Meta1, "two-leaders", |judge| {
            format!(
                "{}: epoch {epoch} has the leaders {first} and {node}",
                judge.name(id)
            )
        });
        let chosen = self
            .registered
            .values()
            .rev()
            .find(|state| state.leader_epoch == epoch);
        let chosen = chosen.map(|state| state.leader);
        judge.demand(
            chosen.is_none_or(|chosen| chosen == Some(node)),
            Invariant::Meta1,
            "unelected",
            |judge| {
                format!(
                    "{}: leads in epoch {epoch}, the controller chose {chosen:?}",
                    judge.name(id)
                )
            },
        );
    }

    /// REP-1: who leads has everything that was committed in an earlier epoch.
    fn leader_completeness(&mut self, node: i32, epoch: i32, budget: &Budget, judge: &mut Judge) {
        let Some(replica) = self.replicas.get(&node) else {
            return;
        };
        let earlier = |entry: &super::truth::Entry| entry.epoch < epoch;
        let lack =
            self.committed
                .lacking(&replica.log, replica.agreed, self.committed.end, earlier);
        let excused = lack.is_some_and(|lack| self.is_beyond_budget(lack, epoch, budget));
        let (id, own_end) = (self.id, replica.log.end);
        judge.demand(lack.is_none() || excused, Invariant::Rep1, "lost-write", |judge| {
            let Lack { entry, instead } = lack.expect("it is the violation");
            let lost = self.committed.acknowledged_from(entry.batch.base_offset);
            format!(
                "{}: leader of epoch {epoch} lacks {}, committed in epoch {} at event {}; it has {}, its log ends at {own_end}; acknowledged and lost from offset {}",
                judge.name(id), entry.batch, entry.epoch, entry.event, shown(instead),
                lost.map_or("none".to_owned(), |entry| entry.batch.base_offset.to_string()),
            )
        });
        if let Some(lack) = lack {
            self.shorten(lack.entry.batch.base_offset, epoch);
        } else if let Some(replica) = self.replicas.get_mut(&node) {
            replica.agreed = replica.agreed.max(self.committed.end.min(replica.log.end));
        }
        if budget.unclean_elections && self.is_unclean(epoch - 1, epoch) {
            self.comes_back(node, epoch, judge);
        }
    }

    /// What one unclean election took back, the next may bring again: its leader keeps its own high watermark.
    fn comes_back(&mut self, node: i32, epoch: i32, judge: &Judge) {
        if let Some(replica) = self.replicas.get(&node)
            && replica.high_watermark > self.committed.end
        {
            let event = judge.at.event;
            self.committed
                .extend(&replica.log, replica.high_watermark, epoch, event);
        }
    }

    /// Whether enough replicas lost data since, for the record to be gone lawfully.
    fn is_beyond_budget(&self, lack: Lack, epoch: i32, budget: &Budget) -> bool {
        if !budget.durable || (budget.unclean_elections && self.is_unclean(lack.entry.epoch, epoch))
        {
            return true;
        }
        let own = self
            .replicas
            .iter()
            .filter(|(_, replica)| replica.log.loss.after(lack.entry.event));
        let mut lossy: BTreeSet<i32> = own.map(|(node, _)| *node).collect();
        lossy.extend(&budget.lossy);
        lossy.len() >= self.min_insync
    }

    /// Whether a leader since the epoch `committed` was elected uncleanly, as far as anybody told.
    fn is_unclean(&self, committed: i32, epoch: i32) -> bool {
        let mut since = self
            .registered
            .values()
            .filter(|state| committed < state.leader_epoch && state.leader_epoch <= epoch)
            .peekable();
        since.peek().is_none() || since.any(|state| state.recovering)
    }

    /// What is above `end` is lost and known to be.
    fn shorten(&mut self, end: i64, epoch: i32) {
        self.lost_from = Some(self.lost_from.map_or(end, |lost| lost.min(end)));
        self.committed.shorten(end, epoch);
        for replica in self.replicas.values_mut() {
            replica.agreed = replica.agreed.min(end);
        }
    }

    pub fn became_follower(&mut self, node: i32, epoch: i32, judge: &mut Judge) {
        let id = self.id;
        let Some(replica) = self.replicas.get_mut(&node) else {
            return;
        };
        let before = replica.epoch;
        judge.demand(before <= epoch, Invariant::Meta1, "stale-epoch", |judge| {
            format!(
                "{}: follows in epoch {epoch} after epoch {before}",
                judge.name(id)
            )
        });
        replica.role = Role::Follower;
        replica.epoch = epoch;
        replica.counted.clear();
        replica.log.trim_epochs();
    }

    pub fn isr_changed(&mut self, node: i32, committed: &[i32], epoch: i32, partition_epoch: i32) {
        let Some(replica) = self.replicas.get_mut(&node) else {
            return;
        };
        if replica.epoch == epoch {
            replica.committed_isr = committed.to_vec();
            replica.partition_epoch = partition_epoch;
        }
    }

    /// REP-4: a follower is counted in the leader's epoch, for what it has, and has as the leader has it.
    pub fn follower_counted(
        &mut self,
        node: i32,
        follower: i32,
        log_end: i64,
        epoch: i32,
        judge: &mut Judge,
    ) {
        let id = self.id;
        let event = judge.at.event;
        if let Some(leader) = self.replicas.get_mut(&node) {
            leader.counted.insert(follower, Counted { log_end, event });
        }
        let (Some(leader), Some(other)) = (self.replicas.get(&node), self.replicas.get(&follower))
        else {
            return;
        };
        // Its fetch may have been under way while it moved on, was emptied or deleted.
        let gone = !other.exists || other.role == Role::None || other.log.loss.in_or_after(epoch);
        if gone || other.epoch > epoch {
            return;
        }
        let (its_epoch, its_end) = (other.epoch, other.log.end);
        let from = if other.matched.0 == epoch {
            other.matched.1
        } else {
            0
        };
        let difference = first_difference(leader, other, from, log_end.min(its_end));
        judge.demand(its_epoch == epoch, Invariant::Rep4, "counted-in-old-epoch", |judge| {
            format!("{}: epoch {epoch} counts {log_end} for node {follower}, which is in epoch {its_epoch}", judge.name(id))
        });
        judge.demand(
            log_end <= its_end,
            Invariant::Rep4,
            "counted-too-much",
            |judge| {
                format!(
                    "{}: counts {log_end} for node {follower}, whose log ends at {its_end}",
                    judge.name(id)
                )
            },
        );
        judge.demand(difference.is_none(), Invariant::Rep4, "counted-diverging", |judge| {
            let (own, its) = difference.expect("it is the violation");
            format!(
                "{}: counts {log_end} for node {follower}, which has {} where the leader has {}",
                judge.name(id), shown(its), shown(own)
            )
        });
        if let Some(other) = self.replicas.get_mut(&follower) {
            other.matched = (epoch, log_end.max(from));
        }
    }
}

pub fn shown(batch: Option<BatchSummary>) -> String {
    batch.map_or("nothing".to_owned(), |batch| batch.to_string())
}

type Difference = (Option<BatchSummary>, Option<BatchSummary>);

/// The first place in `[from, to)`, above both log starts, where two logs differ.
fn first_difference(one: &Replica, other: &Replica, from: i64, to: i64) -> Option<Difference> {
    let from = from.max(one.log.start).max(other.log.start);
    let (mut left, mut right) = (one.log.range(from, to), other.log.range(from, to));
    loop {
        match (left.next(), right.next()) {
            (None, None) => return None,
            (left, right) if left == right => {}
            (left, right) => return Some((left.copied(), right.copied())),
        }
    }
}
