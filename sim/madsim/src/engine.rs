//! The run loop: madsim's executor until the deadline.

use std::cell::Cell;
use std::future::{Future, poll_fn};
use std::pin::pin;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use broker_env::{BoxFuture, Env};
use madsim::runtime::{NodeHandle, Runtime};
use sim_engine::{Boot, HostId, Options, Outcome, StepInfo, TraceLine};
use sim_hosted::{Carrier, Core, Handle, Simulation, Unavailable};

use crate::carrier::Madsim;

thread_local! {
    static USED: Cell<bool> = const { Cell::new(false) };
}

/// A deterministic world on madsim. The same seed on a fresh thread gives the same run.
pub struct Engine {
    // Before the runtime: tasks of processes hold madsim's timers.
    core: Core,
    runtime: Runtime,
    carrier: Arc<Madsim>,
    machines: Vec<NodeHandle>,
}

impl Engine {
    /// Fails on a thread that had a world before, see [`crate::fresh_thread`]. Make it first thing there:
    /// a HashMap made earlier has taken the thread's random keys already.
    pub fn new(options: Options) -> Result<Engine, Unavailable> {
        if USED.replace(true) {
            return Err(Unavailable {
                engine: crate::NAME,
                reason: "each world needs a thread of its own: use sim_madsim::fresh_thread".into(),
            });
        }
        let mut config = madsim::Config::default();
        // The rules draw the latency; madsim adds its floor of a millisecond.
        config.net.send_latency = Duration::ZERO..Duration::from_micros(1);
        let runtime = Runtime::with_seed_and_config(options.seed, config);
        let time = runtime.block_on(async { madsim::time::TimeHandle::current() });
        let carrier = Madsim::new(time);
        Ok(Engine {
            core: Core::new(options, carrier.clone()),
            runtime,
            carrier,
            machines: Vec::new(),
        })
    }

    /// Controls the world; give clones to tasks of the testbed.
    pub fn handle(&self) -> Handle {
        self.core.handle()
    }

    /// A machine whose process is started now and by each restart with `boot`, and ends when the future
    /// that `boot` gave ends.
    pub fn add_node(&mut self, name: &str, boot: Boot) -> HostId {
        self.add_machine(name, Some(boot))
    }

    /// A machine for clients or for the testbed's own control; its process does not end by itself.
    pub fn add_host(&mut self, name: &str) -> HostId {
        self.add_machine(name, None)
    }

    fn add_machine(&mut self, name: &str, boot: Option<Boot>) -> HostId {
        let host = self.core.add_machine(name, boot);
        let node = self.runtime.create_node().name(name);
        let node = node.ip(self.carrier.add(name)).build();
        let handle = self.handle();
        let spawn = |work| drop(madsim::task::spawn(work));
        drop(node.spawn(sim_hosted::machine(handle, host, spawn)));
        self.machines.push(node);
        host
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
        self.core.on_step(hook);
    }

    /// Runs until true time `deadline` (ns), or a millisecond more, or until the run ends otherwise.
    pub fn run_until(&mut self, deadline: u64) -> Outcome {
        self.run(deadline, false, &mut |_| true)
    }

    /// As [`Engine::run_until`], but comes back soon after `condition` fails for the latest step: madsim
    /// may run other tasks first.
    pub fn run_while(
        &mut self,
        deadline: u64,
        mut condition: impl FnMut(&StepInfo) -> bool,
    ) -> Outcome {
        self.run(deadline, true, &mut condition)
    }

    fn run(
        &mut self,
        deadline: u64,
        watched: bool,
        condition: &mut dyn FnMut(&StepInfo) -> bool,
    ) -> Outcome {
        let (handle, runtime, carrier) = (self.core.handle(), &self.runtime, &self.carrier);
        self.core.run(watched, || {
            runtime.block_on(async {
                let left = deadline.saturating_sub(carrier.now());
                let mut alarm = pin!(carrier.sleep(Duration::from_nanos(left)));
                poll_fn(|context| {
                    if let Some(outcome) = handle.verdict(condition, Some(context.waker())) {
                        return Poll::Ready(outcome);
                    }
                    alarm.as_mut().poll(context).map(|()| Outcome::Deadline)
                })
                .await
            })
        })
    }

    /// The kept hashes, (event, hash), ascending.
    pub fn hash_samples(&self) -> Vec<(u64, u64)> {
        self.core.hash_samples()
    }

    /// The readable lines kept so far; they are kept once.
    pub fn take_trace(&self) -> Vec<TraceLine> {
        self.core.take_trace()
    }
}

impl Drop for Engine {
    /// madsim frees a node's tasks when they are killed, not when the runtime ends: without this, each
    /// world would leak.
    fn drop(&mut self) {
        let (runtime, machines) = (&self.runtime, &self.machines);
        let killed = std::panic::AssertUnwindSafe(|| {
            runtime.block_on(async {
                let handle = madsim::runtime::Handle::current();
                machines.iter().for_each(|node| handle.kill(node.id()));
                madsim::time::sleep(Duration::from_millis(1)).await;
            });
        });
        // After a panic in the carrier there may be nothing left to run; the run told of that panic.
        let _told = std::panic::catch_unwind(killed);
    }
}

impl Simulation for Engine {
    type Handle = Handle;

    fn handle(&self) -> Handle {
        Engine::handle(self)
    }

    fn add_node(&mut self, name: &str, boot: Boot) -> HostId {
        Engine::add_node(self, name, boot)
    }

    fn add_host(&mut self, name: &str) -> HostId {
        Engine::add_host(self, name)
    }

    fn on_step(&mut self, hook: Box<dyn FnMut(&StepInfo)>) {
        Engine::on_step(self, hook);
    }

    fn run_while(
        &mut self,
        deadline: u64,
        condition: &mut dyn FnMut(&StepInfo) -> bool,
    ) -> Outcome {
        Engine::run_while(self, deadline, condition)
    }

    fn take_trace(&self) -> Vec<TraceLine> {
        Engine::take_trace(self)
    }

    fn hash_samples(&self) -> Vec<(u64, u64)> {
        Engine::hash_samples(self)
    }
}
