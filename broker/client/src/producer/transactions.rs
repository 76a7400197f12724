//! Transactions of a [`Producer`] with a `transactional.id` (KIP-98, KIP-447, KIP-890): the core decides, this asks
//! the coordinators and repeats what their answers do not settle.

use std::collections::BTreeMap;
use std::sync::{Arc, Weak};
use std::time::Duration;

use broker_core::producer::transaction::{Asked, TransactionState, Verdict};
use broker_core::producer::{Input, Output, ProducerIdAndEpoch};
use broker_env::Instant;
use broker_env::time::timeout;
use broker_protocol::api as wire;
use broker_protocol::ids::{TopicIdPartition, TopicPartition};
use broker_protocol::{ErrorCode, Request};
use tokio::sync::oneshot;

use super::request::Told;
use super::shell::Shell;
use super::{Producer, wait_until};
use crate::config::millis;
use crate::coordinator::Coordinator;
use crate::error::{GroupError, TransactionError};
use crate::tasks::lock;

/// The last versions without the meaning that KIP-890 gave them.
const END_TXN_CLASSIC: i16 = 4;
const TXN_OFFSET_COMMIT_CLASSIC: i16 = 4;
/// Clients ask for one transaction at a time; brokers ask in later versions.
const ADD_PARTITIONS_BY_CLIENT: i16 = 3;
/// `transaction.version` from which on partitions are added by their leaders.
const IMPLICIT_FROM: i16 = 2;

/// Who commits offsets in a transaction (KIP-447): a member that was thrown out of its group cannot.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupMetadata {
    pub group_id: String,
    /// Or the member epoch; -1: of no member.
    pub generation_id: i32,
    pub member_id: String,
    pub group_instance_id: Option<String>,
}

impl GroupMetadata {
    /// Of no member: nothing fences the commit but the producer's epoch.
    pub fn of_group(group_id: &str) -> GroupMetadata {
        GroupMetadata {
            group_id: group_id.to_string(),
            generation_id: -1,
            member_id: String::new(),
            group_instance_id: None,
        }
    }
}

impl Producer {
    /// Gets an identity for the `transactional.id`: earlier producers are fenced, and what they left open is aborted.
    ///
    /// # Errors
    /// `State` if it has one, `Timeout` after `max.block.ms`; then it may be called again.
    pub async fn init_transactions(&self) -> Result<ProducerIdAndEpoch, TransactionError> {
        self.shell.transactional_id()?;
        {
            let mut state = lock(&self.shell.state);
            let mut out = Vec::new();
            match state.core.init_transactions(&mut out) {
                Ok(()) => self.shell.perform_all(&mut state, out),
                // It goes on since the last call.
                Err(TransactionState::Initializing) => {}
                Err(other) => return Err(TransactionError::State(other)),
            }
        }
        self.shell.settled().await?;
        let id = lock(&self.shell.state).core.producer_id();
        Ok(id.expect("a producer that is ready has an id"))
    }

    /// # Errors
    /// `State` unless the last transaction has ended, `Fatal` if nothing can be done with this producer any more.
    pub async fn begin_transaction(&self) -> Result<(), TransactionError> {
        let implicit = self.shell.is_implicit().await?;
        let mut state = lock(&self.shell.state);
        let begun = state.core.begin_transaction(implicit);
        state.end_may_have_arrived = false;
        begun.map_err(TransactionError::from)
    }

