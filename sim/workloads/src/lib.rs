//! What clients do, and the record of what they saw.
//!
//! A workload is a [`WorkloadSpec`]; its [`roles`](WorkloadSpec::roles) say how many clients it needs. Each
//! client runs on a host of its own through [`run`]. Around them: [`setup`] creates topics,
//! [`finish`] reads every partition from its start to its end after the quiet phase.
//!
//! - [`consumer_group`]: members of a group that come and go. [`transactions`]: sends and polls in transactions, and
//!   transfers. [`transform`]: consume, transform, produce.
//! - [`produce_consume`]: producers at a rate, consumers that follow, observers that ask for offsets.
//!   [`create_delete_topics`]: topics come and go. [`reassign_partitions`]: replicas move.
//!   [`broken_batches`]: what must be refused. [`final_read`]: the complete read at the end.
//! - [`recorder`]: the shared history and counters. [`content`]: values that name themselves.
//!   [`stats`], [`spec`], [`stop`].
//!
//! Contract: everything random is drawn from the stream given with the [`ClientContext`], or by the client
//! library from its `Env`; every loop ends soon after the [`StopSignal`].

pub mod broken_batches;
pub mod consumer_group;
pub mod content;
pub mod create_delete_topics;
pub mod final_read;
pub mod produce_consume;
pub mod reassign_partitions;
pub mod recorder;
pub mod setup;
pub mod spec;
pub mod stats;
pub mod stop;
mod transactional;
pub mod transactions;
pub mod transform;

use std::sync::{Arc, Mutex, PoisonError};

use broker_client::{Client, ClientConfig};
use broker_env::{Address, BoxFuture, Env};

pub use final_read::{FinalRead, Stuck, finish};
pub use recorder::{HistoryClock, Moment, Recorder};
pub use setup::{TopicSpec, setup};
pub use spec::{Role, WorkloadKind, WorkloadSpec};
pub use stats::{ClientStats, Latency};
pub use stop::StopSignal;

/// A stream of random numbers of the workload's own.
pub type Draw = Box<dyn FnMut() -> u64 + Send>;

/// What one client is given.
pub struct ClientContext {
    /// Of the client's own host.
    pub env: Env,
    pub bootstrap: Vec<Address>,
    pub recorder: Recorder,
    pub stop: StopSignal,
    /// A lock, so that it can be shared across awaits; nobody waits for it.
    draw: Mutex<Draw>,
    /// Its number in the history, from [`Recorder::register`].
    pub process: u32,
    pub name: String,
}

impl ClientContext {
    /// Registers the client's name with the recorder.
    pub fn new(
        env: Env,
        bootstrap: Vec<Address>,
        recorder: &Recorder,
        stop: &StopSignal,
        draw: Draw,
        name: &str,
    ) -> ClientContext {
        let process = recorder.register(name);
        let (recorder, stop) = (recorder.clone(), stop.clone());
        ClientContext {
            env,
            bootstrap,
            recorder,
            stop,
            draw: Mutex::new(draw),
            process,
            name: name.to_string(),
        }
    }

    /// Connections of this client's own.
    fn client(&self, spec: &WorkloadSpec) -> Client {
        let config = ClientConfig {
            client_id: self.name.clone(),
            request_timeout: spec.request_timeout(),
            connection_setup_timeout: spec.request_timeout(),
            default_api_timeout: spec.request_timeout() * 4,
            ..ClientConfig::new(self.bootstrap.clone())
        };
        Client::new(self.env.clone(), config)
    }

    /// A number of `0..count`.
    fn below(&self, count: usize) -> usize {
        let span = u128::try_from(count).expect("a count fits 128 bits");
        let mut draw = self.draw.lock().unwrap_or_else(PoisonError::into_inner);
        let scaled = (u128::from(draw()) * span) >> 64;
        usize::try_from(scaled).expect("below the count")
    }

    /// Sleeps, but no longer than until the stop.
    async fn pause(&self, duration: std::time::Duration) {
        broker_env::select! {
            () = self.stop.stopped() => {}
            () = self.env.sleep(duration) => {}
        }
    }
}

/// Runs one client of a workload until it was stopped and what it began has ended.
pub fn run(context: ClientContext, spec: Arc<WorkloadSpec>, role: Role) -> BoxFuture<'static, ()> {
    match role {
        Role::Producer => Box::pin(produce_consume::produce(context, spec)),
        Role::Consumer => Box::pin(produce_consume::consume(context, spec)),
        Role::Member => Box::pin(consumer_group::take_part(context, spec)),
        Role::Transactor => Box::pin(transactions::transact(context, spec)),
        Role::Transformer => Box::pin(transform::transform(context, spec)),
        Role::Observer => Box::pin(produce_consume::observe(context, spec)),
        Role::Reassigner => Box::pin(reassign_partitions::operate(context, spec)),
        Role::Breaker => Box::pin(broken_batches::send(context, spec)),
        Role::TopicChurner => Box::pin(create_delete_topics::churn(context, spec)),
    }
}
