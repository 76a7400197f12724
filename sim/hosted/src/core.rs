//! Building a world, and judging how a run of it ended. An engine wraps this.

use std::sync::Arc;

use sim_disk::SimDisk;
use sim_engine::parts::{NodeRandom, Trace, Wires, panics};
use sim_engine::{Boot, Crash, HostId, Options, Outcome, StepInfo, TraceLine, salted};
use sim_faults::{ClockModel, FrameRules};

use crate::carrier::Carrier;
use crate::handle::Handle;
use crate::node::Node;
use crate::state::{Shared, State};
use crate::task::{StepHook, swap_hook};

/// An engine that this build, or this thread, cannot run.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error("the engine {engine} is not available: {reason}")]
pub struct Unavailable {
    pub engine: &'static str,
    pub reason: String,
}

/// A world without its executor.
pub struct Core {
    shared: Arc<Shared>,
    options: Options,
    on_step: Option<StepHook>,
}

impl Core {
    pub fn new(options: Options, carrier: Arc<dyn Carrier>) -> Core {
        panics::install();
        let mut wires = Wires::new(
            options.network,
            options.connection_buffer,
            salted(options.seed, "network", ""),
        );
        wires.frames = options.classifier.clone().map(FrameRules::new);
        wires.observer = options.wire_observer.clone();
        let state = State {
            now: 0,
            seed: options.seed,
            nodes: Vec::new(),
            machines: Vec::new(),
            names: Default::default(),
            tasks: Default::default(),
            network: Default::default(),
            wires,
            trace: Trace::new(options.trace),
            ended: None,
            stop_reason: None,
            last_step: StepInfo {
                event: 0,
                at: 0,
                host: None,
            },
            runner: None,
            watched: false,
            fault_counts: Default::default(),
            pause_stops_clock: options.pause_stops_clock,
            polls_per_instant: options.polls_per_instant,
            instant: (0, 0),
        };
        Core {
            shared: Shared::new(state, carrier),
            options,
            on_step: None,
        }
    }

    /// Controls the world; give clones to tasks of the testbed.
    pub fn handle(&self) -> Handle {
        Handle {
            shared: self.shared.clone(),
        }
    }

    /// A machine; `boot` starts the process of a node, a host for clients has none. The engine then runs
    /// [`crate::machine`] for it.
    pub fn add_machine(&mut self, name: &str, boot: Option<Boot>) -> HostId {
        let host = self.insert(name, boot.map(Arc::new));
        self.handle().restart(host);
        host
    }

    fn insert(&mut self, name: &str, boot: Option<Arc<Boot>>) -> HostId {
        let mut state = self.shared.lock();
        let host = u32::try_from(state.nodes.len()).expect("host ids are 32 bits");
        let earlier = state.names.insert(name.to_owned(), host);
        assert_eq!(earlier, None, "two hosts named {name}");
        let in_rules = state.wires.rules.host(name);
        assert_eq!(in_rules.0, host, "the rules number hosts in the same order");
        let seed = state.seed;
        state.machines.push(Default::default());
        state.nodes.push(Node {
            name: name.into(),
            ends_with_main: boot.is_some(),
            incarnation: 0,
            alive: false,
            powered: true,
            paused: false,
            stalled_until: 0,
            clock: ClockModel::new(self.options.wall_start_ms),
            terminating: false,
            on_terminate: Vec::new(),
            disk: SimDisk::new(salted(seed, "disk", name).get_seed(), self.options.disk),
            random: Arc::new(NodeRandom::new(seed, name)),
            boot,
        });
        HostId(host)
    }

    /// Called after every step; replaces an earlier one.
    pub fn on_step(&mut self, hook: impl FnMut(&StepInfo) + 'static) {
        self.on_step = Some(Box::new(hook));
    }

    /// Runs `engine` with the step hook in place; its panic, which no task of a process raised, is a
    /// crash of the run. `watched`: wake the run loop after each step.
    pub fn run(&mut self, watched: bool, engine: impl FnOnce() -> Outcome) -> Outcome {
        self.shared.lock().watched = watched;
        let outer = swap_hook(self.on_step.take());
        let outcome = panics::catch(engine);
        self.on_step = swap_hook(outer);
        outcome.unwrap_or_else(|panic| {
            let mut state = self.shared.lock();
            let crash = Crash {
                node: String::new(),
                task: "beside Env".to_owned(),
                message: panic.message,
                location: panic.location,
                at: state.now,
                event: state.trace.events(),
            };
            state.end(Outcome::Crashed(crash.clone()));
            Outcome::Crashed(crash)
        })
    }

    /// The readable lines kept so far; they are kept once.
    pub fn take_trace(&self) -> Vec<TraceLine> {
        self.shared.lock().trace.take_lines()
    }

    /// The kept hashes, (event, hash), ascending.
    pub fn hash_samples(&self) -> Vec<(u64, u64)> {
        self.shared.lock().trace.samples().to_vec()
    }
}

impl Handle {
    /// Whether the run is over: it ended for good, somebody stopped it, or the condition fails. Else
    /// `waker` is woken when to ask again.
    pub fn verdict(
        &self,
        condition: &mut dyn FnMut(&StepInfo) -> bool,
        waker: Option<&std::task::Waker>,
    ) -> Option<Outcome> {
        let (ended, last_step) = {
            let mut state = self.shared.lock();
            state.runner = waker.cloned();
            let stopped = state.stop_reason.take();
            let stopped = stopped.map(|reason| Outcome::Stopped { reason });
            (state.ended.clone().or(stopped), state.last_step)
        };
        ended.or_else(|| (!condition(&last_step)).then_some(Outcome::Condition))
    }
}

impl Drop for Core {
    /// Tasks hold the world and the world holds tasks: without this a run would never be freed.
    fn drop(&mut self) {
        let (tasks, boots, work) = {
            let mut state = self.shared.lock();
            let boots: Vec<_> = state
                .nodes
                .iter_mut()
                .map(|node| {
                    node.alive = false;
                    node.boot.take()
                })
                .collect();
            let work: Vec<_> = state
                .machines
                .iter_mut()
                .flat_map(|machine| machine.work.drain(..))
                .collect();
            (std::mem::take(&mut state.tasks.live), boots, work)
        };
        let dropped = panics::catch(|| drop((tasks, boots, work)));
        drop(dropped);
        self.shared.lock().network.forget();
    }
}
