//! One's own program in the simulated world: as processes that crash and come back, under `cargo test`.
//!
//! A program is a function from [`Context`] to a future. It reaches the world through [`Context::env`] alone, which in
//! production is `broker_env::production::env()`; what it asks of the broker goes through `broker_client`. A
//! [check](crate::scenario::ScenarioBuilder::check) looks at the outcome when all faults are over and the cluster is at
//! rest.

use std::fmt;
use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use broker_client::{Client, ClientConfig};
use broker_env::{Address, BoxFuture, Env};
use sim_workloads::StopSignal;

/// What a program is started with; a restart gives a new one.
#[derive(Clone)]
pub struct Context {
    /// Network, clock, disk and randomness of the host on which it runs.
    pub env: Env,
    /// Of every broker.
    pub bootstrap: Vec<Address>,
    /// Given when the faults are over; the program is to finish its work and return.
    pub stop: StopSignal,
    /// Of the host.
    pub name: String,
}

impl Context {
    /// A client of the cluster with Kafka's default settings.
    pub fn client(&self) -> Client {
        let config = ClientConfig {
            client_id: self.name.clone(),
            ..ClientConfig::new(self.bootstrap.clone())
        };
        Client::new(self.env.clone(), config)
    }
}

type Program = Arc<dyn Fn(Context) -> BoxFuture<'static, ()> + Send + Sync>;
type Judge = Arc<dyn Fn(Context) -> BoxFuture<'static, Result<(), String>> + Send + Sync>;

/// How a program's process is killed, again and again.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Crashes {
    /// Time between a start and the next crash: random, this on average.
    pub every: Duration,
    /// Until it is started again.
    pub down: Duration,
}

/// A program on a host of its own.
#[derive(Clone)]
pub struct Application {
    pub name: String,
    pub crashes: Option<Crashes>,
    program: Program,
}

impl Application {
    /// One that runs until it returns; a panic in it ends the run as crashed.
    pub fn new<F>(name: &str, program: impl Fn(Context) -> F + Send + Sync + 'static) -> Application
    where
        F: Future<Output = ()> + Send + 'static,
    {
        Application {
            name: name.to_owned(),
            crashes: None,
            program: Arc::new(move |context| Box::pin(program(context))),
        }
    }

    /// The same, killed now and then.
    pub fn crashing(self, every: Duration, down: Duration) -> Application {
        Application {
            crashes: Some(Crashes { every, down }),
            ..self
        }
    }

    pub(crate) fn start(&self, context: Context) -> BoxFuture<'static, ()> {
        (self.program)(context)
    }
}

impl fmt::Debug for Application {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mut shown = formatter.debug_struct("Application");
        shown.field("name", &self.name);
        shown
            .field("crashes", &self.crashes)
            .finish_non_exhaustive()
    }
}

/// What must be true of the outcome.
#[derive(Clone)]
pub struct Check {
    /// The anomaly's name, should it fail.
    pub name: String,
    judge: Judge,
}

impl Check {
    /// An error says what is wrong.
    pub fn new<F>(name: &str, judge: impl Fn(Context) -> F + Send + Sync + 'static) -> Check
    where
        F: Future<Output = Result<(), String>> + Send + 'static,
    {
        Check {
            name: name.to_owned(),
            judge: Arc::new(move |context| Box::pin(judge(context))),
        }
    }

    pub(crate) fn judge(&self, context: Context) -> BoxFuture<'static, Result<(), String>> {
        (self.judge)(context)
    }
}

impl fmt::Debug for Check {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter
            .debug_struct("Check")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}
