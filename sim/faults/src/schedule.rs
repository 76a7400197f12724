//! What happens when: planned faults, random ones, and the healing of both, inside the budget.
//!
//! A driver runs the world up to [`Schedule::next_at`], asks [`Schedule::due`], applies what it gets and
//! goes on; at the end of the fault phase it asks [`Schedule::quiet`] once. All draws come from the one
//! stream the schedule was made with.

use std::collections::{BTreeMap, BTreeSet};

use rand_chacha::ChaCha8Rng;
use rand_core::SeedableRng;
use sim_disk::units::nanos;

use crate::budget::{Budget, Refusal};
use crate::chaos::Chaos;
use crate::draw::{Drawing, KINDS, Step, weighted};
use crate::fault::{Fault, ProcessFault};
use crate::link::exponential;
use crate::operation::{Operation, RollingRestart};
use crate::plan::{Action, FaultSpec, Planned, healing};
use crate::target::{Target, TargetResolver, resolve, some_of};

/// What the driver has to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// Apply it to the world; the budget counts it as done.
    Apply(Fault),
    /// A fault the scenario plans is outside the budget it states: the scenario is wrong.
    Refused(Refusal),
    /// A planned fault found nobody to strike, e.g. no leader at the moment.
    NoTarget(String),
}

/// How the cluster enters the quiet phase.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Quiet {
    /// Every node comes back.
    HealAll,
    /// Some nodes, drawn, never come back; never so many that the cluster may stop.
    HealCore { replication_factor: u32 },
}

enum Entry {
    Planned {
        index: usize,
        done: u32,
    },
    Step {
        fault: Fault,
        planned: bool,
    },
    /// Planned, and tried again while the budget refuses it.
    Patient(Fault),
    Rolling(Rolling),
    Chaos,
}

/// A deployment under way.
struct Rolling {
    restart: RollingRestart,
    /// Who is still to be stopped, in order.
    rest: Vec<String>,
    /// Who was stopped and is to be started.
    stopped: Option<String>,
}

/// The faults of one run.
pub struct Schedule {
    rng: ChaCha8Rng,
    specs: Vec<FaultSpec>,
    chaos: Option<Chaos>,
    budget: Budget,
    queue: BTreeMap<(u64, u64), Entry>,
    next_entry: u64,
    refused: u64,
    skips_refused: bool,
}

/// Draws of other faults after one was outside the budget.
const REDRAWS: u32 = 4;

/// How soon an operator looks again whether the cluster bears what is planned.
const PATIENCE: u64 = 250_000_000;

impl Schedule {
    /// `seed` is that of the faults stream.
    pub fn new(
        seed: [u8; 32],
        specs: Vec<FaultSpec>,
        chaos: Option<Chaos>,
        budget: Budget,
    ) -> Schedule {
        let mut schedule = Schedule {
            rng: ChaCha8Rng::from_seed(seed),
            specs,
            chaos,
            budget,
            queue: BTreeMap::new(),
            next_entry: 0,
            refused: 0,
            skips_refused: false,
        };
        for index in 0..schedule.specs.len() {
            schedule.push(
                nanos(schedule.specs[index].at),
                Entry::Planned { index, done: 0 },
            );
        }
        schedule.push_chaos(0);
        schedule
    }

    /// A planned fault that the budget refuses is not done, and counted, as a random one is.
    pub fn skipping_refused(self, skips_refused: bool) -> Schedule {
        Schedule {
            skips_refused,
            ..self
        }
    }

    /// The true time (ns) of the next event; none if nothing will happen any more.
    pub fn next_at(&self) -> Option<u64> {
        self.queue.first_key_value().map(|((at, _), _)| *at)
    }

    /// Everything up to true time `now`, in order.
    pub fn due(&mut self, now: u64, resolver: &dyn TargetResolver) -> Vec<Event> {
        let mut events = Vec::new();
        while let Some(first) = self
            .queue
            .first_entry()
            .filter(|first| first.key().0 <= now)
        {
            let ((at, _), entry) = first.remove_entry();
            match entry {
                Entry::Planned { index, done } => {
                    self.planned(at, index, done, resolver, &mut events)
                }
                Entry::Step { fault, planned } => self.step(fault, planned, &mut events),
                Entry::Patient(fault) => self.patient(at, fault, &mut events),
                Entry::Rolling(rolling) => self.rolling(at, rolling, resolver, &mut events),
                Entry::Chaos => {
                    self.random(at, resolver);
                    self.push_chaos(at);
                }
            }
        }
        events
    }

