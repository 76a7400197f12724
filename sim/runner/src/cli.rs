//! The command line of `trial` is a contract: commands, JSON, exit codes and the last line of a failing
//! run, see the design. One file per command.

mod bugs;
mod check;
mod common;
mod explain;
mod judge;
mod ledger;
mod list;
mod merge;
mod meta;
mod real;
mod replay;
mod report;
mod run;
mod shrink;
mod sweep;

use std::path::PathBuf;
use std::process::ExitCode;

use clap::{Parser, Subcommand};
use sim_runner::EngineKind;

use common::{Exit, Seeds, Shard};

/// Runs a cluster of the real broker in a simulated world and tries to break it.
#[derive(Parser)]
#[command(name = "trial", version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs scenarios and judges them.
    Run(Run),
    /// Makes the same run again, with its full trace.
    Replay(Replay),
    /// Makes the run in two fresh processes and compares their trace hashes.
    Meta(Meta),
    /// Runs many seeds of many scenarios on all cores.
    Sweep(Sweep),
    /// Puts the shards of a sweep together, each run once.
    Merge(Merge),
    /// Makes a failing run small: a scenario with fixed faults that fails in the same way.
    Shrink(Shrink),
    /// Tells what differs from the nearest run that holds, and what led to the failure.
    Explain(Explain),
    /// Explores a Stateright model of a core.
    Check(Check),
    /// The bug bank: puts each known bug back and tells whether, and how fast, it is found.
    Bugs(Bugs),
    /// Writes the readable reports of a result folder again.
    Report(Report),
    /// Judges a history in Jepsen's EDN, as `run --out` writes it, also one of a real cluster.
    Judge(Judge),
    /// Lists scenarios, models and known bugs.
    List,
    /// One half of `meta`.
    #[command(hide = true)]
    Fingerprint(Fingerprint),
}

/// What every command that makes runs takes.
#[derive(clap::Args, Clone)]
struct Making {
    /// native, madsim or turmoil.
    #[arg(long, default_value = "native")]
    engine: EngineKind,
    /// Puts a known bug back, as in R-01; needs a build with `--features mutants`.
    #[arg(long, value_name = "ID")]
    mutant: Option<String>,
    /// Leaves some kinds of random faults out, drawn from the seed.
    #[arg(long)]
    swarm: bool,
    /// Takes every step of the nodes' cores again, with a core of its own, and judges what the models judge.
    #[arg(long)]
    check_steps: bool,
}

#[derive(clap::Args)]
struct Run {
    /// Files, folders, or names in scenarios/.
    #[arg(required = true)]
    scenarios: Vec<String>,
    /// Random if not given, and printed first.
    #[arg(long, conflicts_with = "seeds")]
    seed: Option<u64>,
    /// A..B, B not included.
    #[arg(long, value_name = "A..B")]
    seeds: Option<Seeds>,
    #[command(flatten)]
    making: Making,
    /// One JSON object per run on stdout, nothing else.
    #[arg(long)]
    json: bool,
    /// Records the runs and writes report.html, result.json, recording.json, summary.md, junit.xml and history.edn there.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    #[command(flatten)]
    real: Real,
}

/// Where to run instead of the simulated world.
#[derive(clap::Args)]
struct Real {
    /// simulation; process: broker processes on this machine; kafka: a cluster that is there already.
    #[arg(long, default_value = "simulation", value_enum)]
    target: TargetKind,
    /// Of the cluster, with --target kafka.
    #[arg(long, value_delimiter = ',', value_name = "HOST:PORT,..")]
    bootstrap: Vec<String>,
    /// With --target kafka: called as `COMMAND process-kill 2` for each fault of the scenario; without it they are
    /// left out.
    #[arg(long, value_name = "COMMAND")]
    hook: Option<PathBuf>,
    /// With --target process: the program `broker`; the one beside this program if not given.
    #[arg(long, value_name = "PROGRAM")]
    broker: Option<PathBuf>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
enum TargetKind {
    Simulation,
    Process,
    Kafka,
}

#[derive(clap::Args)]
struct Replay {
    scenario: String,
    #[arg(long)]
    seed: u64,
    #[command(flatten)]
    making: Making,
    /// Writes the full trace there, one event a line.
    #[arg(long, value_name = "FILE")]
    trace: Option<PathBuf>,
    /// Ends the run at this event.
    #[arg(long, value_name = "EVENT")]
    until: Option<u64>,
    /// Records the run and writes its report there, as `run` does.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Shows so many events before that one.
    #[arg(
        long,
        value_name = "EVENTS",
        requires = "until",
        conflicts_with = "trace"
    )]
    last: Option<u64>,
    /// Writes the disk of every node there, as it is at the end: a folder each, which `broker dump-log` reads.
    #[arg(long, value_name = "DIR")]
    dump_disks: Option<PathBuf>,
}

#[derive(clap::Args)]
struct Meta {
    scenario: String,
    /// Random if not given, and printed first.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    making: Making,
}

#[derive(clap::Args)]
struct Fingerprint {
    scenario: String,
    #[arg(long)]
    seed: u64,
    #[command(flatten)]
    making: Making,
    #[arg(long)]
    sample_every: u64,
    #[arg(long)]
    lines: Option<Seeds>,
}

