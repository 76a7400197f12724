//! The list of known bugs that a command may name is that of the marks in the code.

use std::collections::BTreeSet;
use std::path::Path;

use sim_runner::bugs::{BANK, Finder, MARKED};

/// Every `mutant!(ID)` in the broker's sources; those of the macro's own tests do not count.
fn marks(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder)
        .expect("a folder of this workspace")
        .flatten()
    {
        let path = entry.path();
        if path.is_dir() && !path.ends_with("probe") {
            marks(&path, found);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = std::fs::read_to_string(&path).expect("UTF-8");
            let after = text.split("mutant!(").skip(1);
            found.extend(
                after
                    .filter_map(|rest| rest.split_once(')'))
                    .map(|(id, _)| id.to_owned()),
            );
        }
    }
}

#[test]
fn the_list_of_marks_is_complete() {
    let mut found = BTreeSet::new();
    marks(
        &Path::new(env!("CARGO_MANIFEST_DIR")).join("../../broker"),
        &mut found,
    );
    let listed: BTreeSet<String> = MARKED.iter().map(ToString::to_string).collect();
    assert_eq!(found, listed);
}

#[test]
fn every_bug_of_the_bank_is_marked_and_has_a_finder_that_exists_or_a_reason() {
    for bug in BANK {
        assert!(MARKED.contains(&bug.mutant), "{}", bug.mutant);
        assert_eq!(
            bug.finders.is_empty(),
            bug.unfound.is_some(),
            "{}",
            bug.mutant
        );
        for finder in bug.finders {
            match *finder {
                Finder::Scenario { name, seeds } => {
                    assert!(sim_runner::scenario::find::resolve(name).is_ok(), "{name}");
                    assert!(seeds > 0);
                }
                Finder::Model(name) => {
                    assert!(models::MODELS.iter().any(|(known, _)| *known == name));
                }
            }
        }
    }
}

#[test]
fn every_mark_is_in_the_bank_once() {
    let mut banked: Vec<&str> = BANK.iter().map(|bug| bug.mutant).collect();
    banked.sort_unstable();
    let mut listed = MARKED.to_vec();
    listed.sort_unstable();
    assert_eq!(banked, listed);
}
