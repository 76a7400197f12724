//! EndTxn, as the client asks for it, and the abort of a producer that is fenced.

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;

use super::init::is_exhausted;
use super::message::{EndRequest, Producer, Reply};
use super::record::{State, TransactionMetadata};
use super::{MAX_EPOCH, Step, TransactionCoordinator};

/// The first `transaction.version` whose ends raise the epoch.
const EPOCH_PER_TRANSACTION: i16 = 2;

impl TransactionCoordinator {
    pub(super) fn end_transaction(&mut self, request: &EndRequest, step: &mut Step<'_>) -> Reply {
        let Some(current) = self.hard.get(&request.transactional_id).cloned() else {
            return Reply::End(Err(ErrorCode::InvalidProducerIdMapping));
        };
        if request.client_version >= EPOCH_PER_TRANSACTION {
            return self.end_raising_epoch(request, current, step);
        }
        match judge_classic(request, &current) {
            Err(error) => Reply::End(Err(error)),
            Ok(Verdict::Done) => Reply::End(Ok(current.producer())),
            Ok(Verdict::End) => {
                let producer = current.producer();
                let client_version = request.client_version;
                let ended = TransactionMetadata {
                    client_version,
                    ..current
                };
                let id = &request.transactional_id;
                self.prepare(id, ended, request.committed, step);
                Reply::End(Ok(producer))
            }
        }
    }

    /// KIP-890 part 2. An abort is fine without a transaction too: the client may not know whether its records
    /// began one.
    fn end_raising_epoch(
        &mut self,
        request: &EndRequest,
        current: TransactionMetadata,
        step: &mut Step<'_>,
    ) -> Reply {
        match judge_raising_epoch(request, &current) {
            Err(error) => return Reply::End(Err(error)),
            Ok(Verdict::Done) => return Reply::End(Ok(current.next_producer())),
            Ok(Verdict::End) => {}
        }
        let epoch = current.producer_epoch;
        let next_producer_id = if is_exhausted(epoch) {
            let Some(fresh) = request.fresh_producer_id else {
                return Reply::NeedsProducerId;
            };
            probe!("transaction: a producer id ran out of epochs");
            Some(fresh)
        } else {
            None
        };
        let id = &request.transactional_id;
        let has_begun = current.state == State::Ongoing;
        let ended = TransactionMetadata {
            producer_epoch: if mutant!(T_01) { epoch } else { epoch + 1 },
            next_producer_id,
            start_ms: if has_begun {
                current.start_ms
            } else {
                Some(step.now_ms)
            },
            client_version: request.client_version,
            ..current
        };
        let producer = ended.next_producer();
        self.remember(id, Some(epoch));
        self.prepare(id, ended, request.committed, step);
        Reply::End(Ok(producer))
    }

    /// Aborts what a producer left behind, under an epoch that it does not have.
    pub(super) fn fence(&mut self, id: &str, current: &TransactionMetadata, step: &mut Step<'_>) {
        assert!(
            current.producer_epoch < MAX_EPOCH,
            "{id}: a client of producer {} has the last epoch",
            current.producer_id
        );
        let fenced = TransactionMetadata {
            producer_epoch: if mutant!(C_04) {
                current.producer_epoch
            } else {
                current.producer_epoch + 1
            },
            // Its producer's own EndTxn must not pass for a retry of this.
            client_version: 0,
            ..current.clone()
        };
        self.remember(id, None);
        self.prepare(id, fenced, false, step);
    }

    /// The decision. From here on only markers are missing.
    fn prepare(
        &mut self,
        id: &str,
        ended: TransactionMetadata,
        committed: bool,
        step: &mut Step<'_>,
    ) {
        let state = if committed {
            State::PrepareCommit
        } else {
            State::PrepareAbort
        };
        let prepared = TransactionMetadata {
            state,
            last_update_ms: step.now_ms,
            ..ended
        };
        self.write(id, Some(prepared), step);
        self.send_markers(id, step);
    }
}

/// What an EndTxn that is not refused comes to.
enum Verdict {
    End,
    /// It is a retry.
    Done,
}

fn judge_classic(
    request: &EndRequest,
    current: &TransactionMetadata,
) -> Result<Verdict, ErrorCode> {
    if request.producer.id != current.producer_id {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let epoch = request.producer.epoch;
    let is_current = epoch == current.producer_epoch && epoch < MAX_EPOCH
        || mutant!(T_11) && epoch >= current.producer_epoch;
    if !is_current {
        return Err(ErrorCode::ProducerFenced);
    }
    match (current.state, request.committed) {
        (State::Ongoing, _) => Ok(Verdict::End),
        (State::CompleteCommit, true) if mutant!(T_29) => Err(ErrorCode::InvalidTxnState),
        (State::CompleteCommit, true) | (State::CompleteAbort, false) => {
            probe!("transaction: its end was asked for again");
            Ok(Verdict::Done)
        }
        (State::PrepareCommit, true) | (State::PrepareAbort, false) => {
            Err(ErrorCode::ConcurrentTransactions)
        }
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

/// The same epoch means the next transaction, the one before a retry of the last one's end.
fn judge_raising_epoch(
    request: &EndRequest,
    current: &TransactionMetadata,
) -> Result<Verdict, ErrorCode> {
    let is_retry = is_retry(request.producer, current);
    // First, because the producer may already know the epoch it has after this (KAFKA-18464).
    if current.state.is_completing() {
        return Err(if mutant!(T_19) && !is_retry {
            ErrorCode::ProducerFenced
        } else {
            ErrorCode::ConcurrentTransactions
        });
    }
    if request.producer.id != current.producer_id && !is_retry {
        return Err(ErrorCode::InvalidProducerIdMapping);
    }
    let is_current = request.producer == current.producer() && request.producer.epoch < MAX_EPOCH;
    if !(is_current || is_retry) {
        return Err(ErrorCode::ProducerFenced);
    }
    let was_same = matches!(
        (current.state, request.committed),
        (State::CompleteCommit, true) | (State::CompleteAbort, false)
    );
    match current.state {
        State::Ongoing if is_current => Ok(Verdict::End),
        State::Ongoing | State::Empty if is_retry => Err(ErrorCode::ProducerFenced),
        _ if is_retry && was_same => {
            probe!("transaction: its end was asked for again");
            Ok(Verdict::Done)
        }
        _ if is_current && !request.committed => Ok(Verdict::End),
        _ => Err(ErrorCode::InvalidTxnState),
    }
}

/// Of one whose own end raised the epoch, or changed the producer id.
fn is_retry(producer: Producer, current: &TransactionMetadata) -> bool {
    if current.client_version < EPOCH_PER_TRANSACTION {
        return false;
    }
    let is_raised = producer.id == current.producer_id
        && producer.epoch.checked_add(1) == Some(current.producer_epoch);
    let is_changed = Some(producer.id) == current.previous_producer_id
        && producer.id != current.producer_id
        && producer.epoch == MAX_EPOCH - 1
        && current.producer_epoch == 0;
    is_raised || is_changed
}
