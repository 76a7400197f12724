//! The white box: every state change of every node, in one total order, against the ground truth.
//!
//! [`Cluster::observe`] takes each event as it happens and judges it at once, so that a loss is reported at
//! the event that caused it; [`Cluster::finish`] judges the end of the quiet phase. Per event the cost is a
//! few map look-ups; logs are compared batch by batch once, behind pointers that only truncation moves back.
//!
//! - [`event`]: what happens. `judge`: counting and writing down.
//! - `shadow`: a log as it must be; loading it back (LOG-3). `truth`: what was really written and committed.
//! - `partition`: LOG-1, REP-2, REP-3. `recovery`: LOG-2, LOG-3. `replication`: REP-1, REP-4.
//!   `high_watermark`: REP-5, CLI-4. `producers`: TXN-1, TXN-2. `transactions`: TXN-3, TXN-5.
//! - `quorum`, `votes`: RAFT-1 … RAFT-4. `voters`: RAFT-5. `metadata`: META-1 … META-4.
//!   `finish`: LIVE-1, LIVE-2, LIVE-5.
//!
//! What is lawful and looks wrong: a log that lost what was not flushed after a power loss; a truncation that
//! a power loss undid; an old leader that counts what it knew; a node that publishes older metadata after
//! its restart; fetches of a former life of a follower that are counted late.
//!
//! Not judged: the batches of a partition of which a replica was compacted.

mod cleaning;
pub mod event;
pub mod finish;
mod high_watermark;
mod judge;
mod metadata;
mod partition;
mod producers;
mod quorum;
mod recovery;
mod replication;
mod shadow;
mod snapshots;
#[cfg(test)]
mod tests;
mod transactions;
mod truth;
mod voters;
mod votes;

use std::collections::{BTreeMap, BTreeSet};

use crate::anomaly::{Report, Violation};
use cleaning::Cleaning;
use event::{Event, PartitionId};
use high_watermark::Raised;
use judge::{Judge, Stamp};
use metadata::Metadata;
use partition::Partition;
use producers::ProducerIds;
use quorum::Quorum;
use recovery::LoadedLog;
use shadow::Stop;
use snapshots::LoadedQuorumLog;

/// What the scenario may lose.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Budget {
    /// Committed records survive; false with an unlimited budget: then only what survives is judged.
    pub durable: bool,
    /// Acknowledgements wait for fsync (`flush.messages=1`).
    pub flushed: bool,
    /// The faults spare a majority of the voters.
    pub metadata_durable: bool,
    pub unclean_elections: bool,
    /// Replicas that count as lossy beside those whose losses the events show.
    pub lossy: BTreeSet<i32>,
}

impl Default for Budget {
    fn default() -> Budget {
        Budget {
            durable: true,
            flushed: false,
            metadata_durable: true,
            unclean_elections: false,
            lossy: BTreeSet::new(),
        }
    }
}

/// What is not there any more though it was committed: by topic and partition, from which offset on.
pub type Losses = BTreeMap<(String, i32), i64>;

/// The checker of a whole cluster.
#[derive(Debug, Default)]
pub struct Cluster {
    budget: Budget,
    judge: Judge,
    partitions: BTreeMap<PartitionId, Partition>,
    quorum: Quorum,
    metadata: Metadata,
    producer_ids: ProducerIds,
    cleaning: Cleaning,
}

impl Cluster {
    pub fn new(budget: Budget) -> Cluster {
        Cluster {
            budget,
            ..Cluster::default()
        }
    }

    /// From now on.
    pub fn set_budget(&mut self, budget: Budget) {
        self.budget = budget;
    }

    /// What was committed and lost with excuse, of topics whose names were told.
    pub fn losses(&self) -> Losses {
        let mut losses = Losses::new();
        for (id, partition) in &self.partitions {
            let name = self.judge.topic_name(id.topic);
            if let (Some(name), Some(from)) = (name, partition.lost_from) {
                losses.insert((name.to_owned(), id.index), from);
            }
        }
        losses
    }

