//! RAFT-6: snapshots of the metadata log.

use super::event::BatchSummary;
use super::judge::{Invariant, Judge};
use super::quorum::Quorum;

/// A metadata log as it was opened.
pub struct LoadedQuorumLog<'a> {
    pub log_start: i64,
    pub log_end: i64,
    pub batches: &'a [BatchSummary],
    /// (end offset, epoch).
    pub snapshots: &'a [(i64, i32)],
}

impl Quorum {
    /// The voters of a member changed without its role.
    pub fn log_loaded(&mut self, node: i32, loaded: &LoadedQuorumLog<'_>, judge: &mut Judge) {
        let LoadedQuorumLog {
            log_start,
            log_end,
            batches,
            snapshots,
        } = *loaded;
        self.loaded(node, log_start, log_end, batches, judge);
        self.member(node).snapshots = snapshots.iter().copied().collect();
        self.covered(node, log_start, judge);
    }

    /// A snapshot ends where a committed batch does, and has its epoch.
    pub fn snapshot_written(&mut self, node: i32, end: i64, epoch: i32, judge: &mut Judge) {
        self.member(node).snapshots.insert(end, epoch);
        let (committed, found) = (self.committed.end, self.committed.epoch_of_end(end));
        // What was given up with a loss beyond the budget may live on in a snapshot.
        if self.committed.shortened_in.is_some() {
            return;
        }
        judge.demand(
            end <= committed && found == Some(epoch),
            Invariant::Raft6,
            "snapshot-id",
            |_| {
                format!(
                    "metadata snapshot {end}-{epoch}: committed up to {committed}, the batch that ends there has epoch {found:?}"
                )
            },
        );
    }

    /// The log may only begin where a snapshot that is on disk ends.
    pub fn log_start_advanced(&mut self, node: i32, log_start: i64, judge: &mut Judge) {
        let member = self.member(node);
        let own = member.high_watermark;
        // At the start, before anything is known, only what a snapshot replaces may go.
        let committed = own.is_none_or(|own| log_start <= own);
        // What the snapshot replaces need not be flushed in the log, and may be lost with power.
        let flushed = member.log.flushed;
        member.log.advance_start(log_start);
        member.log.flushed = flushed;
        judge.demand(committed, Invariant::Raft6, "trimmed-uncommitted", |_| {
            format!("metadata log begins at {log_start}, its high watermark is {own:?}")
        });
        self.covered(node, log_start, judge);
        let member = self.member(node);
        member.snapshots = member.snapshots.split_off(&log_start);
    }

    pub fn log_replaced(&mut self, node: i32, end: i64, epoch: i32, judge: &mut Judge) {
        let member = self.member(node);
        let (own, found) = (member.high_watermark, member.snapshots.get(&end).copied());
        judge.demand(
            own.is_none_or(|own| own <= end),
            Invariant::Raft3,
            "truncated-committed",
            |_| format!("metadata log replaced by a snapshot up to {end} below its own high watermark {own:?}"),
        );
        judge.demand(
            found == Some(epoch),
            Invariant::Raft6,
            "no-snapshot",
            |_| {
                format!("metadata log replaced by snapshot {end}-{epoch}, on its disk is {found:?}")
            },
        );
        member.log.start_over(end);
        member.agreed = member.agreed.max(end);
        member.snapshots = member.snapshots.split_off(&end);
    }

    /// What replaces the log is durable before it is used.
    pub fn snapshot_loaded(&mut self, node: i32, end: i64) {
        let log = &mut self.member(node).log;
        if log.start == end && log.end == end {
            log.flush(end);
        }
    }

    fn covered(&mut self, node: i32, log_start: i64, judge: &mut Judge) {
        let snapshots = &self.member(node).snapshots;
        let last = snapshots.keys().next_back().copied();
        judge.demand(
            log_start == 0 || last.is_some_and(|last| last >= log_start),
            Invariant::Raft6,
            "log-without-snapshot",
            |_| format!("metadata log begins at {log_start}, the last snapshot ends at {last:?}"),
        );
    }
}
