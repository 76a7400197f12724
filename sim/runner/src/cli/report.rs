//! `trial report`: the readable files of a result folder, written again.

use std::path::Path;

use reports::{RunResult, Sweep};

use super::Report;
use super::common::Exit;

pub fn report(arguments: &Report) -> Result<Exit, String> {
    let written = rewrite(&arguments.directory)?;
    for directory in &written {
        println!("wrote {directory}/summary.md and {directory}/junit.xml");
    }
    println!("HTML comes with the workbench");
    Ok(Exit::Held)
}

/// The folder itself, or those in it.
fn rewrite(directory: &Path) -> Result<Vec<String>, String> {
    if directory.join("result.json").is_file() {
        return one(directory).map(|written| vec![written]);
    }
    let entries = std::fs::read_dir(directory)
        .map_err(|error| format!("cannot read {}: {error}", directory.display()))?;
    let mut folders: Vec<_> = entries
        .flatten()
        .map(|entry| entry.path())
        .filter(|path| path.join("result.json").is_file())
        .collect();
    folders.sort();
    if folders.is_empty() {
        return Err(format!(
            "no result.json in {}: give a folder that --out wrote",
            directory.display()
        ));
    }
    folders.iter().map(|folder| one(folder)).collect()
}

fn one(directory: &Path) -> Result<String, String> {
    let path = directory.join("result.json");
    let text = std::fs::read_to_string(&path)
        .map_err(|error| format!("cannot read {}: {error}", path.display()))?;
    let written = match RunResult::from_json(&text) {
        Ok(result) => reports::write_run(directory, &result),
        Err(not_a_run) => match serde_json::from_str::<Sweep>(&text) {
            Ok(sweep) => reports::write_sweep(directory, &sweep),
            Err(_) => return Err(format!("{}: no result: {not_a_run}", path.display())),
        },
    };
    written.map_err(|error| format!("cannot write {}: {error}", directory.display()))?;
    Ok(directory.display().to_string())
}
