//! The producer: a shell around [`broker_core::producer`], which decides what goes out when and what became
//! of it.
//!
//! - `admission`: records on their way in. `shell`: the core's inputs and outputs. `request`: Produce requests and their answers.
//!   `transactions`: begin, commit, abort and offsets in between.
//!
//! A record goes through two futures: [`Producer::send`] ends when the record is queued (it waits for
//! metadata and for memory, at most `max.block.ms`), the [`Delivery`] it gives ends with the outcome, at
//! most `delivery.timeout.ms` later. Order per partition is kept with idempotence, which is the default, or with
//! `max.in.flight.requests.per.connection` 1.

mod admission;
mod request;
mod shell;
mod transactions;

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use broker_env::time::timeout;
use broker_protocol::ErrorCode;
use broker_protocol::record::Header;
use bytes::Bytes;
use tokio::sync::oneshot;

use crate::client::Client;
use crate::config::ProducerConfig;
use crate::error::ProduceError;
use shell::Shell;

pub use broker_core::producer::ProducerIdAndEpoch;
pub use broker_core::producer::transaction::TransactionState;
pub use transactions::GroupMetadata;

/// What to send.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ProducerRecord {
    pub topic: String,
    /// `None`: by key, or sticky without a key.
    pub partition: Option<i32>,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
    /// Milliseconds since the epoch; `None`: now.
    pub timestamp: Option<i64>,
}

/// Where a record went.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RecordMetadata {
    pub topic: String,
    pub partition: i32,
    /// `None` if the broker did not say: with acks=0, or when it remembers a retry but not the offset.
    pub offset: Option<i64>,
    /// The record's, or the log append time if the topic has that.
    pub timestamp: i64,
}

/// The outcome of one record; may be dropped without effect on it.
#[derive(Debug)]
#[must_use = "the outcome of a record is told here only"]
pub struct Delivery {
    outcome: oneshot::Receiver<Result<RecordMetadata, ProduceError>>,
}

impl Future for Delivery {
    type Output = Result<RecordMetadata, ProduceError>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        Pin::new(&mut self.outcome).poll(context).map(|told| {
            told.unwrap_or_else(|_| {
                Err(ProduceError::unknown(
                    ErrorCode::NetworkException,
                    "the producer was closed",
                ))
            })
        })
    }
}

/// Sends records. Clones are the same producer; its tasks end with the last clone or by [`Producer::close`].
#[derive(Clone)]
pub struct Producer {
    shell: Arc<Shell>,
}

impl Producer {
    pub fn new(client: Client, config: ProducerConfig) -> Producer {
        Producer {
            shell: Shell::start(client, config),
        }
    }

    pub fn config(&self) -> &ProducerConfig {
        &self.shell.config
    }

    /// Queues a record; the outcome comes by the [`Delivery`].
    ///
    /// # Errors
    /// Definite ones: too large, unknown topic or partition, no room within `max.block.ms`, closed.
    pub async fn send(&self, record: ProducerRecord) -> Result<Delivery, ProduceError> {
        let deadline = self.shell.client.env().now() + self.shell.config.max_block;
        self.shell.check_size(&record)?;
        let place = self.shell.place(&record, deadline).await?;
        self.shell.wait_for_room(&record, deadline).await?;
        let (reply, outcome) = oneshot::channel();
        self.shell.enqueue(record, place, reply)?;
        Ok(Delivery { outcome })
    }

    /// Sends what lingers and waits until every record sent before has its outcome.
    pub async fn flush(&self) {
        self.shell.flush().await;
    }

    /// Refuses new records, gives those under way until `limit`, then ends all tasks. What has no outcome
    /// by then is unknown.
    pub async fn close(&self, limit: Duration) {
        self.shell.refuse_records();
        let _in_time = timeout(self.shell.client.env(), limit, self.shell.flush()).await;
        self.shell.stop();
    }

    /// Records without an outcome yet.
    pub fn in_flight(&self) -> usize {
        self.shell.in_flight()
    }
}

impl std::fmt::Debug for Producer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Producer")
            .field("config", &self.shell.config)
            .finish_non_exhaustive()
    }
}

/// Waits until `ready`, asked once at first and after each notification.
async fn wait_until(notify: &tokio::sync::Notify, mut ready: impl FnMut() -> bool) {
    loop {
        let mut notified = std::pin::pin!(notify.notified());
        notified.as_mut().enable();
        if ready() {
            return;
        }
        poll_fn(|context| notified.as_mut().poll(context)).await;
    }
}
