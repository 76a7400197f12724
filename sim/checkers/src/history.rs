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
    },
    /// The consumer (process) starts at `position` in this partition; a jump, not a gap.
    Assign { partition: Partition, position: i64 },
    /// What a member of a group did with it.
    Group(GroupAction),
    /// Offsets the broker names: log start and end as a consumer may read.
    ListOffsets {
        partition: Partition,
        earliest: i64,
        latest: i64,
    },
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
