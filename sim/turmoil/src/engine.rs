//! The run loop: one tick of turmoil after the other.

use std::time::{Duration, UNIX_EPOCH};

use broker_env::{BoxFuture, Env};
use sim_engine::{Boot, HostId, Options, Outcome, StepInfo, TraceLine};
use sim_hosted::{Core, Handle, Simulation, Unavailable};
use turmoil::Sim;

use crate::carrier::Turmoil;

/// turmoil's step of time; all it does is rounded up to it.
const TICK: Duration = Duration::from_millis(1);
/// Segments a stream holds, and also connects a listener has not seen yet: one more is a panic.
const TCP_CAPACITY: usize = 4_096;
/// Longer than any run; turmoil wants a limit.
const FOR_EVER: Duration = Duration::from_secs(1 << 40);

/// A deterministic world on turmoil. One thread; the same seed gives the same run.
pub struct Engine {
    // Before the core: its tasks hold turmoil's timers and streams.
    sim: Sim<'static>,
    core: Core,
    turmoil: Turmoil,
}

impl Engine {
    /// Fails in a build without `--cfg tokio_unstable`.
    pub fn new(options: Options) -> Result<Engine, Unavailable> {
        crate::availability()?;
        let turmoil = Turmoil::default();
        let start = u64::try_from(options.wall_start_ms).unwrap_or(0);
        let sim = turmoil::Builder::new()
            .rng_seed(options.seed)
            .epoch(UNIX_EPOCH + Duration::from_millis(start))
            .simulation_duration(FOR_EVER)
            .tick_duration(TICK)
            .min_message_latency(Duration::ZERO)
            .max_message_latency(TICK)
            .tcp_capacity(TCP_CAPACITY)
            .enable_random_order()
            .build();
        let core = Core::new(options, std::sync::Arc::new(turmoil.clone()));
        Ok(Engine { sim, core, turmoil })
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
        let handle = self.handle();
        self.sim.host(name, move || {
            let handle = handle.clone();
            async move {
                sim_hosted::machine(handle, host, |work| drop(tokio::task::spawn_local(work)))
                    .await;
                Ok(())
            }
        });
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

    /// Runs until true time `deadline` (ns), in whole ticks, or until the run ends otherwise.
    pub fn run_until(&mut self, deadline: u64) -> Outcome {
        self.run_while(deadline, |_| true)
    }

    /// As [`Engine::run_until`], but comes back at the end of a tick after which `condition` fails for the
    /// latest step.
    pub fn run_while(
        &mut self,
        deadline: u64,
        mut condition: impl FnMut(&StepInfo) -> bool,
    ) -> Outcome {
        let (handle, sim, turmoil) = (self.core.handle(), &mut self.sim, &self.turmoil);
        self.core.run(false, || {
            loop {
                if let Some(outcome) = handle.verdict(&mut condition, None) {
                    return outcome;
                }
                if handle.now() >= deadline {
                    return Outcome::Deadline;
                }
                let stepped = sim.step();
                turmoil.set_now(sim.elapsed());
                stepped.expect("machines do not end, and there is no limit of time");
            }
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
