//! The transactional half (KIP-98, 360, 588, 890), as Kafka's TransactionManager has it.
//!
//! ```text
//! uninitialized → initializing → ready → in transaction → committing → ready
//!                                   ↑            │  ↘ abortable error
//!                                   └── aborting ←──────┘
//! ```
//!
//! and from anywhere to the fatal error, which nothing leaves. A record that is given up makes its transaction one
//! that can only be aborted; so a commit that succeeds has every record that was sent in it.
//!
//! With the classic protocol (`transaction.version` below 2) a partition's first batch waits until the
//! coordinator knows of the partition. With version 2 the partition's leader tells it (KIP-890), and every end raises
//! the epoch, so that nothing late of one transaction gets into the next.

use std::collections::BTreeSet;

use broker_probe::probe;
use broker_protocol::ErrorCode;
use broker_protocol::ids::TopicIdPartition;

use super::Producer;
use super::message::{Output, ProducerIdAndEpoch};

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum TransactionState {
    #[default]
    Uninitialized,
    Initializing,
    Ready,
    InTransaction,
    Committing,
    Aborting,
    /// Only an abort leads out.
    AbortableError(ErrorCode),
    /// Nothing leads out: another producer has the transactional id, or the coordinator refuses for good.
    FatalError(ErrorCode),
}

/// Requests to a coordinator, which the shell repeats until their answer is final.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Asked {
    InitProducerId,
    AddPartitionsToTxn,
    AddOffsetsToTxn,
    TxnOffsetCommit,
    EndTxn,
}

/// What an error of a coordinator's answer means.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Verdict {
    /// Ask again, after a pause.
    Retry,
    /// Find the coordinator anew, then ask again.
    FindCoordinator,
    /// The transaction can only be aborted.
    Abortable,
    Fatal,
}

impl Asked {
    /// As the handlers of Kafka's TransactionManager judge.
    pub fn verdict(self, error: ErrorCode) -> Verdict {
        match error {
            ErrorCode::NotCoordinator
            | ErrorCode::CoordinatorNotAvailable
            | ErrorCode::NetworkException
            | ErrorCode::RequestTimedOut => Verdict::FindCoordinator,
            ErrorCode::CoordinatorLoadInProgress
            | ErrorCode::ConcurrentTransactions
            | ErrorCode::UnknownTopicOrPartition => Verdict::Retry,
            ErrorCode::TransactionAbortable
            | ErrorCode::TopicAuthorizationFailed
            | ErrorCode::GroupAuthorizationFailed
            | ErrorCode::OperationNotAttempted => Verdict::Abortable,
            // The classic protocol's way to say that the id has expired: the next epoch gets another one.
            ErrorCode::UnknownProducerId | ErrorCode::InvalidProducerIdMapping
                if self != Asked::InitProducerId =>
            {
                Verdict::Abortable
            }
            ErrorCode::FencedInstanceId
            | ErrorCode::UnknownMemberId
            | ErrorCode::IllegalGeneration
            | ErrorCode::StaleMemberEpoch
                if self == Asked::TxnOffsetCommit =>
            {
                Verdict::Abortable
            }
            other if other.is_retriable() => Verdict::Retry,
            _ => Verdict::Fatal,
        }
    }
}

/// Of a transactional producer.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Transaction {
    pub state: TransactionState,
    /// Protocol version 2 (KIP-890), as of the transaction's begin.
    implicit: bool,
    /// Partitions that the coordinator knows of.
    added: BTreeSet<TopicIdPartition>,
    /// That have records and wait to be added.
    wanted: BTreeSet<TopicIdPartition>,
    /// That are being added.
    adding: BTreeSet<TopicIdPartition>,
    /// Something is at a broker, so that the coordinator has to end it.
    started: bool,
    /// Offsets are being committed in it.
    offsets_under_way: bool,
    /// Sequences have a gap: the next transaction needs another epoch.
    raise_epoch: bool,
    /// The end is asked for.
    ending: bool,
}

impl Producer {
    pub fn transaction_state(&self) -> TransactionState {
        self.transaction.state
    }

    /// With version 2 the leader of a partition tells the coordinator of it.
    pub fn is_implicit(&self) -> bool {
        self.transaction.implicit
    }

    /// Under which the coordinator is asked.
    pub fn producer_id(&self) -> Option<ProducerIdAndEpoch> {
        self.identity.current()
    }

