//! `trial sweep`: many seeds on all cores.

use std::collections::{BTreeMap, BTreeSet};
use std::io::IsTerminal;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reports::Sweep as Summary;
use sim_runner::driver::{self, RunError, RunOutcome};
use sim_runner::pool;

use super::Sweep;
use super::common::{Exit, Named, Shard, random_seed, scenarios};

pub fn sweep(arguments: &Sweep) -> Result<Exit, String> {
    let given = if arguments.scenarios.is_empty() {
        vec!["smoke".to_owned()]
    } else {
        arguments.scenarios.clone()
    };
    let scenarios = scenarios(&given)?;
    let first_seed = arguments.first_seed.unwrap_or_else(random_seed);
    if !arguments.json {
        println!(
            "sweep of {} scenarios from seed {first_seed}",
            scenarios.len()
        );
    }
    let swept = make(arguments, &scenarios, first_seed)?;
    if let Some(out) = &arguments.out {
        reports::write_sweep(out, &swept.summary)
            .map_err(|error| format!("cannot write {}: {error}", out.display()))?;
    }
    if !arguments.json {
        reports::print_sweep(&swept.summary, std::io::stdout().is_terminal());
    }
    let unmet = swept.tell_unmet();
    Ok(match Exit::from(swept.summary.verdict()) {
        // Nothing broke, but what the scenario is for never happened.
        Exit::Held if unmet > 0 => Exit::Violated,
        exit => exit,
    })
}

struct Swept {
    summary: Summary,
    /// What no run of a scenario has shown.
    unmet: BTreeMap<String, BTreeSet<String>>,
}

fn make(arguments: &Sweep, scenarios: &[Named], first_seed: u64) -> Result<Swept, String> {
    let options = arguments.making.options()?;
    let began = Instant::now();
    let limit = arguments
        .minutes
        .map(|minutes| Duration::from_secs_f64((minutes * 60.0).max(0.0)));
    let shard = arguments.shard.unwrap_or(Shard { index: 0, count: 1 });
    let kinds = u64::try_from(scenarios.len()).unwrap_or(1);
    let runs = arguments
        .seeds
        .map_or(u64::MAX, |seeds| share(seeds * kinds, shard));
    let bar = bar(arguments.seeds.map(|_| runs), limit);
    let mut swept = Swept {
        summary: Summary::new(arguments.making.engine.name(), Vec::new()),
        unmet: BTreeMap::new(),
    };
    let mut failed: Option<RunError> = None;
    pool::run(
        arguments.jobs.unwrap_or_else(pool::default_jobs),
        runs,
        |index| {
            if limit.is_some_and(|limit| began.elapsed() >= limit) {
                return None;
            }
            let run = index * shard.count + shard.index;
            let (kind, seed) = (run % kinds, first_seed.wrapping_add(run / kinds));
            let named = &scenarios[usize::try_from(kind).expect("below a length")];
            Some(driver::run(&named.scenario, &named.name, seed, &options))
        },
        |_, made| match made {
            Ok(outcome) => {
                swept.add(&outcome, arguments.json);
                show(&bar, &swept.summary, began, limit);
                true
            }
            Err(error) => {
                failed.get_or_insert(error);
                false
            }
        },
    );
    bar.finish_and_clear();
    if let Some(error) = failed {
        return Err(error.to_string());
    }
    swept.summary.wall_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let rows = &mut swept.summary.rows;
    rows.sort_by(|one, other| (&one.scenario, one.seed).cmp(&(&other.scenario, other.seed)));
    Ok(swept)
}

/// Of so many runs, those with index ≡ shard.
fn share(runs: u64, shard: Shard) -> u64 {
    (runs + shard.count - 1 - shard.index) / shard.count
}

impl Swept {
    /// Says on stderr what no run has shown, and counts it: stdout may be JSON.
    fn tell_unmet(&self) -> usize {
        for (scenario, expected) in &self.unmet {
            for expectation in expected {
                eprintln!(
                    "expectation not met: {scenario} expects {expectation}; never in this sweep"
                );
            }
        }
        self.unmet.values().map(BTreeSet::len).sum()
    }

    fn add(&mut self, outcome: &RunOutcome, json: bool) {
        if json {
            println!("{}", outcome.result.json());
        }
        self.summary.add(&outcome.result);
        let unmet: BTreeSet<String> = outcome.unmet.iter().cloned().collect();
        self.unmet
            .entry(outcome.result.scenario.clone())
            .and_modify(|still| still.retain(|expected| unmet.contains(expected)))
            .or_insert(unmet);
    }
}

fn bar(runs: Option<u64>, limit: Option<Duration>) -> ProgressBar {
    let length = runs.or(limit.map(|limit| limit.as_secs()));
    let bar = ProgressBar::with_draw_target(length, ProgressDrawTarget::stderr());
    let template = if runs.is_some() {
        "{wide_bar} {pos}/{len} runs   {msg}   ETA {eta}"
    } else {
        "{wide_bar} {pos}/{len} s   {msg}"
    };
    if let Ok(style) = ProgressStyle::with_template(template) {
        bar.set_style(style);
    }
    bar
}

fn show(bar: &ProgressBar, summary: &Summary, began: Instant, limit: Option<Duration>) {
    let done = summary.rows.len();
    let failed = summary.failures().count();
    let seconds = began.elapsed().as_secs_f64().max(0.001);
    let done_f64 = f64::from(u32::try_from(done).unwrap_or(u32::MAX));
    bar.set_message(format!(
        "{:.1} seeds/s, {failed} failed",
        done_f64 / seconds
    ));
    match limit {
        Some(limit) => bar.set_position(began.elapsed().min(limit).as_secs()),
        None => bar.set_position(u64::try_from(done).unwrap_or(u64::MAX)),
    }
}
