//! A log behind its lock, shared by the tasks of a broker.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_protocol::ids::{Offset, TopicPartition, Uuid};

use crate::error::LogError;
use crate::log::{FlushDone, FlushJob, Log};

/// Cheap to clone. The lock is held for synchronous calls only, never over an await.
#[derive(Clone)]
pub struct SharedLog {
    inner: Arc<Inner>,
}

struct Inner {
    partition: TopicPartition,
    topic_id: Option<Uuid>,
    log: Mutex<Log>,
}

impl SharedLog {
    pub fn new(log: Log, topic_id: Option<Uuid>) -> SharedLog {
        let partition = log.partition().clone();
        SharedLog {
            inner: Arc::new(Inner {
                partition,
                topic_id,
                log: Mutex::new(log),
            }),
        }
    }

    pub fn partition(&self) -> &TopicPartition {
        &self.inner.partition
    }

    /// From `partition.metadata`; `None` if there is none, as for the metadata log.
    pub fn topic_id(&self) -> Option<Uuid> {
        self.inner.topic_id
    }

    pub fn lock(&self) -> MutexGuard<'_, Log> {
        // A panic under the lock is a bug that ends the process; its log is not looked at twice.
        self.inner
            .log
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
    }

    /// Makes everything appended before the call durable, and gives the flushed end.
    pub async fn flush(&self) -> Result<Offset, LogError> {
        let job = self.lock().start_flush();
        self.run(job).await
    }

    /// Runs and finishes a job of this log, e.g. that of a truncation, and gives the flushed end.
    pub async fn run(&self, job: Option<FlushJob>) -> Result<Offset, LogError> {
        let done: Option<FlushDone> = match job {
            Some(job) => Some(job.run().await?),
            None => None,
        };
        let mut log = self.lock();
        done.into_iter().for_each(|done| log.finish_flush(done));
        Ok(log.flushed_end())
    }

    /// Completes and flushes the log for a clean shutdown.
    pub(super) async fn close(&self) -> Result<(), LogError> {
        let job = self.lock().start_closing_flush()?;
        self.run(job).await.map(drop)
    }
}
