//! `trial shrink`.

use std::path::Path;
use std::process::Command;
use std::sync::Mutex;
use std::time::Instant;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use sim_runner::driver::RunOptions;
use sim_runner::pool;
use sim_runner::scenario::{Scenario, find};
use sim_runner::shrink::{self, Listener, RATED, Settings, Shrunk};

use super::Shrink;
use super::common::{Exit, Named, scenario, time_limit};

/// It fails, so the exit code is that of the failure; 2 if there is nothing to write.
pub fn shrink(arguments: &Shrink) -> Result<Exit, String> {
    let named = scenario(&arguments.scenario)?;
    let name = checked(&arguments.out, &named)?;
    let settings = settings(arguments)?;
    let began = Instant::now();
    let progress = Progress::new(&named, arguments, &settings.options);
    let seed = arguments.seed;
    let shrunk = shrink::shrink(&named.scenario, &name, seed, &settings, &progress);
    progress.bar.finish_and_clear();
    let shrunk = shrunk.map_err(|error| format!("{error}. Nothing is written"))?;
    let scenario = Scenario {
        description: describe(&shrunk, &named, seed, &settings.options),
        ..shrunk.scenario.clone()
    };
    write(&arguments.out, &scenario)?;
    show(&shrunk, &arguments.out, &settings.options, began);
    Ok(shrunk.result.verdict.into())
}

/// The name that the file gives the scenario.
fn checked(out: &Path, named: &Named) -> Result<String, String> {
    let stem = out.file_stem().map(|stem| stem.to_string_lossy());
    let name = stem.filter(|_| out.extension().is_some_and(|extension| extension == "toml"));
    let Some(name) = name else {
        return Err(format!(
            "{}: a scenario's file ends in .toml",
            out.display()
        ));
    };
    let folder = out.parent().filter(|folder| !folder.as_os_str().is_empty());
    if let Some(folder) = folder.filter(|folder| !folder.is_dir()) {
        return Err(format!("{} is no folder", folder.display()));
    }
    let same = |path: &Path| {
        let given = path.canonicalize().ok();
        given.is_some() && given == out.canonicalize().ok()
    };
    let known = find::resolve(&named.name).unwrap_or_default();
    if known.iter().any(|path| same(path)) {
        let out = out.display();
        return Err(format!("{out} is the scenario itself: name another file"));
    }
    Ok(name.into_owned())
}

fn settings(arguments: &Shrink) -> Result<Settings, String> {
    let limit = arguments.minutes.map(time_limit).transpose()?;
    Ok(Settings {
        options: arguments.making.options()?,
        jobs: arguments.jobs.unwrap_or_else(pool::default_jobs),
        deadline: limit.and_then(|limit| Instant::now().checked_add(limit)),
    })
}

fn write(out: &Path, scenario: &Scenario) -> Result<(), String> {
    std::fs::write(out, scenario.to_toml())
        .map_err(|error| format!("cannot write {}: {error}", out.display()))
}

/// Keeps the best so far in the file, so that whatever ends the program leaves it.
struct Progress<'a> {
    bar: ProgressBar,
    arguments: &'a Shrink,
    /// What the file says while it is not done.
    description: String,
    /// The last that could not be written, once told.
    failed: Mutex<bool>,
}

impl<'a> Progress<'a> {
    fn new(named: &Named, arguments: &'a Shrink, options: &RunOptions) -> Progress<'a> {
        let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
        let style = ProgressStyle::with_template("{spinner} {elapsed} {pos} runs   {msg}");
        if let Ok(style) = style {
            bar.set_style(style);
        }
        Progress {
            bar,
            arguments,
            description: format!(
                "The smallest so far of {}, which was not shrunk to its end.",
                origin(named, arguments.seed, options)
            ),
            failed: Mutex::default(),
        }
    }
}

impl Listener for Progress<'_> {
    fn ran(&self, runs: u64) {
        self.bar.set_position(runs);
    }

    fn better(&self, scenario: &Scenario, by: &str) {
        self.bar
            .set_message(format!("{} (last: {by})", size(scenario)));
        let so_far = Scenario {
            description: self.description.clone(),
            ..scenario.clone()
        };
        if let Err(error) = write(&self.arguments.out, &so_far) {
            let mut told = self.failed.lock().expect("no panic under this lock");
            if !std::mem::replace(&mut told, true) {
                self.bar.println(format!("trial: {error}"));
            }
        }
    }
}