    /// Asks for an identity, which fences earlier producers of the transactional id.
    ///
    /// # Errors
    /// What state it is in, if that is not the first one.
    pub fn init_transactions(&mut self, out: &mut Vec<Output>) -> Result<(), TransactionState> {
        match self.transaction.state {
            TransactionState::Uninitialized => {
                self.transaction.state = TransactionState::Initializing;
                out.push(Output::InitProducerId { previous: None });
                Ok(())
            }
            state => Err(state),
        }
    }

    /// `implicit`: the cluster has `transaction.version` 2 or later.
    ///
    /// # Errors
    /// What state it is in, if that is not [`TransactionState::Ready`].
    pub fn begin_transaction(&mut self, implicit: bool) -> Result<(), TransactionState> {
        match self.transaction.state {
            TransactionState::Ready => {
                let raise_epoch = self.transaction.raise_epoch;
                self.transaction = Transaction {
                    state: TransactionState::InTransaction,
                    implicit,
                    raise_epoch,
                    ..Transaction::default()
                };
                Ok(())
            }
            state => Err(state),
        }
    }

    /// Whether records can be sent now.
    ///
    /// # Errors
    /// The error that stands in the way.
    pub fn accepts_records(&self) -> Result<(), ErrorCode> {
        match self.transaction.state {
            _ if !self.config.transactional => Ok(()),
            TransactionState::InTransaction => Ok(()),
            TransactionState::AbortableError(error) | TransactionState::FatalError(error) => {
                Err(error)
            }
            _ => Err(ErrorCode::InvalidTxnState),
        }
    }

    /// Offsets are about to be committed in the transaction, or that has ended with a final error.
    pub fn note_offsets(&mut self, under_way: bool, out: &mut Vec<Output>) {
        self.transaction.offsets_under_way = under_way;
        self.transaction.started = true;
        self.maybe_end(out);
    }

    /// An answer of a coordinator that is no success and not repeated.
    pub fn on_refused(&mut self, asked: Asked, error: ErrorCode, out: &mut Vec<Output>) {
        self.transaction.adding.clear();
        let aborts = self.transaction.state == TransactionState::Aborting;
        match asked.verdict(error) {
            Verdict::Fatal => self.fail_for_good(error, out),
            // The coordinator no longer knows the id: there is nothing to end under it.
            _ if aborts && asked == Asked::EndTxn => {
                self.transaction.raise_epoch = true;
                self.on_ended(None, out);
            }
            _ => self.spoil(error, out),
        }
    }

    pub(super) fn commit(&mut self, out: &mut Vec<Output>) {
        if self.transaction.state == TransactionState::InTransaction {
            self.transaction.state = TransactionState::Committing;
            self.flush(out);
            self.maybe_end(out);
        }
    }

    /// What is not on its way is dropped; what is has to be answered first.
    pub(super) fn abort(&mut self, out: &mut Vec<Output>) {
        let may_abort = matches!(
            self.transaction.state,
            TransactionState::InTransaction | TransactionState::AbortableError(_)
        );
        if may_abort {
            self.transaction.state = TransactionState::Aborting;
            self.transaction.wanted.clear();
            self.drop_queued(ErrorCode::OperationNotAttempted, out);
            self.maybe_end(out);
        }
    }

    pub(super) fn on_partitions_added(&mut self, out: &mut Vec<Output>) {
        let added = std::mem::take(&mut self.transaction.adding);
        self.transaction.started |= !added.is_empty();
        self.transaction.added.extend(added);
        self.ask_for_partitions(out);
        self.drain_all(out);
        self.maybe_end(out);
    }

    /// With version 2 the answer names the next epoch, or another id if epochs are used up.
    pub(super) fn on_ended(&mut self, next: Option<ProducerIdAndEpoch>, out: &mut Vec<Output>) {
        if !self.transaction.ending {
            return;
        }
        if let Some(next) = next {
            self.transaction.raise_epoch = false;
            self.take_identity(next);
        }
        if self.transaction.raise_epoch {
            probe!("transaction: epoch raised after an abort");
            let previous = self.identity.current();
            return out.push(Output::InitProducerId { previous });
        }
        self.transaction.state = TransactionState::Ready;
        self.transaction.ending = false;
    }

