//! Compaction of a partition's log.

use std::collections::BTreeMap;
use std::sync::Arc;

use broker_probe::probe;
use broker_storage::{CleanDone, CleanJob, Cleaning, LastBatch, LogError};

use super::{Inner, Partition};
use crate::observe::Observation;

impl Partition {
    /// Cleans the log if enough of it is dirty (`min.cleanable.dirty.ratio`). `map_bytes`: memory for keys.
    pub async fn clean_if_dirty(self: &Arc<Self>, map_bytes: usize) {
        let job = {
            let mut inner = self.lock();
            let started = self.start_cleaning(&mut inner, map_bytes);
            self.unless_failed(&mut inner, started).flatten()
        };
        let Some(job) = job else {
            return;
        };
        let result = job.run().await;
        let is_cleaned = {
            let mut inner = self.lock();
            let finished = result.and_then(|done| self.finish_cleaning(&inner, done));
            self.unless_failed(&mut inner, finished).unwrap_or(false)
        };
        if is_cleaned {
            self.flush().await;
        }
    }

    fn start_cleaning(
        &self,
        inner: &mut Inner,
        map_bytes: usize,
    ) -> Result<Option<CleanJob>, LogError> {
        // Neither above the high watermark nor in an open transaction (P-05).
        let bound = inner.last_stable_offset();
        let config = inner.config.clone();
        let cleanable = inner.log().cleanable(bound);
        let all = cleanable.clean_bytes + cleanable.dirty_bytes;
        if cleanable.dirty_bytes == 0
            || !config
                .min_cleanable_dirty_ratio
                .is_below(cleanable.dirty_bytes, all)
        {
            return Ok(None);
        }
        let last_batches = inner.producers.entries().map(|entry| {
            let last = LastBatch {
                last_offset: entry.last.map(|last| last.last_offset),
                producer_epoch: entry.producer_epoch,
            };
            (entry.producer_id, last)
        });
        let last_batches: BTreeMap<i64, LastBatch> = last_batches.collect();
        inner.log().start_cleaning(Cleaning {
            bound,
            now_ms: self.context.env.clock.wall().0,
            delete_retention_ms: config.delete_retention_ms,
            map_bytes,
            last_batches,
        })
    }

    fn finish_cleaning(&self, inner: &Inner, done: CleanDone) -> Result<bool, LogError> {
        let Some(end) = inner.log().finish_cleaning(done)? else {
            return Ok(false);
        };
        probe!("partition: log cleaned");
        tracing::info!(node = %self.context.node, partition = %self.name, end, "log cleaned");
        self.observe(|| Observation::LogCleaned {
            partition: self.id,
            end,
        });
        Ok(true)
    }

    /// A log that cannot be cleaned is no reason to take it offline: it is read by others, who find the damage.
    fn unless_failed<T>(&self, inner: &mut Inner, result: Result<T, LogError>) -> Option<T> {
        match result {
            Ok(value) => Some(value),
            Err(LogError::Deleted) => None,
            Err(LogError::Corrupt(error)) => {
                tracing::error!(node = %self.context.node, partition = %self.name, %error, "log not cleaned");
                None
            }
            Err(error) => {
                self.fail(inner, &error);
                None
            }
        }
    }
}