fn size(scenario: &Scenario) -> String {
    let clients: usize = scenario
        .workloads
        .iter()
        .map(|spec| spec.roles().len())
        .sum();
    format!(
        "faults {}, clients {clients}, nodes {}, {} s",
        scenario.faults.len(),
        scenario.cluster.nodes().len(),
        scenario.duration.as_secs_f64()
    )
}

/// Where it comes from: scenario, seed, known bug, commit.
fn origin(named: &Named, seed: u64, options: &RunOptions) -> String {
    let mutant = options.mutant.map_or(String::new(), |mutant| {
        format!(" with {} put back", mutant.replace('_', "-"))
    });
    let commit = commit().map_or(String::new(), |commit| format!(", commit {commit}"));
    format!("{} seed {seed}{mutant}{commit}", named.name)
}

/// The checked-out one here; none outside of a repository.
fn commit() -> Option<String> {
    let made = Command::new("git")
        .args(["rev-parse", "--short", "HEAD"])
        .output()
        .ok()?;
    let text = String::from_utf8(made.stdout).ok()?;
    let text = text.trim();
    (made.status.success() && !text.is_empty()).then(|| text.to_owned())
}

pub(super) fn describe(shrunk: &Shrunk, named: &Named, seed: u64, options: &RunOptions) -> String {
    let end = match shrunk.minimal {
        true => "",
        false => " Time was over before everything had been tried.",
    };
    wrapped(&format!(
        "{}: {}\n`trial shrink` made it of {}: faults {} of {}, sends and transactions of clients {}. \
         Of seeds 1 to {RATED} fail so: {}.{end}",
        shrunk.fingerprint,
        first_line(&shrunk.fingerprint.detail(&shrunk.result)),
        origin(named, seed, options),
        shrunk.scenario.faults.len(),
        shrunk.struck,
        shrunk.operations(),
        shrunk.failing.len(),
    ))
}

fn first_line(text: &str) -> String {
    const MOST: usize = 300;
    let line = text.lines().next().unwrap_or_default();
    match line.char_indices().nth(MOST) {
        Some((at, _)) => format!("{} …", &line[..at]),
        None => line.to_owned(),
    }
}

/// Lines of a width that can be read.
fn wrapped(text: &str) -> String {
    const WIDTH: usize = 116;
    let mut lines = Vec::new();
    for paragraph in text.lines() {
        let mut line = String::new();
        for word in paragraph.split_whitespace() {
            if !line.is_empty() && line.chars().count() + 1 + word.chars().count() > WIDTH {
                lines.push(std::mem::take(&mut line));
            }
            if !line.is_empty() {
                line.push(' ');
            }
            line.push_str(word);
        }
        lines.push(line);
    }
    lines.join("\n")
}

fn show(shrunk: &Shrunk, out: &Path, options: &RunOptions, began: Instant) {
    let scenario = &shrunk.scenario;
    println!("{}", shrunk.fingerprint);
    println!(
        "{}, sends and transactions {}; of {RATED} seeds fail so: {}",
        size(scenario),
        shrunk.operations(),
        shrunk.failing.len()
    );
    for spec in &scenario.faults {
        let at = sim_runner::scenario::in_words(spec);
        println!("  {at}");
    }
    let end = match shrunk.minimal {
        true => "nothing more can be left out",
        false => "time was over",
    };
    let wall = began.elapsed().as_secs_f64();
    println!("{} runs in {wall:.1} s; {end}", shrunk.runs);
    println!("{}", command(out, scenario.seed, options));
}

/// What runs the file.
fn command(out: &Path, seed: Option<u64>, options: &RunOptions) -> String {
    let mutant = options.mutant.map(|id| id.replace('_', "-"));
    let features = mutant.as_ref().map_or("", |_| "--features mutants ");
    let mutant = mutant.map_or(String::new(), |id| format!(" --mutant {id}"));
    let seed = seed.map_or(String::new(), |seed| format!(" --seed {seed}"));
    let engine = match options.engine.name() {
        "native" => String::new(),
        engine => format!(" --engine {engine}"),
    };
    let steps = if options.check_steps {
        " --check-steps"
    } else {
        ""
    };
    let out = out.display();
    format!("cargo run --release {features}-- run {out}{seed}{engine}{mutant}{steps}")
}
