//! The partitions this broker hosts: created, configured and deleted as the published metadata says.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::{Arc, RwLock};

use broker_core::metadata::PartitionRegistration;
use broker_core::replica::{Input, PartitionState};
use broker_env::{Env, random};
use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, NodeId, TopicIdPartition, TopicPartition, Uuid};
use broker_storage::{DirectoryError, LogDirectory, SharedLog};

use crate::api::raft_wire::METADATA_TOPIC;
use crate::config::BrokerConfig;
use crate::fetch_sessions::FetchSessions;
use crate::metadata_cache::{MetadataCache, MetadataDelta};
use crate::observe::{BatchSummary, Observation};
use crate::partition::{Partition, PartitionContext, log_config};

/// The hosted partitions of a broker.
pub struct ReplicaManager {
    env: Env,
    node: NodeId,
    config: Arc<BrokerConfig>,
    directory: Arc<LogDirectory>,
    metadata: Arc<MetadataCache>,
    context: PartitionContext,
    partitions: RwLock<BTreeMap<TopicIdPartition, Arc<Partition>>>,
    pub sessions: FetchSessions,
}

impl ReplicaManager {
    pub fn new(
        env: Env,
        config: Arc<BrokerConfig>,
        directory: Arc<LogDirectory>,
        metadata: Arc<MetadataCache>,
        context: PartitionContext,
    ) -> ReplicaManager {
        let node = NodeId(config.node_id);
        ReplicaManager {
            sessions: FetchSessions::new(env.clone(), &config),
            env,
            node,
            config,
            directory,
            metadata,
            context,
            partitions: RwLock::default(),
        }
    }

    pub fn partition(&self, id: TopicIdPartition) -> Option<Arc<Partition>> {
        self.partitions
            .read()
            .expect("no panic under this lock")
            .get(&id)
            .cloned()
    }

    /// Why a partition is not hosted here although clients ask for it: it is elsewhere, or its log is damaged.
    pub fn not_hosted(&self, id: TopicIdPartition) -> ErrorCode {
        let failed = self.directory.failed_logs().iter();
        let damaged = failed.filter(|failed| failed.topic_id == Some(id.topic_id));
        match damaged
            .map(|failed| failed.partition.partition)
            .find(|partition| *partition == id.partition)
        {
            Some(_) => ErrorCode::KafkaStorageError,
            None => ErrorCode::NotLeaderOrFollower,
        }
    }

    /// All hosted partitions, by id.
    pub fn partitions(&self) -> Vec<Arc<Partition>> {
        self.partitions
            .read()
            .expect("no panic under this lock")
            .values()
            .cloned()
            .collect()
    }

    /// Acts on a publication.
    ///
    /// # Errors
    /// The log directory failed.
    pub async fn apply(&self, delta: &MetadataDelta) -> Result<(), DirectoryError> {
        for topic in &delta.removed_topics {
            self.remove_topic(*topic).await?;
        }
        let brokers = self.eligible_brokers();
        for id in &delta.partitions {
            self.apply_partition(*id, &brokers).await?;
        }
        if delta.brokers {
            for partition in self.partitions() {
                partition.step(Input::Eligible(brokers.clone()));
            }
        }
        for topic in &delta.configured_topics {
            let config = self
                .metadata
                .topic_config(topic, self.config.topic_defaults());
            for partition in self
                .partitions()
                .iter()
                .filter(|partition| partition.name.topic == *topic)
            {
                partition.configure(config.clone());
            }
        }
        Ok(())
    }

    async fn apply_partition(
        &self,
        id: TopicIdPartition,
        brokers: &BTreeMap<NodeId, BrokerEpoch>,
    ) -> Result<(), DirectoryError> {
        let published = self.metadata.read(|image| {
            let name = image.topic_name(id.topic_id)?.to_string();
            Some((name, image.partition(id)?.clone()))
        });
        let Some((topic, registration)) = published else {
            return Ok(());
        };
        if !registration.replicas.contains(&self.node) {
            return self.remove_partition(id).await;
        }
        let name = TopicPartition::new(topic, id.partition);
        let partition = match self.partition(id) {
            Some(partition) => partition,
            None => match self.host(id, name, brokers).await? {
                Some(partition) => partition,
                None => return Ok(()),
            },
        };
        partition.step(Input::Metadata(core_state(&registration)));
        Ok(())
    }

    /// Opens or creates the log. `None` if a log of that name is there but damaged: the replica stays
    /// offline until an operator replaces it.
    async fn host(
        &self,
        id: TopicIdPartition,
        name: TopicPartition,
        brokers: &BTreeMap<NodeId, BrokerEpoch>,
    ) -> Result<Option<Arc<Partition>>, DirectoryError> {
        if self
            .directory
            .failed_logs()
            .iter()
            .any(|failed| failed.partition == name)
        {
            tracing::error!(node = %self.node, partition = %name, "the log is damaged: replica offline");
            return Ok(None);
        }
        let config = self
            .metadata
            .topic_config(&name.topic, self.config.topic_defaults());
        let found = self.directory.log(&name);
        let log = match found {
            Some(log)
                if log
                    .topic_id()
                    .is_none_or(|topic_id| topic_id == id.topic_id) =>
            {
                log
            }
            Some(_) => {
                // A stray of a deleted topic of the same name (KIP-516).
                self.directory.delete_log(&name, self.fresh_uuid()).await?;
                self.create_log(id, &name, &config).await?
            }
            None => self.create_log(id, &name, &config).await?,
        };
        log.lock().set_config(log_config(&config));
        let high_watermark = self.directory.high_watermark(&name);
        let partition = Arc::new(Partition::new(
            id,
            name,
            self.context.clone(),
            log,
            config,
            high_watermark,
        ));
        partition.step(Input::Eligible(brokers.clone()));
        self.partitions
            .write()
            .expect("no panic under this lock")
            .insert(id, partition.clone());
        Ok(Some(partition))
    }

