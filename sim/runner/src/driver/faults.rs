//! Applies the schedule to the world, keeps the budget true to what is seen, and restarts what died.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use sim_disk::DiskFault;
use sim_disk::units::nanos;
use sim_faults::schedule::Event;
use sim_faults::{Fault, ProcessFault, Quiet, Schedule, World};

use super::cluster::{Nodes, Offices};
use super::settle;
use super::watch::{Deed, Watch};
use crate::engine::{Control, Recorder};
use crate::scenario::{Heal, Scenario};

/// One line of the fault timeline.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Struck {
    pub at_ms: u64,
    pub event: u64,
    pub what: String,
}

/// Why a run cannot go on as the scenario wants it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Unfit {
    /// A planned fault is outside the budget the scenario states.
    Budget(String),
    /// The engine cannot do what the scenario asks.
    Engine(String),
}

/// The hand that strikes and heals.
pub struct Striker {
    schedule: Schedule,
    nodes: Arc<Nodes>,
    watch: Arc<Watch>,
    recorder: Arc<dyn Recorder>,
    /// True time at which the schedule's time begins, ns.
    began: u64,
    restart_delay: u64,
    /// Nodes that run as far as is known.
    up: BTreeSet<String>,
    /// Processes that ended by themselves and are started again then.
    to_restart: BTreeMap<String, u64>,
    /// Nodes whose disks may lack what they said was synced: a power loss then damages more.
    doubtful: BTreeSet<String>,
    /// Nodes that never come back.
    pub away: BTreeSet<String>,
    pub timeline: Vec<Struck>,
    /// Planned faults that found nobody.
    pub untargeted: u64,
}

impl Striker {
    pub fn new(
        schedule: Schedule,
        scenario: &Scenario,
        nodes: Arc<Nodes>,
        watch: Arc<Watch>,
        recorder: Arc<dyn Recorder>,
    ) -> Striker {
        let up = nodes.specs.iter().map(|spec| spec.name.clone()).collect();
        Striker {
            schedule,
            nodes,
            watch,
            began: recorder.now_ns(),
            recorder,
            restart_delay: nanos(scenario.restart_delay),
            up,
            to_restart: BTreeMap::new(),
            doubtful: BTreeSet::new(),
            away: BTreeSet::new(),
            timeline: Vec::new(),
            untargeted: 0,
        }
    }

    /// The schedule's clock starts now.
    pub fn begin(&mut self) {
        self.began = self.recorder.now_ns();
    }

    /// Time until something is due, at most `longest`.
    pub fn idle(&self, longest: Duration) -> Duration {
        let now = self.recorder.now_ns();
        let restart = self.to_restart.values().min().copied();
        let fault = self
            .schedule
            .next_at()
            .map(|at| at.saturating_add(self.began));
        let next = restart.into_iter().chain(fault).min();
        let wait = next.map_or(u64::MAX, |next| next.saturating_sub(now));
        longest.min(Duration::from_nanos(wait))
    }

    /// Does what is due and looks after the nodes.
    pub fn tend(&mut self, world: &mut dyn Control) -> Result<(), Unfit> {
        self.look(world);
        self.restart(world)?;
        let now = self.recorder.now_ns().saturating_sub(self.began);
        let offices = Offices {
            nodes: &self.nodes,
            world: &*world as &dyn World,
        };
        let due = self.schedule.due(now, &offices);
        for event in due {
            match event {
                Event::Apply(fault) => self.strike(world, &fault)?,
                Event::Refused(refusal) => return Err(Unfit::Budget(refusal.to_string())),
                Event::NoTarget(_) => self.untargeted += 1,
            }
        }
        Ok(())
    }

    /// Ends the fault phase.
    pub fn quiet(
        &mut self,
        world: &mut dyn Control,
        heal: Heal,
        replicas: u32,
    ) -> Result<(), Unfit> {
        self.look(world);
        let quiet = match heal {
            Heal::All => Quiet::HealAll,
            Heal::Core => Quiet::HealCore {
                replication_factor: replicas,
            },
        };
        let offices = Offices {
            nodes: &self.nodes,
            world: &*world as &dyn World,
        };
        let faults = self.schedule.quiet(quiet, &offices);
        for fault in &faults {
            self.strike(world, fault)?;
        }
        self.away = self.schedule.budget().down().clone();
        self.to_restart.retain(|node, _| !self.away.contains(node));
        Ok(())
    }

