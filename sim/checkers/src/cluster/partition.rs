//! One partition on all nodes: state, and the bookkeeping of logs (LOG-1, REP-2, REP-3).

use std::collections::BTreeMap;

use super::event::{AppendRole, BatchProducer, BatchSummary, PartitionId, PartitionState};
use super::judge::{Invariant, Judge};
use super::producers;
use super::shadow::{Loss, ShadowLog, Stop};
use super::transactions;
use super::truth::{Committed, Match, Written, place};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum Role {
    /// Not told since the process started.
    #[default]
    None,
    Leader,
    Follower,
}

/// What a leader counts for a follower.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Counted {
    pub log_end: i64,
    pub event: u64,
}

/// One replica: its log survives restarts, the rest does not.
#[derive(Clone, Debug, Default)]
pub struct Replica {
    pub log: ShadowLog,
    /// There is a log: loaded, or of a node that is down.
    pub exists: bool,
    /// Event of the last load.
    pub loaded_at: u64,
    pub role: Role,
    pub epoch: i32,
    pub high_watermark: i64,
    /// The log equals the committed prefix below.
    pub agreed: i64,
    /// The log equals the log of the leader of this epoch below.
    pub matched: (i32, i64),
    pub counted: BTreeMap<i32, Counted>,
    pub committed_isr: Vec<i32>,
    pub partition_epoch: i32,
    /// What was appended from here on is remembered batch by batch; what is below may come from a snapshot,
    /// which has a producer's last batch only.
    pub recalled_from: i64,
    /// Emptied: the first batch may begin below the log start, which follows.
    pub anew: bool,
    /// Number of replicas, as this node published it.
    pub replicas: usize,
}

/// A partition: ground truth, and every replica that was ever seen.
#[derive(Debug)]
pub struct Partition {
    pub id: PartitionId,
    pub replicas: BTreeMap<i32, Replica>,
    pub written: Written,
    pub committed: Committed,
    /// By leader epoch.
    pub leaders: BTreeMap<i32, i32>,
    /// By leader epoch: who coordinated what is in it.
    pub coordinators: BTreeMap<i32, i32>,
    /// By partition epoch, as published by whoever did first.
    pub registered: BTreeMap<i32, PartitionState>,
    /// Where the first image ended that had it.
    pub registered_end: Option<i64>,
    pub min_insync: usize,
    pub removed: bool,
    /// The lowest offset of what was committed and is lost.
    pub lost_from: Option<i64>,
    /// A replica was compacted: batches are gone or rewritten that others still have as they were written.
    pub cleaned: bool,
}

impl Partition {
    pub fn new(id: PartitionId) -> Partition {
        Partition {
            id,
            replicas: BTreeMap::new(),
            written: Written::default(),
            committed: Committed::default(),
            leaders: BTreeMap::new(),
            coordinators: BTreeMap::new(),
            registered: BTreeMap::new(),
            registered_end: None,
            min_insync: 1,
            removed: false,
            lost_from: None,
            cleaned: false,
        }
    }

    /// The newest leader epoch anybody told of.
    pub fn newest_epoch(&self) -> i32 {
        let led = self.leaders.keys().next_back().copied().unwrap_or(-1);
        self.newest_registered()
            .map_or(led, |state| state.leader_epoch.max(led))
    }

    pub fn newest_registered(&self) -> Option<&PartitionState> {
        self.registered.values().next_back()
    }

    /// The process ended; the log waits for the next load.
    pub fn stopped(&mut self, node: i32, stop: Stop) {
        if let Some(replica) = self.replicas.get_mut(&node) {
            replica.log.stopped(stop);
            replica.role = Role::None;
            replica.counted.clear();
        }
    }

    /// Until the log is loaded nobody knows what is left.
    pub fn lost_power(&mut self, node: i32) {
        if let Some(replica) = self
            .replicas
            .get_mut(&node)
            .filter(|replica| replica.exists)
        {
            replica.log.loss.suspect = true;
        }
    }

    /// With its topic, or because the node is no replica any more.
    pub fn deleted(&mut self, node: i32) {
        if let Some(replica) = self.replicas.get_mut(&node) {
            *replica = Replica {
                replicas: replica.replicas,
                ..Replica::default()
            };
        }
    }

