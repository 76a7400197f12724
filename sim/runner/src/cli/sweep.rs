//! `trial sweep`: many seeds on all cores.

use std::io::IsTerminal;
use std::path::Path;
use std::time::{Duration, Instant};

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reports::Sweep as Summary;
use sim_runner::driver;
use sim_runner::pool;
use sim_runner::recording::Limits;

use super::Sweep;
use super::common::{Exit, Named, Shard, random_seed, scenarios};
use super::ledger::{self, Entry, Header, Ledger, Rest, Sum};

/// Failing runs that get a report of their own; they are made again for it.
const REPORTS_MAX: usize = 20;

pub fn sweep(arguments: &Sweep) -> Result<Exit, String> {
    let given = if arguments.scenarios.is_empty() {
        vec!["smoke".to_owned()]
    } else {
        arguments.scenarios.clone()
    };
    let scenarios = scenarios(&given)?;
    let first_seed = first_seed(arguments)?;
    if !arguments.json {
        println!(
            "sweep of {} scenarios from seed {first_seed}",
            scenarios.len()
        );
    }
    let swept = make(arguments, &scenarios, first_seed)?;
    if let Some(out) = &arguments.out {
        report_failures(out, arguments, &scenarios, &swept.summary)?;
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

/// The one given, that of the sweep that goes on, or any.
fn first_seed(arguments: &Sweep) -> Result<u64, String> {
    match (arguments.first_seed, &arguments.out) {
        (Some(given), _) => Ok(given),
        (None, Some(out)) if arguments.resume => {
            Ok(ledger::read(&out.join(ledger::FILE))?.header.first_seed)
        }
        (None, _) => Ok(random_seed()),
    }
}

fn make(arguments: &Sweep, scenarios: &[Named], first_seed: u64) -> Result<Sum, String> {
    let options = arguments.making.options()?;
    let began = Instant::now();
    let limit = arguments
        .minutes
        .map(|minutes| Duration::from_secs_f64((minutes * 60.0).max(0.0)));
    let shard = arguments.shard.unwrap_or(Shard { index: 0, count: 1 });
    let kinds = u64::try_from(scenarios.len()).unwrap_or(1);
    let header = Header::new(arguments, scenarios, first_seed, shard)?;
    let (mut ledger, before) = open(arguments, &header)?;
    let mut sum = Sum::new(arguments.making.engine.name());
    for entry in &before {
        sum.add(&entry.result, &entry.unmet);
    }
    let done = before.iter().map(|entry| entry.run / shard.count);
    let rest = Rest::new(&done.collect());
    let runs = header.runs().map(|runs| rest.count(runs));
    let bar = bar(runs, limit);
    let mut failed: Option<String> = None;
    pool::run(
        arguments.jobs.unwrap_or_else(pool::default_jobs),
        runs.unwrap_or(u64::MAX),
        |number| {
            if limit.is_some_and(|limit| began.elapsed() >= limit) {
                return None;
            }
            let run = rest.nth(number) * shard.count + shard.index;
            let (kind, seed) = (run % kinds, first_seed.wrapping_add(run / kinds));
            let named = &scenarios[usize::try_from(kind).expect("below a length")];
            let made = driver::run(&named.scenario, &named.name, seed, &options);
            Some((run, made))
        },
        |_, (run, made)| {
            let kept = made.map_err(|error| error.to_string()).and_then(|outcome| {
                if arguments.json {
                    println!("{}", outcome.result.json());
                }
                sum.add(&outcome.result, &outcome.unmet);
                let ledger = ledger.as_mut();
                ledger.map_or(Ok(()), |ledger| ledger.add(run, &outcome))
            });
            show(&bar, &sum.summary, began, limit);
            failed = failed.take().or(kept.err());
            failed.is_none()
        },
    );
    bar.finish_and_clear();
    if let Some(error) = failed {
        return Err(error);
    }
    sum.summary.wall_ms = u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    sum.sort();
    Ok(sum)
}

/// Makes the first failing runs again, recorded, so that the sweep itself need not be.
fn report_failures(
    out: &Path,
    arguments: &Sweep,
    scenarios: &[Named],
    summary: &Summary,
) -> Result<(), String> {
    let mut options = arguments.making.options()?;
    options.record = Some(Limits::default());
    let failures: Vec<_> = summary.failures().collect();
    for row in failures.iter().take(REPORTS_MAX) {
        let named = scenarios.iter().find(|named| named.name == row.scenario);
        let named = named.expect("rows come from these scenarios");
        let outcome = driver::run(&named.scenario, &named.name, row.seed, &options)
            .map_err(|error| error.to_string())?;
        super::run::write(out, &outcome, true)?;
    }
    if failures.len() > REPORTS_MAX {
        let more = failures.len() - REPORTS_MAX;
        eprintln!("{more} more failing runs have no report of their own: replay them with --out");
    }
    Ok(())
}

/// The file that runs are written to, and what it has already.
fn open(arguments: &Sweep, header: &Header) -> Result<(Option<Ledger>, Vec<Entry>), String> {
    let Some(out) = &arguments.out else {
        return Ok((None, Vec::new()));
    };
    if arguments.resume {
        let (ledger, before) = Ledger::resume(out, header)?;
        return Ok((Some(ledger), before));
    }
    Ok((Some(Ledger::begin(out, header)?), Vec::new()))
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
