//! The native world keeps the promises of the suite, on one host and between two, also when bytes
//! travel in small pieces.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use broker_env::conformance::{Check, Site, Sites, checks};
use sim_engine::{Engine, HostId, Options, Outcome};

const HOUR: u64 = 3_600_000_000_000;

fn run(options: Options, check: Check, one_host: bool) -> Result<(), String> {
    let mut engine = Engine::new(options);
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
    let sites = Sites {
        server,
        client: site(hosts[1]),
    };
    let done = Arc::new(AtomicBool::new(false));
    let flag = done.clone();
    engine.spawn_on(hosts[1], "check", |_| {
        Box::pin(async move {
            (check.run)(sites).await;
            flag.store(true, Ordering::Relaxed);
        })
    });
    match engine.run_until(HOUR) {
        Outcome::Deadline | Outcome::Idle if done.load(Ordering::Relaxed) => Ok(()),
        outcome => Err(format!("{}: {outcome:?}", check.name)),
    }
}

fn run_all(make: impl Fn(u64) -> Options, one_host: bool) {
    let failures: Vec<String> = (0..10)
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
    run_all(Options::new, false);
}

#[test]
fn one_host_conforms() {
    run_all(Options::new, true);
}

#[test]
fn fragmented_streams_conform() {
    // `vectored writes` and the bulk checks then take pieces of up to 1500 bytes.
    let make = |seed| {
        let mut options = Options::new(seed);
        options.network.fragment = 1_500;
        options.connection_buffer = 10_000;
        options
    };
    run_all(make, false);
}
