//! Programs of others: started when the topics are there, killed and started again, asked to end, and judged.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use broker_env::{Address, time};
use rand_chacha::ChaCha8Rng;
use rand_core::RngCore;
use sim_checkers::anomaly::Violation;
use sim_disk::units::nanos;
use sim_faults::{Fault, ProcessFault};
use sim_workloads::StopSignal;

use super::clients::OPERATOR;
use super::faults::{Struck, Unfit};
use crate::application::{Application, Check, Context, Crashes};
use crate::engine::{Boot, Control, Start};
use crate::scenario::{BROKER_PORT, Scenario};

/// The programs of a run.
pub struct Applications {
    programs: Vec<Program>,
    checks: Vec<Check>,
    bootstrap: Vec<Address>,
    /// No process does anything before.
    begun: Arc<AtomicBool>,
    stop: StopSignal,
    rng: ChaCha8Rng,
    pub timeline: Vec<Struck>,
}

struct Program {
    application: Application,
    /// True time of the next crash, or of the next start, ns.
    next: Option<u64>,
    is_down: bool,
}

impl Applications {
    pub fn new(scenario: &Scenario, seed: u64) -> Applications {
        let brokers = scenario.cluster.brokers();
        let programs = scenario.applications.iter().map(|application| Program {
            application: application.clone(),
            next: None,
            is_down: false,
        });
        Applications {
            programs: programs.collect(),
            checks: scenario.checks.clone(),
            bootstrap: brokers
                .iter()
                .map(|spec| Address::new(&spec.name, BROKER_PORT))
                .collect(),
            begun: Arc::default(),
            stop: StopSignal::default(),
            rng: sim_engine::salted(seed, "applications", ""),
            timeline: Vec::new(),
        }
    }

    /// The processes, by host.
    pub fn boots(&self) -> Vec<(String, Boot)> {
        let boots = self.programs.iter().map(|program| {
            let application = program.application.clone();
            let (begun, stop) = (self.begun.clone(), self.stop.clone());
            let (host, bootstrap) = (application.name.clone(), self.bootstrap.clone());
            let boot: Boot = Arc::new(move |start: Start| {
                if !begun.load(Ordering::Relaxed) {
                    return Box::pin(std::future::ready(()));
                }
                application.start(Context {
                    env: start.env,
                    bootstrap: bootstrap.clone(),
                    stop: stop.clone(),
                    name: application.name.clone(),
                })
            });
            (host, boot)
        });
        boots.collect()
    }

    /// Topics are there: everything starts.
    pub fn begin(&mut self, world: &mut dyn Control) -> Result<(), Unfit> {
        self.begun.store(true, Ordering::Relaxed);
        for index in 0..self.programs.len() {
            self.start(world, index)?;
        }
        Ok(())
    }

    /// Crashes and starts what is due.
    pub fn tend(&mut self, world: &mut dyn Control) -> Result<(), Unfit> {
        let now = world.now_ns();
        for index in 0..self.programs.len() {
            let program = &self.programs[index];
            match program.application.crashes {
                Some(crashes) if program.next.is_some_and(|next| next <= now) => {
                    if program.is_down {
                        self.start(world, index)?;
                    } else {
                        self.crash(world, index, crashes)?;
                    }
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// No more crashes: who is down comes back, and everybody is asked to finish.
    pub fn quiet(&mut self, world: &mut dyn Control) -> Result<(), Unfit> {
        for index in 0..self.programs.len() {
            if self.programs[index].is_down {
                self.start(world, index)?;
            }
        }
        self.stop.stop();
        Ok(())
    }

    /// Programs that have not come to their end.
    pub fn running(&self, world: &dyn Control) -> Vec<String> {
        let names = self
            .programs
            .iter()
            .map(|program| &program.application.name);
        names.filter(|name| world.is_up(name)).cloned().collect()
    }

    /// Asks the checks, one after the other; each has this long.
    pub async fn judge(&self, world: &dyn Control, limit: Duration) -> Vec<Violation> {
        let mut violations = Vec::new();
        for check in &self.checks {
            let context = Context {
                env: world.env(OPERATOR),
                bootstrap: self.bootstrap.clone(),
                stop: self.stop.clone(),
                name: OPERATOR.to_owned(),
            };
            let env = context.env.clone();
            let judged = time::timeout(&env, limit, check.judge(context)).await;
            let judged = judged.unwrap_or_else(|_| Err(format!("no verdict within {limit:?}")));
            if let Err(detail) = judged {
                violations.push(Violation {
                    invariant: "APP".to_owned(),
                    anomaly: check.name.clone(),
                    event: world.recorder().event(),
                    sim_ms: world.now_ns() / 1_000_000,
                    node: String::new(),
                    detail,
                });
            }
        }
        violations
    }

    pub fn checks(&self) -> u64 {
        u64::try_from(self.checks.len()).expect("few")
    }

    fn start(&mut self, world: &mut dyn Control, index: usize) -> Result<(), Unfit> {
        self.strike(world, index, ProcessFault::Start)?;
        let program = &mut self.programs[index];
        program.is_down = false;
        let every = program.application.crashes.map(|crashes| crashes.every);
        // Uniform between nothing and twice the mean.
        let span = every.map(|every| u128::from(nanos(every)) * 2);
        let drawn = span.map(|span| (u128::from(self.rng.next_u64()) * span) >> 64);
        program.next = drawn.map(|drawn| {
            let drawn = u64::try_from(drawn).unwrap_or(u64::MAX);
            world.now_ns().saturating_add(drawn)
        });
        Ok(())
    }

    fn crash(
        &mut self,
        world: &mut dyn Control,
        index: usize,
        crashes: Crashes,
    ) -> Result<(), Unfit> {
        self.strike(world, index, ProcessFault::Kill)?;
        let program = &mut self.programs[index];
        program.is_down = true;
        program.next = Some(world.now_ns().saturating_add(nanos(crashes.down)));
        Ok(())
    }

    fn strike(
        &mut self,
        world: &mut dyn Control,
        index: usize,
        fault: ProcessFault,
    ) -> Result<(), Unfit> {
        let fault = Fault::process(&self.programs[index].application.name, fault);
        let at_ms = world.now_ns() / 1_000_000;
        let applied = world.apply(&fault);
        applied.map_err(|error| Unfit::Engine(error.to_string()))?;
        self.timeline.push(Struck {
            at_ms,
            event: world.recorder().event(),
            what: fault.to_string(),
        });
        Ok(())
    }
}