    /// Commits the group's offsets as a part of the transaction.
    ///
    /// # Errors
    /// `Abortable` if the member is not in the group any more, and generally.
    pub async fn send_offsets_to_transaction(
        &self,
        offsets: &BTreeMap<TopicPartition, i64>,
        group: &GroupMetadata,
    ) -> Result<(), TransactionError> {
        let (ended, waiting) = oneshot::channel();
        {
            let mut state = lock(&self.shell.state);
            match state.core.transaction_state() {
                TransactionState::InTransaction => {}
                other => return Err(other.into()),
            }
            let mut out = Vec::new();
            state.core.note_offsets(true, &mut out);
            self.shell.perform_all(&mut state, out);
        }
        let commit = OffsetsToCommit {
            offsets: offsets.clone(),
            group: group.clone(),
        };
        let weak = Arc::downgrade(&self.shell);
        self.shell.tasks.spawn("transaction offsets", async move {
            let result = commit.send(&weak).await;
            if let Some(shell) = weak.upgrade() {
                shell.offsets_sent(&result);
            }
            // Who asked may have gone.
            let _gone = ended.send(result);
        });
        match waiting.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(_)) => Err(lock(&self.shell.state).core.transaction_state().into()),
            Err(_closed) => Err(TransactionError::Closed),
        }
    }

    /// Sends what lingers, waits for every record, and commits.
    ///
    /// # Errors
    /// `Abortable`: not committed, abort it. `Timeout`: not known; may be called again.
    pub async fn commit_transaction(&self) -> Result<(), TransactionError> {
        self.end(TransactionState::Committing, Input::Commit).await
    }

    /// # Errors
    /// `Timeout`: it goes on; may be called again.
    pub async fn abort_transaction(&self) -> Result<(), TransactionError> {
        self.end(TransactionState::Aborting, Input::Abort).await
    }

    pub fn transaction_state(&self) -> TransactionState {
        lock(&self.shell.state).core.transaction_state()
    }

    /// Whether the request that ends the transaction may have reached the coordinator without an answer: then an
    /// error of [`Producer::commit_transaction`] does not tell what became of it.
    pub fn end_may_have_arrived(&self) -> bool {
        lock(&self.shell.state).end_may_have_arrived
    }

    async fn end(&self, ending: TransactionState, input: Input) -> Result<(), TransactionError> {
        {
            let mut state = lock(&self.shell.state);
            self.shell.step(&mut state, input, &Told::default());
            match state.core.transaction_state() {
                TransactionState::Ready => return Ok(()),
                now if now == ending => {}
                other => return Err(other.into()),
            }
        }
        self.shell.settled().await
    }
}

impl Shell {
    fn transactional_id(&self) -> Result<String, TransactionError> {
        let id = self.config.transactional_id.clone();
        id.ok_or(TransactionError::State(TransactionState::Uninitialized))
    }

    /// Waits, at most `max.block.ms`, until nothing is asked of a coordinator any more.
    async fn settled(&self) -> Result<(), TransactionError> {
        let limit = self.config.max_block;
        let state = || lock(&self.state).core.transaction_state();
        let settled = || {
            !matches!(
                state(),
                TransactionState::Initializing
                    | TransactionState::Committing
                    | TransactionState::Aborting
            )
        };
        let waited = timeout(
            self.client.env(),
            limit,
            wait_until(&self.progress, settled),
        );
        match waited.await {
            Err(_) => Err(TransactionError::Timeout(limit)),
            Ok(()) => match state() {
                TransactionState::Ready => Ok(()),
                other => Err(other.into()),
            },
        }
    }

    async fn is_implicit(&self) -> Result<bool, TransactionError> {
        let id = self.transactional_id()?;
        let deadline = self.client.env().now() + self.config.max_block;
        let mut attempt = 0;
        loop {
            let mut coordinator = self.coordinator.lock().await;
            let found = coordinator.find(&self.client, &id, deadline).await;
            let node = found.map_err(|_| TransactionError::Timeout(self.config.max_block))?;
            let limit = self.config.request_timeout;
            match self.client.transaction_version(node, limit).await {
                Ok(version) => return Ok(version >= IMPLICIT_FROM),
                Err(_) => coordinator.forget(),
            }
            drop(coordinator);
            if !self.client.pause_before_retry(attempt, deadline).await {
                return Err(TransactionError::Timeout(self.config.max_block));
            }
            attempt += 1;
        }
    }

    /// For a transactional producer the coordinator gives the identity.
    pub(super) fn init_transactional_id(self: &Arc<Self>, previous: Option<ProducerIdAndEpoch>) {
        let request = wire::InitProducerIdRequest {
            transactional_id: self.config.transactional_id.clone(),
            transaction_timeout_ms: millis(self.config.transaction_timeout),
            producer_id: previous.map_or(-1, |id| id.producer_id),
            producer_epoch: previous.map_or(-1, |id| id.producer_epoch),
            ..Default::default()
        };
        let read = |response: &wire::InitProducerIdResponse| response.error_code;
        self.ask(
            Asked::InitProducerId,
            request,
            i16::MAX,
            read,
            |_, response| {
                let identity = ProducerIdAndEpoch {
                    producer_id: response.producer_id,
                    producer_epoch: response.producer_epoch,
                };
                Input::ProducerId(Ok(identity))
            },
        );
    }

