//! A failing run becomes a small scenario that fails in the same way, and is a file.

use std::process::Command;

use sim_runner::Scenario;
use sim_runner::driver::{self, RunOptions};
use sim_runner::shrink::{self, Listener, NotShrunk, Settings, Shrunk};

/// The network is slow at random, and one of two nodes is killed.
const UNREST: &str = r#"
description = "made for a test"

[cluster]
nodes = 2

[[topic]]
name = "orders"
replicas = 2
config = { "min.insync.replicas" = 2 }

[[workload]]
kind = "produce-consume"
rate = 20

[[fault]]
at = "200ms"
target = { node = "node2" }
action = { process = { kind = "kill" } }

[chaos]
mean_interval = "150ms"
lasts = { min = "50ms", max = "100ms" }
weights = { "network-slow" = 1 }

[run]
duration = "1s"
"#;

struct Silent;

impl Listener for Silent {
    fn ran(&self, _runs: u64) {}
    fn better(&self, _scenario: &Scenario, _by: &str) {}
}

fn shrunk(mutant: Option<&'static str>, jobs: usize) -> Result<Shrunk, NotShrunk> {
    let settings = Settings {
        options: options(mutant),
        jobs,
        deadline: None,
    };
    let unrest = Scenario::parse("unrest.toml", UNREST).expect("valid");
    shrink::shrink(&unrest, "small", 1, &settings, &Silent)
}

fn options(mutant: Option<&'static str>) -> RunOptions {
    RunOptions {
        mutant,
        ..RunOptions::default()
    }
}

#[test]
fn what_is_left_fails_in_the_same_way_whatever_runs_at_once() {
    let mutant = Some("K_01");
    let one = shrunk(mutant, 1).expect("it fails");
    assert_eq!(one.fingerprint.to_string(), "RAFT-4 unflushed");
    assert!(one.minimal);
    assert!(one.struck > 3, "{} faults struck", one.struck);
    let small = &one.scenario;
    // It needs no fault and no client to fail.
    assert!(small.faults.is_empty(), "{}", small.to_toml());
    assert_eq!(one.operations(), 0);

    let file = Scenario::parse("small.toml", &small.to_toml()).expect("a scenario's file");
    let seed = file.seed.expect("one that fails");
    let again = driver::run(&file, "small", seed, &options(mutant)).expect("possible");
    assert!(one.fingerprint.shows_in(&again.result));
    assert_eq!(again.result.trace_hash, one.result.trace_hash);

    let three = shrunk(mutant, 3).expect("it fails");
    assert_eq!(three.scenario.to_toml(), small.to_toml());
}

#[test]
fn a_seed_that_holds_is_refused() {
    let error = shrunk(None, 2).expect_err("it holds");
    assert_eq!(
        error.to_string(),
        "unrest holds with seed 1: there is nothing to shrink"
    );
}

#[test]
fn the_program_writes_a_file_that_run_takes() {
    let folder = std::env::temp_dir().join(format!("trial-shrink-{}", std::process::id()));
    std::fs::create_dir_all(&folder).expect("a folder in the temporary one");
    let trial = |arguments: &[&str]| {
        let made = Command::new(env!("CARGO_BIN_EXE_trial"))
            .args(arguments)
            .current_dir(&folder)
            .output();
        let output = made.expect("the program was built");
        let text = [output.stdout, output.stderr].concat();
        (
            output.status.code(),
            String::from_utf8_lossy(&text).into_owned(),
        )
    };
    std::fs::write(folder.join("unrest.toml"), UNREST).expect("a writable folder");
    let bug = ["--mutant", "R-20"];
    let shrink = ["shrink", "unrest.toml", "--seed", "1", "-o", "small.toml"];
    let (code, text) = trial(&[&shrink[..], &bug].concat());
    assert_eq!(code, Some(1), "{text}");
    assert!(text.contains("nothing more can be left out"), "{text}");
    assert!(!text.contains('\u{1b}'), "colours in a pipe: {text}");
    let written = std::fs::read_to_string(folder.join("small.toml")).expect("written");
    assert!(written.contains("unrest.toml seed 1"), "{written}");
    let small = Scenario::parse("small.toml", &written).expect("a scenario's file");
    assert_eq!(small.faults.len(), 1, "{written}");
    let (code, text) = trial(&["run", "small.toml"]);
    assert_eq!(code, Some(0), "without the bug: {text}");
    let (code, text) = trial(&[&["run", "small.toml"][..], &bug].concat());
    assert_eq!(code, Some(1), "{text}");
    let (code, text) = trial(&["shrink", "small.toml", "--seed", "1", "-o", "small.toml"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("is the scenario itself"), "{text}");
    drop(std::fs::remove_dir_all(&folder));
}
