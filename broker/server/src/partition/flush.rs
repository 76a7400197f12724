//! Making a partition's log durable, without its lock.

use std::sync::Arc;

use broker_core::PersistId;
use broker_core::replica::Input;
use broker_storage::{FlushJob, LogError, RemovalJob};

use super::{Inner, Partition, PartitionEvent, Payload};
use crate::observe::Observation;

impl Partition {
    /// A flush the core waits for (`flush.messages=1`).
    pub(super) fn flush_for_core(self: &Arc<Self>, inner: &mut Inner, id: PersistId) {
        let job = inner.log().start_flush();
        let partition = self.clone();
        self.context.env.spawn("log flush", async move {
            if let Some(job) = job {
                partition.run_flush(job).await;
            }
            partition.step(Input::Flushed(id));
        });
    }

    /// Flushes what is not durable yet, for recovery points and for a clean stop.
    pub async fn flush(self: &Arc<Self>) {
        let job = self.lock().log().start_flush();
        if let Some(job) = job {
            self.run_flush(job).await;
        }
    }

    /// Flushes if `flush.messages` or `flush.ms` say it is time.
    pub async fn flush_if_due(self: &Arc<Self>) {
        let now = self.context.env.clock.wall().0;
        if self.lock().log().flush_due(now) {
            self.flush().await;
        }
    }

    /// Until this has finished the log takes no append; then the follower may go on.
    pub(super) fn run_truncation(self: &Arc<Self>, job: FlushJob) {
        let partition = self.clone();
        self.context.env.spawn("log truncation", async move {
            partition.run_flush(job).await;
            let leader = partition.with_core(broker_core::replica::Replica::current_leader);
            partition.send(PartitionEvent::FetchReady {
                partition: partition.id,
                leader,
            });
        });
    }

    async fn run_flush(self: &Arc<Self>, job: FlushJob) {
        let result = job.run().await;
        let mut inner = self.lock();
        match result {
            Ok(done) => {
                let mut log = inner.log();
                log.finish_flush(done);
                // Another log may have the partition's name by now.
                if !log.is_deleted() {
                    let end = log.flushed_end();
                    self.observe(|| Observation::Flushed {
                        partition: self.id,
                        end,
                    });
                }
            }
            Err(error) => self.fail(&mut inner, &LogError::Disk(error)),
        }
    }

    /// Deletes segments that `retention.ms` and `retention.bytes` no longer keep, or that lie below the log
    /// start; never above the high watermark (P-07).
    pub async fn apply_retention(self: &Arc<Self>) {
        while let Some(job) = self.take_old_segment() {
            if let Err(error) = job.run().await {
                self.fail(&mut self.lock(), &LogError::Disk(error));
                return;
            }
        }
    }

    fn take_old_segment(self: &Arc<Self>) -> Option<RemovalJob> {
        let mut inner = self.lock();
        let high_watermark = inner.core.high_watermark();
        let now = self.context.env.clock.wall().0;
        let active = inner.log().active_base_offset();
        let removed = inner.log().remove_old_segment(now, high_watermark);
        let (log_start, log_end) = inner.log_bounds();
        if inner.log().active_base_offset() != active
            && let Err(error) = inner.snapshot_producers(log_end)
        {
            self.fail(&mut inner, &error);
            return None;
        }
        if log_start > inner.core.log_start() {
            inner.producers.log_start_advanced(log_start);
            self.observe(|| Observation::LogStartAdvanced {
                partition: self.id,
                log_start,
            });
            self.step_locked(
                &mut inner,
                Input::LogStartAdvanced { log_start },
                Payload::None,
            );
        }
        removed.unwrap_or_else(|error| {
            self.fail(&mut inner, &error);
            None
        })
    }
}
