//! InitProducerId: who may use a transactional id from now on.

use std::collections::BTreeSet;

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;

use super::message::{InitRequest, Producer, Reply};
use super::record::{State, TransactionMetadata};
use super::{MAX_EPOCH, Step, TransactionCoordinator};

/// Whether a client at this epoch can only go on under another producer id.
pub(super) fn is_exhausted(epoch: i16) -> bool {
    epoch >= MAX_EPOCH - 1
}

impl TransactionCoordinator {
    pub(super) fn init_producer_id(&mut self, request: &InitRequest, step: &mut Step<'_>) -> Reply {
        let refused = |error| Reply::InitProducerId(Err(error));
        if !(1..=self.config.max_timeout_ms).contains(&request.timeout_ms) {
            return refused(ErrorCode::InvalidTransactionTimeout);
        }
        let id = &request.transactional_id;
        let Some(current) = self.hard.get(id).cloned() else {
            return self.first_producer(request, step);
        };
        if current.state.is_completing() {
            if mutant!(T_10) && current.producer_epoch < MAX_EPOCH {
                let raised = TransactionMetadata {
                    producer_epoch: current.producer_epoch + 1,
                    ..current
                };
                self.write(id, Some(raised), step);
            }
            return refused(ErrorCode::ConcurrentTransactions);
        }
        if request
            .expected
            .is_some_and(|expected| !may_be(&current, expected))
        {
            return refused(ErrorCode::ProducerFenced);
        }
        if current.state == State::Ongoing {
            // Its epoch is raised once more when the client comes again: nobody is ever told this one.
            self.fence(id, &current, step);
            if mutant!(C_04) {
                return Reply::InitProducerId(Ok(current.producer()));
            }
            return refused(ErrorCode::ConcurrentTransactions);
        }
        self.next_epoch(request, current, step)
    }

    fn first_producer(&mut self, request: &InitRequest, step: &mut Step<'_>) -> Reply {
        let Some(producer_id) = request.fresh_producer_id else {
            return Reply::NeedsProducerId;
        };
        let first = TransactionMetadata {
            producer_id,
            previous_producer_id: None,
            next_producer_id: None,
            producer_epoch: 0,
            timeout_ms: request.timeout_ms,
            state: State::Empty,
            partitions: BTreeSet::new(),
            start_ms: None,
            last_update_ms: step.now_ms,
            client_version: 0,
        };
        self.grant(request, first, None, step)
    }

    /// Raises the epoch, or changes the producer id where no epoch is left.
    fn next_epoch(
        &mut self,
        request: &InitRequest,
        current: TransactionMetadata,
        step: &mut Step<'_>,
    ) -> Reply {
        let epoch = current.producer_epoch;
        let expected = request.expected.map(|expected| expected.epoch);
        if expected.is_none_or(|expected| expected == epoch) {
            return if is_exhausted(epoch) {
                self.rotate(request, current, step)
            } else {
                let raised = TransactionMetadata {
                    previous_producer_id: Some(current.producer_id),
                    producer_epoch: epoch + 1,
                    ..current
                };
                self.grant(request, raised, expected, step)
            };
        }
        let last = self.last_epochs.get(&request.transactional_id).copied();
        if last.is_some() && expected == last {
            // It was done, and the answer got lost. Whoever else had come since would have cleared it.
            probe!("transaction: an epoch was asked for again");
            return self.grant(request, current, last, step);
        }
        Reply::InitProducerId(Err(ErrorCode::ProducerFenced))
    }

    fn rotate(
        &mut self,
        request: &InitRequest,
        current: TransactionMetadata,
        step: &mut Step<'_>,
    ) -> Reply {
        let Some(fresh) = request.fresh_producer_id else {
            return Reply::NeedsProducerId;
        };
        probe!("transaction: a producer id ran out of epochs");
        let last = request.expected.map(|_| current.producer_epoch);
        let rotated = TransactionMetadata {
            producer_id: fresh,
            previous_producer_id: Some(current.producer_id),
            producer_epoch: 0,
            ..current
        };
        self.grant(request, rotated, last, step)
    }

    fn grant(
        &mut self,
        request: &InitRequest,
        granted: TransactionMetadata,
        last_epoch: Option<i16>,
        step: &mut Step<'_>,
    ) -> Reply {
        let id = &request.transactional_id;
        let granted = TransactionMetadata {
            timeout_ms: request.timeout_ms,
            state: State::Empty,
            start_ms: None,
            last_update_ms: step.now_ms,
            client_version: 0,
            ..granted
        };
        self.remember(id, last_epoch);
        let producer = granted.producer();
        self.write(id, Some(granted), step);
        Reply::InitProducerId(Ok(producer))
    }

    pub(super) fn remember(&mut self, id: &str, last_epoch: Option<i16>) {
        match last_epoch {
            Some(epoch) => drop(self.last_epochs.insert(id.to_string(), epoch)),
            None => drop(self.last_epochs.remove(id)),
        }
    }
}

/// Whether the producer can be the current one; its epoch is looked at when it is raised. One under the id before
/// may have lost the answer that gave it another.
fn may_be(current: &TransactionMetadata, expected: Producer) -> bool {
    expected.id == current.producer_id
        || (Some(expected.id) == current.previous_producer_id && is_exhausted(expected.epoch))
}
