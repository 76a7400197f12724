//! `trial bugs --shrink`: how small what scenarios find gets, over the known bugs.

use std::path::Path;
use std::time::{Duration, Instant};

use reports::RunResult;
use reports::shrink::{ShrinkRow, Sizes};
use sim_runner::bugs::{Bug, Finder};
use sim_runner::driver::{self, RunOptions};
use sim_runner::scenario::Scenario;
use sim_runner::shrink::{self, Listener, Settings, Shrunk};

use super::hunt;
use crate::cli::common::{Named, scenario};
use crate::cli::shrink::describe;

struct Silent;

impl Listener for Silent {
    fn ran(&self, _runs: u64) {}
    fn better(&self, _scenario: &Scenario, _by: &str) {}
}

/// Shrinks the first failure of each bug that a scenario finds; what is left is written there, one file for each.
pub fn all(
    bugs: &[Bug],
    jobs: usize,
    limit: Option<Duration>,
    out: Option<&Path>,
) -> Result<(), String> {
    let folder = out.map(|out| out.join("shrunk"));
    if let Some(folder) = &folder {
        std::fs::create_dir_all(folder)
            .map_err(|error| format!("cannot write {}: {error}", folder.display()))?;
    }
    let mut rows = Vec::new();
    for bug in bugs {
        let mut finders = bug.finders.iter();
        let first = finders.find_map(|finder| match finder {
            Finder::Scenario { name, seeds } => Some((*name, *seeds)),
            Finder::Model(_) => None,
        });
        let Some((name, seeds)) = first else {
            continue;
        };
        let row = one(
            bug,
            &scenario(name)?,
            seeds,
            (jobs, limit),
            folder.as_deref(),
        )?;
        println!("{}", line(&row));
        rows.push(row);
    }
    let machine = format!("{jobs} runs at once");
    let text = reports::shrink::markdown(&rows, &machine);
    match out.map(|out| out.join("shrink.md")) {
        None => print!("\n{text}"),
        Some(path) => {
            std::fs::write(&path, text)
                .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            println!("wrote {}", path.display());
        }
    }
    Ok(())
}

fn one(
    bug: &Bug,
    named: &Named,
    seeds: u64,
    (jobs, limit): (usize, Option<Duration>),
    folder: Option<&Path>,
) -> Result<ShrinkRow, String> {
    let found = hunt(named, Some(bug.mutant), seeds, jobs)?;
    let mut row = ShrinkRow {
        id: bug.id(),
        scenario: named.name.clone(),
        ..ShrinkRow::default()
    };
    let Some(failed) = found.last().filter(|result| !result.held()) else {
        row.failure = format!("not found with {seeds} seeds");
        return Ok(row);
    };
    row.seed = failed.seed;
    let began = Instant::now();
    let settings = Settings {
        options: RunOptions {
            mutant: Some(bug.mutant),
            ..RunOptions::default()
        },
        jobs,
        deadline: limit.and_then(|limit| began.checked_add(limit)),
    };
    let name = format!("shrunk-{}", row.id.to_lowercase());
    match shrink::shrink(&named.scenario, &name, failed.seed, &settings, &Silent) {
        Err(error) => row.failure = error.to_string(),
        Ok(shrunk) => {
            row.failure = shrunk.fingerprint.to_string();
            let wall = began.elapsed();
            row.sizes = Some(sizes(named, failed, &shrunk, wall)?);
            if let Some(folder) = folder {
                let scenario = Scenario {
                    description: describe(&shrunk, named, failed.seed, &settings.options),
                    ..shrunk.scenario.clone()
                };
                let path = folder.join(format!("{name}.toml"));
                std::fs::write(&path, scenario.to_toml())
                    .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
            }
        }
    }
    Ok(row)
}

fn sizes(
    named: &Named,
    failed: &RunResult,
    shrunk: &Shrunk,
    wall: Duration,
) -> Result<Sizes, String> {
    let count = |count: usize| u64::try_from(count).expect("a count fits");
    let ms = |time: Duration| u64::try_from(time.as_millis()).unwrap_or(u64::MAX);
    let (before, after) = (&named.scenario, &shrunk.scenario);
    let nodes = |scenario: &Scenario| count(scenario.cluster.nodes().len());
    Ok(Sizes {
        faults: (count(shrunk.struck), count(after.faults.len())),
        operations: (shrink::operations(failed), shrunk.operations()),
        nodes: (nodes(before), nodes(after)),
        ms: (ms(before.duration), ms(after.duration)),
        failing: count(shrunk.failing.len()),
        runs: shrunk.runs,
        wall_ms: ms(wall),
        clean: is_clean(shrunk)?,
    })
}

/// It is the bug that fails, not the scenario.
fn is_clean(shrunk: &Shrunk) -> Result<bool, String> {
    let seeds = shrunk.failing.iter().chain(&shrunk.scenario.seed);
    for seed in seeds {
        let options = RunOptions::default();
        let made = driver::run(&shrunk.scenario, &shrunk.scenario.name, *seed, &options);
        if !made.map_err(|error| error.to_string())?.result.held() {
            return Ok(false);
        }
    }
    Ok(true)
}

fn line(row: &ShrinkRow) -> String {
    let (id, scenario, seed) = (&row.id, &row.scenario, row.seed);
    let head = format!("{id:<7} {scenario:<22} {seed:>4}  {}", row.failure);
    match row.sizes {
        None => head,
        Some(it) => format!(
            "{head}: {} of {} faults, {} of {} operations, {} nodes, {} of 20 seeds; {} runs in {} s{}",
            it.faults.1,
            it.faults.0,
            it.operations.1,
            it.operations.0,
            it.nodes.1,
            it.failing,
            it.runs,
            it.wall_ms / 1_000,
            if it.clean {
                ""
            } else {
                "; FAILS WITHOUT THE BUG"
            }
        ),
    }
}
