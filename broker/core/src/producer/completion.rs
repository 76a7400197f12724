//! Answers, retries, and what is told about records in the end.

use broker_probe::probe;
use broker_protocol::ErrorCode;
use broker_protocol::ids::{Offset, TopicIdPartition};

use super::Producer;
use super::batch::Batch;
use super::message::{BatchId, Outcome, Output, RequestId, Timer};

impl Producer {
    pub(super) fn on_response(
        &mut self,
        request: RequestId,
        results: &[(TopicIdPartition, Result<Offset, ErrorCode>)],
        out: &mut Vec<Output>,
    ) {
        self.finish(request, out, |partition| {
            let result = results
                .iter()
                .find(|(id, _)| *id == partition)
                .map(|(_, result)| *result);
            (result.unwrap_or(Err(ErrorCode::UnknownServerError)), true)
        });
    }

    pub(super) fn on_request_failed(
        &mut self,
        request: RequestId,
        sent: bool,
        out: &mut Vec<Output>,
    ) {
        self.finish(request, out, |_| (Err(ErrorCode::NetworkException), sent));
    }

    fn finish(
        &mut self,
        request: RequestId,
        out: &mut Vec<Output>,
        result_of: impl Fn(TopicIdPartition) -> (Result<Offset, ErrorCode>, bool),
    ) {
        let Some(finished) = self.requests.remove(&request) else {
            return;
        };
        let mut partitions = Vec::with_capacity(finished.batches.len());
        for (partition, batch) in finished.batches {
            if let Some(queue) = self.queues.get_mut(&partition) {
                queue.in_flight.remove(&batch.order());
            }
            let (result, sent) = result_of(partition);
            self.settle(partition, batch, result, sent, out);
            partitions.push(partition);
        }
        self.maybe_raise_epoch(out);
        for partition in partitions {
            self.offer(partition, out);
        }
        self.drain(finished.node, out);
        self.maybe_end(out);
    }

    fn settle(
        &mut self,
        partition: TopicIdPartition,
        mut batch: Batch,
        result: Result<Offset, ErrorCode>,
        sent: bool,
        out: &mut Vec<Output>,
    ) {
        let error = match result {
            Ok(base_offset) => {
                self.note_known(partition, &batch);
                return self.complete(partition, batch, Outcome::Acked { base_offset }, out);
            }
            // The broker has it, but no longer remembers where.
            Err(ErrorCode::DuplicateSequenceNumber) => {
                return self.complete(partition, batch, Outcome::Acked { base_offset: -1 }, out);
            }
            Err(error) => error,
        };
        batch.may_be_appended |= sent && !is_refusal(error);
        if needs_metadata(error) {
            out.push(Output::RefreshMetadata { partition });
        }
        if self.config.transactional && !self.may_retry_in_transaction() {
            self.give_up(partition, batch, error, out);
        } else if error == ErrorCode::MessageTooLarge && batch.records.len() > 1 && !batch.told {
            self.split(partition, batch, out);
        } else if batch.sequence.is_some()
            && !self.config.transactional
            && self.must_restart(partition, &batch, error)
        {
            self.restart(partition, batch, error, out);
        } else if self.may_retry(partition, &batch, error) {
            self.retry(partition, batch, out);
        } else {
            self.give_up(partition, batch, error, out);
        }
    }

    /// A batch that overtook the one before it is refused, and comes again behind that one.
    fn may_retry(&self, partition: TopicIdPartition, batch: &Batch, error: ErrorCode) -> bool {
        let overtook = error == ErrorCode::OutOfOrderSequenceNumber
            && self.has_sequenced_before(partition, batch);
        (error.is_retriable() || overtook) && batch.attempts <= self.config.retries && !batch.told
    }

    fn retry(&mut self, partition: TopicIdPartition, batch: Batch, out: &mut Vec<Output>) {
        let Some(queue) = self.queues.get_mut(&partition) else {
            return;
        };
        let attempt = batch.attempts - 1;
        queue.put_back(batch);
        queue.backing_off = true;
        if let Some(node) = queue.leader {
            self.sendable.remove(&(node, partition));
        }
        out.push(Output::Arm {
            timer: Timer::Retry(partition),
            attempt,
        });
    }

    pub(super) fn on_retry(&mut self, partition: TopicIdPartition, out: &mut Vec<Output>) {
        if let Some(queue) = self.queues.get_mut(&partition) {
            queue.backing_off = false;
        }
        self.offer(partition, out);
    }

    fn split(&mut self, partition: TopicIdPartition, mut batch: Batch, out: &mut Vec<Output>) {
        probe!("producer: batch split");
        let id = BatchId(self.next_batch);
        self.next_batch += 1;
        let second = batch.split(id);
        out.push(Output::Arm {
            timer: Timer::Delivery(partition, id),
            attempt: 0,
        });
        let Some(queue) = self.queues.get_mut(&partition) else {
            return;
        };
        queue.put_back(second);
        queue.put_back(batch);
    }