    /// The disk lost data, or may have: durability no longer counts on this replica.
    pub fn lost(&mut self, node: i32, event: u64, mark: impl Fn(&mut Loss)) {
        let epoch = self.newest_epoch();
        if let Some(replica) = self.replicas.get_mut(&node) {
            let loss = &mut replica.log.loss;
            loss.since = Some(event);
            loss.in_epoch = Some(epoch);
            mark(loss);
        }
    }

    pub fn appended(
        &mut self,
        node: i32,
        batch: BatchSummary,
        role: AppendRole,
        epoch: i32,
        judge: &mut Judge,
    ) {
        let Some(replica) = self.replicas.get_mut(&node) else {
            return;
        };
        let (id, end) = (self.id, replica.log.end);
        let before = replica.log.last().copied();
        let follows = match role {
            AppendRole::Leader => batch.base_offset == end,
            AppendRole::Follower => batch.base_offset >= end,
        };
        let grows = batch.last_offset >= batch.base_offset;
        judge.demand(follows && grows, Invariant::Log1, "offset-order", |judge| {
            format!(
                "{}: appended {batch} to a log that ends at {end}",
                judge.name(id)
            )
        });
        let ascending = before.is_none_or(|before| before.leader_epoch <= batch.leader_epoch);
        let of_epoch = batch.leader_epoch <= epoch
            && (role == AppendRole::Follower || batch.leader_epoch == epoch);
        judge.demand(
            ascending && of_epoch,
            Invariant::Rep3,
            "epoch-order",
            |judge| {
                let before = before.map_or("nothing".to_owned(), |before| before.to_string());
                format!(
                    "{}: appended {batch} behind {before} in leader epoch {epoch}",
                    judge.name(id)
                )
            },
        );
        match role {
            AppendRole::Leader => {
                let ends = self.written.end(batch.leader_epoch);
                judge.demand(ends.is_none_or(|ends| ends <= batch.base_offset), Invariant::Log1, "offset-reused", |judge| {
                    format!(
                        "{}: offset {} is assigned again in epoch {epoch}, which had reached {ends:?}",
                        judge.name(id),
                        batch.base_offset
                    )
                });
                self.written.push(batch, before.as_ref().map(place));
                if let (Some(replica), Some(_)) = (self.replicas.get(&node), batch.producer) {
                    producers::follows_on(id, &replica.log, batch, judge);
                }
                if let (Some(replica), Some(_)) = (self.replicas.get(&node), batch.transaction) {
                    transactions::attributed(id, &replica.log, batch, judge);
                }
            }
            AppendRole::Follower => {
                let leader_start = self.leader_start(epoch);
                log_matching(id, &self.written, batch, before, leader_start, judge);
            }
        }
        if let Some(replica) = self.replicas.get_mut(&node) {
            replica.log.append(batch);
        }
    }

    /// Log start of the leader of the epoch.
    fn leader_start(&self, epoch: i32) -> i64 {
        let leader = self
            .leaders
            .get(&epoch)
            .and_then(|leader| self.replicas.get(leader));
        leader.map_or(0, |leader| leader.log.start)
    }

    pub fn truncated(&mut self, node: i32, log_end: i64, judge: &mut Judge) {
        let Some(replica) = self.replicas.get_mut(&node) else {
            return;
        };
        replica.anew = replica.log.truncate(log_end);
        replica.high_watermark = replica
            .high_watermark
            .clamp(replica.log.start, log_end.max(replica.log.start));
        replica.recalled_from = log_end;
        replica.agreed = replica.agreed.min(log_end);
        replica.matched.1 = replica.matched.1.min(log_end);
        let (epoch, loaded_at, loss) = (replica.epoch, replica.loaded_at, replica.log.loss);
        let leader = self.leaders.get(&epoch).copied().unwrap_or(node);
        let counted = self
            .replicas
            .get(&leader)
            .filter(|leader| leader.role == Role::Leader && leader.epoch == epoch);
        let counted = counted.and_then(|leader| leader.counted.get(&node).copied());
        let Some(counted) =
            counted.filter(|counted| counted.event >= loaded_at && !loss.in_or_after(epoch))
        else {
            return;
        };
        let id = self.id;
        judge.demand(counted.log_end <= log_end, Invariant::Rep4, "counted-and-cut", |judge| {
            format!(
                "{}: node {node} cuts its log to {log_end}, its leader {leader} of epoch {epoch} counts {}",
                judge.name(id),
                counted.log_end
            )
        });
    }

