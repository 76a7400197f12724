//! The commands on a data folder whose node does not run.

mod support;

use support::command::{Cli, broker, done, failed};
use support::good::Good;
use support::node::{Node, edit};

#[test]
fn a_folder_is_formatted_once_and_its_node_starts_in_it() {
    let mut node = Node::prepare("");
    let config = node.config().display().to_string();
    let said = done(&broker(&[
        "format",
        "--cluster-id",
        "my-cluster",
        "--config",
        &config,
    ]));
    assert!(
        said.contains("my-cluster") && said.contains(&node.data().display().to_string()),
        "{said}"
    );
    let said = failed(
        &broker(&["format", "--cluster-id", "my-cluster", "--config", &config]),
        1,
    );
    assert!(said.contains("formatted already"), "{said}");
    failed(
        &broker(&["format", "--cluster-id", "two\nlines", "--config", &config]),
        2,
    );
    node.launch();
    let mut good = Good::start(&node);
    good.check(&mut node);
    let said = done(&Cli::of(&node).run(&["quorum", "describe", "--status"]));
    assert!(
        said.contains("ClusterId:              my-cluster\n"),
        "{said}"
    );
}

#[test]
fn a_stopped_nodes_files_are_dumped_and_damage_is_placed() {
    let mut node = Node::start("");
    let mut good = Good::with_topic(
        &node,
        "t",
        &[("segment.bytes", "2000"), ("index.interval.bytes", "150")],
    );
    good.check(&mut node);
    node.terminate();
    let partition = node.file("t-0").display().to_string();
    let dumped = done(&broker(&["dump-log", "--print-data-log", &partition]));
    assert!(
        dumped.contains("baseOffset: 0 lastOffset: 0 count: 1 "),
        "{dumped}"
    );
    assert!(dumped.contains("payload: value 0.0"), "{dumped}");
    let offsets = dumped.matches("| offset: ").count();
    assert_eq!(i64::try_from(offsets), Ok(good.end()));
    assert!(
        done(&broker(&["dump-log", "--verify", &partition]))
            .lines()
            .count()
            < dumped.lines().count() / 2
    );

    let metadata = node.file("__cluster_metadata-0").display().to_string();
    let dumped = done(&broker(&[
        "dump-log",
        "--cluster-metadata-decoder",
        &metadata,
    ]));
    for part in [
        "LeaderChange",
        "RegisterBroker",
        "TopicRecord { name: \"t\"",
        "PartitionRecord",
    ] {
        assert!(dumped.contains(part), "{part} is not in the metadata log");
    }

    let log = node.file("t-0/00000000000000000000.log");
    let path = log.display().to_string();
    edit(&log, |bytes| bytes[70] ^= 1);
    let rotten = broker(&["dump-log", &path]);
    failed(&rotten, 1);
    let text = String::from_utf8_lossy(&rotten.stdout).into_owned();
    assert!(
        text.contains("DAMAGED at position 0: stored CRC-32C") && text.contains("baseOffset: 1 "),
        "{text}"
    );
    edit(&log, |bytes| bytes.truncate(bytes.len() - 5));
    let text = String::from_utf8_lossy(&broker(&["dump-log", &path]).stdout).into_owned();
    assert!(
        text.matches("DAMAGED").count() == 2 && text.contains("batch needs"),
        "{text}"
    );
    std::fs::write(&log, [0xaa; 500]).expect("writable");
    failed(&broker(&["dump-log", &path]), 1);

    let index = node.file("t-0/00000000000000000000.index");
    edit(&index, |bytes| bytes[3] ^= 0x40);
    failed(&broker(&["dump-log", &index.display().to_string()]), 1);
    let said = failed(
        &broker(&["dump-log", &node.config().display().to_string()]),
        1,
    );
    assert!(said.contains("not a .log"), "{said}");
}
