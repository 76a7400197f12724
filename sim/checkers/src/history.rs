//! What clients saw: one format for simulated and real clusters.
//!
//! A [`History`] is a list of operations in order of completion. An operation has an outcome of three
//! kinds, as in Jepsen: `Ok` (it happened), `Fail` (it certainly did not) and `Info` (unknown: timeouts,
//! lost connections and NOT_LEADER_OR_FOLLOWER after the append all count as unknown).

use serde::{Deserialize, Serialize};

/// A partition as a client names it; `topic_id` tells namesakes apart after a deletion.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct Partition {
    pub topic: String,
    pub index: i32,
}

/// A record's identity and content.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Record {
    pub offset: i64,
    /// The unique number the workload put into the value; `None` if the value is not one of ours.
    pub value: Option<u64>,
    /// Hash over key, value, headers and timestamp (with CreateTime).
    pub content: u64,
}

/// What a reader asks for (`isolation.level`).
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum Isolation {
    #[default]
    ReadUncommitted,
    ReadCommitted,
}

/// What a client did.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Action {
    /// One record sent. `offset` is known only when the outcome is `Ok` and acks is not 0.
    Send {
        partition: Partition,
        value: u64,
        content: u64,
        acks: i16,
        offset: Option<i64>,
        sequence: u64,
    },
    /// Consecutive positions of one consumer in one partition; `from` is the position before the poll.
    Poll {
        partition: Partition,
        from: i64,
        records: Vec<Record>,
        next: i64,
        #[serde(default)]
        isolation: Isolation,
    },
    /// The consumer (process) starts at `position` in this partition; a jump, not a gap.
    Assign { partition: Partition, position: i64 },
    /// What a member of a group did with it.
    Group(GroupAction),
    /// Offsets the broker names: log start and end as a consumer of this isolation may read.
    ListOffsets {
        partition: Partition,
        earliest: i64,
        latest: i64,
        #[serde(default)]
        isolation: Isolation,
    },
    /// Asked to delete the records before this offset.
    DeleteRecords { partition: Partition, before: i64 },
    /// A producer asked for its identity (InitProducerId), and so fenced those before it.
    InitTransactions {
        transactional_id: String,
        /// Id and epoch; `None` if not told.
        producer: Option<(i64, i16)>,
    },
    /// A transaction, from its begin to the answer to its end. What was sent and polled in it are operations of
    /// their own that name it.
    Transaction(Transaction),
}

/// One transaction as its producer knows it. The outcome `Ok` is that what `end` asks for is acknowledged, `Fail`
/// that it surely did not commit.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Transaction {
    /// Unique in the history; what operations name.
    pub number: u64,
    pub transactional_id: String,
    /// Id and epoch; `None` if not known.
    pub producer: Option<(i64, i16)>,
    /// `None`: its client never came to ask for an end.
    pub end: Option<End>,
    /// Offsets that were committed in it.
    pub offsets: Vec<Consumed>,
}

/// What a transaction consumed of a partition for a group: it commits `next`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Consumed {
    pub group: String,
    pub partition: Partition,
    pub from: i64,
    pub next: i64,
}

/// What a producer asked a transaction to become.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct End {
    pub commit: bool,
    pub invoked_ns: u64,
}

/// What a transaction became, as far as its producer was told.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Fate {
    Committed,
    /// Also what was never asked to commit.
    Aborted,
    Unknown,
}

impl Transaction {
    pub fn fate(&self, outcome: &Outcome) -> Fate {
        match (self.end, outcome) {
            (None | Some(End { commit: false, .. }), _) | (_, Outcome::Fail(_)) => Fate::Aborted,
            (Some(_), Outcome::Ok) => Fate::Committed,
            (Some(_), Outcome::Info(_)) => Fate::Unknown,
        }
    }
}

/// A consumer group as one of its members sees it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum GroupAction {
    /// The member was assigned these partitions in a generation; each with the committed offset it begins at, if
    /// there is one.
    Assigned {
        group: String,
        generation: i32,
        partitions: Vec<(Partition, Option<i64>)>,
    },
    /// The member committed these next offsets.
    Commit {
        group: String,
        generation: i32,
        offsets: Vec<(Partition, i64)>,
    },
}

/// How it ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum Outcome {
    Ok,
    /// Definitely did not happen.
    Fail(String),
    /// May have happened, may still happen.
    Info(String),
}

/// One operation. Times are simulated (or wall) nanoseconds; `event` is the simulation's event number.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Operation {
    /// The client; one client does one thing at a time per partition unless it pipelines sends.
    pub process: u32,
    pub invoked_ns: u64,
    pub completed_ns: u64,
    pub invoked_event: u64,
    pub completed_event: u64,
    /// The transaction it is part of.
    #[serde(default)]
    pub transaction: Option<u64>,
    pub action: Action,
    pub outcome: Outcome,
}

/// All operations, in order of completion; operations never completed are appended as `Info`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct History {
    pub operations: Vec<Operation>,
}

impl Operation {
    pub fn is_ok(&self) -> bool {
        self.outcome == Outcome::Ok
    }
}
