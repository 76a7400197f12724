//! The transaction coordinators of this broker: `core::transaction` over the partitions of `__transaction_state`,
//! and the markers that they send.

mod markers;
mod records;

use std::sync::Arc;

use broker_core::Ticket;
use broker_core::metadata::MetadataImage;
use broker_core::transaction::{
    Config, Markers, MarkersWritten, Output, Reply, Request, Timer, TransactionCoordinator,
};
use broker_protocol::ErrorCode;
use broker_protocol::transaction_record::TransactionRecord;
use bytes::Bytes;

pub use markers::MarkerSender;

use crate::config::BrokerConfig;
use crate::coordinator::{Coordinator, Coordinators, Effect};
use crate::internal_topics::{TRANSACTION_STATE, partition_for};
use crate::metadata_cache::MetadataCache;
use crate::producer_ids::ProducerIds;

const TRANSACTION_VERSION: &str = "transaction.version";

/// Requests about transactional ids, to whichever partition has them.
pub struct TransactionCoordinators {
    metadata: Arc<MetadataCache>,
    shards: Arc<Coordinators<TransactionShard>>,
}

impl TransactionCoordinators {
    pub fn new(
        metadata: Arc<MetadataCache>,
        shards: Arc<Coordinators<TransactionShard>>,
    ) -> TransactionCoordinators {
        TransactionCoordinators { metadata, shards }
    }

    /// # Errors
    /// As [`Coordinators::call`].
    pub async fn call(&self, transactional_id: &str, request: Request) -> Result<Reply, ErrorCode> {
        let partition = self
            .metadata
            .read(|image| partition_for(image, TRANSACTION_STATE, transactional_id))
            .ok_or(ErrorCode::NotCoordinator)?;
        self.shards.call(partition, request).await
    }

    /// As [`TransactionCoordinators::call`], for a request that may need a producer id that nobody has.
    ///
    /// # Errors
    /// Also those of [`ProducerIds::next`].
    pub async fn call_with_producer_id(
        &self,
        transactional_id: &str,
        producer_ids: &ProducerIds,
        request: impl Fn(Option<i64>) -> Request,
    ) -> Result<Reply, ErrorCode> {
        let reply = self.call(transactional_id, request(None)).await?;
        if reply != Reply::NeedsProducerId {
            return Ok(reply);
        }
        let fresh = producer_ids.next().await?;
        self.call(transactional_id, request(Some(fresh))).await
    }

    /// The same request to all coordinators on this broker.
    ///
    /// # Errors
    /// The first one's, as [`Coordinators::call`].
    pub async fn call_all(&self, request: &Request) -> Result<Vec<Reply>, ErrorCode> {
        self.shards.call_all(request).await
    }
}

/// What the core is told of the broker's properties.
pub fn core_config(config: &BrokerConfig) -> Config {
    let interval = |ms: i64| u64::try_from(ms).unwrap_or(0);
    Config {
        max_timeout_ms: config.transaction_max_timeout_ms,
        id_expiration_ms: config.transactional_id_expiration_ms,
        abort_interval_ms: interval(config.transaction_abort_timed_out_interval_ms),
        remove_interval_ms: interval(config.transaction_remove_expired_interval_ms),
    }
}

/// The cluster's finalized `transaction.version`; 0 while there is none.
pub fn transaction_version(image: &MetadataImage) -> i16 {
    image
        .features()
        .get(TRANSACTION_VERSION)
        .copied()
        .unwrap_or(0)
}

/// A core, and what decides how its records look.
pub struct TransactionShard {
    core: TransactionCoordinator,
    metadata: Arc<MetadataCache>,
}

impl TransactionShard {
    pub fn new(config: Config, metadata: Arc<MetadataCache>) -> TransactionShard {
        TransactionShard {
            core: TransactionCoordinator::new(config),
            metadata,
        }
    }

    /// The records of a step in one batch, before all that waits for them.
    fn take(&self, outputs: Vec<Output>, out: &mut Vec<Effect<Self>>) {
        let has_tags = self.metadata.read(transaction_version) >= 1;
        for output in outputs {
            out.push(match output {
                Output::Record(record) => Effect::Append(vec![records::bytes(record, has_tags)]),
                Output::Reply(ticket, reply) => Effect::Reply(ticket, reply),
                Output::SendMarkers(markers) => Effect::Start(markers),
                Output::Arm(timer, after_ms) => Effect::Arm(timer, after_ms),
            });
        }
    }
}

impl Coordinator for TransactionShard {
    type Request = Request;
    type Reply = Reply;
    type Timer = Timer;
    type Job = Markers;
    type Report = MarkersWritten;

    fn replay(&mut self, key: Bytes, value: Option<Bytes>) {
        match TransactionRecord::decode(key, value).map(records::from_wire) {
            Ok(Some(record)) => self.core.replay(&record),
            Ok(None) => tracing::warn!("a state of {TRANSACTION_STATE} was skipped"),
            Err(error) => tracing::warn!(%error, "a record of {TRANSACTION_STATE} was skipped"),
        }
    }

    fn loaded(&mut self, now_ms: i64, out: &mut Vec<Effect<Self>>) {
        let mut outputs = Vec::new();
        self.core.loaded(now_ms, &mut outputs);
        self.take(outputs, out);
    }

    fn handle(
        &mut self,
        ticket: Ticket,
        request: Request,
        now_ms: i64,
        out: &mut Vec<Effect<Self>>,
    ) {
        let mut outputs = Vec::new();
        self.core.handle(ticket, request, now_ms, &mut outputs);
        self.take(outputs, out);
    }

    fn timer(&mut self, timer: Timer, now_ms: i64, out: &mut Vec<Effect<Self>>) {
        let mut outputs = Vec::new();
        self.core.timer(timer, now_ms, &mut outputs);
        self.take(outputs, out);
    }

    fn report(&mut self, report: MarkersWritten, now_ms: i64, out: &mut Vec<Effect<Self>>) {
        let mut outputs = Vec::new();
        self.core.markers_written(&report, now_ms, &mut outputs);
        self.take(outputs, out);
    }

    fn is_read(request: &Request) -> bool {
        matches!(
            request,
            Request::VerifyPartitions(_) | Request::Describe { .. } | Request::List(_)
        )
    }
}
