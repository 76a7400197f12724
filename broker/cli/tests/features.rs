//! `broker features` against a running broker, and nodes of releases that do not fit their cluster.

mod support;

use support::command::{Cli, done, failed};
use support::good::Good;
use support::node::Node;

const FIRST_4_0: &str = "internal.bootstrap.release=4.0\n";

fn level(cli: &Cli, feature: &str) -> String {
    let described = done(&cli.run(&["features", "describe"]));
    let line = described
        .lines()
        .find(|line| line.starts_with(&format!("Feature: {feature}\t")))
        .unwrap_or_else(|| panic!("{described}"));
    let finalized = line
        .split('\t')
        .find_map(|part| part.strip_prefix("FinalizedVersionLevel: "));
    finalized.expect("every line has it").to_owned()
}

#[test]
fn features_go_up_and_down_and_say_why_not() {
    let node = Node::start(FIRST_4_0);
    Good::start(&node);
    let cli = Cli::of(&node);
    assert_eq!(level(&cli, "metadata.version"), "4.0-IV3");
    assert_eq!(level(&cli, "eligible.leader.replicas.version"), "0");

    let dry = cli.run(&["features", "upgrade", "--metadata", "4.1", "--dry-run"]);
    assert_eq!(done(&dry), "metadata.version can be changed to 27.\n");
    assert_eq!(level(&cli, "metadata.version"), "4.0-IV3");
    let elr = "eligible.leader.replicas.version=1";
    let up = cli.run(&["features", "upgrade", "--metadata", "4.1", "--feature", elr]);
    assert!(done(&up).contains("metadata.version was changed to 27."));
    assert_eq!(level(&cli, "metadata.version"), "4.1-IV1");
    assert_eq!(level(&cli, "eligible.leader.replicas.version"), "1");

    for (arguments, reason) in [
        (&["upgrade", "--metadata", "4.0"][..], "Can't downgrade"),
        (&["downgrade", "--metadata", "3.9"], "Refusing to perform"),
        (
            &["downgrade", "--metadata", "3.9", "--unsafe"],
            "Unsafe metadata downgrade",
        ),
        (
            &["upgrade", "--feature", "warp.version=1"],
            "does not support this feature",
        ),
        (
            &["upgrade", "--feature", "metadata.version=99"],
            "only supports versions 7-27",
        ),
    ] {
        let refused = failed(&cli.run(&[&["features"], arguments].concat()), 1);
        assert!(
            refused.contains("INVALID_UPDATE_VERSION") && refused.contains(reason),
            "{refused}"
        );
    }
    let feature = "eligible.leader.replicas.version";
    done(&cli.run(&["features", "disable", "--feature", feature]));
    done(&cli.run(&["features", "downgrade", "--metadata", "4.0"]));
    assert_eq!(level(&cli, "metadata.version"), "4.0-IV3");
    assert_eq!(level(&cli, feature), "0");
}

#[test]
fn a_node_of_an_older_release_than_its_cluster_ends_and_says_why() {
    let mut node = Node::start("");
    Good::start(&node);
    node.terminate();
    node.configure(1, "internal.supported.release=4.0\n");
    let (log, status) = node.refuses();
    assert!(!status.success());
    assert!(
        log.contains("metadata.version 27") && log.contains("7-25"),
        "{log}"
    );
}
