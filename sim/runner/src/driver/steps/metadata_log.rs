//! A node's metadata log as its observations tell it: what the quorum's invariants ask of a log.

use std::collections::BTreeMap;

use broker_core::raft::VoterSet;
use broker_core::raft::invariants::{LogContent, SnapshotContent};
use broker_protocol::ids::{LeaderEpoch, Offset};
use broker_server::observe::BatchSummary;

/// Hashes of all below an end offset, by it and the epoch of the last record: what a log that begins there had.
pub type Prefixes = BTreeMap<(Offset, LeaderEpoch), u64>;

#[derive(Clone, Copy, Debug)]
struct Batch {
    base: Offset,
    /// Exclusive.
    end: Offset,
    epoch: LeaderEpoch,
    crc: u32,
    /// Of everything up to and including this batch.
    hash: u64,
}

#[derive(Clone, Debug, Default)]
pub struct MetadataLog {
    start: Offset,
    /// Of everything below the first batch.
    first_hash: u64,
    first_base: Offset,
    batches: Vec<Batch>,
}

fn mix(hash: u64, words: [u64; 3]) -> u64 {
    words.iter().fold(hash, |hash, word| {
        (hash ^ word)
            .wrapping_mul(0x0000_0100_0000_01b3)
            .rotate_left(23)
    })
}

fn bits(number: i64) -> u64 {
    u64::from_ne_bytes(number.to_ne_bytes())
}

impl MetadataLog {
    /// As it was found at a start; `below` says what the records before its start were.
    pub fn loaded(start: Offset, batches: &[BatchSummary], prefixes: &mut Prefixes) -> MetadataLog {
        let mut log = MetadataLog {
            start,
            first_base: batches.first().map_or(start, |batch| batch.base_offset),
            ..MetadataLog::default()
        };
        let base = log.first_base;
        let before = prefixes.range((base, LeaderEpoch(i32::MIN))..=(base, LeaderEpoch(i32::MAX)));
        log.first_hash = before.last().map_or(0, |(_, hash)| *hash);
        for batch in batches {
            log.append(batch, prefixes);
        }
        log
    }

    /// Goes on behind a snapshot.
    pub fn replaced(end: Offset, epoch: LeaderEpoch, prefixes: &Prefixes) -> MetadataLog {
        MetadataLog {
            start: end,
            first_base: end,
            first_hash: prefixes.get(&(end, epoch)).copied().unwrap_or(0),
            batches: Vec::new(),
        }
    }

    pub fn append(&mut self, batch: &BatchSummary, prefixes: &mut Prefixes) {
        let before = self
            .batches
            .last()
            .map_or(self.first_hash, |last| last.hash);
        let (base, end, epoch) = (batch.base_offset, batch.last_offset + 1, batch.leader_epoch);
        let words = [
            bits(end),
            u64::from(epoch.0.unsigned_abs()),
            batch.crc.into(),
        ];
        let hash = mix(before, words);
        prefixes.insert((end, epoch), hash);
        let crc = batch.crc;
        self.batches.push(Batch {
            base,
            end,
            epoch,
            crc,
            hash,
        });
    }

    pub fn truncate(&mut self, end: Offset) {
        self.batches.retain(|batch| batch.end <= end);
    }

    pub fn raise_start(&mut self, start: Offset) {
        self.start = start;
    }

    fn at(&self, offset: Offset) -> Option<&Batch> {
        let index = self.batches.partition_point(|batch| batch.end <= offset);
        self.batches.get(index)
    }
}

impl LogContent for MetadataLog {
    fn start_offset(&self) -> Offset {
        self.start
    }

    fn end_offset(&self) -> Offset {
        self.batches.last().map_or(self.first_base, |last| last.end)
    }

    fn epoch_at(&self, offset: Offset) -> LeaderEpoch {
        self.at(offset).map_or(LeaderEpoch(-1), |batch| batch.epoch)
    }

    fn hash_below(&self, end: Offset) -> u64 {
        let index = self.batches.partition_point(|batch| batch.end <= end);
        let whole = match index.checked_sub(1) {
            Some(last) => self.batches[last].hash,
            None => self.first_hash,
        };
        match self.batches.get(index) {
            Some(part) if part.base < end => mix(whole, [bits(end), 0, part.crc.into()]),
            _ => whole,
        }
    }

    fn is_batch_boundary(&self, offset: Offset) -> bool {
        self.at(offset).is_none_or(|batch| batch.base >= offset)
    }

    /// The voters are in records that are not told.
    fn configuration(&self) -> Option<(i16, VoterSet)> {
        None
    }

    /// Judged by the checker of the cluster.
    fn snapshots(&self) -> Vec<SnapshotContent> {
        Vec::new()
    }
}
