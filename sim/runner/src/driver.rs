//! One run: boot, create topics, clients and faults, quiet phase, verdict.
//!
//! Map: [`cluster`] the nodes and who holds which office · `watch` their observations to the trace and
//! the checker (`translate`, `words`) · `faults` the schedule on the world · `clients` · `phases` the
//! control task · `settle` whether the cluster is at rest · `final_state` the last look.

pub mod clients;
pub mod cluster;
pub mod faults;
mod final_state;
mod phases;
mod settle;
mod translate;
mod watch;
mod words;

use std::collections::BTreeMap;
use std::sync::atomic::AtomicU64;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_protocol::ids::Uuid;
use rand_core::RngCore;
use sim_checkers::anomaly::Violation;
use sim_faults::plan::Planned;
use sim_faults::{Budget, BudgetSpec, Fault, FrameClassifier, Schedule};
use sim_workloads::ClientStats;

use crate::classify::KafkaFrames;
use crate::engine::{self, End, EngineKind, Tracing, WorldReport, WorldSpec};
use crate::scenario::Scenario;
use cluster::Nodes;
use faults::{Struck, Unfit};
use phases::{Account, Plan};
use watch::Watch;

/// How a run is made.
#[derive(Clone, Debug, Default)]
pub struct RunOptions {
    pub engine: EngineKind,
    pub trace: Tracing,
    /// The known bug to put back, as in `R_01`.
    pub mutant: Option<&'static str>,
    /// Simulated ms so far, for a progress line.
    pub progress: Arc<AtomicU64>,
}

/// How a run ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Verdict {
    Held,
    /// A safety invariant broke.
    Violated,
    /// Safe, but it did not come to rest, or clients waited for ever.
    Stuck,
    /// A panic or an assertion.
    Crashed,
}

/// All there is to say about a run.
#[derive(Clone, Debug)]
pub struct RunOutcome {
    pub scenario: String,
    pub seed: u64,
    pub engine: EngineKind,
    pub mutant: Option<&'static str>,
    pub verdict: Verdict,
    pub violations: Vec<Violation>,
    /// How often each invariant was evaluated.
    pub checked: BTreeMap<String, u64>,
    pub trace_hash: u64,
    pub events: u64,
    pub sim_ms: u64,
    pub wall_ms: u64,
    pub faults: BTreeMap<String, u64>,
    pub timeline: Vec<Struck>,
    pub clients: ClientStats,
    /// How often each rare path was passed.
    pub probes: BTreeMap<&'static str, u64>,
    /// What a scenario expects and the run did not show.
    pub unmet: Vec<String>,
    /// Why processes ended by themselves.
    pub exits: Vec<String>,
    pub settled_after_ms: Option<u64>,
    pub lines: Vec<String>,
    pub samples: Vec<(u64, u64)>,
}

/// A run that cannot be made: a fault of the scenario, or an engine that cannot do what it asks.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum RunError {
    #[error("{scenario}: a planned fault is outside the budget the scenario states: {reason}")]
    Budget { scenario: String, reason: String },
    #[error("{scenario}: {reason}")]
    Engine { scenario: String, reason: String },
}

/// Makes one run on the calling thread.
///
/// # Errors
/// See [`RunError`].
pub fn run(scenario: &Scenario, seed: u64, options: &RunOptions) -> Result<RunOutcome, RunError> {
    let wall = std::time::Instant::now();
    broker_probe::set_mutant(options.mutant);
    broker_probe::start_counting();
    let simulated = simulate(scenario, seed, options);
    let probes = broker_probe::take_counts();
    broker_probe::set_mutant(None);
    let (world, account, exits) = simulated.map_err(|reason| RunError::Engine {
        scenario: scenario.name.clone(),
        reason,
    })?;
    if let Some(unfit) = account.unfit {
        let scenario = scenario.name.clone();
        return Err(match unfit {
            Unfit::Budget(reason) => RunError::Budget { scenario, reason },
            Unfit::Engine(reason) => RunError::Engine { scenario, reason },
        });
    }
    let mut outcome = judge(scenario, seed, options, world, account);
    outcome.unmet = unmet(scenario, &outcome, &probes);
    outcome.probes = probes;
    outcome.exits = exits;
    outcome.wall_ms = u64::try_from(wall.elapsed().as_millis()).unwrap_or(u64::MAX);
    Ok(outcome)
}

type Simulated = (WorldReport, Account, Vec<String>);

