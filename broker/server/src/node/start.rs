//! Starting a node, from its data folder up.

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use broker_env::{Address, Env, random};
use broker_protocol::ids::{BrokerEpoch, NodeId, TopicPartition, Uuid};
use broker_storage::{DirectoryOptions, LogDirectory};
use tokio::sync::mpsc;

use super::maintenance;
use super::start_quorum::{metadata_log_config, snapshot_schedule, start_quorum};
use super::{Node, NodeError, NodeOptions};
use crate::api::raft_wire::METADATA_TOPIC;
use crate::api::{Api, BrokerService, ControllerService, Forwarder};
use crate::config::BrokerConfig;
use crate::connection::Service;
use crate::controller_channel::ControllerChannel;
use crate::controller_registration::ControllerRegistration;
use crate::coordinator::Coordinators;
use crate::directory_assignments::DirectoryAssignments;
use crate::format::{FormatError, InitialVoters};
use crate::group_coordinator::{GroupCoordinators, GroupShard, core_config};
use crate::internal_topics::{CONSUMER_OFFSETS, TRANSACTION_STATE};
use crate::lifecycle::{Lifecycle, Standing};
use crate::listener::{ConnectionLimits, Connections};
use crate::log_directories::LogDirectories;
use crate::metadata_cache::MetadataCache;
use crate::observe::{Observation, Observer};
use crate::partition::{PartitionContext, log_config};
use crate::partition_events::PartitionEvents;
use crate::producer_ids::ProducerIds;
use crate::publisher::Publisher;
use crate::quorum::{MetadataUpdate, QuorumHandle};
use crate::replica_fetcher::ReplicaFetchers;
use crate::replica_manager::ReplicaManager;
use crate::transaction_coordinator::{
    self, MarkerSender, TransactionCoordinators, TransactionShard,
};
use crate::transaction_verifier::TransactionVerifier;

/// How long a broker listener waits for the controller before it serves all the same.
const UNFENCED_WAIT: Duration = Duration::from_secs(3);
const UNFENCED_POLL: Duration = Duration::from_millis(20);

/// Failures of any task end up here; the node's main task ends with the first.
pub(super) type Failures = mpsc::UnboundedSender<NodeError>;

impl Node {
    /// Opens the data folder, formatting an empty one, starts everything and listens.
    ///
    /// # Errors
    /// See [`NodeError`]; nothing is left running but what the caller's `Env` ends with the node.
    pub async fn start(env: Env, options: NodeOptions) -> Result<Node, NodeError> {
        options.config.check()?;
        let config = Arc::new(options.config);
        let observer = options.observer;
        observer.observe(|| Observation::Started);
        let directory = open_directory(&env, &config, options.cluster_id).await?;
        let cluster_id = directory.properties().cluster_id.clone();
        let directories =
            Arc::new(LogDirectories::open_others(&env, &config, directory.clone()).await?);
        let (failures, failed) = mpsc::unbounded_channel();

        let metadata = Arc::new(MetadataCache::default());
        let (quorum, committed) =
            start_quorum(&env, &config, &directory, &observer, &failures).await?;
        let channel = channels(&env, &config, &quorum);
        let standing = Arc::new(Standing::default());
        let incarnation = Uuid(random::uuid(env.random.as_ref()));
        let replicas = config.is_broker().then(|| {
            let parts = ReplicaParts {
                config: &config,
                directories: &directories,
                metadata: &metadata,
                observer: &observer,
                failures: &failures,
                standing: &standing,
            };
            start_replicas(&env, &parts, &channel)
        });
        let (replicas, coordinators) = replicas.unzip();
        let (groups, transactions) = coordinators.unzip();
        let publisher = Publisher {
            config: config.clone(),
            metadata: metadata.clone(),
            replicas: replicas.clone(),
            groups: groups.clone(),
            env: env.clone(),
            incarnation,
            observer: observer.clone(),
            quorum: quorum.clone(),
            snapshots: snapshot_schedule(&env, &config),
        };
        start_publisher(&env, publisher, committed, &failures);
        let producer_ids = config.is_broker().then(|| {
            let (config, standing) = (config.clone(), standing.clone());
            let controller = channel("producer-ids");
            ProducerIds::new(env.clone(), config, standing, observer.clone(), controller)
        });
        let api = Arc::new(Api {
            env: env.clone(),
            config: config.clone(),
            cluster_id: cluster_id.clone(),
            metadata: metadata.clone(),
            quorum: quorum.clone(),
            forwarder: Forwarder::new(env.clone(), {
                let channel = channels(&env, &config, &quorum);
                move || channel("forward")
            }),
            replicas: replicas.clone(),
            producer_ids,
            groups,
            verifier: TransactionVerifier::new(env.clone(), config.clone(), metadata.clone()),
            transactions,
        });
        let connections = listen(&env, &config, &api, &standing).await?;
        if config.is_broker() {
            let lifecycle = Lifecycle {
                env: env.clone(),
                config: config.clone(),
                cluster_id: cluster_id.clone(),
                directories: directories.clone(),
                incarnation,
                previous_broker_epoch: directories
                    .previous_broker_epoch()
                    .unwrap_or(BrokerEpoch(-1)),
                metadata: metadata.clone(),
                controller: channel("heartbeat"),
                standing: standing.clone(),
            };
            let failures = failures.clone();
            env.spawn("broker lifecycle", async move {
                if let Err(error) = lifecycle.run().await {
                    let _node_has_stopped = failures.send(error.into());
                }
            });
        }
        if config.is_controller() {
            let registration = ControllerRegistration {
                env: env.clone(),
                config: config.clone(),
                incarnation,
                metadata: metadata.clone(),
                controller: channel("registration"),
            };
            env.spawn("controller registration", registration.run());
        }
        Ok(Node {
            env,
            config,
            cluster_id,
            directories,
            metadata,
            replicas,
            quorum,
            standing,
            connections,
            observer,
            failed,
        })
    }
}

