//! Starting this node's member of the metadata quorum.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_core::metadata::ControllerConfig;
use broker_core::raft::{self, Endpoint, Raft};
use broker_env::{Address, Env};
use broker_probe::probe;
use broker_protocol::ids::{NodeId, ReplicaKey, TopicPartition, Uuid};
use broker_storage::{LogConfig, LogDirectory, SharedLog};
use tokio::sync::mpsc;

use super::NodeError;
use super::start::{Failures, millis};
use crate::api::raft_wire::METADATA_TOPIC;
use crate::config::{BrokerConfig, Listener, TOPIC_CONFIG_NAMES};
use crate::core_steps::CoreStep;
use crate::features;
use crate::observe::{Observation, Observer};
use crate::quorum::{
    Addresses, Identity, MetadataLog, MetadataUpdate, Peers, Quorum, QuorumHandle, QuorumParts,
    QuorumStatus, RetentionLimits, Snapshots, persistence,
};
use crate::snapshot_schedule::SnapshotSchedule;

/// The metadata log is trimmed by snapshots only (K-16).
pub(super) fn metadata_log_config(config: &BrokerConfig) -> LogConfig {
    LogConfig {
        segment_bytes: u32::try_from(config.metadata_log_segment_bytes).unwrap_or(u32::MAX),
        segment_ms: config.metadata_log_segment_ms,
        cleanup_delete: false,
        retention_ms: -1,
        retention_bytes: -1,
        ..LogConfig::default()
    }
}

pub(super) fn snapshot_schedule(env: &Env, config: &BrokerConfig) -> SnapshotSchedule {
    let interval_ms = millis(config.metadata_log_max_snapshot_interval_ms);
    SnapshotSchedule::new(
        env.clone(),
        millis(config.metadata_log_max_record_bytes_between_snapshots),
        (interval_ms > 0).then(|| Duration::from_millis(interval_ms)),
    )
}

/// The configured voters, and the bootstrap servers under ids as Kafka gives them.
fn configured_addresses(config: &BrokerConfig) -> BTreeMap<NodeId, Address> {
    let voters = config.voters().into_iter();
    let voters = voters.map(|voter| (NodeId(voter.id), voter.address()));
    let servers = bootstrap_servers(config).into_iter();
    let servers = servers.zip(&config.controller_quorum_bootstrap_servers);
    voters
        .chain(servers.map(|(id, server)| (id, server.address())))
        .collect()
}

/// What is known of the members before any of them says something.
fn known_addresses(config: &BrokerConfig, recovered: &raft::Recovered) -> Addresses {
    let listener = config.controller_listener_names.first();
    let addresses = Addresses::new(
        listener.cloned().unwrap_or_default(),
        configured_addresses(config),
    );
    let changes = recovered.changes.iter().rev();
    let logged = changes.filter_map(|(_, change)| change.voters.as_ref());
    let kept = recovered.snapshots.last();
    let kept = kept.and_then(|snapshot| snapshot.voters.as_ref());
    if let Some(voters) = logged.chain(kept).next() {
        addresses.set_voters(voters);
    }
    addresses
}

fn bootstrap_servers(config: &BrokerConfig) -> Vec<NodeId> {
    if !config.finds_voters() {
        return Vec::new();
    }
    let servers = config.controller_quorum_bootstrap_servers.iter();
    servers.zip(2..).map(|(_, id)| NodeId(-id)).collect()
}

/// Where this node listens as a voter.
fn own_endpoints(config: &BrokerConfig) -> Vec<Endpoint> {
    let endpoint = |listener: Listener| Endpoint {
        name: listener.name,
        host: listener.host,
        port: listener.port,
    };
    let advertised = config.advertised_controller().into_iter();
    advertised.map(endpoint).collect()
}

/// The metadata log and its snapshots, made to fit: a crash may have come between a snapshot that was fetched
/// and the log that it replaces.
async fn open_metadata_log(
    env: &Env,
    config: &BrokerConfig,
    directory: &LogDirectory,
    observer: &Observer,
) -> Result<(MetadataLog, Snapshots), NodeError> {
    let log = metadata_log(env, config, directory).await?;
    let path = log.lock().directory().to_owned();
    let mut log = MetadataLog::new(log, env.disk.clone(), path.clone());
    let mut snapshots = Snapshots::open(env.disk.clone(), &path, log.known_start())?;
    if observer.is_listening() {
        let batches = log.summaries()?;
        let (log_start, log_end) = (log.start(), log.end());
        observer.observe(|| Observation::MetadataLogLoaded {
            log_start,
            log_end,
            batches,
            snapshots: snapshots.ids(),
        });
    }
    // Segments are removed whole and the start is not always written down.
    let start = log.known_start();
    if let Some(first) = snapshots.first_from(start)
        && (1..=log.end()).contains(&start)
        && first.end_offset <= log.end()
    {
        let removal = log.raise_start(first.end_offset, env.clock.wall().0)?;
        removal.await?;
        snapshots.remove_before(first)?;
        observer.observe(|| Observation::MetadataLogStartAdvanced {
            log_start: first.end_offset,
        });
    }
    if let Some(latest) = snapshots.latest_up_to(i64::MAX)
        && !log.contains(latest)
    {
        probe!("server: a fetched snapshot had not replaced the log yet");
        observer.observe(|| Observation::MetadataLogReplaced {
            end: latest.end_offset,
            epoch: latest.epoch,
        });
        log.start_over_at(latest.end_offset).await?;
        snapshots.remove_before(latest)?;
    }
    Ok((log, snapshots))
}

