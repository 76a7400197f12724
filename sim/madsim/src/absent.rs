//! What a build without `--cfg madsim` has instead of the engine: its refusal.

use broker_env::{BoxFuture, Env};
use sim_engine::{Boot, HostId, Options, Outcome, StepInfo, TraceLine};
use sim_hosted::{Handle, Simulation, Unavailable};

/// Has no value: [`Engine::new`] says why.
pub enum Engine {}

impl Engine {
    /// Fails, see [`crate::availability`].
    pub fn new(_options: Options) -> Result<Engine, Unavailable> {
        Err(crate::availability().expect_err("compiled only without the cfg"))
    }

    pub fn spawn_on(
        &self,
        _host: HostId,
        _name: &'static str,
        _make: impl FnOnce(Env) -> BoxFuture<'static, ()>,
    ) {
        match *self {}
    }
}

impl Simulation for Engine {
    type Handle = Handle;

    fn handle(&self) -> Handle {
        match *self {}
    }

    fn add_node(&mut self, _name: &str, _boot: Boot) -> HostId {
        match *self {}
    }

    fn add_host(&mut self, _name: &str) -> HostId {
        match *self {}
    }

    fn on_step(&mut self, _hook: Box<dyn FnMut(&StepInfo)>) {
        match *self {}
    }

    fn run_while(
        &mut self,
        _deadline: u64,
        _condition: &mut dyn FnMut(&StepInfo) -> bool,
    ) -> Outcome {
        match *self {}
    }

    fn take_trace(&self) -> Vec<TraceLine> {
        match *self {}
    }

    fn hash_samples(&self) -> Vec<(u64, u64)> {
        match *self {}
    }
}
