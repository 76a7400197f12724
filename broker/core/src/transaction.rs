//! The transaction coordinator of one partition of `__transaction_state`: which producer owns a transactional id,
//! and what its transaction is about (KIP-98, KIP-360, KIP-447, KIP-588, KIP-664, KIP-890).
//!
//! ```text
//!            AddPartitions            EndTxn                 all markers written
//!   Empty ─────────────────▶ Ongoing ──────▶ PrepareCommit ───────────────────▶ CompleteCommit
//!     ▲                        │ ▲           PrepareAbort                       CompleteAbort
//!     └── InitProducerId       │ └───────────────────────── AddPartitions ──────────┘
//!                              └ timeout, InitProducerId of a new instance: the epoch is raised, PrepareAbort
//! ```
//!
//! A replicated core. [`Hard`] is what the partition's log says and is rebuilt by
//! [`TransactionCoordinator::replay`]. One step may write records; they are applied at once, its replies may leave
//! and its markers may be sent when they are committed. If they are not, the shell drops the whole coordinator
//! and loads another: nothing is pending in here, and no epoch is raised that is not in the log (KAFKA-9666).
//! Kafka's states Dead and PrepareEpochFence are moments of one step and never in a log.
//!
//! Both protocols: until `transaction.version` 2 a producer keeps its epoch from transaction to transaction; from
//! then on (EndTxn 5) each end raises it, so that nothing late can belong to the next one (T-01).
//!
//! Map: [`message`] what goes in and out · [`record`], `hard` the log's view · `init` InitProducerId ·
//! `partitions` adding and verifying · `end` EndTxn · `markers` completion · `timeouts` · `describe`.

mod describe;
mod end;
mod hard;
mod init;
#[cfg(any(test, feature = "testbed"))]
pub mod invariants;
mod markers;
pub mod message;
mod partitions;
pub mod record;
#[cfg(test)]
mod tests;
mod timeouts;

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ErrorCode;
use broker_protocol::ids::TopicPartition;

pub use hard::Hard;
pub use message::{
    AddPartitionsRequest, DescribedTransaction, EndRequest, InitRequest, ListRequest,
    ListedTransaction, Markers, MarkersWritten, Output, Producer, Reply, Request, Timer,
};
pub use record::{Record, State, TransactionMetadata};

use crate::Ticket;

/// The highest epoch; a client never has it, so that one can still be raised above it (KIP-360).
pub const MAX_EPOCH: i16 = i16::MAX;

/// Broker properties, by Kafka's names; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// `transaction.max.timeout.ms`
    pub max_timeout_ms: i32,
    /// `transactional.id.expiration.ms`
    pub id_expiration_ms: i64,
    /// `transaction.abort.timed.out.transaction.cleanup.interval.ms`
    pub abort_interval_ms: u64,
    /// `transaction.remove.expired.transaction.cleanup.interval.ms`
    pub remove_interval_ms: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            max_timeout_ms: 900_000,
            id_expiration_ms: 7 * 24 * 3_600_000,
            abort_interval_ms: 10_000,
            remove_interval_ms: 3_600_000,
        }
    }
}

/// The coordinator of the transactional ids of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct TransactionCoordinator {
    config: Config,
    hard: Hard,
    /// Transactions in a Prepare state, and where their markers are still missing.
    completing: BTreeMap<String, Completing>,
    /// The epoch before the last raise, while the producer may ask for it again (KIP-360). Not in Kafka's log
    /// either: a retry over a change of coordinator is fenced.
    last_epochs: BTreeMap<String, i16>,
    attempts: u64,
}

/// Markers under way.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(crate) struct Completing {
    /// What is reported of an earlier transaction does not count (T-07).
    pub attempt: u64,
    pub left: BTreeSet<TopicPartition>,
}

/// One step: when it is and what comes out.
pub(crate) struct Step<'a> {
    /// Wall clock, milliseconds since 1970. May go back.
    pub now_ms: i64,
    pub out: &'a mut Vec<Output>,
}

impl TransactionCoordinator {
    pub fn new(config: Config) -> TransactionCoordinator {
        TransactionCoordinator {
            config,
            hard: Hard::default(),
            completing: BTreeMap::new(),
            last_epochs: BTreeMap::new(),
            attempts: 0,
        }
    }

    /// What the log says.
    pub fn hard(&self) -> &Hard {
        &self.hard
    }

    /// Takes in a record of the log, in the log's order. Any subset that compaction may leave is fine.
    pub fn replay(&mut self, record: &Record) {
        self.hard.apply(record);
    }

    /// The log was read to its end: what was decided is carried out.
    pub fn loaded(&mut self, now_ms: i64, out: &mut Vec<Output>) {
        let step = &mut Step { now_ms, out };
        let ids: Vec<String> = self.hard.completing().map(|(id, _)| id.clone()).collect();
        for id in ids {
            broker_probe::probe!("transaction: a new coordinator sends markers again");
            self.send_markers(&id, step);
        }
        step.arm(Timer::AbortTimedOut, self.config.abort_interval_ms);
        step.arm(Timer::RemoveExpired, self.config.remove_interval_ms);
    }

    /// Carries out a request. It is answered under its ticket in this step.
    pub fn handle(&mut self, ticket: Ticket, request: Request, now_ms: i64, out: &mut Vec<Output>) {
        let step = &mut Step { now_ms, out };
        let reply = match request {
            Request::InitProducerId(request) => self.init_producer_id(&request, step),
            Request::AddPartitions(request) => {
                let added = self.add_partitions(&request, step);
                Reply::AddPartitions(added.err().unwrap_or(ErrorCode::None))
            }
            Request::VerifyPartitions(request) => Reply::VerifyPartitions(self.verify(&request)),
            Request::End(request) => self.end_transaction(&request, step),
            Request::Describe { transactional_id } => {
                Reply::Describe(self.describe(&transactional_id))
            }
            Request::List(request) => Reply::List(self.list(&request, now_ms)),
        };
        step.out.push(Output::Reply(ticket, reply));
    }

    /// A timer that was armed is over.
    pub fn timer(&mut self, timer: Timer, now_ms: i64, out: &mut Vec<Output>) {
        let step = &mut Step { now_ms, out };
        match timer {
            Timer::AbortTimedOut => {
                self.abort_timed_out(step);
                step.arm(timer, self.config.abort_interval_ms);
            }
            Timer::RemoveExpired => {
                self.remove_expired(step);
                step.arm(timer, self.config.remove_interval_ms);
            }
        }
    }

    /// Markers are in the logs of these partitions, or need not be: they are gone.
    pub fn markers_written(
        &mut self,
        written: &MarkersWritten,
        now_ms: i64,
        out: &mut Vec<Output>,
    ) {
        self.on_markers_written(written, &mut Step { now_ms, out });
    }

    /// The only way that `hard` changes.
    fn write(&mut self, id: &str, value: Option<TransactionMetadata>, step: &mut Step<'_>) {
        let record = Record {
            transactional_id: id.to_string(),
            value,
        };
        self.hard.apply(&record);
        step.out.push(Output::Record(record));
    }
}

impl Step<'_> {
    fn arm(&mut self, timer: Timer, after_ms: u64) {
        self.out.push(Output::Arm(timer, after_ms));
    }
}
