//! `trial run --target`: a real cluster instead of the simulated world.

use std::path::{Path, PathBuf};

use broker_env::Address;
use sim_runner::driver::RunOutcome;
use sim_runner::real::{self, Target};

use super::common::Named;
use super::{Run, TargetKind};

/// Where runs are made, and what of it is ours to delete.
pub struct Place {
    target: Target,
    /// Removed at the end if it is ours and everything held.
    folder: Option<PathBuf>,
}

impl Place {
    /// None for the simulated world.
    pub fn of(arguments: &Run) -> Result<Option<Place>, String> {
        let given = &arguments.real;
        let only = |given: bool, option: &str, target: &str| match given {
            true => Err(format!("{option} is for --target {target}")),
            false => Ok(()),
        };
        if given.target != TargetKind::Kafka {
            only(!given.bootstrap.is_empty(), "--bootstrap", "kafka")?;
            only(given.hook.is_some(), "--hook", "kafka")?;
        }
        if given.target != TargetKind::Process {
            only(given.broker.is_some(), "--broker", "process")?;
        }
        if given.target != TargetKind::Simulation {
            let making = &arguments.making;
            let simulated = making.check_steps || making.swarm || making.mutant.is_some();
            only(
                simulated,
                "--check-steps, --swarm or --mutant",
                "simulation",
            )?;
        }
        match given.target {
            TargetKind::Simulation => Ok(None),
            TargetKind::Process => processes(arguments).map(Some),
            TargetKind::Kafka => kafka(arguments).map(Some),
        }
    }

    pub fn run(&self, named: &Named, seed: u64) -> Result<RunOutcome, String> {
        if let Some(folder) = &self.folder {
            // Each run has a cluster of its own.
            drop(std::fs::remove_dir_all(folder));
        }
        let made = real::run(&named.scenario, &named.name, seed, &self.target);
        let outcome = made.map_err(|error| error.to_string())?;
        if let Some(folder) = &self.folder {
            if outcome.result.held() {
                drop(std::fs::remove_dir_all(folder));
            } else {
                eprintln!(
                    "configuration, data and logs of the brokers: {}",
                    folder.display()
                );
            }
        }
        Ok(outcome)
    }
}

fn processes(arguments: &Run) -> Result<Place, String> {
    let broker = match &arguments.real.broker {
        Some(given) => given.clone(),
        None => beside_this_program()?,
    };
    if !broker.is_file() {
        return Err(format!(
            "{} is no program: `cargo build --release -p broker-cli` makes it, --broker names another",
            broker.display()
        ));
    }
    let folder = match &arguments.out {
        Some(out) => out.join("cluster"),
        None => std::env::temp_dir().join(format!("trial-cluster-{}", std::process::id())),
    };
    // Brokers are started from elsewhere than they read their configuration.
    let folder = std::path::absolute(&folder).map_err(|error| error.to_string())?;
    Ok(Place {
        target: Target::Process {
            broker,
            folder: folder.clone(),
        },
        folder: Some(folder),
    })
}

fn beside_this_program() -> Result<PathBuf, String> {
    let this =
        std::env::current_exe().map_err(|error| format!("where is this program? {error}"))?;
    let folder = this.parent().unwrap_or(Path::new("."));
    Ok(folder.join(format!("broker{}", std::env::consts::EXE_SUFFIX)))
}

fn kafka(arguments: &Run) -> Result<Place, String> {
    if arguments.real.bootstrap.is_empty() {
        return Err("--target kafka needs --bootstrap HOST:PORT".into());
    }
    if arguments.real.hook.is_none() {
        eprintln!("note: the faults of the scenario are left out; --hook COMMAND would strike");
    }
    let address = |text: &String| {
        let parsed = text.rsplit_once(':');
        let parsed = parsed.and_then(|(host, port)| Some(Address::new(host, port.parse().ok()?)));
        parsed.ok_or_else(|| format!("\"{text}\" is no address such as localhost:9092"))
    };
    let bootstrap = arguments.real.bootstrap.iter().map(address);
    Ok(Place {
        target: Target::Kafka {
            bootstrap: bootstrap.collect::<Result<_, _>>()?,
            hook: arguments.real.hook.clone(),
        },
        folder: None,
    })
}
