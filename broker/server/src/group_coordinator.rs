//! The group coordinators of this broker: `core::group` over the partitions of `__consumer_offsets`.

mod records;

use std::convert::Infallible;
use std::sync::Arc;

use broker_core::Ticket;
use broker_core::group::{Config, GroupCoordinator, Output, Reply, Request, Timer};
use broker_protocol::ErrorCode;
use broker_protocol::group_record::GroupRecord;
use broker_protocol::ids::NodeId;
use bytes::Bytes;

use crate::config::BrokerConfig;
use crate::coordinator::{Coordinator, Coordinators, Effect};
use crate::internal_topics::{CONSUMER_OFFSETS, partition_for};
use crate::metadata_cache::MetadataCache;

/// Requests about groups, to whichever partition has them.
pub struct GroupCoordinators {
    node: NodeId,
    metadata: Arc<MetadataCache>,
    shards: Arc<Coordinators<GroupCoordinator>>,
}

impl GroupCoordinators {
    pub fn new(
        config: &BrokerConfig,
        metadata: Arc<MetadataCache>,
        shards: Arc<Coordinators<GroupCoordinator>>,
    ) -> GroupCoordinators {
        GroupCoordinators {
            node: NodeId(config.node_id),
            metadata,
            shards,
        }
    }

    /// # Errors
    /// As [`Coordinators::call`].
    pub async fn call(&self, group: &str, request: Request) -> Result<Reply, ErrorCode> {
        let partition = self
            .metadata
            .read(|image| partition_for(image, CONSUMER_OFFSETS, group))
            .ok_or(ErrorCode::NotCoordinator)?;
        self.shards.call(partition, request).await
    }

    /// The same request to all coordinators on this broker.
    ///
    /// # Errors
    /// The first one's, as [`Coordinators::call`].
    pub async fn call_all(&self, request: &Request) -> Result<Vec<Reply>, ErrorCode> {
        self.shards.call_all(request).await
    }

    /// Whether any group may be here.
    pub fn is_coordinator(&self) -> bool {
        !self.shards.partitions().is_empty()
    }

    /// Forgets offsets of topics that are gone.
    pub async fn topics_deleted(&self, topics: Vec<String>) {
        for topic in topics {
            let request = Request::TopicDeleted { topic };
            if let Err(error) = self.call_all(&request).await {
                tracing::warn!(node = %self.node, %error, "offsets of a deleted topic stay");
            }
        }
    }
}

/// What the core is told of the broker's properties.
pub fn core_config(config: &BrokerConfig) -> Config {
    Config {
        min_session_timeout_ms: config.group_min_session_timeout_ms,
        max_session_timeout_ms: config.group_max_session_timeout_ms,
        initial_rebalance_delay_ms: unsigned(config.group_initial_rebalance_delay_ms),
        max_size: usize::try_from(config.group_max_size).unwrap_or(usize::MAX),
        offset_metadata_max_bytes: usize::try_from(config.offset_metadata_max_bytes).unwrap_or(0),
        offsets_retention_ms: config.offsets_retention_minutes.saturating_mul(60_000),
        retention_check_interval_ms: unsigned(config.offsets_retention_check_interval_ms),
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}

impl Coordinator for GroupCoordinator {
    type Request = Request;
    type Reply = Reply;
    type Timer = Timer;
    type Job = Infallible;
    type Report = Infallible;

    fn replay(&mut self, key: Bytes, value: Option<Bytes>) {
        match GroupRecord::decode(key, value) {
            Ok(record) => GroupCoordinator::replay(self, &records::from_wire(record)),
            Err(error) => tracing::warn!(%error, "a record of {CONSUMER_OFFSETS} was skipped"),
        }
    }

    fn loaded(&mut self, now_ms: i64, out: &mut Vec<Effect<Self>>) {
        let mut outputs = Vec::new();
        GroupCoordinator::loaded(self, now_ms, &mut outputs);
        out.extend(outputs.into_iter().map(effect));
    }

    fn handle(
        &mut self,
        ticket: Ticket,
        request: Request,
        now_ms: i64,
        out: &mut Vec<Effect<Self>>,
    ) {
        let mut outputs = Vec::new();
        GroupCoordinator::handle(self, ticket, request, now_ms, &mut outputs);
        out.extend(outputs.into_iter().map(effect));
    }

    fn timer(&mut self, timer: Timer, now_ms: i64, out: &mut Vec<Effect<Self>>) {
        let mut outputs = Vec::new();
        GroupCoordinator::timer(self, timer, now_ms, &mut outputs);
        out.extend(outputs.into_iter().map(effect));
    }

    fn report(&mut self, report: Infallible, _: i64, _: &mut Vec<Effect<Self>>) {
        match report {}
    }

    fn is_read(request: &Request) -> bool {
        matches!(
            request,
            Request::Heartbeat { .. }
                | Request::FetchOffsets(_)
                | Request::Describe { .. }
                | Request::List
        )
    }
}

fn effect(output: Output) -> Effect<GroupCoordinator> {
    match output {
        Output::Records(records) => {
            Effect::Append(records.into_iter().map(records::bytes).collect())
        }
        Output::Reply(ticket, reply) => Effect::Reply(ticket, reply),
        Output::ReplyNow(ticket, reply) => Effect::ReplyNow(ticket, reply),
        Output::Arm(timer, after_ms) => Effect::Arm(timer, after_ms),
        Output::Disarm(timer) => Effect::Disarm(timer),
    }
}
