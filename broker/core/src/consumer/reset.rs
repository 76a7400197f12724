//! Finding a valid position: validation against the leader's epochs, and reset by policy.

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, TopicIdPartition};

use super::Consumer;
use super::message::{EpochEndOffset, Generation, OffsetAndEpoch, OffsetReset, Output};
use super::position::Phase;

impl Consumer {
    /// Reads on from the fetch offset, after validation if there is an epoch to validate.
    pub(super) fn begin(&mut self, partition: TopicIdPartition, out: &mut Vec<Output>) {
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        let validate = position.last_fetched_epoch.is_some() && !mutant!(C_07);
        position.phase = if validate {
            Phase::Validating
        } else {
            Phase::Fetching
        };
        self.repeat(partition, out);
    }

    pub(super) fn start_reset(
        &mut self,
        partition: TopicIdPartition,
        reset: OffsetReset,
        out: &mut Vec<Output>,
    ) {
        let generation = self.generation();
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        position.jump(generation, None);
        position.phase = Phase::Resetting(reset);
        out.push(Output::DropBuffered { partition });
        self.repeat(partition, out);
    }

    /// Without a policy the application must seek.
    pub(super) fn stall(
        &mut self,
        partition: TopicIdPartition,
        error: Option<ErrorCode>,
        out: &mut Vec<Output>,
    ) {
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        position.phase = Phase::Stalled;
        let offset = position.consumed.map(|_| position.fetch_offset);
        out.push(Output::Stalled {
            partition,
            offset,
            error,
        });
    }

    /// Asks (again) what the phase needs to know, if there is a leader to ask and nothing under way.
    pub(super) fn repeat(&mut self, partition: TopicIdPartition, out: &mut Vec<Output>) {
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        if position.in_flight || position.backing_off || position.phase == Phase::Stalled {
            return;
        }
        let Some(node) = position.leader else {
            return out.push(Output::RefreshMetadata { partition });
        };
        let (generation, current_leader_epoch) = (position.generation, position.leader_epoch);
        match (position.phase, position.last_fetched_epoch) {
            (Phase::Resetting(reset), _) => {
                out.push(Output::ListOffset {
                    partition,
                    generation,
                    node,
                    current_leader_epoch,
                    reset,
                });
            }
            (Phase::Validating, Some(epoch)) => {
                out.push(Output::OffsetForLeaderEpoch {
                    partition,
                    generation,
                    node,
                    current_leader_epoch,
                    epoch,
                });
            }
            _ => return,
        }
        position.in_flight = true;
    }

    pub(super) fn on_offset_listed(
        &mut self,
        partition: TopicIdPartition,
        generation: Generation,
        result: Result<OffsetAndEpoch, ErrorCode>,
        out: &mut Vec<Output>,
    ) {
        let next = self.generation();
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        if position.generation != generation || !matches!(position.phase, Phase::Resetting(_)) {
            return;
        }
        position.in_flight = false;
        match result {
            Ok(start) => {
                // The epoch is that of the record at the offset, not before it: nothing to validate with.
                position.jump(
                    next,
                    Some(OffsetAndEpoch {
                        epoch: None,
                        ..start
                    }),
                );
                self.begin(partition, out);
            }
            Err(error) => self.on_lookup_error(partition, error, out),
        }
    }

    pub(super) fn on_epoch_end(
        &mut self,
        partition: TopicIdPartition,
        generation: Generation,
        current_leader_epoch: LeaderEpoch,
        result: Result<Option<EpochEndOffset>, ErrorCode>,
        out: &mut Vec<Output>,
    ) {
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        let current =
            position.generation == generation && position.leader_epoch == current_leader_epoch;
        if !current || position.phase != Phase::Validating {
            return;
        }
        position.in_flight = false;
        let (asked, offset) = (position.last_fetched_epoch, position.fetch_offset);
        match result {
            Ok(Some(end)) if Some(end.epoch) >= asked && end.end_offset >= offset => {
                position.phase = Phase::Fetching
            }
            Ok(end) => self.on_divergence(partition, end, out),
            Err(error) => self.on_lookup_error(partition, error, out),
        }
    }

    fn on_lookup_error(
        &mut self,
        partition: TopicIdPartition,
        error: ErrorCode,
        out: &mut Vec<Output>,
    ) {
        if error == ErrorCode::TopicAuthorizationFailed {
            return self.stall(partition, Some(error), out);
        }
        out.push(Output::RefreshMetadata { partition });
        self.back_off(partition, out);
    }

    /// C-07: the log was truncated below the position; reading on would skip or repeat without a word.
    pub(super) fn on_divergence(
        &mut self,
        partition: TopicIdPartition,
        end: Option<EpochEndOffset>,
        out: &mut Vec<Output>,
    ) {
        let next = self.generation();
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        let fetched = OffsetAndEpoch {
            offset: position.fetch_offset,
            epoch: position.last_fetched_epoch,
        };
        let consumed = position.consumed.unwrap_or(fetched);
        // An unknown epoch says that the log differs, not where.
        let divergent = end
            .filter(|end| end.end_offset >= 0)
            .map(|end| end.end_offset);
        if divergent.is_some_and(|divergent| consumed.offset <= divergent) {
            // Only records that the application has not got are affected.
            position.jump(next, Some(consumed));
            out.push(Output::DropBuffered { partition });
            return self.begin(partition, out);
        }
        probe!("consumer: truncation detected");
        out.push(Output::TruncationDetected {
            partition,
            position: consumed.offset,
            divergent,
        });
        match (self.config.reset, divergent) {
            (None, _) => self.stall(partition, None, out),
            (Some(reset), None) => self.start_reset(partition, reset, out),
            (Some(_), Some(divergent)) => {
                let epoch = end.map(|end| end.epoch);
                position.jump(
                    next,
                    Some(OffsetAndEpoch {
                        offset: divergent,
                        epoch,
                    }),
                );
                out.push(Output::DropBuffered { partition });
                self.begin(partition, out);
            }
        }
    }

    pub(super) fn on_out_of_range(&mut self, partition: TopicIdPartition, out: &mut Vec<Output>) {
        match self.config.reset {
            Some(reset) => self.start_reset(partition, reset, out),
            None => self.stall(partition, Some(ErrorCode::OffsetOutOfRange), out),
        }
    }
}
