//! One partition's coordinator at work.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_core::Ticket;
use broker_core::producer_state::Proof;
use broker_core::replica::Produced;
use broker_env::{Env, select};
use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;
use broker_protocol::ids::LeaderEpoch;
use broker_protocol::record::{BatchBuilder, BatchOptions, EndTxnMarker};
use bytes::BytesMut;
use tokio::sync::{mpsc, oneshot};

use super::load::LoadError;
use super::{Call, Coordinator, Effect, Factory, Jobs, KeyValue, Marker, Producer, Started};
use crate::observe::{Observation, Observer};
use crate::partition::{Partition, ProduceBatch, ProduceReply};
use crate::timers::Timers;

/// Pause before a log that failed is loaded again.
const RELOAD: Duration = Duration::from_millis(100);
/// How much later a timer or a report comes that was due while the log took no records.
const POSTPONED_MS: u64 = 500;
const POSTPONED: Duration = Duration::from_millis(POSTPONED_MS);
/// Requests whose records share a batch.
const BATCHED_MAX: usize = 64;

/// Whether requests are taken.
#[derive(Debug, Default)]
pub struct Phase {
    active: AtomicBool,
}

impl Phase {
    pub fn is_active(&self) -> bool {
        self.active.load(Ordering::Acquire)
    }

    fn set(&self, active: bool) {
        self.active.store(active, Ordering::Release);
    }
}

/// A partition that this broker leads in one epoch.
pub struct Shard<C: Coordinator> {
    pub env: Env,
    pub partition: Arc<Partition>,
    pub epoch: LeaderEpoch,
    pub factory: Arc<Factory<C>>,
    pub jobs: Arc<Jobs<C>>,
    pub phase: Arc<Phase>,
    pub observer: Observer,
}

/// The log did not take a record, or lost one.
struct Failed(ErrorCode);

impl<C: Coordinator> Shard<C> {
    /// Runs while the epoch lasts.
    pub async fn run(self, mut calls: mpsc::UnboundedReceiver<Call<C>>) {
        let (partition, epoch) = (self.partition.id, self.epoch);
        while self.leads() {
            match self.load().await {
                Ok(core) => {
                    self.observer
                        .observe(|| Observation::CoordinatorLoaded { partition, epoch });
                    self.phase.set(true);
                    let Failed(error) = self.serve(core, &mut calls).await;
                    self.phase.set(false);
                    self.observer
                        .observe(|| Observation::CoordinatorUnloaded { partition, epoch });
                    probe!("coordinator: dropped what its log did not take");
                    tracing::warn!(partition = %self.partition.name, %epoch, %error, "coordinator unloaded");
                    // Their answers would be about a state that is gone.
                    while calls.try_recv().is_ok() {}
                }
                Err(LoadError::Fenced) => return,
                Err(LoadError::Log(error)) => {
                    tracing::error!(partition = %self.partition.name, %epoch, error, "coordinator not loaded");
                }
            }
            self.env.sleep(RELOAD).await;
        }
    }

    /// Whether the epoch lasts.
    pub fn leads(&self) -> bool {
        self.partition
            .with_core(|core| core.is_leader() && core.leader_epoch() == self.epoch)
    }

    fn takes_records(&self) -> bool {
        let is_under_min = self.partition.with_core(|core| core.is_under_min_isr());
        self.leads() && !is_under_min
    }

    async fn serve(&self, core: C, calls: &mut mpsc::UnboundedReceiver<Call<C>>) -> Failed {
        let (reports, mut reported) = mpsc::unbounded_channel();
        let mut work = Work::new(self, core, reports);
        let mut effects = Vec::new();
        work.core.loaded(self.now_ms(), &mut effects);
        if let Err(failed) = work.take(effects) {
            return failed;
        }
        loop {
            if let Err(failed) = work.flush() {
                return failed;
            }
            select! {
                committed = committed(&mut work.appended) => {
                    if let Err(failed) = work.committed(committed) {
                        return failed;
                    }
                }
                timer = work.timers.next() => {
                    if let Err(failed) = work.on_timer(timer) {
                        return failed;
                    }
                }
                report = reported.recv() => {
                    work.postponed.push_back(report.expect("the work keeps a sender"));
                    if let Err(failed) = work.on_reports() {
                        return failed;
                    }
                }
                () = self.env.sleep(POSTPONED), if !work.postponed.is_empty() => {
                    if let Err(failed) = work.on_reports() {
                        return failed;
                    }
                }
                call = calls.recv() => {
                    let Some(call) = call else {
                        return Failed(ErrorCode::NotCoordinator);
                    };
                    if let Err(failed) = work.on_calls(call, calls) {
                        return failed;
                    }
                }
            }
        }
    }

    fn now_ms(&self) -> i64 {
        self.env.clock.wall().0
    }
}

