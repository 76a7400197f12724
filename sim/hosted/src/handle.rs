//! What the testbed does to a running world: a cheap handle that tasks may hold. Names and semantics are
//! those of the native engine's handle.

use std::collections::BTreeMap;
use std::future::poll_fn;
use std::sync::Arc;
use std::task::{Poll, Waker};
use std::time::Duration;

use broker_env::{BoxFuture, Env};
use rand_chacha::ChaCha8Rng;
use sim_disk::{PowerLossReport, SimDisk};
use sim_engine::{Boot, Death, EventKind, HostId, NodeStatus, salted};

use crate::clock::{Sleep, TRUE_TIME};
use crate::env::env_of;
use crate::state::Shared;
use crate::task::Owner;

/// Controls and reads the world from inside or outside of its run; clones are the same world.
#[derive(Clone)]
pub struct Handle {
    pub(crate) shared: Arc<Shared>,
}

impl Handle {
    /// The engine under this world, for messages.
    pub fn engine(&self) -> &'static str {
        self.shared.carrier.name()
    }

    /// True simulated time since the start, ns.
    pub fn now(&self) -> u64 {
        self.shared.lock().now
    }

    /// Number of the latest event.
    pub fn events(&self) -> u64 {
        self.shared.lock().trace.events()
    }

    /// The rolling hash of all events so far. The other engine's polls are no events of this world.
    pub fn trace_hash(&self) -> u64 {
        self.shared.lock().trace.hash()
    }

    /// Completes after this much true time.
    pub fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        Box::pin(Sleep::new(self.shared.clone(), TRUE_TIME, duration))
    }

    /// A random stream of its own for a purpose of the testbed.
    pub fn stream(&self, purpose: &str) -> ChaCha8Rng {
        salted(self.shared.lock().seed, purpose, "")
    }

    /// The host of a name.
    pub fn host(&self, name: &str) -> Option<HostId> {
        self.shared.lock().names.get(name).copied().map(HostId)
    }

    pub fn name(&self, host: HostId) -> Arc<str> {
        self.shared.lock().nodes[crate::index(host.0)].name.clone()
    }

    /// All hosts, in order of adding.
    pub fn hosts(&self) -> Vec<HostId> {
        let count = self.shared.lock().nodes.len();
        (0..u32::try_from(count).expect("host ids are 32 bits"))
            .map(HostId)
            .collect()
    }

    /// The disk of a host's machine, for faults and for checkers.
    pub fn disk(&self, host: HostId) -> SimDisk {
        self.shared.lock().nodes[crate::index(host.0)].disk.clone()
    }

    pub fn status(&self, host: HostId) -> NodeStatus {
        self.shared.lock().nodes[crate::index(host.0)].status()
    }

    /// How often the process of a host was started.
    pub fn incarnation(&self, host: HostId) -> u32 {
        self.shared.lock().nodes[crate::index(host.0)].incarnation
    }

    /// The environment of the host's present process.
    pub fn env(&self, host: HostId) -> Env {
        env_of(&self.shared, host.0)
    }

    /// Starts a task in the host's present process; lost if there is none.
    pub fn spawn_on(&self, host: HostId, name: &'static str, future: BoxFuture<'static, ()>) {
        let _detached = self.env(host).spawn.spawn(name, future);
    }

    /// Ends the run after this step.
    pub fn stop(&self, reason: impl Into<String>) {
        let mut state = self.shared.lock();
        state.stop_reason.get_or_insert(reason.into());
        state.wake_runner();
    }

    /// Folds an observation into the hash and, if lines are kept now, into the readable trace.
    pub fn record(&self, host: Option<HostId>, words: &[u64], what: impl FnOnce() -> String) {
        let mut state = self.shared.lock();
        let now = state.now;
        let node = host.map_or(u64::MAX, |host| u64::from(host.0));
        words.iter().for_each(|word| state.trace.mix(*word));
        let count = u64::try_from(words.len()).expect("64 bits");
        state.trace.event(EventKind::Record, now, node, count);
        state.line(host.map_or(u32::MAX, |host| host.0), what);
    }

    /// Ends the process: what it wrote to files stays, its tasks are gone.
    pub(crate) fn end(&self, host: HostId, death: Death, what: &str) {
        let (disk, tasks) = {
            let mut state = self.shared.lock();
            let node = &state.nodes[crate::index(host.0)];
            if !node.alive {
                return;
            }
            let disk = node.disk.clone();
            state.control(host.0, what);
            (disk, state.end_process(host.0, death))
        };
        disk.process_crash();
        drop(tasks);
    }

    /// Kills the process: what it wrote to files stays, its tasks are gone.
    pub fn kill(&self, host: HostId, death: Death) {
        self.end(host, death, "process killed");
    }

    /// Takes the power from the machine: its peers hear nothing more, its disk loses what was unsynced.
    pub fn power_loss(&self, host: HostId) -> PowerLossReport {
        let disk = self.disk(host);
        let tasks = {
            let mut state = self.shared.lock();
            state.control(host.0, "power lost");
            let tasks = state.end_process(host.0, Death::Silent);
            state.nodes[crate::index(host.0)].powered = false;
            tasks
        };
        let report = disk.power_loss();
        drop(tasks);
        report
    }

    /// Starts the process anew, after turning the machine on if it was off. Does nothing if it runs.
    pub fn restart(&self, host: HostId) {
        let boot = {
            let mut state = self.shared.lock();
            let now = state.now;
            let node = &mut state.nodes[crate::index(host.0)];
            if node.alive {
                return;
            }
            node.incarnation += 1;
            node.alive = true;
            node.clock.restart(now);
            let was_off = !std::mem::replace(&mut node.powered, true);
            let boot = node.boot.clone();
            state.control(host.0, "process started");
            if was_off {
                state.unblock();
            }
            boot
        };
        if let Some(boot) = boot {
            self.boot(host, boot);
        }
    }

    fn boot(&self, host: HostId, boot: Arc<Boot>) {
        let env = self.env(host);
        // Called in the task's first poll, so that a panic in it is that task's.
        let main: BoxFuture<'static, ()> = Box::pin(async move { boot(env).await });
        let mut state = self.shared.lock();
        let node = &state.nodes[crate::index(host.0)];
        let owner = Owner {
            node: host.0,
            incarnation: node.incarnation,
            main: node.ends_with_main,
        };
        let refused = state.spawn(&self.shared, owner, "main", main).err();
        drop(state);
        drop(refused);
    }

    /// Stops the process as SIGSTOP does: its tasks, and with them its timers, wait.
    pub fn pause(&self, host: HostId) {
        let mut state = self.shared.lock();
        let (now, stops_clock) = (state.now, state.pause_stops_clock);
        let node = &mut state.nodes[crate::index(host.0)];
        if !node.alive || std::mem::replace(&mut node.paused, true) {
            return;
        }
        if stops_clock {
            node.clock.pause(now);
            state.tasks.wake_all();
        }
        state.control(host.0, "paused");
    }

    /// Lets a paused process go on.
    pub fn resume(&self, host: HostId) {
        let mut state = self.shared.lock();
        let (now, stops_clock) = (state.now, state.pause_stops_clock);
        let node = &mut state.nodes[crate::index(host.0)];
        if !std::mem::take(&mut node.paused) {
            return;
        }
        if stops_clock {
            node.clock.resume(now);
        }
        state.control(host.0, "resumed");
        state.tasks.wake_all();
    }

    /// Asks the process to end, as SIGTERM does; it is killed after `grace`. One that does not listen
    /// (nobody awaits [`Handle::terminated`]) is killed at once.
    pub fn terminate(&self, host: HostId, grace: Duration) {
        let mut state = self.shared.lock();
        let node = &mut state.nodes[crate::index(host.0)];
        if !node.alive || std::mem::replace(&mut node.terminating, true) {
            return;
        }
        let incarnation = node.incarnation;
        let listeners = std::mem::take(&mut node.on_terminate);
        state.control(host.0, "asked to end");
        if listeners.is_empty() {
            drop(state);
            return self.kill(host, Death::Reset);
        }
        drop(state);
        listeners.into_iter().for_each(Waker::wake);
        let handle = self.clone();
        let over = self.sleep(grace);
        self.on_machine(host, async move {
            over.await;
            if handle.shared.lock().is_alive(host.0, incarnation) {
                handle.kill(host, Death::Reset);
            }
        });
    }

    /// Completes when the host's present process is asked to end.
    pub fn terminated(&self, host: HostId) -> BoxFuture<'static, ()> {
        let (shared, incarnation) = (self.shared.clone(), self.incarnation(host));
        Box::pin(poll_fn(move |context| {
            let mut state = shared.lock();
            let alive = state.is_alive(host.0, incarnation);
            let node = &mut state.nodes[crate::index(host.0)];
            if alive && node.terminating {
                return Poll::Ready(());
            }
            if alive {
                node.on_terminate.push(context.waker().clone());
            }
            Poll::Pending
        }))
    }

    /// The node's thread is busy or blocked for this long.
    pub fn stall(&self, host: HostId, duration: Duration) {
        let nanos = u64::try_from(duration.as_nanos()).unwrap_or(u64::MAX);
        let until = {
            let mut state = self.shared.lock();
            let now = state.now;
            let node = &mut state.nodes[crate::index(host.0)];
            node.stalled_until = node.stalled_until.max(now).saturating_add(nanos);
            node.stalled_until - now
        };
        let (shared, over) = (self.shared.clone(), self.sleep(Duration::from_nanos(until)));
        self.on_machine(host, async move {
            over.await;
            let state = shared.lock();
            if state.nodes[crate::index(host.0)].can_run(state.now) {
                state.tasks.wake_node(host.0);
            }
        });
    }

    fn on_machine(&self, host: HostId, work: impl Future<Output = ()> + Send + 'static) {
        self.shared.lock().machines[crate::index(host.0)].push(Box::pin(work));
    }

    /// Which tasks are alive and how many of each, by host and name: where a stuck run waits.
    pub fn tasks(&self) -> BTreeMap<(String, &'static str), usize> {
        let state = self.shared.lock();
        let mut counts = BTreeMap::new();
        for task in state.tasks.live.values() {
            let host = state.nodes[crate::index(task.owner.node)].name.to_string();
            *counts.entry((host, task.name)).or_insert(0) += 1;
        }
        counts
    }

    /// Number of live tasks, for leak checks.
    pub fn live_tasks(&self) -> usize {
        self.shared.lock().tasks.live.len()
    }
}
