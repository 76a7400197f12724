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
#[expect(
    clippy::disallowed_methods,
    reason = "two simulators at once are the point"
)]
fn engines_on_two_threads_do_not_disturb_each_other() {
    let alone = [hash(1), hash(2)];
    let together = [1, 2].map(|seed| std::thread::spawn(move || hash(seed)));
    assert_eq!(
        together.map(|thread| thread.join().expect("no panic")),
        alone
    );
}

const CHILD: &str = "SIM_ENGINE_TEST_CHILD";

#[test]
fn another_process_gives_the_same_hash() {
    if std::env::var_os(CHILD).is_some() {
        println!("hash {:016x}", hash(7));
        return;
    }
    let this = std::env::current_exe().expect("a test has a file");
    let arguments = [
        "--exact",
        "another_process_gives_the_same_hash",
        "--nocapture",
    ];
    let output = std::process::Command::new(this)
        .args(arguments)
        .env(CHILD, "1")
        .output()
        .expect("it runs");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains(&format!("hash {:016x}", hash(7))), "{text}");
}
