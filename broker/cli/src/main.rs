//! `broker`: the command line of the broker. One file per command.

mod start;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let result = match arguments.command {
        Command::Start(command) => command.run(),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("broker: {error}");
            ExitCode::FAILURE
        }
    }
}
