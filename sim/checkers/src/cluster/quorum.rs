//! The metadata quorum: RAFT-1 … RAFT-4, and LOG-1 … LOG-3 of its log. RAFT-5 is in `voters`, RAFT-6 in `snapshots`.

use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::Budget;
use super::event::{BatchSummary, QuorumRole};
use super::judge::{Invariant, Judge};
use super::recovery::judge_load;
use super::shadow::{ShadowLog, Stop};
use super::truth::{Committed, Lack, Match, Written, place};
use super::voters::Changes;

/// What is known of one member; the log and what was saved survive restarts.
#[derive(Clone, Debug, Default)]
pub struct Member {
    pub log: ShadowLog,
    /// By end offset: the epoch of each snapshot on its disk.
    pub snapshots: BTreeMap<i64, i32>,
    pub known: bool,
    pub role: Option<QuorumRole>,
    pub epoch: i32,
    pub voters: Vec<i32>,
    pub changes: Changes,
    /// Of this run.
    pub high_watermark: Option<i64>,
    pub agreed: i64,
    pub saved_epoch: i32,
    /// A save may have been under way when the process died.
    pub saved_uncertain: bool,
    /// By epoch, as made durable.
    pub votes: BTreeMap<i32, i32>,
    /// By epoch, as told to a candidate.
    pub granted: BTreeMap<i32, i32>,
}

#[derive(Debug, Default)]
pub struct Quorum {
    pub members: BTreeMap<i32, Member>,
    pub leaders: BTreeMap<i32, i32>,
    /// Who wrote the first batch of an epoch.
    writers: BTreeMap<i32, i32>,
    written: Written,
    pub committed: Committed,
    /// When what was committed, ascending; older points than needed are dropped.
    commits: VecDeque<(u64, i64)>,
}

/// Committed records reach every member within this, in simulated ms: fetches wait half a second.
pub const METADATA_LAG_MAX_MS: u64 = 2_000;

impl Quorum {
    /// What every member must have applied by now: committed long enough ago.
    pub fn settled_end(&self, now_ms: u64) -> i64 {
        let settled = |(at, _): &&(u64, i64)| at + METADATA_LAG_MAX_MS <= now_ms;
        self.commits
            .iter()
            .rev()
            .find(settled)
            .map_or(0, |(_, end)| *end)
            .min(self.committed.end)
    }

    fn remember_commit(&mut self, now_ms: u64) {
        self.commits.push_back((now_ms, self.committed.end));
        while self
            .commits
            .get(1)
            .is_some_and(|(at, _)| at + METADATA_LAG_MAX_MS <= now_ms)
        {
            self.commits.pop_front();
        }
    }

    pub fn member(&mut self, node: i32) -> &mut Member {
        self.members.entry(node).or_default()
    }

    pub fn stopped(&mut self, node: i32, stop: Stop) {
        let member = self.member(node);
        member.log.stopped(stop);
        member.role = None;
        member.high_watermark = None;
        member.saved_uncertain = true;
    }

    /// Another directory id: a new voter, which owes no votes.
    pub fn wiped(&mut self, node: i32) {
        let member = self.member(node);
        (member.votes, member.granted) = (BTreeMap::new(), BTreeMap::new());
        member.saved_epoch = 0;
        member.snapshots.clear();
    }

    pub fn lost(&mut self, node: i32, event: u64, damaged: bool) {
        let epoch = self.leaders.keys().next_back().copied();
        let loss = &mut self.member(node).log.loss;
        loss.since = Some(event);
        loss.in_epoch = epoch;
        loss.damaged |= damaged;
    }

    pub fn role(
        &mut self,
        node: i32,
        epoch: i32,
        role: QuorumRole,
        voters: &[i32],
        budget: &Budget,
        judge: &mut Judge,
    ) {
        let member = self.member(node);
        member.role = Some(role);
        member.epoch = epoch;
        voters.clone_into(&mut member.voters);
        member.changes = Changes::default();
        if role != QuorumRole::Leader {
            return;
        }
        let first = *self.leaders.entry(epoch).or_insert(node);
        judge.demand(first == node, Invariant::Raft1, "two-leaders", |_| {
            format!("epoch {epoch} has the leaders {first} and {node}")
        });
        self.leader_completeness(node, epoch, voters, budget, judge);
    }

