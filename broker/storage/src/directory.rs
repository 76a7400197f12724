//! One data directory: who may use it, what lies in it, and how it was left.
//!
//! Map: this file opens, serves and closes; `directory/load.rs` loads the logs; `directory/shared.rs` is a log
//! behind its lock.
//!
//! The clean-shutdown marker: removed durably before the first log is opened (L-01), written only by a close
//! that follows a completed load, after every log was flushed (L-02).

mod load;
mod shared;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use broker_env::disk::DiskLock;
use broker_env::{Disk, DiskErrorKind};
use broker_probe::mutant;
use broker_protocol::ids::{BrokerEpoch, NodeId, Offset, TopicPartition, Uuid};

pub use shared::SharedLog;

use crate::checkpoint::{OffsetCheckpoint, read_file, replace_file};
use crate::config::LogConfig;
use crate::error::{DirectoryError, LogError};
use crate::health::DirectoryHealth;
use crate::log::{Log, LogOptions};
use crate::marker;
use crate::names;
use crate::properties::{MetaProperties, PartitionMetadata};

/// What [`LogDirectory::open`] needs.
pub struct DirectoryOptions {
    pub disk: Arc<dyn Disk>,
    pub path: PathBuf,
    /// `None`: whatever the directory belongs to.
    pub cluster_id: Option<String>,
    pub node_id: NodeId,
    /// Configuration by topic.
    pub config: Arc<dyn Fn(&TopicPartition) -> LogConfig + Send + Sync>,
    /// Wall time in ms.
    pub now_ms: i64,
}

/// A partition whose log did not open; the others did.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FailedLog {
    pub partition: TopicPartition,
    pub topic_id: Option<Uuid>,
    pub error: LogError,
}

/// An open data directory and its logs.
pub struct LogDirectory {
    disk: Arc<dyn Disk>,
    path: PathBuf,
    properties: MetaProperties,
    health: DirectoryHealth,
    recovery_points: OffsetCheckpoint,
    high_watermarks: OffsetCheckpoint,
    log_starts: OffsetCheckpoint,
    cleaner_offsets: OffsetCheckpoint,
    logs: Mutex<BTreeMap<TopicPartition, SharedLog>>,
    /// Two creations of the same log must not work on the same files.
    creation: tokio::sync::Mutex<()>,
    failed: Mutex<Vec<FailedLog>>,
    /// The marker that was found: the last stop was clean.
    clean: Option<marker::CleanShutdown>,
    _lock: Box<dyn DiskLock>,
}

impl LogDirectory {
    /// Writes `meta.properties` into a directory that has none; creates the directory.
    pub async fn format(
        disk: &dyn Disk,
        path: &Path,
        properties: &MetaProperties,
    ) -> Result<(), DirectoryError> {
        disk.create_directory(path)?;
        let file = path.join(MetaProperties::FILE);
        if disk.exists(&file) {
            return Err(DirectoryError::AlreadyFormatted {
                path: path.to_owned(),
            });
        }
        replace_file(disk, &file, &properties.encode()).await?;
        if let Some(parent) = path.parent().filter(|parent| disk.is_directory(parent)) {
            disk.sync_directory(parent).await?;
        }
        Ok(())
    }

    /// `None` if the directory is not formatted.
    pub fn read_properties(
        disk: &dyn Disk,
        path: &Path,
    ) -> Result<Option<MetaProperties>, DirectoryError> {
        let file = path.join(MetaProperties::FILE);
        let Some(bytes) = read_file(disk, &file)? else {
            return Ok(None);
        };
        let properties = MetaProperties::decode(&bytes);
        properties
            .map(Some)
            .map_err(|reason| DirectoryError::Malformed { path: file, reason })
    }

    /// Locks and verifies the directory, then loads all logs in it, with recovery unless the last stop was
    /// clean. Logs that lost durable data are in [`LogDirectory::failed_logs`]; everything opened is durable.
    pub async fn open(options: DirectoryOptions) -> Result<LogDirectory, DirectoryError> {
        let DirectoryOptions { disk, path, .. } = &options;
        let in_use = || DirectoryError::InUse { path: path.clone() };
        if !disk.is_directory(path) {
            return Err(DirectoryError::NotFormatted { path: path.clone() });
        }
        let lock = disk
            .lock(&path.join(names::LOCK))
            .map_err(|error| match error.kind {
                DiskErrorKind::Locked => in_use(),
                _ => error.into(),
            })?;
        let properties = verify(&options)?;
        load::load(options, properties, lock).await
    }

    pub fn path(&self) -> &Path {
        &self.path
    }

    /// `directory.id` (KIP-858).
    pub fn id(&self) -> Uuid {
        self.properties.directory_id
    }

    pub fn log_count(&self) -> usize {
        self.lock_logs().len()
    }

