//! The runtime of replicated coordinators: each partition of an internal topic that this broker leads is a shard.
//!
//! A shard ([`shard`]) loads its partition's log into a [`Coordinator`] core, then takes requests and timers one
//! by one; what a step writes is appended at once and answered when the high watermark has passed it. Whenever
//! the log does not take a record, the shard drops the core and all who wait, and loads again; a later leader
//! epoch, or none, ends it (G-11: it appends in its own epoch only).

mod load;
mod shard;

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use broker_core::Ticket;
use broker_core::producer_state::Proof;
use broker_env::{Env, TaskHandle};
use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, TopicIdPartition};
use bytes::Bytes;
use tokio::sync::{mpsc, oneshot};

use crate::observe::{Observation, Observer};
use crate::replica_manager::ReplicaManager;
use shard::{Phase, Shard};

/// A replicated core, and how its records look. Steps are synchronous; `now_ms` is the wall clock.
pub trait Coordinator: Send + Sized + 'static {
    type Request: Send + 'static;
    type Reply: Send + 'static;
    type Timer: Ord + Clone + Send + 'static;
    /// Work outside of the partition that a step asks for, e.g. requests to others.
    type Job: Send + 'static;
    /// What a job tells the core that asked for it, and no other.
    type Report: Send + 'static;

    /// Takes in a record of the log; kinds of other releases are skipped.
    fn replay(&mut self, key: Bytes, value: Option<Bytes>);

    /// One that belongs to the producer's open transaction. Only a coordinator that writes such has any.
    fn replay_transactional(&mut self, producer_id: i64, key: Bytes, value: Option<Bytes>) {
        let _ = producer_id;
        self.replay(key, value);
    }

    /// The end of the producer's transaction.
    fn replay_marker(&mut self, _producer_id: i64, _committed: bool) {}

    /// The log was read to its end, and all of it is committed.
    fn loaded(&mut self, now_ms: i64, out: &mut Vec<Effect<Self>>);

    fn handle(
        &mut self,
        ticket: Ticket,
        request: Self::Request,
        now_ms: i64,
        out: &mut Vec<Effect<Self>>,
    );

    fn timer(&mut self, timer: Self::Timer, now_ms: i64, out: &mut Vec<Effect<Self>>);

    fn report(&mut self, report: Self::Report, now_ms: i64, out: &mut Vec<Effect<Self>>);

    /// Whether a request is carried out also while the log takes no records.
    fn is_read(request: &Self::Request) -> bool;
}

/// A record; without a value it deletes.
pub type KeyValue = (Bytes, Option<Bytes>);

/// What a step wants done, in order.
pub enum Effect<C: Coordinator> {
    /// Keys and values; those of one step are in one batch.
    Append(Vec<KeyValue>),
    /// A batch of a transaction. It is replayed once the partition has taken it; else the request under the
    /// ticket is refused, and nothing has happened.
    AppendTransactional(Ticket, Producer, Proof, Vec<KeyValue>),
    /// When everything appended so far is committed.
    Reply(Ticket, C::Reply),
    ReplyNow(Ticket, C::Reply),
    /// When everything appended so far is committed.
    Start(C::Job),
    /// Milliseconds from now; replaces.
    Arm(C::Timer, u64),
    Disarm(C::Timer),
}

/// For whom a transactional batch is written.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Producer {
    pub id: i64,
    pub epoch: i16,
}

/// The end of a producer's transaction, as its coordinator in that epoch says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Marker {
    pub producer: Producer,
    pub coordinator_epoch: i32,
    pub committed: bool,
}

/// What a shard is asked for, and whoever waits for its answer.
enum Call<C: Coordinator> {
    Request(C::Request, oneshot::Sender<Result<C::Reply, ErrorCode>>),
    Complete(Marker, oneshot::Sender<Result<(), ErrorCode>>),
}

type Factory<C> = Box<dyn Fn() -> C + Send + Sync>;

/// A job, in whose name it is done, and where its reports go: nowhere any more once that core is gone, and then
/// there is nothing left to do.
pub struct Started<C: Coordinator> {
    pub job: C::Job,
    pub epoch: LeaderEpoch,
    pub reports: mpsc::UnboundedSender<C::Report>,
}

/// Carries out jobs.
pub type Jobs<C> = Box<dyn Fn(Started<C>) + Send + Sync>;

/// The shards of one internal topic on this broker.
pub struct Coordinators<C: Coordinator> {
    env: Env,
    topic: &'static str,
    replicas: Arc<ReplicaManager>,
    observer: Observer,
    factory: Arc<Factory<C>>,
    jobs: Arc<Jobs<C>>,
    shards: Mutex<BTreeMap<i32, Handle<C>>>,
}

struct Handle<C: Coordinator> {
    epoch: LeaderEpoch,
    phase: Arc<Phase>,
    calls: mpsc::UnboundedSender<Call<C>>,
    task: TaskHandle,
}

