//! What goes into the coordinator and what comes out.

use std::collections::BTreeSet;

use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, Offset, Uuid};
use bytes::Bytes;

use super::consumer_group::{MemberSubscription, Partitions};
use super::record::Record;
use crate::Ticket;

/// What clients ask for, of one group.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    Join(JoinRequest),
    Sync(SyncRequest),
    Heartbeat {
        group: String,
        member: MemberContext,
    },
    Leave {
        group: String,
        members: Vec<Leaver>,
    },
    ConsumerHeartbeat(ConsumerHeartbeatRequest),
    Commit(CommitRequest),
    /// TxnOffsetCommit.
    CommitTransactional(TransactionalCommitRequest),
    FetchOffsets(FetchOffsetsRequest),
    DeleteOffsets(DeleteOffsetsRequest),
    DeleteGroup {
        group: String,
    },
    Describe {
        group: String,
    },
    DescribeConsumers {
        group: String,
    },
    /// All groups of this coordinator.
    List,
    /// Its offsets mean nothing to a namesake (G-16).
    TopicDeleted {
        topic: String,
    },
}

/// Who a member says it is.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MemberContext {
    /// Empty: not a member.
    pub member_id: String,
    /// `group.instance.id` of a static member (KIP-345).
    pub instance_id: Option<String>,
    /// -1: not a member.
    pub generation: i32,
}

