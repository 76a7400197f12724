//! Everything that is simulated, behind one lock that is held only inside this crate's short steps.

use std::collections::BTreeMap;
use std::sync::atomic::AtomicBool;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rand_chacha::ChaCha8Rng;

use crate::events::Events;
use crate::network::Network;
use crate::node::Node;
use crate::task::{PollBudget, ReadySet, Tasks};
use crate::timers::Timers;
use crate::trace::Trace;
use crate::wires::Wires;

/// The world and the set of tasks that can run; what every handle into the engine holds.
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) ready: Arc<ReadySet>,
    pub(crate) stop: AtomicBool,
}

impl Shared {
    pub(crate) fn new(state: State) -> Arc<Shared> {
        let ready = state.ready.clone();
        Arc::new(Shared {
            state: Mutex::new(state),
            ready,
            stop: AtomicBool::new(false),
        })
    }

    /// Futures must not be polled or dropped while this is held: they lock again.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The simulated world.
pub(crate) struct State {
    /// True time, ns since the start of the run.
    pub(crate) now: u64,
    pub(crate) seed: u64,
    pub(crate) events: Events,
    pub(crate) timers: Timers,
    pub(crate) tasks: Tasks,
    pub(crate) ready: Arc<ReadySet>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) names: BTreeMap<String, u32>,
    pub(crate) network: Network,
    pub(crate) wires: Wires,
    pub(crate) schedule: ChaCha8Rng,
    pub(crate) trace: Trace,
    pub(crate) budget: PollBudget,
    pub(crate) stop_reason: Option<String>,
    /// Processes to kill after the present step.
    pub(crate) to_kill: Vec<u32>,
    /// How often each kind of process and clock fault was done.
    pub(crate) fault_counts: BTreeMap<&'static str, u64>,
    /// Whether a pause stops the monotonic clock too.
    pub(crate) pause_stops_clock: bool,
}

impl State {
    pub(crate) fn is_alive(&self, node: u32, incarnation: u32) -> bool {
        let node = &self.nodes[crate::index(node)];
        node.incarnation == incarnation && node.alive
    }

    /// The host that `name` means to `from`.
    pub(crate) fn resolve(&self, from: u32, name: &str) -> Option<u32> {
        match name {
            "localhost" | "127.0.0.1" | "0.0.0.0" | "" => Some(from),
            _ => self.names.get(name).copied(),
        }
    }
}