impl<C: Coordinator> Coordinators<C> {
    pub fn new(
        env: Env,
        topic: &'static str,
        replicas: Arc<ReplicaManager>,
        observer: Observer,
        factory: impl Fn() -> C + Send + Sync + 'static,
        jobs: impl Fn(Started<C>) + Send + Sync + 'static,
    ) -> Coordinators<C> {
        Coordinators {
            env,
            topic,
            replicas,
            observer,
            factory: Arc::new(Box::new(factory)),
            jobs: Arc::new(Box::new(jobs)),
            shards: Mutex::default(),
        }
    }

    pub fn topic(&self) -> &'static str {
        self.topic
    }

    /// This broker leads the partition in that epoch.
    pub fn elected(&self, id: TopicIdPartition, epoch: LeaderEpoch) {
        let mut shards = self.shards.lock().expect("no panic under this lock");
        if shards
            .get(&id.partition)
            .is_some_and(|shard| shard.epoch >= epoch)
        {
            probe!("coordinator: elected in an epoch that is over");
            return;
        }
        if mutant!(T_25) && shards.contains_key(&id.partition) {
            return;
        }
        if let Some(before) = shards.remove(&id.partition) {
            self.end(id, &before);
        }
        let Some(partition) = self.replicas.partition(id) else {
            return;
        };
        let (calls, queue) = mpsc::unbounded_channel();
        let phase = Arc::new(Phase::default());
        let shard = Shard {
            env: self.env.clone(),
            partition,
            epoch,
            factory: self.factory.clone(),
            jobs: self.jobs.clone(),
            phase: phase.clone(),
            observer: self.observer.clone(),
        };
        let task = self.env.spawn("coordinator", shard.run(queue));
        let handle = Handle {
            epoch,
            phase,
            calls,
            task,
        };
        shards.insert(id.partition, handle);
    }

    /// It does not any more: in no epoch up to this, or, if the replica is gone, in none at all (G-17).
    pub fn resigned(&self, id: TopicIdPartition, epoch: Option<LeaderEpoch>) {
        let mut shards = self.shards.lock().expect("no panic under this lock");
        let Some(shard) = shards.get(&id.partition) else {
            return;
        };
        if epoch.is_some_and(|epoch| epoch < shard.epoch) {
            probe!("coordinator: resigned an epoch that is over");
            return;
        }
        if mutant!(T_25) || (mutant!(G_17) && epoch.is_none()) {
            return;
        }
        if let Some(before) = shards.remove(&id.partition) {
            self.end(id, &before);
        }
    }

    /// Those who wait are told by their channels' ends.
    fn end(&self, partition: TopicIdPartition, shard: &Handle<C>) {
        shard.task.abort();
        let epoch = shard.epoch;
        self.observer
            .observe(|| Observation::CoordinatorUnloaded { partition, epoch });
    }

    /// Hands a request to the coordinator of a partition.
    ///
    /// # Errors
    /// NOT_COORDINATOR, also if that became so while the request waited and its outcome is unknown;
    /// COORDINATOR_LOAD_IN_PROGRESS; COORDINATOR_NOT_AVAILABLE while the log takes no records.
    pub async fn call(&self, partition: i32, request: C::Request) -> Result<C::Reply, ErrorCode> {
        let (reply, answer) = oneshot::channel();
        self.send(partition, Call::Request(request, reply))?;
        answer.await.unwrap_or(Err(ErrorCode::NotCoordinator))
    }

    /// As [`Coordinators::call`], to all partitions that this broker coordinates.
    ///
    /// # Errors
    /// The first one's.
    pub async fn call_all(&self, request: &C::Request) -> Result<Vec<C::Reply>, ErrorCode>
    where
        C::Request: Clone,
    {
        let mut replies = Vec::new();
        for partition in self.partitions() {
            match self.call(partition, request.clone()).await {
                Ok(reply) => replies.push(reply),
                // It went elsewhere meanwhile.
                Err(ErrorCode::NotCoordinator) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(replies)
    }

    /// Ends a producer's transaction in a partition: the marker is appended, and what the transaction wrote
    /// there counts, or not. Answers when that is committed, or with what the partition says to the marker:
    /// INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED. No answer: this is no coordinator any more.
    ///
    /// # Errors
    /// As [`Coordinators::call`].
    pub fn complete_transaction(
        &self,
        partition: i32,
        marker: Marker,
    ) -> Result<oneshot::Receiver<Result<(), ErrorCode>>, ErrorCode> {
        let (reply, answer) = oneshot::channel();
        self.send(partition, Call::Complete(marker, reply))?;
        Ok(answer)
    }

    fn send(&self, partition: i32, call: Call<C>) -> Result<(), ErrorCode> {
        let shards = self.shards.lock().expect("no panic under this lock");
        let shard = shards.get(&partition).ok_or(ErrorCode::NotCoordinator)?;
        if !shard.phase.is_active() {
            return Err(ErrorCode::CoordinatorLoadInProgress);
        }
        let sent = shard.calls.send(call);
        sent.map_err(|_| ErrorCode::NotCoordinator)
    }

    /// The partitions that this broker coordinates, loaded or not.
    pub fn partitions(&self) -> Vec<i32> {
        let shards = self.shards.lock().expect("no panic under this lock");
        shards.keys().copied().collect()
    }
}
