//! `trial bugs`: puts each known bug back and tells whether, and how fast, it is found.

mod shrunk;

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Instant;

use reports::RunResult;
use reports::bugs::{BugRow, Search, Searcher};
use sim_checkers::anomaly::Verdict;
use sim_runner::bugs::{BANK, Bug, Finder};
use sim_runner::driver::{self, RunOptions};
use sim_runner::pool;
use sim_runner::scenario::error::nearest;

use super::Bugs;
use super::common::{Exit, Named, needs_mutants, scenario, time_limit};

/// How a bug fared.
enum Fate {
    /// At this seed, after so much simulated time over all seeds up to it.
    Found {
        seed: u64,
        sim_ms: u64,
        by: String,
    },
    FoundByModel {
        property: String,
    },
    NotFound,
    /// The clean code does not hold on the same seeds.
    Unclean {
        what: String,
        replay: String,
    },
}

pub fn bugs(arguments: &Bugs) -> Result<Exit, String> {
    if !broker_probe::MUTANTS_BUILT {
        return Err(needs_mutants());
    }
    let bugs = chosen(&arguments.ids)?;
    let jobs = arguments.jobs.unwrap_or_else(pool::default_jobs);
    if arguments.shrink {
        let limit = arguments.minutes.map(time_limit).transpose()?;
        shrunk::all(&bugs, jobs, limit, arguments.out.as_deref())?;
        return Ok(Exit::Held);
    }
    let mut clean = CleanModels::new();
    let (mut tried, mut found) = (0, 0);
    println!(
        "{:<7} {:<26} {:<10} {:>5}  {:>12}  by",
        "bug", "finder", "fate", "seed", "simulated"
    );
    let mut rows: Vec<BugRow> = Vec::new();
    for bug in &bugs {
        let mut searches = Vec::new();
        for finder in bug.finders {
            let began = Instant::now();
            let fate = match *finder {
                Finder::Scenario { name, seeds } => {
                    try_scenario(bug, &scenario(name)?, seeds, jobs)?
                }
                Finder::Model(name) => try_model(bug, name, &mut clean)?,
            };
            tried += 1;
            found += usize::from(matches!(
                fate,
                Fate::Found { .. } | Fate::FoundByModel { .. }
            ));
            print(bug, *finder, &fate, began);
            searches.push(search(*finder, &fate));
        }
        if let Some(why) = bug.unfound {
            println!("{:<7} no finder: {why}", bug.id());
        }
        rows.push(row(bug, searches));
    }
    println!("{found} of {tried} found, {} bugs", bugs.len());
    if let Some(directory) = &arguments.out {
        write(directory, &rows)?;
    }
    Ok(if found == tried {
        Exit::Held
    } else {
        Exit::Violated
    })
}

fn row(bug: &Bug, searches: Vec<Search>) -> BugRow {
    BugRow {
        id: bug.id(),
        title: bug.title.to_owned(),
        searches,
        unfound: bug.unfound.map(ToOwned::to_owned),
    }
}

fn search(finder: Finder, fate: &Fate) -> Search {
    let (searcher, name) = match finder {
        Finder::Scenario { name, .. } => (Searcher::Simulator, name),
        Finder::Model(name) => (Searcher::Model, name),
    };
    let (broken, seed, sim_ms) = match fate {
        Fate::Found { seed, sim_ms, by } => (Some(by), Some(*seed), Some(*sim_ms)),
        Fate::FoundByModel { property } => (Some(property), None, None),
        Fate::NotFound | Fate::Unclean { .. } => (None, None, None),
    };
    Search {
        searcher,
        name: name.to_owned(),
        broken: broken.cloned(),
        seed,
        sim_ms,
    }
}

fn write(directory: &Path, rows: &[BugRow]) -> Result<(), String> {
    let path = directory.join("bugs.md");
    std::fs::create_dir_all(directory)
        .and_then(|()| std::fs::write(&path, reports::bugs::markdown(rows)))
        .map_err(|error| format!("cannot write {}: {error}", path.display()))?;
    println!("wrote {}", path.display());
    Ok(())
}

/// What each model violates without a bug: explored once, for all bugs it is to find.
type CleanModels = BTreeMap<&'static str, Option<String>>;

fn chosen(ids: &[String]) -> Result<Vec<Bug>, String> {
    if ids.is_empty() {
        return Ok(BANK.to_vec());
    }
    ids.iter().map(|id| one(id)).collect()
}

fn one(id: &str) -> Result<Bug, String> {
    let wanted = id.replace('_', "-");
    let found = BANK
        .iter()
        .find(|bug| bug.id().eq_ignore_ascii_case(&wanted));
    found.copied().ok_or_else(|| {
        let ids: Vec<String> = BANK.iter().map(Bug::id).collect();
        let near = nearest(&wanted, ids.iter().map(String::as_str));
        let hint = near.map_or(String::new(), |near| format!("; did you mean {near}?"));
        format!("no known bug {id}{hint}; there are {}", ids.join(", "))
    })
}

