//! `trial check MODEL --out FILE`: a model's counterexample as a scenario that the simulator replays.

mod support;

use std::path::PathBuf;

use support::{everything, trial};

/// A path of one test's own; nothing stands there yet.
fn path(name: &str) -> PathBuf {
    let path = std::env::temp_dir().join(format!("trial-{name}-{}.toml", std::process::id()));
    drop(std::fs::remove_file(&path));
    path
}

fn refused(arguments: &[&str], told: &str) {
    let output = trial(arguments);
    let text = everything(&output);
    assert_eq!(output.status.code(), Some(2), "{text}");
    assert!(text.contains(told), "{text}");
}

#[test]
fn a_model_that_holds_has_nothing_to_export() {
    let path = path("holds");
    let file = path.display().to_string();
    refused(
        &["check", "replica-min-isr", "--out", &file],
        "there is no counterexample to write",
    );
    assert!(!path.exists());
}

#[test]
fn a_wrong_model_or_file_is_refused() {
    refused(
        &["check", "raft-disc", "--out", "x.toml"],
        "did you mean raft-disk?",
    );
    refused(
        &["check", "raft", "--out", "x.json"],
        "a scenario's file ends in .toml",
    );
    refused(&["check", "--out", "x.toml"], "<MODEL>");
}

#[cfg(feature = "mutants")]
mod mutants {
    use super::*;

    /// The seed and the rest of the command that replays it.
    fn replay(text: &str) -> Vec<String> {
        let last = text.trim_end().lines().last().expect("it says something");
        let (_, command) = last.split_once("-- ").expect("a command of cargo run");
        command.split(' ').map(str::to_owned).collect()
    }

    fn replays(model: &str, bug: &str, invariant: &str) {
        let path = path(bug);
        let file = path.display().to_string();
        let output = trial(&["check", model, "--mutant", bug, "--out", &file]);
        let text = everything(&output);
        assert_eq!(output.status.code(), Some(1), "{text}");
        let command = replay(&text);
        let command: Vec<&str> = command.iter().map(String::as_str).collect();

        let output = trial(&command);
        let told = everything(&output);
        // Of forked logs a node may die, too, later in the run.
        assert!(matches!(output.status.code(), Some(1 | 4)), "{told}");
        assert!(told.contains(&format!("  {invariant} ")), "{told}");

        // Without the bug the same file and seed hold.
        let clean = command.iter().position(|word| *word == "--mutant");
        let output = trial(&command[..clean.expect("the bug is named")]);
        assert_eq!(output.status.code(), Some(0), "{}", everything(&output));
        drop(std::fs::remove_file(&path));
    }

    #[test]
    fn a_leader_that_resumes_its_epoch_is_replayed_to_forked_logs() {
        replays("raft-disk", "K-02", "RAFT-2");
    }

    #[test]
    fn a_commit_of_an_older_epoch_is_replayed_to_the_same() {
        replays("raft", "K-04", "RAFT-3");
    }

    #[test]
    fn a_count_of_what_is_not_flushed_is_replayed_to_the_same() {
        replays("raft-disk", "K-01", "RAFT-4");
    }

    #[test]
    fn a_truncation_to_the_high_watermark_is_replayed_to_a_lost_record() {
        replays("replica", "R-01", "REP-1");
    }

    #[test]
    fn a_high_watermark_before_the_truncation_is_replayed_to_forked_logs() {
        replays("replica-records", "R-10", "REP-2");
    }

    #[test]
    fn a_fenced_replica_in_the_isr_is_replayed_to_the_same() {
        replays("replica-join", "R-19", "META-3");
    }

    #[test]
    fn a_leader_that_removed_itself_is_replayed_to_the_same() {
        replays("raft-voters", "K-08", "RAFT-4");
    }

    #[test]
    fn an_unknown_bug_is_refused() {
        refused(
            &["check", "raft", "--mutant", "K-99", "--out", "x.toml"],
            "no known bug K-99",
        );
    }

    /// That no faults of a scenario lead there is told, and no file pretends the opposite.
    #[test]
    fn what_the_simulator_does_not_show_is_not_written() {
        let path = path("R-11");
        let file = path.display().to_string();
        refused(
            &[
                "check", "replica", "--mutant", "R-11", "--seeds", "1", "--out", &file,
            ],
            "Nothing is written",
        );
        assert!(!path.exists());
    }
}
