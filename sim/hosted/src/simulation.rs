//! One trait over every engine, so that a runner drives each of them with the same code.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use broker_env::{BoxFuture, Env};
use rand_chacha::ChaCha8Rng;
use sim_disk::{PowerLossReport, SimDisk};
use sim_engine::{Boot, Death, Engine, HostId, NodeStatus, Outcome, StepInfo, TraceLine};
use sim_faults::World;

/// A world and its executor; see `sim_engine::Engine` for what each call does.
pub trait Simulation {
    type Handle: Control;

    fn handle(&self) -> Self::Handle;
    fn add_node(&mut self, name: &str, boot: Boot) -> HostId;
    fn add_host(&mut self, name: &str) -> HostId;
    /// Called after every step, exactly once.
    fn on_step(&mut self, hook: Box<dyn FnMut(&StepInfo)>);
    /// Runs until true time `deadline`, ns. Only the native engine notices idleness and gives
    /// [`Outcome::Idle`]: give the others a finite deadline.
    fn run_until(&mut self, deadline: u64) -> Outcome {
        self.run_while(deadline, &mut |_| true)
    }
    /// Comes back soon after `condition` fails: after that step on the native engine, when the run loop
    /// is next polled on madsim, at the end of the millisecond on turmoil.
    fn run_while(&mut self, deadline: u64, condition: &mut dyn FnMut(&StepInfo) -> bool)
    -> Outcome;
    fn take_trace(&self) -> Vec<TraceLine>;
    fn hash_samples(&self) -> Vec<(u64, u64)>;
}

/// A cheap handle into a world; see `sim_engine::Handle` for what each call does.
pub trait Control: World + Clone + Send + Sync + 'static {
    fn now(&self) -> u64;
    fn events(&self) -> u64;
    fn trace_hash(&self) -> u64;
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
    fn stream(&self, purpose: &str) -> ChaCha8Rng;
    fn host(&self, name: &str) -> Option<HostId>;
    fn name(&self, host: HostId) -> Arc<str>;
    fn host_ids(&self) -> Vec<HostId>;
    fn disk_of(&self, host: HostId) -> SimDisk;
    fn status(&self, host: HostId) -> NodeStatus;
    fn incarnation(&self, host: HostId) -> u32;
    fn env(&self, host: HostId) -> Env;
    fn spawn_on(&self, host: HostId, name: &'static str, future: BoxFuture<'static, ()>);
    fn stop(&self, reason: String);
    fn record(&self, host: Option<HostId>, words: &[u64], what: impl FnOnce() -> String);
    fn kill(&self, host: HostId, death: Death);
    fn power_loss(&self, host: HostId) -> PowerLossReport;
    fn restart(&self, host: HostId);
    fn pause(&self, host: HostId);
    fn resume(&self, host: HostId);
    fn terminate(&self, host: HostId, grace: Duration);
    fn terminated(&self, host: HostId) -> BoxFuture<'static, ()>;
    fn stall(&self, host: HostId, duration: Duration);
    fn tasks(&self) -> BTreeMap<(String, &'static str), usize>;
    fn live_tasks(&self) -> usize;
}

/// Both handles have all of it under the same names, but for those that `World` has too.
macro_rules! control {
    ($handle:ty: $($name:ident($($argument:ident: $type:ty),*) $(-> $result:ty)?;)*) => {
        impl Control for $handle {
            $(fn $name(&self, $($argument: $type),*) $(-> $result)? {
                <$handle>::$name(self, $($argument),*)
            })*

            fn host_ids(&self) -> Vec<HostId> {
                <$handle>::hosts(self)
            }

            fn disk_of(&self, host: HostId) -> SimDisk {
                <$handle>::disk(self, host)
            }
        }
    };
}

macro_rules! control_all {
    ($($handle:ty),*) => { $(control! { $handle:
        now() -> u64;
        events() -> u64;
        trace_hash() -> u64;
        sleep(duration: Duration) -> BoxFuture<'static, ()>;
        stream(purpose: &str) -> ChaCha8Rng;
        host(name: &str) -> Option<HostId>;
        name(host: HostId) -> Arc<str>;
        status(host: HostId) -> NodeStatus;
        incarnation(host: HostId) -> u32;
        env(host: HostId) -> Env;
        spawn_on(host: HostId, name: &'static str, future: BoxFuture<'static, ()>);
        stop(reason: String);
        record(host: Option<HostId>, words: &[u64], what: impl FnOnce() -> String);
        kill(host: HostId, death: Death);
        power_loss(host: HostId) -> PowerLossReport;
        restart(host: HostId);
        pause(host: HostId);
        resume(host: HostId);
        terminate(host: HostId, grace: Duration);
        terminated(host: HostId) -> BoxFuture<'static, ()>;
        stall(host: HostId, duration: Duration);
        tasks() -> BTreeMap<(String, &'static str), usize>;
        live_tasks() -> usize;
    })* };
}
control_all!(sim_engine::Handle, crate::Handle);

impl Simulation for Engine {
    type Handle = sim_engine::Handle;

    fn handle(&self) -> sim_engine::Handle {
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
