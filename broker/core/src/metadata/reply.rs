//! What the controller answers and asks of its shell.

use std::fmt;

use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, PartitionEpoch, Uuid};

use super::error::ErrorCode;
use super::record::{ConfigResource, LeaderRecoveryState, Record};
use crate::Ticket;

/// Every output of [`decide`](super::decide), in the order in which it is to be carried out.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Append as one batch, all or nothing, at the current end of the log, and apply. A large change
    /// comes as several batches, each of which leaves a valid image.
    Records(Vec<Record>),
    /// Give out once every record appended so far, by this call or earlier ones, is committed: the
    /// reply rests on state that is not committed yet, also when it is an error.
    Reply(Ticket, Reply),
    /// Feed [`Input::SessionsExpired`](super::Input) after this time unless armed again; replaces an
    /// earlier timer of the same broker.
    ArmSession {
        broker: NodeId,
        after_ms: u64,
    },
    DisarmSession {
        broker: NodeId,
    },
    /// Have the quorum finalize this `kraft.version` (KIP-853): its records come before those that follow. It
    /// has been asked whether it would.
    UpgradeKraftVersion(i16),
    /// Feed [`Input::LeaderBalanceTimer`](super::Input) after this time.
    ArmLeaderBalance {
        after_ms: u64,
    },
    /// Feed [`Input::UncleanElectionTimer`](super::Input) after this time.
    ArmUncleanElection {
        after_ms: u64,
    },
}

/// An error code with its message for the client.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ApiError {
    pub code: ErrorCode,
    /// None where the code says it all.
    pub message: Option<String>,
}

impl ApiError {
    pub fn new(code: ErrorCode, message: impl Into<String>) -> ApiError {
        ApiError {
            code,
            message: Some(message.into()),
        }
    }
}

impl From<ErrorCode> for ApiError {
    fn from(code: ErrorCode) -> ApiError {
        ApiError {
            code,
            message: None,
        }
    }
}

impl fmt::Display for ApiError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{:?}", self.code)?;
        match &self.message {
            Some(message) => write!(formatter, ": {message}"),
            None => Ok(()),
        }
    }
}

/// The answer to one request; the outer error fails the request as a whole.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    RegisterBroker(Result<BrokerEpoch, ApiError>),
    BrokerHeartbeat(Result<BrokerHeartbeatReply, ApiError>),
    UnregisterBroker(Result<(), ApiError>),
    RegisterController(Result<(), ApiError>),
    /// In the order of the request.
    CreateTopics(Vec<CreateTopicResult>),
    /// In the order of the request.
    DeleteTopics(Vec<DeleteTopicResult>),
    /// In the order of the request.
    CreatePartitions(Vec<(String, Result<(), ApiError>)>),
    /// In the order of the request.
    AlterPartition(Result<Vec<AlterPartitionResult>, ApiError>),
    /// In the order of the request.
    AssignReplicas(Result<Vec<Result<(), ErrorCode>>, ApiError>),
    AllocateProducerIds(Result<ProducerIdsBlock, ApiError>),
    /// In the order of the request.
    IncrementalAlterConfigs(Vec<(ConfigResource, Result<(), ApiError>)>),
    /// All updates or none (v2 of the API has no result per feature).
    UpdateFeatures(Result<(), ApiError>),
    /// In the order of the request.
    AlterConfigs(Vec<(ConfigResource, Result<(), ApiError>)>),
    ElectLeaders(Vec<((String, i32), Result<(), ApiError>)>),
    /// In the order of the request.
    AlterPartitionReassignments(Vec<((String, i32), Result<(), ApiError>)>),
    ListPartitionReassignments(Vec<OngoingReassignment>),
}

/// A partition whose replicas are being moved.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OngoingReassignment {
    pub topic: String,
    pub partition: i32,
    /// Old and new.
    pub replicas: Vec<NodeId>,
    pub adding: Vec<NodeId>,
    pub removing: Vec<NodeId>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct BrokerHeartbeatReply {
    /// The broker has applied its own registration.
    pub is_caught_up: bool,
    pub is_fenced: bool,
    pub in_controlled_shutdown: bool,
    pub should_shut_down: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CreateTopicResult {
    pub name: String,
    pub result: Result<CreatedTopic, ApiError>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct CreatedTopic {
    pub topic_id: Uuid,
    pub num_partitions: i32,
    pub replication_factor: i16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeleteTopicResult {
    /// None if asked by an unknown id.
    pub name: Option<String>,
    /// Zero if asked by an unknown name.
    pub topic_id: Uuid,
    pub result: Result<(), ApiError>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AlterPartitionResult {
    pub topic_id: Uuid,
    pub partition: i32,
    pub result: Result<AlteredPartition, ErrorCode>,
}

/// The partition as it now is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AlteredPartition {
    /// [`NodeId::NONE`] when leaderless.
    pub leader: NodeId,
    pub leader_epoch: LeaderEpoch,
    pub isr: Vec<NodeId>,
    pub leader_recovery_state: LeaderRecoveryState,
    pub partition_epoch: PartitionEpoch,
}

/// Producer ids `first .. first + length`, given to one broker once.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct ProducerIdsBlock {
    pub first: i64,
    pub length: i32,
}
