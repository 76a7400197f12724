//! What the controller is asked or told. Random numbers and log offsets come in as data.

use std::collections::BTreeMap;

use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, Uuid};

use super::record::{
    ConfigResource, Endpoint, LeaderRecoveryState, Record, RegisterControllerRecord, VersionRange,
};
use super::reply::ApiError;
use crate::Ticket;

/// Every input of [`decide`](super::decide).
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    /// This node became the active controller and has applied everything before its epoch (META-2).
    /// `bootstrap` is written if the log holds no metadata yet, e.g. feature levels.
    Activated {
        bootstrap: Vec<Record>,
    },
    /// Just before `Activated`, if the log ends inside a metadata transaction (KIP-868).
    TransactionLeftOpen,
    RegisterBroker(Ticket, BrokerRegistrationRequest),
    BrokerHeartbeat(Ticket, BrokerHeartbeatRequest),
    /// The session timers that ran out, all at once or one by one.
    SessionsExpired(Vec<NodeId>),
    UnregisterBroker(Ticket, NodeId),
    RegisterController(Ticket, RegisterControllerRecord),
    CreateTopics(Ticket, CreateTopicsRequest),
    DeleteTopics(Ticket, Vec<TopicSelector>),
    CreatePartitions(Ticket, CreatePartitionsRequest),
    AlterPartition(Ticket, AlterPartitionRequest),
    AssignReplicas(Ticket, AssignReplicasRequest),
    AllocateProducerIds(Ticket, NodeId, BrokerEpoch),
    IncrementalAlterConfigs(Ticket, IncrementalAlterConfigsRequest),
    UpdateFeatures(Ticket, UpdateFeaturesRequest),
    /// As `IncrementalAlterConfigs`, but what is not named is unset (KIP-133).
    AlterConfigs(Ticket, AlterConfigsRequest),
    ElectLeaders(Ticket, ElectLeadersRequest),
    AlterPartitionReassignments(Ticket, AlterPartitionReassignmentsRequest),
    /// Topic names and partitions; none for all.
    ListPartitionReassignments(Ticket, Option<Vec<(String, i32)>>),
    /// `metadata.max.idle.interval.ms` passed: write a NoOp, so that followers see a moving log.
    NoOpTimer,
    /// `leader.imbalance.check.interval.seconds` passed: give preferred replicas their leadership back.
    LeaderBalanceTimer,
    /// `unclean.leader.election.interval.ms` passed: elect where only an unclean election can help and is
    /// allowed.
    UncleanElectionTimer,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BrokerRegistrationRequest {
    pub broker: NodeId,
    pub incarnation_id: Uuid,
    pub endpoints: Vec<Endpoint>,
    pub features: BTreeMap<String, VersionRange>,
    pub rack: Option<String>,
    /// Ids of the directories that work; at least one.
    pub log_directories: Vec<Uuid>,
    /// Broker epoch in the clean-shutdown marker, -1 if there was none (KIP-966).
    pub previous_broker_epoch: BrokerEpoch,
    /// Offset the next record will be appended at; becomes the broker epoch.
    pub next_offset: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BrokerHeartbeatRequest {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    /// Last offset of the metadata log that the broker has applied, -1 if none.
    pub current_metadata_offset: Offset,
    pub want_fence: bool,
    pub want_shut_down: bool,
    /// Directories that failed since the registration.
    pub offline_log_directories: Vec<Uuid>,
    /// Offset the next record will be appended at.
    pub next_offset: Offset,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CreateTopicsRequest {
    pub topics: Vec<CreatableTopic>,
    pub validate_only: bool,
    /// Seeds the placement of replicas: any random number.
    pub random: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CreatableTopic {
    pub name: String,
    /// Random id the topic will get.
    pub topic_id: Uuid,
    /// -1 for `num.partitions`.
    pub num_partitions: i32,
    /// -1 for `default.replication.factor`.
    pub replication_factor: i16,
    /// Manual assignment; empty for an automatic one.
    pub assignments: Vec<PartitionAssignment>,
    pub configs: Vec<(String, Option<String>)>,
}

/// Replicas asked for one partition, the first preferred as leader.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct PartitionAssignment {
    pub partition: i32,
    pub replicas: Vec<NodeId>,
}

/// A topic to delete, by either of its names.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TopicSelector {
    Name(String),
    Id(Uuid),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CreatePartitionsRequest {
    pub topics: Vec<CreatePartitionsTopic>,
    pub validate_only: bool,
    /// Seeds the placement of replicas: any random number.
    pub random: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CreatePartitionsTopic {
    pub name: String,
    /// Partitions the topic is to have in total.
    pub count: i32,
    /// Replicas of each new partition; none for an automatic assignment.
    pub assignments: Option<Vec<Vec<NodeId>>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AlterPartitionRequest {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub partitions: Vec<AlterPartition>,
}

/// AssignReplicasToDirs; the shell flattens directories and topics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AssignReplicasRequest {
    pub broker: NodeId,
    pub broker_epoch: BrokerEpoch,
    pub assignments: Vec<ReplicaAssignment>,
}

/// Where the asking broker hosts its replica; [`directory::LOST`](super::directory::LOST) if it cannot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ReplicaAssignment {
    pub topic_id: Uuid,
    pub partition: i32,
    pub directory: Uuid,
}

/// One partition of an AlterPartition request; the shell flattens the topics.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AlterPartition {
    pub topic_id: Uuid,
    pub partition: i32,
    pub leader_epoch: LeaderEpoch,
    pub partition_epoch: PartitionEpoch,
    /// Broker epoch -1 skips the check of the incarnation (versions before KIP-903).
    pub new_isr: Vec<(NodeId, BrokerEpoch)>,
    pub leader_recovery_state: LeaderRecoveryState,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct IncrementalAlterConfigsRequest {
    pub resources: Vec<(ConfigResource, Vec<ConfigOperation>)>,
    pub validate_only: bool,
}

/// One change of one configuration.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConfigOperation {
    pub name: String,
    pub operation: ConfigOperationType,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum ConfigOperationType {
    /// A null value is refused, as in Kafka.
    Set(Option<String>),
    Delete,
    /// Of a list.
    Append(String),
    /// Of a list.
    Subtract(String),
}

/// Names and values; a null value is refused, as in Kafka.
pub type ConfigValues = Vec<(String, Option<String>)>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AlterConfigsRequest {
    /// All that is to be set on each resource.
    pub resources: Vec<(ConfigResource, ConfigValues)>,
    pub validate_only: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AlterPartitionReassignmentsRequest {
    pub partitions: Vec<ReassignablePartition>,
    /// KIP-860: false refuses a target with more or fewer replicas.
    pub allow_replication_factor_change: bool,
}

/// Where one partition's replicas are to be.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ReassignablePartition {
    pub topic: String,
    pub partition: i32,
    /// The first is preferred as leader. None cancels what is under way.
    pub replicas: Option<Vec<NodeId>>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct UpdateFeaturesRequest {
    /// Each feature at most once.
    pub updates: Vec<FeatureUpdate>,
    pub validate_only: bool,
    /// The finalized `kraft.version`, which the quorum keeps; filled in by whoever runs the quorum.
    pub kraft_version: i16,
    /// Why the quorum would not finalize the higher `kraft.version` asked for; None if it would.
    pub kraft_refusal: Option<ApiError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FeatureUpdate {
    pub name: String,
    /// 0 to disable it.
    pub level: i16,
    pub upgrade_type: UpgradeType,
}

/// Which way a feature may go.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum UpgradeType {
    Upgrade,
    /// Only if nothing is lost by it.
    SafeDowngrade,
    UnsafeDowngrade,
    /// A number Kafka does not have.
    Unknown,
}

impl UpgradeType {
    /// Kafka's number: 1 upgrade, 2 safe, 3 unsafe downgrade.
    pub fn from_code(code: i8) -> UpgradeType {
        match code {
            1 => UpgradeType::Upgrade,
            2 => UpgradeType::SafeDowngrade,
            3 => UpgradeType::UnsafeDowngrade,
            _ => UpgradeType::Unknown,
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ElectLeadersRequest {
    pub kind: ElectionType,
    /// Topic name and partition; none for all.
    pub partitions: Option<Vec<(String, i32)>>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum ElectionType {
    Preferred,
    Unclean,
}
