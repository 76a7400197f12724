//! `trial report`: the readable files of a result folder, written again.

use std::path::{Path, PathBuf};

use reports::files::{RECORDING, RUN_PAGE, SWEEP_PAGE};
use reports::{Recording, RunResult, Sweep};

use super::Report;
use super::common::Exit;

pub fn report(arguments: &Report) -> Result<Exit, String> {
    for page in rewrite(&arguments.directory)? {
        println!("wrote {}", page.display());
    }
    Ok(Exit::Held)
}

/// The runs in the folder first, so that its index finds their pages.
fn rewrite(directory: &Path) -> Result<Vec<PathBuf>, String> {
    let entries = std::fs::read_dir(directory)
        .map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
    let mut folders: Vec<PathBuf> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("result.json").is_file())
        .collect();
    folders.sort();
    if directory.join("result.json").is_file() {
        folders.push(directory.to_owned());
    }
    if folders.is_empty() {
        return Err(format!(
            "no result.json in {}: give a folder that --out wrote",
            directory.display()
        ));
    }
    folders.iter().map(|folder| one(folder)).collect()
}

fn one(directory: &Path) -> Result<PathBuf, String> {
    let path = directory.join("result.json");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let (page, written) = match RunResult::from_json(&text) {
        Ok(result) => {
            let recording = recording(directory)?;
            let written = reports::write_run(directory, &result, recording.as_ref());
            (RUN_PAGE, written)
        }
        Err(not_a_run) => match serde_json::from_str::<Sweep>(&text) {
            Ok(sweep) => (SWEEP_PAGE, reports::write_sweep(directory, &sweep)),
            Err(_) => return Err(format!("{}: no result: {not_a_run}", path.display())),
        },
    };
    written.map_err(|error| format!("cannot write {}: {error}", directory.display()))?;
    Ok(directory.join(page))
}

/// None if the run was not recorded; a recording that cannot be read is an error, not the absence of one.
fn recording(directory: &Path) -> Result<Option<Recording>, String> {
    let path = directory.join(RECORDING);
    if !path.is_file() {
        return Ok(None);
    }
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let recording = Recording::from_json(&text);
    recording
        .map(Some)
        .map_err(|error| format!("{}: {error}", path.display()))
}