    /// For readable details; without it a topic is shown by its id.
    pub fn name_topic(&mut self, topic: u128, name: &str) {
        self.judge.name_topic(topic, name);
    }

    /// Takes the next event, which happened at `node`. `number` is the simulation's event number.
    pub fn observe(&mut self, number: u64, sim_ms: u64, node: i32, event: &Event) {
        self.metadata
            .close(node, event.publishes(), &mut self.judge);
        self.judge.at = Stamp {
            event: number,
            sim_ms,
            node,
        };
        let taken = self.process(node, event)
            || self.metadata_event(node, event)
            || self.quorum_event(node, event);
        if !taken && let Some(id) = event.partition() {
            self.partition_event(node, id, event);
        }
    }

    pub fn violations(&self) -> &[Violation] {
        self.judge.violations()
    }

    pub fn report(&self) -> Report {
        self.judge.report()
    }

    /// Processes and disks.
    fn process(&mut self, node: i32, event: &Event) -> bool {
        match event {
            Event::NodeStarted | Event::Started | Event::NodeKilled | Event::StoppedCleanly => {
                if *event == Event::StoppedCleanly {
                    self.flushed_all(node);
                }
                self.stopped(node, Stop::Intact);
            }
            Event::PowerLost { lost } => {
                self.stopped(node, Stop::PowerLost);
                for partition in self.partitions.values_mut().filter(|_| *lost) {
                    partition.lost_power(node);
                }
            }
            Event::DiskWiped => {
                self.stopped(node, Stop::Damaged);
                self.quorum.wiped(node);
                self.lost(node, false);
            }
            Event::DiskDamaged => {
                self.mark(node, Stop::Damaged);
                self.lost(node, true);
            }
            Event::DiskFailing | Event::LogDirectoryFailed { .. } => self.mark(node, Stop::Failing),
            _ => return false,
        }
        true
    }

    /// The clean-shutdown marker says that everything is on disk.
    fn flushed_all(&mut self, node: i32) {
        for partition in self.partitions.values_mut() {
            if let Some(replica) = partition.replicas.get_mut(&node) {
                replica.log.flush(replica.log.end);
            }
        }
    }

    fn stopped(&mut self, node: i32, stop: Stop) {
        self.partitions
            .values_mut()
            .for_each(|partition| partition.stopped(node, stop));
        self.quorum.stopped(node, stop);
        self.metadata.stopped(node);
    }

    /// The process goes on, its logs are no longer what they were.
    fn mark(&mut self, node: i32, stop: Stop) {
        for partition in self.partitions.values_mut() {
            if let Some(replica) = partition.replicas.get_mut(&node) {
                replica.log.stopped(stop);
            }
        }
        self.quorum
            .members
            .entry(node)
            .or_default()
            .log
            .stopped(stop);
    }

    fn lost(&mut self, node: i32, damaged: bool) {
        let event = self.judge.at.event;
        for partition in self.partitions.values_mut() {
            partition.lost(node, event, |loss| loss.damaged |= damaged);
        }
        self.quorum.lost(node, event, damaged);
    }

