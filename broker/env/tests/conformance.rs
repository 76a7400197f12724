//! The production environment keeps the promises of the suite.

use std::sync::atomic::{AtomicU32, Ordering};

use broker_env::conformance::{self, Check, Site, Sites};

/// Each run of a check has a directory of its own.
fn site() -> Site {
    static RUNS: AtomicU32 = AtomicU32::new(0);
    let unique = format!(
        "conformance-{}-{}",
        std::process::id(),
        RUNS.fetch_add(1, Ordering::Relaxed)
    );
    let directory = std::path::Path::new(env!("CARGO_TARGET_TMPDIR")).join(unique);
    Site {
        env: broker_env::production::env(),
        host: "127.0.0.1".into(),
        directory,
    }
}

fn run(runtime: &tokio::runtime::Runtime, check: Check) -> Result<(), String> {
    let spawner = runtime.handle().clone();
    runtime.block_on(async {
        let site = site();
        let directory = site.directory.clone();
        let sites = Sites {
            server: site.clone(),
            client: site,
        };
        let outcome = spawner.spawn((check.run)(sites)).await;
        let _absent_if_unused = std::fs::remove_dir_all(directory);
        outcome.map_err(|error| format!("{}: {error}", check.name))
    })
}

fn run_all(runtime: &tokio::runtime::Runtime) {
    let checks = conformance::checks();
    assert!(checks.len() > 50, "only {} checks", checks.len());
    let failures: Vec<String> = checks
        .into_iter()
        .filter_map(|check| run(runtime, check).err())
        .collect();
    assert!(failures.is_empty(), "{failures:#?}");
}

#[test]
fn production_conforms_on_many_threads() {
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(2)
        .enable_all()
        .build();
    run_all(&runtime.expect("a runtime"));
}

#[test]
fn production_conforms_on_one_thread() {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    run_all(&runtime.expect("a runtime"));
}

#[test]
fn names_of_checks_are_unique() {
    let names: std::collections::BTreeSet<&str> = conformance::checks()
        .iter()
        .map(|check| check.name)
        .collect();
    assert_eq!(names.len(), conformance::checks().len());
    assert!(names.iter().all(|name| conformance::check(name).is_some()));
}
