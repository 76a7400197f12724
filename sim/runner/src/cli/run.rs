//! `trial run`.

use std::io::IsTerminal;
use std::path::Path;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reports::files::run_folder;
use reports::{RunResult, Sweep};
use sim_runner::driver::{self, RunOptions, RunOutcome};
use sim_runner::recording::Limits;

use super::Run;
use super::common::{Exit, Named, Seeds, random_seed, scenarios, worst};
use super::real::Place;

pub fn run(arguments: &Run) -> Result<Exit, String> {
    let scenarios = scenarios(&arguments.scenarios)?;
    let mut options = arguments.making.options()?;
    options.record = arguments.out.as_ref().map(|_| Limits::default());
    let place = Place::of(arguments)?;
    let drawn = random_seed();
    let given = seeds(arguments);
    let is_drawn = given.is_none() && scenarios.iter().any(|it| it.scenario.seed.is_none());
    if !arguments.json && is_drawn {
        println!("seed {drawn}");
    }
    let many = scenarios.len() > 1 || given.is_some_and(|seeds| seeds.to - seeds.from > 1);
    let mut results = Vec::new();
    for named in &scenarios {
        let seeds = given.unwrap_or_else(|| one(named.scenario.seed.unwrap_or(drawn)));
        for seed in seeds.from..seeds.to {
            let outcome = match &place {
                Some(place) => place.run(named, seed)?,
                None => with_progress(named, seed, &options)?,
            };
            show(&outcome, arguments.json);
            if let Some(out) = &arguments.out {
                write(out, &outcome, many)?;
            }
            results.push(outcome.result);
        }
    }
    if let (Some(out), true) = (&arguments.out, many) {
        index(out, &results)?;
    }
    if !arguments.json && many {
        let failed = results.iter().filter(|result| !result.held()).count();
        println!("\n{} runs, {failed} failed", results.len());
        if let Some(first) = results.iter().find(|result| !result.held()) {
            println!("{}", first.replay);
        }
    }
    Ok(worst(&results))
}

fn seeds(arguments: &Run) -> Option<Seeds> {
    arguments.seed.map(one).or(arguments.seeds)
}

fn one(seed: u64) -> Seeds {
    Seeds {
        from: seed,
        to: seed.saturating_add(1),
    }
}

/// The report, then what the scenario expects and did not get, then how to run it again.
pub fn show(outcome: &RunOutcome, json: bool) {
    if json {
        println!("{}", outcome.result.json());
        for expected in &outcome.unmet {
            eprintln!("note: {}", unmet(&outcome.result.scenario, expected));
        }
        return;
    }
    let color = std::io::stdout().is_terminal();
    let text = reports::console::run(&outcome.result, color);
    let (report, replay) = match text.trim_end().rsplit_once('\n') {
        Some((report, replay)) => (report, replay),
        None => ("", text.trim_end()),
    };
    println!("{report}");
    for expected in &outcome.unmet {
        println!("note: {}", unmet(&outcome.result.scenario, expected));
    }
    println!("{replay}");
}

/// A single run need not show it; a sweep that never does fails.
fn unmet(scenario: &str, expected: &str) -> String {
    format!("expectation not met: {scenario} expects {expected}; not in this run")
}

/// Of several runs: where each of their reports is.
fn index(out: &Path, results: &[RunResult]) -> Result<(), String> {
    let engine = results.first().map_or("", |result| result.engine.as_str());
    let mut summary = Sweep::new(engine, Vec::new());
    results.iter().for_each(|result| summary.add(result));
    summary.wall_ms = results.iter().map(|result| result.wall_ms).sum();
    reports::write_sweep(out, &summary)
        .map_err(|error| format!("cannot write {}: {error}", out.display()))
}

/// All files of a run, in a folder of its own if there are others.
pub fn write(out: &Path, outcome: &RunOutcome, many: bool) -> Result<(), String> {
    let result = &outcome.result;
    let directory = if many {
        out.join(run_folder(&result.scenario, result.seed))
    } else {
        out.to_owned()
    };
    let history = sim_checkers::edn::export(&outcome.history);
    reports::write_run(&directory, result, outcome.recording.as_ref())
        .and_then(|()| std::fs::write(directory.join("history.edn"), history))
        .map_err(|error| format!("cannot write {}: {error}", directory.display()))
}

/// Runs with a line on a terminal that shows simulated time.
pub fn with_progress(named: &Named, seed: u64, options: &RunOptions) -> Result<RunOutcome, String> {
    let bar = bar(named, seed);
    let (over, progress) = (AtomicBool::new(false), options.progress.clone());
    progress.store(0, Ordering::Relaxed);
    let outcome = std::thread::scope(|scope| {
        scope.spawn(|| {
            while !over.load(Ordering::Relaxed) {
                bar.set_position(progress.load(Ordering::Relaxed) / 1_000);
                std::thread::sleep(Duration::from_millis(50));
            }
        });
        let outcome = driver::run(&named.scenario, &named.name, seed, options);
        over.store(true, Ordering::Relaxed);
        outcome
    });
    bar.finish_and_clear();
    outcome.map_err(|error| error.to_string())
}

fn bar(named: &Named, seed: u64) -> ProgressBar {
    let bar = ProgressBar::with_draw_target(
        Some(named.scenario.duration.as_secs()),
        ProgressDrawTarget::stderr(),
    );
    let style = ProgressStyle::with_template("{prefix} {wide_bar} {pos}/{len} simulated s");
    if let Ok(style) = style {
        bar.set_style(style);
    }
    bar.set_prefix(format!("{} seed {seed}", named.name));
    bar
}
