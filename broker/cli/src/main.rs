//! `broker`: the command line of the broker. One file per command.
//!
//! Map: `start` and `format` act on a data folder; `dump_log` reads one; `topics`, `configs`, `reassign`,
//! `produce`, `consume`, `groups`, `transactions`, `quorum`, `features` and `perf` are clients of a running broker through `broker_client`
//! (`connect`). `failure` is what
//! commands end with, `logging` where tracing goes.
//!
//! Exit codes: 0 done · 1 failed · 2 bad usage or configuration. Data go to stdout, all else to stderr.

mod configs;
mod connect;
mod consume;
mod dump_log;
mod failure;
mod features;
mod format;
mod groups;
mod logging;
mod perf;
mod produce;
mod quorum;
mod reassign;
mod start;
mod topics;
mod transactions;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

use failure::Failure;

/// A Kafka-compatible broker.
#[derive(Parser)]
#[command(version, about)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Starts a node; without a configuration a single one on 127.0.0.1:9092 with its data in ./data.
    Start(start::Start),
    /// Formats the data folder of a node without starting it.
    Format(format::Format),
    /// Lists, creates, describes, deletes and alters topics.
    Topics(topics::Topics),
    /// Shows and changes properties of topics and brokers while they run.
    Configs(configs::Configs),
    /// Lists, describes, moves and deletes consumer groups.
    Groups(groups::Groups),
    /// Lists, describes and aborts transactions, and finds those that hang.
    Transactions(transactions::Transactions),
    /// Moves replicas from broker to broker.
    Reassign(reassign::Reassign),
    /// Sends lines from standard input as records.
    Produce(produce::Produce),
    /// Prints records.
    Consume(consume::Consume),
    /// Shows and changes the metadata quorum.
    Quorum(quorum::Quorum),
    /// Shows, raises and lowers the cluster's feature levels.
    Features(features::Features),
    /// Prints segments, indexes and the metadata log of a stopped node; damage is reported with its place.
    DumpLog(dump_log::DumpLog),
    /// Measures a running broker.
    Perf(perf::Perf),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    if let Err(failure) = logging::to_stderr(default_level(&arguments.command)) {
        return report(failure);
    }
    let result = match arguments.command {
        Command::Start(command) => command.run(),
        Command::Format(command) => command.run(),
        Command::Topics(command) => command.run(),
        Command::Configs(command) => command.run(),
        Command::Groups(command) => command.run(),
        Command::Transactions(command) => command.run(),
        Command::Reassign(command) => command.run(),
        Command::Produce(command) => command.run(),
        Command::Consume(command) => command.run(),
        Command::Quorum(command) => command.run(),
        Command::Features(command) => command.run(),
        Command::DumpLog(command) => command.run(),
        Command::Perf(command) => command.run(),
    };
    result.map_or_else(report, |()| ExitCode::SUCCESS)
}

/// A node says what it does; other commands say what went wrong.
fn default_level(command: &Command) -> &'static str {
    match command {
        Command::Start(_) => "info",
        _ => "error",
    }
}

fn report(failure: Failure) -> ExitCode {
    if let Some(message) = failure.message() {
        eprintln!("broker: {message}");
    }
    ExitCode::from(failure.exit_code())
}
