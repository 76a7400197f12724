//! A folder per run or sweep: `result.json`, `summary.md`, `junit.xml`, and the page to look at.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::path::Path;

use crate::recording::Recording;
use crate::result::RunResult;
use crate::sweep::{Sweep, SweepRow};
use crate::{html, junit, markdown};

/// What was recorded of a run.
pub const RECORDING: &str = "recording.json";
/// The page of a run.
pub const RUN_PAGE: &str = "report.html";
/// The page of a sweep.
pub const SWEEP_PAGE: &str = "index.html";

/// Writes a run's files into `directory`, which is created: `report.html` too, and `recording.json` if it was recorded.
///
/// # Errors
/// The file system's.
pub fn write_run(
    directory: &Path,
    result: &RunResult,
    recording: Option<&Recording>,
) -> io::Result<()> {
    write(
        directory,
        &result.json(),
        &markdown::run(result),
        &junit::run(result),
    )?;
    if let Some(recording) = recording {
        fs::write(directory.join(RECORDING), format!("{}\n", recording.json()))?;
    }
    fs::write(directory.join(RUN_PAGE), html::run(result, recording))
}

/// Writes a sweep's files into `directory`, which is created. The page leads to those of single runs that are in folders
/// of it, see [`run_folder`].
///
/// # Errors
/// The file system's.
pub fn write_sweep(directory: &Path, summary: &Sweep) -> io::Result<()> {
    write(
        directory,
        &summary.json(),
        &markdown::sweep(summary),
        &junit::sweep(summary),
    )?;
    let page = html::sweep(summary, &pages(directory, summary));
    fs::write(directory.join(SWEEP_PAGE), page)
}

/// The folder of one run among many; safe as a file name and in a link whatever the scenario is called.
pub fn run_folder(scenario: &str, seed: u64) -> String {
    let safe = scenario.chars().map(|character| match character {
        'a'..='z' | 'A'..='Z' | '0'..='9' | '-' | '_' => character,
        _ => '-',
    });
    format!("{}-{seed}", safe.collect::<String>())
}

fn pages(directory: &Path, summary: &Sweep) -> BTreeMap<(String, u64), String> {
    let page = |row: &SweepRow| {
        let page = format!("{}/{RUN_PAGE}", run_folder(&row.scenario, row.seed));
        let is_there = directory.join(&page).is_file();
        is_there.then(|| ((row.scenario.clone(), row.seed), page))
    };
    summary.rows.iter().filter_map(page).collect()
}

fn write(directory: &Path, json: &str, summary: &str, junit: &str) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("result.json"), format!("{json}\n"))?;
    fs::write(directory.join("summary.md"), summary)?;
    fs::write(directory.join("junit.xml"), junit)
}