    /// `delivery.timeout.ms` is over: what is not acknowledged by now is given up, and told at once even
    /// if the last attempt is still in flight.
    pub(super) fn on_delivery_timeout(
        &mut self,
        partition: TopicIdPartition,
        id: BatchId,
        out: &mut Vec<Output>,
    ) {
        if let Some(batch) = self.remove_queued(partition, id) {
            self.give_up(partition, batch, ErrorCode::RequestTimedOut, out);
            self.maybe_raise_epoch(out);
            self.maybe_end(out);
            return self.offer(partition, out);
        }
        let in_flight = self
            .requests
            .values_mut()
            .flat_map(|request| &mut request.batches);
        let Some((_, batch)) = in_flight
            .into_iter()
            .find(|(_, batch)| batch.id == id && !batch.told)
        else {
            return;
        };
        probe!("producer: delivery timeout in flight");
        batch.told = true;
        let (records, size) = (batch.records.clone(), batch.size);
        self.buffered_bytes -= u64::from(size);
        let outcome = Outcome::Unknown(ErrorCode::RequestTimedOut);
        out.push(Output::Complete {
            partition,
            records,
            outcome,
        });
        self.on_given_up(true, ErrorCode::RequestTimedOut, out);
    }

    fn remove_queued(&mut self, partition: TopicIdPartition, id: BatchId) -> Option<Batch> {
        let queue = self.queues.get_mut(&partition)?;
        if queue.open.as_ref().is_some_and(|open| open.id == id) {
            return queue.open.take();
        }
        let position = queue.closed.iter().position(|batch| batch.id == id)?;
        queue.closed.remove(position)
    }

    pub(super) fn give_up(
        &mut self,
        partition: TopicIdPartition,
        batch: Batch,
        error: ErrorCode,
        out: &mut Vec<Output>,
    ) {
        // A sequence that is not used up is a gap.
        let gap = batch.sequence.is_some();
        if gap {
            self.retire_epoch();
        }
        self.give_up_quietly(partition, batch, error, out);
        self.on_given_up(gap, error, out);
    }

    pub(super) fn give_up_quietly(
        &mut self,
        partition: TopicIdPartition,
        batch: Batch,
        error: ErrorCode,
        out: &mut Vec<Output>,
    ) {
        let outcome = if batch.may_be_appended {
            Outcome::Unknown(error)
        } else {
            Outcome::Failed(error)
        };
        self.complete(partition, batch, outcome, out);
    }

    fn note_known(&mut self, partition: TopicIdPartition, batch: &Batch) {
        let current = self.identity.is_current(batch);
        if let Some(queue) = self.queues.get_mut(&partition).filter(|_| current) {
            queue.known = true;
        }
    }

    fn complete(
        &mut self,
        partition: TopicIdPartition,
        batch: Batch,
        outcome: Outcome,
        out: &mut Vec<Output>,
    ) {
        if batch.told {
            return;
        }
        self.buffered_bytes -= u64::from(batch.size);
        out.push(Output::Complete {
            partition,
            records: batch.records,
            outcome,
        });
    }
}

/// Errors a broker gives only before it appends anything. NOT_LEADER_OR_FOLLOWER is none: a leader that
/// lost its role answers so for records it has appended, and the next leader may have them.
fn is_refusal(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::NotEnoughReplicas
            | ErrorCode::CorruptMessage
            | ErrorCode::InvalidRecord
            | ErrorCode::InvalidTimestamp
            | ErrorCode::MessageTooLarge
            | ErrorCode::RecordListTooLarge
            | ErrorCode::InvalidRequiredAcks
            | ErrorCode::InvalidTopicException
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::ClusterAuthorizationFailed
            | ErrorCode::UnsupportedVersion
            | ErrorCode::OutOfOrderSequenceNumber
            | ErrorCode::InvalidProducerEpoch
            | ErrorCode::UnknownProducerId
            | ErrorCode::ProducerFenced
            | ErrorCode::InvalidTxnState
            | ErrorCode::InvalidProducerIdMapping
            | ErrorCode::ConcurrentTransactions
            | ErrorCode::TransactionAbortable
            | ErrorCode::TransactionalIdAuthorizationFailed
    )
}

fn needs_metadata(error: ErrorCode) -> bool {
    matches!(
        error,
        ErrorCode::NotLeaderOrFollower
            | ErrorCode::FencedLeaderEpoch
            | ErrorCode::LeaderNotAvailable
            | ErrorCode::UnknownTopicOrPartition
            | ErrorCode::UnknownTopicId
            | ErrorCode::KafkaStorageError
            | ErrorCode::NetworkException
    )
}