    /// Restarts what ended by itself, in the quiet phase too.
    pub fn supervise(&mut self, world: &mut dyn Control) -> Result<(), Unfit> {
        self.look(world);
        self.restart(world)
    }

    fn strike(&mut self, world: &mut dyn Control, fault: &Fault) -> Result<(), Unfit> {
        self.tell(world, fault);
        let at_ms = self.recorder.now_ns() / 1_000_000;
        world
            .apply(fault)
            .map_err(|error| Unfit::Engine(error.to_string()))?;
        self.timeline.push(Struck {
            at_ms,
            event: self.recorder.event(),
            what: fault.to_string(),
        });
        if let Fault::Process { node, fault } = fault {
            match fault {
                ProcessFault::Start => {
                    self.to_restart.remove(node);
                    self.up.insert(node.clone());
                }
                ProcessFault::Kill | ProcessFault::PowerLoss => {
                    self.to_restart.remove(node);
                    self.up.remove(node);
                }
                ProcessFault::Stop { .. } | ProcessFault::Pause | ProcessFault::Resume => {}
            }
        }
        Ok(())
    }

    /// The checker hears of a fault before it strikes.
    fn tell(&mut self, world: &dyn Control, fault: &Fault) {
        let deed = match fault {
            Fault::Process { node, fault } => match fault {
                ProcessFault::Kill if world.is_up(node) => Some((node, Deed::Killed)),
                ProcessFault::PowerLoss => {
                    if self.doubtful.remove(node) {
                        self.watch
                            .deed(&self.nodes, node, Deed::DiskDamaged, &*self.recorder);
                    }
                    let lossy = self.schedule.budget().lossy().contains(node);
                    Some((node, Deed::PowerLost { lossy }))
                }
                _ => None,
            },
            Fault::Disk { node, fault } => {
                if matches!(fault, DiskFault::SyncError(_) | DiskFault::LyingSync(_)) {
                    self.doubtful.insert(node.clone());
                }
                disk_deed(fault).map(|deed| (node, deed))
            }
            _ => None,
        };
        if let Some((node, deed)) = deed {
            self.watch.deed(&self.nodes, node, deed, &*self.recorder);
        }
    }

    /// Notices processes that ended by themselves, and nodes that have caught up.
    fn look(&mut self, world: &dyn Control) {
        let now = self.recorder.now_ns();
        for spec in self.nodes.specs.clone() {
            let is_up = world.is_up(&spec.name);
            if !is_up && self.up.remove(&spec.name) {
                self.watch
                    .deed(&self.nodes, &spec.name, Deed::Killed, &*self.recorder);
                let stopped = self.schedule.budget().down().contains(&spec.name);
                if !stopped {
                    self.schedule.budget_mut().observed(&spec.name, false);
                    self.to_restart
                        .insert(spec.name.clone(), now.saturating_add(self.restart_delay));
                }
            } else if is_up {
                self.up.insert(spec.name.clone());
            }
        }
        for node in self.schedule.budget().behind() {
            let spec = self.nodes.specs.iter().find(|spec| spec.name == node);
            if spec.is_some_and(|spec| settle::caught_up(&self.nodes, world, spec)) {
                self.schedule.budget_mut().caught_up(&node);
            }
        }
    }

    fn restart(&mut self, world: &mut dyn Control) -> Result<(), Unfit> {
        let now = self.recorder.now_ns();
        let due: Vec<String> = self
            .to_restart
            .iter()
            .filter(|(_, at)| **at <= now)
            .map(|(node, _)| node.clone())
            .collect();
        for node in due {
            self.to_restart.remove(&node);
            self.schedule.budget_mut().observed(&node, true);
            self.strike(world, &Fault::process(&node, ProcessFault::Start))?;
        }
        Ok(())
    }

    /// Random faults that the budget refused.
    pub fn refused(&self) -> u64 {
        self.schedule.refused()
    }
}

fn disk_deed(fault: &DiskFault) -> Option<Deed> {
    match fault {
        DiskFault::Wiped => Some(Deed::DiskWiped),
        DiskFault::BitRot { .. } | DiskFault::LostWrite(_) | DiskFault::MisdirectedWrite(_) => {
            Some(Deed::DiskDamaged)
        }
        DiskFault::ReadError(_)
        | DiskFault::WriteError(_)
        | DiskFault::SyncError(_)
        | DiskFault::SyncErrorDropsCache(_)
        | DiskFault::Full { .. } => Some(Deed::DiskFailing),
        DiskFault::LyingSync(_) | DiskFault::Slow { .. } | DiskFault::Stalled => None,
    }
}
