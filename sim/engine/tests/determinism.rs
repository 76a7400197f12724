//! The same seed is the same run, whatever else the process does.

use sim_engine::Options;

#[path = "support/toy.rs"]
mod toy;

fn hash(seed: u64) -> u64 {
    toy::run(Options::new(seed), 5, 100).hash
}

#[test]
fn the_same_seed_gives_the_same_hash() {
    assert_eq!(hash(7), hash(7));
}

#[test]
fn other_seeds_give_other_hashes() {
    let hashes: std::collections::BTreeSet<u64> = (0..20).map(hash).collect();
    assert_eq!(hashes.len(), 20);
}

#[test]
fn engines_on_two_threads_do_not_disturb_each_other() {
    let alone = [hash(1), hash(2)];
    let together = [1, 2].map(|seed| std::thread::spawn(move || hash(seed)));
    assert_eq!(together.map(|thread| thread.join().expect("no panic")), alone);
}

#[test]
fn speed() {
    let start = std::time::Instant::now();
    let report = toy::run(Options::new(1), 5, 2_000);
    let took = start.elapsed();
    println!("{took:?} {} events, {} frames/s, sim {} ms", report.events, report.frames as f64 / took.as_secs_f64(), report.sim_ns / 1_000_000);
    let start = std::time::Instant::now();
    for _ in 0..1000 {
        let mut engine = sim_engine::Engine::new(Options::new(1));
        for name in ["node1", "node2", "node3", "client"] {
            engine.add_host(name);
        }
        engine.run_until(1_000_000_000);
    }
    println!("start {:?}", start.elapsed() / 1000);
}
