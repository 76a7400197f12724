//! The consuming client's positions: where to fetch next, from whom, and what to do when the log is not
//! what it was (KIP-320: fencing, validation, truncation detection).
//!
//! - [`message`]: inputs, outputs, configuration. `position`: one partition's state.
//! - [`aborted`]: what of an answer belongs to aborted transactions. `fetch`: fetches and their answers. `reset`: finding a valid position.
//!
//! Two offsets per partition: the fetch offset runs ahead of what the application has got. Each change of
//! position other than by reading begins a new [`Generation`]; answers and records of an older one are void
//! ([`Output::DropBuffered`] says so). Group membership is not here.

pub mod aborted;
mod fetch;
pub mod message;
mod position;
mod reset;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ids::{LeaderEpoch, NodeId, TopicIdPartition};

pub use message::{
    Config, EpochEndOffset, FetchPosition, Fetched, FetchedBatch, Generation, Input,
    OffsetAndEpoch, OffsetReset, Output, Timer,
};
use position::{Phase, Position};

/// The partitions assigned to a consumer and its positions in them.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Consumer {
    config: Config,
    positions: BTreeMap<TopicIdPartition, Position>,
    /// Survives a partition's revocation, so that no old answer fits a new assignment.
    next_generation: u64,
}

impl Consumer {
    pub fn new(config: Config) -> Consumer {
        Consumer {
            config,
            positions: BTreeMap::new(),
            next_generation: 0,
        }
    }

    /// Takes one input; what is to be done is appended to `out`.
    pub fn step(&mut self, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Assign {
                partition,
                position,
            } => self.assign(partition, position, out),
            Input::Revoke { partition } => {
                self.positions.remove(&partition);
            }
            Input::Seek {
                partition,
                position,
            } => self.seek(partition, position, out),
            Input::SeekTo { partition, reset } => self.start_reset(partition, reset, out),
            Input::Pause { partition, paused } => {
                if let Some(position) = self.positions.get_mut(&partition) {
                    position.paused = paused;
                }
            }
            Input::Leader {
                partition,
                leader,
                epoch,
            } => self.on_leader(partition, leader, epoch, out),
            Input::Fetch { node } => self.fetch(node, out),
            Input::FetchResult { position, result } => self.on_fetch_result(position, result, out),
            Input::FetchUnchanged { position } => self.on_fetch_unchanged(position),
            Input::Delivered {
                partition,
                generation,
                next,
            } => self.delivered(partition, generation, next),
            Input::OffsetListed {
                partition,
                generation,
                result,
            } => {
                self.on_offset_listed(partition, generation, result, out);
            }
            Input::EpochEnd {
                partition,
                generation,
                current_leader_epoch,
                result,
            } => {
                self.on_epoch_end(partition, generation, current_leader_epoch, result, out);
            }
            Input::Timer(Timer::Retry(partition)) => self.on_retry(partition, out),
            Input::Timer(Timer::PreferredReplica(partition, generation, node)) => {
                self.on_lease_over(partition, generation, node);
            }
        }
    }

    /// The offset of the next record for the application, with the epoch of the last one, to be committed.
    /// None while it is not known.
    pub fn position(&self, partition: TopicIdPartition) -> Option<OffsetAndEpoch> {
        self.positions.get(&partition)?.consumed
    }

    pub fn assigned(&self) -> impl Iterator<Item = TopicIdPartition> + '_ {
        self.positions.keys().copied()
    }

    /// Whom anything can be fetched from: leaders, and the replicas they named instead.
    pub fn sources(&self) -> BTreeSet<NodeId> {
        self.positions
            .values()
            .filter_map(Position::source)
            .collect()
    }

    /// How far the application is behind the last high watermark seen.
    pub fn lag(&self, partition: TopicIdPartition) -> Option<i64> {
        let position = self.positions.get(&partition)?;
        Some((position.high_watermark? - position.consumed?.offset).max(0))
    }

    fn generation(&mut self) -> Generation {
        self.next_generation += 1;
        Generation(self.next_generation)
    }

    /// An assigned partition stays as it is: its position may be ahead of the committed one.
    fn assign(
        &mut self,
        partition: TopicIdPartition,
        start: Option<OffsetAndEpoch>,
        out: &mut Vec<Output>,
    ) {
        if self.positions.contains_key(&partition) {
            return;
        }
        let position = Position::new(self.generation(), start);
        self.positions.insert(partition, position);
        match (start, self.config.reset) {
            (Some(_), _) => self.begin(partition, out),
            (None, Some(reset)) => self.start_reset(partition, reset, out),
            (None, None) => self.stall(partition, None, out),
        }
    }

    fn seek(&mut self, partition: TopicIdPartition, start: OffsetAndEpoch, out: &mut Vec<Output>) {
        let generation = self.generation();
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        position.jump(generation, Some(start));
        out.push(Output::DropBuffered { partition });
        self.begin(partition, out);
    }

    /// A later epoch than the position was checked against: what was read may be gone.
    fn on_leader(
        &mut self,
        id: TopicIdPartition,
        leader: Option<NodeId>,
        epoch: LeaderEpoch,
        out: &mut Vec<Output>,
    ) {
        let Some(position) = self.positions.get_mut(&id) else {
            return;
        };
        if epoch < position.leader_epoch {
            return;
        }
        let newer = epoch > position.leader_epoch;
        position.leader_epoch = epoch;
        position.leader = leader;
        if newer {
            // The leader before it chose the replica.
            position.preferred = None;
        }
        if newer && matches!(position.phase, Phase::Fetching | Phase::Validating) {
            // What is still under way is about the old epoch.
            position.in_flight = false;
            self.begin(id, out);
        } else if position.phase != Phase::Fetching {
            self.repeat(id, out);
        }
    }

    fn delivered(
        &mut self,
        partition: TopicIdPartition,
        generation: Generation,
        next: OffsetAndEpoch,
    ) {
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        if position.generation == generation {
            assert!(
                next.offset <= position.fetch_offset,
                "delivered {next:?} before {} was fetched",
                position.fetch_offset
            );
            position.consumed = Some(next);
        }
    }
}
