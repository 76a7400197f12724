//! Applies the schedule to the world, keeps the budget true to what is seen, and restarts what died.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use broker_client::admin::UpgradeType;
use broker_protocol::ids::TopicPartition;
use sim_disk::DiskFault;
use sim_disk::units::nanos;
use sim_faults::schedule::Event;
use sim_faults::{Fault, Operation, ProcessFault, Quiet, Schedule, TargetResolver, World};

use super::cluster::{Nodes, Offices};
use super::operator::Order;
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

/// A fault of the schedule that was done.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Applied {
    /// Since the fault phase began.
    pub at: Duration,
    pub fault: Fault,
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
    /// Brokers to be started as soon as they have stopped.
    to_add: BTreeSet<String>,
    /// Brokers that are on their way out.
    leaving: BTreeSet<String>,
    /// Work for the admin client that has come up.
    pub orders: Vec<Order>,
    pub timeline: Vec<Struck>,
    /// What the schedule did, in order.
    pub applied: Vec<Applied>,
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
        let members = nodes.specs.iter().filter(|spec| !spec.is_spare);
        let up = members.map(|spec| spec.name.clone()).collect();
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
            to_add: BTreeSet::new(),
            leaving: BTreeSet::new(),
            orders: Vec::new(),
            timeline: Vec::new(),
            applied: Vec::new(),
            untargeted: 0,
        }
    }

    /// The schedule's clock starts now.
    pub fn begin(&mut self) {
        self.began = self.recorder.now_ns();
    }

    /// Simulated time at which the schedule's clock started, ms.
    pub fn began_ms(&self) -> u64 {
        self.began / 1_000_000
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
        self.add(world)?;
        let now = self.recorder.now_ns().saturating_sub(self.began);
        let offices = Offices {
            nodes: &self.nodes,
            world: &*world as &dyn World,
        };
        let due = self.schedule.due(now, &offices);
        for event in due {
            match event {
                Event::Apply(fault) => {
                    self.strike(world, &fault)?;
                    let at = Duration::from_nanos(now);
                    self.applied.push(Applied { at, fault });
                }
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
        self.nodes
            .replace_old_releases(|release| offices.can_run(release));
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
        self.add(world)?;
        self.restart(world)
    }

    fn strike(&mut self, world: &mut dyn Control, fault: &Fault) -> Result<(), Unfit> {
        self.tell(world, fault);
        let at_ms = self.recorder.now_ns() / 1_000_000;
        world
            .apply(fault)
            .map_err(|error| Unfit::Engine(error.to_string()))?;
        self.watch.fault(fault, &*self.recorder);
        self.timeline.push(Struck {
            at_ms,
            event: self.recorder.event(),
            what: fault.to_string(),
        });
        if let Fault::Operation(operation) = fault {
            self.operate(world, operation)?;
        }
        if let Fault::Disk {
            node,
            fault: DiskFault::Wiped,
        } = fault
        {
            self.replaced(node);
        }
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

    /// A voter that lost its disk is another one now: the operator removes the former and adds it (KIP-853).
    fn replaced(&mut self, node: &str) {
        self.nodes.replaced(node);
        if self.nodes.is_dynamic() && self.nodes.is_voter(node) {
            let id = self.id_of(node);
            let node = node.to_owned();
            self.orders.push(Order::ReplaceVoter { node, id });
        }
    }

    fn id_of(&self, node: &str) -> i32 {
        let spec = self.nodes.specs.iter().find(|spec| spec.name == node);
        spec.expect("checked when the scenario was read").id
    }

    /// Does what an operator does with processes, and leaves the rest to the admin client.
    fn operate(&mut self, world: &mut dyn Control, operation: &Operation) -> Result<(), Unfit> {
        match operation {
            Operation::InstallRelease { node, release } => self.nodes.install(node, release),
            Operation::AddBroker { node } if self.nodes.is_member(node) => {}
            Operation::AddBroker { node } => {
                self.to_add.insert(node.clone());
                self.add(world)?;
            }
            Operation::RemoveBroker { node, grace } => {
                self.nodes.set_member(node, false);
                self.to_restart.remove(node);
                self.to_add.remove(node);
                self.leaving.insert(node.clone());
                let stop = ProcessFault::Stop { grace: *grace };
                self.strike(world, &Fault::process(node, stop))?;
            }
            Operation::UpgradeFeatures { features } => self.orders.push(Order::Features {
                features: features.clone(),
                upgrade_type: UpgradeType::Upgrade,
            }),
            Operation::DowngradeFeatures { features, lossy } => self.orders.push(Order::Features {
                features: features.clone(),
                upgrade_type: match lossy {
                    true => UpgradeType::UnsafeDowngrade,
                    false => UpgradeType::SafeDowngrade,
                },
            }),
            Operation::AddVoter { node } | Operation::RemoveVoter { node } => {
                let votes = matches!(operation, Operation::AddVoter { .. });
                self.nodes.set_voter(node, votes);
                let (node, id) = (node.clone(), self.id_of(node));
                self.orders.push(Order::Voter { node, id, votes });
            }
            Operation::ElectPreferredLeader { topic, partition } => {
                let partition = TopicPartition::new(topic, *partition);
                self.orders.push(Order::ElectPreferred(partition));
            }
            Operation::ConfigureTopic { topic, config } => {
                let (topic, config) = (topic.clone(), config.clone());
                self.orders.push(Order::Configure { topic, config });
            }
        }
        Ok(())
    }

    /// Starts brokers that were added, once what they were before has ended.
    fn add(&mut self, world: &mut dyn Control) -> Result<(), Unfit> {
        let ready = |node: &&String| !world.is_up(node) && !self.leaving.contains(*node);
        let ready: Vec<String> = self.to_add.iter().filter(ready).cloned().collect();
        for node in ready {
            self.to_add.remove(&node);
            self.nodes.set_member(&node, true);
            self.strike(world, &Fault::process(&node, ProcessFault::Start))?;
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
                let stopped = self.schedule.budget().down().contains(&spec.name)
                    || !self.nodes.is_member(&spec.name);
                if !stopped {
                    self.schedule.budget_mut().observed(&spec.name, false);
                    self.to_restart
                        .insert(spec.name.clone(), now.saturating_add(self.restart_delay));
                }
            } else if is_up {
                self.up.insert(spec.name.clone());
            }
            if !is_up && self.leaving.remove(&spec.name) {
                self.orders.push(Order::Unregister {
                    node: spec.name.clone(),
                    id: spec.id,
                });
            }
        }
        for node in self.schedule.budget().lossy_voters().clone() {
            if settle::voter_caught_up(&self.nodes, world, &node) {
                self.schedule.budget_mut().voter_caught_up(&node);
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

    /// Members that are coming or going.
    pub fn unfinished(&self) -> Option<String> {
        let changing = self.to_add.iter().chain(&self.leaving).next()?;
        Some(format!("{changing} is being added or removed"))
    }

    /// Faults that the budget refused.
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
