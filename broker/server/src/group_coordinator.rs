//! The group coordinators of this broker: `core::group` over the partitions of `__consumer_offsets`.

mod records;
mod shard;

use std::sync::Arc;

use broker_core::group::{Config, Reply, Request};
use broker_core::producer_state::Proof;
use broker_protocol::ErrorCode;
use broker_protocol::ids::NodeId;
use tokio::sync::oneshot;

use self::shard::Asked;
pub use self::shard::GroupShard;
use crate::config::BrokerConfig;
use crate::coordinator::{Coordinators, Marker};
use crate::internal_topics::{CONSUMER_OFFSETS, partition_for};
use crate::metadata_cache::MetadataCache;

/// Requests about groups, to whichever partition has them.
pub struct GroupCoordinators {
    node: NodeId,
    metadata: Arc<MetadataCache>,
    shards: Arc<Coordinators<GroupShard>>,
}

impl GroupCoordinators {
    pub fn new(
        config: &BrokerConfig,
        metadata: Arc<MetadataCache>,
        shards: Arc<Coordinators<GroupShard>>,
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
        self.call_with(group, request.into()).await
    }

    /// As `call`, for a producer's transaction.
    ///
    /// # Errors
    /// As [`Coordinators::call`].
    pub async fn call_in_transaction(
        &self,
        group: &str,
        request: Request,
        proof: Proof,
    ) -> Result<Reply, ErrorCode> {
        self.call_with(group, Asked { request, proof }).await
    }

    async fn call_with(&self, group: &str, asked: Asked) -> Result<Reply, ErrorCode> {
        let partition = self.partition(group).ok_or(ErrorCode::NotCoordinator)?;
        self.shards.call(partition, asked).await
    }

    /// Of `__consumer_offsets`, where the group is.
    pub fn partition(&self, group: &str) -> Option<i32> {
        let metadata = &self.metadata;
        metadata.read(|image| partition_for(image, CONSUMER_OFFSETS, group))
    }

    /// The same request to all coordinators on this broker.
    ///
    /// # Errors
    /// The first one's, as [`Coordinators::call`].
    pub async fn call_all(&self, request: &Request) -> Result<Vec<Reply>, ErrorCode> {
        self.shards.call_all(&request.clone().into()).await
    }

    /// Ends a producer's transaction in a partition of `__consumer_offsets`; the answer comes when that is
    /// committed.
    ///
    /// # Errors
    /// As [`Coordinators::complete_transaction`].
    pub fn complete_transaction(
        &self,
        partition: i32,
        marker: Marker,
    ) -> Result<oneshot::Receiver<Result<(), ErrorCode>>, ErrorCode> {
        self.shards.complete_transaction(partition, marker)
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
        consumer_session_timeout_ms: unsigned(config.group_consumer_session_timeout_ms.into()),
        consumer_heartbeat_interval_ms: config.group_consumer_heartbeat_interval_ms,
        consumer_max_size: usize::try_from(config.group_consumer_max_size).unwrap_or(usize::MAX),
        consumer_assignors: config.group_consumer_assignors.clone(),
        offset_metadata_max_bytes: usize::try_from(config.offset_metadata_max_bytes).unwrap_or(0),
        offsets_retention_ms: config.offsets_retention_minutes.saturating_mul(60_000),
        retention_check_interval_ms: unsigned(config.offsets_retention_check_interval_ms),
    }
}

fn unsigned(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
