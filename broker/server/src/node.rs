//! A node: what `process.roles` asks for, put together, started and stopped.

mod maintenance;
mod start;
mod start_quorum;

use std::sync::Arc;

use broker_env::{DiskError, Env, select};
use broker_storage::DirectoryError;
use tokio::sync::mpsc;

use crate::config::{BrokerConfig, ConfigError};
use crate::features::UnsupportedLevel;
use crate::lifecycle::{Standing, Unregistrable, controlled_shutdown};
use crate::listener::Connections;
use crate::log_directories::LogDirectories;
use crate::metadata_cache::MetadataCache;
use crate::observe::{Observation, Observer};
use crate::quorum::{QuorumHandle, SnapshotsError};
use crate::replica_manager::ReplicaManager;
use broker_protocol::ErrorCode;

/// Why a node cannot start or go on.
#[derive(Debug, thiserror::Error)]
pub enum NodeError {
    #[error(transparent)]
    Config(#[from] ConfigError),
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Network(#[from] broker_env::NetworkError),
    #[error("the log directory failed: {0}")]
    Disk(#[from] DiskError),
    #[error(transparent)]
    UnsupportedLevel(#[from] UnsupportedLevel),
    #[error(transparent)]
    Unregistrable(#[from] Unregistrable),
    #[error(
        "{path} is not formatted, and this node is not a quorum of its own: format it with the cluster's id"
    )]
    NoClusterId { path: String },
    #[error("{path} is not formatted: {reason}")]
    NotFormatted { path: String, reason: String },
    #[error("{0}")]
    Snapshots(SnapshotsError),
}

impl From<SnapshotsError> for NodeError {
    fn from(error: SnapshotsError) -> NodeError {
        match error {
            SnapshotsError::Disk(error) => NodeError::Disk(error),
            other => NodeError::Snapshots(other),
        }
    }
}

/// What a node is started with.
#[derive(Clone)]
pub struct NodeOptions {
    pub config: BrokerConfig,
    pub observer: Observer,
    /// Formats an empty data folder for this cluster; of a formatted one it must be the cluster.
    pub cluster_id: Option<String>,
}

/// A running node.
pub struct Node {
    env: Env,
    config: Arc<BrokerConfig>,
    cluster_id: String,
    directories: Arc<LogDirectories>,
    metadata: Arc<MetadataCache>,
    replicas: Option<Arc<ReplicaManager>>,
    quorum: QuorumHandle,
    standing: Arc<Standing>,
    connections: Vec<Arc<Connections>>,
    observer: Observer,
    failed: mpsc::UnboundedReceiver<NodeError>,
}

/// Reads a running node's state, for tests and checkers.
#[derive(Clone)]
pub struct NodeView {
    pub config: Arc<BrokerConfig>,
    pub metadata: Arc<MetadataCache>,
    pub replicas: Option<Arc<ReplicaManager>>,
    pub quorum: QuorumHandle,
    pub standing: Arc<Standing>,
}

impl Node {
    pub fn cluster_id(&self) -> &str {
        &self.cluster_id
    }

    pub fn view(&self) -> NodeView {
        NodeView {
            config: self.config.clone(),
            metadata: self.metadata.clone(),
            replicas: self.replicas.clone(),
            quorum: self.quorum.clone(),
            standing: self.standing.clone(),
        }
    }

    /// Serves until `stop` completes, then stops gracefully.
    ///
    /// # Errors
    /// The node failed, at work or while it stopped.
    pub async fn run(mut self, stop: impl Future<Output = ()>) -> Result<(), NodeError> {
        let failed = async {
            match self.failed.recv().await {
                Some(error) => error,
                None => std::future::pending().await,
            }
        };
        let failure = select! {
            error = failed => Some(error),
            () = stop => None,
        };
        match failure {
            Some(error) => {
                self.abandon();
                Err(error)
            }
            None => self.stop().await,
        }
    }

    /// Controlled shutdown: leaders move away, the quorum is told, everything is flushed, and the
    /// clean-shutdown marker says so.
    async fn stop(self) -> Result<(), NodeError> {
        tracing::info!(node = self.config.node_id, "stopping");
        if self.config.is_broker() {
            controlled_shutdown(&self.env, &self.standing, &self.config).await;
        }
        if let Some(replicas) = &self.replicas {
            replicas.checkpoint().await?;
        }
        self.abandon();
        if let Some(replicas) = &self.replicas {
            replicas.close_producers();
        }
        self.quorum.shutdown().await;
        let written = self.directories.close(self.standing.epoch()).await?;
        if written {
            self.observer.observe(|| Observation::StoppedCleanly);
        }
        Ok(())
    }

    /// No request gets in and no partition changes any more.
    fn abandon(&self) {
        for connections in &self.connections {
            connections.close();
        }
        if let Some(replicas) = &self.replicas {
            replicas.stop_all(ErrorCode::NotLeaderOrFollower);
        }
    }
}