fn simulate(scenario: &Scenario, seed: u64, options: &RunOptions) -> Result<Simulated, String> {
    let nodes = Arc::new(Nodes::new(&scenario.cluster));
    let watch = Arc::new(Watch::new(scenario));
    let cluster_id = cluster_id(seed);
    let processes = nodes.specs.iter().map(|spec| {
        let boot = nodes.boot(&scenario.cluster, spec, &cluster_id, &watch);
        (spec.name.clone(), boot)
    });
    let spec = WorldSpec {
        seed,
        nodes: processes.collect(),
        clients: clients::hosts(scenario),
        network: scenario.network,
        disk: scenario.disk,
        classifier: classifier(scenario),
        trace: options.trace,
        limit: limit(scenario),
    };
    let plan = Plan {
        scenario: scenario.clone(),
        seed,
        nodes: nodes.clone(),
        watch: watch.clone(),
        schedule: schedule(scenario, seed),
        progress: options.progress.clone(),
    };
    let account = Arc::new(Mutex::new(None));
    let told = account.clone();
    let world = engine::run(
        options.engine,
        spec,
        Box::new(move |control| {
            Box::pin(async move {
                let account = phases::run(control, plan).await;
                *told.lock().expect("no panic under this lock") = Some(account);
            })
        }),
    )?;
    nodes.forget();
    let account = account.lock().expect("no panic under this lock").take();
    let account = account.unwrap_or_else(|| Account {
        report: watch.checker().report(),
        ..Account::default()
    });
    let exits = std::mem::take(&mut *nodes.exits.lock().expect("no panic under this lock"));
    Ok((world, account, exits))
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

fn schedule(scenario: &Scenario, seed: u64) -> Schedule {
    let voters = scenario.cluster.controllers();
    let budget = Budget::new(BudgetSpec {
        durability: scenario.durability,
        min_insync_replicas: scenario.min_insync_replicas(),
        voters: voters.into_iter().map(|spec| spec.name).collect(),
        // The voters are those of the configuration: a wiped one would come back under its old id.
        dynamic_voters: false,
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
}

fn judge(
    scenario: &Scenario,
    seed: u64,
    options: &RunOptions,
    world: WorldReport,
    account: Account,
) -> RunOutcome {
    let sim_ms = world.sim_ns / 1_000_000;
    let mut violations = account.report.violations;
    let at = |invariant: &str, anomaly: &str, node: &str, detail: String| Violation {
        invariant: invariant.to_owned(),
        anomaly: anomaly.to_owned(),
        event: world.events,
        sim_ms,
        node: node.to_owned(),
        detail,
    };
    let crashed = matches!(world.end, End::Crashed(_));
    match &world.end {
        End::Finished => {
            let rest = account.unsettled.iter();
            violations.extend(rest.map(|reason| at("LIVE-1", "unsettled", "", reason.clone())));
        }
        End::Crashed(crash) => violations.push(Violation {
            event: crash.event,
            sim_ms: crash.at_ns / 1_000_000,
            ..at(
                "PANIC",
                "panic",
                &crash.node,
                format!("task `{}`: {}", crash.task, crash.message),
            )
        }),
        End::Livelock { node, task } => violations.push(at(
            "LIVE-1",
            "livelock",
            node,
            format!("task `{task}` runs without time passing"),
        )),
        End::OutOfTime => {
            let tasks = world.tasks.iter();
            let waiting: Vec<String> = tasks
                .map(|(host, task, count)| format!("{host}: {count} x {task}"))
                .collect();
            let detail = format!("the run did not end; tasks: {}", waiting.join(", "));
            violations.push(at("LIVE-5", "endless", "", detail));
        }
    }
    violations.sort_by_key(|violation| (violation.event, violation.invariant.clone()));
    RunOutcome {
        scenario: scenario.name.clone(),
        seed,
        engine: options.engine,
        mutant: options.mutant,
        verdict: verdict(crashed, &violations),
        violations,
        checked: account.report.checked,
        trace_hash: world.trace_hash,
        events: world.events,
        sim_ms,
        wall_ms: 0,
        faults: account
            .fault_counts
            .into_iter()
            .map(|(kind, count)| (kind.to_owned(), count))
            .collect(),
        timeline: account.timeline,
        clients: account.stats,
        probes: BTreeMap::new(),
        unmet: Vec::new(),
        exits: Vec::new(),
        settled_after_ms: account.settled_after_ms,
        lines: world.lines,
        samples: world.samples,
    }
}

fn verdict(crashed: bool, violations: &[Violation]) -> Verdict {
    let is_live = |violation: &Violation| violation.invariant.starts_with("LIVE");
    if crashed {
        Verdict::Crashed
    } else if violations.iter().any(|violation| !is_live(violation)) {
        Verdict::Violated
    } else if violations.is_empty() {
        Verdict::Held
    } else {
        Verdict::Stuck
    }
}

fn unmet(
    scenario: &Scenario,
    outcome: &RunOutcome,
    probes: &BTreeMap<&'static str, u64>,
) -> Vec<String> {
    let expect = &scenario.expect;
    let invariants = expect.invariants.iter();
    let unchecked = invariants
        .filter(|id| outcome.checked.get(*id).copied().unwrap_or(0) == 0)
        .map(|id| format!("{id} was never evaluated"));
    let unhit = expect
        .probes
        .iter()
        .filter(|probe| !probes.contains_key(probe.as_str()))
        .map(|probe| format!("probe \"{probe}\" was never hit"));
    unchecked.chain(unhit).collect()
}

impl Scenario {
    /// Runs it on the native engine: one line in a test.
    ///
    /// # Panics
    /// The scenario asks for what its budget does not bear.
    pub fn run(&self, seed: u64) -> RunOutcome {
        match run(self, seed, &RunOptions::default()) {
            Ok(outcome) => outcome,
            Err(error) => panic!("{error}"),
        }
    }
}
