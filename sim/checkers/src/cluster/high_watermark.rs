//! High watermarks and what is promised upon them: REP-2 below them, REP-4, REP-5, REP-1 for
//! acknowledgements, CLI-4.

use super::Budget;
use super::judge::{Invariant, Judge};
use super::partition::{Partition, Role};
use super::replication::shown;
use super::truth::Lack;

/// A high watermark that moved.
pub struct Raised<'a> {
    pub high_watermark: i64,
    pub epoch: i32,
    pub maximal_isr: &'a [i32],
    pub min_insync_replicas: i32,
}

impl Partition {
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
        let Some(replica) = self.replicas.get_mut(&node) else {
            return;
        };
        let before = std::mem::replace(&mut replica.high_watermark, raised.high_watermark);
        judge.demand(
            before <= raised.high_watermark,
            Invariant::Rep5,
            "high-watermark-fell",
            |judge| {
                format!(
                    "{}: high watermark from {before} to {}",
                    judge.name(id),
                    raised.high_watermark
                )
            },
        );
        if self
            .committed
            .shortened_in
            .is_some_and(|epoch| raised.epoch < epoch)
        {
            return;
        }
        let old_end = self.committed.end;
        self.agrees(node, raised.high_watermark.min(old_end), judge);
        if raised.high_watermark > old_end {
            let Some(replica) = self.replicas.get(&node) else {
                return;
            };
            self.committed.extend(
                &replica.log,
                raised.high_watermark,
                raised.epoch,
                judge.at.event,
            );
            self.on_all_members(node, raised, budget, judge);
        }
    }

    /// REP-5: the high watermark lies in the log.
    fn within_log(&mut self, node: i32, high_watermark: i64, judge: &mut Judge) {
        let Some(replica) = self.replicas.get(&node) else {
            return;
        };
        let (id, start, end) = (self.id, replica.log.start, replica.log.end);
        judge.demand(
            start <= high_watermark && high_watermark <= end,
            Invariant::Rep5,
            "bounds",
            |judge| {
                format!(
                    "{}: high watermark {high_watermark} outside of the log {start}..{end}",
                    judge.name(id)
                )
            },
        );
    }

    /// REP-5, KIP-966: no progress while the committed ISR is too small.
    fn enough_in_sync(&mut self, node: i32, raised: &Raised<'_>, judge: &mut Judge) {
        let Some(replica) = self.replicas.get(&node) else {
            return;
        };
        let wanted = usize::try_from(raised.min_insync_replicas)
            .unwrap_or(1)
            .min(replica.replicas)
            .max(1);
        self.min_insync = wanted;
        let (id, isr) = (self.id, &replica.committed_isr);
        judge.demand(
            isr.len() >= wanted,
            Invariant::Rep5,
            "under-min-isr",
            |judge| {
                format!(
                    "{}: high watermark moves to {} with ISR {isr:?}, {wanted} must be in sync",
                    judge.name(id),
                    raised.high_watermark
                )
            },
        );
    }

    /// REP-4: whoever the controller may choose next is waited for, as far as this leader can know better.
    fn waits_for_all(&mut self, node: i32, raised: &Raised<'_>, judge: &mut Judge) {
        let Some(replica) = self.replicas.get(&node) else {
            return;
        };
        let Some(state) = self.newest_registered() else {
            return;
        };
        if state.leader_epoch != raised.epoch || replica.partition_epoch > state.partition_epoch {
            return;
        }
        let candidates = state.isr.iter().chain(&state.eligible);
        let missing: Vec<i32> = candidates
            .filter(|id| !raised.maximal_isr.contains(id))
            .copied()
            .collect();
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
                    format!(
                        "{}: commits up to {end}, member {member} has no log",
                        judge.name(id)
                    )
                });
                continue;
            };
            if !replica.exists || (member != node && replica.log.loss.in_or_after(raised.epoch)) {
                continue;
            }
            let lack = self
                .committed
                .lacking(&replica.log, replica.agreed, end, |_| true);
            let flushed = replica.log.flushed;
            judge.demand(lack.is_none(), Invariant::Rep5, "not-replicated", |judge| {
                let Lack { entry, instead } = lack.expect("it is the violation");
                format!(
                    "{}: leader of epoch {} commits {}, member {member} of {:?} has {}",
                    judge.name(id),
                    raised.epoch,
                    entry.batch,
                    raised.maximal_isr,
                    shown(instead)
                )
            });
            if budget.flushed {
                judge.demand(flushed >= end, Invariant::Rep5, "not-flushed", |judge| {
                    format!(
                        "{}: commits up to {end}, member {member} has flushed {flushed}",
                        judge.name(id)
                    )
                });
            }
            if lack.is_none() {
                replica.agreed = replica.agreed.max(end);
            }
        }
    }

    pub fn follower_high_watermark(
        &mut self,
        node: i32,
        high_watermark: i64,
        epoch: i32,
        judge: &mut Judge,
    ) {
        self.within_log(node, high_watermark, judge);
        let Some(replica) = self.replicas.get_mut(&node) else {
            return;
        };
        replica.high_watermark = high_watermark;
        if self
            .committed
            .shortened_in
            .is_some_and(|shortened| epoch < shortened)
        {
            return;
        }
        let (id, end) = (self.id, self.committed.end);
        judge.demand(
            high_watermark <= end,
            Invariant::Rep5,
            "above-committed",
            |judge| {
                format!(
                    "{}: high watermark {high_watermark}, committed is up to {end}",
                    judge.name(id)
                )
            },
        );
        self.agrees(node, high_watermark.min(end), judge);
    }

    /// REP-2: below a high watermark is what was committed. Not where a leader's log begins later: it no longer knows the
    /// epochs before, so a follower keeps what it has there (KIP-101) until the same answer moves its log start.
    fn agrees(&mut self, node: i32, below: i64, judge: &mut Judge) {
        let Some(epoch) = self.replicas.get(&node).map(|replica| replica.epoch) else {
            return;
        };
        let leaders = self.replicas.values();
        let leaders = leaders.filter(|it| it.role == Role::Leader && it.epoch >= epoch);
        let deleted = leaders.map(|it| it.log.start).max().unwrap_or(0);
        let Some(replica) = self.replicas.get_mut(&node) else {
            return;
        };
        let lack = self
            .committed
            .lacking(&replica.log, replica.agreed.max(deleted), below, |_| true);
        let id = self.id;
        judge.demand(
            lack.is_none(),
            Invariant::Rep2,
            "committed-content",
            |judge| {
                let Lack { entry, instead } = lack.expect("it is the violation");
                format!(
                    "{}: below the high watermark {below} has {}, committed is {}",
                    judge.name(id),
                    shown(instead),
                    entry.batch
                )
            },
        );
        replica.agreed = replica.agreed.max(below);
    }

    pub fn acknowledged(
        &mut self,
        node: i32,
        base_offset: i64,
        last_offset: i64,
        acks: i16,
        judge: &mut Judge,
    ) {
        if acks != -1 || base_offset < 0 {
            return;
        }
        let Some(replica) = self.replicas.get(&node) else {
            return;
        };
        let stale = self
            .committed
            .shortened_in
            .is_some_and(|epoch| replica.epoch < epoch);
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
    pub fn consumer_read(
        &mut self,
        node: i32,
        (from, end, limit): (i64, i64, i64),
        judge: &mut Judge,
    ) {
        let Some(replica) = self.replicas.get(&node) else {
            return;
        };
        let (id, start, own, committed) = (
            self.id,
            replica.log.start,
            replica.high_watermark,
            self.committed.end,
        );
        let stale = self
            .committed
            .shortened_in
            .is_some_and(|epoch| replica.epoch < epoch);
        let visible = start <= from && end <= limit && limit <= own && (stale || end <= committed);
        judge.demand(visible, Invariant::Cli4, "precommitted-read", |judge| {
            format!(
                "{}: gave {from}..{end} with limit {limit}; log start {start}, high watermark {own}, committed up to {committed}",
                judge.name(id)
            )
        });
    }
}
