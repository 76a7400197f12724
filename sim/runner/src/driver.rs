//! One run: boot, create topics, clients and faults, quiet phase, verdict.
//!
//! Map: [`cluster`] the nodes and who holds which office · `watch` their observations to the trace and
//! the checker (`translate`, `words`), and to the second cores of `--check-steps` (`steps`) · `faults` the schedule on the world · `operator`
//! the admin client · `clients` · `applications` programs of others · `phases` the
//! control task · `settle` whether the cluster is at rest · `final_state` the last look.

mod applications;
pub mod clients;
pub mod cluster;
pub mod faults;
mod final_state;
mod operator;
pub(crate) mod phases;
mod settle;
mod steps;
mod translate;
pub(crate) mod verdict;
mod watch;
mod words;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_protocol::ids::Uuid;
use rand_core::RngCore;
use reports::RunResult;
use reports::recording::{Moment, Recording};
use sim_checkers::anomaly::Verdict;
use sim_checkers::history::History;
use sim_faults::plan::Planned;
use sim_faults::{Budget, BudgetSpec, Fault, FrameClassifier, Schedule, WireObserver};

use crate::classify::KafkaFrames;
use crate::engine::{self, Disks, EngineKind, Tracing, WorldReport, WorldSpec};
use crate::recording::{Limits, Tape};
use crate::scenario::Scenario;
use applications::Applications;
use cluster::Nodes;
pub use faults::Applied;
use faults::Unfit;
use phases::{Account, Plan};
use watch::Watch;

/// How a run is made.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    pub engine: EngineKind,
    pub trace: Tracing,
    /// The known bug to put back, as in `R_01`.
    pub mutant: Option<&'static str>,
    /// Leave some kinds of random faults out, drawn from the seed.
    pub swarm: bool,
    /// Take every step of the nodes' cores again, see `steps`.
    pub check_steps: bool,
    /// Record the run, and how much of it; see [`crate::recording`].
    pub record: Option<Limits>,
    /// Simulated ms so far, for a progress line.
    pub progress: Arc<AtomicU64>,
}

/// All there is to say about a run.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    pub result: RunResult,
    /// How often each rare path was passed.
    pub probes: BTreeMap<&'static str, u64>,
    /// What the scenario expects and the run did not show.
    pub unmet: Vec<String>,
    /// What clients saw.
    pub history: History,
    /// Simulated ms of the quiet phase until rest.
    pub settled_after_ms: Option<u64>,
    /// The faults of the fault phase as they struck, targets resolved.
    pub struck: Vec<Applied>,
    /// Simulated ms at which the fault phase began.
    pub faults_from_ms: u64,
    /// Replicas of each partition of the scenario's topics before the clients started, as placed.
    pub placed: BTreeMap<String, Vec<Vec<i32>>>,
    /// The readable trace, as far as it was asked for.
    pub lines: Vec<String>,
    /// (event, hash), as far as they were asked for.
    pub samples: Vec<(u64, u64)>,
    /// If it was asked for.
    pub recording: Option<Recording>,
    /// What was on the disks at the end, if it was asked for.
    pub disks: Disks,
}

impl RunOutcome {
    pub fn verdict(&self) -> Verdict {
        self.result.verdict
    }

    /// # Panics
    /// The run did not hold; the message is the whole report.
    pub fn assert_held(&self) {
        assert!(
            self.result.held(),
            "{}",
            reports::console::run(&self.result, false)
        );
    }
}

/// A run that cannot be made: a fault of the scenario, or an engine that cannot do what it asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("{scenario}: a planned fault is outside the budget the scenario states: {reason}")]
    Budget { scenario: String, reason: String },
    #[error("{scenario}: {reason}")]
    Engine { scenario: String, reason: String },
}

/// Makes one run. `name` is what the replay command calls the scenario.
///
/// # Errors
/// See [`RunError`].
pub fn run(
    scenario: &Scenario,
    name: &str,
    seed: u64,
    options: &RunOptions,
) -> Result<RunOutcome, RunError> {
    engine::on_its_thread(options.engine, || run_here(scenario, name, seed, options))
}

