//! What the metadata log holds, field by field as Kafka's record schemas, with ids as types.
//!
//! The bytes are the shell's matter: it converts between these and `broker_protocol`'s records.

use std::collections::BTreeMap;

use broker_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, TopicIdPartition, Uuid,
};

/// One record of `__cluster_metadata`.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    RegisterBroker(RegisterBrokerRecord),
    UnregisterBroker {
        broker: NodeId,
        epoch: BrokerEpoch,
    },
    FenceBroker {
        broker: NodeId,
        epoch: BrokerEpoch,
    },
    UnfenceBroker {
        broker: NodeId,
        epoch: BrokerEpoch,
    },
    BrokerRegistrationChange(BrokerRegistrationChangeRecord),
    Topic {
        name: String,
        topic_id: Uuid,
    },
    Partition(PartitionRecord),
    PartitionChange(PartitionChangeRecord),
    RemoveTopic {
        topic_id: Uuid,
    },
    /// `value` is none to remove the configuration.
    Config {
        resource: ConfigResource,
        name: String,
        value: Option<String>,
    },
    /// Level 0 removes the feature.
    FeatureLevel {
        name: String,
        level: i16,
    },
    /// `next_producer_id` is the first id of the next block.
    ProducerIds {
        broker: NodeId,
        broker_epoch: BrokerEpoch,
        next_producer_id: i64,
    },
    RegisterController(RegisterControllerRecord),
    /// Empties all ELRs, or those of one topic: `min.insync.replicas` changed (KAFKA-16540).
    ClearElr {
        topic_name: Option<String>,
    },
    /// The records up to the end apply together (KIP-868); see [`Replay`](super::Replay).
    BeginTransaction {
        name: Option<String>,
    },
    EndTransaction,
    /// The records since the beginning never apply.
    AbortTransaction {
        reason: Option<String>,
    },
    NoOp,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegisterBrokerRecord {
    pub broker: NodeId,
    pub incarnation_id: Uuid,
    pub epoch: BrokerEpoch,
    pub endpoints: Vec<Endpoint>,
    pub features: BTreeMap<String, VersionRange>,
    pub rack: Option<String>,
    pub fenced: bool,
    pub in_controlled_shutdown: bool,
    pub log_directories: Vec<Uuid>,
}

/// A listener of a broker or controller.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Endpoint {
    /// Listener name, as in `advertised.listeners`.
    pub name: String,
    pub host: String,
    pub port: u16,
    /// Kafka's number: 0 PLAINTEXT, 1 SSL, 2 SASL_PLAINTEXT, 3 SASL_SSL.
    pub security_protocol: i16,
}

/// Supported levels of a feature, both ends inclusive.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct VersionRange {
    pub min: i16,
    pub max: i16,
}

impl VersionRange {
    pub fn contains(self, level: i16) -> bool {
        (self.min..=self.max).contains(&level)
    }
}

/// None leaves a field as it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BrokerRegistrationChangeRecord {
    pub broker: NodeId,
    pub epoch: BrokerEpoch,
    pub fenced: Option<bool>,
    /// Only ever set; a new incarnation clears it.
    pub in_controlled_shutdown: bool,
    pub log_directories: Option<Vec<Uuid>>,
}

