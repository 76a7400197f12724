//! `cargo bench -p models`: how many unique states a second each model comes to, beside a Paxos model like
//! Stateright's own example, on the same threads. Each runs in a process of its own, so that its memory can be
//! told.

mod paxos;

use std::env;
use std::process::Command;

use models::{CheckReport, DEFAULT_LIMITS, MODELS, NIGHTLY, check, harness};

const REFERENCE: &str = "reference: paxos";
const ONE: &str = "--only=";

fn main() {
    let only = env::args().find_map(|argument| Some(argument.strip_prefix(ONE)?.to_owned()));
    if let Some(name) = only {
        return println!("{}", explore(&name).row());
    }
    println!("{}", CheckReport::heads());
    let itself = env::current_exe().expect("a program");
    let models = MODELS.iter().map(|(name, _)| *name);
    let models = models.filter(|name| !NIGHTLY.contains(name));
    for name in [REFERENCE].into_iter().chain(models) {
        let child = Command::new(&itself).arg(format!("{ONE}{name}")).status();
        assert!(child.expect("the same program").success(), "{name}");
    }
}

fn explore(name: &str) -> CheckReport {
    if name == REFERENCE {
        return harness::run(REFERENCE, paxos::Paxos::default(), DEFAULT_LIMITS);
    }
    check(name, DEFAULT_LIMITS).expect("a known model")
}
