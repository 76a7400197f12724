//! Everything that is simulated, behind one lock that is held only inside this crate's short steps.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::Waker;

use broker_env::BoxFuture;
use sim_engine::parts::{Trace, Wires};
use sim_engine::{HostId, Outcome, StepInfo};

use crate::carrier::Carrier;
use crate::network::Network;
use crate::node::Node;
use crate::task::Tasks;

/// The world and the engine under it.
pub(crate) struct Shared {
    state: Mutex<State>,
    pub(crate) carrier: Arc<dyn Carrier>,
}

impl Shared {
    pub(crate) fn new(state: State, carrier: Arc<dyn Carrier>) -> Arc<Shared> {
        Arc::new(Shared {
            state: Mutex::new(state),
            carrier,
        })
    }

    /// The world, at the present time. Futures must not be polled or dropped while this is held: they
    /// lock again.
    pub(crate) fn lock(&self) -> MutexGuard<'_, State> {
        let mut state = self.state.lock().unwrap_or_else(PoisonError::into_inner);
        state.now = state.now.max(self.carrier.now());
        state
    }
}

/// Work for a machine that outlives its process: what a kernel does.
#[derive(Default)]
pub(crate) struct Machine {
    pub(crate) work: VecDeque<BoxFuture<'static, ()>>,
    pub(crate) waker: Option<Waker>,
}

impl Machine {
    pub(crate) fn push(&mut self, work: BoxFuture<'static, ()>) {
        self.work.push_back(work);
        self.waker.take().into_iter().for_each(Waker::wake);
    }
}

/// The simulated world.
pub(crate) struct State {
    /// True time, ns since the start of the run.
    pub(crate) now: u64,
    pub(crate) seed: u64,
    pub(crate) nodes: Vec<Node>,
    pub(crate) machines: Vec<Machine>,
    pub(crate) names: BTreeMap<String, u32>,
    pub(crate) tasks: Tasks,
    pub(crate) network: Network,
    pub(crate) wires: Wires,
    pub(crate) trace: Trace,
    /// How the run ended; from then on no task is polled any more.
    pub(crate) ended: Option<Outcome>,
    pub(crate) stop_reason: Option<String>,
    pub(crate) last_step: StepInfo,
    /// Woken when the run loop should look at the three above.
    pub(crate) runner: Option<Waker>,
    /// The run loop looks after each step.
    pub(crate) watched: bool,
    pub(crate) fault_counts: BTreeMap<&'static str, u64>,
    pub(crate) pause_stops_clock: bool,
    pub(crate) polls_per_instant: u32,
    /// The instant of the latest poll, and how many polls there were in it.
    pub(crate) instant: (u64, u32),
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

    pub(crate) fn step_info(&self, host: Option<u32>) -> StepInfo {
        StepInfo {
            event: self.trace.events(),
            at: self.now,
            host: host.map(HostId),
        }
    }

    /// Ends the run, unless it has ended already.
    pub(crate) fn end(&mut self, outcome: Outcome) {
        self.ended.get_or_insert(outcome);
        self.wake_runner();
    }

    pub(crate) fn wake_runner(&mut self) {
        self.runner.take().into_iter().for_each(Waker::wake);
    }
}
