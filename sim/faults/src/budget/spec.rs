//! The limits of a run, and how a refusal reads.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

/// What an acknowledgement is worth.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Durability {
    /// Records are in the page caches of the in-sync replicas: a power loss loses data.
    #[default]
    Replicated,
    /// Acknowledgements wait for fsync: all nodes may lose power, even at once.
    Flushed,
    /// Anything may happen; only what survives is judged.
    Unlimited,
}

/// The limits of a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct BudgetSpec {
    pub durability: Durability,
    /// The smallest of all topics.
    pub min_insync_replicas: u32,
    /// The smallest of all topics.
    pub replication_factor: u32,
    /// Nodes that hold no partitions: what happens to their disks takes no records.
    pub without_logs: BTreeSet<String>,
    /// Voters of the metadata quorum at the start.
    pub voters: BTreeSet<String>,
    /// A wiped voter comes back with another directory id and needs to be added again (KIP-853).
    pub dynamic_voters: bool,
    /// Nodes down or paused at the same time at most; none is no limit.
    pub max_down: Option<u32>,
    /// Paths of a voter's metadata; a disk fault whose pattern matches one endangers the quorum.
    pub metadata_files: Vec<String>,
}

impl Default for BudgetSpec {
    fn default() -> BudgetSpec {
        let metadata_files = [
            "00000000000000000000.log",
            "quorum-state",
            "00000000000000000000-0000000000.checkpoint",
        ];
        let in_directory = |name: &&str| format!("data/__cluster_metadata-0/{name}");
        BudgetSpec {
            durability: Durability::Replicated,
            min_insync_replicas: 1,
            replication_factor: 1,
            without_logs: BTreeSet::new(),
            voters: BTreeSet::new(),
            dynamic_voters: true,
            max_down: None,
            metadata_files: metadata_files
                .iter()
                .map(in_directory)
                .chain(["data/meta.properties".into()])
                .collect(),
        }
    }
}

/// Why a fault would leave the budget.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum Refusal {
    #[error(
        "\"{fault}\": {would} nodes would lack log data, min.insync.replicas is {min_insync_replicas}"
    )]
    LogData {
        fault: String,
        would: usize,
        min_insync_replicas: u32,
    },
    #[error(
        "\"{fault}\": {would} brokers would be gone or lack data, of {replication_factor} replicas \
         {min_insync_replicas} must be left"
    )]
    Brokers {
        fault: String,
        would: usize,
        replication_factor: u32,
        min_insync_replicas: u32,
    },
    #[error("\"{fault}\": only {would} of {voters} voters would be alive")]
    Voters {
        fault: String,
        would: usize,
        voters: usize,
    },
    #[error("\"{fault}\": {would} of {voters} voters would have lost synced metadata")]
    Quorum {
        fault: String,
        would: usize,
        voters: usize,
    },
    #[error("\"{fault}\": {would} nodes would be down, the limit is {limit}")]
    Down {
        fault: String,
        would: usize,
        limit: u32,
    },
}
