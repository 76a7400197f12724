//! The run loop: pick a ready task at random, or move time to the next event.

use std::sync::atomic::Ordering;
use std::sync::{Arc, MutexGuard};
use std::task::{Context, Poll};

use broker_env::{BoxFuture, Env};
use sim_disk::{DiskOptions, SimDisk};
use sim_faults::{ClockModel, FrameRules};

use crate::handle::{Handle, HostId};
use crate::node::{Boot, Death, Node};
use crate::options::Options;
use crate::outcome::{Crash, Outcome, StepInfo};
use crate::panics;
use crate::random::{NodeRandom, index, salted};
use crate::state::{Shared, State};
use crate::step::{Begin, Running, Step};
use crate::task::TaskRef;
use crate::trace::{Trace, TraceLine};
use crate::wires::Wires;

type StepHook = Box<dyn FnMut(&StepInfo)>;

/// A deterministic world and its executor. One thread; the same seed gives the same run.
pub struct Engine {
    shared: Arc<Shared>,
    disk: DiskOptions,
    wall_start_ms: i64,
    polls_per_instant: u32,
    on_step: Option<StepHook>,
    ended: Option<Outcome>,
}

impl Engine {
    pub fn new(options: Options) -> Engine {
        panics::install();
        let Options {
            seed,
            disk,
            wall_start_ms,
            polls_per_instant,
            ..
        } = options;
        let mut wires = Wires::new(
            options.network,
            options.connection_buffer,
            salted(seed, "network", ""),
        );
        wires.frames = options.classifier.map(FrameRules::new);
        wires.observer = options.wire_observer;
        let state = State {
            now: 0,
            seed,
            events: Default::default(),
            timers: Default::default(),
            tasks: Default::default(),
            ready: Default::default(),
            nodes: Vec::new(),
            names: Default::default(),
            network: Default::default(),
            wires,
            schedule: salted(seed, "schedule", ""),
            trace: Trace::new(options.trace),
            budget: Default::default(),
            stop_reason: None,
            to_kill: Vec::new(),
            fault_counts: Default::default(),
            pause_stops_clock: options.pause_stops_clock,
        };
        Engine {
            shared: Shared::new(state),
            disk,
            wall_start_ms,
            polls_per_instant,
            on_step: None,
            ended: None,
        }
    }

    /// Controls the world; give clones to tasks of the testbed.
    pub fn handle(&self) -> Handle {
        Handle {
            shared: self.shared.clone(),
        }
    }

    /// A machine whose process is started now and by each restart with `boot`, and ends when the future
    /// that `boot` gave ends.
    pub fn add_node(&mut self, name: &str, boot: Boot) -> HostId {
        let host = self.add_machine(name, Some(Arc::new(boot)), true);
        self.handle().restart(host);
        host
    }

    /// A machine for clients or for the testbed's own control: it has true time, and its process, which
    /// runs what is spawned on it, does not end by itself.
    pub fn add_host(&mut self, name: &str) -> HostId {
        let host = self.add_machine(name, None, false);
        self.handle().restart(host);
        host
    }

    fn add_machine(&mut self, name: &str, boot: Option<Arc<Boot>>, ends_with_main: bool) -> HostId {
        let mut state = self.shared.lock();
        let host = u32::try_from(state.nodes.len()).expect("host ids are 32 bits");
        let earlier = state.names.insert(name.to_owned(), host);
        assert_eq!(earlier, None, "two hosts named {name}");
        let in_rules = state.wires.rules.host(name);
        assert_eq!(in_rules.0, host, "the rules number hosts in the same order");
        let seed = state.seed;
        state.nodes.push(Node {
            name: name.into(),
            ends_with_main,
            incarnation: 0,
            alive: false,
            powered: true,
            paused: false,
            stalled_until: 0,
            parked: Vec::new(),
            clock: ClockModel::new(self.wall_start_ms),
            terminating: false,
            on_terminate: Vec::new(),
            disk: SimDisk::new(salted(seed, "disk", name).get_seed(), self.disk),
            random: Arc::new(NodeRandom::new(seed, name)),
            boot,
        });
        HostId(host)
    }

    /// Starts a task on a host; see [`Handle::spawn_on`].
    pub fn spawn_on(
        &self,
        host: HostId,
        name: &'static str,
        make: impl FnOnce(Env) -> BoxFuture<'static, ()>,
    ) {
        let handle = self.handle();
        handle.spawn_on(host, name, make(handle.env(host)));
    }

    /// Called after every step; replaces an earlier one.
    pub fn on_step(&mut self, hook: impl FnMut(&StepInfo) + 'static) {
        self.on_step = Some(Box::new(hook));
    }

    /// Runs until true time `deadline` (ns) or until the run ends otherwise; time then is `deadline`.
    pub fn run_until(&mut self, deadline: u64) -> Outcome {
        self.run_while(deadline, |_| true)
    }

