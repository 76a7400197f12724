//! Leaders, high watermarks and what is promised upon them: REP-1, REP-2 below the high watermark, REP-4,
//! REP-5, CLI-4, META-1 for leaders.

use std::collections::BTreeSet;

use super::Budget;
use super::event::BatchSummary;
use super::judge::{Invariant, Judge};
use super::partition::{Counted, Partition, Replica, Role};
use super::truth::Lack;

/// A high watermark that moved.
pub struct Raised<'a> {
    pub high_watermark: i64,
    pub epoch: i32,
    pub maximal_isr: &'a [i32],
    pub min_insync_replicas: i32,
}

impl Partition {
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
        let Some(replica) = self.replicas.get_mut(&node) else { return };
        let (before, end) = (replica.epoch, replica.log.end);
        judge.demand(before < epoch, Invariant::Meta1, "stale-epoch", |judge| {
            format!("{}: leads in epoch {epoch} after epoch {before}", judge.name(id))
        });
        judge.demand(epoch_start == end, Invariant::Rep3, "epoch-start", |judge| {
            format!("{}: epoch {epoch} starts at {epoch_start}, the log ends at {end}", judge.name(id))
        });
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
            format!("{}: epoch {epoch} has the leaders {first} and {node}", judge.name(id))
        });
        let chosen = self.registered.values().rev().find(|state| state.leader_epoch == epoch);
        let chosen = chosen.map(|state| state.leader);
        judge.demand(chosen.is_none_or(|chosen| chosen == Some(node)), Invariant::Meta1, "unelected", |judge| {
            format!("{}: leads in epoch {epoch}, the controller chose {chosen:?}", judge.name(id))
        });
    }

    /// REP-1: who leads has everything that was committed in an earlier epoch.
    fn leader_completeness(&mut self, node: i32, epoch: i32, budget: &Budget, judge: &mut Judge) {
        let Some(replica) = self.replicas.get(&node) else { return };
        let earlier = |entry: &super::truth::Entry| entry.epoch < epoch;
        let lack = self.committed.lacking(&replica.log, replica.agreed, self.committed.end, earlier);
        let excused = lack.is_some_and(|lack| self.is_beyond_budget(lack, budget));
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
    }

    /// Whether enough replicas lost data since, for the record to be gone lawfully.
    fn is_beyond_budget(&self, lack: Lack, budget: &Budget) -> bool {
        if !budget.durable || budget.unclean_elections {
            return true;
        }
        let own = self.replicas.iter().filter(|(_, replica)| replica.log.loss.after(lack.entry.event));
        let mut lossy: BTreeSet<i32> = own.map(|(node, _)| *node).collect();
        lossy.extend(&budget.lossy);
        lossy.len() >= self.min_insync
    }

    /// What is above `end` is lost and known to be.
    fn shorten(&mut self, end: i64, epoch: i32) {
        self.committed.shorten(end, epoch);
        for replica in self.replicas.values_mut() {
            replica.agreed = replica.agreed.min(end);
        }
    }

    pub fn became_follower(&mut self, node: i32, epoch: i32, judge: &mut Judge) {
        let id = self.id;
        let Some(replica) = self.replicas.get_mut(&node) else { return };
        let before = replica.epoch;
        judge.demand(before <= epoch, Invariant::Meta1, "stale-epoch", |judge| {
            format!("{}: follows in epoch {epoch} after epoch {before}", judge.name(id))
        });
        replica.role = Role::Follower;
        replica.epoch = epoch;
        replica.counted.clear();
        replica.log.trim_epochs();
    }

    pub fn isr_changed(&mut self, node: i32, committed: &[i32], epoch: i32, partition_epoch: i32) {
        let Some(replica) = self.replicas.get_mut(&node) else { return };
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
        let (Some(leader), Some(other)) = (self.replicas.get(&node), self.replicas.get(&follower)) else {
            return;
        };
        // Its fetch may have been under way while it moved on, was emptied or deleted.
        let gone = !other.exists || other.role == Role::None || other.log.loss.in_or_after(epoch);
        if gone || other.epoch > epoch {
            return;
        }
        let (its_epoch, its_end) = (other.epoch, other.log.end);
        let from = if other.matched.0 == epoch { other.matched.1 } else { 0 };
        let difference = first_difference(leader, other, from, log_end.min(its_end));
        judge.demand(its_epoch == epoch, Invariant::Rep4, "counted-in-old-epoch", |judge| {
            format!("{}: epoch {epoch} counts {log_end} for node {follower}, which is in epoch {its_epoch}", judge.name(id))
        });
        judge.demand(log_end <= its_end, Invariant::Rep4, "counted-too-much", |judge| {
            format!("{}: counts {log_end} for node {follower}, whose log ends at {its_end}", judge.name(id))
        });
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

    pub fn leader_high_watermark(
        &mut self,
        node: i32,
        raised: &Raised<'_>,
        budget: &Budget,
        judge: &mut Judge,
    ) {
        self.within_log(node, raised.high_watermark, judge);
        self.enough_in_sync(node, raised, judge);
        self.waits_for_all(node, raised, judge);
        let id = self.id;
        let Some(replica) = self.replicas.get_mut(&node) else { return };
        let before = std::mem::replace(&mut replica.high_watermark, raised.high_watermark);
        judge.demand(before <= raised.high_watermark, Invariant::Rep5, "high-watermark-fell", |judge| {
            format!("{}: high watermark from {before} to {}", judge.name(id), raised.high_watermark)
        });
        if self.committed.shortened_in.is_some_and(|epoch| raised.epoch < epoch) {
            return;
        }
        let old_end = self.committed.end;
        self.agrees(node, raised.high_watermark.min(old_end), judge);
        if raised.high_watermark > old_end {
            let Some(replica) = self.replicas.get(&node) else { return };
            self.committed.extend(&replica.log, raised.high_watermark, raised.epoch, judge.at.event);
            self.on_all_members(node, raised, budget, judge);
        }
    }

    /// REP-5: the high watermark lies in the log.
    fn within_log(&mut self, node: i32, high_watermark: i64, judge: &mut Judge) {
        let Some(replica) = self.replicas.get(&node) else { return };
        let (id, start, end) = (self.id, replica.log.start, replica.log.end);
        judge.demand(start <= high_watermark && high_watermark <= end, Invariant::Rep5, "bounds", |judge| {
            format!("{}: high watermark {high_watermark} outside of the log {start}..{end}", judge.name(id))
        });
    }

    /// REP-5, KIP-966: no progress while the committed ISR is too small.
    fn enough_in_sync(&mut self, node: i32, raised: &Raised<'_>, judge: &mut Judge) {
        let Some(replica) = self.replicas.get(&node) else { return };
        let wanted = usize::try_from(raised.min_insync_replicas).unwrap_or(1).min(replica.replicas).max(1);
        self.min_insync = wanted;
        let (id, isr) = (self.id, &replica.committed_isr);
        judge.demand(isr.len() >= wanted, Invariant::Rep5, "under-min-isr", |judge| {
            format!(
                "{}: high watermark moves to {} with ISR {isr:?}, {wanted} must be in sync",
                judge.name(id), raised.high_watermark
            )
        });
    }

    /// REP-4: whoever the controller may choose next is waited for, as far as this leader can know better.
    fn waits_for_all(&mut self, node: i32, raised: &Raised<'_>, judge: &mut Judge) {
        let Some(replica) = self.replicas.get(&node) else { return };
        let Some(state) = self.newest_registered() else { return };
        if state.leader_epoch != raised.epoch || replica.partition_epoch > state.partition_epoch {
            return;
        }
        let candidates = state.isr.iter().chain(&state.eligible);
        let missing: Vec<i32> = candidates.filter(|id| !raised.maximal_isr.contains(id)).copied().collect();
        let id = self.id;
        judge.demand(missing.is_empty(), Invariant::Rep4, "not-waited-for", |judge| {
            format!(
                "{}: leader of epoch {} moves its high watermark with {:?}, but {missing:?} may lead next (partition epoch {})",
                judge.name(id), raised.epoch, raised.maximal_isr, state.partition_epoch
            )
        });
    }

    /// REP-5: what a leader commits is on every member of the maximal ISR, as it has it itself.
    fn on_all_members(
        &mut self,
        node: i32,
        raised: &Raised<'_>,
        budget: &Budget,
        judge: &mut Judge,
    ) {
        let (id, end) = (self.id, raised.high_watermark);
        for &member in raised.maximal_isr {
            let Some(replica) = self.replicas.get_mut(&member) else {
                judge.demand(false, Invariant::Rep5, "not-replicated", |judge| {
                    format!("{}: commits up to {end}, member {member} has no log", judge.name(id))
                });
                continue;
            };
            if !replica.exists || (member != node && replica.log.loss.in_or_after(raised.epoch)) {
                continue;
            }
            let lack = self.committed.lacking(&replica.log, replica.agreed, end, |_| true);
            let flushed = replica.log.flushed;
            judge.demand(lack.is_none(), Invariant::Rep5, "not-replicated", |judge| {
                let Lack { entry, instead } = lack.expect("it is the violation");
                format!(
                    "{}: leader of epoch {} commits {}, member {member} of {:?} has {}",
                    judge.name(id), raised.epoch, entry.batch, raised.maximal_isr, shown(instead)
                )
            });
            if budget.flushed {
                judge.demand(flushed >= end, Invariant::Rep5, "not-flushed", |judge| {
                    format!("{}: commits up to {end}, member {member} has flushed {flushed}", judge.name(id))
                });
            }
            if lack.is_none() {
                replica.agreed = replica.agreed.max(end);
            }
        }
    }

    pub fn follower_high_watermark(&mut self, node: i32, high_watermark: i64, epoch: i32, judge: &mut Judge) {
        self.within_log(node, high_watermark, judge);
        let Some(replica) = self.replicas.get_mut(&node) else { return };
        replica.high_watermark = high_watermark;
        if self.committed.shortened_in.is_some_and(|shortened| epoch < shortened) {
            return;
        }
        let (id, end) = (self.id, self.committed.end);
        judge.demand(high_watermark <= end, Invariant::Rep5, "above-committed", |judge| {
            format!("{}: high watermark {high_watermark}, committed is up to {end}", judge.name(id))
        });
        self.agrees(node, high_watermark.min(end), judge);
    }

    /// REP-2: below a high watermark is what was committed.
    fn agrees(&mut self, node: i32, below: i64, judge: &mut Judge) {
        let Some(replica) = self.replicas.get_mut(&node) else { return };
        let lack = self.committed.lacking(&replica.log, replica.agreed, below, |_| true);
        let id = self.id;
        judge.demand(lack.is_none(), Invariant::Rep2, "committed-content", |judge| {
            let Lack { entry, instead } = lack.expect("it is the violation");
            format!(
                "{}: below the high watermark {below} has {}, committed is {}",
                judge.name(id), shown(instead), entry.batch
            )
        });
        replica.agreed = replica.agreed.max(below);
    }

    pub fn acknowledged(&mut self, node: i32, base_offset: i64, last_offset: i64, acks: i16, judge: &mut Judge) {
        if acks != -1 || base_offset < 0 {
            return;
        }
        let Some(replica) = self.replicas.get(&node) else { return };
        let stale = self.committed.shortened_in.is_some_and(|epoch| replica.epoch < epoch);
        let (id, end) = (self.id, self.committed.end);
        judge.demand(stale || last_offset < end, Invariant::Rep1, "acknowledged-early", |judge| {
            format!(
                "{}: acknowledged {base_offset}..={last_offset} with acks=all, committed is up to {end}",
                judge.name(id)
            )
        });
        self.committed.acknowledge(base_offset, last_offset);
    }

    /// CLI-4: consumers see what is committed and not deleted, up to the limit they were promised.
    pub fn consumer_read(&mut self, node: i32, (from, end, limit): (i64, i64, i64), judge: &mut Judge) {
        let Some(replica) = self.replicas.get(&node) else { return };
        let (id, start, own, committed) =
            (self.id, replica.log.start, replica.high_watermark, self.committed.end);
        let stale = self.committed.shortened_in.is_some_and(|epoch| replica.epoch < epoch);
        let visible = start <= from && end <= limit && limit <= own && (stale || end <= committed);
        judge.demand(visible, Invariant::Cli4, "precommitted-read", |judge| {
            format!(
                "{}: gave {from}..{end} with limit {limit}; log start {start}, high watermark {own}, committed up to {committed}",
                judge.name(id)
            )
        });
    }
}

fn shown(batch: Option<BatchSummary>) -> String {
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
