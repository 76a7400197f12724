//! Drives the core: records in, requests and timers out, outcomes back to who sent.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, Weak};

use broker_core::producer::{
    Config, Input, Outcome, Output, Producer as Core, ProducerIdAndEpoch, RecordHandle, Timer,
};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{TopicIdPartition, Uuid};
use tokio::sync::{Notify, oneshot};

use super::request::Told;
use super::{ProducerRecord, RecordMetadata, wait_until};
use crate::client::Client;
use crate::config::ProducerConfig;
use crate::coordinator::Coordinator;
use crate::error::ProduceError;
use crate::partitioner::Sticky;
use crate::refresh::{self, Refresh, Subscriber};
use crate::tasks::{Tasks, lock};
use crate::timers::Timers;

pub type Reply = oneshot::Sender<Result<RecordMetadata, ProduceError>>;

pub struct Shell {
    pub client: Client,
    pub config: ProducerConfig,
    pub(super) tasks: Tasks,
    timers: Timers<Timer>,
    refresh: Refresh,
    /// Some records have got their outcome.
    pub(super) progress: Notify,
    pub(super) state: Mutex<State>,
    /// Of the transactional id.
    pub(super) coordinator: tokio::sync::Mutex<Coordinator>,
}

pub struct State {
    pub core: Core,
    pub records: BTreeMap<RecordHandle, Pending>,
    pub next_record: u64,
    /// Topics used so far.
    pub names: BTreeMap<Uuid, String>,
    pub sticky: BTreeMap<String, Sticky>,
    pub closed: bool,
    /// The coordinator may have got the end of the transaction without an answer to it.
    pub end_may_have_arrived: bool,
}

/// A record on its way.
pub struct Pending {
    pub record: ProducerRecord,
    pub timestamp: i64,
    pub reply: Reply,
}

impl Shell {
    pub fn start(client: Client, config: ProducerConfig) -> Arc<Shell> {
        let core = Core::new(Config {
            batch_size: config.batch_size,
            max_request_size: config.max_request_size,
            max_in_flight: config.max_in_flight,
            retries: config.retries,
            linger: !config.linger.is_zero(),
            idempotence: config.is_idempotent(),
            transactional: config.transactional_id.is_some(),
        });
        let state = State {
            core,
            records: BTreeMap::new(),
            next_record: 0,
            names: BTreeMap::new(),
            sticky: BTreeMap::new(),
            closed: false,
            end_may_have_arrived: false,
        };
        let env = client.env().clone();
        let shell = Arc::new(Shell {
            client,
            config,
            tasks: Tasks::new(env.clone()),
            timers: Timers::new(env),
            refresh: Refresh::default(),
            progress: Notify::new(),
            state: Mutex::new(state),
            coordinator: tokio::sync::Mutex::new(Coordinator::of_transactions()),
        });
        let weak = Arc::downgrade(&shell);
        let fire =
            move |timers: Vec<Timer>| weak.upgrade().map(|shell| shell.fire(timers)).is_some();
        shell.tasks.spawn("producer timers", shell.timers.run(fire));
        shell
    }

    pub async fn flush(self: &Arc<Self>) {
        let until = {
            let mut state = lock(&self.state);
            self.step(&mut state, Input::Flush, &Told::default());
            RecordHandle(state.next_record)
        };
        wait_until(&self.progress, || {
            let state = lock(&self.state);
            state
                .records
                .first_key_value()
                .is_none_or(|(oldest, _)| *oldest >= until)
        })
        .await;
    }

    pub fn refuse_records(&self) {
        lock(&self.state).closed = true;
        self.progress.notify_waiters();
    }

    /// Ends the tasks; dropping the replies tells that the outcomes are unknown.
    pub fn stop(&self) {
        self.tasks.close();
        let records = std::mem::take(&mut lock(&self.state).records);
        drop(records);
        self.progress.notify_waiters();
    }

    pub fn in_flight(&self) -> usize {
        lock(&self.state).records.len()
    }

    fn fire(self: &Arc<Self>, timers: Vec<Timer>) {
        let mut state = lock(&self.state);
        for timer in timers {
            self.step(&mut state, Input::Timer(timer), &Told::late());
        }
    }

    /// Gives the core an input and does what it says. `told` is what the broker said about this.
    pub(super) fn step(self: &Arc<Self>, state: &mut State, input: Input, told: &Told) {
        let mut out = Vec::new();
        state.core.step(input, &mut out);
        self.carry_out(state, out, told);
    }

    /// Does what the core says, and gives it what comes of that at once.
    pub(super) fn carry_out(
        self: &Arc<Self>,
        state: &mut State,
        mut out: Vec<Output>,
        told: &Told,
    ) {
        let mut inputs = VecDeque::new();
        loop {
            for output in out.drain(..) {
                inputs.extend(self.perform(state, output, told));
            }
            let Some(input) = inputs.pop_front() else {
                return;
            };
            state.core.step(input, &mut out);
        }
    }

    /// May answer the core at once.
    fn perform(self: &Arc<Self>, state: &mut State, output: Output, told: &Told) -> Option<Input> {
        match output {
            Output::Produce {
                request,
                node,
                batches,
            } => self.produce(state, request, node, &batches),
            Output::Complete {
                partition,
                records,
                outcome,
            } => {
                self.complete(state, partition, &records, outcome, told);
            }
            Output::RefreshMetadata { partition } => self.want_metadata(state, partition),
            Output::Arm { timer, attempt } => self.arm(timer, attempt),
            Output::InitProducerId { previous } => return self.init_producer_id(previous),
            Output::AddPartitions { partitions } => {
                let identity = state.core.producer_id();
                self.add_partitions(&state.names, identity, &partitions);
            }
            Output::EndTxn { committed } => {
                let (identity, implicit) = (state.core.producer_id(), state.core.is_implicit());
                self.end_txn(identity, implicit, committed);
            }
        }
        None
    }

