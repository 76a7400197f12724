//! `trial replay`.

use std::io::Write;
use std::path::Path;

use sim_runner::driver::RunOutcome;
use sim_runner::engine::Disks;

use sim_runner::recording::Limits;

use super::Replay;
use super::common::{Exit, scenario};
use super::run::{show, with_progress, write};

pub fn replay(arguments: &Replay) -> Result<Exit, String> {
    let named = scenario(&arguments.scenario)?;
    let mut options = arguments.making.options()?;
    if let Some(directory) = &arguments.dump_disks {
        check_empty(directory)?;
    }
    let end = arguments.until.unwrap_or(u64::MAX);
    options.trace.until = arguments.until;
    options.trace.disks = arguments.dump_disks.is_some();
    options.trace.lines = match (&arguments.trace, arguments.last) {
        (Some(_), _) => Some((0, end)),
        (None, Some(last)) => Some((end.saturating_sub(last), end.saturating_add(1))),
        (None, None) => None,
    };
    options.record = arguments.out.as_ref().map(|_| Limits::default());
    let outcome = with_progress(&named, arguments.seed, &options)?;
    if let Some(out) = &arguments.out {
        write(out, &outcome, false)?;
    }
    if let Some(until) = arguments.until {
        check_reached(until, &outcome)?;
    }
    if let Some(path) = &arguments.trace {
        write_trace(path, &outcome.lines)?;
    } else {
        outcome.lines.iter().for_each(|line| println!("{line}"));
    }
    if let Some(directory) = &arguments.dump_disks {
        dump(directory, &outcome.disks)?;
    }
    show(&outcome, false);
    Ok(outcome.verdict().into())
}

/// What is there is not mixed with what comes.
fn check_empty(directory: &Path) -> Result<(), String> {
    let told = directory.display();
    match std::fs::read_dir(directory).map(|mut entries| entries.next().is_none()) {
        Ok(true) => Ok(()),
        Ok(false) => Err(format!(
            "{told} is not empty: disks are written to a folder of their own"
        )),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(format!("{told}: {error}")),
    }
}

fn check_reached(until: u64, outcome: &RunOutcome) -> Result<(), String> {
    let events = outcome.result.events;
    match events < until {
        true => Err(format!(
            "the run ends at event {events}, before event {until}"
        )),
        false => Ok(()),
    }
}

fn write_trace(path: &Path, lines: &[String]) -> Result<(), String> {
    let failed = |error: std::io::Error| format!("cannot write {}: {error}", path.display());
    let file = std::fs::File::create(path).map_err(failed)?;
    let mut file = std::io::BufWriter::new(file);
    for line in lines {
        writeln!(file, "{line}").map_err(failed)?;
    }
    file.flush().map_err(failed)?;
    eprintln!("{} lines in {}", lines.len(), path.display());
    Ok(())
}

fn dump(directory: &Path, disks: &Disks) -> Result<(), String> {
    for (node, files) in disks {
        for (path, bytes) in files {
            let target = directory.join(node).join(path);
            let folder = target.parent().unwrap_or(directory);
            std::fs::create_dir_all(folder)
                .and_then(|()| std::fs::write(&target, bytes))
                .map_err(|error| format!("cannot write {}: {error}", target.display()))?;
        }
    }
    eprintln!("{} disks in {}", disks.len(), directory.display());
    Ok(())
}
