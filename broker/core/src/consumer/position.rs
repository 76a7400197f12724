//! One assigned partition.

use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, TopicIdPartition};

use super::message::{FetchPosition, Generation, OffsetAndEpoch, OffsetReset};

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub(super) enum Phase {
    Fetching,
    /// Asking the leader whether the log still has what was read (KIP-320).
    Validating,
    Resetting(OffsetReset),
    /// Until a seek.
    Stalled,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Position {
    pub generation: Generation,
    pub phase: Phase,
    /// Next for the application; None before the first position is found.
    pub consumed: Option<OffsetAndEpoch>,
    /// Next to fetch, and the epoch of the record before it.
    pub fetch_offset: Offset,
    pub last_fetched_epoch: Option<LeaderEpoch>,
    pub leader: Option<NodeId>,
    /// Read from instead of the leader (KIP-392).
    pub preferred: Option<NodeId>,
    /// -1 before metadata is known.
    pub leader_epoch: LeaderEpoch,
    /// A fetch, lookup or validation is under way.
    pub in_flight: bool,
    pub backing_off: bool,
    pub paused: bool,
    pub high_watermark: Option<Offset>,
}

impl Position {
    pub fn new(generation: Generation, start: Option<OffsetAndEpoch>) -> Position {
        let mut position = Position {
            generation,
            phase: Phase::Fetching,
            consumed: None,
            fetch_offset: 0,
            last_fetched_epoch: None,
            leader: None,
            preferred: None,
            leader_epoch: LeaderEpoch(-1),
            in_flight: false,
            backing_off: false,
            paused: false,
            high_watermark: None,
        };
        position.jump(generation, start);
        position
    }

    /// Begins a new generation, at `start` if it is known.
    pub fn jump(&mut self, generation: Generation, start: Option<OffsetAndEpoch>) {
        self.generation = generation;
        self.in_flight = false;
        self.backing_off = false;
        self.preferred = None;
        if let Some(start) = start {
            self.consumed = Some(start);
            self.fetch_offset = start.offset;
            self.last_fetched_epoch = start.epoch;
        }
    }

    /// Whom to fetch from.
    pub fn source(&self) -> Option<NodeId> {
        self.preferred
            .filter(|_| self.leader.is_some())
            .or(self.leader)
    }

    pub fn can_fetch_from(&self, node: NodeId) -> bool {
        let idle = !self.in_flight && !self.backing_off && !self.paused;
        self.phase == Phase::Fetching && self.source() == Some(node) && idle
    }

    pub fn fetch_position(&self, partition: TopicIdPartition) -> FetchPosition {
        FetchPosition {
            partition,
            generation: self.generation,
            offset: self.fetch_offset,
            current_leader_epoch: self.leader_epoch,
            last_fetched_epoch: self.last_fetched_epoch,
        }
    }
}