pub(super) async fn start_quorum(
    env: &Env,
    config: &Arc<BrokerConfig>,
    directory: &Arc<LogDirectory>,
    observer: &Observer,
    failures: &Failures,
) -> Result<(QuorumHandle, mpsc::UnboundedReceiver<MetadataUpdate>), NodeError> {
    let (log, snapshots) = open_metadata_log(env, config, directory, observer).await?;
    let saved = persistence::load(env.disk.as_ref(), log.directory())?;
    let mut recovered = log.recovered(saved, snapshots.described())?;
    let addresses = Arc::new(known_addresses(config, &recovered));
    if let Some(saved) = &mut recovered.quorum_state {
        let me = |leader: &NodeId| leader.0 == config.node_id;
        let leader = saved.leader;
        saved.leader = leader.filter(|leader| me(leader) || addresses.of(*leader).is_some());
    }
    let mut outputs = Vec::new();
    let raft_config = raft_config(config, directory);
    let raft = Raft::start(raft_config.clone(), &recovered, &mut outputs);
    observer.step(CoreStep::QuorumStarted {
        config: &raft_config,
        recovered: &recovered,
        outputs: &outputs,
        core: &raft,
    });
    let (events_sender, events) = mpsc::unbounded_channel();
    let (committed_sender, committed) = mpsc::unbounded_channel();
    let handle = QuorumHandle {
        events: events_sender.clone(),
        status: Arc::new(QuorumStatus::default()),
        addresses,
    };
    let node = NodeId(config.node_id);
    let identity = Identity {
        cluster_id: directory.properties().cluster_id.clone(),
        endpoints: own_endpoints(config),
        request_timeout: Duration::from_millis(millis(config.controller_quorum_request_timeout_ms)),
    };
    let peers = Peers::new(
        env.clone(),
        node,
        identity,
        handle.addresses.clone(),
        events_sender,
    );
    let (quorum, events) = Quorum::new(QuorumParts {
        env: env.clone(),
        node,
        raft,
        log,
        snapshots,
        retention: RetentionLimits {
            bytes: config.metadata_max_retention_bytes,
            ms: config.metadata_max_retention_ms,
        },
        peers,
        observer: observer.clone(),
        committed: committed_sender,
        handle: handle.clone(),
        events,
        controller: config.is_controller().then(|| controller_config(config)),
        bootstrap: features::bootstrap(config),
        no_op_interval_ms: millis(config.metadata_max_idle_interval_ms),
    });
    let (failures, observer) = (failures.clone(), observer.clone());
    let path = directory.path().display().to_string();
    env.spawn("quorum", async move {
        if let Err(error) = quorum.run(events, outputs).await {
            observer.observe(|| Observation::LogDirectoryFailed { path });
            let _node_has_stopped = failures.send(NodeError::Disk(error));
        }
    });
    Ok((handle, committed))
}

async fn metadata_log(
    env: &Env,
    config: &BrokerConfig,
    directory: &LogDirectory,
) -> Result<SharedLog, NodeError> {
    let partition = TopicPartition::new(METADATA_TOPIC, 0);
    if let Some(failed) = directory
        .failed_logs()
        .iter()
        .find(|failed| failed.partition == partition)
    {
        let error = Box::new(failed.error.clone());
        return Err(broker_storage::DirectoryError::Log { partition, error }.into());
    }
    match directory.log(&partition) {
        Some(log) => Ok(log),
        None => {
            let now_ms = env.clock.wall().0;
            Ok(directory
                .create_log(&partition, None, metadata_log_config(config), 0, now_ms)
                .await?)
        }
    }
}

fn raft_config(config: &BrokerConfig, directory: &LogDirectory) -> raft::Config {
    let me = ReplicaKey {
        id: NodeId(config.node_id),
        directory_id: directory.properties().directory_id,
    };
    let voters = config.voters();
    let keys = voters.iter().map(|voter| ReplicaKey {
        id: NodeId(voter.id),
        directory_id: Uuid::ZERO,
    });
    raft::Config {
        bootstrap_servers: bootstrap_servers(config),
        endpoints: own_endpoints(config),
        is_controller: config.is_controller(),
        auto_join: config.controller_quorum_auto_join_enable,
        request_timeout_ms: millis(config.controller_quorum_request_timeout_ms),
        election_timeout_ms: millis(config.controller_quorum_election_timeout_ms),
        election_backoff_max_ms: millis(config.controller_quorum_election_backoff_max_ms),
        fetch_timeout_ms: millis(config.controller_quorum_fetch_timeout_ms),
        ..raft::Config::new(me, raft::VoterSet::new(keys))
    }
}

fn controller_config(config: &BrokerConfig) -> ControllerConfig {
    ControllerConfig {
        broker_session_timeout_ms: millis(config.broker_session_timeout_ms),
        num_partitions: config.num_partitions,
        default_replication_factor: i16::try_from(config.default_replication_factor)
            .unwrap_or(i16::MAX),
        min_insync_replicas: config.min_insync_replicas,
        unclean_leader_election_enable: config.unclean_leader_election_enable,
        unclean_leader_election_interval_ms: millis(config.unclean_leader_election_interval_ms),
        leader_balance_interval_ms: config
            .auto_leader_rebalance_enable
            .then(|| millis(config.leader_imbalance_check_interval_seconds).saturating_mul(1_000)),
        leader_imbalance_per_broker_percentage: millis(
            config.leader_imbalance_per_broker_percentage,
        ),
        topic_config_names: TOPIC_CONFIG_NAMES.map(str::to_owned).into(),
        batch_records_max: usize::try_from(config.internal_metadata_batch_records_max)
            .expect("checked to be positive"),
        node_id: NodeId(config.node_id),
        voters: config
            .voters()
            .iter()
            .map(|voter| NodeId(voter.id))
            .collect(),
        supported_features: features::supported(config),
    }
}
