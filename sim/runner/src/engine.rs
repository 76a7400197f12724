//! What the runner needs of an engine, and the three that give it.
//!
//! A run is a set of node processes, client hosts and one control task. The control task is ordinary
//! asynchronous code on a host of its own with true time: it applies faults through [`World`], and the
//! run ends when it ends. Whatever runs tasks in simulated time can be an engine.

mod drive;

use std::collections::BTreeMap;
use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use broker_env::{BoxFuture, Env};
use sim_disk::DiskOptions;
use sim_faults::{FrameClassifier, NetworkOptions, WireObserver, World};

/// Which engine.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub enum EngineKind {
    #[default]
    Native,
    Madsim,
    Turmoil,
}

impl EngineKind {
    pub const ALL: &'static [EngineKind] =
        &[EngineKind::Native, EngineKind::Madsim, EngineKind::Turmoil];

    pub fn name(self) -> &'static str {
        match self {
            EngineKind::Native => "native",
            EngineKind::Madsim => "madsim",
            EngineKind::Turmoil => "turmoil",
        }
    }
}

impl fmt::Display for EngineKind {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

impl std::str::FromStr for EngineKind {
    type Err = String;

    fn from_str(text: &str) -> Result<EngineKind, String> {
        let found = EngineKind::ALL.iter().find(|kind| kind.name() == text);
        found.copied().ok_or_else(|| {
            let message = format!("no engine \"{text}\": native, madsim and turmoil are possible");
            match crate::scenario::error::nearest(text, ["native", "madsim", "turmoil"]) {
                Some(near) => format!("{message}; did you mean {near}?"),
                None => message,
            }
        })
    }
}

/// Reads and writes the trace; shared by everything that observes.
pub trait Recorder: Send + Sync {
    /// Folds words into the trace's hash as one event; the text is built only if lines are kept.
    fn record(&self, host: &str, words: &[u64], what: &dyn Fn() -> String);
    /// Number of the latest event.
    fn event(&self) -> u64;
    /// True simulated time since the start, ns.
    fn now_ns(&self) -> u64;
}

/// What a process is started with.
pub struct Start {
    pub env: Env,
    /// Completes when the process is asked to end.
    pub stop: BoxFuture<'static, ()>,
    pub recorder: Arc<dyn Recorder>,
}

/// Starts the process of a node; called again at each restart. The process ends with the future.
pub type Boot = Arc<dyn Fn(Start) -> BoxFuture<'static, ()> + Send + Sync>;

/// What the control task does to the world.
pub trait Control: World + Send + Sync {
    /// Completes after this much true time.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    /// The environment of a client host.
    fn env(&self, host: &str) -> Env;
    fn recorder(&self) -> Arc<dyn Recorder>;
}

/// The control task.
pub type Main = Box<dyn FnOnce(Box<dyn Control>) -> BoxFuture<'static, ()> + Send>;

/// What a world is made of.
pub struct WorldSpec {
    pub seed: u64,
    /// Names and processes, in order of ids.
    pub nodes: Vec<(String, Boot)>,
    /// Hosts of clients.
    pub clients: Vec<String>,
    pub network: NetworkOptions,
    pub disk: DiskOptions,
    /// Needed by typed faults only.
    pub classifier: Option<Arc<dyn FrameClassifier>>,
    /// Hears of what travels, if the run is recorded.
    pub wire_observer: Option<Arc<dyn WireObserver>>,
    pub trace: Tracing,
    /// Simulated time after which the run is given up.
    pub limit: Duration,
}

/// Which parts of a trace to keep, beside the hash that is always there.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Tracing {
    /// Keep the hash after every n-th event; 0: keep none.
    pub sample_every: u64,
    /// Keep readable lines of events in this half-open range.
    pub lines: Option<(u64, u64)>,
    /// End the run at this event.
    pub until: Option<u64>,
    /// Keep what is on the disks of the nodes at the end.
    pub disks: bool,
}

/// How the world ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum End {
    /// The control task returned.
    Finished,
    Crashed(Crash),
    /// Tasks kept each other running without time passing.
    Livelock {
        node: String,
        task: String,
    },
    /// The event at which the run was to end was reached.
    Until,
    /// The control task neither returned nor had anything to wait for within the limit.
    OutOfTime,
}

/// A panic in a task.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Crash {
    pub node: String,
    pub task: String,
    /// With the place.
    pub message: String,
    pub at_ns: u64,
    pub event: u64,
}

/// A world's account of itself.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct WorldReport {
    pub end: End,
    pub trace_hash: u64,
    pub events: u64,
    pub sim_ns: u64,
    /// One line each, formatted as `sim time · event number · node · what`.
    pub lines: Vec<String>,
    /// (event, hash), ascending.
    pub samples: Vec<(u64, u64)>,
    /// Live tasks by host and name, if the run did not finish: where it waits.
    pub tasks: Vec<(String, String, usize)>,
    /// If they were asked for.
    pub disks: Disks,
}

/// The files of each node, by its name, without the leading slash.
pub type Disks = BTreeMap<String, BTreeMap<PathBuf, Vec<u8>>>;

/// Builds the world on an engine and runs it to its end, on the calling thread; madsim wants a thread
/// that has had no world yet, see [`on_its_thread`].
///
/// # Errors
/// The engine cannot be used, and why.
pub fn run(kind: EngineKind, spec: WorldSpec, main: Main) -> Result<WorldReport, String> {
    let options = drive::options(&spec);
    let unavailable = |error: sim_hosted::Unavailable| error.to_string();
    match kind {
        EngineKind::Native => Ok(drive::run(sim_engine::Engine::new(options), spec, main)),
        EngineKind::Madsim => {
            let engine = sim_madsim::Engine::new(options).map_err(unavailable)?;
            Ok(drive::run(engine, spec, main))
        }
        EngineKind::Turmoil => {
            let engine = sim_turmoil::Engine::new(options).map_err(unavailable)?;
            Ok(drive::run(engine, spec, main))
        }
    }
}

/// Runs `body`, which makes a run, on a thread fit for the engine.
pub fn on_its_thread<T: Send>(kind: EngineKind, body: impl FnOnce() -> T + Send) -> T {
    match kind {
        EngineKind::Madsim => sim_madsim::fresh_thread(body),
        EngineKind::Native | EngineKind::Turmoil => body(),
    }
}
