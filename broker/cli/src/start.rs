//! `broker start`.

use std::path::PathBuf;

use broker_env::Env;
use broker_server::config::{BrokerConfig, ConfigError};
use broker_server::node::{Node, NodeError, NodeOptions};
use broker_server::observe::Observer;
use tokio::signal::unix::{SignalKind, signal};

use crate::connect::block_on;
use crate::failure::Failure;

#[derive(clap::Args)]
pub struct Start {
    #[command(flatten)]
    configuration: Configuration,
    /// Id of the cluster, needed to format the data folder of a node of a larger cluster.
    #[arg(long)]
    cluster_id: Option<String>,
}

/// Where a node's configuration comes from.
#[derive(clap::Args)]
pub struct Configuration {
    /// A file with Kafka's property names (server.properties).
    #[arg(long, value_name = "FILE")]
    config: Option<PathBuf>,
    /// One more property; wins over the file. May be given several times.
    #[arg(long = "override", value_name = "NAME=VALUE")]
    overrides: Vec<String>,
}

impl Start {
    pub fn run(self) -> Result<(), Failure> {
        let config = self.configuration.read()?;
        raise_open_files_limit();
        block_on(|env| serve(env, config, self.cluster_id))
    }
}

/// Every partition keeps files open, and every client a connection: shells give a process far too few.
fn raise_open_files_limit() {
    let raised = rlimit::getrlimit(rlimit::Resource::NOFILE).and_then(|(soft, hard)| {
        if soft < hard {
            rlimit::setrlimit(rlimit::Resource::NOFILE, hard, hard)?;
        }
        Ok((soft, hard))
    });
    match raised {
        Ok((soft, hard)) if soft < hard => {
            tracing::info!(from = soft, to = hard, "limit of open files raised");
        }
        Ok((_, hard)) => tracing::info!(limit = hard, "limit of open files"),
        Err(error) => tracing::warn!(%error, "the limit of open files stays as it is"),
    }
}

impl Configuration {
    /// The error names file, line, property and value.
    pub fn read(&self) -> Result<BrokerConfig, Failure> {
        let mut text = match &self.config {
            Some(path) => std::fs::read_to_string(path)
                .map_err(|error| Failure::usage(format!("{}: {error}", path.display())))?,
            None => String::new(),
        };
        let file_lines = text.lines().count();
        if !text.is_empty() && !text.ends_with('\n') {
            text.push('\n');
        }
        for property in &self.overrides {
            text.push_str(property);
            text.push('\n');
        }
        let config = BrokerConfig::from_properties(&text);
        let mut config = config.map_err(|error| self.explain(error, file_lines))?;
        if self.config.is_none() {
            self.stand_alone(&mut config);
        }
        Ok(config)
    }

    /// Without a file this is a cluster of one, whose internal topics cannot have three replicas.
    fn stand_alone(&self, config: &mut BrokerConfig) {
        let is_set = |name: &str| {
            let mut names = self.overrides.iter().filter_map(|it| it.split_once('='));
            names.any(|(set, _)| set.trim() == name)
        };
        if !is_set("offsets.topic.replication.factor") {
            config.offsets_topic_replication_factor = 1;
        }
        if !is_set("transaction.state.log.replication.factor") {
            config.transaction_state_log_replication_factor = 1;
        }
        if !is_set("transaction.state.log.min.isr") {
            config.transaction_state_log_min_isr = 1;
        }
    }

    /// Overrides are read as lines after the file's.
    fn explain(&self, error: ConfigError, file_lines: usize) -> Failure {
        let line = match &error {
            ConfigError::AtLine { line, .. } | ConfigError::Syntax { line, .. } => Some(*line),
            _ => None,
        };
        let from_override =
            line.and_then(|line| self.overrides.get(line.checked_sub(file_lines + 1)?));
        match (from_override, error, &self.config) {
            (Some(property), ConfigError::AtLine { error, .. }, _) => {
                Failure::usage(format!("--override {property}: {error}"))
            }
            (Some(property), ..) => {
                Failure::usage(format!("--override {property}: expected NAME=VALUE"))
            }
            (None, error, Some(path)) => Failure::usage(format!("{}: {error}", path.display())),
            (None, error, None) => Failure::usage(error),
        }
    }
}

async fn serve(env: Env, config: BrokerConfig, cluster_id: Option<String>) -> Result<(), Failure> {
    let listening: Vec<String> = config
        .advertised()
        .iter()
        .map(|listener| format!("{}:{}", listener.host, listener.port))
        .collect();
    let data = config.data_directory().to_string();
    let node_id = config.node_id;
    let options = NodeOptions {
        config,
        observer: Observer::none(),
        cluster_id,
    };
    let node = Node::start(env, options).await.map_err(failure)?;
    let cluster_id = node.cluster_id().to_string();
    tracing::info!(
        node_id,
        cluster_id,
        listening = listening.join(","),
        data,
        "started"
    );
    node.run(stop_signal()).await.map_err(failure)?;
    tracing::info!(node_id, "stopped");
    Ok(())
}

fn failure(error: NodeError) -> Failure {
    match error {
        NodeError::Config(error) => Failure::usage(error),
        error => Failure::failed(error),
    }
}

async fn stop_signal() {
    let (terminate, interrupt) = (
        signal(SignalKind::terminate()),
        signal(SignalKind::interrupt()),
    );
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}