/// Makes lines to the controller, by purpose.
fn channels(
    env: &Env,
    config: &Arc<BrokerConfig>,
    quorum: &QuorumHandle,
) -> impl Fn(&str) -> ControllerChannel + Send + Sync + use<> {
    let (env, config, quorum) = (env.clone(), config.clone(), quorum.clone());
    move |name| {
        let client_id = format!("broker-{}-{name}", config.node_id);
        let (status, addresses) = (quorum.status.clone(), quorum.addresses.clone());
        ControllerChannel::new(env.clone(), status, addresses, client_id)
    }
}

async fn open_directory(
    env: &Env,
    config: &Arc<BrokerConfig>,
    cluster_id: Option<String>,
) -> Result<Arc<LogDirectory>, NodeError> {
    let path = PathBuf::from(config.data_directory());
    if LogDirectory::read_properties(env.disk.as_ref(), &path)?.is_none() {
        format(env, config, &path, cluster_id.clone()).await?;
    }
    let defaults = log_config(&config.topic_defaults());
    let metadata = metadata_log_config(config);
    let by_topic = move |partition: &TopicPartition| {
        if partition.topic == METADATA_TOPIC {
            metadata.clone()
        } else {
            defaults.clone()
        }
    };
    let directory = LogDirectory::open(DirectoryOptions {
        disk: env.disk.clone(),
        path,
        cluster_id,
        node_id: NodeId(config.node_id),
        config: Arc::new(by_topic),
        now_ms: env.clock.wall().0,
    })
    .await?;
    Ok(Arc::new(directory))
}

/// A node that is its own quorum may invent the cluster's id; others must be told it.
async fn format(
    env: &Env,
    config: &BrokerConfig,
    path: &Path,
    cluster_id: Option<String>,
) -> Result<(), NodeError> {
    let alone = config.is_controller() && config.voters().len() == 1;
    let fresh = || alone.then(|| Uuid(random::uuid(env.random.as_ref())).to_string());
    let cluster_id = cluster_id
        .or_else(fresh)
        .ok_or_else(|| NodeError::NoClusterId {
            path: path.display().to_string(),
        })?;
    let formatted =
        crate::format::format(env, config, cluster_id, &InitialVoters::Configured).await;
    match formatted {
        Ok(_) => Ok(()),
        Err(FormatError::Directory(error)) => Err(error.into()),
        Err(FormatError::Disk(error)) => Err(error.into()),
        Err(FormatError::Usage(reason)) => Err(NodeError::NotFormatted {
            path: path.display().to_string(),
            reason,
        }),
    }
}

/// What a broker's replicas share with the rest of the node.
struct ReplicaParts<'a> {
    config: &'a Arc<BrokerConfig>,
    directories: &'a Arc<LogDirectories>,
    metadata: &'a Arc<MetadataCache>,
    observer: &'a Observer,
    failures: &'a Failures,
    standing: &'a Arc<Standing>,
}

