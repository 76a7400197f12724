//! Batches and a partition's queue of them.

use std::collections::{BTreeSet, VecDeque};

use broker_protocol::ids::NodeId;

use super::message::{BatchId, RecordHandle, Sequence};

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Batch {
    pub id: BatchId,
    pub records: Vec<RecordHandle>,
    pub sizes: Vec<u32>,
    pub size: u32,
    pub attempts: u32,
    /// Some attempt ended without a clear refusal.
    pub may_be_appended: bool,
    /// Given at the first attempt and kept.
    pub sequence: Option<Sequence>,
    /// Its delivery timeout passed while it was in flight: the outcome is told already.
    pub told: bool,
}

impl Batch {
    pub fn new(id: BatchId, record: RecordHandle, size: u32) -> Batch {
        Batch {
            id,
            records: vec![record],
            sizes: vec![size],
            size,
            attempts: 0,
            may_be_appended: false,
            sequence: None,
            told: false,
        }
    }

    /// Batches of a partition are in the order of their records.
    pub fn order(&self) -> RecordHandle {
        self.records[0]
    }

    pub fn push(&mut self, record: RecordHandle, size: u32) {
        self.records.push(record);
        self.sizes.push(size);
        self.size = self.size.saturating_add(size);
    }

    pub fn fits(&self, size: u32, batch_size: u32) -> bool {
        self.size.saturating_add(size) <= batch_size
    }

    pub fn count(&self) -> i32 {
        i32::try_from(self.records.len())
            .expect("a batch is limited by bytes, far below 2^31 records")
    }

    /// Cuts off the second half, for a broker that finds the whole too large.
    pub fn split(&mut self, id: BatchId) -> Batch {
        let middle = self.records.len() / 2;
        let (records, sizes) = (self.records.split_off(middle), self.sizes.split_off(middle));
        self.size = self.sizes.iter().sum();
        let sequence = self.sequence.map(|sequence| Sequence {
            base_sequence: add_sequence(sequence.base_sequence, self.count()),
            ..sequence
        });
        Batch {
            id,
            size: sizes.iter().sum(),
            records,
            sizes,
            sequence,
            ..self.clone()
        }
    }
}

/// Sequences go from 0 to 2^31 - 1 and around.
pub(super) fn add_sequence(sequence: i32, count: i32) -> i32 {
    sequence.wrapping_add(count) & i32::MAX
}

/// What waits for one partition, oldest first: `closed`, then `open`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Queue {
    pub leader: Option<NodeId>,
    pub asked_for_leader: bool,
    pub closed: VecDeque<Batch>,
    pub open: Option<Batch>,
    /// Batches in flight, by [`Batch::order`].
    pub in_flight: BTreeSet<RecordHandle>,
    pub backing_off: bool,
    pub next_sequence: i32,
    /// A batch was acknowledged under the current producer epoch.
    pub known: bool,
}

impl Queue {
    pub fn close(&mut self) {
        self.closed.extend(self.open.take());
    }

    /// Back in its place: batches that were behind it may have come back before it.
    pub fn put_back(&mut self, batch: Batch) {
        let place = self
            .closed
            .partition_point(|other| other.order() < batch.order());
        self.closed.insert(place, batch);
    }

    /// Whether sequences forbid to send now. A retry goes out once nothing before it is in flight, then the
    /// one behind it, so that the broker never sees a gap twice (KIP-98); new batches may follow each other, once
    /// the first is acknowledged: a broker takes any sequence of a producer that it has never heard of, so what
    /// overtook a lost first batch would come to stand before it.
    pub fn must_wait(&self, max_in_flight: usize) -> bool {
        let max_in_flight = if self.known { max_in_flight } else { 1 };
        match self.closed.front() {
            Some(front) if front.sequence.is_some() => {
                let oldest = self.in_flight.first();
                oldest.is_some_and(|oldest| *oldest < front.order())
            }
            _ => self.in_flight.len() >= max_in_flight,
        }
    }

    /// Whether a batch with a sequence before this one is on its way or to be sent again.
    pub fn has_sequenced_before(&self, order: RecordHandle) -> bool {
        let queued = self.closed.iter();
        self.in_flight.first().is_some_and(|first| *first < order)
            || queued
                .take_while(|batch| batch.order() < order)
                .any(|batch| batch.sequence.is_some())
    }

    /// Whether a batch before this one has lost its sequence: this one's leads nowhere then.
    pub fn has_gap_before(&self, order: RecordHandle) -> bool {
        let before = self.closed.front();
        before.is_some_and(|batch| batch.order() < order && batch.sequence.is_none())
    }

    pub fn is_empty(&self) -> bool {
        self.closed.is_empty() && self.open.is_none()
    }

    pub fn has_sequenced(&self) -> bool {
        self.closed.iter().any(|batch| batch.sequence.is_some())
    }
}