    /// RAFT-3: a leader has everything committed in earlier epochs.
    fn leader_completeness(
        &mut self,
        node: i32,
        epoch: i32,
        voters: &[i32],
        budget: &Budget,
        judge: &mut Judge,
    ) {
        let Some(member) = self.members.get(&node) else {
            return;
        };
        let lack =
            self.committed
                .lacking(&member.log, member.agreed, self.committed.end, |entry| {
                    entry.epoch < epoch
                });
        let Some(Lack { entry, instead }) = lack else {
            judge.demand(true, Invariant::Raft3, "lost-metadata", |_| String::new());
            return;
        };
        let lost = |voter: &&i32| {
            self.members
                .get(voter)
                .is_some_and(|member| member.log.loss.after(entry.event))
        };
        let lossy = voters.iter().filter(lost).count();
        let excused = !budget.metadata_durable || lossy > voters.len().saturating_sub(1) / 2;
        let end = member.log.end;
        judge.demand(excused, Invariant::Raft3, "lost-metadata", |_| {
            let instead = instead.map_or("nothing".to_owned(), |batch| batch.to_string());
            format!(
                "leader of epoch {epoch} lacks {}, committed in epoch {} at event {}; it has {instead}, its log ends at {end}",
                entry.batch, entry.epoch, entry.event
            )
        });
        self.committed.shorten(entry.batch.base_offset, epoch);
        for member in self.members.values_mut() {
            member.agreed = member.agreed.min(entry.batch.base_offset);
        }
    }

    pub fn loaded(
        &mut self,
        node: i32,
        log_start: i64,
        log_end: i64,
        batches: &[BatchSummary],
        judge: &mut Judge,
    ) {
        let event = judge.at.event;
        let epoch = self.leaders.keys().next_back().copied();
        let member = self.member(node);
        let stop = if member.log.loss.damaged {
            Stop::Damaged
        } else {
            member.log.stop
        };
        let was = (member.log.start, member.log.end, member.log.flushed);
        let findings = member.log.load(log_start, log_end, batches);
        if std::mem::replace(&mut member.known, true) {
            judge_load(
                "metadata log",
                stop,
                was,
                log_start,
                log_end,
                &findings,
                judge,
            );
            if findings.lost || findings.foreign.is_some() {
                member.log.loss.since = Some(event);
                member.log.loss.in_epoch = epoch;
            }
        }
        member.log.loss.suspect = false;
        member.high_watermark = None;
        member.agreed = 0;
        for (index, batch) in batches.iter().enumerate() {
            if stop != Stop::Intact && self.written.find(batch) == Match::Unknown {
                self.written.push(
                    *batch,
                    index.checked_sub(1).map(|before| place(&batches[before])),
                );
            }
        }
    }

    pub fn appended(&mut self, node: i32, batch: BatchSummary, judge: &mut Judge) {
        let writer = *self.writers.entry(batch.leader_epoch).or_insert(node);
        let member = self.members.entry(node).or_default();
        let (end, before) = (member.log.end, member.log.last().copied());
        member.log.append(batch);
        judge.demand(
            batch.base_offset == end,
            Invariant::Log1,
            "offset-order",
            |_| format!("metadata log: appended {batch} to a log that ends at {end}"),
        );
        let ascending = before.is_none_or(|before| before.leader_epoch <= batch.leader_epoch);
        judge.demand(ascending, Invariant::Raft2, "epoch-order", |_| {
            format!(
                "metadata log: appended {batch} behind {}",
                before.expect("it is the violation")
            )
        });
        let before = before.as_ref().map(place);
        match self.written.find(&batch) {
            Match::Unknown if writer == node => self.written.push(batch, before),
            found => {
                let matches = matches!(found, Match::Same { before: expected }
                    if expected == before || expected.is_none() || before.is_none());
                judge.demand(matches, Invariant::Raft2, "log-matching", |_| {
                    format!("metadata log: appended {batch} behind {before:?}; node {writer} wrote {found:?}")
                });
            }
        }
    }

    pub fn truncated(&mut self, node: i32, log_end: i64, judge: &mut Judge) {
        let member = self.member(node);
        let own = member.high_watermark;
        judge.demand(
            own.is_none_or(|own| own <= log_end),
            Invariant::Raft3,
            "truncated-committed",
            |_| format!("metadata log: cut to {log_end} below its own high watermark {own:?}"),
        );
        member.log.truncate(log_end);
        member.agreed = member.agreed.min(log_end);
    }

    pub fn flushed(&mut self, node: i32, end: i64) {
        self.member(node).log.flush(end);
    }