fn start_replicas(
    env: &Env,
    parts: &ReplicaParts<'_>,
    channel: &impl Fn(&str) -> ControllerChannel,
) -> (
    Arc<ReplicaManager>,
    (Arc<GroupCoordinators>, Arc<TransactionCoordinators>),
) {
    let ReplicaParts {
        config,
        directories,
        metadata,
        observer,
        failures,
        standing,
    } = *parts;
    let (events_sender, events) = mpsc::unbounded_channel();
    let context = PartitionContext {
        env: env.clone(),
        node: NodeId(config.node_id),
        observer: observer.clone(),
        events: events_sender,
        producer_id_expiration_ms: config.producer_id_expiration_ms,
    };
    let replicas = Arc::new(ReplicaManager::new(
        env.clone(),
        config.clone(),
        directories.clone(),
        metadata.clone(),
        context,
        standing.clone(),
    ));
    replicas.observe_opened();
    let fetchers = Arc::new(ReplicaFetchers::new(
        env.clone(),
        config.clone(),
        metadata.clone(),
        replicas.clone(),
    ));
    let (group_config, topics) = (core_config(config), metadata.clone());
    let shards = Arc::new(Coordinators::new(
        env.clone(),
        CONSUMER_OFFSETS,
        replicas.clone(),
        observer.clone(),
        move || GroupShard::new(group_config.clone(), topics.clone()),
        |started| match started.job {},
    ));
    let transaction_shards = transaction_shards(env, config, metadata, &replicas, observer);
    let transactions = TransactionCoordinators::new(metadata.clone(), transaction_shards.clone());
    let groups = GroupCoordinators::new(config, metadata.clone(), shards.clone());
    let (disk_failures, mut disk_failed) = mpsc::unbounded_channel();
    let work = PartitionEvents {
        env: env.clone(),
        config: config.clone(),
        metadata: metadata.clone(),
        replicas: replicas.clone(),
        fetchers,
        groups: shards,
        transactions: transaction_shards,
        failed: disk_failures,
    };
    let (assignments, queue) = mpsc::unbounded_channel();
    let assigner = DirectoryAssignments {
        config: config.clone(),
        metadata: metadata.clone(),
        controller: channel("assign-directories"),
    };
    env.spawn("directory assignments", assigner.run(queue));
    env.spawn(
        "partition events",
        work.run(events, channel("alter-partition"), assignments),
    );
    maintenance::start(env, config, &replicas, failures);
    let (all, failures, observer) = (replicas.clone(), failures.clone(), observer.clone());
    let path = config.data_directory().to_string();
    env.spawn("disk failures", async move {
        if let Some(error) = disk_failed.recv().await {
            observer.observe(|| Observation::LogDirectoryFailed { path });
            all.stop_all(broker_protocol::ErrorCode::KafkaStorageError);
            let _node_has_stopped = failures.send(NodeError::Disk(error));
        }
    });
    (replicas, (Arc::new(groups), Arc::new(transactions)))
}

fn transaction_shards(
    env: &Env,
    config: &Arc<BrokerConfig>,
    metadata: &Arc<MetadataCache>,
    replicas: &Arc<ReplicaManager>,
    observer: &Observer,
) -> Arc<Coordinators<TransactionShard>> {
    let core_config = transaction_coordinator::core_config(config);
    let sender = MarkerSender::new(env.clone(), config.clone(), metadata.clone());
    let metadata = metadata.clone();
    Arc::new(Coordinators::new(
        env.clone(),
        TRANSACTION_STATE,
        replicas.clone(),
        observer.clone(),
        move || TransactionShard::new(core_config.clone(), metadata.clone()),
        move |started| sender.start(started),
    ))
}

fn start_publisher(
    env: &Env,
    publisher: Publisher,
    committed: mpsc::UnboundedReceiver<MetadataUpdate>,
    failures: &Failures,
) {
    let failures = failures.clone();
    env.spawn("metadata publisher", async move {
        if let Err(error) = publisher.run(committed).await {
            let _node_has_stopped = failures.send(error);
        }
    });
}

async fn listen(
    env: &Env,
    config: &BrokerConfig,
    api: &Arc<Api>,
    standing: &Arc<Standing>,
) -> Result<Vec<Arc<Connections>>, NodeError> {
    let limits = ConnectionLimits {
        request_bytes_max: usize::try_from(config.socket_request_max_bytes).unwrap_or(usize::MAX),
        connections_max: usize::try_from(config.max_connections).unwrap_or(usize::MAX),
        idle_max: u64::try_from(config.connections_max_idle_ms)
            .ok()
            .map(Duration::from_millis),
    };
    let mut listeners: Vec<Serving> = Vec::new();
    if let Some(listener) = config
        .controller_listener()
        .filter(|_| config.is_controller())
    {
        listeners.push((
            listener.bind_address(),
            Arc::new(ControllerService(api.clone())),
            None,
        ));
    }
    if config.is_broker() {
        for listener in config.broker_listeners() {
            listeners.push((
                listener.bind_address(),
                Arc::new(BrokerService(api.clone())),
                Some(standing.clone()),
            ));
        }
    }
    let mut open = Vec::new();
    for (address, service, ready) in listeners {
        let socket = env.network.listen(&address).await?;
        let connections = Arc::new(Connections::default());
        let (all, listener_env) = (connections.clone(), env.clone());
        env.spawn("listener", async move {
            if let Some(standing) = ready {
                unfenced(&listener_env, &standing).await;
            }
            all.accept(listener_env, socket, service, limits).await;
        });
        open.push(connections);
    }
    Ok(open)
}

/// Where to listen, who answers, and whose unfencing to wait for.
type Serving = (Address, Arc<dyn Service>, Option<Arc<Standing>>);

/// A fenced broker knows no live broker to name, itself included, and some clients ask but once in a while:
/// connections wait in the backlog until it is unfenced, but not for ever.
async fn unfenced(env: &Env, standing: &Standing) {
    let limit = env.now() + UNFENCED_WAIT;
    while standing.is_fenced() && env.now() < limit {
        env.sleep(UNFENCED_POLL).await;
    }
}

pub(super) fn millis(value: i64) -> u64 {
    u64::try_from(value).unwrap_or(0)
}