    fn arm(&self, timer: Timer, attempt: u32) {
        match timer {
            Timer::Linger(_) => self.timers.arm(timer, self.config.linger),
            Timer::Retry(_) | Timer::ProducerIdRetry => {
                self.timers.arm(timer, self.client.retry_backoff(attempt))
            }
            // One per batch, and hardly ever of use.
            Timer::Delivery(..) => {
                let limit = self.config.delivery_timeout;
                self.timers.arm_coarsely(timer, limit, limit / 64);
            }
        }
    }

    fn complete(
        &self,
        state: &mut State,
        partition: TopicIdPartition,
        records: &[RecordHandle],
        outcome: Outcome,
        told: &Told,
    ) {
        for (index, handle) in (0_i64..).zip(records) {
            let Some(pending) = state.records.remove(handle) else {
                continue;
            };
            let result = match outcome {
                Outcome::Acked { base_offset } => Ok(RecordMetadata {
                    topic: pending.record.topic,
                    partition: partition.partition,
                    offset: (base_offset >= 0).then_some(base_offset + index),
                    timestamp: told.append_time(partition).unwrap_or(pending.timestamp),
                }),
                Outcome::Failed(error) => {
                    Err(ProduceError::definite(error, told.reason(partition)))
                }
                Outcome::Unknown(error) => {
                    Err(ProduceError::unknown(error, told.reason(partition)))
                }
            };
            // Who sent it may not want to know.
            let _gone = pending.reply.send(result);
        }
        self.progress.notify_waiters();
    }

    fn want_metadata(self: &Arc<Self>, state: &mut State, partition: TopicIdPartition) {
        if let Some(sticky) = state
            .names
            .get(&partition.topic_id)
            .and_then(|name| state.sticky.get_mut(name))
        {
            sticky.leave(partition.partition);
        }
        self.start_refresh();
    }

    pub(super) fn start_refresh(self: &Arc<Self>) {
        if self.refresh.want() {
            let subscriber: Weak<Shell> = Arc::downgrade(self);
            self.tasks.spawn(
                "producer metadata",
                refresh::run(self.client.clone(), subscriber),
            );
        }
    }

    /// The core's view of who leads a topic's partitions.
    pub(super) fn tell_leaders(self: &Arc<Self>, state: &mut State, topic_id: Uuid) {
        let Some(name) = state.names.get(&topic_id) else {
            return;
        };
        let leaders: Vec<_> = self.client.metadata(|metadata| {
            let topic = metadata.topic(name).filter(|topic| topic.id == topic_id);
            let partitions = topic.into_iter().flat_map(|topic| &topic.partitions);
            partitions
                .map(|(index, known)| (*index, known.leader))
                .collect()
        });
        for (partition, leader) in leaders {
            let partition = TopicIdPartition {
                topic_id,
                partition,
            };
            self.step(state, Input::Leader { partition, leader }, &Told::default());
        }
    }

    /// Without transactions the next epoch is the client's own affair (KIP-360).
    fn init_producer_id(self: &Arc<Self>, previous: Option<ProducerIdAndEpoch>) -> Option<Input> {
        if self.config.transactional_id.is_some() {
            self.init_transactional_id(previous);
            return None;
        }
        if let Some(previous) = previous
            && let Some(producer_epoch) = previous.producer_epoch.checked_add(1)
        {
            return Some(Input::ProducerId(Ok(ProducerIdAndEpoch {
                producer_epoch,
                ..previous
            })));
        }
        let (weak, client) = (Arc::downgrade(self), self.client.clone());
        self.tasks.spawn("producer id", async move {
            let result = ask_producer_id(&client).await;
            if let Some(shell) = weak.upgrade() {
                shell.step(
                    &mut lock(&shell.state),
                    Input::ProducerId(result),
                    &Told::default(),
                );
            }
        });
        None
    }
}

impl Subscriber for Shell {
    fn refresh(&self) -> &Refresh {
        &self.refresh
    }

    fn topics(&self) -> BTreeSet<String> {
        lock(&self.state).names.values().cloned().collect()
    }

    /// The core asks again for partitions that have no leader still.
    fn updated(self: Arc<Self>) -> bool {
        let mut state = lock(&self.state);
        let topics: Vec<Uuid> = state.names.keys().copied().collect();
        for topic_id in topics {
            self.tell_leaders(&mut state, topic_id);
        }
        true
    }
}

async fn ask_producer_id(client: &Client) -> Result<ProducerIdAndEpoch, ErrorCode> {
    let request = wire::InitProducerIdRequest {
        transactional_id: None,
        transaction_timeout_ms: i32::MAX,
        ..Default::default()
    };
    let response = client
        .call_any(&request, client.config().request_timeout)
        .await;
    let response = response.map_err(|_| ErrorCode::NetworkException)?;
    match ErrorCode::from_code_or_unknown(response.error_code) {
        ErrorCode::None => {
            let wire::InitProducerIdResponse {
                producer_id,
                producer_epoch,
                ..
            } = response;
            Ok(ProducerIdAndEpoch {
                producer_id,
                producer_epoch,
            })
        }
        error => Err(error),
    }
}