    /// RAFT-4: what a member says it has, it has on disk.
    pub fn counted(&mut self, voter: i32, end: i64, judge: &mut Judge) {
        let log = &self.member(voter).log;
        let (flushed, log_end) = (log.flushed, log.end);
        judge.demand(end <= flushed, Invariant::Raft4, "unflushed", |_| {
            format!("metadata log: node {voter} reports {end}, has flushed {flushed} of {log_end}")
        });
    }

    pub fn high_watermark(
        &mut self,
        node: i32,
        high_watermark: i64,
        epoch: i32,
        leader: bool,
        judge: &mut Judge,
    ) {
        let member = self.member(node);
        let (before, end) = (
            member.high_watermark.replace(high_watermark),
            member.log.end,
        );
        member.changes.commits |= leader;
        judge.demand(
            before.is_none_or(|before| before <= high_watermark),
            Invariant::Raft3,
            "high-watermark-fell",
            |_| format!("metadata high watermark from {before:?} to {high_watermark}"),
        );
        judge.demand(high_watermark <= end, Invariant::Raft3, "bounds", |_| {
            format!("metadata high watermark {high_watermark}, the log ends at {end}")
        });
        if self
            .committed
            .shortened_in
            .is_some_and(|shortened| epoch < shortened)
        {
            return;
        }
        if leader && high_watermark > self.committed.end {
            self.on_majority(node, high_watermark, judge);
            self.of_own_epoch(node, high_watermark, epoch, judge);
            let Some(member) = self.members.get(&node) else {
                return;
            };
            let log = &member.log;
            self.agrees(node, self.committed.end, judge, log.end);
            let Some(member) = self.members.get(&node) else {
                return;
            };
            self.committed
                .extend(&member.log, high_watermark, epoch, judge.at.event);
            self.remember_commit(judge.at.sim_ms);
            return;
        }
        let committed = self.committed.end;
        judge.demand(high_watermark <= committed, Invariant::Raft3, "above-committed", |_| {
            format!("metadata high watermark {high_watermark}, leaders have committed up to {committed}")
        });
        self.agrees(node, high_watermark.min(committed), judge, end);
    }

    /// RAFT-4: committed means flushed on a majority of the voters.
    fn on_majority(&mut self, node: i32, high_watermark: i64, judge: &mut Judge) {
        let Some(leader) = self.members.get(&node) else {
            return;
        };
        let Some(last) = leader.log.at(high_watermark - 1).copied() else {
            return;
        };
        let voters: BTreeSet<i32> = leader.voters.iter().copied().collect();
        let holds = |voter: &&i32| {
            self.members.get(voter).is_some_and(|member| {
                let has = member.log.flushed >= high_watermark
                    && member.log.at(high_watermark - 1) == Some(&last);
                has || member.log.loss.suspect || member.log.loss.damaged
            })
        };
        let holders: Vec<i32> = voters.iter().filter(holds).copied().collect();
        let majority = voters.len() / 2 + 1;
        judge.demand(holders.len() >= majority, Invariant::Raft4, "no-majority", |_| {
            format!("metadata: commits up to {high_watermark}, which only {holders:?} of the voters {voters:?} have flushed")
        });
    }

    /// RAFT-3: records of former epochs are committed only with one of this epoch (figure 8).
    fn of_own_epoch(&mut self, node: i32, high_watermark: i64, epoch: i32, judge: &mut Judge) {
        let Some(member) = self.members.get(&node) else {
            return;
        };
        let last = member.log.at(high_watermark - 1).copied();
        let own = last.is_some_and(|last| last.leader_epoch == epoch);
        judge.demand(own, Invariant::Raft3, "old-epoch-commit", |_| {
            format!("metadata: leader of epoch {epoch} commits up to {high_watermark}, the last batch is {last:?}")
        });
    }

    /// RAFT-3: what two nodes call committed is the same.
    fn agrees(&mut self, node: i32, below: i64, judge: &mut Judge, log_end: i64) {
        let Some(member) = self.members.get_mut(&node) else {
            return;
        };
        let lack = self
            .committed
            .lacking(&member.log, member.agreed, below, |_| true);
        judge.demand(lack.is_none(), Invariant::Raft3, "committed-content", |_| {
            let Lack { entry, instead } = lack.expect("it is the violation");
            format!(
                "metadata: below {below} committed is {}, this log (up to {log_end}) has {instead:?}",
                entry.batch
            )
        });
        member.agreed = member.agreed.max(below);
    }
}
