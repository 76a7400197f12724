//! `trial check`: the Stateright models.

use models::{CheckReport, DEFAULT_LIMITS, MODELS};

use super::Check;
use super::common::{Exit, mutant};

pub fn check(arguments: &Check) -> Result<Exit, String> {
    broker_probe::set_mutant(mutant(arguments.mutant.as_deref())?);
    if arguments.explore {
        let name = arguments.model.as_deref().unwrap_or_default();
        println!("http://{}", arguments.address);
        return match models::explore(name, &arguments.address) {
            Some(()) => Ok(Exit::Held),
            None => Err(unknown(name)),
        };
    }
    let names: Vec<&str> = match &arguments.model {
        Some(name) => vec![name],
        None => MODELS.iter().map(|(name, _)| *name).collect(),
    };
    let mut holds = true;
    for name in names {
        let report = models::check(name, DEFAULT_LIMITS).ok_or_else(|| unknown(name))?;
        holds &= report.holds();
        print(&report);
    }
    Ok(if holds { Exit::Held } else { Exit::Violated })
}

fn unknown(name: &str) -> String {
    let known = MODELS.iter().map(|(name, _)| *name);
    let near = sim_runner::scenario::error::nearest(name, known.clone());
    let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
    let all: Vec<&str> = known.collect();
    format!("no model is named {name} ({}){hint}", all.join(", "))
}

fn print(report: &CheckReport) {
    let seen = if report.complete {
        "all states"
    } else {
        "up to the limit"
    };
    println!(
        "{}   {} states, {} unique, depth {}, {:.1} s, {seen}",
        report.model, report.states, report.unique, report.depth, report.seconds
    );
    for (property, witness) in &report.sometimes {
        let found = if witness.is_some() {
            "reached"
        } else {
            "NEVER REACHED"
        };
        println!("  sometimes {property}: {found}");
    }
    for violation in &report.violations {
        println!("  VIOLATED {}", violation.property);
        violation
            .path
            .iter()
            .for_each(|step| println!("    {step}"));
    }
    if report.holds() {
        println!("  holds");
    }
}