    async fn create_log(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: &crate::config::TopicConfig,
    ) -> Result<SharedLog, DirectoryError> {
        let now = self.env.clock.wall().0;
        let config = log_config(config);
        let log = self
            .directory
            .create_log(name, Some(id.topic_id), config, 0, now)
            .await?;
        self.observe_loaded(id, name, &log);
        Ok(log)
    }

    /// Tells the observer what the directory held when it was opened, hosted yet or not.
    pub fn observe_opened(&self) {
        for log in self.directory.logs() {
            let name = log.partition().clone();
            if let Some(topic_id) = log.topic_id() {
                let id = TopicIdPartition {
                    topic_id,
                    partition: name.partition,
                };
                self.observe_loaded(id, &name, &log);
            }
        }
    }

    async fn remove_topic(&self, topic: Uuid) -> Result<(), DirectoryError> {
        let hosted: Vec<TopicIdPartition> = self
            .partitions()
            .iter()
            .map(|partition| partition.id)
            .filter(|id| id.topic_id == topic)
            .collect();
        for id in hosted {
            self.remove_partition(id).await?;
        }
        Ok(())
    }

    async fn remove_partition(&self, id: TopicIdPartition) -> Result<(), DirectoryError> {
        let removed = self
            .partitions
            .write()
            .expect("no panic under this lock")
            .remove(&id);
        let Some(partition) = removed else {
            return Ok(());
        };
        partition.stop(ErrorCode::UnknownTopicOrPartition);
        self.directory
            .delete_log(&partition.name, self.fresh_uuid())
            .await?;
        self.context
            .observer
            .observe(|| Observation::LogDeleted { partition: id });
        Ok(())
    }

    /// Deletes logs whose topic is gone: it was deleted while this broker was away.
    ///
    /// # Errors
    /// The log directory failed.
    pub async fn remove_strays(&self) -> Result<(), DirectoryError> {
        for log in self.directory.logs() {
            let name = log.partition().clone();
            let Some(topic_id) = log.topic_id().filter(|_| name.topic != METADATA_TOPIC) else {
                continue;
            };
            let id = TopicIdPartition {
                topic_id,
                partition: name.partition,
            };
            let assigned = self.metadata.read(|image| {
                image
                    .partition(id)
                    .is_some_and(|registration| registration.replicas.contains(&self.node))
            });
            if !assigned && self.partition(id).is_none() {
                tracing::info!(node = %self.node, partition = %name, "deleting a stray replica");
                self.directory.delete_log(&name, self.fresh_uuid()).await?;
            }
        }
        Ok(())
    }

    /// Takes every partition offline: the log directory failed, or the node stops.
    pub fn stop_all(&self, error: ErrorCode) {
        for partition in self.partitions() {
            partition.stop(error);
        }
    }

    /// Notes all high watermarks and writes the checkpoints.
    ///
    /// # Errors
    /// The log directory failed.
    pub async fn checkpoint(&self) -> Result<(), DirectoryError> {
        for partition in self.partitions() {
            self.directory
                .set_high_watermark(&partition.name, partition.high_watermark());
        }
        self.directory.checkpoint().await
    }

    fn eligible_brokers(&self) -> BTreeMap<NodeId, BrokerEpoch> {
        self.metadata.read(|image| {
            let active = image.brokers().values().filter(|broker| broker.is_active());
            active.map(|broker| (broker.id, broker.epoch)).collect()
        })
    }

    fn fresh_uuid(&self) -> Uuid {
        Uuid(random::uuid(self.env.random.as_ref()))
    }

    fn observe_loaded(&self, id: TopicIdPartition, name: &TopicPartition, log: &SharedLog) {
        if !self.context.observer.is_listening() {
            return;
        }
        let clean = self.directory.was_clean();
        let high_watermark = self.directory.high_watermark(name);
        let log = log.lock();
        let batches = batch_summaries(&log);
        self.context.observer.observe(|| Observation::LogLoaded {
            partition: id,
            log_start: log.log_start(),
            log_end: log.log_end(),
            epochs: log
                .epochs()
                .entries()
                .iter()
                .map(|entry| (entry.epoch, entry.start_offset))
                .collect(),
            high_watermark,
            clean,
            batches,
        });
    }

    /// The folder of a partition's log.
    pub fn log_path(&self, name: &TopicPartition) -> PathBuf {
        self.directory.path().join(name.to_string())
    }
}

/// Every readable batch; stops at damage, which the checkers then see as missing.
fn batch_summaries(log: &broker_storage::Log) -> Vec<BatchSummary> {
    let mut found = Vec::new();
    let mut from = log.log_start();
    while from < log.log_end() {
        let Ok(read) = log.read(from, 1024 * 1024, log.log_end(), true) else {
            break;
        };
        if read.records.is_empty() {
            break;
        }
        from = read.next_offset;
        let batches = broker_protocol::record::RecordBatches::new(read.records);
        found.extend(batches.map_while(Result::ok).map(|batch| {
            let info = broker_storage::BatchInfo::of(&batch);
            BatchSummary {
                base_offset: info.base_offset,
                last_offset: info.last_offset,
                leader_epoch: info.leader_epoch,
                crc: info.crc,
            }
        }));
    }
    found
}

fn core_state(registration: &PartitionRegistration) -> PartitionState {
    PartitionState {
        leader: registration.leader.unwrap_or(NodeId::NONE),
        leader_epoch: registration.leader_epoch,
        partition_epoch: registration.partition_epoch,
        replicas: registration.replicas.clone(),
        isr: registration.isr.clone(),
    }
}