    pub(super) fn add_partitions(
        self: &Arc<Self>,
        names: &BTreeMap<broker_protocol::ids::Uuid, String>,
        identity: Option<ProducerIdAndEpoch>,
        partitions: &[TopicIdPartition],
    ) {
        let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
        for partition in partitions {
            let name = names.get(&partition.topic_id).cloned().unwrap_or_default();
            topics.entry(name).or_default().push(partition.partition);
        }
        let topics = topics.into_iter();
        let request = wire::AddPartitionsToTxnRequest {
            v3_and_below_transactional_id: self.config.transactional_id.clone().unwrap_or_default(),
            v3_and_below_producer_id: identity.map_or(-1, |id| id.producer_id),
            v3_and_below_producer_epoch: identity.map_or(-1, |id| id.producer_epoch),
            v3_and_below_topics: topics
                .map(|(name, partitions)| wire::AddPartitionsToTxnTopic {
                    name,
                    partitions,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        };
        let read = |response: &wire::AddPartitionsToTxnResponse| {
            let topics = response.results_by_topic_v3_and_below.iter();
            let partitions = topics.flat_map(|topic| &topic.results_by_partition);
            let errors = partitions.map(|partition| partition.partition_error_code);
            worst(Asked::AddPartitionsToTxn, errors)
        };
        self.ask(
            Asked::AddPartitionsToTxn,
            request,
            ADD_PARTITIONS_BY_CLIENT,
            read,
            |_, _| Input::PartitionsAdded,
        );
    }

    pub(super) fn end_txn(
        self: &Arc<Self>,
        identity: Option<ProducerIdAndEpoch>,
        implicit: bool,
        committed: bool,
    ) {
        let request = wire::EndTxnRequest {
            transactional_id: self.config.transactional_id.clone().unwrap_or_default(),
            producer_id: identity.map_or(-1, |id| id.producer_id),
            producer_epoch: identity.map_or(-1, |id| id.producer_epoch),
            committed,
            ..Default::default()
        };
        let max = if implicit { i16::MAX } else { END_TXN_CLASSIC };
        let read = |response: &wire::EndTxnResponse| response.error_code;
        self.ask(Asked::EndTxn, request, max, read, |_, response| {
            let named = response.producer_id >= 0 && response.producer_epoch >= 0;
            let next = named.then_some(ProducerIdAndEpoch {
                producer_id: response.producer_id,
                producer_epoch: response.producer_epoch,
            });
            Input::TransactionEnded { next }
        });
    }

    /// Asks the transaction's coordinator until an answer is final, and tells the core.
    fn ask<R: Request + Send + Sync + 'static>(
        self: &Arc<Self>,
        asked: Asked,
        request: R,
        max: i16,
        read: impl Fn(&R::Response) -> i16 + Send + Sync + 'static,
        input: impl FnOnce(&Shell, R::Response) -> Input + Send + 'static,
    ) where
        R::Response: Send,
    {
        let weak = Arc::downgrade(self);
        self.tasks.spawn("transaction coordinator", async move {
            let deadline = None;
            let result = repeat(&weak, asked, &request, max, &read, deadline).await;
            let Some(shell) = weak.upgrade() else { return };
            let input = match result {
                Ok(response) => input(&shell, response),
                Err(error) => Input::Refused { asked, error },
            };
            shell.step(&mut lock(&shell.state), input, &Told::default());
            shell.progress.notify_waiters();
        });
    }

    fn perform_all(self: &Arc<Self>, state: &mut super::shell::State, out: Vec<Output>) {
        self.carry_out(state, out, &Told::default());
        self.progress.notify_waiters();
    }

    fn offsets_sent(self: &Arc<Self>, result: &Result<(), (Asked, ErrorCode)>) {
        let mut state = lock(&self.state);
        if let Err((asked, error)) = *result {
            let refused = Input::Refused { asked, error };
            self.step(&mut state, refused, &Told::default());
        }
        let mut out = Vec::new();
        state.core.note_offsets(false, &mut out);
        self.perform_all(&mut state, out);
    }
}

/// The error that weighs most.
fn worst(asked: Asked, codes: impl Iterator<Item = i16>) -> i16 {
    let errors = codes.map(ErrorCode::from_code_or_unknown);
    let errors = errors.filter(|error| *error != ErrorCode::None);
    let worst = errors.max_by_key(|error| asked.verdict(*error));
    worst.unwrap_or(ErrorCode::None).code()
}

/// What one attempt came to.
enum Attempt<T> {
    Done(T),
    Again(ErrorCode),
    Final(ErrorCode),
    Closed,
}

/// Until success, a final error, or the deadline. Ends too when the producer is gone.
async fn repeat<R: Request>(
    shell: &Weak<Shell>,
    asked: Asked,
    request: &R,
    max: i16,
    read: &(impl Fn(&R::Response) -> i16 + Sync),
    deadline: Option<Instant>,
) -> Result<R::Response, ErrorCode> {
    let mut attempt = 0;
    loop {
        let Some(shell) = shell.upgrade() else {
            return Err(ErrorCode::NetworkException);
        };
        let last = match shell.attempt(asked, request, max, read).await {
            Attempt::Done(response) => return Ok(response),
            Attempt::Final(error) => return Err(error),
            Attempt::Closed => return Err(ErrorCode::NetworkException),
            Attempt::Again(error) => error,
        };
        let now = shell.client.env().now();
        if deadline.is_some_and(|deadline| now >= deadline) {
            return Err(last);
        }
        let pause = shell.client.retry_backoff(attempt);
        let env = shell.client.env().clone();
        // Not held over the pause: dropping the producer has to end this.
        drop(shell);
        env.sleep(pause).await;
        attempt += 1;
    }
}

impl Shell {
    async fn attempt<R: Request>(
        &self,
        asked: Asked,
        request: &R,
        max: i16,
        read: &(impl Fn(&R::Response) -> i16 + Sync),
    ) -> Attempt<R::Response> {
        let id = self.config.transactional_id.clone().unwrap_or_default();
        let mut coordinator = self.coordinator.lock().await;
        attempt(
            &self.client,
            self,
            &mut coordinator,
            &id,
            asked,
            request,
            max,
            read,
        )
        .await
    }

