//! Drives the core: fetches and lookups out, records into the buffer, errors to the next poll.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, Weak};

use broker_core::consumer::{Config, Consumer as Core, Input, OffsetAndEpoch, Output, Timer};
use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, NodeId, TopicIdPartition, TopicPartition, Uuid};
use tokio::sync::Notify;

use super::ConsumerRecords;
use super::buffer::Buffer;
use super::fetch::Arrived;
use super::lookup::Lookups;
use crate::client::Client;
use crate::config::ConsumerConfig;
use crate::error::ConsumerError;
use crate::refresh::{self, Refresh, Subscriber};
use crate::tasks::{Tasks, lock};
use crate::timers::Timers;

pub struct Shell {
    pub client: Client,
    pub config: ConsumerConfig,
    pub(super) tasks: Tasks,
    timers: Timers<Timer>,
    refresh: Refresh,
    /// Records, an error, or the end.
    pub news: Notify,
    pub(super) state: Mutex<State>,
}

pub struct State {
    pub core: Core,
    /// Topics of the assignment.
    pub names: BTreeMap<Uuid, Arc<str>>,
    ids: BTreeMap<TopicPartition, TopicIdPartition>,
    pub leaders: BTreeMap<TopicIdPartition, Option<NodeId>>,
    pub buffer: Buffer,
    errors: VecDeque<ConsumerError>,
    /// Brokers with a fetch under way.
    pub fetching: BTreeSet<NodeId>,
    closed: bool,
}

impl Shell {
    pub fn start(client: Client, config: ConsumerConfig) -> Arc<Shell> {
        let state = State {
            core: Core::new(Config { reset: config.auto_offset_reset }),
            names: BTreeMap::new(),
            ids: BTreeMap::new(),
            leaders: BTreeMap::new(),
            buffer: Buffer::default(),
            errors: VecDeque::new(),
            fetching: BTreeSet::new(),
            closed: false,
        };
        let env = client.env().clone();
        let shell = Arc::new(Shell {
            client,
            config,
            tasks: Tasks::new(env.clone()),
            timers: Timers::new(env),
            refresh: Refresh::default(),
            news: Notify::new(),
            state: Mutex::new(state),
        });
        let weak = Arc::downgrade(&shell);
        let fire = move |timers: Vec<Timer>| {
            weak.upgrade().map(|shell| shell.steps(timers.into_iter().map(Input::Timer))).is_some()
        };
        shell.tasks.spawn("consumer timers", shell.timers.run(fire));
        shell
    }

    pub async fn assign(self: &Arc<Self>, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        let ids = self.resolve(partitions).await?;
        let mut state = lock(&self.state);
        let gone: Vec<TopicPartition> = state.ids.keys().filter(|known| !ids.contains_key(known)).cloned().collect();
        for partition in gone {
            let Some(partition) = state.ids.remove(&partition) else { continue };
            state.buffer.discard(partition);
            state.leaders.remove(&partition);
            self.step(&mut state, Input::Revoke { partition }, None);
        }
        for (name, partition) in ids {
            state.names.entry(partition.topic_id).or_insert_with(|| name.topic.as_str().into());
            let before = state.ids.insert(name, partition);
            if let Some(recreated) = before.filter(|before| *before != partition) {
                self.step(&mut state, Input::Revoke { partition: recreated }, None);
            }
            self.step(&mut state, Input::Assign { partition, position: None }, None);
        }
        self.tell_leaders(&mut state);
        self.pump(&mut state);
        Ok(())
    }