impl BrokerRegistrationChangeRecord {
    /// Changes nothing yet.
    pub fn new(broker: NodeId, epoch: BrokerEpoch) -> BrokerRegistrationChangeRecord {
        BrokerRegistrationChangeRecord {
            broker,
            epoch,
            fenced: None,
            in_controlled_shutdown: false,
            log_directories: None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionRecord {
    pub partition: TopicIdPartition,
    pub replicas: Vec<NodeId>,
    pub isr: Vec<NodeId>,
    pub removing_replicas: Vec<NodeId>,
    pub adding_replicas: Vec<NodeId>,
    /// [`NodeId::NONE`] when leaderless.
    pub leader: NodeId,
    pub leader_recovery_state: LeaderRecoveryState,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// In the order of `replicas` (KIP-858).
    pub directories: Vec<Uuid>,
    pub eligible_leader_replicas: Vec<NodeId>,
    pub last_known_elr: Vec<NodeId>,
}

/// None leaves a field as it is; each change adds one to the partition epoch.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionChangeRecord {
    pub partition: TopicIdPartition,
    pub isr: Option<Vec<NodeId>>,
    /// Any value, also the current leader, adds one to the leader epoch; [`NodeId::NONE`] is leaderless.
    pub leader: Option<NodeId>,
    pub replicas: Option<Vec<NodeId>>,
    pub removing_replicas: Option<Vec<NodeId>>,
    pub adding_replicas: Option<Vec<NodeId>>,
    pub leader_recovery_state: Option<LeaderRecoveryState>,
    pub directories: Option<Vec<Uuid>>,
    pub eligible_leader_replicas: Option<Vec<NodeId>>,
    pub last_known_elr: Option<Vec<NodeId>>,
}

impl PartitionChangeRecord {
    /// Changes nothing yet.
    pub fn new(partition: TopicIdPartition) -> PartitionChangeRecord {
        PartitionChangeRecord {
            partition,
            isr: None,
            leader: None,
            replicas: None,
            removing_replicas: None,
            adding_replicas: None,
            leader_recovery_state: None,
            directories: None,
            eligible_leader_replicas: None,
            last_known_elr: None,
        }
    }

    /// Whether applying it would change nothing but the partition epoch.
    pub fn is_no_op(&self) -> bool {
        *self == PartitionChangeRecord::new(self.partition)
    }
}

/// KIP-704: whether the leader still repairs its log after an unclean election.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum LeaderRecoveryState {
    #[default]
    Recovered,
    Recovering,
}

impl LeaderRecoveryState {
    /// Kafka's number: 0 recovered, 1 recovering.
    pub fn code(self) -> i8 {
        match self {
            LeaderRecoveryState::Recovered => 0,
            LeaderRecoveryState::Recovering => 1,
        }
    }

    pub fn from_code(code: i8) -> Option<LeaderRecoveryState> {
        match code {
            0 => Some(LeaderRecoveryState::Recovered),
            1 => Some(LeaderRecoveryState::Recovering),
            _ => None,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct RegisterControllerRecord {
    pub controller: NodeId,
    pub incarnation_id: Uuid,
    pub endpoints: Vec<Endpoint>,
    pub features: BTreeMap<String, VersionRange>,
}

/// What a configuration belongs to.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ConfigResource {
    pub kind: ConfigResourceType,
    /// Topic name or broker id; empty for the cluster-wide broker defaults.
    pub name: String,
}

impl ConfigResource {
    pub fn topic(name: impl Into<String>) -> ConfigResource {
        ConfigResource {
            kind: ConfigResourceType::Topic,
            name: name.into(),
        }
    }

    pub fn broker(broker: NodeId) -> ConfigResource {
        ConfigResource {
            kind: ConfigResourceType::Broker,
            name: broker.to_string(),
        }
    }

    /// The dynamic defaults of all brokers.
    pub fn cluster() -> ConfigResource {
        ConfigResource {
            kind: ConfigResourceType::Broker,
            name: String::new(),
        }
    }
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ConfigResourceType {
    Topic,
    Broker,
    /// KIP-714.
    ClientMetrics,
    /// KIP-848.
    Group,
}

impl ConfigResourceType {
    /// Kafka's `ConfigResource.Type` number.
    pub fn code(self) -> i8 {
        match self {
            ConfigResourceType::Topic => 2,
            ConfigResourceType::Broker => 4,
            ConfigResourceType::ClientMetrics => 16,
            ConfigResourceType::Group => 32,
        }
    }

    pub fn from_code(code: i8) -> Option<ConfigResourceType> {
        match code {
            2 => Some(ConfigResourceType::Topic),
            4 => Some(ConfigResourceType::Broker),
            16 => Some(ConfigResourceType::ClientMetrics),
            32 => Some(ConfigResourceType::Group),
            _ => None,
        }
    }
}