    /// The identity that was asked for is there.
    pub(super) fn on_initialized(&mut self, identity: ProducerIdAndEpoch) {
        self.take_identity(identity);
        let waits = matches!(
            self.transaction.state,
            TransactionState::Initializing
                | TransactionState::Aborting
                | TransactionState::Committing
        );
        if waits {
            self.transaction = Transaction {
                state: TransactionState::Ready,
                ..Transaction::default()
            };
        }
    }

    /// Whether the coordinator may be told of this partition's records, or has to be asked first.
    pub(super) fn may_send_to(&mut self, partition: TopicIdPartition) -> bool {
        if !self.config.transactional {
            return true;
        }
        if !self.may_retry_in_transaction() || self.transaction.ending {
            return false;
        }
        if self.transaction.implicit {
            self.transaction.started = true;
            return true;
        }
        let is_known = self.transaction.added.contains(&partition);
        if !is_known && !self.transaction.adding.contains(&partition) {
            self.transaction.wanted.insert(partition);
        }
        is_known
    }

    /// What has failed of a transaction that can only be aborted is not tried again.
    pub(super) fn may_retry_in_transaction(&self) -> bool {
        matches!(
            self.transaction.state,
            TransactionState::InTransaction | TransactionState::Committing
        )
    }

    /// One request at a time; what is wanted meanwhile goes into the next.
    pub(super) fn ask_for_partitions(&mut self, out: &mut Vec<Output>) {
        if self.transaction.adding.is_empty() && !self.transaction.wanted.is_empty() {
            self.transaction.adding = std::mem::take(&mut self.transaction.wanted);
            let partitions = self.transaction.adding.iter().copied().collect();
            out.push(Output::AddPartitions { partitions });
        }
    }

    /// A record of the transaction has no success; `gap`: its sequence is not used up.
    pub(super) fn on_given_up(&mut self, gap: bool, error: ErrorCode, out: &mut Vec<Output>) {
        if !self.config.transactional {
            return;
        }
        self.transaction.raise_epoch |= gap;
        if error == ErrorCode::ProducerFenced {
            self.fail_for_good(error, out);
        } else {
            self.spoil(error, out);
        }
    }

    fn spoil(&mut self, error: ErrorCode, out: &mut Vec<Output>) {
        let state = &mut self.transaction.state;
        if matches!(
            state,
            TransactionState::InTransaction | TransactionState::Committing
        ) {
            probe!("transaction: only an abort is left");
            *state = TransactionState::AbortableError(error);
            self.transaction.wanted.clear();
            self.transaction.ending = false;
            self.drop_queued(error, out);
        }
    }

    fn fail_for_good(&mut self, error: ErrorCode, out: &mut Vec<Output>) {
        if !matches!(self.transaction.state, TransactionState::FatalError(_)) {
            probe!("transaction: fatal error");
            self.transaction.state = TransactionState::FatalError(error);
            self.transaction.wanted.clear();
            self.drop_queued(error, out);
        }
    }

    /// Gives up what is not on its way.
    fn drop_queued(&mut self, error: ErrorCode, out: &mut Vec<Output>) {
        for queue in self.queues.values_mut() {
            queue.close();
        }
        let partitions: Vec<TopicIdPartition> = self.queues.keys().copied().collect();
        for partition in partitions {
            let queue = self.queues.get_mut(&partition);
            let queued = queue.map(|queue| std::mem::take(&mut queue.closed));
            for batch in queued.unwrap_or_default() {
                self.transaction.raise_epoch |= batch.sequence.is_some();
                self.give_up_quietly(partition, batch, error, out);
            }
        }
    }

    /// Once nothing of the transaction is on its way.
    pub(super) fn maybe_end(&mut self, out: &mut Vec<Output>) {
        let committed = match self.transaction.state {
            TransactionState::Committing => true,
            TransactionState::Aborting => false,
            _ => return,
        };
        let idle = self.requests.is_empty() && self.queues.values().all(super::Queue::is_empty);
        let under_way = !self.transaction.adding.is_empty() || self.transaction.offsets_under_way;
        if self.transaction.ending || !idle || under_way {
            return;
        }
        self.transaction.ending = true;
        // What is late of an aborted transaction may only be fenced by an end (KIP-890).
        if self.transaction.started {
            out.push(Output::EndTxn { committed });
        } else {
            self.on_ended(None, out);
        }
    }
}