    fn note_end(&self, asked: Asked) {
        if asked == Asked::EndTxn {
            lock(&self.state).end_may_have_arrived = true;
        }
    }
}

#[expect(
    clippy::too_many_arguments,
    reason = "one attempt's facts; a struct would only rename them"
)]
async fn attempt<R: Request>(
    client: &crate::client::Client,
    shell: &Shell,
    coordinator: &mut Coordinator,
    key: &str,
    asked: Asked,
    request: &R,
    max: i16,
    read: &(impl Fn(&R::Response) -> i16 + Sync),
) -> Attempt<R::Response> {
    let limit: Duration = shell.config.request_timeout;
    let deadline = client.env().now() + limit;
    let called = coordinator.call_up_to(client, key, request, max, deadline);
    let response = match called.await {
        Ok(response) => response,
        Err((GroupError::Closed, _)) => return Attempt::Closed,
        Err((GroupError::Group(error), _)) => return Attempt::Final(error),
        Err((_, may_have_arrived)) => {
            if may_have_arrived {
                shell.note_end(asked);
            }
            return Attempt::Again(ErrorCode::NetworkException);
        }
    };
    let error = ErrorCode::from_code_or_unknown(read(&response));
    if error == ErrorCode::None {
        return Attempt::Done(response);
    }
    match asked.verdict(error) {
        Verdict::FindCoordinator => {
            // A coordinator that is deposed may have written the end down, and its successor may have read it.
            shell.note_end(asked);
            coordinator.forget();
            Attempt::Again(error)
        }
        Verdict::Retry => Attempt::Again(error),
        Verdict::Abortable | Verdict::Fatal => Attempt::Final(error),
    }
}