impl MemberContext {
    /// Whether it claims to be a member at all.
    pub(super) fn is_named(&self) -> bool {
        self.generation >= 0 || !self.member_id.is_empty() || self.instance_id.is_some()
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JoinRequest {
    pub group: String,
    /// Empty for one that is new.
    pub member_id: String,
    /// The id a new one gets.
    pub fresh_member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub session_timeout_ms: i32,
    pub rebalance_timeout_ms: i32,
    pub protocol_type: String,
    /// Name and the member's metadata under it, as it prefers them.
    pub protocols: Vec<(String, Bytes)>,
    /// A new dynamic member must come again with its id (KIP-394, from JoinGroup 4).
    pub require_known_member_id: bool,
    /// The client knows the flag `skip_assignment` (KIP-814, from JoinGroup 9).
    pub knows_skip_assignment: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SyncRequest {
    pub group: String,
    pub member: MemberContext,
    /// What the member believes to be the group's; `None` before SyncGroup 5.
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    /// By member id; only the leader's counts.
    pub assignments: Vec<(String, Bytes)>,
}

/// ConsumerGroupHeartbeat. What is `None`, and a timeout of -1, is as it was.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ConsumerHeartbeatRequest {
    pub group: String,
    /// Empty for one that is new and does not choose its id.
    pub member_id: String,
    /// The id such a one gets.
    pub fresh_member_id: String,
    /// 0 joins, -1 leaves, -2 leaves as a static member that comes back.
    pub member_epoch: i32,
    pub instance_id: Option<String>,
    pub rack_id: Option<String>,
    pub rebalance_timeout_ms: i32,
    pub topics: Option<BTreeSet<String>>,
    pub server_assignor: Option<String>,
    /// What the member has.
    pub owned: Option<Partitions>,
    pub client_id: String,
    pub client_host: String,
}

/// One that leaves, by its id or, as an operator removes it, by its instance id alone.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Leaver {
    pub member_id: String,
    pub instance_id: Option<String>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommitRequest {
    pub group: String,
    pub member: MemberContext,
    /// -1: the broker's `offsets.retention.minutes`.
    pub retention_ms: i64,
    /// The client knows consumer groups and GROUP_ID_NOT_FOUND (from OffsetCommit 9).
    pub knows_consumer_groups: bool,
    pub partitions: Vec<CommittedPartition>,
}

/// A producer in one of its epochs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

/// Offsets that count once the producer's transaction commits.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransactionalCommitRequest {
    pub group: String,
    /// The consumer's (KIP-447); generation -1 and no name before TxnOffsetCommit 3.
    pub member: MemberContext,
    pub producer: Producer,
    pub partitions: Vec<CommittedPartition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct CommittedPartition {
    pub topic: String,
    pub topic_id: Uuid,
    pub partition: i32,
    pub offset: Offset,
    pub leader_epoch: Option<LeaderEpoch>,
    pub metadata: String,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetchOffsetsRequest {
    pub group: String,
    /// Of a member of a consumer group (from OffsetFetch 9); `None` and -1 for others.
    pub member_id: Option<String>,
    pub member_epoch: i32,
    /// `None`: all that there are.
    pub partitions: Option<Vec<(String, i32)>>,
    /// UNSTABLE_OFFSET_COMMIT where an open transaction has an offset, too (KIP-447).
    pub require_stable: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DeleteOffsetsRequest {
    pub group: String,
    pub partitions: Vec<(String, i32)>,
}

/// An answer. Those that carry several errors name them in the order of the request.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    Join(JoinReply),
    Sync(SyncReply),
    Heartbeat(ErrorCode),
    Leave(Result<Vec<ErrorCode>, ErrorCode>),
    ConsumerHeartbeat(Result<ConsumerHeartbeatReply, ErrorCode>),
    Commit(Result<Vec<ErrorCode>, ErrorCode>),
    CommitTransactional(Result<Vec<ErrorCode>, ErrorCode>),
    FetchOffsets(Result<Vec<FetchedOffset>, ErrorCode>),
    DeleteOffsets(Result<Vec<ErrorCode>, ErrorCode>),
    DeleteGroup(ErrorCode),
    Describe(Option<DescribedGroup>),
    DescribeConsumers(Result<DescribedConsumerGroup, ErrorCode>),
    List(Vec<ListedGroup>),
    TopicDeleted,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JoinReply {
    pub error: ErrorCode,
    pub member_id: String,
    /// -1 with an error.
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub leader: String,
    pub skip_assignment: bool,
    /// For the leader.
    pub members: Vec<JoinedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct JoinedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub metadata: Bytes,
}

impl JoinReply {
    pub fn failed(error: ErrorCode, member_id: &str) -> JoinReply {
        JoinReply {
            error,
            member_id: member_id.to_string(),
            generation: -1,
            protocol_type: None,
            protocol_name: None,
            leader: String::new(),
            skip_assignment: false,
            members: Vec::new(),
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ConsumerHeartbeatReply {
    pub member_id: String,
    pub member_epoch: i32,
    pub heartbeat_interval_ms: i32,
    /// What the member may have from now on; `None` if that is as it was.
    pub assignment: Option<Partitions>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct SyncReply {
    pub error: ErrorCode,
    pub protocol_type: Option<String>,
    pub protocol_name: Option<String>,
    pub assignment: Bytes,
}

impl SyncReply {
    pub fn failed(error: ErrorCode) -> SyncReply {
        SyncReply {
            error,
            protocol_type: None,
            protocol_name: None,
            assignment: Bytes::new(),
        }
    }
}

/// `offset` is -1 where nothing is committed.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FetchedOffset {
    pub topic: String,
    pub topic_id: Uuid,
    pub partition: i32,
    pub offset: Offset,
    pub leader_epoch: Option<LeaderEpoch>,
    pub metadata: String,
    pub error: ErrorCode,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DescribedGroup {
    pub state: &'static str,
    pub protocol_type: String,
    /// The protocol's name while the group is stable.
    pub protocol: String,
    pub members: Vec<DescribedMember>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DescribedMember {
    pub member_id: String,
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    /// Empty unless the group is stable.
    pub metadata: Bytes,
    pub assignment: Bytes,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DescribedConsumerGroup {
    pub state: &'static str,
    pub epoch: i32,
    pub assignment_epoch: i32,
    pub assignor: String,
    pub members: Vec<DescribedConsumer>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DescribedConsumer {
    pub member_id: String,
    pub subscription: MemberSubscription,
    pub epoch: i32,
    pub assignment: DescribedPartitions,
    pub target: DescribedPartitions,
}

pub type DescribedPartitions = Vec<TopicPartitions>;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TopicPartitions {
    pub topic_id: Uuid,
    pub topic: String,
    pub partitions: Vec<i32>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum GroupType {
    Classic,
    Consumer,
}

impl GroupType {
    /// As Kafka names it.
    pub fn name(self) -> &'static str {
        match self {
            GroupType::Classic => "Classic",
            GroupType::Consumer => "Consumer",
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListedGroup {
    pub group: String,
    pub kind: GroupType,
    pub protocol_type: String,
    pub state: &'static str,
}

/// Armed by the core; arming again replaces.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// A rebalance waits for members to join.
    Join(String),
    /// A generation waits for its members to fetch their assignments.
    Sync(String),
    /// A member, or one that was promised an id, was not heard of.
    Session(String, String),
    /// A member of a consumer group has to give up partitions; of which epoch that is.
    Revocation(String, String, i32),
    ExpireOffsets,
}

/// What the shell has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Append, as one batch.
    Records(Vec<Record>),
    /// Append, as one batch of the producer's transaction, and replay it; if the partition refuses, so is the
    /// request.
    TransactionalRecords(Producer, Vec<Record>),
    /// Answer when all records so far are committed.
    Reply(Ticket, Reply),
    /// Answer at once.
    ReplyNow(Ticket, Reply),
    /// Milliseconds from now.
    Arm(Timer, u64),
    Disarm(Timer),
}