fn run_here(
    scenario: &Scenario,
    name: &str,
    seed: u64,
    options: &RunOptions,
) -> Result<RunOutcome, RunError> {
    let wall = std::time::Instant::now();
    let swarmed = options.swarm.then(|| swarmed(scenario, seed));
    let scenario = swarmed.as_ref().unwrap_or(scenario);
    broker_probe::set_mutant(options.mutant);
    broker_probe::start_counting();
    let simulated = simulate(scenario, seed, options);
    let probes = broker_probe::take_counts();
    broker_probe::set_mutant(None);
    let (world, mut account, tape) = simulated.map_err(|reason| RunError::Engine {
        scenario: scenario.name.clone(),
        reason,
    })?;
    if let Some(unfit) = account.unfit.take() {
        let scenario = scenario.name.clone();
        return Err(match unfit {
            Unfit::Budget(reason) => RunError::Budget { scenario, reason },
            Unfit::Engine(reason) => RunError::Engine { scenario, reason },
        });
    }
    let settled_after_ms = account.settled_after_ms;
    let struck = std::mem::take(&mut account.applied);
    let faults_from_ms = account.faults_from_ms;
    let placed = std::mem::take(&mut account.placed);
    let mut result = RunResult::new(name, seed, options.engine.name(), "");
    result.mutant = options.mutant.map(|id| id.replace('_', "-"));
    result.probes = probes.keys().map(|name| (*name).to_owned()).collect();
    let given_up = std::mem::take(&mut account.given_up);
    let history = verdict::fill(&mut result, &world, account);
    let end = Moment {
        us: world.sim_ns / 1_000,
        event: world.events,
    };
    let recording = tape.map(|tape| tape.finish(end, &history));
    result.wall_ms = u64::try_from(wall.elapsed().as_millis()).unwrap_or(u64::MAX);
    result.replay = match scenario.applications.is_empty() {
        true => crate::result::replay_command(&result, options),
        // No file says what these do.
        false => format!("the same test, with seed {seed}"),
    };
    Ok(RunOutcome {
        unmet: unmet(scenario, &result, &probes)
            .into_iter()
            .chain(given_up.iter().map(|order| format!("\"{order}\" done")))
            .collect(),
        result,
        probes,
        history,
        settled_after_ms,
        struck,
        faults_from_ms,
        placed,
        lines: world.lines,
        samples: world.samples,
        recording,
        disks: world.disks,
    })
}

/// The same scenario with some kinds of random faults left out, drawn from the seed.
fn swarmed(scenario: &Scenario, seed: u64) -> Scenario {
    let mut rng = sim_engine::salted(seed, "swarm", "");
    let chaos = scenario.chaos.as_ref();
    Scenario {
        chaos: chaos.map(|chaos| chaos.swarm(&mut rng)),
        ..scenario.clone()
    }
}

fn simulate(
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
) -> Result<(WorldReport, Account, Option<Arc<Tape>>), String> {
    let nodes = Arc::new(Nodes::new(&scenario.cluster));
    let clients = clients::hosts(scenario);
    let tape = options
        .record
        .map(|limits| Tape::new(&nodes.specs, scenario, &clients, limits));
    let watch = Arc::new(Watch::new(scenario, options.check_steps, tape.clone()));
    let cluster_id = cluster_id(seed);
    let applications = Applications::new(scenario, seed);
    let processes = nodes.specs.iter().map(|spec| {
        let boot = nodes.boot(&scenario.cluster, spec, &cluster_id, &watch);
        (spec.name.clone(), boot)
    });
    let spec = WorldSpec {
        seed,
        nodes: processes.chain(applications.boots()).collect(),
        clients,
        network: scenario.network,
        disk: scenario.disk,
        classifier: classifier(scenario),
        wire_observer: tape.clone().map(|tape| tape as Arc<dyn WireObserver>),
        trace: options.trace,
        limit: limit(scenario),
    };
    let plan = Plan {
        scenario: scenario.clone(),
        seed,
        nodes: nodes.clone(),
        watch: watch.clone(),
        schedule: schedule(scenario, seed),
        applications,
        progress: options.progress.clone(),
    };
    let account = Arc::new(Mutex::new(None));
    let told = account.clone();
    let main: engine::Main = Box::new(move |control| {
        Box::pin(async move {
            let account = phases::run(control, plan).await;
            *told.lock().expect("no panic under this lock") = Some(account);
        })
    });
    let world = engine::run(options.engine, spec, main)?;
    nodes.forget();
    let account = account.lock().expect("no panic under this lock").take();
    let mut account = account.unwrap_or_else(|| Account {
        report: watch.checker().report(),
        ..Account::default()
    });
    account.report.merge(watch.steps_report());
    account.exits = std::mem::take(&mut *nodes.exits.lock().expect("no panic under this lock"));
    Ok((world, account, tape))
}

