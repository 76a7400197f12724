//! The same seed is the same run, whatever else the thread or the process does.

#![cfg(tokio_unstable)]

use sim_turmoil::{Engine, Options};

#[path = "../../hosted/tests/shared/toy.rs"]
mod toy;

fn hash(seed: u64) -> u64 {
    let engine = Engine::new(Options::new(seed)).expect("tests are built with the cfg");
    toy::run(engine, 3, 20, true)
}

#[test]
fn the_same_seed_gives_the_same_hash_also_after_other_runs() {
    let first = hash(7);
    let hashes: std::collections::BTreeSet<u64> = (0..10).map(hash).collect();
    assert_eq!(hashes.len(), 10, "other seeds, other runs");
    assert_eq!(hash(7), first);
}

#[test]
#[expect(
    clippy::disallowed_methods,
    reason = "two worlds at once are the point"
)]
fn worlds_on_two_threads_do_not_disturb_each_other() {
    let alone = [hash(1), hash(2)];
    let together = [1, 2].map(|seed| std::thread::spawn(move || hash(seed)));
    let together = together.map(|thread| thread.join().expect("no panic"));
    assert_eq!(together, alone);
}

const CHILD: &str = "SIM_TURMOIL_TEST_CHILD";

#[test]
fn another_process_gives_the_same_hash() {
    if std::env::var_os(CHILD).is_some() {
        println!("hash {:016x}", hash(7));
        return;
    }
    let this = std::env::current_exe().expect("a test has a file");
    let exact = "another_process_gives_the_same_hash";
    let mut child = std::process::Command::new(this);
    child.args(["--exact", exact, "--nocapture"]);
    let output = child.env(CHILD, "1").output().expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&format!("hash {:016x}", hash(7))), "{text}");
}
