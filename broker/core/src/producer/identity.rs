//! Producer id, epoch and sequences (KIP-98, KIP-360).
//!
//! A batch that was sent with a sequence and then given up leaves a gap that the broker refuses to jump. What
//! is refused behind it, and is surely in no log, loses its sequence and waits in its place. Then the epoch is
//! raised, and all sequences restart; but only when no batch with an old sequence is left, because giving one
//! a new sequence could append it twice (C-05).

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::TopicIdPartition;

use super::Producer;
use super::batch::{Batch, add_sequence};
use super::message::{Output, ProducerIdAndEpoch, Sequence, Timer};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Identity {
    current: Option<ProducerIdAndEpoch>,
    asked: bool,
    /// No new sequence under the current epoch.
    retired: bool,
}

impl Identity {
    /// None if there is no usable id; then one is asked for, unless an old one still winds down.
    pub fn next_sequence(
        &mut self,
        next: &mut i32,
        records: usize,
        out: &mut Vec<Output>,
    ) -> Option<Sequence> {
        if self.retired {
            return None;
        }
        let Some(producer) = self.current else {
            self.ask(out);
            return None;
        };
        let base_sequence = *next;
        let count =
            i32::try_from(records).expect("a batch is limited by bytes, far below 2^31 records");
        *next = add_sequence(base_sequence, count);
        Some(Sequence {
            producer,
            base_sequence,
        })
    }

    pub fn current(&self) -> Option<ProducerIdAndEpoch> {
        self.current
    }

    /// Whether the batch was sent under the epoch that new ones are sent under.
    pub fn is_current(&self, batch: &Batch) -> bool {
        batch.sequence.map(|sequence| sequence.producer) == self.current
    }

    fn ask(&mut self, out: &mut Vec<Output>) {
        if !self.asked {
            self.asked = true;
            out.push(Output::InitProducerId {
                previous: self.current,
            });
        }
    }
}

impl Producer {
    pub(super) fn has_sequenced_before(&self, partition: TopicIdPartition, batch: &Batch) -> bool {
        let queue = self.queues.get(&partition);
        queue.is_some_and(|queue| queue.has_sequenced_before(batch.order()))
    }

    /// Whether the batch's sequence leads nowhere: the broker finds a gap before it that nothing on its way
    /// will fill, or does not know the producer as it was.
    pub(super) fn must_restart(
        &self,
        partition: TopicIdPartition,
        batch: &Batch,
        error: ErrorCode,
    ) -> bool {
        let refused = match error {
            ErrorCode::OutOfOrderSequenceNumber => !self.has_sequenced_before(partition, batch),
            ErrorCode::InvalidProducerEpoch | ErrorCode::UnknownProducerId => true,
            _ => false,
        };
        let queue = self.queues.get(&partition);
        refused || queue.is_some_and(|queue| queue.has_gap_before(batch.order()))
    }

    /// Waits for the next epoch, and so does all behind it; what may be in the log already is given up.
    pub(super) fn restart(
        &mut self,
        partition: TopicIdPartition,
        batch: Batch,
        error: ErrorCode,
        out: &mut Vec<Output>,
    ) {
        probe!("producer: sequence restarted");
        self.retire_epoch();
        let Some(queue) = self.queues.get_mut(&partition) else {
            return;
        };
        let from = queue
            .closed
            .partition_point(|other| other.order() < batch.order());
        let behind = queue.closed.split_off(from);
        for mut batch in std::iter::once(batch).chain(behind) {
            let retries_left = batch.attempts <= self.config.retries;
            let may_be_there = (batch.may_be_appended || batch.told) && !mutant!(C_05);
            if batch.sequence.is_some() && (may_be_there || !retries_left) {
                self.give_up(partition, batch, error, out);
            } else if let Some(queue) = self.queues.get_mut(&partition) {
                batch.sequence = None;
                queue.closed.push_back(batch);
            }
        }
    }

    pub(super) fn retire_epoch(&mut self) {
        if self.config.idempotence && !self.config.transactional {
            probe!("producer: epoch retired");
            self.identity.retired = true;
        }
    }

    /// Asks for the next epoch once the old one has wound down.
    pub(super) fn maybe_raise_epoch(&mut self, out: &mut Vec<Output>) {
        let winding_down =
            !self.requests.is_empty() || self.queues.values().any(|queue| queue.has_sequenced());
        if self.identity.retired && !winding_down {
            self.identity.ask(out);
        }
    }

    pub(super) fn on_producer_id(
        &mut self,
        result: Result<ProducerIdAndEpoch, ErrorCode>,
        out: &mut Vec<Output>,
    ) {
        self.identity.asked = false;
        match result {
            Ok(current) => {
                if self.config.transactional {
                    return self.on_initialized(current);
                }
                self.take_identity(current);
                self.drain_all(out);
            }
            // Also after a fatal error: records fail by their delivery timeout, and say so.
            Err(_) => {
                self.identity.asked = true;
                out.push(Output::Arm {
                    timer: Timer::ProducerIdRetry,
                    attempt: 0,
                });
            }
        }
    }

    /// All sequences begin anew.
    pub(super) fn take_identity(&mut self, current: ProducerIdAndEpoch) {
        self.identity.current = Some(current);
        self.identity.retired = false;
        for queue in self.queues.values_mut() {
            queue.next_sequence = 0;
            queue.known = false;
        }
    }

    pub(super) fn on_producer_id_retry(&mut self, out: &mut Vec<Output>) {
        if self.identity.asked {
            self.identity.asked = false;
            self.identity.ask(out);
        }
    }
}
