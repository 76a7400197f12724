//! A folder per run or sweep: `result.json`, `summary.md`, `junit.xml`.

use std::fs;
use std::io;
use std::path::Path;

use crate::result::RunResult;
use crate::sweep::Sweep;
use crate::{junit, markdown};

/// Writes a run's files into `directory`, which is created.
///
/// # Errors
/// The file system's.
pub fn write_run(directory: &Path, result: &RunResult) -> io::Result<()> {
    write(
        directory,
        &result.json(),
        &markdown::run(result),
        &junit::run(result),
    )
}

/// Writes a sweep's files into `directory`, which is created.
///
/// # Errors
/// The file system's.
pub fn write_sweep(directory: &Path, summary: &Sweep) -> io::Result<()> {
    write(
        directory,
        &summary.json(),
        &markdown::sweep(summary),
        &junit::sweep(summary),
    )
}

fn write(directory: &Path, json: &str, summary: &str, junit: &str) -> io::Result<()> {
    fs::create_dir_all(directory)?;
    fs::write(directory.join("result.json"), format!("{json}\n"))?;
    fs::write(directory.join("summary.md"), summary)?;
    fs::write(directory.join("junit.xml"), junit)
}