    /// Ends the fault phase: what to apply now; nothing happens after it.
    pub fn quiet(&mut self, quiet: Quiet, resolver: &dyn TargetResolver) -> Vec<Fault> {
        self.queue.clear();
        self.chaos = None;
        let permanent = match quiet {
            Quiet::HealAll => BTreeSet::new(),
            Quiet::HealCore { replication_factor } => {
                self.draw_permanent(replication_factor, resolver)
            }
        };
        let faults = self.budget.heal_all(&permanent);
        faults.iter().for_each(|fault| self.budget.record(fault));
        faults
    }

    /// For the runner's reports of what it sees: caught-up nodes, processes that ended.
    pub fn budget_mut(&mut self) -> &mut Budget {
        &mut self.budget
    }

    pub fn budget(&self) -> &Budget {
        &self.budget
    }

    /// Faults not done because the budget refused them: random ones, and planned ones that may be skipped.
    pub fn refused(&self) -> u64 {
        self.refused
    }

    fn push(&mut self, at: u64, entry: Entry) {
        self.queue.insert((at, self.next_entry), entry);
        self.next_entry += 1;
    }

    fn push_chaos(&mut self, now: u64) {
        let Some(mean) = self.chaos.as_ref().map(|chaos| nanos(chaos.mean_interval)) else {
            return;
        };
        let interval = exponential(mean, &mut self.rng).max(1);
        self.push(now.saturating_add(interval), Entry::Chaos);
    }

    fn planned(
        &mut self,
        at: u64,
        index: usize,
        done: u32,
        resolver: &dyn TargetResolver,
        events: &mut Vec<Event>,
    ) {
        let spec = self.specs[index].clone();
        let faults = match &spec.planned {
            Planned::Fault(fault) => vec![fault.clone()],
            Planned::On(target, action) => {
                let struck = self.struck(target, action, resolver);
                if let Action::RollingRestart(restart) = action {
                    let rolling = Rolling {
                        restart: restart.clone(),
                        rest: struck.clone(),
                        stopped: None,
                    };
                    self.push(at, Entry::Rolling(rolling));
                }
                if struck.is_empty() {
                    events.push(Event::NoTarget(spec.planned.to_string()));
                }
                let all = resolver.nodes();
                if struck.is_empty() {
                    Vec::new()
                } else {
                    action.on(&struck, &all)
                }
            }
        };
        if let Some(lasts) = spec.lasts {
            for fault in faults.iter().flat_map(healing) {
                self.push(
                    at.saturating_add(nanos(lasts)),
                    match fault {
                        Fault::Operation(_) => Entry::Patient(fault),
                        fault => Entry::Step {
                            fault,
                            planned: true,
                        },
                    },
                );
            }
        }
        let patient = matches!(&spec.planned, Planned::On(_, action) if action.is_patient());
        for fault in faults {
            match patient {
                true => self.patient(at, fault, events),
                false => self.step(fault, true, events),
            }
        }
        if let Some(every) = spec
            .every
            .filter(|_| spec.times.is_none_or(|times| done + 1 < times))
        {
            let next = at.saturating_add(nanos(every).max(1));
            self.push(
                next,
                Entry::Planned {
                    index,
                    done: done.saturating_add(1),
                },
            );
        }
    }

    /// Whom an action strikes: who is added or removed at random is drawn from those who can be.
    fn struck(
        &mut self,
        target: &Target,
        action: &Action,
        resolver: &dyn TargetResolver,
    ) -> Vec<String> {
        match (target, action) {
            (Target::Random, Action::AddBroker) => some_of(resolver.spares(), 1, 1, &mut self.rng),
            (Target::Random, Action::RemoveBroker) => {
                some_of(resolver.removable(), 1, 1, &mut self.rng)
            }
            (Target::Random, Action::AddVoter) => {
                some_of(resolver.candidates(), 1, 1, &mut self.rng)
            }
            (Target::Random, Action::RemoveVoter) => {
                some_of(resolver.voters(), 1, 1, &mut self.rng)
            }
            _ => resolve(target, resolver, &mut self.rng),
        }
    }

