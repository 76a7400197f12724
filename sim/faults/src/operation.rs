//! What operators do to a cluster: deployments of other releases, scaling, feature levels.
//!
//! An engine knows none of it: the runner carries operations out with processes and the admin client.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::{Deserialize, Serialize};
use sim_disk::units::{self, show};

/// One thing an operator does.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "kebab-case", deny_unknown_fields)]
pub enum Operation {
    /// From its next start on the node is of this release, e.g. "4.0".
    InstallRelease { node: String, release: String },
    /// Starts a broker that is no member: a spare one, or one that was removed.
    AddBroker { node: String },
    /// Stops a broker under control, killed if it is not done in time, and unregisters it.
    RemoveBroker {
        node: String,
        #[serde(default = "ten_seconds", with = "units::duration")]
        grace: Duration,
    },
    /// Makes a running controller a voter of the metadata quorum (KIP-853).
    AddVoter { node: String },
    /// Takes a voter out of the metadata quorum.
    RemoveVoter { node: String },
    /// Raises finalized features, as soon as all nodes support it.
    UpgradeFeatures { features: BTreeMap<String, i16> },
    /// Lowers them; 0 disables.
    DowngradeFeatures {
        features: BTreeMap<String, i16>,
        /// Also if metadata are lost by it.
        #[serde(default)]
        lossy: bool,
    },
    /// Makes a partition's first replica its leader (KIP-460).
    ElectPreferredLeader { topic: String, partition: i32 },
    /// Sets properties of a topic.
    ConfigureTopic {
        topic: String,
        config: BTreeMap<String, String>,
    },
}

fn ten_seconds() -> Duration {
    Duration::from_secs(10)
}

impl Operation {
    pub fn kind(&self) -> &'static str {
        match self {
            Operation::InstallRelease { .. } => "install-release",
            Operation::AddBroker { .. } => "add-broker",
            Operation::RemoveBroker { .. } => "remove-broker",
            Operation::AddVoter { .. } => "add-voter",
            Operation::RemoveVoter { .. } => "remove-voter",
            Operation::UpgradeFeatures { .. } => "upgrade-features",
            Operation::DowngradeFeatures { .. } => "downgrade-features",
            Operation::ElectPreferredLeader { .. } => "elect-preferred-leader",
            Operation::ConfigureTopic { .. } => "configure-topic",
        }
    }

    pub fn node(&self) -> Option<&str> {
        match self {
            Operation::InstallRelease { node, .. }
            | Operation::AddBroker { node }
            | Operation::RemoveBroker { node, .. }
            | Operation::AddVoter { node }
            | Operation::RemoveVoter { node } => Some(node),
            Operation::UpgradeFeatures { .. }
            | Operation::DowngradeFeatures { .. }
            | Operation::ElectPreferredLeader { .. }
            | Operation::ConfigureTopic { .. } => None,
        }
    }
}

impl fmt::Display for Operation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Operation::InstallRelease { node, release } => {
                write!(formatter, "{node}: release {release} installed")
            }
            Operation::AddBroker { node } => write!(formatter, "{node}: added as broker"),
            Operation::RemoveBroker { node, grace } => {
                write!(
                    formatter,
                    "{node}: removed as broker within {}",
                    show(*grace)
                )
            }
            Operation::AddVoter { node } => write!(formatter, "{node}: added as voter"),
            Operation::RemoveVoter { node } => write!(formatter, "{node}: removed as voter"),
            Operation::UpgradeFeatures { features } => {
                write!(formatter, "upgrade features to {}", levels(features))
            }
            Operation::DowngradeFeatures { features, lossy } => {
                let lossy = if *lossy { " whatever is lost" } else { "" };
                write!(
                    formatter,
                    "downgrade features to {}{lossy}",
                    levels(features)
                )
            }
            Operation::ElectPreferredLeader { topic, partition } => {
                write!(
                    formatter,
                    "elect the preferred leader of {topic}-{partition}"
                )
            }
            Operation::ConfigureTopic { topic, config } => {
                let set = config.iter().map(|(name, value)| format!("{name}={value}"));
                let set: Vec<String> = set.collect();
                write!(formatter, "configure {topic}: {}", set.join(", "))
            }
        }
    }
}

fn levels(features: &BTreeMap<String, i16>) -> String {
    let levels = features
        .iter()
        .map(|(name, level)| format!("{name}={level}"));
    levels.collect::<Vec<String>>().join(", ")
}

/// A deployment: one node after the other is stopped under control and started again.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct RollingRestart {
    /// What the nodes come back as; none: as they are.
    pub release: Option<String>,
    /// Time for a controlled stop before it becomes a kill.
    #[serde(with = "units::duration")]
    pub grace: Duration,
    /// From the stop to the start.
    #[serde(with = "units::duration")]
    pub down: Duration,
    /// From one node's start to the next one's stop.
    #[serde(with = "units::duration")]
    pub pause: Duration,
}

impl Default for RollingRestart {
    fn default() -> RollingRestart {
        RollingRestart {
            release: None,
            grace: ten_seconds(),
            down: Duration::from_secs(2),
            pause: Duration::from_secs(5),
        }
    }
}
