//! The three engines on the same scenario and seed: ten simulated seconds of random faults on three nodes.
//! The figures to compare are those of one run of this bench.

use std::time::Duration;

use criterion::{Criterion, criterion_group, criterion_main};
use sim_runner::driver::{self, RunOptions};
use sim_runner::{EngineKind, Scenario};

const SCENARIO: &str = include_str!("../../../scenarios/smoke/ten-seconds.toml");

fn engines(criterion: &mut Criterion) {
    let scenario =
        Scenario::parse("ten-seconds.toml", SCENARIO).expect("a scenario of this repository");
    let mut group = criterion.benchmark_group("ten-seconds");
    group
        .sample_size(10)
        .measurement_time(Duration::from_secs(10));
    for (name, engine) in [
        ("native", EngineKind::Native),
        ("madsim", EngineKind::Madsim),
        ("turmoil", EngineKind::Turmoil),
    ] {
        let options = RunOptions {
            engine,
            ..RunOptions::default()
        };
        group.bench_function(name, |bencher| {
            bencher.iter(|| {
                let outcome = driver::run(&scenario, "ten-seconds", 1, &options);
                outcome.expect("the engine can run it").assert_held();
            });
        });
    }
    group.finish();
}

criterion_group!(benches, engines);
criterion_main!(benches);