    fn patient(&mut self, at: u64, fault: Fault, events: &mut Vec<Event>) {
        match self.budget.admits(&fault) {
            Ok(()) => self.step(fault, true, events),
            Err(_) => self.push(at.saturating_add(PATIENCE), Entry::Patient(fault)),
        }
    }

    /// One node is stopped when the budget bears it and what it comes back as could run; it is started when
    /// it has stopped.
    fn rolling(
        &mut self,
        at: u64,
        mut rolling: Rolling,
        resolver: &dyn TargetResolver,
        events: &mut Vec<Event>,
    ) {
        let wait = match rolling.stopped.take() {
            Some(node) if resolver.is_up(&node) => {
                rolling.stopped = Some(node);
                PATIENCE
            }
            Some(node) => {
                self.step(Fault::process(&node, ProcessFault::Start), true, events);
                nanos(rolling.restart.pause)
            }
            None => self.stop_next(&mut rolling, resolver, events),
        };
        if rolling.stopped.is_some() || !rolling.rest.is_empty() {
            self.push(at.saturating_add(wait), Entry::Rolling(rolling));
        }
    }

    /// Time until the deployment goes on.
    fn stop_next(
        &mut self,
        rolling: &mut Rolling,
        resolver: &dyn TargetResolver,
        events: &mut Vec<Event>,
    ) -> u64 {
        let Some(node) = rolling.rest.first().cloned() else {
            return 0;
        };
        let restart = rolling.restart.clone();
        let grace = restart.grace;
        let stop = Fault::process(&node, ProcessFault::Stop { grace });
        let can_run = restart
            .release
            .as_ref()
            .is_none_or(|it| resolver.can_run(it));
        if !can_run || self.budget.admits(&stop).is_err() {
            return PATIENCE;
        }
        if let Some(release) = restart.release {
            let node = node.clone();
            let fault = Fault::Operation(Operation::InstallRelease { node, release });
            self.step(fault, true, events);
        }
        self.step(stop, true, events);
        rolling.rest.remove(0);
        rolling.stopped = Some(node);
        nanos(restart.down)
    }

    fn step(&mut self, fault: Fault, planned: bool, events: &mut Vec<Event>) {
        match self.budget.admits(&fault) {
            Ok(()) => {
                self.budget.record(&fault);
                events.push(Event::Apply(fault));
            }
            Err(refusal) if planned && !self.skips_refused => {
                events.push(Event::Refused(refusal));
            }
            Err(_) => self.refused += 1,
        }
    }

    fn random(&mut self, at: u64, resolver: &dyn TargetResolver) {
        for _ in 0..REDRAWS {
            let steps = self.draw(resolver);
            let now = steps
                .iter()
                .filter(|step| step.after == 0)
                .map(|step| &step.fault);
            if self.budget.admits_all(now).is_ok() {
                for Step { after, fault } in steps {
                    self.push(
                        at.saturating_add(after),
                        Entry::Step {
                            fault,
                            planned: false,
                        },
                    );
                }
                return;
            }
            self.refused += 1;
        }
    }

    fn draw(&mut self, resolver: &dyn TargetResolver) -> Vec<Step> {
        let Some(chaos) = &self.chaos else {
            return Vec::new();
        };
        let weights = KINDS
            .iter()
            .map(|(kind, _)| chaos.weights.get(*kind).copied().unwrap_or(0));
        let weights: Vec<u32> = weights.collect();
        let Some(index) = weighted(&weights, &mut self.rng) else {
            return Vec::new();
        };
        let (kind, draw) = KINDS[index];
        draw(&mut Drawing {
            kind,
            chaos,
            resolver,
            rng: &mut self.rng,
        })
    }

    /// Of those that are down already, as many as may stay; of the others, perhaps one.
    fn draw_permanent(
        &mut self,
        replication_factor: u32,
        resolver: &dyn TargetResolver,
    ) -> BTreeSet<String> {
        let mut permanent = BTreeSet::new();
        let down: Vec<String> = self.budget.down().iter().cloned().collect();
        let most = down.len();
        let mut candidates = some_of(down, 0, most, &mut self.rng);
        if candidates.is_empty() {
            candidates = resolve(&Target::Random, resolver, &mut self.rng);
        }
        for node in candidates {
            permanent.insert(node.clone());
            if !self.budget.may_stay_down(&permanent, replication_factor) {
                permanent.remove(&node);
            }
        }
        permanent
    }
}
