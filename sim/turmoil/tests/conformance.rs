//! The world on turmoil keeps every promise of the suite.

#![cfg(tokio_unstable)]

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_env::conformance::{Check, Site, Sites, checks};
use sim_engine::{HostId, Outcome};
use sim_turmoil::{Engine, Options};

/// Longer than any check takes; turmoil steps through idle time too.
const LIMIT: u64 = 600_000_000_000;

fn run(options: Options, check: Check, one_host: bool) -> Result<(), String> {
    let mut engine = Engine::new(options).expect("tests are built with the cfg");
    let hosts = [engine.add_host("server"), engine.add_host("client")];
    let handle = engine.handle();
    let site = |host: HostId| {
        let name = handle.name(host).to_string();
        Site {
            env: handle.env(host),
            host: name,
            directory: "/conformance".into(),
        }
    };
    let server = site(if one_host { hosts[1] } else { hosts[0] });
    let client = site(hosts[1]);
    let done = Arc::new(AtomicBool::new(false));
    let (flag, control) = (done.clone(), engine.handle());
    engine.spawn_on(hosts[1], "check", |_| {
        Box::pin(async move {
            (check.run)(Sites { server, client }).await;
            flag.store(true, Ordering::Relaxed);
            control.stop("done");
        })
    });
    match engine.run_until(LIMIT) {
        Outcome::Stopped { .. } if done.load(Ordering::Relaxed) => Ok(()),
        outcome => Err(format!(
            "{}: {outcome:?}, waiting: {:?}",
            check.name,
            engine.handle().tasks()
        )),
    }
}

fn run_all(seeds: std::ops::Range<u64>, make: impl Fn(u64) -> Options, one_host: bool) {
    let failures: Vec<String> = seeds
        .flat_map(|seed| checks().into_iter().map(move |check| (seed, check)))
        .filter_map(|(seed, check)| {
            run(make(seed), check, one_host)
                .err()
                .map(|error| format!("seed {seed}: {error}"))
        })
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn two_hosts_conform() {
    run_all(0..3, Options::new, false);
}

#[test]
fn one_host_conforms() {
    run_all(0..2, Options::new, true);
}

#[test]
fn fragmented_streams_conform() {
    let make = |seed| {
        let mut options = Options::new(seed);
        options.network.fragment = 1_500;
        options.connection_buffer = 10_000;
        options
    };
    run_all(0..1, make, false);
}