    pub fn flushed(&mut self, node: i32, end: i64, judge: &mut Judge) {
        let Some(replica) = self.replicas.get_mut(&node) else {
            return;
        };
        let (id, log_end) = (self.id, replica.log.end);
        judge.demand(
            end <= log_end,
            Invariant::Log3,
            "flushed-beyond-end",
            |judge| {
                format!(
                    "{}: flushed up to {end}, the log ends at {log_end}",
                    judge.name(id)
                )
            },
        );
        replica.log.flush(end);
    }

    pub fn log_start_advanced(&mut self, node: i32, log_start: i64, judge: &mut Judge) {
        let Some(replica) = self.replicas.get_mut(&node) else {
            return;
        };
        let (id, start, hw) = (self.id, replica.log.start, replica.high_watermark);
        let anew = std::mem::take(&mut replica.anew);
        judge.demand(
            start <= log_start && (log_start <= hw || anew),
            Invariant::Rep5,
            "log-start",
            |judge| {
                format!(
                    "{}: log start from {start} to {log_start}, high watermark {hw}",
                    judge.name(id)
                )
            },
        );
        replica.log.advance_start(log_start);
        replica.high_watermark = hw.max(log_start);
    }

    /// TXN-1: a retry of one of the last batches is recognised.
    pub fn sequence_refused(
        &self,
        node: i32,
        producer: BatchProducer,
        records: i64,
        judge: &mut Judge,
    ) {
        if let Some(replica) = self.replicas.get(&node) {
            let recalled_from = replica.recalled_from;
            producers::refused(
                self.id,
                &replica.log,
                recalled_from,
                (producer, records),
                judge,
            );
        }
    }

    pub fn epoch_end_answered(
        &mut self,
        node: i32,
        asked: i32,
        answer: (i32, i64),
        judge: &mut Judge,
    ) {
        let Some(replica) = self.replicas.get(&node) else {
            return;
        };
        let (id, expected) = (self.id, epoch_end(&replica.log, asked));
        judge.demand(
            expected == Some(answer),
            Invariant::Rep3,
            "epoch-end",
            |judge| {
                format!(
                    "{}: end of epoch {asked} answered as {answer:?}, the log implies {expected:?}",
                    judge.name(id)
                )
            },
        );
    }
}

/// KIP-279: the largest epoch not above the asked one, and where the next begins.
fn epoch_end(log: &ShadowLog, asked: i32) -> Option<(i32, i64)> {
    if asked < 0 {
        return None;
    }
    if log.epochs.last().is_some_and(|last| last.0 == asked) {
        return Some((asked, log.end));
    }
    let above = log.epochs.partition_point(|entry| entry.0 <= asked);
    let end = log.epochs.get(above)?.1;
    Some((
        above
            .checked_sub(1)
            .map_or(asked, |floor| log.epochs[floor].0),
        end,
    ))
}

/// REP-2, at the only moment at which it can break.
fn log_matching(
    id: PartitionId,
    written: &Written,
    batch: BatchSummary,
    before: Option<BatchSummary>,
    leader_start: i64,
    judge: &mut Judge,
) {
    let found = written.find(&batch);
    judge.demand(
        matches!(found, Match::Same { .. }),
        Invariant::Rep2,
        "log-matching",
        |judge| {
            let wrote = match found {
                Match::Other(other) => other.to_string(),
                _ => "nothing there".to_owned(),
            };
            format!(
                "{}: a follower appended {batch}, the leader of that epoch wrote {wrote}",
                judge.name(id)
            )
        },
    );
    let (
        Match::Same {
            before: Some(expected),
        },
        Some(before),
    ) = (found, before)
    else {
        return;
    };
    // Whoever diverges only where the leader has deleted may go on above.
    let deleted = leader_start >= batch.base_offset;
    judge.demand(place(&before) == expected || deleted, Invariant::Rep2, "log-matching", |judge| {
        format!(
            "{}: {batch} follows epoch {} offset {} in the log of its leader, here it follows {before}",
            judge.name(id),
            expected.0,
            expected.1
        )
    });
}
