//! What a transaction is about: partitions are added before the first record or offset gets there, or by the
//! partition's leader with it (KIP-890 part 2); leaders ask whether one belongs to it (part 1).

use std::collections::BTreeSet;

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::TopicPartition;

use super::message::AddPartitionsRequest;
use super::record::{State, TransactionMetadata};
use super::{MAX_EPOCH, Step, TransactionCoordinator};

impl TransactionCoordinator {
    pub(super) fn add_partitions(
        &mut self,
        request: &AddPartitionsRequest,
        step: &mut Step<'_>,
    ) -> Result<(), ErrorCode> {
        let id = &request.transactional_id;
        let current = self.hard.get(id);
        let current = current.ok_or(ErrorCode::InvalidProducerIdMapping)?;
        // First, because the producer may already know the id it has after this (KAFKA-18575).
        if current.state.is_completing() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        self.identify(request, current)?;
        let is_ongoing = current.state == State::Ongoing;
        if is_ongoing && request.partitions.is_subset(&current.partitions) {
            return Ok(());
        }
        if mutant!(T_28) && !is_ongoing {
            return Ok(());
        }
        let now_ms = step.now_ms;
        if mutant!(T_13) && !is_ongoing && current.start_ms.is_some_and(|start| start > now_ms) {
            return Err(ErrorCode::UnknownServerError);
        }
        if current.last_update_ms > now_ms {
            probe!("transaction: the clock went back");
        }
        let ongoing = TransactionMetadata {
            state: State::Ongoing,
            partitions: current
                .partitions
                .union(&request.partitions)
                .cloned()
                .collect(),
            start_ms: if is_ongoing {
                current.start_ms
            } else {
                Some(now_ms)
            },
            last_update_ms: now_ms,
            client_version: request.client_version,
            ..current.clone()
        };
        self.write(id, Some(ongoing), step);
        Ok(())
    }

    /// The partitions that do not belong to the ongoing transaction.
    pub(super) fn verify(
        &self,
        request: &AddPartitionsRequest,
    ) -> Result<BTreeSet<TopicPartition>, ErrorCode> {
        let current = self.hard.get(&request.transactional_id);
        let current = current.ok_or(ErrorCode::InvalidProducerIdMapping)?;
        self.identify(request, current)?;
        if current.state.is_completing() {
            return Err(ErrorCode::ConcurrentTransactions);
        }
        let foreign = request.partitions.difference(&current.partitions);
        Ok(foreign.cloned().collect())
    }

    fn identify(
        &self,
        request: &AddPartitionsRequest,
        current: &TransactionMetadata,
    ) -> Result<(), ErrorCode> {
        if request.producer.id != current.producer_id {
            return Err(ErrorCode::InvalidProducerIdMapping);
        }
        // The last epoch is nobody's: it is what fences those below.
        if request.producer.epoch != current.producer_epoch || request.producer.epoch == MAX_EPOCH {
            return Err(ErrorCode::ProducerFenced);
        }
        Ok(())
    }
}
