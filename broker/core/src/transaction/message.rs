//! What goes into the coordinator and what comes out.

use std::collections::BTreeSet;

use broker_protocol::ErrorCode;
use broker_protocol::ids::TopicPartition;

use super::record::{Record, State};
use crate::Ticket;

/// Who a producer is: its id and epoch.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

/// What clients and partition leaders ask for, of one transactional id.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Request {
    InitProducerId(InitRequest),
    AddPartitions(AddPartitionsRequest),
    /// Whether the partitions belong to the ongoing transaction (KIP-890).
    VerifyPartitions(AddPartitionsRequest),
    End(EndRequest),
    Describe {
        transactional_id: String,
    },
    List(ListRequest),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct InitRequest {
    pub transactional_id: String,
    /// `transaction.timeout.ms` of the client.
    pub timeout_ms: i32,
    /// Who the producer believes it is, if it goes on after an error (KIP-360).
    pub expected: Option<Producer>,
    /// A producer id that nobody has, for a transactional id that needs one.
    pub fresh_producer_id: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct AddPartitionsRequest {
    pub transactional_id: String,
    pub producer: Producer,
    pub partitions: BTreeSet<TopicPartition>,
    /// `transaction.version` as the client speaks it.
    pub client_version: i16,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct EndRequest {
    pub transactional_id: String,
    pub producer: Producer,
    pub committed: bool,
    /// 2: the end raises the epoch (KIP-890, from EndTxn 5).
    pub client_version: i16,
    /// For a producer whose epochs are used up.
    pub fresh_producer_id: Option<i64>,
}

/// Empty filters let everything through.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ListRequest {
    pub states: BTreeSet<State>,
    pub producer_ids: BTreeSet<i64>,
    /// Only transactions that run for longer, milliseconds (KIP-994).
    pub duration_ms: Option<i64>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Reply {
    InitProducerId(Result<Producer, ErrorCode>),
    /// Nothing was done: the same request again, with a producer id that nobody has.
    NeedsProducerId,
    AddPartitions(ErrorCode),
    /// One error for all, or those partitions that do not belong to the transaction.
    VerifyPartitions(Result<BTreeSet<TopicPartition>, ErrorCode>),
    /// Who the producer is from now on.
    End(Result<Producer, ErrorCode>),
    /// `None`: not found.
    Describe(Option<DescribedTransaction>),
    List(Vec<ListedTransaction>),
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct DescribedTransaction {
    pub state: State,
    pub timeout_ms: i32,
    pub start_ms: Option<i64>,
    pub producer: Producer,
    /// Of one that completes those without marker.
    pub partitions: BTreeSet<TopicPartition>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct ListedTransaction {
    pub transactional_id: String,
    pub producer_id: i64,
    pub state: State,
}

/// Ends a transaction in its partitions. To be sent to their leaders until each has it, or until another
/// coordinator is there.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Markers {
    pub transactional_id: String,
    /// To be given back in [`MarkersWritten`].
    pub attempt: u64,
    pub producer: Producer,
    pub committed: bool,
    pub partitions: BTreeSet<TopicPartition>,
}

/// What became of [`Markers`], in any number of parts.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct MarkersWritten {
    pub transactional_id: String,
    pub attempt: u64,
    pub partitions: BTreeSet<TopicPartition>,
}

/// Armed by the core; arming again replaces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// To look for transactions that run longer than their timeout.
    AbortTimedOut,
    /// To look for transactional ids that nobody uses.
    RemoveExpired,
}

/// What the shell has to do, in order.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    /// Append; the records of one step belong in one batch.
    Record(Record),
    /// Answer when all records so far are committed.
    Reply(Ticket, Reply),
    /// Send when all records so far are committed.
    SendMarkers(Markers),
    /// Milliseconds from now.
    Arm(Timer, u64),
}
