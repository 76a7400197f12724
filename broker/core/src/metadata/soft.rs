//! What only the active controller knows: configuration, and the last heartbeat of each broker.

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ids::{NodeId, Offset};

use super::metadata_version::MetadataVersion;
use super::record::VersionRange;

/// Static configuration of a controller, by Kafka's names. All controllers should agree on it.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ControllerConfig {
    /// `broker.session.timeout.ms`.
    pub broker_session_timeout_ms: u64,
    /// `num.partitions`.
    pub num_partitions: i32,
    /// `default.replication.factor`.
    pub default_replication_factor: i16,
    /// `min.insync.replicas`.
    pub min_insync_replicas: i32,
    /// `unclean.leader.election.enable`.
    pub unclean_leader_election_enable: bool,
    /// `unclean.leader.election.interval.ms`.
    pub unclean_leader_election_interval_ms: u64,
    /// `leader.imbalance.check.interval.seconds`, in milliseconds; none without
    /// `auto.leader.rebalance.enable`.
    pub leader_balance_interval_ms: Option<u64>,
    /// `leader.imbalance.per.broker.percentage`.
    pub leader_imbalance_per_broker_percentage: u64,
    /// Names a topic may be configured with; any other is refused with INVALID_CONFIG.
    pub topic_config_names: BTreeSet<String>,
    /// Most records of one batch; what is more but belongs together is a metadata transaction.
    pub batch_records_max: usize,
    /// `node.id`.
    pub node_id: NodeId,
    /// `controller.quorum.voters`: who must be registered before a feature changes (KIP-919).
    pub voters: BTreeSet<NodeId>,
    /// Levels of each feature that this controller supports.
    pub supported_features: BTreeMap<String, VersionRange>,
}

impl Default for ControllerConfig {
    fn default() -> ControllerConfig {
        ControllerConfig {
            broker_session_timeout_ms: 9000,
            num_partitions: 1,
            default_replication_factor: 1,
            min_insync_replicas: 1,
            unclean_leader_election_enable: false,
            unclean_leader_election_interval_ms: 300_000,
            leader_balance_interval_ms: Some(300_000),
            leader_imbalance_per_broker_percentage: 10,
            topic_config_names: super::configs::TOPIC_CONFIG_NAMES.map(str::to_owned).into(),
            batch_records_max: super::draft::MAX_RECORDS_PER_BATCH,
            node_id: NodeId::NONE,
            voters: BTreeSet::new(),
            supported_features: super::features::supported_features(MetadataVersion::LATEST),
        }
    }
}

/// The active controller's soft state; dropped with leadership, see [`super`].
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Soft {
    pub config: ControllerConfig,
    sessions: BTreeMap<NodeId, Session>,
    /// Metadata offset of each broker that is neither fenced nor shutting down, lowest first.
    active_offsets: BTreeSet<(Offset, NodeId)>,
}

/// What the last heartbeat of an unfenced broker said.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
struct Session {
    metadata_offset: Offset,
    /// Set while in controlled shutdown: the broker may stop when all active ones have this offset.
    controlled_shutdown_offset: Option<Offset>,
}

impl Soft {
    pub fn new(config: ControllerConfig) -> Soft {
        Soft {
            config,
            ..Soft::default()
        }
    }

    /// Notes a heartbeat of an unfenced broker.
    pub(super) fn touch(&mut self, broker: NodeId, metadata_offset: Offset) {
        let controlled_shutdown_offset = self.controlled_shutdown_offset(broker);
        self.replace_session(
            broker,
            Some(Session {
                metadata_offset,
                controlled_shutdown_offset,
            }),
        );
    }

    /// Forgets a broker that is fenced or gone.
    pub(super) fn forget(&mut self, broker: NodeId) {
        self.replace_session(broker, None);
    }

    /// The offset is that of the first call; later ones do not move it.
    pub(super) fn begin_controlled_shutdown(&mut self, broker: NodeId, offset: Offset) {
        let session = *self
            .sessions
            .get(&broker)
            .expect("only an unfenced broker shuts down under control");
        let controlled_shutdown_offset = session.controlled_shutdown_offset.or(Some(offset));
        self.replace_session(
            broker,
            Some(Session {
                controlled_shutdown_offset,
                ..session
            }),
        );
    }

    pub(super) fn controlled_shutdown_offset(&self, broker: NodeId) -> Option<Offset> {
        self.sessions.get(&broker)?.controlled_shutdown_offset
    }

    /// What every active broker has applied; none if no broker is active.
    pub(super) fn lowest_active_offset(&self) -> Option<Offset> {
        self.active_offsets.first().map(|&(offset, _)| offset)
    }

    fn replace_session(&mut self, broker: NodeId, next: Option<Session>) {
        let previous = match next {
            Some(next) => self.sessions.insert(broker, next),
            None => self.sessions.remove(&broker),
        };
        if let Some(previous) = previous {
            self.active_offsets
                .remove(&(previous.metadata_offset, broker));
        }
        if let Some(next) = next
            && next.controlled_shutdown_offset.is_none()
        {
            self.active_offsets.insert((next.metadata_offset, broker));
        }
    }
}
