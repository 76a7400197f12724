//! Drives the core: fetches and lookups out, records into the buffer, errors to the next poll.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::{Arc, Mutex, Weak};

use broker_core::consumer::{Config, Consumer as Core, Input, Output, Timer};
use broker_core::fetch_session::FetchSession;
use broker_protocol::ErrorCode;
use broker_protocol::ids::{NodeId, TopicIdPartition, TopicPartition, Uuid};
use tokio::sync::Notify;

use super::ConsumerRecords;
use super::buffer::Buffer;
use super::fetch::Arrived;
use super::lookup::Lookups;
use crate::client::Client;
use crate::config::ConsumerConfig;
use crate::error::ConsumerError;
use crate::refresh::{self, Refresh};
use crate::tasks::{Tasks, lock};
use crate::timers::Timers;

pub struct Shell {
    pub client: Client,
    pub config: ConsumerConfig,
    pub(super) tasks: Tasks,
    timers: Timers<Timer>,
    pub(super) refresh: Refresh,
    /// Records, an error, or the end.
    pub news: Notify,
    pub(super) state: Mutex<State>,
}

pub struct State {
    pub core: Core,
    /// Topics of the assignment.
    pub names: BTreeMap<Uuid, Arc<str>>,
    pub ids: BTreeMap<TopicPartition, TopicIdPartition>,
    pub buffer: Buffer,
    pub errors: VecDeque<ConsumerError>,
    /// Brokers with a fetch under way.
    pub fetching: BTreeSet<NodeId>,
    /// What each broker knows of what is read from it (KIP-227).
    pub sessions: BTreeMap<NodeId, FetchSession>,
    closed: bool,
}

impl Shell {
    pub fn start(client: Client, config: ConsumerConfig) -> Arc<Shell> {
        let state = State {
            core: Core::new(Config {
                reset: config.auto_offset_reset,
            }),
            names: BTreeMap::new(),
            ids: BTreeMap::new(),
            buffer: Buffer::default(),
            errors: VecDeque::new(),
            fetching: BTreeSet::new(),
            sessions: BTreeMap::new(),
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
            weak.upgrade()
                .map(|shell| shell.steps(timers.into_iter().map(Input::Timer)))
                .is_some()
        };
        shell.tasks.spawn("consumer timers", shell.timers.run(fire));
        shell
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
            let delivered = Input::Delivered {
                partition: part.id,
                generation: part.generation,
                next: part.next,
            };
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
        for node in state.core.sources() {
            if !state.fetching.contains(&node) {
                self.step(state, Input::Fetch { node }, None);
            }
        }
    }

    /// Gives the core an input and does what it says. `arrived` is what a fetch brought.
    pub(super) fn step(
        self: &Arc<Self>,
        state: &mut State,
        input: Input,
        mut arrived: Option<Arrived>,
    ) {
        let mut out = Vec::new();
        state.core.step(input, &mut out);
        let mut lookups = Lookups::default();
        for output in out {
            match output {
                Output::Fetch { node, positions } => self.fetch(state, node, positions),
                Output::Accept {
                    partition,
                    generation,
                    from,
                    next,
                } => {
                    let arrived = arrived
                        .take()
                        .expect("records are accepted out of a fetch only");
                    state
                        .buffer
                        .push(arrived.into_chunk(partition, generation, from, next));
                    self.news.notify_waiters();
                }
                Output::DropBuffered { partition } => state.buffer.discard(partition),
                Output::RefreshMetadata { .. } => self.start_refresh(),
                Output::Arm(timer) => self.arm(timer),
                Output::TruncationDetected {
                    partition,
                    position,
                    divergent,
                } => {
                    let error = |partition| ConsumerError::LogTruncation {
                        partition,
                        position,
                        divergent,
                    };
                    self.report(state, partition, error);
                }
                Output::Stalled {
                    partition,
                    offset,
                    error,
                } => self.stalled(state, partition, offset, error),
                Output::ListOffset { .. } | Output::OffsetForLeaderEpoch { .. } => {
                    lookups.add(output)
                }
            }
        }
        self.look_up(state, lookups);
    }

    fn arm(&self, timer: Timer) {
        let config = self.client.config();
        let after = match timer {
            Timer::Retry(_) => config.retry_backoff,
            Timer::PreferredReplica(..) => config.metadata_max_age,
        };
        self.timers.arm(timer, after);
    }

    /// Truncation was reported on its own, then a stall without an offset problem follows it.
    fn stalled(
        &self,
        state: &mut State,
        id: TopicIdPartition,
        offset: Option<i64>,
        error: Option<ErrorCode>,
    ) {
        let reported = state.errors.iter().any(|error| {
            matches!(error, ConsumerError::LogTruncation { partition, .. } if state.ids.get(partition) == Some(&id))
        });
        match (error, offset) {
            (None, _) if reported => {}
            (Some(ErrorCode::OffsetOutOfRange), Some(offset)) => {
                self.report(state, id, |partition| ConsumerError::OffsetOutOfRange {
                    partition,
                    offset,
                });
            }
            (Some(error), _) => self.report(state, id, |partition| ConsumerError::Partition {
                partition,
                error,
            }),
            // An assignment without a policy: told when the application polls before it seeks.
            (None, _) => self.report(state, id, ConsumerError::NoOffsetForPartition),
        }
    }

    fn report(
        &self,
        state: &mut State,
        id: TopicIdPartition,
        error: impl FnOnce(TopicPartition) -> ConsumerError,
    ) {
        let Some(name) = state.names.get(&id.topic_id) else {
            return;
        };
        state
            .errors
            .push_back(error(TopicPartition::new(name.as_ref(), id.partition)));
        self.news.notify_waiters();
    }

    pub(super) fn start_refresh(self: &Arc<Self>) {
        if self.refresh.want() {
            let subscriber: Weak<Shell> = Arc::downgrade(self);
            self.tasks.spawn(
                "consumer metadata",
                refresh::run(self.client.clone(), subscriber),
            );
        }
    }
}
