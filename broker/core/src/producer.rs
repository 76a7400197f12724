//! The producing client: which records go together, when, where to, and what became of them (KIP-91, 98).
//!
//! - [`message`]: inputs, outputs, configuration. `batch`: batches and a partition's queue of them.
//! - `sender`: what may be sent now. `completion`: answers, retries and outcomes (CLI-5). `identity`:
//!   producer id and sequences. [`transaction`]: the transactional half.
//!
//! With one request in flight per connection a partition has at most one batch in flight, on whatever
//! connection: after a leader change a second one could overtake it (C-02). With idempotence it has as many as
//! a connection may have: the broker refuses one that overtakes another, and retries go in order.
//! Records are handles; the shell keeps the bytes until [`Output::Complete`].

mod batch;
mod completion;
mod identity;
pub mod message;
mod sender;
#[cfg(test)]
mod tests;
pub mod transaction;

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ids::{NodeId, TopicIdPartition};

use batch::{Batch, Queue};
use identity::Identity;
pub use message::{
    BatchId, BatchToSend, Config, Input, Outcome, Output, ProducerIdAndEpoch, RecordHandle,
    RequestId, Sequence, Timer,
};
use transaction::Transaction;

/// Most requests in flight with idempotence: so many batches of a producer a broker recognises again.
pub const BATCHES_REMEMBERED: usize = 5;

/// A producer's records on their way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Producer {
    config: Config,
    queues: BTreeMap<TopicIdPartition, Queue>,
    /// Partitions with a batch that may go out now, by leader.
    sendable: BTreeSet<(NodeId, TopicIdPartition)>,
    requests: BTreeMap<RequestId, Request>,
    identity: Identity,
    transaction: Transaction,
    buffered_bytes: u64,
    next_batch: u64,
    next_request: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Request {
    node: NodeId,
    batches: Vec<(TopicIdPartition, Batch)>,
}

impl Producer {
    pub fn new(config: Config) -> Producer {
        assert!(
            config.max_in_flight > 0,
            "max.in.flight.requests.per.connection is 0"
        );
        assert!(
            !config.idempotence || config.max_in_flight <= BATCHES_REMEMBERED,
            "a broker recognises the last {BATCHES_REMEMBERED} batches of an idempotent producer, not {}",
            config.max_in_flight
        );
        assert!(
            config.idempotence || !config.transactional,
            "a transactional producer has to be idempotent"
        );
        Producer {
            config,
            queues: BTreeMap::new(),
            sendable: BTreeSet::new(),
            requests: BTreeMap::new(),
            identity: Identity::default(),
            transaction: Transaction::default(),
            buffered_bytes: 0,
            next_batch: 0,
            next_request: 0,
        }
    }

    /// Bytes of all records not completed yet; the shell compares it with `buffer.memory`.
    pub fn buffered_bytes(&self) -> u64 {
        self.buffered_bytes
    }

    /// Nothing waits and nothing is in flight.
    pub fn is_idle(&self) -> bool {
        self.requests.is_empty() && self.queues.values().all(Queue::is_empty)
    }

    /// Takes one input; what is to be done is appended to `out`.
    pub fn step(&mut self, input: Input, out: &mut Vec<Output>) {
        match input {
            Input::Send {
                partition,
                record,
                size,
            } => self.send(partition, record, size, out),
            Input::Leader { partition, leader } => self.on_leader(partition, leader, out),
            Input::Response { request, results } => self.on_response(request, &results, out),
            Input::RequestFailed { request, sent } => self.on_request_failed(request, sent, out),
            Input::ProducerId(result) => self.on_producer_id(result, out),
            Input::PartitionsAdded => self.on_partitions_added(out),
            Input::Commit => self.commit(out),
            Input::Abort => self.abort(out),
            Input::TransactionEnded { next } => self.on_ended(next, out),
            Input::Refused { asked, error } => self.on_refused(asked, error, out),
            Input::Flush => self.flush(out),
            Input::Timer(Timer::Linger(partition)) => self.close_batch(partition, out),
            Input::Timer(Timer::Retry(partition)) => self.on_retry(partition, out),
            Input::Timer(Timer::Delivery(partition, batch)) => {
                self.on_delivery_timeout(partition, batch, out)
            }
            Input::Timer(Timer::ProducerIdRetry) => self.on_producer_id_retry(out),
        }
    }

    fn send(
        &mut self,
        partition: TopicIdPartition,
        record: RecordHandle,
        size: u32,
        out: &mut Vec<Output>,
    ) {
        let batch_size = self.config.batch_size;
        let queue = self.queues.entry(partition).or_default();
        if queue
            .open
            .as_ref()
            .is_some_and(|open| !open.fits(size, batch_size))
        {
            queue.close();
        }
        self.buffered_bytes += u64::from(size);
        if let Some(open) = &mut queue.open {
            open.push(record, size);
        } else {
            let id = BatchId(self.next_batch);
            self.next_batch += 1;
            queue.open = Some(Batch::new(id, record, size));
            out.push(Output::Arm {
                timer: Timer::Delivery(partition, id),
                attempt: 0,
            });
            if self.config.linger {
                out.push(Output::Arm {
                    timer: Timer::Linger(partition),
                    attempt: 0,
                });
            }
        }
        let full = queue
            .open
            .as_ref()
            .is_some_and(|open| open.size >= batch_size);
        if full {
            queue.close();
        }
        self.offer(partition, out);
    }

    /// Linger is over.
    fn close_batch(&mut self, partition: TopicIdPartition, out: &mut Vec<Output>) {
        if let Some(queue) = self.queues.get_mut(&partition) {
            queue.close();
        }
        self.offer(partition, out);
    }

    fn flush(&mut self, out: &mut Vec<Output>) {
        let open: Vec<_> = self
            .queues
            .iter()
            .filter(|(_, queue)| queue.open.is_some())
            .map(|(id, _)| *id)
            .collect();
        for partition in open {
            self.close_batch(partition, out);
        }
    }

    fn on_leader(
        &mut self,
        partition: TopicIdPartition,
        leader: Option<NodeId>,
        out: &mut Vec<Output>,
    ) {
        let queue = self.queues.entry(partition).or_default();
        if let Some(before) = queue.leader.filter(|before| Some(*before) != leader) {
            self.sendable.remove(&(before, partition));
        }
        queue.leader = leader;
        queue.asked_for_leader = false;
        self.offer(partition, out);
    }
}
