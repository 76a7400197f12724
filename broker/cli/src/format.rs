//! `broker format`: a data folder ready for its node's first start, as kafka-storage does it.

use broker_server::format::{FormatError, InitialController, InitialVoters, format};
use broker_storage::MetaProperties;

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
    /// This controller is the first and only voter; others are added later (KIP-853).
    #[arg(long, group = "voters")]
    standalone: bool,
    /// The first voters, this controller among them (KIP-853).
    #[arg(
        long,
        group = "voters",
        value_name = "ID@HOST:PORT:DIRECTORY-ID,..",
        value_delimiter = ',',
        value_parser = InitialController::parse
    )]
    initial_controllers: Vec<InitialController>,
    /// This controller is no voter until it is added (KIP-853).
    #[arg(long, group = "voters")]
    no_initial_controllers: bool,
}

impl Format {
    pub fn run(self) -> Result<(), Failure> {
        let config = self.configuration.read()?;
        let voters = if self.standalone {
            InitialVoters::Standalone
        } else if self.no_initial_controllers {
            InitialVoters::Elsewhere
        } else if self.initial_controllers.is_empty() {
            InitialVoters::Configured
        } else {
            InitialVoters::Controllers(self.initial_controllers)
        };
        block_on(|env| async move {
            let written = format(&env, &config, self.cluster_id, &voters).await;
            let MetaProperties {
                cluster_id,
                node_id,
                directory_id,
            } = written.map_err(failure)?;
            println!(
                "formatted {} for node {node_id} of cluster {cluster_id}, directory {directory_id}",
                config.data_directory()
            );
            Ok(())
        })
    }
}

fn failure(error: FormatError) -> Failure {
    match error {
        FormatError::Usage(_) => Failure::usage(error),
        error => Failure::failed(error),
    }
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
