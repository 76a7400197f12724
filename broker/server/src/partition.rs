//! One hosted partition: the shell around `core::replica` and its log.
//!
//! A partition has one lock over core and log, held for a step: the core decides, the log's page-cache
//! writes follow, and what waits (syncs, AlterPartition, fetches) is handed to tasks. Nothing waits under
//! the lock.
//!
//! Map: `outputs` carries out what the core says · `produce` and `fetch` are the data path · `producers` knows
//! what the log says of idempotent producers · `flush` makes durable · `clean`
//! compacts.

mod clean;
mod fetch;
mod flush;
mod outputs;
mod produce;
mod producers;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard};

use broker_core::Ticket;
use broker_core::producer_state::ProducerStates;
use broker_core::replica::{
    AlterPartitionId, AlteredPartition, Config, Input, LogState, Output, Replica, Timer,
};
use broker_env::{DiskError, Env};
use broker_protocol::ErrorCode;
use broker_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, TopicIdPartition, TopicPartition,
    Uuid,
};
use broker_storage::{Log, LogError, SharedLog};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::config::TopicConfig;
use crate::core_steps::CoreStep;
use crate::internal_topics::is_internal;
use crate::observe::{Observation, Observer};
use crate::replication_quotas::Throttled;
use crate::waiters::{Waiter, Waiters};
pub use fetch::{FetchRead, FetchResult, Isolation, ReadLimits, fetched_batches};
pub use produce::{ProduceBatch, ProduceReply};

/// What partitions ask of the rest of the broker.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PartitionEvent {
    /// Ask the controller for this ISR.
    AlterPartition {
        partition: TopicIdPartition,
        request: AlterPartitionId,
        leader_epoch: LeaderEpoch,
        partition_epoch: PartitionEpoch,
        isr: Vec<(NodeId, BrokerEpoch)>,
    },
    /// The follower has something to fetch from this leader.
    FetchReady {
        partition: TopicIdPartition,
        leader: NodeId,
    },
    /// Ask the leader for its log's bounds.
    QueryLeaderOffsets {
        partition: TopicIdPartition,
        leader: NodeId,
        leader_epoch: LeaderEpoch,
    },
    Arm {
        partition: TopicIdPartition,
        timer: Timer,
    },
    DirectoryFailed {
        directory: Uuid,
        error: DiskError,
    },
    /// This broker leads a partition of an internal topic.
    Elected {
        partition: TopicIdPartition,
        topic: String,
        epoch: LeaderEpoch,
    },
    /// It does not, in this epoch; without one, the replica is gone.
    Resigned {
        partition: TopicIdPartition,
        topic: String,
        epoch: Option<LeaderEpoch>,
    },
    /// The controller does not know that this directory hosts the replica.
    AssignDirectory {
        partition: TopicIdPartition,
        directory: Uuid,
    },
}

/// What all partitions of a broker share.
#[derive(Clone)]
pub struct PartitionContext {
    pub env: Env,
    pub node: NodeId,
    pub observer: Observer,
    pub events: mpsc::UnboundedSender<PartitionEvent>,
    /// `producer.id.expiration.ms`
    pub producer_id_expiration_ms: i64,
}

/// A partition hosted by this broker.
pub struct Partition {
    pub id: TopicIdPartition,
    pub name: TopicPartition,
    /// Of the log directory that hosts it.
    pub directory: Uuid,
    context: PartitionContext,
    inner: Mutex<Inner>,
}

struct Inner {
    core: Replica,
    /// For the observer of its steps.
    instance: u64,
    log: SharedLog,
    /// What the log says of the producers that write to it.
    producers: ProducerStates,
    /// Shared with the requests that are being validated against it.
    config: Arc<TopicConfig>,
    throttled: Throttled,
    log_end_waiters: Waiters,
    high_watermark_waiters: Waiters,
    /// Produce requests that wait for the core's answer.
    produces: BTreeMap<Ticket, Produce>,
    next_ticket: u64,
    /// Reused by every step.
    outputs: Vec<Output>,
}

struct Produce {
    reply: oneshot::Sender<ProduceReply>,
    records: i64,
    acks: i16,
}

/// What a step may append.
enum Payload {
    None,
    Produce(ProduceBatch),
    Fetched(Bytes),
}

impl Partition {
    /// A partition whose log is open; a follower of nobody until metadata comes.
    ///
    /// # Errors
    /// The log cannot be read to its end.
    pub fn new(
        id: TopicIdPartition,
        name: TopicPartition,
        directory: Uuid,
        context: PartitionContext,
        log: SharedLog,
        config: TopicConfig,
        high_watermark: Offset,
    ) -> Result<Partition, LogError> {
        let now = context.env.clock.wall().0;
        let (state, producers) = {
            let mut log = log.lock();
            let limit = context.producer_id_expiration_ms;
            let producers = producers::load_producers(&mut log, high_watermark, now, limit)?;
            let state = LogState {
                log_start: log.log_start(),
                log_end: log.log_end(),
                epochs: fetch::core_epochs(&log),
                high_watermark,
            };
            (state, producers)
        };
        let instance = context.observer.instance();
        let recorded = context.observer.recorded(&state);
        let core = Replica::new(context.node, core_config(&config), state);
        if let Some(log) = &recorded {
            context.observer.step(CoreStep::ReplicaOpened {
                partition: id,
                instance,
                config: core_config(&config),
                log,
                core: &core,
            });
        }
        let inner = Inner {
            core,
            instance,
            log,
            producers,
            throttled: Throttled::of(&config, name.partition, context.node),
            config: Arc::new(config),
            log_end_waiters: Waiters::default(),
            high_watermark_waiters: Waiters::default(),
            produces: BTreeMap::new(),
            next_ticket: 0,
            outputs: Vec::new(),
        };
        Ok(Partition {
            id,
            name,
            directory,
            context,
            inner: Mutex::new(inner),
        })
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().expect("no panic under this lock")
    }