    pub fn properties(&self) -> &MetaProperties {
        &self.properties
    }

    pub fn health(&self) -> &DirectoryHealth {
        &self.health
    }

    /// Whether the last stop was clean, so that nothing was recovered.
    pub fn was_clean(&self) -> bool {
        self.clean.is_some()
    }

    /// Broker epoch in the clean-shutdown marker that was found; `None` after an unclean stop.
    pub fn previous_broker_epoch(&self) -> Option<BrokerEpoch> {
        self.clean.and_then(|clean| clean.broker_epoch)
    }

    /// Logs that did not open and were not set aside since.
    pub fn failed_logs(&self) -> Vec<FailedLog> {
        self.lock_failed().clone()
    }

    pub fn log(&self, partition: &TopicPartition) -> Option<SharedLog> {
        self.lock_logs().get(partition).cloned()
    }

    /// All logs, the metadata log among them, by partition.
    pub fn logs(&self) -> Vec<SharedLog> {
        self.lock_logs().values().cloned().collect()
    }

    /// Begins a log at `log_start` (0 for a new topic); durable when done.
    pub async fn create_log(
        &self,
        partition: &TopicPartition,
        topic_id: Option<Uuid>,
        config: LogConfig,
        log_start: Offset,
        now_ms: i64,
    ) -> Result<SharedLog, DirectoryError> {
        self.check_online()?;
        let _creation = self.creation.lock().await;
        if self.log(partition).is_some() {
            return Err(DirectoryError::LogExists(partition.clone()));
        }
        // A log of that name may have gone without the checkpoints being written since.
        self.high_watermarks.remove(partition);
        self.log_starts.remove(partition);
        self.cleaner_offsets.remove(partition);
        let directory = self.path.join(partition.to_string());
        let created = self
            .begin_log(&directory, partition, topic_id, config, log_start, now_ms)
            .await?;
        self.lock_logs().insert(partition.clone(), created.clone());
        Ok(created)
    }

    /// Forgets a log and removes its files; the name is free again at once.
    pub async fn delete_log(
        &self,
        partition: &TopicPartition,
        unique: Uuid,
    ) -> Result<(), DirectoryError> {
        self.check_online()?;
        let doomed = self.retire(partition, unique, names::DELETE_DIRECTORY)?;
        // Only then: were the files gone first, power loss could bring back a directory with some of them.
        self.health
            .watch(self.disk.sync_directory(&self.path).await)?;
        self.health.watch(self.disk.remove(&doomed))?;
        Ok(())
    }

    /// Forgets a log that nothing assigns to this broker, also one that did not open, and keeps its files under
    /// a name ending in `-stray`, for an operator to look at; the name is free again at once. Gives that name.
    pub async fn set_aside(
        &self,
        partition: &TopicPartition,
        unique: Uuid,
    ) -> Result<PathBuf, DirectoryError> {
        self.check_online()?;
        let stray = self.retire(partition, unique, names::STRAY_DIRECTORY)?;
        self.health
            .watch(self.disk.sync_directory(&self.path).await)?;
        Ok(stray)
    }

    fn retire(
        &self,
        partition: &TopicPartition,
        unique: Uuid,
        suffix: &str,
    ) -> Result<PathBuf, DirectoryError> {
        let removed = self.lock_logs().remove(partition);
        let retired = match removed {
            Some(log) => log
                .lock()
                .retire(unique, suffix)
                .map_err(|error| log_error(partition, error))?,
            None => self.retire_failed(partition, unique, suffix)?,
        };
        self.high_watermarks.remove(partition);
        self.log_starts.remove(partition);
        self.cleaner_offsets.remove(partition);
        Ok(retired)
    }

    fn retire_failed(
        &self,
        partition: &TopicPartition,
        unique: Uuid,
        suffix: &str,
    ) -> Result<PathBuf, DirectoryError> {
        let mut failed = self.lock_failed();
        let place = failed.iter().position(|log| log.partition == *partition);
        let place = place.ok_or_else(|| DirectoryError::NoSuchLog(partition.clone()))?;
        let from = self.path.join(partition.to_string());
        let to = self
            .path
            .join(names::retired_directory(partition, unique, suffix));
        self.health.watch(self.disk.rename(&from, &to))?;
        failed.remove(place);
        self.recovery_points.remove(partition);
        Ok(to)
    }

    /// Notes high watermarks for [`LogDirectory::checkpoint`].
    pub fn set_high_watermark(&self, partition: &TopicPartition, high_watermark: Offset) {
        self.high_watermarks.set(partition, high_watermark);
    }

    /// The high watermark in the checkpoint; 0 if there is none.
    pub fn high_watermark(&self, partition: &TopicPartition) -> Offset {
        self.high_watermarks.get(partition).unwrap_or(0)
    }