/// Boot, fault phase, quiet phase, final reads: each with what it may take.
fn limit(scenario: &Scenario) -> Duration {
    let reads = scenario.workloads.iter();
    let reads = reads.map(|workload| Duration::from_millis(workload.finish_timeout_ms));
    scenario.duration + scenario.quiet * 3 + reads.sum::<Duration>() + Duration::from_secs(60)
}

fn cluster_id(seed: u64) -> String {
    let mut rng = sim_engine::salted(seed, "cluster", "");
    let mut bytes = [0; 16];
    rng.fill_bytes(&mut bytes);
    Uuid(bytes).to_string()
}

/// Only for those who need it: without one, no frame is looked at.
fn classifier(scenario: &Scenario) -> Option<Arc<dyn FrameClassifier>> {
    let planned = scenario.faults.iter();
    let typed = planned
        .filter(|spec| matches!(spec.planned, Planned::Fault(Fault::Frames(_))))
        .count();
    let random = scenario
        .chaos
        .as_ref()
        .is_some_and(|chaos| !chaos.frames.is_empty());
    (typed > 0 || random).then(|| {
        let classifier: Arc<dyn FrameClassifier> = Arc::new(KafkaFrames::default());
        classifier
    })
}

pub(crate) fn schedule(scenario: &Scenario, seed: u64) -> Schedule {
    let voters = scenario.cluster.voters();
    // Elsewhere controllers count as if they had records, which admits less and is never wrong.
    let controllers = voters.iter().filter(|spec| !spec.is_broker);
    let without_logs = controllers
        .filter(|_| scenario.cluster.dynamic_quorum)
        .map(|spec| spec.name.clone());
    let budget = Budget::new(BudgetSpec {
        without_logs: without_logs.collect(),
        durability: scenario.durability,
        min_insync_replicas: scenario.min_insync_replicas(),
        replication_factor: scenario.replication_factor(),
        voters: voters.into_iter().map(|spec| spec.name).collect(),
        dynamic_voters: scenario.cluster.dynamic_quorum,
        max_down: scenario.max_down,
        ..BudgetSpec::default()
    });
    let stream = sim_engine::salted(seed, "faults", "").get_seed();
    Schedule::new(
        stream,
        scenario.faults.clone(),
        scenario.chaos.clone(),
        budget,
    )
    .skipping_refused(scenario.skips_refused)
}

fn unmet(
    scenario: &Scenario,
    result: &RunResult,
    probes: &BTreeMap<&'static str, u64>,
) -> Vec<String> {
    let expect = &scenario.expect;
    let invariants = expect.invariants.iter();
    let unchecked = invariants
        .filter(|id| result.invariants.get(*id).copied().unwrap_or(0) == 0)
        .map(|id| format!("{id} evaluated"));
    let unhit = expect
        .probes
        .iter()
        .filter(|probe| !probes.contains_key(probe.as_str()))
        .map(|probe| format!("probe \"{probe}\" hit"));
    unchecked.chain(unhit).collect()
}

impl Scenario {
    /// Runs it on the native engine: one line in a test.
    ///
    /// # Panics
    /// The scenario asks for what its budget does not bear.
    pub fn run(&self, seed: u64) -> RunOutcome {
        match run(self, &self.name, seed, &RunOptions::default()) {
            Ok(outcome) => outcome,
            Err(error) => panic!("{error}"),
        }
    }
}
