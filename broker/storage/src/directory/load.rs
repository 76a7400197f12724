//! Loading everything in a data directory.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex};

use broker_env::disk::DiskLock;
use broker_env::{Disk, DiskError};
use broker_probe::{mutant, probe};
use broker_protocol::ids::{BrokerEpoch, TopicPartition, Uuid};

use super::{DirectoryOptions, FailedLog, LogDirectory, SharedLog, log_error};
use crate::checkpoint::{OffsetCheckpoint, read_file};
use crate::error::{DirectoryError, LogError};
use crate::health::DirectoryHealth;
use crate::log::{Log, LogOptions};
use crate::marker;
use crate::names;
use crate::properties::{MetaProperties, PartitionMetadata};

pub(super) async fn load(
    options: DirectoryOptions,
    properties: MetaProperties,
    lock: Box<dyn DiskLock>,
) -> Result<LogDirectory, DirectoryError> {
    let (disk, path) = (options.disk.clone(), options.path.clone());
    let clean = marker::read(disk.as_ref(), &path)?;
    if !mutant!(L_01) {
        marker::remove(disk.as_ref(), &path).await?;
    }
    let mut directory = LogDirectory {
        recovery_points: read_checkpoint(&disk, &path.join(names::RECOVERY_POINTS))?,
        high_watermarks: read_checkpoint(&disk, &path.join(names::HIGH_WATERMARKS))?,
        log_starts: read_checkpoint(&disk, &path.join(names::LOG_STARTS))?,
        cleaner_offsets: read_checkpoint(&disk, &path.join(names::CLEANER_OFFSETS))?,
        disk,
        path,
        properties,
        health: DirectoryHealth::new(),
        logs: Mutex::new(BTreeMap::new()),
        creation: tokio::sync::Mutex::new(()),
        failed: Mutex::new(Vec::new()),
        clean,
        _lock: lock,
    };
    if let Err(error) = load_logs(&mut directory, &options).await {
        if mutant!(L_02) {
            // As if the shutdown that follows a fatal error knew that the load was complete.
            marker::write(directory.disk.as_ref(), &directory.path, BrokerEpoch(-1)).await?;
        }
        return Err(error);
    }
    // Recovery points of logs that were cut must not be found too high by the next start.
    directory.write_checkpoints().await?;
    Ok(directory)
}

/// A damaged checkpoint is as good as none: everything is scanned, the start is where the first segment is, and
/// high watermarks begin at 0.
fn read_checkpoint(disk: &Arc<dyn Disk>, path: &Path) -> Result<OffsetCheckpoint, DirectoryError> {
    match OffsetCheckpoint::read(disk.clone(), path) {
        Err(DirectoryError::Malformed { path, reason }) => {
            probe!("storage: damaged checkpoint ignored");
            tracing::warn!(path = %path.display(), reason, "damaged checkpoint ignored");
            Ok(OffsetCheckpoint::empty(disk.clone(), &path))
        }
        result => result,
    }
}

async fn load_logs(
    directory: &mut LogDirectory,
    options: &DirectoryOptions,
) -> Result<(), DirectoryError> {
    for (partition, topic_id) in find_partitions(directory)? {
        match load_log(directory, options, &partition, topic_id).await {
            Ok(log) => drop(directory.lock_logs().insert(partition, log)),
            Err(error @ (LogError::Disk(_) | LogError::Offline(_))) => {
                return Err(log_error(&partition, error));
            }
            Err(error) => {
                tracing::error!(%partition, %error, "log did not open");
                directory.lock_failed().push(FailedLog {
                    partition,
                    topic_id,
                    error,
                });
            }
        }
    }
    Ok(())
}

/// Removes what was being deleted; gives the partitions with their topic ids.
fn find_partitions(
    directory: &LogDirectory,
) -> Result<Vec<(TopicPartition, Option<Uuid>)>, DiskError> {
    let mut partitions = Vec::new();
    for name in directory.disk.list(&directory.path)? {
        let path = directory.path.join(&name);
        if !directory.disk.is_directory(&path) {
            continue;
        }
        if name.ends_with(names::DELETE_DIRECTORY) {
            directory.disk.remove(&path)?;
        } else if let Some(partition) = names::partition_of(&name) {
            let metadata = read_file(directory.disk.as_ref(), &path.join(PartitionMetadata::FILE))?;
            let metadata = metadata.as_deref().and_then(PartitionMetadata::decode);
            partitions.push((partition, metadata.map(|metadata| metadata.topic_id)));
        }
    }
    Ok(partitions)
}

async fn load_log(
    directory: &LogDirectory,
    options: &DirectoryOptions,
    partition: &TopicPartition,
    topic_id: Option<Uuid>,
) -> Result<SharedLog, LogError> {
    let log = Log::open(LogOptions {
        disk: directory.disk.clone(),
        directory: directory.path.join(partition.to_string()),
        partition: partition.clone(),
        config: (options.config)(partition),
        health: directory.health.clone(),
        recovery_points: directory.recovery_points.clone(),
        log_start: directory.log_starts.get(partition).unwrap_or(0),
        cleaned_to: directory.cleaner_offsets.get(partition).unwrap_or(0),
        clean: directory.clean.is_some(),
        now_ms: options.now_ms,
    })?;
    let log = SharedLog::new(log, topic_id);
    log.flush().await?;
    Ok(log)
}