    /// Writes recovery points, high watermarks and log starts, if they changed. To be called now and then.
    pub async fn checkpoint(&self) -> Result<(), DirectoryError> {
        if mutant!(L_01) {
            // Too late: logs were appended to since they were loaded.
            marker::remove(self.disk.as_ref(), &self.path).await?;
        }
        self.write_checkpoints().await
    }

    async fn write_checkpoints(&self) -> Result<(), DirectoryError> {
        self.check_online()?;
        for log in self.logs() {
            let log = log.lock();
            let partition = log.partition();
            self.log_starts.set(partition, log.log_start());
            if log.cleaned_to() > 0 {
                self.cleaner_offsets.set(partition, log.cleaned_to());
            }
        }
        self.health.watch(self.recovery_points.write().await)?;
        self.health.watch(self.high_watermarks.write().await)?;
        self.health.watch(self.log_starts.write().await)?;
        self.health.watch(self.cleaner_offsets.write().await)?;
        Ok(())
    }

    /// Flushes every log.
    pub async fn flush_all(&self) -> Result<(), DirectoryError> {
        for log in self.logs() {
            log.flush()
                .await
                .map_err(|error| log_error(log.partition(), error))?;
        }
        Ok(())
    }

    /// Graceful stop: completes and flushes all logs, writes the checkpoints and last the clean-shutdown
    /// marker. No append may follow. Whether the marker was written: not if a log failed to load or the
    /// directory is offline.
    pub async fn close(&self, broker_epoch: BrokerEpoch) -> Result<bool, DirectoryError> {
        self.check_online()?;
        for log in self.logs() {
            log.close()
                .await
                .map_err(|error| log_error(log.partition(), error))?;
        }
        self.checkpoint().await?;
        // A log that did not load was not closed either; the next start must look at it again (L-02).
        if !self.lock_failed().is_empty() && !mutant!(L_02) {
            return Ok(false);
        }
        self.health
            .watch(marker::write(self.disk.as_ref(), &self.path, broker_epoch).await)?;
        Ok(true)
    }

    async fn begin_log(
        &self,
        directory: &Path,
        partition: &TopicPartition,
        topic_id: Option<Uuid>,
        config: LogConfig,
        log_start: Offset,
        now_ms: i64,
    ) -> Result<SharedLog, DirectoryError> {
        self.health.watch(self.disk.create_directory(directory))?;
        if let Some(topic_id) = topic_id {
            let file = directory.join(PartitionMetadata::FILE);
            let content = PartitionMetadata { topic_id }.encode();
            self.health
                .watch(replace_file(self.disk.as_ref(), &file, &content).await)?;
        }
        self.recovery_points.set(partition, log_start);
        let log = Log::open(LogOptions {
            disk: self.disk.clone(),
            directory: directory.to_owned(),
            partition: partition.clone(),
            config,
            health: self.health.clone(),
            recovery_points: self.recovery_points.clone(),
            log_start,
            cleaned_to: 0,
            clean: false,
            now_ms,
        });
        let log = SharedLog::new(log.map_err(|error| log_error(partition, error))?, topic_id);
        log.flush()
            .await
            .map_err(|error| log_error(partition, error))?;
        self.health
            .watch(self.disk.sync_directory(&self.path).await)?;
        Ok(log)
    }

    fn check_online(&self) -> Result<(), DirectoryError> {
        match self.health.failure() {
            Some(error) => Err(DirectoryError::Offline(error.clone())),
            None => Ok(()),
        }
    }

    fn lock_failed(&self) -> MutexGuard<'_, Vec<FailedLog>> {
        self.failed.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn lock_logs(&self) -> MutexGuard<'_, BTreeMap<TopicPartition, SharedLog>> {
        // A map is whole between any two of its calls, whoever panicked.
        self.logs.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn log_error(partition: &TopicPartition, error: LogError) -> DirectoryError {
    DirectoryError::Log {
        partition: partition.clone(),
        error: Box::new(error),
    }
}

fn verify(options: &DirectoryOptions) -> Result<MetaProperties, DirectoryError> {
    let path = options.path.clone();
    let Some(properties) = LogDirectory::read_properties(options.disk.as_ref(), &path)? else {
        return Err(DirectoryError::NotFormatted { path });
    };
    if let Some(expected) = options
        .cluster_id
        .clone()
        .filter(|expected| *expected != properties.cluster_id)
    {
        return Err(DirectoryError::WrongCluster {
            path,
            expected,
            found: properties.cluster_id,
        });
    }
    if properties.node_id != options.node_id {
        let (expected, found) = (options.node_id, properties.node_id);
        return Err(DirectoryError::WrongNode {
            path,
            expected,
            found,
        });
    }
    Ok(properties)
}