    /// As [`Engine::run_until`], but comes back as soon as `condition` fails; it is asked after
    /// each step.
    pub fn run_while(
        &mut self,
        deadline: u64,
        mut condition: impl FnMut(&StepInfo) -> bool,
    ) -> Outcome {
        if let Some(ended) = &self.ended {
            return ended.clone();
        }
        loop {
            match self.step(deadline) {
                Step::Done(info) => {
                    if let Some(hook) = &mut self.on_step {
                        hook(&info);
                    }
                    if self.shared.stop.swap(false, Ordering::Relaxed) {
                        return self.stopped();
                    }
                    if !condition(&info) {
                        return Outcome::Condition;
                    }
                }
                Step::Nothing(outcome) => return outcome,
                Step::End(outcome) => {
                    self.ended = Some(outcome.clone());
                    return outcome;
                }
            }
        }
    }

    fn stopped(&self) -> Outcome {
        Outcome::Stopped {
            reason: self.shared.lock().stop_reason.take().unwrap_or_default(),
        }
    }

    fn step(&mut self, deadline: u64) -> Step {
        let mut guard = self.shared.lock();
        let state = &mut *guard;
        loop {
            let schedule = &mut state.schedule;
            let Some(task) = self.shared.ready.take(|count| index(schedule, count)) else {
                let step = state.advance(deadline);
                return if state.to_kill.is_empty() {
                    step
                } else {
                    self.kill_late(guard)
                };
            };
            match state.begin_poll(task, self.polls_per_instant) {
                Begin::Skip => {}
                Begin::Drop(future, node, name) => {
                    drop(guard);
                    return self.finish(node, name, || drop(future));
                }
                Begin::Poll(running) => {
                    drop(guard);
                    return self.poll(task, running);
                }
                Begin::Livelock(outcome) => return Step::End(outcome),
            }
        }
    }

    fn poll(&self, task: TaskRef, mut running: Running) -> Step {
        let Running { node, name, .. } = running;
        let mut context = Context::from_waker(&running.waker);
        match panics::catch(|| running.future.as_mut().poll(&mut context)) {
            Ok(Poll::Pending) => {
                let mut state = self.shared.lock();
                let killed = state.end_poll(task, running);
                let info = state.step_info(Some(node));
                drop(state);
                match killed {
                    None => Step::Done(info),
                    Some(running) => self.finish(node, name, || drop(running)),
                }
            }
            Ok(Poll::Ready(())) => {
                let exits = self.shared.lock().end_task(task);
                self.finish(node, name, || {
                    drop(running);
                    if exits {
                        self.exit(node);
                    }
                })
            }
            Err(panic) => {
                // What it leaves to drop may panic again; the first panic is the one to tell.
                let _second = panics::catch(|| drop(running));
                Step::End(self.crashed(node, name, panic))
            }
        }
    }

    /// Ends a step with application code that a drop may run.
    fn finish(&self, node: u32, name: &'static str, drops: impl FnOnce()) -> Step {
        match panics::catch(drops) {
            Ok(()) => {
                let mut state = self.shared.lock();
                state.transmit_dirty();
                Step::Done(state.step_info(Some(node)))
            }
            Err(panic) => Step::End(self.crashed(node, name, panic)),
        }
    }

    /// Kills those whose time to end by themselves is over.
    fn kill_late(&self, mut guard: MutexGuard<'_, State>) -> Step {
        let late = std::mem::take(&mut guard.to_kill);
        drop(guard);
        let node = late[0];
        self.finish(node, "main", || {
            late.into_iter()
                .for_each(|node| self.handle().kill(HostId(node), Death::Reset));
        })
    }

    /// The main task of a process returned.
    fn exit(&self, node: u32) {
        let (tasks, disk) = {
            let mut state = self.shared.lock();
            state.control(node, "process exited");
            (
                state.end_process(node, Death::Reset),
                state.nodes[crate::index(node)].disk.clone(),
            )
        };
        disk.process_crash();
        drop(tasks);
    }

    fn crashed(&self, node: u32, task: &str, panic: panics::Panic) -> Outcome {
        let state = self.shared.lock();
        let node = state.nodes[crate::index(node)].name.to_string();
        let panics::Panic { message, location } = panic;
        let (at, event) = (state.now, state.trace.events());
        Outcome::Crashed(Crash {
            node,
            task: task.to_owned(),
            message,
            location,
            at,
            event,
        })
    }

    /// The kept hashes, (event, hash), ascending.
    pub fn hash_samples(&self) -> Vec<(u64, u64)> {
        self.shared.lock().trace.samples().to_vec()
    }

    /// The readable lines kept so far; they are kept once.
    pub fn take_trace(&self) -> Vec<TraceLine> {
        self.shared.lock().trace.take_lines()
    }
}

impl Drop for Engine {
    /// Tasks hold the world and the world holds tasks: without this a run would never be freed.
    fn drop(&mut self) {
        let (tasks, boots) = {
            let mut state = self.shared.lock();
            let boots: Vec<_> = state
                .nodes
                .iter_mut()
                .map(|node| {
                    node.alive = false;
                    node.boot.take()
                })
                .collect();
            (state.tasks.remove_all(), boots)
        };
        let dropped = panics::catch(|| drop((tasks, boots)));
        drop(dropped);
        self.shared.lock().network.forget();
    }
}