    fn quorum_event(&mut self, node: i32, event: &Event) -> bool {
        let (quorum, judge) = (&mut self.quorum, &mut self.judge);
        match event {
            Event::QuorumStateSaved { epoch, voted, .. } => {
                quorum.state_saved(node, *epoch, *voted, judge)
            }
            Event::VoteGranted { epoch, candidate } => {
                quorum.vote_granted(node, *epoch, *candidate, judge)
            }
            Event::QuorumRole {
                epoch,
                role,
                voters,
                ..
            } => {
                let end = quorum.committed.end;
                quorum.role(node, *epoch, *role, voters, &self.budget, judge);
                if quorum.committed.end < end {
                    self.metadata.forget_from(quorum.committed.end + 1);
                }
            }
            Event::QuorumVoters { voters } => quorum.voters(node, voters, judge),
            Event::MetadataLogLoaded {
                log_start,
                log_end,
                batches,
                snapshots,
            } => {
                let loaded = LoadedQuorumLog {
                    log_start: *log_start,
                    log_end: *log_end,
                    batches,
                    snapshots,
                };
                quorum.log_loaded(node, &loaded, judge);
            }
            Event::MetadataSnapshotWritten { end, epoch } => {
                quorum.snapshot_written(node, *end, *epoch, judge);
            }
            Event::MetadataLogReplaced { end, epoch } => {
                quorum.log_replaced(node, *end, *epoch, judge);
            }
            Event::MetadataLogStartAdvanced { log_start } => {
                quorum.log_start_advanced(node, *log_start, judge);
            }
            Event::MetadataSnapshotLoaded {
                end,
                epoch,
                hash,
                topics,
            } => {
                quorum.snapshot_loaded(node, *end);
                self.metadata
                    .snapshot_loaded(node, (*end, *epoch, *hash), judge);
                let gone = |id: &PartitionId| !topics.contains(&id.topic);
                for (id, truth) in &mut self.partitions {
                    truth.removed |= truth.registered_end.is_some_and(|at| at <= *end) && gone(id);
                }
            }
            Event::MetadataAppended { batch } => quorum.appended(node, *batch, judge),
            Event::MetadataTruncated { log_end } => quorum.truncated(node, *log_end, judge),
            Event::MetadataFlushed { end } => quorum.flushed(node, *end),
            Event::MetadataCounted { voter, end, .. } => quorum.counted(*voter, *end, judge),
            Event::MetadataHighWatermark {
                high_watermark,
                epoch,
                leader,
            } => {
                quorum.high_watermark(node, *high_watermark, *epoch, *leader, judge);
            }
            _ => return false,
        }
        true
    }

    fn metadata_event(&mut self, node: i32, event: &Event) -> bool {
        let (metadata, judge) = (&mut self.metadata, &mut self.judge);
        match event {
            Event::MetadataApplied { end, epoch, hash } => {
                metadata.applied(node, (*end, *epoch, *hash), &self.quorum, judge);
            }
            Event::ControllerActive { epoch, applied_end } => {
                metadata.controller_active(node, *epoch, *applied_end, &self.quorum, judge);
            }
            Event::ControllerInactive { .. } => {}
            Event::ProducerIdGiven { producer_id } => {
                if self.budget.metadata_durable {
                    self.producer_ids.given(*producer_id, judge);
                }
            }
            Event::PartitionRegistered { partition, state } => {
                let truth = self
                    .partitions
                    .entry(*partition)
                    .or_insert_with(|| Partition::new(*partition));
                metadata.partition_registered(
                    node,
                    *partition,
                    state,
                    &mut truth.registered,
                    judge,
                );
                truth.replicas.entry(node).or_default().replicas = state.replicas.len();
                let at = metadata.applied_end(node);
                truth.registered_end = Some(truth.registered_end.map_or(at, |known| known.min(at)));
            }
            Event::PartitionRemoved { partition } => {
                metadata.partition_removed(node, *partition);
                let topic = PartitionId {
                    index: i32::MIN,
                    ..*partition
                }..=PartitionId {
                    index: i32::MAX,
                    ..*partition
                };
                for (id, truth) in self.partitions.range_mut(topic) {
                    truth.removed |= partition.index < 0 || partition.index == id.index;
                }
            }
            Event::BrokerRegistered {
                broker,
                epoch,
                fenced,
                shutting_down,
            } => {
                metadata.broker_registered(node, *broker, (*epoch, *fenced, *shutting_down), judge);
            }
            _ => return false,
        }
        true
    }

