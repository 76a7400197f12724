//! `trial check`: the Stateright models.

use std::env;
use std::fs;
use std::path::Path;
use std::process::Command;

use models::counterexample::{self, Counterexample};
use models::{CheckReport, MODELS, NIGHTLY};
use sim_runner::export::{self, Exported, Tries};
use sim_runner::pool;

use super::Check;
use super::common::{Exit, mutant};

pub fn check(arguments: &Check) -> Result<Exit, String> {
    let mutant = mutant(arguments.mutant.as_deref())?;
    broker_probe::set_mutant(mutant);
    match &arguments.model {
        Some(name) if arguments.out.is_some() => export(name, mutant, arguments),
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

/// The model is violated, so the exit code is that of a violation; 2 if there is nothing to write.
fn export(name: &str, mutant: Option<&'static str>, arguments: &Check) -> Result<Exit, String> {
    let file = arguments.out.as_deref().unwrap_or(Path::new(""));
    if file.extension().is_none_or(|extension| extension != "toml") {
        return Err(format!(
            "{}: a scenario's file ends in .toml",
            file.display()
        ));
    }
    let found = counterexample::find(name, models::limits(name)).ok_or_else(|| {
        match MODELS.iter().any(|(known, _)| *known == name) {
            true => format!("{name}: the simulator cannot play the counterexamples of this model"),
            false => unknown(name),
        }
    })?;
    let way = found
        .ok_or_else(|| format!("the model {name} holds: there is no counterexample to write"))?;
    println!(
        "{name}: VIOLATED {}, after {} steps:",
        way.invariant,
        way.steps.len()
    );
    for (number, step) in way.steps.iter().enumerate() {
        println!("  {number:>4}  {}", step.text);
    }
    let tries = Tries {
        seeds: arguments.seeds,
        jobs: arguments.jobs.unwrap_or_else(pool::default_jobs),
    };
    let exported = export::search(&way, mutant, file, tries)
        .map_err(|error| format!("{name}: {error}. Nothing is written"))?;
    fs::write(file, &exported.text).map_err(|error| format!("{}: {error}", file.display()))?;
    show(&exported, file, mutant, &way);
    Ok(Exit::Violated)
}

fn show(exported: &Exported, file: &Path, mutant: Option<&str>, way: &Counterexample) {
    let counts = exported.counts;
    println!(
        "the simulator: VIOLATED {} with {} of {} seeds, and with {} of them without the faults",
        way.invariant, counts.reproduced, counts.tried, counts.without_faults
    );
    let features = mutant.map_or(String::new(), |_| "--features mutants ".to_owned());
    let mutant = mutant.map_or(String::new(), |id| {
        format!(" --mutant {}", id.replace('_', "-"))
    });
    println!(
        "cargo run --release {features}-- run {} --seed {}{mutant}",
        file.display(),
        exported.seed
    );
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
