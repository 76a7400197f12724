//! `trial meta`: the same run in two fresh processes.

use std::process::Command;

use serde::{Deserialize, Serialize};
use sim_runner::driver;

use super::common::{Exit, random_seed, scenario};
use super::{Fingerprint, Making, Meta};

/// What one process tells the other.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Print {
    hash: String,
    events: u64,
    verdict: String,
    samples: Vec<(u64, u64)>,
    lines: Vec<String>,
}

const SAMPLE_EVERY: u64 = 500;

pub fn fingerprint(arguments: &Fingerprint) -> Result<Exit, String> {
    let named = scenario(&arguments.scenario)?;
    let mut options = arguments.making.options()?;
    options.trace.sample_every = arguments.sample_every;
    options.trace.lines = arguments.lines.map(|range| (range.from, range.to));
    let outcome = driver::run(&named.scenario, &named.name, arguments.seed, &options)
        .map_err(|error| error.to_string())?;
    let print = Print {
        hash: outcome.result.trace_hash.clone(),
        events: outcome.result.events,
        verdict: format!("{:?}", outcome.verdict()).to_lowercase(),
        samples: outcome.samples,
        lines: outcome.lines,
    };
    let text = serde_json::to_string(&print).map_err(|error| error.to_string())?;
    println!("{text}");
    Ok(Exit::Held)
}

pub fn meta(arguments: &Meta) -> Result<Exit, String> {
    let named = scenario(&arguments.scenario)?;
    // Refused here, not by two children.
    arguments.making.options()?;
    let seed = arguments.seed.unwrap_or_else(random_seed);
    println!("{}   seed {seed}   {}", named.name, arguments.making.engine);
    let child = Child {
        scenario: &arguments.scenario,
        seed,
        making: &arguments.making,
    };
    let exit = compare(|lines| child.twice(lines))?;
    if exit == Exit::Held {
        return Ok(exit);
    }
    println!(
        "cargo run --release -- meta {} --seed {seed} --engine {}",
        named.name, arguments.making.engine
    );
    Ok(exit)
}

/// Runs twice; if the traces differ, twice more for the lines where they part.
fn compare(
    twice: impl Fn(Option<(u64, u64)>) -> Result<(Print, Print), String>,
) -> Result<Exit, String> {
    let (one, other) = twice(None)?;
    if one == other {
        println!(
            "deterministic: two processes, {} events, trace {}, {}",
            one.events, one.hash, one.verdict
        );
        return Ok(Exit::Held);
    }
    println!(
        "NOT deterministic: traces {} and {}, {} and {} events",
        one.hash, other.hash, one.events, other.events
    );
    let (from, to) = first_difference(&one, &other);
    let (one, other) = twice(Some((from, to)))?;
    match differing_line(&one.lines, &other.lines) {
        Some((left, right)) => println!("first divergent event:\n  {left}\n  {right}"),
        None => println!("between events {from} and {to}; these processes agreed there"),
    }
    Ok(Exit::Nondeterministic)
}

struct Child<'a> {
    scenario: &'a str,
    seed: u64,
    making: &'a Making,
}

impl Child<'_> {
    fn twice(&self, lines: Option<(u64, u64)>) -> Result<(Print, Print), String> {
        Ok((self.run(lines)?, self.run(lines)?))
    }

    fn run(&self, lines: Option<(u64, u64)>) -> Result<Print, String> {
        let program = std::env::current_exe().map_err(|error| error.to_string())?;
        let mut command = Command::new(program);
        command.args(["fingerprint", self.scenario]);
        command.args(["--seed", &self.seed.to_string()]);
        command.args(["--engine", self.making.engine.name()]);
        command.args(["--sample-every", &SAMPLE_EVERY.to_string()]);
        if let Some(mutant) = &self.making.mutant {
            command.args(["--mutant", mutant]);
        }
        if self.making.swarm {
            command.arg("--swarm");
        }
        if self.making.check_steps {
            command.arg("--check-steps");
        }
        if let Some((from, to)) = lines {
            command.args(["--lines", &format!("{from}..{to}")]);
        }
        let output = command.output().map_err(|error| error.to_string())?;
        if !output.status.success() {
            return Err(String::from_utf8_lossy(&output.stderr).trim().to_owned());
        }
        serde_json::from_slice(&output.stdout).map_err(|error| format!("a child said: {error}"))
    }
}

/// Events between which the traces part: equal at the first, different at the second.
fn first_difference(one: &Print, other: &Print) -> (u64, u64) {
    let mut equal = 0;
    for (left, right) in one.samples.iter().zip(&other.samples) {
        if left != right {
            return (equal, left.0 + 1);
        }
        equal = left.0;
    }
    (equal, one.events.max(other.events) + 1)
}

fn differing_line<'a>(one: &'a [String], other: &'a [String]) -> Option<(&'a str, &'a str)> {
    let none = "(nothing: the run is over)";
    let at = |lines: &'a [String], index: usize| lines.get(index).map_or(none, String::as_str);
    let longest = one.len().max(other.len());
    (0..longest)
        .map(|index| (at(one, index), at(other, index)))
        .find(|(left, right)| left != right)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn print(hash: &str, second: u64) -> Print {
        Print {
            hash: hash.to_owned(),
            events: 900,
            verdict: "held".to_owned(),
            samples: vec![(500, 1), (900, second)],
            lines: vec!["same".to_owned(), hash.to_owned()],
        }
    }

    #[test]
    fn equal_runs_exit_with_0_and_different_ones_with_5() {
        let equal = compare(|_| Ok((print("a", 2), print("a", 2))));
        assert_eq!(equal.map(Exit::code), Ok(0));
        let different = compare(|_| Ok((print("a", 2), print("b", 3))));
        assert_eq!(different.map(Exit::code), Ok(5));
    }

    #[test]
    fn the_first_difference_is_looked_for_between_two_samples() {
        let (one, other) = (print("a", 2), print("b", 3));
        assert_eq!(first_difference(&one, &other), (500, 901));
        assert_eq!(differing_line(&one.lines, &other.lines), Some(("a", "b")));
    }
}
