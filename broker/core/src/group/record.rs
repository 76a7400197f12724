//! What the log of a partition of `__consumer_offsets` says, record by record.

use broker_protocol::ids::{LeaderEpoch, Offset, Uuid};
use bytes::Bytes;

use super::consumer_group::{CurrentAssignment, GroupEpoch, MemberSubscription, Partitions};

/// What the log has, in its order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Entry {
    Record(Record),
    /// Counts once the producer's transaction commits.
    Transactional {
        producer_id: i64,
        record: Record,
    },
    /// Ends the producer's transaction.
    Marker {
        producer_id: i64,
        committed: bool,
    },
}

/// One record; without a value it deletes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Record {
    Offset {
        group: String,
        topic: String,
        partition: i32,
        value: Option<OffsetAndMetadata>,
    },
    Group {
        group: String,
        value: Option<GroupMetadata>,
    },
    /// ConsumerGroupMetadata
    ConsumerGroup {
        group: String,
        value: Option<GroupEpoch>,
    },
    /// ConsumerGroupTargetAssignmentMetadata
    TargetEpoch { group: String, value: Option<i32> },
    /// ConsumerGroupMemberMetadata
    Subscription {
        group: String,
        member: String,
        value: Option<MemberSubscription>,
    },
    /// ConsumerGroupTargetAssignmentMember
    TargetAssignment {
        group: String,
        member: String,
        value: Option<Partitions>,
    },
    /// ConsumerGroupCurrentMemberAssignment
    CurrentAssignment {
        group: String,
        member: String,
        value: Option<CurrentAssignment>,
    },
}

impl Record {
    pub fn group(&self) -> &str {
        match self {
            Record::Offset { group, .. }
            | Record::Group { group, .. }
            | Record::ConsumerGroup { group, .. }
            | Record::TargetEpoch { group, .. }
            | Record::Subscription { group, .. }
            | Record::TargetAssignment { group, .. }
            | Record::CurrentAssignment { group, .. } => group,
        }
    }
}

/// A committed offset.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct OffsetAndMetadata {
    pub offset: Offset,
    /// Of the record before the offset.
    pub leader_epoch: Option<LeaderEpoch>,
    pub metadata: String,
    /// Wall clock of the coordinator, milliseconds.
    pub commit_timestamp_ms: i64,
    /// Only where the client asked for it, as up to OffsetCommit 4.
    pub expire_timestamp_ms: Option<i64>,
    /// `Uuid::ZERO` if not known.
    pub topic_id: Uuid,
}

/// A classic group in a generation that all have joined, or empty.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupMetadata {
    pub protocol_type: String,
    pub generation: i32,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    /// When it came into its state; `None` in records of old releases.
    pub state_timestamp_ms: Option<i64>,
    pub members: Vec<MemberMetadata>,
}

/// A member of a [`GroupMetadata`].
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberMetadata {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    /// Under the group's protocol.
    pub subscription: Bytes,
    pub assignment: Bytes,
}
