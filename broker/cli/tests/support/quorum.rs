//! Nodes whose metadata quorum is in its log (KIP-853), and its files.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use super::command::{Cli, broker, done};
use super::node::Node;

const LIMIT: Duration = Duration::from_secs(60);

/// Nodes 1, 2, …, which find each other; formatted: the first as the only voter, the others as none.
pub fn nodes(count: usize, properties: &[&str]) -> Vec<Node> {
    let nodes: Vec<Node> = (0..count).map(|_| Node::prepare("")).collect();
    let servers: Vec<String> = nodes
        .iter()
        .map(|node| format!("127.0.0.1:{}", node.controller_port))
        .collect();
    let bootstrap = format!("controller.quorum.bootstrap.servers={}", servers.join(","));
    for (node, id) in nodes.iter().zip(1..) {
        let own = properties.get(usize::try_from(id - 1).expect("positive"));
        let own = own.copied().unwrap_or_default();
        node.configure(id, &format!("{bootstrap}\n{own}"));
        format(
            node,
            "dynamic",
            if id == 1 {
                "--standalone"
            } else {
                "--no-initial-controllers"
            },
        );
    }
    nodes
}

pub fn format(node: &Node, cluster_id: &str, voters: &str) {
    let config = node.config().display().to_string();
    done(&broker(&[
        "format",
        "--cluster-id",
        cluster_id,
        voters,
        "--config",
        &config,
    ]));
}

/// `quorum describe --status`, once the quorum has a leader.
pub fn status(node: &Node) -> String {
    done(&Cli::of(node).run(&["quorum", "describe", "--status"]))
}

/// Ids in a line of the status.
pub fn members(status: &str, line: &str) -> Vec<i32> {
    let found = status.lines().find_map(|text| text.strip_prefix(line));
    let found = found.unwrap_or_else(|| panic!("no {line} in {status}"));
    let ids = found.split("\"id\": ").skip(1);
    ids.map(|rest| {
        let digits: String = rest.chars().take_while(char::is_ascii_digit).collect();
        digits.parse().expect("an id")
    })
    .collect()
}

pub fn voters(node: &Node) -> Vec<i32> {
    members(&status(node), "CurrentVoters:")
}

#[track_caller]
pub fn eventually(what: &str, holds: impl Fn() -> bool) {
    let deadline = Instant::now() + LIMIT;
    while !holds() {
        assert!(Instant::now() < deadline, "never: {what}");
        std::thread::sleep(Duration::from_millis(50));
    }
}

#[track_caller]
pub fn await_members(node: &Node, voters: &[i32], observers: &[i32]) {
    eventually(
        &format!("voters {voters:?}, observers {observers:?}"),
        || {
            let status = status(node);
            members(&status, "CurrentVoters:") == voters
                && members(&status, "CurrentObservers:") == observers
        },
    );
}

/// From `meta.properties`.
pub fn directory_id(node: &Node) -> String {
    let text = std::fs::read_to_string(node.file("meta.properties")).expect("formatted");
    let id = text
        .lines()
        .find_map(|line| line.strip_prefix("directory.id="));
    id.expect("it has one").to_string()
}

/// Files of the metadata log with this extension, by name.
pub fn metadata_files(node: &Node, extension: &str) -> Vec<PathBuf> {
    let directory = node.file("__cluster_metadata-0");
    let Ok(listing) = std::fs::read_dir(directory) else {
        return Vec::new();
    };
    let paths = listing.map(|entry| entry.expect("a readable directory").path());
    let mut found: Vec<PathBuf> = paths
        .filter(|path| path.extension().is_some_and(|is| is == extension))
        .collect();
    found.sort();
    found
}

/// The offset in a file's name.
pub fn offset_of(path: &std::path::Path) -> i64 {
    let name = path.file_name().expect("a file").to_string_lossy();
    name[..20].parse().expect("20 digits")
}
