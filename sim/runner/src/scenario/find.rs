//! Where scenarios are: a path, or a name below `scenarios/`.

use std::path::{Path, PathBuf};

use super::Scenario;
use super::error::{ScenarioError, nearest};

/// The folders are cost tiers.
pub const TIERS: &[&str] = &["smoke", "nightly", "endurance", "regressions"];

/// A scenario's file and its tier, if it stands in one.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Place {
    pub tier: String,
    pub name: String,
    pub path: PathBuf,
}

/// The folder `scenarios/` here or above, else that of the source tree this program was built from.
pub fn folder() -> PathBuf {
    let here = std::env::current_dir().unwrap_or_default();
    let found = here
        .ancestors()
        .map(|folder| folder.join("scenarios"))
        .find(|folder| folder.join("smoke").is_dir());
    found.unwrap_or_else(|| Path::new(env!("CARGO_MANIFEST_DIR")).join("../../scenarios"))
}

/// All scenarios of a folder, tiers first, sorted.
pub fn all(folder: &Path) -> Vec<Place> {
    let mut places: Vec<Place> = TIERS
        .iter()
        .flat_map(|tier| in_folder(&folder.join(tier), tier))
        .collect();
    places.extend(in_folder(folder, ""));
    places
}

fn in_folder(folder: &Path, tier: &str) -> Vec<Place> {
    let entries = std::fs::read_dir(folder).into_iter().flatten().flatten();
    let mut places: Vec<Place> = entries
        .map(|entry| entry.path())
        .filter(|path| {
            path.extension()
                .is_some_and(|extension| extension == "toml")
        })
        .map(|path| Place {
            tier: tier.to_owned(),
            name: path
                .file_stem()
                .map(|stem| stem.to_string_lossy().into_owned())
                .unwrap_or_default(),
            path,
        })
        .collect();
    places.sort();
    places
}

/// The files meant by a path, a folder or a name.
///
/// # Errors
/// Nothing is there; the message says what was probably meant.
pub fn resolve(given: &str) -> Result<Vec<PathBuf>, ScenarioError> {
    let path = Path::new(given);
    // A pipe will do, too: a scenario may be generated.
    if path.exists() && !path.is_dir() {
        return Ok(vec![path.to_owned()]);
    }
    let folder = folder();
    for candidate in [path.to_owned(), folder.join(given)] {
        let below: Vec<PathBuf> = all(&candidate)
            .into_iter()
            .map(|place| place.path)
            .collect();
        if candidate.is_dir() && !below.is_empty() {
            return Ok(below);
        }
    }
    let known = all(&folder);
    let is_meant =
        |place: &&Place| place.name == given || format!("{}/{}", place.tier, place.name) == given;
    match known.iter().find(is_meant) {
        Some(place) => Ok(vec![place.path.clone()]),
        None => {
            let names = known.iter().map(|place| place.name.as_str());
            Err(ScenarioError {
                file: given.to_owned(),
                line: 0,
                column: 0,
                message: format!(
                    "no such file, and no scenario of this name in {}",
                    folder.display()
                ),
                suggestion: nearest(given, names),
            })
        }
    }
}

/// Reads one scenario.
///
/// # Errors
/// It cannot be read, or is wrong.
pub fn load(path: &Path) -> Result<Scenario, ScenarioError> {
    let file = path.display().to_string();
    let text = std::fs::read_to_string(path).map_err(|error| ScenarioError {
        file: file.clone(),
        line: 0,
        column: 0,
        message: error.to_string(),
        suggestion: None,
    })?;
    Scenario::parse(&file, &text)
}
