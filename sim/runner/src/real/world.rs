//! The real world as clients and the schedule of faults see it.

use std::collections::BTreeMap;
use std::io;
use std::path::PathBuf;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use broker_env::{BoxFuture, Env, Instant};
use sim_disk::SimDisk;
use sim_faults::{Fault, ProcessFault, Unsupported, World};

use super::processes::{Death, Processes};
use crate::engine::{Control, Recorder};

/// What is struck.
pub enum Struck {
    Processes(Processes),
    Hook(PathBuf),
    Nothing,
}

pub struct RealWorld {
    env: Env,
    clock: Arc<Clock>,
    pub struck: Struck,
    counts: BTreeMap<&'static str, u64>,
    /// As far as a hook was told: brokers that it has taken down.
    down: BTreeMap<String, bool>,
}

/// Counts what is looked at; time is this process's.
struct Clock {
    env: Env,
    began: Instant,
    events: AtomicU64,
}

impl RealWorld {
    pub fn new(env: Env, struck: Struck) -> RealWorld {
        RealWorld {
            clock: Arc::new(Clock {
                began: env.now(),
                env: env.clone(),
                events: AtomicU64::new(0),
            }),
            env,
            struck,
            counts: BTreeMap::new(),
            down: BTreeMap::new(),
        }
    }

    pub fn reap(&mut self) -> io::Result<Vec<Death>> {
        match &mut self.struck {
            Struck::Processes(processes) => processes.reap(),
            Struck::Hook(_) | Struck::Nothing => Ok(Vec::new()),
        }
    }

    /// Strikes, or says why it could not.
    pub fn strike(&mut self, fault: &Fault) -> Result<(), String> {
        match fault {
            Fault::Process { node, fault } => {
                *self.counts.entry(fault.kind()).or_default() += 1;
                self.clock.events.fetch_add(1, Ordering::Relaxed);
                self.process(node, *fault)
            }
            Fault::HealAll => match &mut self.struck {
                Struck::Processes(processes) => {
                    processes.resume_all().map_err(|error| error.to_string())
                }
                Struck::Hook(_) | Struck::Nothing => Ok(()),
            },
            // A process fault that lasts ends by its opposite.
            Fault::Heal(_) => Ok(()),
            other => Err(format!("\"{other}\" is not possible here")),
        }
    }

    fn process(&mut self, node: &str, fault: ProcessFault) -> Result<(), String> {
        match &mut self.struck {
            Struck::Processes(processes) => {
                let done = processes.apply(node, fault);
                done.map_err(|error| format!("{}: {node}: {error}", fault.kind()))
            }
            Struck::Hook(hook) => {
                let is_down = matches!(fault, ProcessFault::Kill | ProcessFault::Stop { .. });
                self.down.insert(node.to_owned(), is_down);
                let id = node.trim_start_matches("node");
                let status = Command::new(&*hook).args([fault.kind(), id]).status();
                match status {
                    Ok(status) if status.success() => Ok(()),
                    Ok(status) => Err(format!(
                        "{} {} {id}: {status}",
                        hook.display(),
                        fault.kind()
                    )),
                    Err(error) => Err(format!("{}: {error}", hook.display())),
                }
            }
            Struck::Nothing => Err(format!("{} of {node}: nothing to strike", fault.kind())),
        }
    }
}

impl Control for RealWorld {
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.env.sleep(duration)
    }

    fn env(&self, _host: &str) -> Env {
        self.env.clone()
    }

    fn recorder(&self) -> Arc<dyn Recorder> {
        self.clock.clone()
    }
}

impl Recorder for Clock {
    fn record(&self, _host: &str, _words: &[u64], _what: &dyn Fn() -> String) {
        self.events.fetch_add(1, Ordering::Relaxed);
    }

    /// Every look is an event: operations have an order even within a clock's tick.
    fn event(&self) -> u64 {
        self.events.fetch_add(1, Ordering::Relaxed)
    }

    fn now_ns(&self) -> u64 {
        let passed = self.env.now().saturating_since(self.began);
        u64::try_from(passed.as_nanos()).unwrap_or(u64::MAX)
    }
}

impl World for RealWorld {
    fn now_ns(&self) -> u64 {
        self.clock.now_ns()
    }

    fn hosts(&self) -> Vec<String> {
        match &self.struck {
            Struck::Processes(processes) => processes.names(),
            Struck::Hook(_) | Struck::Nothing => Vec::new(),
        }
    }

    fn is_up(&self, host: &str) -> bool {
        match &self.struck {
            Struck::Processes(processes) => processes.is_up(host),
            Struck::Hook(_) | Struck::Nothing => !self.down.get(host).copied().unwrap_or(false),
        }
    }

    fn is_paused(&self, host: &str) -> bool {
        match &self.struck {
            Struck::Processes(processes) => processes.is_paused(host),
            Struck::Hook(_) | Struck::Nothing => false,
        }
    }

    fn apply(&mut self, fault: &Fault) -> Result<(), Unsupported> {
        let struck = self.strike(fault);
        struck.map_err(|reason| Unsupported::new("real", fault, reason))
    }

    fn disk(&self, _host: &str) -> Option<SimDisk> {
        None
    }

    fn fault_counts(&self) -> BTreeMap<&'static str, u64> {
        self.counts.clone()
    }
}
