//! The log directories of a broker (`log.dirs`; KIP-112, KIP-858): which of them work, and which hosts which log.
//!
//! The first one also holds the metadata log: without it the node cannot go on. When another one fails, only
//! the replicas in it go offline; the controller is told, and moves leadership away.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, MutexGuard};

use broker_env::{Env, random};
use broker_probe::probe;
use broker_protocol::ids::{BrokerEpoch, NodeId, TopicPartition, Uuid};
use broker_storage::{
    DirectoryError, DirectoryOptions, FailedLog, LogDirectory, MetaProperties, SharedLog,
};

use crate::config::BrokerConfig;
use crate::partition::log_config;

/// The directories that could be opened when the broker started.
pub struct LogDirectories {
    /// The one with the metadata log first, then as configured.
    opened: Vec<Arc<LogDirectory>>,
    /// Ids of those that failed since.
    offline: Mutex<BTreeSet<Uuid>>,
}

impl LogDirectories {
    pub fn new(opened: Vec<Arc<LogDirectory>>) -> LogDirectories {
        assert!(!opened.is_empty(), "a node has a log directory");
        LogDirectories {
            opened,
            offline: Mutex::default(),
        }
    }

    /// Opens the directories beside the one with the metadata log; one whose disk fails is left out.
    ///
    /// # Errors
    /// A directory of another cluster or node, or in use: a mistake, not a failure.
    pub async fn open_others(
        env: &Env,
        config: &BrokerConfig,
        metadata: Arc<LogDirectory>,
    ) -> Result<LogDirectories, DirectoryError> {
        let mut opened = vec![metadata];
        for path in config.log_dirs.iter().skip(1) {
            match open(env, config, &opened[0], Path::new(path)).await {
                Ok(directory) => opened.push(Arc::new(directory)),
                Err(
                    error @ (DirectoryError::Disk(_)
                    | DirectoryError::Offline(_)
                    | DirectoryError::Log { .. }),
                ) => {
                    probe!("log directories: one did not open");
                    tracing::error!(node = config.node_id, path, %error, "log directory left out");
                }
                Err(error) => return Err(error),
            }
        }
        Ok(LogDirectories::new(opened))
    }

    /// The ids of the directories that work, for the registration.
    pub fn online_ids(&self) -> Vec<Uuid> {
        self.online()
            .iter()
            .map(|directory| directory.id())
            .collect()
    }

    /// The ids of those that failed since the start, for heartbeats.
    pub fn offline_ids(&self) -> Vec<Uuid> {
        self.lock_offline().iter().copied().collect()
    }

    pub fn online(&self) -> Vec<&Arc<LogDirectory>> {
        let offline = self.lock_offline();
        let works = |directory: &&Arc<LogDirectory>| !offline.contains(&directory.id());
        self.opened.iter().filter(works).collect()
    }

    /// If it works.
    pub fn by_id(&self, id: Uuid) -> Option<&Arc<LogDirectory>> {
        let online = self.online();
        online.into_iter().find(|directory| directory.id() == id)
    }

    /// The log of that name, and where it is.
    pub fn find(&self, name: &TopicPartition) -> Option<(&Arc<LogDirectory>, SharedLog)> {
        let online = self.online().into_iter();
        online
            .filter_map(|directory| Some((directory, directory.log(name)?)))
            .next()
    }

    /// A log of that name that did not open, and where it is.
    pub fn find_failed(&self, name: &TopicPartition) -> Option<(&Arc<LogDirectory>, FailedLog)> {
        let online = self.online().into_iter();
        let mut failed = online.flat_map(|directory| {
            let failed = directory.failed_logs().into_iter();
            failed.map(move |failed| (directory, failed))
        });
        failed.find(|(_, failed)| failed.partition == *name)
    }

    /// Where a new log goes: to the directory with the fewest, the first of equals.
    pub fn for_new_log(&self) -> Option<&Arc<LogDirectory>> {
        let online = self.online().into_iter();
        online.min_by_key(|directory| directory.log_count())
    }

    /// Takes a directory out of use. False if the node cannot go on without it.
    pub fn fail(&self, id: Uuid) -> bool {
        if self.opened[0].id() == id {
            return false;
        }
        self.lock_offline().insert(id);
        true
    }

    /// The epoch in the clean-shutdown markers; None unless all directories have the same one.
    pub fn previous_broker_epoch(&self) -> Option<BrokerEpoch> {
        let first = self.opened[0].previous_broker_epoch();
        let same = self
            .opened
            .iter()
            .all(|directory| directory.previous_broker_epoch() == first);
        first.filter(|_| same)
    }

    /// Graceful stop of all that work; whether every one of them has its clean-shutdown marker now.
    ///
    /// # Errors
    /// The directory with the metadata log failed.
    pub async fn close(&self, epoch: BrokerEpoch) -> Result<bool, DirectoryError> {
        let mut clean = self.lock_offline().is_empty();
        for directory in self.online() {
            match directory.close(epoch).await {
                Ok(written) => clean &= written,
                Err(error) if self.fail(directory.id()) => {
                    tracing::error!(path = %directory.path().display(), %error, "log directory failed while closing");
                    clean = false;
                }
                Err(error) => return Err(error),
            }
        }
        Ok(clean)
    }

    fn lock_offline(&self) -> MutexGuard<'_, BTreeSet<Uuid>> {
        self.offline.lock().expect("no panic under this lock")
    }
}

/// An empty directory is formatted: a new disk takes the place of one that failed.
async fn open(
    env: &Env,
    config: &BrokerConfig,
    metadata: &LogDirectory,
    path: &Path,
) -> Result<LogDirectory, DirectoryError> {
    let cluster_id = metadata.properties().cluster_id.clone();
    let node_id = NodeId(config.node_id);
    if LogDirectory::read_properties(env.disk.as_ref(), path)?.is_none() {
        let properties = MetaProperties {
            cluster_id: cluster_id.clone(),
            node_id,
            directory_id: Uuid(random::uuid(env.random.as_ref())),
        };
        LogDirectory::format(env.disk.as_ref(), path, &properties).await?;
    }
    let defaults = log_config(&config.topic_defaults());
    LogDirectory::open(DirectoryOptions {
        disk: env.disk.clone(),
        path: PathBuf::from(path),
        cluster_id: Some(cluster_id),
        node_id,
        config: Arc::new(move |_: &TopicPartition| defaults.clone()),
        now_ms: env.clock.wall().0,
    })
    .await
}
