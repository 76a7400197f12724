//! Fetches and their answers.

use broker_probe::probe;
use broker_protocol::ErrorCode;
use broker_protocol::ids::{NodeId, TopicIdPartition};

use super::Consumer;
use super::message::{FetchPosition, Fetched, Generation, OffsetAndEpoch, Output, Timer};

impl Consumer {
    pub(super) fn fetch(&mut self, node: NodeId, out: &mut Vec<Output>) {
        let mut positions = Vec::new();
        for (&partition, position) in &mut self.positions {
            if position.can_fetch_from(node) {
                position.in_flight = true;
                positions.push(position.fetch_position(partition));
            }
        }
        if !positions.is_empty() {
            out.push(Output::Fetch { node, positions });
        }
    }

    pub(super) fn on_fetch_unchanged(&mut self, asked: FetchPosition) {
        if let Some(position) = self.positions.get_mut(&asked.partition)
            && position.in_flight
            && asked == position.fetch_position(asked.partition)
        {
            position.in_flight = false;
        }
    }

    pub(super) fn on_fetch_result(
        &mut self,
        asked: FetchPosition,
        result: Result<Fetched, ErrorCode>,
        out: &mut Vec<Output>,
    ) {
        let partition = asked.partition;
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        if !position.in_flight || asked != position.fetch_position(partition) {
            probe!("consumer: stale fetch answer ignored");
            return;
        }
        position.in_flight = false;
        match result {
            Ok(fetched) => match fetched.diverging {
                Some(diverging) => self.on_divergence(partition, Some(diverging), out),
                None => self.accept(partition, &fetched, out),
            },
            Err(error) => self.on_fetch_error(partition, error, out),
        }
    }

    /// Batches are stored whole: the first may begin below the offset that was asked for.
    fn accept(&mut self, partition: TopicIdPartition, fetched: &Fetched, out: &mut Vec<Output>) {
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        position.high_watermark = Some(fetched.high_watermark);
        if let Some(node) = fetched.preferred_read_replica {
            probe!("consumer: reads from a preferred replica");
            position.preferred = Some(node);
            let timer = Timer::PreferredReplica(partition, position.generation, node);
            return out.push(Output::Arm(timer));
        }
        let Some(last) = fetched.batches.last() else {
            return;
        };
        if last.last_offset < position.fetch_offset {
            return;
        }
        let from = position.fetch_offset;
        let next = OffsetAndEpoch {
            offset: last.last_offset.saturating_add(1),
            epoch: Some(last.leader_epoch),
        };
        position.fetch_offset = next.offset;
        position.last_fetched_epoch = next.epoch;
        out.push(Output::Accept {
            partition,
            generation: position.generation,
            from,
            next,
        });
    }

    fn on_fetch_error(
        &mut self,
        partition: TopicIdPartition,
        error: ErrorCode,
        out: &mut Vec<Output>,
    ) {
        let was_preferred = self
            .positions
            .get_mut(&partition)
            .and_then(|position| position.preferred.take());
        match error {
            ErrorCode::OffsetOutOfRange if was_preferred.is_some() => {
                // A follower may be behind or have deleted more; what the leader says counts.
                probe!("consumer: back to the leader");
            }
            ErrorCode::OffsetOutOfRange => self.on_out_of_range(partition, out),
            ErrorCode::TopicAuthorizationFailed | ErrorCode::CorruptMessage => {
                self.stall(partition, Some(error), out)
            }
            _ => {
                // Fenced or unknown leader epoch, not the leader, unknown topic: the metadata are old.
                out.push(Output::RefreshMetadata { partition });
                self.back_off(partition, out);
            }
        }
    }

    /// The lease of a preferred replica is over, unless another one was named since.
    pub(super) fn on_lease_over(
        &mut self,
        partition: TopicIdPartition,
        generation: Generation,
        node: NodeId,
    ) {
        if let Some(position) = self.positions.get_mut(&partition)
            && position.generation == generation
            && position.preferred == Some(node)
        {
            position.preferred = None;
        }
    }

    pub(super) fn back_off(&mut self, partition: TopicIdPartition, out: &mut Vec<Output>) {
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        position.backing_off = true;
        out.push(Output::Arm(Timer::Retry(partition)));
    }

    pub(super) fn on_retry(&mut self, partition: TopicIdPartition, out: &mut Vec<Output>) {
        let Some(position) = self.positions.get_mut(&partition) else {
            return;
        };
        if position.backing_off {
            position.backing_off = false;
            self.repeat(partition, out);
        }
    }
}