    async fn resolve(
        &self,
        partitions: &[TopicPartition],
    ) -> Result<BTreeMap<TopicPartition, TopicIdPartition>, ConsumerError> {
        let limit = self.client.config().default_api_timeout;
        let deadline = self.client.env().now() + limit;
        let topics: BTreeSet<String> = partitions.iter().map(|partition| partition.topic.clone()).collect();
        let mut attempt = 0;
        loop {
            let id_of = |partition: &TopicPartition| {
                let known = self.client.metadata(|metadata| {
                    let topic = metadata.topic(&partition.topic)?;
                    topic.partitions.contains_key(&partition.partition).then_some(topic.id)
                });
                known.map(|topic_id| TopicIdPartition { topic_id, partition: partition.partition })
            };
            let found: BTreeMap<_, _> =
                partitions.iter().filter_map(|partition| Some((partition.clone(), id_of(partition)?))).collect();
            let Some(missing) = partitions.iter().find(|partition| !found.contains_key(partition)) else {
                return Ok(found);
            };
            let last = match self.client.refresh_metadata(&topics).await {
                Ok(_) if id_of(missing).is_some() => continue,
                Ok(errors) => {
                    let error = errors.get(&missing.topic).copied().unwrap_or(ErrorCode::UnknownTopicOrPartition);
                    format!("{missing}: {error}")
                }
                Err(error) => error.to_string(),
            };
            if !self.client.pause_before_retry(attempt, deadline).await {
                return Err(ConsumerError::Timeout { limit, last });
            }
            attempt += 1;
        }
    }

    pub fn assignment(&self) -> Vec<TopicPartition> {
        lock(&self.state).ids.keys().cloned().collect()
    }

    pub fn act(
        self: &Arc<Self>,
        partition: &TopicPartition,
        input: impl FnOnce(TopicIdPartition) -> Input,
    ) -> Result<(), ConsumerError> {
        let mut state = lock(&self.state);
        let id = state.ids.get(partition).copied();
        let id = id.ok_or_else(|| ConsumerError::NotAssigned(partition.clone()))?;
        // Nobody is waiting for the answer to a position that is given up.
        state.errors.retain(|error| partition_of(error) != Some(partition));
        self.step(&mut state, input(id), None);
        self.pump(&mut state);
        Ok(())
    }

