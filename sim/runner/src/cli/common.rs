//! Exit codes, seeds, mutants and scenarios as commands take them.

use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use std::time::Duration;

use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};
use reports::RunResult;
use sim_checkers::anomaly::Verdict;
use sim_runner::driver::RunOptions;
use sim_runner::scenario::{Scenario, find};

use super::Making;

/// What the process says at its end.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Exit {
    Held,
    Violated,
    Usage,
    Stuck,
    Crashed,
    Nondeterministic,
}

impl Exit {
    pub fn code(self) -> u8 {
        match self {
            Exit::Held => 0,
            Exit::Violated => 1,
            Exit::Usage => 2,
            Exit::Stuck => 3,
            Exit::Crashed => 4,
            Exit::Nondeterministic => 5,
        }
    }
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> ExitCode {
        ExitCode::from(exit.code())
    }
}

impl From<Verdict> for Exit {
    fn from(verdict: Verdict) -> Exit {
        match verdict {
            Verdict::Held => Exit::Held,
            Verdict::Violated => Exit::Violated,
            Verdict::Stuck => Exit::Stuck,
            Verdict::Crashed => Exit::Crashed,
        }
    }
}

/// A..B, B not included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seeds {
    pub from: u64,
    pub to: u64,
}

impl FromStr for Seeds {
    type Err = String;

    fn from_str(text: &str) -> Result<Seeds, String> {
        let parsed = text
            .split_once("..")
            .and_then(|(from, to)| Some((from.parse().ok()?, to.parse().ok()?)));
        match parsed {
            Some((from, to)) if from < to => Ok(Seeds { from, to }),
            Some(_) => Err(format!("{text} is empty: the end is not included")),
            None => Err(format!("\"{text}\" is no range such as 1..100")),
        }
    }
}

/// I/N.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Shard {
    pub index: u64,
    pub count: u64,
}

impl FromStr for Shard {
    type Err = String;

    fn from_str(text: &str) -> Result<Shard, String> {
        let parsed = text
            .split_once('/')
            .and_then(|(index, count)| Some((index.parse().ok()?, count.parse().ok()?)));
        match parsed {
            Some((index, count)) if index < count => Ok(Shard { index, count }),
            _ => Err(format!("\"{text}\" is no shard such as 0/4")),
        }
    }
}

/// A seed nobody chose, short enough to say.
pub fn random_seed() -> u64 {
    // The standard library seeds its maps from the operating system.
    use std::hash::{BuildHasher, Hasher};
    let state = std::collections::hash_map::RandomState::new();
    let seed = state.build_hasher().finish();
    ChaCha8Rng::seed_from_u64(seed).next_u64() >> 24
}

/// Of `--minutes`.
pub fn time_limit(minutes: f64) -> Result<Duration, String> {
    let limit = Duration::try_from_secs_f64(minutes * 60.0).ok();
    let limit = limit.filter(|limit| !limit.is_zero());
    limit.ok_or_else(|| format!("--minutes {minutes} is no time"))
}

/// The known bug of an id such as R-01 or R_01.
pub fn mutant(id: Option<&str>) -> Result<Option<&'static str>, String> {
    let Some(id) = id else {
        return Ok(None);
    };
    if !broker_probe::MUTANTS_BUILT {
        return Err(needs_mutants());
    }
    let known = sim_runner::bugs::marked(id);
    known.map(Some).ok_or_else(|| {
        let all: Vec<&str> = sim_runner::bugs::MARKED.to_vec();
        let near = sim_runner::scenario::error::nearest(&id.replace('-', "_"), all);
        let hint = near.map_or(String::new(), |near| {
            format!("; did you mean {}?", near.replace('_', "-"))
        });
        format!("no known bug {id} is marked in the code{hint}")
    })
}

/// The refusal of a build without mutants, with the command that works.
pub fn needs_mutants() -> String {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    format!(
        "this build cannot put known bugs back. Run:\n  cargo run --release --features mutants -- {}",
        arguments.join(" ")
    )
}

impl Making {
    pub fn options(&self) -> Result<RunOptions, String> {
        Ok(RunOptions {
            engine: self.engine,
            mutant: mutant(self.mutant.as_deref())?,
            swarm: self.swarm,
            check_steps: self.check_steps,
            ..RunOptions::default()
        })
    }
}

/// A scenario and what the replay command calls it.
#[derive(Clone)]
pub struct Named {
    pub scenario: Scenario,
    pub name: String,
}

/// All scenarios meant.
pub fn scenarios(given: &[String]) -> Result<Vec<Named>, String> {
    let mut all = Vec::new();
    for one in given {
        let paths = find::resolve(one).map_err(|error| error.to_string())?;
        for path in paths {
            all.push(named(path)?);
        }
    }
    Ok(all)
}

/// Exactly one scenario.
pub fn scenario(given: &str) -> Result<Named, String> {
    let mut all = scenarios(&[given.to_owned()])?;
    match (all.pop(), all.is_empty()) {
        (Some(one), true) => Ok(one),
        _ => Err(format!("{given} is a folder: name one scenario")),
    }
}

fn named(path: PathBuf) -> Result<Named, String> {
    let scenario = find::load(&path).map_err(|error| error.to_string())?;
    let known = find::all(&find::folder());
    let by_name = known.iter().find(|place| place.name == scenario.name);
    let same = by_name.is_some_and(|place| {
        let canonical = |path: &PathBuf| path.canonicalize().ok();
        canonical(&place.path) == canonical(&path)
    });
    let name = if same {
        scenario.name.clone()
    } else {
        path.display().to_string()
    };
    Ok(Named { scenario, name })
}

/// The worst of several ends: crashed, violated, stuck, held.
pub fn worst(results: &[RunResult]) -> Exit {
    let worst = results.iter().map(|result| result.verdict).max();
    worst.unwrap_or(Verdict::Held).into()
}
