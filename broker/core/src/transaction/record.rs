//! What the log of a partition of `__transaction_state` says, record by record.

use std::collections::BTreeSet;

use broker_protocol::ids::TopicPartition;

use super::message::Producer;

/// One record; without a value it deletes.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Record {
    pub transactional_id: String,
    pub value: Option<TransactionMetadata>,
}

/// Where a transactional id is. Dead and PrepareEpochFence have Kafka's names and numbers, but are never stored.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    Empty,
    Ongoing,
    PrepareCommit,
    PrepareAbort,
    CompleteCommit,
    CompleteAbort,
    Dead,
    PrepareEpochFence,
}

impl State {
    /// In the order of their numbers.
    pub const ALL: [State; 8] = [
        State::Empty,
        State::Ongoing,
        State::PrepareCommit,
        State::PrepareAbort,
        State::CompleteCommit,
        State::CompleteAbort,
        State::Dead,
        State::PrepareEpochFence,
    ];

    /// As in records.
    pub fn number(self) -> i8 {
        match self {
            State::Empty => 0,
            State::Ongoing => 1,
            State::PrepareCommit => 2,
            State::PrepareAbort => 3,
            State::CompleteCommit => 4,
            State::CompleteAbort => 5,
            State::Dead => 6,
            State::PrepareEpochFence => 7,
        }
    }

    /// One that a record may have.
    pub fn stored(number: i8) -> Option<State> {
        let stored = &State::ALL[..6];
        stored.iter().copied().find(|it| it.number() == number)
    }

    /// Kafka's name, as DescribeTransactions and ListTransactions use it.
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::Ongoing => "Ongoing",
            State::PrepareCommit => "PrepareCommit",
            State::PrepareAbort => "PrepareAbort",
            State::CompleteCommit => "CompleteCommit",
            State::CompleteAbort => "CompleteAbort",
            State::Dead => "Dead",
            State::PrepareEpochFence => "PrepareEpochFence",
        }
    }

    pub fn from_name(name: &str) -> Option<State> {
        State::ALL.into_iter().find(|state| state.name() == name)
    }

    /// It is decided; markers are being written.
    pub fn is_completing(self) -> bool {
        matches!(self, State::PrepareCommit | State::PrepareAbort)
    }

    /// No transaction is there.
    pub fn is_idle(self) -> bool {
        matches!(
            self,
            State::Empty | State::CompleteCommit | State::CompleteAbort
        )
    }
}

/// A transactional id and its current or last transaction.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransactionMetadata {
    pub producer_id: i64,
    /// The one before, after a change; else the same.
    pub previous_producer_id: Option<i64>,
    /// Given to the client with its last EndTxn, in use once the markers of that one are written.
    pub next_producer_id: Option<i64>,
    pub producer_epoch: i16,
    pub timeout_ms: i32,
    pub state: State,
    /// Of an ongoing or completing transaction.
    pub partitions: BTreeSet<TopicPartition>,
    /// When the transaction began, wall clock; it stays after the end. `None` without any.
    pub start_ms: Option<i64>,
    pub last_update_ms: i64,
    /// `transaction.version` as the client spoke it last.
    pub client_version: i16,
}

impl TransactionMetadata {
    pub fn producer(&self) -> Producer {
        Producer {
            id: self.producer_id,
            epoch: self.producer_epoch,
        }
    }

    /// Who the client is once a completing transaction has completed.
    pub fn next_producer(&self) -> Producer {
        match self.next_producer_id {
            Some(id) => Producer { id, epoch: 0 },
            None => self.producer(),
        }
    }
}
