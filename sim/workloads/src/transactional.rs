//! A transactional producer whose every step is in the history.

use std::sync::Arc;
use std::time::Duration;

use broker_client::{
    Client, Producer, ProducerConfig, ProducerRecord, TransactionError, TransactionState,
};
use sim_checkers::history::{Action, Consumed, End, Outcome, Transaction};
use tokio::sync::Semaphore;

use crate::produce_consume::{RETRY, send};
use crate::recorder::{Begun, By};
use crate::{ClientContext, WorkloadSpec};

/// Calls for an end that has no answer; then what became of it is unknown.
const ENDS_MAX: u32 = 3;

/// One incarnation. Dropped, it is a client that crashed: its transaction stays open.
pub(crate) struct Transactor<'a> {
    context: &'a ClientContext,
    spec: &'a WorkloadSpec,
    transactional_id: String,
    producer: Producer,
    identity: (i64, i16),
    current: Option<Current>,
}

struct Current {
    number: u64,
    begun: Begun,
}

/// How a transaction ended, for who made it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    Committed,
    Aborted,
    /// The producer is of no use any more.
    Dead,
}

/// Of a client, or of the client's role in a chain.
pub(crate) fn id_of(context_name: &str) -> String {
    format!("transactions-{context_name}")
}

pub(crate) fn config(spec: &WorkloadSpec, transactional_id: &str) -> ProducerConfig {
    ProducerConfig {
        transactional_id: Some(transactional_id.to_string()),
        ..spec.producer_config()
    }
}

/// Gets the id its identity, once; recorded.
pub(crate) async fn init(
    context: &ClientContext,
    producer: &Producer,
    transactional_id: &str,
) -> Option<(i64, i16)> {
    let action = Action::InitTransactions {
        transactional_id: transactional_id.to_string(),
        producer: None,
    };
    let begun = context.recorder.begin(context.process, action);
    let result = producer.init_transactions().await;
    let identity = result
        .as_ref()
        .ok()
        .map(|id| (id.producer_id, id.producer_epoch));
    let outcome = match result {
        Ok(_) => Outcome::Ok,
        Err(error) => {
            context
                .recorder
                .count_error("init transactions", name(&error));
            Outcome::Info(error.to_string())
        }
    };
    context
        .recorder
        .complete(begun, "init_transactions", outcome, |action| {
            if let Action::InitTransactions { producer, .. } = action {
                *producer = identity;
            }
        });
    identity
}

impl<'a> Transactor<'a> {
    /// `None` if it was stopped before it had an identity.
    pub async fn start(
        context: &'a ClientContext,
        client: &Client,
        spec: &'a WorkloadSpec,
        transactional_id: String,
    ) -> Option<Transactor<'a>> {
        while !context.stop.is_stopped() {
            let producer = Producer::new(client.clone(), config(spec, &transactional_id));
            if let Some(identity) = init(context, &producer, &transactional_id).await {
                return Some(Transactor {
                    context,
                    spec,
                    transactional_id,
                    producer,
                    identity,
                    current: None,
                });
            }
            context.pause(RETRY).await;
        }
        None
    }

    /// The new transaction's number; `None` if there can be none.
    pub async fn begin(&mut self, number: u64) -> Option<u64> {
        if let Err(error) = self.producer.begin_transaction().await {
            self.context.recorder.count_error("begin", name(&error));
            return None;
        }
        let transaction = Transaction {
            number,
            transactional_id: self.transactional_id.clone(),
            producer: Some(self.identity),
            end: None,
            offsets: Vec::new(),
        };
        let action = Action::Transaction(transaction);
        let begun = self.context.recorder.begin(self.context.process, action);
        self.current = Some(Current { number, begun });
        Some(number)
    }

    pub async fn send(&self, record: ProducerRecord, sequence: u64) {
        let by = By {
            process: self.context.process,
            transaction: self.current.as_ref().map(|current| current.number),
        };
        let room = Arc::new(Semaphore::new(1)).acquire_owned().await;
        let permit = room.expect("the semaphore is never closed");
        let (context, spec) = (self.context, self.spec);
        send(context, spec, &self.producer, record, sequence, by, permit).await;
    }

    /// Notes what is about to be committed with the transaction.
    pub fn note_offsets(&self, consumed: &[Consumed]) {
        if let Some(current) = &self.current {
            self.context.recorder.amend(&current.begun, |action| {
                if let Action::Transaction(transaction) = action {
                    transaction.offsets = consumed.to_vec();
                }
            });
        }
    }

    pub fn producer(&self) -> &Producer {
        &self.producer
    }

    /// Commits or aborts; what cannot be committed is aborted.
    pub async fn end(&mut self, commit: bool) -> Ended {
        let Some(Current { begun, .. }) = self.current.take() else {
            return Ended::Dead;
        };
        let end = End {
            commit,
            invoked_ns: self.context.recorder.now().ns,
        };
        self.context.recorder.amend(&begun, |action| {
            if let Action::Transaction(transaction) = action {
                transaction.end = Some(end);
            }
        });
        let result = self.ask_for_end(commit).await;
        let unknown = self.producer.end_may_have_arrived();
        let outcome = match &result {
            Ok(()) => Outcome::Ok,
            Err(TransactionError::Abortable(error) | TransactionError::Fatal(error))
                if !unknown =>
            {
                Outcome::Fail(error.to_string())
            }
            Err(error) => Outcome::Info(error.to_string()),
        };
        if let Err(error) = &result {
            self.context.recorder.count_error("end", name(error));
        }
        let committed = commit && result.is_ok();
        self.context.recorder.count(|stats| {
            if committed {
                stats.txns_committed += 1;
            } else {
                stats.txns_aborted += 1;
            }
        });
        let what = if commit { "commit" } else { "abort" };
        self.context.recorder.complete(begun, what, outcome, |_| {});
        match result {
            Ok(()) if commit => Ended::Committed,
            Ok(()) => Ended::Aborted,
            Err(TransactionError::Abortable(_)) if self.ask_for_end(false).await.is_ok() => {
                Ended::Aborted
            }
            Err(_) => Ended::Dead,
        }
    }

    async fn ask_for_end(&self, commit: bool) -> Result<(), TransactionError> {
        let mut last = Err(TransactionError::Closed);
        for _ in 0..ENDS_MAX {
            last = if commit {
                self.producer.commit_transaction().await
            } else {
                self.producer.abort_transaction().await
            };
            if !matches!(last, Err(TransactionError::Timeout(_))) {
                return last;
            }
        }
        last
    }

    pub async fn close(self) {
        self.producer.close(Duration::from_secs(1)).await;
    }
}

pub(crate) fn name(error: &TransactionError) -> &'static str {
    match error {
        TransactionError::Abortable(error) | TransactionError::Fatal(error) => error.name(),
        TransactionError::State(TransactionState::Uninitialized) => "not initialized",
        TransactionError::State(_) => "wrong state",
        TransactionError::Timeout(_) => "timeout",
        TransactionError::Closed => "closed",
    }
}
