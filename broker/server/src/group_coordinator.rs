//! The group coordinators of this broker: `core::group` over the partitions of `__consumer_offsets`.

mod records;

use std::sync::Arc;

use broker_core::Ticket;
use broker_core::group::{Config, Entry, GroupCoordinator, Output, Record, Reply, Request, Timer};
use broker_protocol::ErrorCode;
use broker_protocol::group_record::GroupRecord;
use broker_protocol::ids::NodeId;
use bytes::Bytes;

use crate::config::BrokerConfig;
use crate::coordinator::{Coordinator, Coordinators, Effect, Marker, Producer};
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
        let mut replies = Vec::new();
        for partition in self.shards.partitions() {
            match self.shards.call(partition, request.clone()).await {
                Ok(reply) => replies.push(reply),
                // It went elsewhere meanwhile.
                Err(ErrorCode::NotCoordinator) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(replies)
    }

    /// Ends a producer's transaction in a partition of `__consumer_offsets`.
    ///
    /// # Errors
    /// As [`Coordinators::complete_transaction`].
    pub async fn complete_transaction(
        &self,
        partition: i32,
        marker: Marker,
    ) -> Result<(), ErrorCode> {
        self.shards.complete_transaction(partition, marker).await
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

    fn replay(&mut self, key: Bytes, value: Option<Bytes>) {
        if let Some(record) = decoded(key, value) {
            GroupCoordinator::replay(self, &Entry::Record(record));
        }
    }

    fn replay_transactional(&mut self, producer_id: i64, key: Bytes, value: Option<Bytes>) {
        if let Some(record) = decoded(key, value) {
            let entry = Entry::Transactional {
                producer_id,
                record,
            };
            GroupCoordinator::replay(self, &entry);
        }
    }

    fn replay_marker(&mut self, producer_id: i64, committed: bool) {
        let entry = Entry::Marker {
            producer_id,
            committed,
        };
        GroupCoordinator::replay(self, &entry);
    }

    fn loaded(&mut self, now_ms: i64, out: &mut Vec<Effect<Self>>) {
        let mut outputs = Vec::new();
        GroupCoordinator::loaded(self, now_ms, &mut outputs);
        out.extend(outputs.into_iter().map(|output| effect(None, output)));
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
        out.extend(
            outputs
                .into_iter()
                .map(|output| effect(Some(ticket), output)),
        );
    }

    fn timer(&mut self, timer: Timer, now_ms: i64, out: &mut Vec<Effect<Self>>) {
        let mut outputs = Vec::new();
        GroupCoordinator::timer(self, timer, now_ms, &mut outputs);
        out.extend(outputs.into_iter().map(|output| effect(None, output)));
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

fn decoded(key: Bytes, value: Option<Bytes>) -> Option<Record> {
    match GroupRecord::decode(key, value) {
        Ok(record) => Some(records::from_wire(record)),
        Err(error) => {
            tracing::warn!(%error, "a record of {CONSUMER_OFFSETS} was skipped");
            None
        }
    }
}

/// `ticket` names the request that is carried out, if it is one.
fn effect(ticket: Option<Ticket>, output: Output) -> Effect<GroupCoordinator> {
    match output {
        Output::Records(records) => {
            Effect::Append(records.into_iter().map(records::bytes).collect())
        }
        Output::TransactionalRecords(producer, records) => Effect::AppendTransactional(
            ticket.expect("no timer writes into a transaction"),
            Producer {
                id: producer.id,
                epoch: producer.epoch,
            },
            records.into_iter().map(records::bytes).collect(),
        ),
        Output::Reply(ticket, reply) => Effect::Reply(ticket, reply),
        Output::ReplyNow(ticket, reply) => Effect::ReplyNow(ticket, reply),
        Output::Arm(timer, after_ms) => Effect::Arm(timer, after_ms),
        Output::Disarm(timer) => Effect::Disarm(timer),
    }
}
