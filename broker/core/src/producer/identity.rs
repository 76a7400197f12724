//! Producer id, epoch and sequences (KIP-98, KIP-360).
//!
//! A batch that was sent with a sequence and then given up leaves a gap that the broker refuses to jump.
//! Then the epoch is raised, and all sequences restart; but only when no batch with an old sequence is
//! left, because giving one a new sequence could append it twice (C-05).

use broker_probe::probe;
use broker_protocol::ErrorCode;

use super::Producer;
use super::batch::add_sequence;
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
    pub(super) fn retire_epoch(&mut self) {
        if self.config.idempotence {
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
                self.identity.current = Some(current);
                self.identity.retired = false;
                for queue in self.queues.values_mut() {
                    queue.next_sequence = 0;
                }
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

    pub(super) fn on_producer_id_retry(&mut self, out: &mut Vec<Output>) {
        if self.identity.asked {
            self.identity.asked = false;
            self.identity.ask(out);
        }
    }
}
