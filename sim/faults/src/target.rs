//! Who is struck: named late, because the leader of a partition is whoever it is when the time comes.

use std::fmt;

use rand_chacha::ChaCha8Rng;
use serde::{Deserialize, Serialize};
use sim_disk::units::{below, between};

/// A choice among nodes.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Target {
    Node(String),
    Leader {
        topic: String,
        partition: i32,
    },
    /// A random replica of the partition that does not lead it.
    Follower {
        topic: String,
        partition: i32,
    },
    /// The leader of the metadata quorum.
    Controller,
    /// The coordinator of a group.
    GroupCoordinator {
        group: String,
    },
    /// The coordinator of a transactional id.
    TransactionCoordinator {
        transactional_id: String,
    },
    /// Any one node.
    Random,
    /// A random set of fewer than half of the nodes, at least one.
    Minority,
    /// A random set of more than half of the nodes, never all.
    Majority,
    All,
}

impl fmt::Display for Target {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Target::Node(node) => write!(formatter, "{node}"),
            Target::Leader { topic, partition } => {
                write!(formatter, "leader of {topic}-{partition}")
            }
            Target::Follower { topic, partition } => {
                write!(formatter, "follower of {topic}-{partition}")
            }
            Target::Controller => write!(formatter, "controller"),
            Target::GroupCoordinator { group } => write!(formatter, "coordinator of group {group}"),
            Target::TransactionCoordinator { transactional_id } => {
                write!(
                    formatter,
                    "coordinator of transactional id {transactional_id}"
                )
            }
            Target::Random => write!(formatter, "random node"),
            Target::Minority => write!(formatter, "minority"),
            Target::Majority => write!(formatter, "majority"),
            Target::All => write!(formatter, "all nodes"),
        }
    }
}

/// Ground truth about the cluster, which the runner has. None: nobody at the moment.
pub trait TargetResolver {
    /// All nodes of the cluster (no clients), sorted; also those that are down.
    fn nodes(&self) -> Vec<String>;
    fn leader(&self, topic: &str, partition: i32) -> Option<String>;
    /// Replicas of the partition without its leader, sorted.
    fn followers(&self, topic: &str, partition: i32) -> Vec<String>;
    fn controller(&self) -> Option<String>;
    fn group_coordinator(&self, group: &str) -> Option<String>;
    fn transaction_coordinator(&self, transactional_id: &str) -> Option<String>;
    /// Partitions worth aiming at, sorted; random faults draw one.
    fn partitions(&self) -> Vec<(String, i32)>;
    /// Brokers that could be added: spare ones and removed ones, sorted.
    fn spares(&self) -> Vec<String> {
        Vec::new()
    }
    /// Brokers without another role, which could be removed, sorted.
    fn removable(&self) -> Vec<String> {
        Vec::new()
    }
    /// Controllers that are no voters and could become some, sorted.
    fn candidates(&self) -> Vec<String> {
        Vec::new()
    }
    /// Voters of the metadata quorum, sorted.
    fn voters(&self) -> Vec<String> {
        Vec::new()
    }
    /// Whether a process runs there.
    fn is_up(&self, _node: &str) -> bool {
        true
    }
    /// Whether a node of the release could run at the levels that are finalized.
    fn can_run(&self, _release: &str) -> bool {
        true
    }
}

/// The nodes meant now; none if nobody is.
pub fn resolve(
    target: &Target,
    resolver: &dyn TargetResolver,
    rng: &mut ChaCha8Rng,
) -> Vec<String> {
    let nodes = resolver.nodes();
    let half = nodes.len() / 2;
    match target {
        Target::Node(node) => vec![node.clone()],
        Target::Leader { topic, partition } => {
            resolver.leader(topic, *partition).into_iter().collect()
        }
        Target::Follower { topic, partition } => {
            some_of(resolver.followers(topic, *partition), 1, 1, rng)
        }
        Target::Controller => resolver.controller().into_iter().collect(),
        Target::GroupCoordinator { group } => {
            resolver.group_coordinator(group).into_iter().collect()
        }
        Target::TransactionCoordinator { transactional_id } => resolver
            .transaction_coordinator(transactional_id)
            .into_iter()
            .collect(),
        Target::Random => some_of(nodes, 1, 1, rng),
        Target::Minority => {
            let most = nodes.len().saturating_sub(1) / 2;
            some_of(nodes, 1, most.max(1), rng)
        }
        Target::Majority => {
            let most = nodes.len().saturating_sub(1);
            some_of(nodes, half + 1, most.max(half + 1), rng)
        }
        Target::All => nodes,
    }
}

/// Between `least` and `most` of the names, in their order.
pub fn some_of(
    mut names: Vec<String>,
    least: usize,
    most: usize,
    rng: &mut ChaCha8Rng,
) -> Vec<String> {
    let wide = |value: usize| u64::try_from(value).expect("fits");
    let wanted = between(rng, wide(least), wide(most));
    while wide(names.len()) > wanted {
        let index = below(rng, wide(names.len()));
        names.remove(usize::try_from(index).expect("below a length"));
    }
    names
}

/// One of the values; none of none.
pub fn one_of<'a, T>(values: &'a [T], rng: &mut ChaCha8Rng) -> Option<&'a T> {
    let index = below(rng, u64::try_from(values.len()).expect("fits"));
    values.get(usize::try_from(index).expect("below a length"))
}
