//! Several log directories on a real disk: where logs go, that they are found again, and what becomes of those
//! that nobody knows.

mod support;

use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use support::good::Good;
use support::node::Node;

fn second(node: &Node) -> PathBuf {
    node.directory.join("data2")
}

/// With the usual folder and a second one.
fn two_directories(node: &Node) {
    let (first, second) = (node.data(), second(node));
    node.configure(
        1,
        &format!("log.dirs={},{}", first.display(), second.display()),
    );
}

/// Folders that hold partitions of a topic, the stray ones apart.
fn partitions(directory: &Path, topic: &str) -> (Vec<String>, Vec<String>) {
    let listing = std::fs::read_dir(directory).expect("a log directory");
    let names = listing.map(|entry| {
        let name = entry.expect("a readable directory").file_name();
        name.into_string().expect("an ASCII name")
    });
    names
        .filter(|name| name.starts_with(topic))
        .partition(|name| !name.ends_with("-stray"))
}

#[test]
fn new_logs_are_spread_and_found_again() {
    let mut node = Node::prepare("");
    two_directories(&node);
    node.launch();
    // The metadata log lies in the first one, so the first topic goes to the second.
    let mut one = Good::with_topic(&node, "one", &[]);
    let mut two = Good::with_topic(&node, "two", &[]);
    assert_eq!(partitions(&second(&node), "one").0, ["one-0"]);
    let places = [node.data(), second(&node)].map(|place| partitions(&place, "two").0.len());
    assert_eq!(places.iter().sum::<usize>(), 1);
    for clean in [true, false] {
        if clean {
            node.terminate();
        } else {
            node.kill();
        }
        node.launch();
        one.check(&mut node);
        two.check(&mut node);
        assert_eq!(partitions(&second(&node), "one").0, ["one-0"]);
    }
}

#[test]
fn a_log_that_nothing_assigns_here_is_set_aside_and_kept() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let mut gone = Good::with_topic(&node, "gone", &[]);
    gone.write(&node, 3);
    node.terminate();
    // As left over from a topic that was deleted while this broker was away.
    let stray = node.file("lost-0");
    std::fs::create_dir(&stray).expect("a folder");
    for entry in std::fs::read_dir(node.file("gone-0")).expect("the log") {
        let from = entry.expect("a readable directory").path();
        let to = stray.join(from.file_name().expect("a file"));
        std::fs::copy(&from, to).expect("a copy");
    }
    let metadata = stray.join("partition.metadata");
    std::fs::write(metadata, "version: 0\ntopic_id: AAAAAAAAAAAAAAAAAAAAKw").expect("a file");
    node.launch();
    good.check(&mut node);
    gone.check(&mut node);
    // Just after the first metadata are published.
    let deadline = Instant::now() + Duration::from_secs(10);
    let aside = loop {
        let (loaded, aside) = partitions(&node.data(), "lost");
        if loaded.is_empty() {
            break aside;
        }
        assert!(Instant::now() < deadline, "still there: {loaded:?}");
        std::thread::sleep(Duration::from_millis(20));
    };
    assert_eq!(aside.len(), 1, "{aside:?}");
    let log = node.file(&aside[0]).join("00000000000000000000.log");
    assert!(log.metadata().is_ok_and(|file| file.len() > 0));
}
