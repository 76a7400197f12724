//! Formatting a data folder: whose it is, and who the first voters of the metadata quorum are (KIP-853).

use std::path::Path;

use broker_core::raft::{Endpoint, VersionRange, Voter, VoterSet};
use broker_env::{Address, DiskError, Env, random};
use broker_protocol::ids::{NodeId, ReplicaKey, Uuid};
use broker_storage::snapshot::{SnapshotHeader, SnapshotWriter};
use broker_storage::{DirectoryError, LogDirectory, MetaProperties, SnapshotId};

use crate::api::raft_wire::METADATA_TOPIC;
use crate::config::BrokerConfig;
use crate::quorum::voters_record;

/// `kraft.version` with voters in the log.
const RECONFIGURATION_VERSION: i16 = 1;

/// Where the first voters come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum InitialVoters {
    /// `controller.quorum.voters`, or this node alone: `kraft.version` 0.
    Configured,
    /// This node is the only one.
    Standalone,
    /// These, this node among them.
    Controllers(Vec<InitialController>),
    /// Others; this node finds them by `controller.quorum.bootstrap.servers`.
    Elsewhere,
}

/// `id@host:port:directory-id`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct InitialController {
    pub key: ReplicaKey,
    pub address: Address,
}

impl InitialController {
    /// The error says what is wrong.
    pub fn parse(text: &str) -> Result<InitialController, String> {
        let expected = || format!("'{text}': expected id@host:port:directory-id");
        let (id, rest) = text.split_once('@').ok_or_else(expected)?;
        let (address, directory) = rest.rsplit_once(':').ok_or_else(expected)?;
        let (host, port) = address.rsplit_once(':').ok_or_else(expected)?;
        let id: i32 = id.parse().map_err(|_| format!("'{id}' is no node id"))?;
        let port = port.parse().map_err(|_| format!("'{port}' is no port"))?;
        let directory_id = Uuid::parse(directory).filter(|directory| !directory.is_zero());
        let directory_id =
            directory_id.ok_or_else(|| format!("'{directory}' is no directory id"))?;
        let host = host.trim_matches(['[', ']']);
        if id < 0 || host.is_empty() {
            return Err(expected());
        }
        Ok(InitialController {
            key: ReplicaKey {
                id: NodeId(id),
                directory_id,
            },
            address: Address::new(host, port),
        })
    }
}

/// Why a folder was not formatted.
#[derive(Debug, thiserror::Error)]
pub enum FormatError {
    #[error(transparent)]
    Directory(#[from] DirectoryError),
    #[error(transparent)]
    Disk(#[from] DiskError),
    #[error("{0}")]
    Usage(String),
}

/// Writes the first voters and `meta.properties` into a folder that has none; gives what it wrote.
///
/// # Errors
/// The folder is formatted already, the voters contradict the configuration, or the disk fails.
pub async fn format(
    env: &Env,
    config: &BrokerConfig,
    cluster_id: String,
    voters: &InitialVoters,
) -> Result<MetaProperties, FormatError> {
    let path = Path::new(config.data_directory());
    if LogDirectory::read_properties(env.disk.as_ref(), path)?.is_some() {
        let path = path.to_owned();
        return Err(DirectoryError::AlreadyFormatted { path }.into());
    }
    let me = ReplicaKey {
        id: NodeId(config.node_id),
        directory_id: Uuid(random::uuid(env.random.as_ref())),
    };
    let (directory_id, first) = first_voters(config, me, voters)?;
    if let Some(first) = first {
        write_bootstrap_snapshot(env, path, &first).await?;
    }
    let properties = MetaProperties {
        cluster_id,
        node_id: me.id,
        directory_id,
    };
    LogDirectory::format(env.disk.as_ref(), path, &properties).await?;
    Ok(properties)
}

/// This node's directory id, and the voters to write.
fn first_voters(
    config: &BrokerConfig,
    me: ReplicaKey,
    voters: &InitialVoters,
) -> Result<(Uuid, Option<VoterSet>), FormatError> {
    let usage = |reason: &str| Err(FormatError::Usage(reason.into()));
    if *voters == InitialVoters::Configured {
        return if config.is_controller() && config.finds_voters() {
            usage(
                "a controller without controller.quorum.voters needs one of --standalone, --initial-controllers and --no-initial-controllers",
            )
        } else {
            Ok((me.directory_id, None))
        };
    }
    if !config.controller_quorum_voters.is_empty() {
        return usage("controller.quorum.voters names the voters already");
    }
    let Some(listener) = config.advertised_controller() else {
        return usage("only a controller has initial controllers");
    };
    let voter = |key: ReplicaKey, address: Address| Voter {
        key,
        endpoints: vec![Endpoint {
            name: listener.name.clone(),
            host: address.host,
            port: address.port,
        }],
        kraft_versions: VersionRange::KRAFT,
    };
    match voters {
        InitialVoters::Standalone => {
            let own = voter(me, Address::new(listener.host.clone(), listener.port));
            Ok((me.directory_id, Some(VoterSet::of([own]))))
        }
        InitialVoters::Controllers(controllers) => {
            let own = controllers.iter().find(|found| found.key.id == me.id);
            let Some(own) = own else {
                return usage("the initial controllers do not name this node.id");
            };
            let set = VoterSet::of(
                controllers
                    .iter()
                    .map(|found| voter(found.key, found.address.clone())),
            );
            if set.len() < controllers.len() {
                return usage("the initial controllers name an id twice");
            }
            Ok((own.key.directory_id, Some(set)))
        }
        InitialVoters::Configured | InitialVoters::Elsewhere => Ok((me.directory_id, None)),
    }
}

async fn write_bootstrap_snapshot(
    env: &Env,
    path: &Path,
    voters: &VoterSet,
) -> Result<(), DiskError> {
    let directory = path.join(format!("{METADATA_TOPIC}-0"));
    env.disk.create_directory(&directory)?;
    let now = env.clock.wall();
    let header = SnapshotHeader {
        last_contained_log_timestamp: now.0,
        kraft_version: RECONFIGURATION_VERSION,
        voters: Some(voters_record(voters)),
    };
    let disk = env.disk.clone();
    let writer = SnapshotWriter::create(disk, &directory, SnapshotId::BOOTSTRAP, &header, now.0)?;
    writer.finish().await?;
    env.disk.sync_directory(path).await
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_initial_controller_is_read_as_kafka_writes_it() {
        let read = InitialController::parse("0@localhost:8082:K90IZ-0DRNazJ49kCZ1EMQ");
        let read = read.expect("Kafka's own example");
        assert_eq!(read.key.id, NodeId(0));
        assert_eq!(read.key.directory_id.to_string(), "K90IZ-0DRNazJ49kCZ1EMQ");
        assert_eq!(read.address, Address::new("localhost", 8082));
        for wrong in [
            "localhost:8082:K90IZ-0DRNazJ49kCZ1EMQ",
            "0@localhost:8082",
            "0@localhost:K90IZ-0DRNazJ49kCZ1EMQ",
            "0@localhost:8082:nonsense",
            "0@localhost:8082:AAAAAAAAAAAAAAAAAAAAAA",
            "-1@localhost:8082:K90IZ-0DRNazJ49kCZ1EMQ",
            "0@:8082:K90IZ-0DRNazJ49kCZ1EMQ",
        ] {
            assert!(InitialController::parse(wrong).is_err(), "{wrong}");
        }
    }
}
