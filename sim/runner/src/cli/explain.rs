//! `trial explain`.

use std::path::Path;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use reports::RunResult;
use sim_runner::explain::{self, Explained, diagram, words};
use sim_runner::pool;
use sim_runner::result::replay_command;
use sim_runner::scenario::Scenario;
use sim_runner::shrink::{self, Fingerprint, Listener, Settings};

use super::Explain;
use super::common::{Exit, Named, scenario, time_limit};

/// The exit code is that of the failure; 2 if there is none.
pub fn explain(arguments: &Explain) -> Result<Exit, String> {
    let named = scenario(&arguments.scenario)?;
    if let Some(out) = &arguments.out {
        let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
        if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
            return Err(format!("{} is no folder", folder.display()));
        }
    }
    let limit = arguments.minutes.map(time_limit).transpose()?;
    let settings = Settings {
        options: arguments.making.options()?,
        jobs: arguments.jobs.unwrap_or_else(pool::default_jobs),
        deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
    };
    let (small, seed, fingerprint) = small(&named, arguments, &settings)?;
    let explained = explain::explain(&small, seed, &fingerprint, &settings.options, settings.jobs)
        .map_err(|error| error.to_string())?;
    print!("{}", words::text(&explained));
    let recording = &explained.failing.recording;
    println!("\n{}", diagram::columns(recording, &explained.chain));
    if let Some(out) = &arguments.out {
        write(out, &explained)?;
    }
    println!("{}", replay(&named, arguments, &explained, &settings));
    Ok(explained.failing.result.verdict.into())
}

/// What makes the run again that was asked about.
fn replay(
    named: &Named,
    arguments: &Explain,
    explained: &Explained,
    settings: &Settings,
) -> String {
    let given = arguments.seed.or(named.scenario.seed);
    let asked = RunResult {
        scenario: named.name.clone(),
        seed: given.unwrap_or(explained.seed),
        ..explained.failing.result.clone()
    };
    replay_command(&asked, &settings.options)
}

/// The scenario that is explained: as it is if it is small already, else what shrinking leaves of it.
fn small(
    named: &Named,
    arguments: &Explain,
    settings: &Settings,
) -> Result<(Scenario, u64, Fingerprint), String> {
    let given = &named.scenario;
    let seed = arguments.seed.or(given.seed).ok_or_else(|| {
        format!(
            "{} names no seed: give one that fails, --seed N",
            named.name
        )
    })?;
    if arguments.as_it_is {
        let run = explain::record(given, seed, &settings.options);
        let run = run.map_err(|error| error.to_string())?;
        let fingerprint = Fingerprint::of(&run.result);
        let fingerprint = fingerprint.ok_or_else(|| {
            format!(
                "{} holds with seed {seed}: there is nothing to explain",
                named.name
            )
        })?;
        return Ok((given.clone(), seed, fingerprint));
    }
    let waiting = Waiting::new();
    let shrunk = shrink::shrink(given, &given.name, seed, settings, &waiting);
    waiting.bar.finish_and_clear();
    let shrunk = shrunk.map_err(|error| error.to_string())?;
    let seed = shrunk.scenario.seed.unwrap_or(seed);
    Ok((shrunk.scenario, seed, shrunk.fingerprint))
}

struct Waiting {
    bar: ProgressBar,
}

impl Waiting {
    fn new() -> Waiting {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style =
            ProgressStyle::with_template("{spinner} {elapsed} {pos} runs, shrinking   {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Waiting { bar }
    }
}

impl Listener for Waiting {
    fn ran(&self, runs: u64) {
        self.bar.set_position(runs);
    }

    fn better(&self, scenario: &Scenario, _by: &str) {
        self.bar
            .set_message(format!("{} faults", scenario.faults.len()));
    }
}

/// Markdown with the diagram, and the scenario that was run.
fn write(out: &Path, explained: &Explained) -> Result<(), String> {
    let recording = &explained.failing.recording;
    let text = format!(
        "# {}\n\n```text\n{}```\n\n```mermaid\n{}```\n\n```toml\n{}```\n",
        explained.fingerprint,
        words::text(explained),
        diagram::mermaid(recording, &explained.chain),
        explained.scenario.to_toml()
    );
    std::fs::write(out, text)
        .map_err(|error| format!("cannot write {}: {error}", out.display()))?;
    println!("wrote {}", out.display());
    Ok(())
}