/// Offsets on their way into a transaction.
struct OffsetsToCommit {
    offsets: BTreeMap<TopicPartition, i64>,
    group: GroupMetadata,
}

impl OffsetsToCommit {
    /// First the transaction's coordinator has to know of the group, unless the group's tells it (KIP-890).
    async fn send(&self, weak: &Weak<Shell>) -> Result<(), (Asked, ErrorCode)> {
        let gone = (Asked::TxnOffsetCommit, ErrorCode::NetworkException);
        let Some(shell) = weak.upgrade() else {
            return Err(gone);
        };
        let deadline = shell.client.env().now() + shell.config.max_block;
        let (identity, implicit) = {
            let state = lock(&shell.state);
            (state.core.producer_id(), state.core.is_implicit())
        };
        let identity = identity.ok_or(gone)?;
        let transactional_id = shell.config.transactional_id.clone().unwrap_or_default();
        drop(shell);
        if !implicit {
            let request = wire::AddOffsetsToTxnRequest {
                transactional_id: transactional_id.clone(),
                producer_id: identity.producer_id,
                producer_epoch: identity.producer_epoch,
                group_id: self.group.group_id.clone(),
                ..Default::default()
            };
            let asked = Asked::AddOffsetsToTxn;
            let read = |response: &wire::AddOffsetsToTxnResponse| response.error_code;
            let added = repeat(weak, asked, &request, i16::MAX, &read, Some(deadline)).await;
            added.map_err(|error| (asked, error))?;
        }
        let request = self.request(transactional_id, identity);
        let max = if implicit {
            i16::MAX
        } else {
            TXN_OFFSET_COMMIT_CLASSIC
        };
        let mut coordinator = Coordinator::default();
        let mut tries = 0;
        loop {
            let Some(shell) = weak.upgrade() else {
                return Err(gone);
            };
            let asked = Asked::TxnOffsetCommit;
            let (client, key) = (shell.client.clone(), &self.group.group_id);
            let sent = attempt(
                &client,
                &shell,
                &mut coordinator,
                key,
                asked,
                &request,
                max,
                &read_commit,
            );
            let last = match sent.await {
                Attempt::Done(_) => return Ok(()),
                Attempt::Final(error) | Attempt::Again(error)
                    if asked.verdict(error) >= Verdict::Abortable =>
                {
                    return Err((asked, error));
                }
                Attempt::Final(error) | Attempt::Again(error) => error,
                Attempt::Closed => return Err(gone),
            };
            if client.env().now() >= deadline {
                return Err((asked, last));
            }
            let pause = client.retry_backoff(tries);
            drop(shell);
            client.env().sleep(pause).await;
            tries += 1;
        }
    }

    fn request(
        &self,
        transactional_id: String,
        identity: ProducerIdAndEpoch,
    ) -> wire::TxnOffsetCommitRequest {
        let mut topics: BTreeMap<String, Vec<wire::TxnOffsetCommitRequestPartition>> =
            BTreeMap::new();
        for (partition, offset) in &self.offsets {
            let partitions = topics.entry(partition.topic.clone()).or_default();
            partitions.push(wire::TxnOffsetCommitRequestPartition {
                partition_index: partition.partition,
                committed_offset: *offset,
                committed_metadata: Some(String::new()),
                ..Default::default()
            });
        }
        let topics = topics.into_iter();
        wire::TxnOffsetCommitRequest {
            transactional_id,
            group_id: self.group.group_id.clone(),
            producer_id: identity.producer_id,
            producer_epoch: identity.producer_epoch,
            generation_id: self.group.generation_id,
            member_id: self.group.member_id.clone(),
            group_instance_id: self.group.group_instance_id.clone(),
            topics: topics
                .map(|(name, partitions)| wire::TxnOffsetCommitRequestTopic {
                    name,
                    partitions,
                    ..Default::default()
                })
                .collect(),
            ..Default::default()
        }
    }
}

fn read_commit(response: &wire::TxnOffsetCommitResponse) -> i16 {
    let partitions = response.topics.iter().flat_map(|topic| &topic.partitions);
    let errors = partitions.map(|partition| partition.error_code);
    worst(Asked::TxnOffsetCommit, errors)
}
