//! Publishes committed metadata on this node: image first, then the partitions that it concerns.

use std::sync::Arc;

use broker_core::metadata::{LeaderRecoveryState, MetadataImage};
use broker_env::Env;
use broker_protocol::ids::{NodeId, TopicIdPartition, Uuid};
use tokio::sync::mpsc;

use crate::config::BrokerConfig;
use crate::features;
use crate::group_coordinator::GroupCoordinators;
use crate::metadata_cache::{MetadataCache, MetadataDelta};
use crate::node::NodeError;
use crate::observe::{Observation, Observer, PartitionState};
use crate::quorum::{Committed, Event, MetadataUpdate, QuorumHandle, SnapshotRequest};
use crate::replica_manager::ReplicaManager;
use crate::snapshot_schedule::SnapshotSchedule;

pub struct Publisher {
    pub config: Arc<BrokerConfig>,
    pub metadata: Arc<MetadataCache>,
    /// Present on brokers.
    pub replicas: Option<Arc<ReplicaManager>>,
    /// Present on brokers.
    pub groups: Option<Arc<GroupCoordinators>>,
    pub env: Env,
    /// This process, as opposed to earlier ones of the same id.
    pub incarnation: Uuid,
    pub observer: Observer,
    pub quorum: QuorumHandle,
    pub snapshots: SnapshotSchedule,
}

impl Publisher {
    /// Runs until the quorum member stops.
    ///
    /// # Errors
    /// The log directory failed, or the cluster runs at a level that this node does not support.
    pub async fn run(
        mut self,
        mut committed: mpsc::UnboundedReceiver<MetadataUpdate>,
    ) -> Result<(), NodeError> {
        let supported = features::supported(&self.config);
        let mut delta = MetadataDelta::default();
        let mut strays_set_aside = false;
        while let Some(update) = committed.recv().await {
            // While catching up, states of the past are not acted upon.
            if !self.apply(update, &mut delta) {
                continue;
            }
            self.metadata
                .read(|image| features::check(&supported, image))?;
            self.metadata.published();
            if self.replicas.is_some() && !self.is_registered() {
                continue;
            }
            self.observe_delta(&delta);
            if let Some(replicas) = &self.replicas {
                if !delta.is_empty() {
                    replicas.apply(&delta).await?;
                }
                self.forget_offsets(&delta);
                if !strays_set_aside {
                    replicas.set_strays_aside().await?;
                    strays_set_aside = true;
                }
            }
            delta = MetadataDelta::default();
        }
        Ok(())
    }

    /// Whether the image is now as of the high watermark.
    fn apply(&mut self, update: MetadataUpdate, delta: &mut MetadataDelta) -> bool {
        let (end, epoch, high_watermark, hash) = match update {
            MetadataUpdate::Records(batch) => {
                let hash = self.metadata.apply(&batch, delta);
                self.offer_snapshot(&batch);
                (batch.end, batch.epoch, batch.high_watermark, hash)
            }
            MetadataUpdate::Snapshot {
                loaded,
                high_watermark,
            } => {
                let (end, epoch) = (loaded.id.end_offset, loaded.id.epoch);
                let hash = self.metadata.replace(loaded.image, end, epoch, delta);
                self.snapshots.kept();
                (end, epoch, high_watermark, hash)
            }
        };
        self.observer
            .observe(|| Observation::MetadataApplied { end, epoch, hash });
        end >= high_watermark
    }

    /// Groups' offsets of topics that are gone mean nothing to topics that will have their names.
    fn forget_offsets(&self, delta: &MetadataDelta) {
        if let Some(groups) = self.groups.clone()
            && !delta.removed_names.is_empty()
            && groups.is_coordinator()
        {
            let topics: Vec<String> = delta.removed_names.iter().cloned().collect();
            self.env.spawn("offsets of deleted topics", async move {
                groups.topics_deleted(topics).await;
            });
        }
    }

    fn offer_snapshot(&mut self, batch: &Committed) {
        // A snapshot inside a transaction would lose its first half.
        if !self.snapshots.is_due(batch.bytes) || self.metadata.is_inside_transaction() {
            return;
        }
        self.snapshots.kept();
        let request = SnapshotRequest {
            end: batch.end,
            timestamp: batch.timestamp,
            image: self.metadata.image(),
        };
        let _member_has_stopped = self.quorum.events.send(Event::Snapshot(request));
    }

    /// Whether the image has this incarnation. An older image may still say that this node leads a
    /// partition, in an epoch whose records a power loss took: it would give their offsets out again. The
    /// registration took that leadership away.
    fn is_registered(&self) -> bool {
        let me = NodeId(self.config.node_id);
        self.metadata.read(|image| {
            let registered = image.broker(me);
            registered.is_some_and(|broker| broker.incarnation_id == self.incarnation)
        })
    }

    fn observe_delta(&self, delta: &MetadataDelta) {
        if !self.observer.is_listening() {
            return;
        }
        self.metadata.read(|image| {
            for topic_id in &delta.removed_topics {
                let partition = TopicIdPartition {
                    topic_id: *topic_id,
                    partition: -1,
                };
                self.observer
                    .observe(|| Observation::PartitionRemoved { partition });
            }
            for partition in &delta.partitions {
                if let Some(state) = self.partition_state(image, *partition) {
                    self.observer.observe(|| Observation::PartitionRegistered {
                        partition: *partition,
                        state,
                    });
                }
            }
            for broker in image.brokers().values().filter(|_| delta.brokers) {
                self.observer.observe(|| Observation::BrokerRegistered {
                    broker: broker.id,
                    epoch: broker.epoch,
                    fenced: broker.fenced,
                    shutting_down: broker.in_controlled_shutdown,
                });
            }
        });
    }

    fn partition_state(
        &self,
        image: &MetadataImage,
        id: TopicIdPartition,
    ) -> Option<PartitionState> {
        let registration = image.partition(id)?;
        let topic = image.topic_name(id.topic_id)?;
        let min_insync_replicas = image.min_insync_replicas(topic, self.config.min_insync_replicas);
        Some(PartitionState {
            replicas: registration.replicas.clone(),
            isr: registration.isr.clone(),
            eligible: registration.eligible_leader_replicas.clone(),
            leader: registration.leader,
            leader_epoch: registration.leader_epoch,
            partition_epoch: registration.partition_epoch,
            min_insync_replicas,
            recovering: registration.leader_recovery_state == LeaderRecoveryState::Recovering,
        })
    }
}