    fn partition_event(&mut self, node: i32, id: PartitionId, event: &Event) {
        let (budget, judge) = (&self.budget, &mut self.judge);
        self.cleaning.event(node, id, event, judge);
        let partition = self
            .partitions
            .entry(id)
            .or_insert_with(|| Partition::new(id));
        // From then on the storage's own tests have to tell what is left (LOG-4).
        partition.cleaned |= matches!(event, Event::LogCleaned { .. });
        if partition.cleaned {
            return;
        }
        match event {
            Event::LogLoaded {
                log_start,
                log_end,
                epochs,
                high_watermark,
                batches,
                ..
            } => {
                let (log_start, log_end, high_watermark) = (*log_start, *log_end, *high_watermark);
                partition.loaded(
                    node,
                    &LoadedLog {
                        log_start,
                        log_end,
                        epochs,
                        high_watermark,
                        batches,
                    },
                    judge,
                );
            }
            Event::LogDeleted { .. } => partition.deleted(node),
            Event::Appended {
                batch, role, epoch, ..
            } => partition.appended(node, *batch, *role, *epoch, judge),
            Event::Truncated { log_end, .. } => partition.truncated(node, *log_end, judge),
            Event::Flushed { end, .. } => partition.flushed(node, *end, judge),
            Event::LogStartAdvanced { log_start, .. } => {
                partition.log_start_advanced(node, *log_start, judge)
            }
            Event::EpochEndOffsetAnswered {
                asked,
                answer_epoch,
                end_offset,
                ..
            } => {
                partition.epoch_end_answered(node, *asked, (*answer_epoch, *end_offset), judge);
            }
            Event::BecameLeader {
                epoch, epoch_start, ..
            } => {
                partition.became_leader(node, *epoch, *epoch_start, budget, judge);
            }
            Event::CoordinatorLoaded { epoch, .. } => {
                partition.coordinator_loaded(node, *epoch, judge);
            }
            Event::BecameFollower { epoch, .. } => partition.became_follower(node, *epoch, judge),
            Event::HighWatermark {
                high_watermark,
                epoch,
                leader: false,
                ..
            } => {
                partition.follower_high_watermark(node, *high_watermark, *epoch, judge);
            }
            Event::HighWatermark {
                high_watermark,
                epoch,
                maximal_isr,
                min_insync_replicas,
                ..
            } => {
                let (high_watermark, epoch, min_insync_replicas) =
                    (*high_watermark, *epoch, *min_insync_replicas);
                let raised = Raised {
                    high_watermark,
                    epoch,
                    maximal_isr,
                    min_insync_replicas,
                };
                partition.leader_high_watermark(node, &raised, budget, judge);
            }
            Event::FollowerCounted {
                follower,
                log_end,
                epoch,
                ..
            } => {
                partition.follower_counted(node, *follower, *log_end, *epoch, judge);
            }
            Event::IsrChanged {
                committed,
                epoch,
                partition_epoch,
                ..
            } => {
                partition.isr_changed(node, committed, *epoch, *partition_epoch);
            }
            Event::ProduceAcknowledged {
                base_offset,
                last_offset,
                acks,
                ..
            } => {
                partition.acknowledged(node, *base_offset, *last_offset, *acks, judge);
            }
            Event::SequenceRefused {
                producer, records, ..
            } => {
                partition.sequence_refused(node, *producer, *records, judge);
            }
            Event::ConsumerRead {
                from,
                end,
                limit,
                aborted,
                ..
            } => {
                partition.consumer_read(node, (*from, *end, *limit), judge);
                if let (Some(aborted), Some(replica)) = (aborted, partition.replicas.get(&node)) {
                    let (log, high_watermark) = (&replica.log, replica.high_watermark);
                    transactions::read_committed(
                        id,
                        log,
                        high_watermark,
                        (*from, *end),
                        aborted,
                        judge,
                    );
                }
            }
            _ => {}
        }
    }
}
