//! `trial check`: the Stateright models.

use std::env;
use std::process::Command;

use models::{CheckReport, MODELS, NIGHTLY};

use super::Check;
use super::common::{Exit, mutant};

pub fn check(arguments: &Check) -> Result<Exit, String> {
    broker_probe::set_mutant(mutant(arguments.mutant.as_deref())?);
    match &arguments.model {
        Some(name) if arguments.explore => explore(name, &arguments.address),
        Some(name) => one(name, arguments.row),
        None => every(arguments),
    }
}

fn explore(name: &str, address: &str) -> Result<Exit, String> {
    println!("http://{address}");
    match models::explore(name, address) {
        Some(()) => Ok(Exit::Held),
        None => Err(unknown(name)),
    }
}

fn one(name: &str, row: bool) -> Result<Exit, String> {
    let report = models::check(name, models::limits(name)).ok_or_else(|| unknown(name))?;
    if !row {
        println!("{}", CheckReport::heads());
    }
    println!("{}", report.row());
    if !row || !report.holds() {
        print!("{report}");
    }
    Ok(exit(report.holds()))
}

/// All but those for the night, one line each, in a process each: so each one's memory can be told.
fn every(arguments: &Check) -> Result<Exit, String> {
    let mut holds = true;
    println!("{}", CheckReport::heads());
    let itself = env::current_exe().map_err(|error| format!("this program: {error}"))?;
    for (name, _) in MODELS.iter().filter(|(name, _)| !NIGHTLY.contains(name)) {
        let mut child = Command::new(&itself);
        child.args(["check", name, "--row"]);
        if let Some(mutant) = &arguments.mutant {
            child.args(["--mutant", mutant]);
        }
        let ended = child.status().map_err(|error| format!("{name}: {error}"))?;
        holds &= ended.success();
    }
    println!("only by name: {}", NIGHTLY.join(", "));
    Ok(exit(holds))
}

fn exit(holds: bool) -> Exit {
    if holds { Exit::Held } else { Exit::Violated }
}

fn unknown(name: &str) -> String {
    let known = MODELS.iter().map(|(name, _)| *name);
    let near = sim_runner::scenario::error::nearest(name, known.clone());
    let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
    let all: Vec<&str> = known.collect();
    format!("no model is named {name} ({}){hint}", all.join(", "))
}
