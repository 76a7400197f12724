//! Where tracing goes: standard error, filtered by `BROKER_LOG`, coloured only on a terminal.

use std::io::IsTerminal;

use tracing_subscriber::EnvFilter;

use crate::failure::Failure;

const VARIABLE: &str = "BROKER_LOG";

/// To be called once. `default_level` counts if `BROKER_LOG` is not set.
pub fn to_stderr(default_level: &str) -> Result<(), Failure> {
    let filter = match std::env::var(VARIABLE) {
        Ok(text) => EnvFilter::try_new(&text)
            .map_err(|error| Failure::usage(format!("{VARIABLE}={text}: {error}")))?,
        Err(_) => EnvFilter::new(default_level),
    };
    tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_ansi(std::io::stderr().is_terminal())
        .with_writer(std::io::stderr)
        .init();
    Ok(())
}