    /// Feeds the core an input that carries no records.
    pub fn step(self: &Arc<Self>, input: Input) {
        self.step_locked(&mut self.lock(), input, Payload::None);
    }

    pub fn timer(self: &Arc<Self>, timer: Timer) {
        self.step(Input::Timer(timer));
    }

    pub fn alter_partition_result(
        self: &Arc<Self>,
        request: AlterPartitionId,
        result: Result<AlteredPartition, ErrorCode>,
    ) {
        self.step(Input::AlterPartitionResult { request, result });
    }

    /// New topic configuration.
    pub fn configure(self: &Arc<Self>, config: TopicConfig) {
        let mut inner = self.lock();
        inner.log().set_config(log_config(&config));
        let input = Input::Configure(core_config(&config));
        inner.throttled = Throttled::of(&config, self.name.partition, self.context.node);
        inner.config = Arc::new(config);
        self.step_locked(&mut inner, input, Payload::None);
    }

    /// Which replication throttles apply here (KIP-73).
    pub fn throttled(&self) -> Throttled {
        self.lock().throttled
    }

    /// The topic was deleted or the log directory failed: answers everybody who waits.
    pub fn stop(self: &Arc<Self>, error: ErrorCode) {
        let mut inner = self.lock();
        self.step_locked(&mut inner, Input::Stop(error), Payload::None);
        inner.log_end_waiters.wake_all();
        inner.high_watermark_waiters.wake_all();
        self.resign(None);
    }

    /// Tells the coordinator of an internal partition that its time is over.
    fn resign(&self, epoch: Option<LeaderEpoch>) {
        if is_internal(&self.name.topic) {
            self.send(PartitionEvent::Resigned {
                partition: self.id,
                topic: self.name.topic.clone(),
                epoch,
            });
        }
    }

    /// Reads the core's state.
    pub fn with_core<T>(&self, read: impl FnOnce(&Replica) -> T) -> T {
        read(&self.lock().core)
    }

    pub fn with_log<T>(&self, read: impl FnOnce(&mut Log) -> T) -> T {
        read(&mut self.lock().log())
    }

    pub fn high_watermark(&self) -> Offset {
        self.lock().core.high_watermark()
    }

    /// What readers of committed data may see below.
    pub fn last_stable_offset(&self) -> Offset {
        self.lock().last_stable_offset()
    }

    /// Wakes the waiter at the next append, or when the partition's role changes.
    pub fn wait_for_log_end(&self, waiter: &Arc<Waiter>) {
        self.lock().log_end_waiters.add(waiter);
    }

    /// Wakes the waiter when the high watermark moves, or when the partition's role changes.
    pub fn wait_for_high_watermark(&self, waiter: &Arc<Waiter>) {
        self.lock().high_watermark_waiters.add(waiter);
    }

    fn observe(&self, make: impl FnOnce() -> Observation) {
        self.context.observer.observe(make);
    }

    fn send(&self, event: PartitionEvent) {
        let _broker_has_stopped = self.context.events.send(event);
    }
}

impl Inner {
    fn log(&self) -> MutexGuard<'_, Log> {
        self.log.lock()
    }

    /// Start and end.
    fn log_bounds(&self) -> (Offset, Offset) {
        let log = self.log();
        (log.log_start(), log.log_end())
    }

    /// What the core says to `input`, added to `outputs`, which are empty.
    fn take(&mut self, partition: &Partition, input: Input, outputs: &mut Vec<Output>) {
        let observer = &partition.context.observer;
        let recorded = observer.recorded(&input);
        self.core.step(input, outputs);
        if let Some(input) = &recorded {
            observer.step(CoreStep::Replica {
                partition: partition.id,
                instance: self.instance,
                input,
                outputs,
                core: &self.core,
            });
        }
    }

    fn ticket(&mut self) -> Ticket {
        self.next_ticket += 1;
        Ticket(self.next_ticket)
    }
}

fn core_config(config: &TopicConfig) -> Config {
    Config {
        min_insync_replicas: usize::try_from(config.min_insync_replicas).unwrap_or(1),
        flush_before_ack: config.flush_messages == 1,
    }
}

/// A topic's configuration as far as its logs obey it.
pub fn log_config(config: &TopicConfig) -> broker_storage::LogConfig {
    let bounded = |value: i64| u32::try_from(value).unwrap_or(u32::MAX);
    broker_storage::LogConfig {
        segment_bytes: bounded(config.segment_bytes),
        segment_ms: config.segment_ms,
        index_interval_bytes: bounded(config.index_interval_bytes),
        segment_index_bytes: bounded(config.segment_index_bytes),
        flush_messages: config.flush_messages,
        flush_ms: config.flush_ms,
        retention_bytes: config.retention_bytes,
        retention_ms: config.retention_ms,
        cleanup_delete: config.cleanup_policy == "delete",
        cleanup_compact: config.is_compacted(),
        ..broker_storage::LogConfig::default()
    }
}
