//! The same scenario, clients and checkers on a real cluster: broker processes on this machine, or any cluster that
//! speaks Kafka's protocol.
//!
//! Nothing is simulated here, so nothing repeats: a seed gives the same choices, not the same run. Only what clients saw is judged;
//! a process that ends by itself is a crash. What a target cannot do is refused before anything begins.
//!
//! Map: `processes` starts and strikes brokers · `world` the real world as the clients' and the schedule's ·
//! `offices` who leads, as the cluster says · `phases` one run.

mod offices;
mod phases;
mod processes;
mod world;

use std::path::PathBuf;

use broker_env::Address;
use sim_faults::Chaos;
use sim_faults::plan::{Action, Planned};
use sim_faults::{Fault, ProcessFault};

use crate::driver::{RunError, RunOutcome};
use crate::scenario::Scenario;

/// Where a scenario is run for real.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Target {
    /// A cluster of the scenario's layout, of `broker` processes on this machine.
    Process {
        /// The program `broker`.
        broker: PathBuf,
        /// For configuration, data and what the processes say.
        folder: PathBuf,
    },
    /// A cluster that is there already.
    Kafka {
        bootstrap: Vec<Address>,
        /// Called with a fault's name (`process-kill`) and a broker's id; the faults of the scenario are left out
        /// without it.
        hook: Option<PathBuf>,
    },
}

impl Target {
    pub fn name(&self) -> &'static str {
        match self {
            Target::Process { .. } => "process",
            Target::Kafka { .. } => "kafka",
        }
    }

    /// Whether it can be struck at all.
    fn takes_faults(&self) -> bool {
        !matches!(self, Target::Kafka { hook: None, .. })
    }
}

/// What can be done to a process without being root.
const POSSIBLE: &str =
    "process-kill, process-pause, process-resume, process-start, process-stop and rolling-restart";

/// Runs it.
///
/// # Errors
/// The scenario asks for what the target cannot do, or the cluster cannot be used, and why.
pub fn run(
    scenario: &Scenario,
    name: &str,
    seed: u64,
    target: &Target,
) -> Result<RunOutcome, RunError> {
    let failed = |reason: String| RunError::Engine {
        scenario: scenario.name.clone(),
        reason,
    };
    let impossible = impossible(scenario, target);
    if !impossible.is_empty() {
        return Err(failed(format!(
            "a {} target cannot do {}; {POSSIBLE} are possible",
            target.name(),
            impossible.join(", ")
        )));
    }
    phases::run(scenario, name, seed, target).map_err(failed)
}

/// What the scenario asks for and the target cannot give.
fn impossible(scenario: &Scenario, target: &Target) -> Vec<String> {
    let mut found = Vec::new();
    if !scenario.applications.is_empty() {
        found.push("programs of others".to_owned());
    }
    if matches!(target, Target::Process { .. }) {
        let cluster = &scenario.cluster;
        if cluster.spare_brokers + cluster.spare_controllers > 0 || !cluster.releases.is_empty() {
            found.push("spare nodes and other releases".to_owned());
        }
    }
    if target.takes_faults() {
        let planned = scenario.faults.iter().map(|spec| &spec.planned);
        let planned = planned.filter(|planned| !is_possible(planned));
        found.extend(planned.map(|planned| format!("\"{planned}\"")));
        found.extend(scenario.chaos.iter().flat_map(impossible_chaos));
    }
    found
}

fn is_possible(planned: &Planned) -> bool {
    match planned {
        Planned::Fault(Fault::Process { fault, .. }) | Planned::On(_, Action::Process(fault)) => {
            *fault != ProcessFault::PowerLoss
        }
        Planned::On(_, Action::RollingRestart(restart)) => restart.release.is_none(),
        _ => false,
    }
}

fn impossible_chaos(chaos: &Chaos) -> Vec<String> {
    const KINDS: &[&str] = &[
        "process-kill",
        "process-pause",
        "process-stop",
        "rolling-restart",
    ];
    let kinds = chaos.weights.iter().filter(|(_, weight)| **weight > 0);
    kinds
        .filter(|(kind, _)| !KINDS.contains(&kind.as_str()))
        .map(|(kind, _)| format!("random {kind}"))
        .collect()
}
