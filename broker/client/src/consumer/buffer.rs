//! Fetched records that the application has not got yet.

use std::collections::VecDeque;
use std::sync::Arc;

use broker_core::consumer::{Generation, OffsetAndEpoch};
use broker_protocol::ids::{TopicIdPartition, TopicPartition};

use super::{ConsumerRecord, PartitionRecords};

/// Records accepted at once: consecutive positions of one partition.
pub struct Chunk {
    pub id: TopicIdPartition,
    pub generation: Generation,
    pub topic: Arc<str>,
    pub from: i64,
    pub next: OffsetAndEpoch,
    pub records: VecDeque<ConsumerRecord>,
}

/// What a poll takes, with what the core has to know of it.
pub struct Taken {
    pub records: PartitionRecords,
    pub id: TopicIdPartition,
    pub generation: Generation,
    pub next: OffsetAndEpoch,
}

/// In order of arrival, so that no partition starves.
#[derive(Default)]
pub struct Buffer {
    chunks: VecDeque<Chunk>,
    count: usize,
}

impl Buffer {
    /// Records buffered.
    pub fn count(&self) -> usize {
        self.count
    }

    pub fn push(&mut self, chunk: Chunk) {
        self.count += chunk.records.len();
        self.chunks.push_back(chunk);
    }

    pub fn discard(&mut self, id: TopicIdPartition) {
        self.chunks.retain(|chunk| chunk.id != id);
        self.count = self.chunks.iter().map(|chunk| chunk.records.len()).sum();
    }

    /// At most `limit` records; stretches without records cost nothing.
    pub fn take(&mut self, mut limit: usize) -> Vec<Taken> {
        let mut taken: Vec<Taken> = Vec::new();
        while let Some(chunk) = self.chunks.front_mut() {
            if limit == 0 && !chunk.records.is_empty() {
                break;
            }
            let part = take_part(chunk, limit);
            limit -= part.records.records.len();
            self.count -= part.records.records.len();
            if chunk.records.is_empty() {
                self.chunks.pop_front();
            }
            match taken.iter_mut().find(|before| continues(before, &part)) {
                Some(before) => join(before, part),
                None => taken.push(part),
            }
        }
        taken
    }
}

fn continues(before: &Taken, part: &Taken) -> bool {
    before.id == part.id
        && before.generation == part.generation
        && before.next.offset == part.records.from
}

fn join(before: &mut Taken, part: Taken) {
    before.next = part.next;
    before.records.next = part.records.next;
    before.records.records.extend(part.records.records);
}

fn take_part(chunk: &mut Chunk, limit: usize) -> Taken {
    let records: Vec<ConsumerRecord> = chunk
        .records
        .drain(..limit.min(chunk.records.len()))
        .collect();
    let next = match records.last() {
        Some(last) if !chunk.records.is_empty() => OffsetAndEpoch {
            offset: last.offset + 1,
            epoch: Some(last.leader_epoch),
        },
        _ => chunk.next,
    };
    let from = std::mem::replace(&mut chunk.from, next.offset);
    let partition = TopicPartition::new(chunk.topic.as_ref(), chunk.id.partition);
    let records = PartitionRecords {
        partition,
        from,
        next: next.offset,
        records,
    };
    Taken {
        records,
        id: chunk.id,
        generation: chunk.generation,
        next,
    }
}
