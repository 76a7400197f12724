//! `broker format`: a data folder ready for its node's first start, as kafka-storage does it.

use std::path::Path;

use broker_env::{Env, random};
use broker_protocol::ids::{NodeId, Uuid};
use broker_storage::{LogDirectory, MetaProperties};

use crate::connect::block_on;
use crate::failure::Failure;
use crate::start::Configuration;

#[derive(clap::Args)]
pub struct Format {
    #[command(flatten)]
    configuration: Configuration,
    /// Id of the cluster, the same for all of its nodes.
    #[arg(long, value_parser = cluster_id)]
    cluster_id: String,
}

impl Format {
    pub fn run(self) -> Result<(), Failure> {
        let config = self.configuration.read()?;
        block_on(|env| async move {
            let path = Path::new(config.data_directory());
            format(&env, path, NodeId(config.node_id), self.cluster_id).await
        })
    }
}

async fn format(
    env: &Env,
    path: &Path,
    node_id: NodeId,
    cluster_id: String,
) -> Result<(), Failure> {
    let directory_id = Uuid(random::uuid(env.random.as_ref()));
    let properties = MetaProperties {
        cluster_id,
        node_id,
        directory_id,
    };
    LogDirectory::format(env.disk.as_ref(), path, &properties)
        .await
        .map_err(Failure::failed)?;
    let MetaProperties { cluster_id, .. } = properties;
    println!(
        "formatted {} for node {node_id} of cluster {cluster_id}, directory {directory_id}",
        path.display()
    );
    Ok(())
}

/// Kafka takes any string, but one that does not fit a line of meta.properties could not be read back.
fn cluster_id(text: &str) -> Result<String, String> {
    let plain =
        |character: char| character.is_ascii_alphanumeric() || matches!(character, '-' | '_' | '.');
    if text.is_empty() || !text.chars().all(plain) {
        return Err("must be letters, digits, '-', '_' and '.'".into());
    }
    Ok(text.to_string())
}
