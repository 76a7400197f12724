//! A failing run becomes a small scenario that fails in the same way, and is a file.

use std::process::Command;
use std::time::Duration;

use sim_runner::Scenario;
use sim_runner::driver::{self, RunOptions};
use sim_runner::shrink::{self, Listener, NotShrunk, Settings, Shrunk};

/// Nodes pause at random and one is killed: it cannot be back in every ISR within the quiet phase.
const UNREST: &str = r#"
description = "made for a test"

[cluster]
nodes = 3

[cluster.config]
"broker.session.timeout.ms" = 3000
"broker.heartbeat.interval.ms" = 500

[[topic]]
name = "orders"
partitions = 3
replicas = 3
config = { "min.insync.replicas" = 2 }

[[workload]]
kind = "produce-consume"
producers = 2
consumers = 2
rate = 20

[[fault]]
at = "1s"
target = { node = "node3" }
action = { process = { kind = "kill" } }
lasts = "9s"

[chaos]
mean_interval = "300ms"
lasts = { min = "50ms", max = "100ms" }
weights = { "network-hold" = 1, "network-slow" = 1 }

[run]
duration = "3s"
quiet = "700ms"
"#;

struct Silent;

impl Listener for Silent {
    fn ran(&self, _runs: u64) {}
    fn better(&self, _scenario: &Scenario, _by: &str) {}
}

fn shrunk(scenario: &Scenario, jobs: usize) -> Result<Shrunk, NotShrunk> {
    let settings = Settings {
        options: RunOptions::default(),
        jobs,
        deadline: None,
    };
    shrink::shrink(scenario, "small", 1, &settings, &Silent)
}

fn unrest() -> Scenario {
    Scenario::parse("unrest.toml", UNREST).expect("valid")
}

#[test]
fn what_is_left_fails_in_the_same_way_whatever_runs_at_once() {
    let before = driver::run(&unrest(), "unrest", 1, &RunOptions::default()).expect("possible");
    let one = shrunk(&unrest(), 1).expect("it fails");
    assert_eq!(one.fingerprint.to_string(), "LIVE-1 unsettled");
    assert!(one.minimal);
    assert!(one.struck > 3, "{} faults struck", one.struck);
    let small = &one.scenario;
    assert!(small.faults.len() <= 1, "{}", small.to_toml());
    assert!(
        small.duration < Duration::from_secs(3),
        "{}",
        small.to_toml()
    );
    assert!(one.operations() < shrink::operations(&before.result) / 2);

    let file = Scenario::parse("small.toml", &small.to_toml()).expect("a scenario's file");
    let seed = file.seed.expect("one that fails");
    let again = driver::run(&file, "small", seed, &RunOptions::default()).expect("possible");
    assert!(one.fingerprint.shows_in(&again.result));
    assert_eq!(again.result.trace_hash, one.result.trace_hash);

    let three = shrunk(&unrest(), 3).expect("it fails");
    assert_eq!(three.scenario.to_toml(), small.to_toml());
}

#[test]
fn a_seed_that_holds_is_refused() {
    let held = Scenario {
        quiet: Duration::from_secs(60),
        ..unrest()
    };
    let error = shrunk(&held, 2).expect_err("it holds");
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
    let (code, text) = trial(&["shrink", "unrest.toml", "--seed", "1", "-o", "small.toml"]);
    assert_eq!(code, Some(3), "{text}");
    assert!(text.contains("nothing more can be left out"), "{text}");
    assert!(!text.contains('\u{1b}'), "colours in a pipe: {text}");
    let written = std::fs::read_to_string(folder.join("small.toml")).expect("written");
    assert!(written.contains("unrest.toml seed 1"), "{written}");
    let (code, text) = trial(&["run", "small.toml"]);
    assert_eq!(code, Some(3), "{text}");
    let (code, text) = trial(&["shrink", "small.toml", "--seed", "1", "-o", "small.toml"]);
    assert_eq!(code, Some(2), "{text}");
    assert!(text.contains("is the scenario itself"), "{text}");
    drop(std::fs::remove_dir_all(&folder));
}