/// What is under way.
struct Work<'a, C: Coordinator> {
    shard: &'a Shard<C>,
    core: C,
    timers: Timers<C::Timer>,
    next_ticket: u64,
    waiting: BTreeMap<Ticket, oneshot::Sender<Result<C::Reply, ErrorCode>>>,
    /// Not appended yet.
    batch: Vec<KeyValue>,
    /// What waits for `batch` and all before it.
    held: Vec<Held<C>>,
    /// Not committed yet, in the log's order.
    appended: VecDeque<Appended<C>>,
    reports: mpsc::UnboundedSender<C::Report>,
    /// Reports that the log was not ready for.
    postponed: VecDeque<C::Report>,
}

enum Held<C: Coordinator> {
    Reply(Ticket, C::Reply),
    Start(C::Job),
}

struct Appended<C: Coordinator> {
    answer: oneshot::Receiver<ProduceReply>,
    held: Vec<Held<C>>,
    /// Whose marker it is.
    completed: Option<oneshot::Sender<Result<(), ErrorCode>>>,
}

impl<'a, C: Coordinator> Work<'a, C> {
    fn new(shard: &'a Shard<C>, core: C, reports: mpsc::UnboundedSender<C::Report>) -> Work<'a, C> {
        Work {
            timers: Timers::new(shard.env.clone()),
            shard,
            core,
            next_ticket: 0,
            waiting: BTreeMap::new(),
            batch: Vec::new(),
            held: Vec::new(),
            appended: VecDeque::new(),
            reports,
            postponed: VecDeque::new(),
        }
    }

    /// Those that have come meanwhile go into the same batch.
    fn on_calls(
        &mut self,
        first: Call<C>,
        more: &mut mpsc::UnboundedReceiver<Call<C>>,
    ) -> Result<(), Failed> {
        self.on_call(first)?;
        for _ in 1..BATCHED_MAX {
            match more.try_recv() {
                Ok(call) => self.on_call(call)?,
                Err(_) => break,
            }
        }
        Ok(())
    }

    fn on_call(&mut self, call: Call<C>) -> Result<(), Failed> {
        match call {
            Call::Request(request, reply) => self.on_request(request, reply),
            Call::Complete(marker, reply) => self.on_complete(marker, reply),
        }
    }

    fn on_request(
        &mut self,
        request: C::Request,
        reply: oneshot::Sender<Result<C::Reply, ErrorCode>>,
    ) -> Result<(), Failed> {
        if !C::is_read(&request) && !self.shard.takes_records() {
            probe!("coordinator: refused while its log takes no records");
            let _may_have_left = reply.send(Err(ErrorCode::CoordinatorNotAvailable));
            return Ok(());
        }
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        self.waiting.insert(ticket, reply);
        let mut effects = Vec::new();
        let now_ms = self.shard.now_ms();
        self.core.handle(ticket, request, now_ms, &mut effects);
        self.take(effects)
    }

    fn on_complete(
        &mut self,
        marker: Marker,
        reply: oneshot::Sender<Result<(), ErrorCode>>,
    ) -> Result<(), Failed> {
        if !self.shard.takes_records() {
            let _may_have_left = reply.send(Err(ErrorCode::CoordinatorNotAvailable));
            return Ok(());
        }
        self.flush()?;
        match self.append_marker(&marker)? {
            Ok(answer) => {
                self.core
                    .replay_marker(marker.producer.id, marker.committed);
                self.appended.push_back(Appended {
                    answer,
                    held: Vec::new(),
                    completed: Some(reply),
                });
            }
            Err(error) => {
                probe!("coordinator: a marker was refused");
                let _may_have_left = reply.send(Err(error));
            }
        }
        Ok(())
    }

    fn on_timer(&mut self, timer: C::Timer) -> Result<(), Failed> {
        if !self.shard.takes_records() {
            self.timers.arm(timer, POSTPONED_MS, POSTPONED_MS);
            return Ok(());
        }
        let mut effects = Vec::new();
        self.core.timer(timer, self.shard.now_ms(), &mut effects);
        self.take(effects)
    }

    fn on_reports(&mut self) -> Result<(), Failed> {
        while self.shard.takes_records()
            && let Some(report) = self.postponed.pop_front()
        {
            let mut effects = Vec::new();
            self.core.report(report, self.shard.now_ms(), &mut effects);
            self.take(effects)?;
        }
        Ok(())
    }

    fn take(&mut self, effects: Vec<Effect<C>>) -> Result<(), Failed> {
        for effect in effects {
            match effect {
                Effect::Append(records) => self.batch.extend(records),
                Effect::AppendTransactional(ticket, producer, proof, records) => {
                    self.flush()?;
                    self.on_transactional(ticket, (producer, proof), records)?;
                }
                Effect::Reply(ticket, reply) => self.held.push(Held::Reply(ticket, reply)),
                Effect::Start(job) => self.held.push(Held::Start(job)),
                Effect::ReplyNow(ticket, reply) => self.reply(ticket, reply),
                Effect::Arm(timer, after_ms) => self.timers.arm(timer, after_ms, after_ms),
                Effect::Disarm(timer) => self.timers.disarm(&timer),
            }
        }
        Ok(())
    }

    /// The partition knows whether the producer is fenced, or its transaction over: then nothing has happened.
    fn on_transactional(
        &mut self,
        ticket: Ticket,
        (producer, proof): (Producer, Proof),
        records: Vec<KeyValue>,
    ) -> Result<(), Failed> {
        match self.append_transactional(producer, proof, &records)? {
            Ok(answer) => {
                for (key, value) in records {
                    self.core.replay_transactional(producer.id, key, value);
                }
                self.appended.push_back(Appended {
                    answer,
                    held: Vec::new(),
                    completed: None,
                });
            }
            Err(error) => {
                probe!("coordinator: a transactional batch was refused");
                if let Some(waiting) = self.waiting.remove(&ticket) {
                    let _may_have_left = waiting.send(Err(error));
                }
            }
        }
        Ok(())
    }

    fn reply(&mut self, ticket: Ticket, reply: C::Reply) {
        if let Some(waiting) = self.waiting.remove(&ticket) {
            let _may_have_left = waiting.send(Ok(reply));
        }
    }

    fn release(&mut self, held: Vec<Held<C>>) {
        for held in held {
            match held {
                Held::Reply(ticket, reply) => self.reply(ticket, reply),
                Held::Start(job) => (self.shard.jobs)(Started {
                    job,
                    epoch: self.shard.epoch,
                    reports: self.reports.clone(),
                }),
            }
        }
    }

    /// Appends what the steps since the last flush wrote, and lets go of what waits for nothing.
    fn flush(&mut self) -> Result<(), Failed> {
        let held = std::mem::take(&mut self.held);
        if !self.batch.is_empty() {
            let records = std::mem::take(&mut self.batch);
            let answer = self.append(&records)?;
            self.appended.push_back(Appended {
                answer,
                held,
                completed: None,
            });
            return Ok(());
        }
        match self.appended.back_mut() {
            Some(last) => last.held.extend(held),
            None => self.release(held),
        }
        Ok(())
    }

    fn append(&self, records: &[KeyValue]) -> Result<oneshot::Receiver<ProduceReply>, Failed> {
        let batch = self.batch_of(records, BatchOptions::default());
        if mutant!(G_11) {
            return Ok(self.shard.partition.produce(batch, -1));
        }
        self.produce(batch)
    }

    /// What the partition says to the batch, before it is replicated, is the inner result.
    fn append_transactional(
        &self,
        producer: Producer,
        proof: Proof,
        records: &[KeyValue],
    ) -> Result<Result<oneshot::Receiver<ProduceReply>, ErrorCode>, Failed> {
        let options = BatchOptions {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            is_transactional: true,
            ..BatchOptions::default()
        };
        let batch = self.batch_of(records, options).with_proof(proof);
        Ok(judged(self.produce(batch)?))
    }

    fn append_marker(
        &self,
        marker: &Marker,
    ) -> Result<Result<oneshot::Receiver<ProduceReply>, ErrorCode>, Failed> {
        let end = EndTxnMarker {
            committed: marker.committed,
            coordinator_epoch: marker.coordinator_epoch,
        };
        let producer = marker.producer;
        let now = self.shard.env.clock.wall();
        let batch = ProduceBatch::end_of_transaction(producer.id, producer.epoch, end, now);
        Ok(judged(self.produce(batch)?))
    }

    fn batch_of(&self, records: &[KeyValue], options: BatchOptions) -> ProduceBatch {
        let mut builder = BatchBuilder::new(options);
        let now_ms = self.shard.now_ms();
        for (key, value) in records {
            builder.append(now_ms, Some(key), value.as_deref(), &[]);
        }
        ProduceBatch::internal(BytesMut::from(builder.build().as_bytes()))
    }

    fn produce(&self, batch: ProduceBatch) -> Result<oneshot::Receiver<ProduceReply>, Failed> {
        let Shard {
            partition, epoch, ..
        } = self.shard;
        partition.produce_in_epoch(batch, *epoch).map_err(Failed)
    }

    fn committed(&mut self, result: ProduceReply) -> Result<(), Failed> {
        result.map_err(Failed)?;
        let Some(appended) = self.appended.pop_front() else {
            return Ok(());
        };
        if let Some(completed) = appended.completed {
            let _may_have_left = completed.send(Ok(()));
        }
        self.release(appended.held);
        Ok(())
    }
}

/// A batch that is refused is answered at once.
fn judged(
    mut answer: oneshot::Receiver<ProduceReply>,
) -> Result<oneshot::Receiver<ProduceReply>, ErrorCode> {
    match answer.try_recv() {
        Ok(Err(error)) => Err(error),
        Ok(Ok(produced)) => Ok(answered(produced)),
        Err(_) => Ok(answer),
    }
}

/// A channel that says so already: with one replica the batch is committed where it is appended.
fn answered(produced: Produced) -> oneshot::Receiver<ProduceReply> {
    let (reply, answer) = oneshot::channel();
    let _kept_below = reply.send(Ok(produced));
    answer
}

/// The oldest append is committed, or lost. Cancel-safe.
async fn committed<C: Coordinator>(appended: &mut VecDeque<Appended<C>>) -> ProduceReply {
    match appended.front_mut() {
        Some(first) => (&mut first.answer)
            .await
            .unwrap_or(Err(ErrorCode::NotLeaderOrFollower)),
        None => std::future::pending().await,
    }
}
