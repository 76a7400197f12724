//! The engine's speed: frames, polls, start-up and idle time.

use std::hint::black_box;

use criterion::{Criterion, Throughput, criterion_group, criterion_main};
use sim_engine::{Engine, Options};

#[path = "../tests/support/toy.rs"]
mod toy;

fn replicated(criterion: &mut Criterion) {
    let mut group = criterion.benchmark_group("engine");
    group.sample_size(20);
    group.throughput(Throughput::Elements(60_000));
    group.bench_function("60k frames, 3 nodes, 5 clients", |bencher| {
        bencher.iter(|| black_box(toy::run(Options::new(1), 5, 2_000).hash));
    });
    group.throughput(Throughput::Elements(1));
    group.bench_function("start and drop, 4 hosts", |bencher| {
        bencher.iter(|| {
            let mut engine = Engine::new(Options::new(1));
            for name in ["node1", "node2", "node3", "client"] {
                engine.add_host(name);
            }
            black_box(engine.run_until(1_000_000_000))
        });
    });
    group.finish();
}

criterion_group!(benches, replicated);
criterion_main!(benches);
