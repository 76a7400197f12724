//! `broker start`.

use std::path::PathBuf;

use broker_server::config::BrokerConfig;
use broker_server::node::{Node, NodeOptions};
use broker_server::observe::Observer;
use tokio::signal::unix::{SignalKind, signal};
use tracing_subscriber::EnvFilter;

#[derive(clap::Args)]
pub struct Start {
    /// A file with Kafka's property names (server.properties).
    #[arg(long)]
    config: Option<PathBuf>,
    /// One more property; wins over the file. May be given several times.
    #[arg(long = "override", value_name = "NAME=VALUE")]
    overrides: Vec<String>,
    /// Id of the cluster, needed to format the data folder of a node of a larger cluster.
    #[arg(long)]
    cluster_id: Option<String>,
}

impl Start {
    pub fn run(self) -> Result<(), String> {
        log_to_stderr();
        let config = self.configuration()?;
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .enable_all()
            .build()
            .map_err(|error| format!("cannot start the runtime: {error}"))?;
        runtime.block_on(serve(config, self.cluster_id))
    }

    fn configuration(&self) -> Result<BrokerConfig, String> {
        let mut text = match &self.config {
            Some(path) => std::fs::read_to_string(path).map_err(|error| format!("{}: {error}", path.display()))?,
            None => String::new(),
        };
        for property in &self.overrides {
            text.push('\n');
            text.push_str(property);
        }
        let source = self.config.as_ref().map_or("configuration".into(), |path| path.display().to_string());
        BrokerConfig::from_properties(&text).map_err(|error| format!("{source}: {error}"))
    }
}

async fn serve(config: BrokerConfig, cluster_id: Option<String>) -> Result<(), String> {
    let env = broker_env::production::env();
    let listening: Vec<String> =
        config.advertised().iter().map(|listener| format!("{}:{}", listener.host, listener.port)).collect();
    let data = config.data_directory().to_string();
    let node_id = config.node_id;
    let options = NodeOptions { config, observer: Observer::none(), cluster_id };
    let node = Node::start(env, options).await.map_err(|error| error.to_string())?;
    let cluster_id = node.cluster_id().to_string();
    tracing::info!(node_id, cluster_id, listening = listening.join(","), data, "started");
    node.run(stop_signal()).await.map_err(|error| error.to_string())?;
    tracing::info!(node_id, "stopped");
    Ok(())
}

async fn stop_signal() {
    let (terminate, interrupt) = (signal(SignalKind::terminate()), signal(SignalKind::interrupt()));
    let (Ok(mut terminate), Ok(mut interrupt)) = (terminate, interrupt) else {
        return std::future::pending().await;
    };
    tokio::select! {
        _ = terminate.recv() => {}
        _ = interrupt.recv() => {}
    }
}

fn log_to_stderr() {
    let filter = EnvFilter::try_from_env("BROKER_LOG").unwrap_or_else(|_| EnvFilter::new("info"));
    tracing_subscriber::fmt().with_env_filter(filter).with_writer(std::io::stderr).init();
}
