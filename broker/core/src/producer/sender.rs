//! What may be sent now.

use std::collections::BTreeSet;

use broker_probe::mutant;
use broker_protocol::ids::{NodeId, TopicIdPartition, Uuid};

use super::batch::{Batch, Queue};
use super::message::{BatchToSend, Output, RequestId};
use super::{Producer, Request};

impl Producer {
    /// Looks at a partition again after something about it changed, and sends what its leader can take.
    pub(super) fn offer(&mut self, partition: TopicIdPartition, out: &mut Vec<Output>) {
        let muted = self.is_muted(partition);
        let Some(queue) = self.queues.get_mut(&partition) else {
            return;
        };
        let Some(node) = queue.leader else {
            if !queue.is_empty() && !queue.asked_for_leader {
                queue.asked_for_leader = true;
                out.push(Output::RefreshMetadata { partition });
            }
            return;
        };
        if !self.config.linger && !muted && queue.closed.is_empty() {
            queue.close();
        }
        if !muted && !queue.closed.is_empty() {
            self.sendable.insert((node, partition));
            self.drain(node, out);
            self.ask_for_partitions(out);
        }
    }

    fn is_muted(&self, partition: TopicIdPartition) -> bool {
        let Some(queue) = self.queues.get(&partition) else {
            return false;
        };
        let alone = self.config.max_in_flight == 1 && !queue.in_flight.is_empty();
        let held = if self.config.idempotence {
            queue.must_wait(self.config.max_in_flight)
        } else {
            alone
        };
        queue.backing_off || (held && !mutant!(C_02))
    }

    /// Fills requests to one broker, a batch per partition, while it may have one more in flight.
    pub(super) fn drain(&mut self, node: NodeId, out: &mut Vec<Output>) {
        while self.in_flight_to(node) < self.config.max_in_flight {
            let (batches, wire) = self.take_batches(node, out);
            if batches.is_empty() {
                return;
            }
            let request = RequestId(self.next_request);
            self.next_request += 1;
            self.requests.insert(request, Request { node, batches });
            out.push(Output::Produce {
                request,
                node,
                batches: wire,
            });
        }
    }

    /// When something ended that may have held back several brokers.
    pub(super) fn drain_all(&mut self, out: &mut Vec<Output>) {
        let nodes: BTreeSet<NodeId> = self.sendable.iter().map(|(node, _)| *node).collect();
        for node in nodes {
            self.drain(node, out);
        }
    }

    fn in_flight_to(&self, node: NodeId) -> usize {
        self.requests
            .values()
            .filter(|request| request.node == node)
            .count()
    }

    fn take_batches(
        &mut self,
        node: NodeId,
        out: &mut Vec<Output>,
    ) -> (Vec<(TopicIdPartition, Batch)>, Vec<BatchToSend>) {
        let (mut batches, mut wire, mut size) = (Vec::new(), Vec::new(), 0u32);
        let first = TopicIdPartition {
            topic_id: Uuid::ZERO,
            partition: i32::MIN,
        };
        let candidates: Vec<_> = self
            .sendable
            .range((node, first)..)
            .take_while(|(leader, _)| *leader == node)
            .map(|(_, id)| *id)
            .collect();
        for partition in candidates {
            let next_size = self
                .queues
                .get(&partition)
                .and_then(|queue| queue.closed.front())
                .map_or(0, |it| it.size);
            size = size.saturating_add(next_size);
            if !batches.is_empty() && size > self.config.max_request_size {
                break;
            }
            let Some(batch) = self.take_batch(partition, out) else {
                continue;
            };
            wire.push(BatchToSend {
                partition,
                batch: batch.id,
                records: batch.records.clone(),
                sequence: batch.sequence,
            });
            batches.push((partition, batch));
            self.unlist_if_done(node, partition);
        }
        (batches, wire)
    }

    /// None also while the batch needs a sequence and there is no producer id to count under, and before the
    /// transaction has the partition.
    fn take_batch(&mut self, partition: TopicIdPartition, out: &mut Vec<Output>) -> Option<Batch> {
        let needs_sequence = self.config.idempotence;
        if !self.may_send_to(partition) {
            return None;
        }
        let queue = self.queues.get_mut(&partition)?;
        let front = queue.closed.front_mut()?;
        if needs_sequence && front.sequence.is_none() {
            front.sequence = Some(self.identity.next_sequence(
                &mut queue.next_sequence,
                front.records.len(),
                out,
            )?);
        }
        let mut batch = queue.closed.pop_front()?;
        batch.attempts += 1;
        queue.in_flight.insert(batch.order());
        Some(batch)
    }

    fn unlist_if_done(&mut self, node: NodeId, partition: TopicIdPartition) {
        let done = self
            .queues
            .get(&partition)
            .is_none_or(|queue: &Queue| queue.closed.is_empty());
        if done || self.is_muted(partition) {
            self.sendable.remove(&(node, partition));
        }
    }
}