#[derive(clap::Args)]
struct Sweep {
    /// Files, folders, or names in scenarios/; none is all of scenarios/smoke.
    scenarios: Vec<String>,
    /// Runs until this much time is over.
    #[arg(long, conflicts_with = "seeds", required_unless_present = "seeds")]
    minutes: Option<f64>,
    /// Seeds of each scenario.
    #[arg(long)]
    seeds: Option<u64>,
    /// Random if not given, and printed first.
    #[arg(long)]
    first_seed: Option<u64>,
    /// Runs at once; all cores if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// I/N: only every N-th run, from the I-th (0 is the first).
    #[arg(long, value_name = "I/N")]
    shard: Option<Shard>,
    #[command(flatten)]
    making: Making,
    /// One JSON object per run on stdout, nothing else.
    #[arg(long)]
    json: bool,
    /// Writes each run into runs.jsonl there as it ends; index.html, result.json, summary.md and junit.xml at the end,
    /// and a report of each of the first failing runs.
    #[arg(long, value_name = "DIR")]
    out: Option<PathBuf>,
    /// Goes on with the sweep that was interrupted in --out; the same arguments and build are needed.
    #[arg(long, requires = "out")]
    resume: bool,
}

#[derive(clap::Args)]
struct Merge {
    /// Folders that `sweep --shard I/N --out` wrote, or folders of such folders.
    #[arg(required = true)]
    directories: Vec<PathBuf>,
    /// Writes result.json, summary.md and junit.xml there.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

#[derive(clap::Args)]
struct Shrink {
    /// File, or name in scenarios/.
    scenario: String,
    /// One that fails.
    #[arg(long)]
    seed: u64,
    #[command(flatten)]
    making: Making,
    /// The scenario that comes of it; while it is made, the smallest so far.
    #[arg(short, long, value_name = "FILE.toml")]
    out: PathBuf,
    /// Ends with the smallest so far when this much time is over.
    #[arg(long)]
    minutes: Option<f64>,
    /// Runs at once; all cores if not given. The result is the same.
    #[arg(long)]
    jobs: Option<usize>,
}

#[derive(clap::Args)]
struct Bugs {
    /// As in R-01; none is all.
    ids: Vec<String>,
    /// Runs at once; all cores if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Writes the scoreboard, `bugs.md`, into this folder; with `--shrink` the table `shrink.md` and what is left.
    #[arg(long)]
    out: Option<PathBuf>,
    /// Shrinks what scenarios find instead, and tells how small it gets.
    #[arg(long)]
    shrink: bool,
    /// Limit on each of them.
    #[arg(long, requires = "shrink")]
    minutes: Option<f64>,
}

#[derive(clap::Args)]
struct Check {
    /// None is all.
    model: Option<String>,
    /// Serves Stateright's explorer for the model.
    #[arg(long, requires = "model")]
    explore: bool,
    /// One line only, as in the table.
    #[arg(long, requires = "model", hide = true)]
    row: bool,
    #[arg(long, default_value = "127.0.0.1:3000", value_name = "HOST:PORT")]
    address: String,
    /// Writes the counterexample there, as a scenario that the simulator has replayed to the same invariant.
    #[arg(
        long,
        requires = "model",
        conflicts_with = "explore",
        value_name = "FILE.toml"
    )]
    out: Option<PathBuf>,
    /// How many seeds the simulator tries for it, with each timing.
    #[arg(long, requires = "out", default_value_t = 8)]
    seeds: u64,
    /// Runs at once; all cores if not given.
    #[arg(long, requires = "out")]
    jobs: Option<usize>,
    /// Puts a known bug back, as in K-01; needs a build with `--features mutants`.
    #[arg(long, value_name = "ID")]
    mutant: Option<String>,
}

#[derive(clap::Args)]
struct Report {
    /// A folder that `--out` wrote.
    directory: PathBuf,
}

#[derive(clap::Args)]
struct Judge {
    /// Operations as maps, one after another.
    #[arg(value_name = "HISTORY.edn")]
    history: PathBuf,
    /// Polls that do not tell their isolation are read_uncommitted; else they are read_committed.
    #[arg(long)]
    read_uncommitted: bool,
    /// The history ends with a read of every partition to its end: what nobody saw is lost.
    #[arg(long)]
    final_reads: bool,
    /// Producers are not idempotent: a record may be there twice.
    #[arg(long)]
    duplicates: bool,
    /// One JSON object on stdout, nothing else.
    #[arg(long)]
    json: bool,
}

#[derive(clap::Args)]
struct Explain {
    /// File, or name in scenarios/.
    scenario: String,
    /// One that fails; the scenario's own if it names one.
    #[arg(long)]
    seed: Option<u64>,
    #[command(flatten)]
    making: Making,
    /// Explains the run as it is, without shrinking it first.
    #[arg(long)]
    as_it_is: bool,
    /// Ends the shrinking when this much time is over.
    #[arg(long)]
    minutes: Option<f64>,
    /// Runs at once; all cores if not given.
    #[arg(long)]
    jobs: Option<usize>,
    /// Writes it there too, as Markdown with the chain as a Mermaid diagram.
    #[arg(long, value_name = "FILE.md")]
    out: Option<PathBuf>,
}

pub(crate) fn main() -> ExitCode {
    let command = Arguments::parse().command;
    let done = match command {
        Command::Run(run) => run::run(&run),
        Command::Replay(replay) => replay::replay(&replay),
        Command::Meta(meta) => meta::meta(&meta),
        Command::Fingerprint(fingerprint) => meta::fingerprint(&fingerprint),
        Command::Sweep(sweep) => sweep::sweep(&sweep),
        Command::Merge(merge) => merge::merge(&merge),
        Command::Bugs(bugs) => bugs::bugs(&bugs),
        Command::Check(check) => check::check(&check),
        Command::Report(report) => report::report(&report),
        Command::Judge(judge) => judge::judge(&judge),
        Command::List => list::list(),
        Command::Shrink(shrink) => shrink::shrink(&shrink),
        Command::Explain(explain) => explain::explain(&explain),
    };
    done.unwrap_or_else(|message| {
        eprintln!("trial: {message}");
        Exit::Usage
    })
    .into()
}
