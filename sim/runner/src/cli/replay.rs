//! `trial replay`.

use std::io::Write;

use sim_runner::recording::Limits;

use super::Replay;
use super::common::{Exit, scenario};
use super::run::{show, with_progress, write};

pub fn replay(arguments: &Replay) -> Result<Exit, String> {
    let named = scenario(&arguments.scenario)?;
    let mut options = arguments.making.options()?;
    options.trace.until = arguments.until;
    let end = arguments.until.unwrap_or(u64::MAX);
    options.trace.lines = arguments.trace.as_ref().map(|_| (0, end));
    options.record = arguments.out.as_ref().map(|_| Limits::default());
    let outcome = with_progress(&named, arguments.seed, &options)?;
    if let Some(out) = &arguments.out {
        write(out, &outcome, false)?;
    }
    if let Some(path) = &arguments.trace {
        let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
        let file = std::fs::File::create(path).map_err(failed)?;
        let mut file = std::io::BufWriter::new(file);
        for line in &outcome.lines {
            writeln!(file, "{line}").map_err(failed)?;
        }
        file.flush().map_err(failed)?;
        eprintln!("{} lines in {}", outcome.lines.len(), path.display());
    }
    show(&outcome, false);
    Ok(outcome.verdict().into())
}