    pub fn position(&self, partition: &TopicPartition) -> Option<OffsetAndEpoch> {
        let state = lock(&self.state);
        state.core.position(*state.ids.get(partition)?)
    }

    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        let state = lock(&self.state);
        state.core.lag(*state.ids.get(partition)?)
    }

    /// What a poll returns now, if anything.
    pub fn take(self: &Arc<Self>) -> Option<Result<ConsumerRecords, ConsumerError>> {
        let mut state = lock(&self.state);
        if state.closed {
            return Some(Err(ConsumerError::Closed));
        }
        let taken = state.buffer.take(self.config.max_poll_records);
        if taken.is_empty() {
            return state.errors.pop_front().map(Err);
        }
        let mut partitions = Vec::with_capacity(taken.len());
        for part in taken {
            let delivered = Input::Delivered { partition: part.id, generation: part.generation, next: part.next };
            self.step(&mut state, delivered, None);
            partitions.push(part.records);
        }
        self.pump(&mut state);
        Some(Ok(ConsumerRecords { partitions }))
    }

    pub fn close(&self) {
        lock(&self.state).closed = true;
        self.tasks.close();
        self.news.notify_waiters();
    }

    /// Several inputs, then whatever can be fetched.
    pub(super) fn steps(self: &Arc<Self>, inputs: impl IntoIterator<Item = Input>) {
        let mut state = lock(&self.state);
        for input in inputs {
            self.step(&mut state, input, None);
        }
        self.pump(&mut state);
    }

    /// Fetches from every broker that is not being asked, while there is room for a poll's worth.
    pub(super) fn pump(self: &Arc<Self>, state: &mut State) {
        if state.closed || state.buffer.count() >= self.config.max_poll_records {
            return;
        }
        let leaders: BTreeSet<NodeId> = state.leaders.values().flatten().copied().collect();
        for node in leaders {
            if !state.fetching.contains(&node) {
                self.step(state, Input::Fetch { node }, None);
            }
        }
    }

    /// Gives the core an input and does what it says. `arrived` is what a fetch brought.
    pub(super) fn step(self: &Arc<Self>, state: &mut State, input: Input, mut arrived: Option<Arrived>) {
        let mut out = Vec::new();
        state.core.step(input, &mut out);
        let mut lookups = Lookups::default();
        for output in out {
            match output {
                Output::Fetch { node, positions } => self.fetch(state, node, positions),
                Output::Accept { partition, generation, from, next } => {
                    let arrived = arrived.take().expect("records are accepted out of a fetch only");
                    state.buffer.push(arrived.into_chunk(partition, generation, from, next));
                    self.news.notify_waiters();
                }
                Output::DropBuffered { partition } => state.buffer.discard(partition),
                Output::RefreshMetadata { .. } => self.start_refresh(),
                Output::Arm(timer) => self.timers.arm(timer, self.client.config().retry_backoff),
                Output::TruncationDetected { partition, position, divergent } => {
                    let error = |partition| ConsumerError::LogTruncation { partition, position, divergent };
                    self.report(state, partition, error);
                }
                Output::Stalled { partition, offset, error } => self.stalled(state, partition, offset, error),
                Output::ListOffset { .. } | Output::OffsetForLeaderEpoch { .. } => lookups.add(output),
            }
        }
        self.look_up(state, lookups);
    }

    /// Truncation was reported on its own, then a stall without an offset problem follows it.
    fn stalled(&self, state: &mut State, id: TopicIdPartition, offset: Option<i64>, error: Option<ErrorCode>) {
        let reported = state.errors.iter().any(|error| {
            matches!(error, ConsumerError::LogTruncation { partition, .. } if state.ids.get(partition) == Some(&id))
        });
        match (error, offset) {
            (None, _) if reported => {}
            (Some(ErrorCode::OffsetOutOfRange), Some(offset)) => {
                self.report(state, id, |partition| ConsumerError::OffsetOutOfRange { partition, offset });
            }
            (Some(error), _) => self.report(state, id, |partition| ConsumerError::Partition { partition, error }),
            // An assignment without a policy: told when the application polls before it seeks.
            (None, _) => self.report(state, id, ConsumerError::NoOffsetForPartition),
        }
    }

    fn report(&self, state: &mut State, id: TopicIdPartition, error: impl FnOnce(TopicPartition) -> ConsumerError) {
        let Some(name) = state.names.get(&id.topic_id) else { return };
        state.errors.push_back(error(TopicPartition::new(name.as_ref(), id.partition)));
        self.news.notify_waiters();
    }

    pub(super) fn start_refresh(self: &Arc<Self>) {
        if self.refresh.want() {
            let subscriber: Weak<Shell> = Arc::downgrade(self);
            self.tasks.spawn("consumer metadata", refresh::run(self.client.clone(), subscriber));
        }
    }

    /// The core's view of who leads what is assigned; true if everything has a leader.
    pub(super) fn tell_leaders(self: &Arc<Self>, state: &mut State) -> bool {
        let known: Vec<(TopicIdPartition, Option<NodeId>, LeaderEpoch)> = self.client.metadata(|metadata| {
            let known = state.ids.iter().map(|(name, id)| {
                let topic = metadata.topic(&name.topic).filter(|topic| topic.id == id.topic_id);
                let partition = topic.and_then(|topic| topic.partitions.get(&id.partition));
                partition.map_or((*id, None, LeaderEpoch(-1)), |known| (*id, known.leader, known.leader_epoch))
            });
            known.collect()
        });
        let mut complete = true;
        for (partition, leader, epoch) in known {
            complete &= leader.is_some();
            state.leaders.insert(partition, leader);
            self.step(state, Input::Leader { partition, leader, epoch }, None);
        }
        complete
    }
}

impl Subscriber for Shell {
    fn refresh(&self) -> &Refresh {
        &self.refresh
    }

    fn topics(&self) -> BTreeSet<String> {
        lock(&self.state).ids.keys().map(|partition| partition.topic.clone()).collect()
    }

    fn updated(self: Arc<Self>) -> bool {
        let mut state = lock(&self.state);
        let complete = self.tell_leaders(&mut state);
        self.pump(&mut state);
        complete
    }
}

fn partition_of(error: &ConsumerError) -> Option<&TopicPartition> {
    match error {
        ConsumerError::NoOffsetForPartition(partition)
        | ConsumerError::OffsetOutOfRange { partition, .. }
        | ConsumerError::LogTruncation { partition, .. }
        | ConsumerError::Partition { partition, .. } => Some(partition),
        ConsumerError::NotAssigned(_) | ConsumerError::Timeout { .. } | ConsumerError::Closed => None,
    }
}
