//! The partitions this broker hosts: created, configured and deleted as the published metadata says.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, RwLock};

use broker_core::metadata::{PartitionRegistration, directory};
use broker_core::replica::{Input, PartitionState};
use broker_env::{Env, random};
use broker_probe::probe;
use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, NodeId, TopicIdPartition, TopicPartition, Uuid};
use broker_storage::{DirectoryError, LogDirectory, LogError, SharedLog};

use crate::api::raft_wire::METADATA_TOPIC;
use crate::config::BrokerConfig;
use crate::fetch_sessions::FetchSessions;
use crate::lifecycle::Standing;
use crate::log_directories::LogDirectories;
use crate::metadata_cache::{MetadataCache, MetadataDelta};
use crate::observe::{BatchSummary, Observation};
use crate::partition::{Partition, PartitionContext, PartitionEvent, log_config};
use crate::replication_quotas::ReplicationQuotas;

/// The hosted partitions of a broker.
pub struct ReplicaManager {
    env: Env,
    node: NodeId,
    config: Arc<BrokerConfig>,
    directories: Arc<LogDirectories>,
    metadata: Arc<MetadataCache>,
    context: PartitionContext,
    standing: Arc<Standing>,
    partitions: RwLock<BTreeMap<TopicIdPartition, Arc<Partition>>>,
    /// Set under the lock of `partitions`: from then on none is added.
    stopped: AtomicBool,
    pub sessions: FetchSessions,
    pub quotas: ReplicationQuotas,
}