/// The clean code must hold on every seed that the bug is hunted with.
fn try_scenario(bug: &Bug, named: &Named, seeds: u64, jobs: usize) -> Result<Fate, String> {
    let mutated = hunt(named, Some(bug.mutant), seeds, jobs)?;
    let hunted = mutated.last().map_or(seeds, |result| result.seed);
    let clean = hunt(named, None, hunted, jobs)?;
    if let Some(unclean) = clean.last().filter(|result| !result.held()) {
        return Ok(Fate::Unclean {
            what: unclean.reason(),
            replay: unclean.replay.clone(),
        });
    }
    Ok(match mutated.last().filter(|result| !result.held()) {
        Some(result) => Fate::Found {
            seed: result.seed,
            sim_ms: mutated.iter().map(|result| result.sim_ms).sum(),
            by: by(result),
        },
        None => Fate::NotFound,
    })
}

fn by(result: &RunResult) -> String {
    match (result.verdict, result.violations.first()) {
        (Verdict::Crashed, _) | (_, None) => result.reason(),
        (_, Some(first)) => format!("{} {}", first.invariant, first.anomaly),
    }
}

/// The runs of seeds 1 to the first that fails, in order of seeds.
fn hunt(
    named: &Named,
    mutant: Option<&'static str>,
    seeds: u64,
    jobs: usize,
) -> Result<Vec<RunResult>, String> {
    let options = RunOptions {
        mutant,
        ..RunOptions::default()
    };
    let mut results: Vec<RunResult> = Vec::new();
    let mut failed = None;
    pool::run(
        jobs,
        seeds,
        |index| {
            Some(driver::run(
                &named.scenario,
                &named.name,
                index + 1,
                &options,
            ))
        },
        |_, made| match made {
            Ok(outcome) => {
                let go_on = outcome.result.held();
                results.push(outcome.result);
                go_on
            }
            Err(error) => {
                failed = Some(error.to_string());
                false
            }
        },
    );
    if let Some(error) = failed {
        return Err(error);
    }
    results.sort_by_key(|result| result.seed);
    if let Some(first) = results.iter().position(|result| !result.held()) {
        results.truncate(first + 1);
    }
    Ok(results)
}

fn try_model(bug: &Bug, model: &'static str, clean: &mut CleanModels) -> Result<Fate, String> {
    let check = |mutant: Option<&'static str>| {
        broker_probe::set_mutant(mutant);
        let report = models::check(model, models::limits(model));
        broker_probe::set_mutant(None);
        let report = report.ok_or_else(|| format!("no model is named {model}"))?;
        let mut broken = report.violations.iter().map(|violation| violation.property);
        Ok::<_, String>(broken.next().map(str::to_owned).or_else(|| missed(&report)))
    };
    let unclean = match clean.get(model) {
        Some(known) => known.clone(),
        None => clean.entry(model).or_insert(check(None)?).clone(),
    };
    if let Some(property) = unclean {
        return Ok(Fate::Unclean {
            what: property,
            replay: format!("cargo run --release -- check {model}"),
        });
    }
    Ok(match check(Some(bug.mutant))? {
        Some(property) => Fate::FoundByModel { property },
        None => Fate::NotFound,
    })
}

/// What has to happen somewhere, and happens in no state at all.
fn missed(report: &models::CheckReport) -> Option<String> {
    let mut sometimes = report.sometimes.iter().filter(|_| report.complete);
    let missed = sometimes.find(|(_, witness)| witness.is_none());
    missed.map(|(property, _)| format!("never {property}"))
}

fn print(bug: &Bug, finder: Finder, fate: &Fate, began: Instant) {
    let (id, finder) = (bug.id(), finder.to_string());
    let wall = began.elapsed().as_secs_f64();
    match fate {
        Fate::Found { seed, sim_ms, by } => println!(
            "{id:<7} {finder:<26} {:<10} {seed:>5}  {:>10.1} s  {by}  ({wall:.1} s)",
            "found",
            f64::from(u32::try_from(*sim_ms).unwrap_or(u32::MAX)) / 1_000.0
        ),
        Fate::FoundByModel { property } => {
            println!(
                "{id:<7} {finder:<26} {:<10} {:>5}  {:>12}  {property}  ({wall:.1} s)",
                "found", "", ""
            );
        }
        Fate::NotFound => println!(
            "{id:<7} {finder:<26} {:<10} {:>5}  {:>12}  ({wall:.1} s)",
            "NOT FOUND", "", ""
        ),
        Fate::Unclean { what, replay } => {
            println!("{id:<7} {finder:<26} the clean code fails too: {what}\n  {replay}");
        }
    }
}
