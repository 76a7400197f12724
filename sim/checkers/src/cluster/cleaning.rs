//! LOG-4: how far a cleaning may go. What it leaves there the storage's own tests have to tell.

use std::collections::BTreeMap;

use super::event::{BatchSummary, Event, PartitionId};
use super::judge::{Invariant, Judge};

/// What a replica has said of a log that may be cleaned.
#[derive(Clone, Debug, Default)]
struct Replica {
    high_watermark: i64,
    /// By producer, the first offset of its open transaction.
    open: BTreeMap<i64, i64>,
    /// First offset and marker of transactions whose marker is not known to be replicated.
    ending: Vec<Ended>,
}

#[derive(Clone, Copy, Debug)]
struct Ended {
    producer_id: i64,
    first: i64,
    marker: i64,
}

#[derive(Debug, Default)]
pub struct Cleaning {
    replicas: BTreeMap<(PartitionId, i32), Replica>,
}

impl Cleaning {
    pub fn event(&mut self, node: i32, id: PartitionId, event: &Event, judge: &mut Judge) {
        let replica = self.replicas.entry((id, node)).or_default();
        match event {
            // What was open before is not known: after a cleaning the log does not tell it.
            Event::LogLoaded { high_watermark, .. } => {
                *replica = Replica {
                    high_watermark: *high_watermark,
                    ..Replica::default()
                };
            }
            Event::LogDeleted { .. } => *replica = Replica::default(),
            Event::Appended { batch, .. } => replica.appended(batch),
            Event::Truncated { log_end, .. } => replica.truncated(*log_end),
            Event::HighWatermark { high_watermark, .. } => replica.advanced(*high_watermark),
            Event::LogCleaned { end, .. } => replica.cleaned(id, *end, judge),
            _ => {}
        }
    }
}

impl Replica {
    fn appended(&mut self, batch: &BatchSummary) {
        let Some(transaction) = batch.transaction else {
            return;
        };
        let producer_id = transaction.producer_id;
        if transaction.committed.is_none() {
            self.open.entry(producer_id).or_insert(batch.base_offset);
        } else if let Some(first) = self.open.remove(&producer_id) {
            self.ending.push(Ended {
                producer_id,
                first,
                marker: batch.base_offset,
            });
        }
    }

    fn truncated(&mut self, log_end: i64) {
        for ended in self.ending.extract_if(.., |ended| ended.marker >= log_end) {
            self.open.insert(ended.producer_id, ended.first);
        }
        self.open.retain(|_, first| *first < log_end);
    }

    fn advanced(&mut self, high_watermark: i64) {
        self.high_watermark = high_watermark;
        self.ending.retain(|ended| ended.marker >= high_watermark);
    }

    fn cleaned(&self, id: PartitionId, end: i64, judge: &mut Judge) {
        let high_watermark = self.high_watermark;
        judge.demand(
            end <= high_watermark,
            Invariant::Log4,
            "cleaned-uncommitted",
            |judge| {
                format!(
                    "{}: cleaned up to {end}, the high watermark is {high_watermark}",
                    judge.name(id)
                )
            },
        );
        let ending = self.ending.iter().map(|ended| ended.first);
        let unstable = self.open.values().copied().chain(ending).min();
        judge.demand(
            unstable.is_none_or(|first| end <= first),
            Invariant::Log4,
            "cleaned-open",
            |judge| {
                format!(
                    "{}: cleaned up to {end}, a transaction is open from {unstable:?} on",
                    judge.name(id)
                )
            },
        );
    }
}