impl ReplicaManager {
    pub fn new(
        env: Env,
        config: Arc<BrokerConfig>,
        directories: Arc<LogDirectories>,
        metadata: Arc<MetadataCache>,
        context: PartitionContext,
        standing: Arc<Standing>,
    ) -> ReplicaManager {
        let node = NodeId(config.node_id);
        ReplicaManager {
            sessions: FetchSessions::new(env.clone(), &config),
            quotas: ReplicationQuotas::new(env.clone(), config.clone(), metadata.clone()),
            env,
            node,
            config,
            directories,
            metadata,
            context,
            standing,
            partitions: RwLock::default(),
            stopped: AtomicBool::new(false),
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
        let damaged = self.directories.online().iter().any(|directory| {
            directory.failed_logs().iter().any(|failed| {
                failed.topic_id == Some(id.topic_id) && failed.partition.partition == id.partition
            })
        });
        if damaged {
            ErrorCode::KafkaStorageError
        } else {
            ErrorCode::NotLeaderOrFollower
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

    /// The hosted partitions of one topic.
    fn partitions_of(&self, topic_id: Uuid) -> Vec<Arc<Partition>> {
        let partition = |partition| TopicIdPartition {
            topic_id,
            partition,
        };
        let hosted = self.partitions.read().expect("no panic under this lock");
        let range = hosted.range(partition(0)..=partition(i32::MAX));
        range.map(|(_, hosted)| hosted.clone()).collect()
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
            let Some(id) = self.metadata.read(|image| image.topic_id(topic)) else {
                continue;
            };
            let config = self.metadata.topic_config(topic, &self.config);
            for partition in self.partitions_of(id) {
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
            let told = image.metadata_version().has_directories();
            Some((name, image.partition(id)?.clone(), told))
        });
        let Some((topic, registration, has_directories)) = published else {
            return Ok(());
        };
        if !registration.replicas.contains(&self.node) {
            // Who waits for an acknowledgement must not take this for a failure: others have its records.
            return self
                .remove_partition(id, ErrorCode::NotLeaderOrFollower)
                .await;
        }
        let name = TopicPartition::new(topic, id.partition);
        let partition = match self.partition(id) {
            Some(partition) => Some(partition),
            None => self.host(id, name, &registration, brokers).await?,
        };
        let directory = match &partition {
            Some(partition) => partition.directory,
            None => directory::LOST,
        };
        if has_directories && registration.directory(self.node) != directory {
            let partition = id;
            let _broker_has_stopped = self.context.events.send(PartitionEvent::AssignDirectory {
                partition,
                directory,
            });
        }
        if let Some(partition) = partition {
            partition.step(Input::Metadata(core_state(&registration)));
        }
        Ok(())
    }

    /// Opens or creates the log. `None` if that must not be: a log of that name is damaged, or it was in a
    /// directory that is gone. The replica stays offline until an operator replaces it, or it is no longer
    /// needed.
    async fn host(
        &self,
        id: TopicIdPartition,
        name: TopicPartition,
        registration: &PartitionRegistration,
        brokers: &BTreeMap<NodeId, BrokerEpoch>,
    ) -> Result<Option<Arc<Partition>>, DirectoryError> {
        let is_other = |topic_id: Option<Uuid>| topic_id.is_some_and(|it| it != id.topic_id);
        if let Some((directory, failed)) = self.directories.find_failed(&name) {
            if !is_other(failed.topic_id) {
                tracing::error!(node = %self.node, partition = %name, "the log is damaged: replica offline");
                return Ok(None);
            }
            self.set_aside(directory, &name, failed.topic_id).await?;
        }
        let config = self.metadata.topic_config(&name.topic, &self.config);
        let mut found = self.directories.find(&name);
        if let Some((directory, log)) = &found
            && is_other(log.topic_id())
        {
            // Of a deleted topic of the same name (KIP-516).
            self.set_aside(directory, &name, log.topic_id()).await?;
            found = None;
        }
        let (directory, log) = match found {
            Some(found) => found,
            None => match self.create_log(id, &name, &config, registration).await? {
                Some(created) => created,
                None => return Ok(None),
            },
        };
        log.lock().set_config(log_config(&config));
        let high_watermark = directory.high_watermark(&name);
        let context = self.context.clone();
        let opened = Partition::new(
            id,
            name,
            directory.id(),
            context,
            log,
            config,
            high_watermark,
        );
        let partition = match opened {
            Ok(partition) => Arc::new(partition),
            Err(error) => return self.not_opened(directory, id, error),
        };
        partition.step(Input::Eligible(brokers.clone()));
        let mut partitions = self.partitions.write().expect("no panic under this lock");
        if self.stopped.load(Ordering::Relaxed) {
            // It would fetch while the logs are closed, and the clean-shutdown marker would not be true.
            probe!("replica manager: a partition came while the broker stops");
            return Ok(None);
        }
        partitions.insert(id, partition.clone());
        Ok(Some(partition))
    }

    /// The log did not tell what its producers had written: as bad as one that did not open.
    fn not_opened(
        &self,
        directory: &LogDirectory,
        id: TopicIdPartition,
        error: LogError,
    ) -> Result<Option<Arc<Partition>>, DirectoryError> {
        tracing::error!(node = %self.node, partition = ?id, %error, "the log is damaged: replica offline");
        let failed = directory.health().failure().cloned();
        let result = failed.map_or(Ok(None), |error| Err(DirectoryError::Offline(error)));
        self.contain(directory, result).map(Option::flatten)
    }

    /// In the directory the controller names, else where the fewest logs are. An empty log does not take the
    /// place of one that was in a directory that is gone while that one counts as in sync: it would lead with
    /// nothing.
    async fn create_log(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        config: &crate::config::TopicConfig,
        registration: &PartitionRegistration,
    ) -> Result<Option<(&Arc<LogDirectory>, SharedLog)>, DirectoryError> {
        let assigned = registration.directory(self.node);
        let needed = registration.isr.contains(&self.node)
            || registration.last_known_elr.contains(&self.node);
        let named = self.directories.by_id(assigned);
        let placed = assigned != directory::UNASSIGNED && assigned != directory::MIGRATING;
        if named.is_none() && placed && needed {
            probe!("replica manager: the log of an in-sync replica is gone");
            tracing::error!(node = %self.node, partition = %name, %assigned, "the log's directory is gone: replica offline");
            return Ok(None);
        }
        let Some(target) = named.or_else(|| self.directories.for_new_log()) else {
            return Ok(None);
        };
        let now = self.env.clock.wall().0;
        let config = log_config(config);
        let created = target
            .create_log(name, Some(id.topic_id), config, 0, now)
            .await;
        let Some(log) = self.contain(target, created)? else {
            return Ok(None);
        };
        self.observe_loaded(id, name, target, &log);
        Ok(Some((target, log)))
    }

    /// An error of a directory the node can do without takes that one offline, and is none for the others.
    fn contain<T>(
        &self,
        directory: &LogDirectory,
        result: Result<T, DirectoryError>,
    ) -> Result<Option<T>, DirectoryError> {
        match result {
            Ok(value) => Ok(Some(value)),
            Err(error) if directory.health().failure().is_some() => {
                if self.fail_directory(directory.id()) {
                    Ok(None)
                } else {
                    Err(error)
                }
            }
            Err(error) => Err(error),
        }
    }

    /// Takes a failed directory and the replicas in it offline; the controller hears of it with the next
    /// heartbeat. False if the node cannot go on without it.
    pub fn fail_directory(&self, id: Uuid) -> bool {
        let path = self
            .directories
            .by_id(id)
            .map(|directory| directory.path().display().to_string());
        if !self.directories.fail(id) {
            return false;
        }
        let Some(path) = path else {
            return true;
        };
        probe!("replica manager: a log directory failed");
        tracing::error!(node = %self.node, path, "log directory offline");
        let lost = self.partitions();
        for partition in lost.iter().filter(|partition| partition.directory == id) {
            partition.stop(ErrorCode::KafkaStorageError);
        }
        self.standing.hurry();
        true
    }

    /// Tells the observer what the directories held when they were opened, hosted yet or not.
    pub fn observe_opened(&self) {
        for directory in self.directories.online() {
            for log in directory.logs() {
                let name = log.partition().clone();
                if let Some(topic_id) = log.topic_id() {
                    let id = TopicIdPartition {
                        topic_id,
                        partition: name.partition,
                    };
                    self.observe_loaded(id, &name, directory, &log);
                }
            }
        }
    }

    async fn remove_topic(&self, topic: Uuid) -> Result<(), DirectoryError> {
        for partition in self.partitions_of(topic) {
            self.remove_partition(partition.id, ErrorCode::UnknownTopicOrPartition)
                .await?;
        }
        for directory in self.directories.online() {
            let failed = directory.failed_logs().into_iter();
            for failed in failed.filter(|failed| failed.topic_id == Some(topic)) {
                let deleted = directory
                    .delete_log(&failed.partition, self.fresh_uuid())
                    .await;
                self.contain(directory, deleted)?;
            }
        }
        Ok(())
    }

    async fn remove_partition(
        &self,
        id: TopicIdPartition,
        error: ErrorCode,
    ) -> Result<(), DirectoryError> {
        let removed = self
            .partitions
            .write()
            .expect("no panic under this lock")
            .remove(&id);
        let Some(partition) = removed else {
            return Ok(());
        };
        partition.stop(error);
        let Some(directory) = self.directories.by_id(partition.directory) else {
            // With its directory; should that come back, the log is a stray.
            return Ok(());
        };
        self.observe_deletion(id);
        let deleted = directory
            .delete_log(&partition.name, self.fresh_uuid())
            .await;
        self.contain(directory, deleted)?;
        Ok(())
    }

    /// Told first: the log is gone with the first step of its deletion, the rest may fall to a crash.
    fn observe_deletion(&self, partition: TopicIdPartition) {
        self.context
            .observer
            .observe(|| Observation::LogDeleted { partition });
    }

    /// Sets logs aside that nothing assigns to this broker: their topic was deleted, or they were moved, while
    /// it was away. Their files stay: metadata that miss a topic must not cost its records.
    ///
    /// # Errors
    /// The log directory failed.
    pub async fn set_strays_aside(&self) -> Result<(), DirectoryError> {
        for directory in self.directories.online() {
            let open = directory.logs().into_iter();
            let open = open.map(|log| (log.partition().clone(), log.topic_id()));
            let failed = directory.failed_logs().into_iter();
            let failed = failed.map(|failed| (failed.partition, failed.topic_id));
            for (name, topic_id) in open.chain(failed).collect::<Vec<_>>() {
                if self.is_stray(&name, topic_id) {
                    self.set_aside(directory, &name, topic_id).await?;
                }
            }
        }
        Ok(())
    }

    fn is_stray(&self, name: &TopicPartition, topic_id: Option<Uuid>) -> bool {
        let hosted = self.partitions().iter().any(|hosted| hosted.name == *name);
        name.topic != METADATA_TOPIC && !hosted && !self.is_assigned(name, topic_id)
    }

    /// By the topic's id; a crash may have come before that was noted (M-13), then its name has to do.
    fn is_assigned(&self, name: &TopicPartition, topic_id: Option<Uuid>) -> bool {
        self.metadata.read(|image| {
            let topic_id = topic_id.or_else(|| image.topic_id(&name.topic));
            let registration = image.partition(TopicIdPartition {
                topic_id: topic_id?,
                partition: name.partition,
            });
            Some(registration?.replicas.contains(&self.node))
        }) == Some(true)
    }

    /// Logs that are of no replica assigned to this broker; none once publication has caught up (META-4).
    pub fn stray_logs(&self) -> Vec<TopicPartition> {
        let online = self.directories.online();
        let logs = online.iter().flat_map(|directory| directory.logs());
        let logs = logs.map(|log| (log.partition().clone(), log.topic_id()));
        logs.filter(|(name, topic_id)| !self.is_assigned(name, *topic_id))
            .map(|(name, _)| name)
            .filter(|name| name.topic != METADATA_TOPIC)
            .collect()
    }

    async fn set_aside(
        &self,
        directory: &LogDirectory,
        name: &TopicPartition,
        topic_id: Option<Uuid>,
    ) -> Result<(), DirectoryError> {
        probe!("replica manager: stray replica set aside");
        if let Some(topic_id) = topic_id {
            self.observe_deletion(TopicIdPartition {
                topic_id,
                partition: name.partition,
            });
        }
        let set_aside = directory.set_aside(name, self.fresh_uuid()).await;
        if let Some(path) = self.contain(directory, set_aside)? {
            tracing::warn!(node = %self.node, partition = %name, path = %path.display(), "stray replica renamed");
        }
        Ok(())
    }

    /// Takes every partition offline: the log directory failed, or the node stops.
    pub fn stop_all(&self, error: ErrorCode) {
        let hosted = {
            let partitions = self.partitions.write().expect("no panic under this lock");
            self.stopped.store(true, Ordering::Relaxed);
            partitions.clone()
        };
        for partition in hosted.values() {
            partition.stop(error);
        }
    }

    /// For a clean stop, after [`ReplicaManager::stop_all`].
    pub fn close_producers(&self) {
        for partition in self.partitions() {
            partition.close_producers();
        }
    }

    /// Notes all high watermarks and writes the checkpoints.
    ///
    /// # Errors
    /// The log directory failed.
    pub async fn checkpoint(&self) -> Result<(), DirectoryError> {
        for partition in self.partitions() {
            if let Some(directory) = self.directories.by_id(partition.directory) {
                directory.set_high_watermark(&partition.name, partition.high_watermark());
            }
        }
        for directory in self.directories.online() {
            let written = directory.checkpoint().await;
            self.contain(directory, written)?;
        }
        Ok(())
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

    fn observe_loaded(
        &self,
        id: TopicIdPartition,
        name: &TopicPartition,
        directory: &LogDirectory,
        log: &SharedLog,
    ) {
        if !self.context.observer.is_listening() {
            return;
        }
        let clean = directory.was_clean();
        let high_watermark = directory.high_watermark(name);
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
            BatchSummary::of(&info, broker_storage::end_txn_marker(&batch))
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
