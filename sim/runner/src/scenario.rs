//! What a run consists of: a cluster, topics, clients, faults and limits. Names no engine.
//!
//! A scenario comes from a TOML file (`file` what may stand in it, `parse` how it is read and checked,
//! `find` where it is) or from a [`builder`]. Errors of a file name file, line, column and what was
//! probably meant.

pub mod builder;
pub mod error;
pub mod file;
pub mod find;
mod members;
mod parse;
mod strict;
mod write;

use std::collections::BTreeMap;
use std::time::Duration;

use crate::application::{Application, Check};
use broker_server::config::{BrokerConfig, ConfigError};
use sim_disk::DiskOptions;
use sim_faults::{Chaos, Durability, FaultSpec, NetworkOptions};
use sim_workloads::WorkloadSpec;

pub use builder::ScenarioBuilder;
pub use error::ScenarioError;
pub use file::Heal;
pub(crate) use write::fault_entry;
pub use write::in_words;

/// Everything a run is made of but its seed and its engine.
#[derive(Clone, Debug)]
pub struct Scenario {
    pub name: String,
    pub description: String,
    pub cluster: Cluster,
    pub topics: Vec<Topic>,
    pub workloads: Vec<WorkloadSpec>,
    pub faults: Vec<FaultSpec>,
    pub chaos: Option<Chaos>,
    pub durability: Durability,
    /// Nodes down or paused at the same time at most.
    pub max_down: Option<u32>,
    /// Planned faults outside of the budget are not done; otherwise they are an error of the scenario.
    pub skips_refused: bool,
    /// Of the fault phase, simulated.
    pub duration: Duration,
    /// Bound on the quiet phase, simulated.
    pub quiet: Duration,
    pub heal: Heal,
    /// A supervisor starts a process that ended by itself after this time.
    pub restart_delay: Duration,
    /// What `trial run` takes when it is given none: one that showed what the scenario is kept for.
    pub seed: Option<u64>,
    pub network: NetworkOptions,
    pub disk: DiskOptions,
    pub expect: Expect,
    /// Programs of others; none in a scenario that was read from a file.
    pub applications: Vec<Application>,
    /// What must be true when they have ended.
    pub checks: Vec<Check>,
}

/// The nodes: each with one role, or with both.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Cluster {
    pub layout: Layout,
    /// Broker properties by Kafka's names, on every node.
    pub config: BTreeMap<String, String>,
    /// Log directories of each node; the first has the metadata log.
    pub log_dirs: u32,
    /// `broker.rack` of the nodes, in turn; none if empty.
    pub racks: Vec<String>,
    /// Brokers behind all other nodes that are there but no members until they are added.
    pub spare_brokers: u32,
    /// Controllers behind those that run from the start but are no voters until they are added.
    pub spare_controllers: u32,
    /// The first voters are in the log, under directory ids (KIP-853): then one that loses its disk can be replaced.
    pub dynamic_quorum: bool,
    /// Releases of nodes that are not of the newest, or of that in `config`.
    pub releases: BTreeMap<String, String>,
}

/// Who is what. Nodes are `node1` …, controllers after brokers.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Layout {
    Combined(u32),
    Separate { brokers: u32, controllers: u32 },
}

/// A topic that exists before the clients start.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Topic {
    pub name: String,
    pub partitions: i32,
    pub replicas: i16,
    /// Ids of the replicas of each partition, the preferred leader first; empty: where the controller puts them.
    pub assignment: Vec<Vec<i32>>,
    /// Topic properties by Kafka's names.
    pub config: BTreeMap<String, String>,
}

/// What a run must have shown, beside that nothing broke.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Expect {
    /// Ids evaluated at least once.
    pub invariants: Vec<String>,
    /// Names hit at least once.
    pub probes: Vec<String>,
}

/// One node as the scenario lays it out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NodeSpec {
    pub id: i32,
    pub name: String,
    pub is_broker: bool,
    pub is_controller: bool,
    /// No member until it is added.
    pub is_spare: bool,
    /// A voter of the metadata quorum from the start.
    pub is_voter: bool,
}

const UNCLEAN_ELECTION: &str = "unclean.leader.election.enable";

/// Where brokers listen, simulated.
pub const BROKER_PORT: u16 = 9092;
/// Where controllers listen, simulated.
pub const CONTROLLER_PORT: u16 = 9093;

impl Scenario {
    /// Starts a scenario for a test; see [`ScenarioBuilder`].
    pub fn builder(name: &str) -> ScenarioBuilder {
        ScenarioBuilder::new(name)
    }

    /// Reads and checks a scenario's text; `file` is for messages and for the default name.
    ///
    /// # Errors
    /// See [`ScenarioError`].
    pub fn parse(file: &str, text: &str) -> Result<Scenario, ScenarioError> {
        parse::parse(file, text)
    }

    /// Its file's text: what is not said is as without saying it.
    ///
    /// # Panics
    /// It has random faults: only fixed ones are written.
    pub fn to_toml(&self) -> String {
        write::text(self)
    }

    /// The smallest `min.insync.replicas` of all topics.
    pub fn min_insync_replicas(&self) -> u32 {
        let of = |topic: &Topic| {
            let value = topic.config.get("min.insync.replicas");
            let value = value.or_else(|| self.cluster.config.get("min.insync.replicas"));
            value.and_then(|value| value.parse().ok()).unwrap_or(1)
        };
        self.topics.iter().map(of).min().unwrap_or(1)
    }

    /// Whether logs lose what is old or too much.
    pub fn deletes_records(&self) -> bool {
        let limits = |name: &String| name.contains("retention.");
        let mut topics = self.topics.iter();
        topics.any(|topic| topic.config.keys().any(limits))
            || self.cluster.config.keys().any(limits)
    }

    /// Whether a replica may lead that lacks what was committed.
    pub fn allows_unclean_elections(&self) -> bool {
        let mut configs = self.topics.iter().map(|topic| &topic.config);
        let allows = |value: &String| value == "true";
        let own =
            |config: &BTreeMap<String, String>| config.get(UNCLEAN_ELECTION).is_some_and(allows);
        configs.any(own)
            || self
                .cluster
                .config
                .get(UNCLEAN_ELECTION)
                .is_some_and(allows)
    }

    /// The smallest replication factor of all topics.
    pub fn replication_factor(&self) -> u32 {
        let factors = self.topics.iter().map(|topic| topic.replicas);
        u32::try_from(factors.min().unwrap_or(1)).unwrap_or(1)
    }
}

impl Cluster {
    pub fn nodes(&self) -> Vec<NodeSpec> {
        let (brokers, controllers, combined) = match self.layout {
            Layout::Combined(count) => (count, 0, true),
            Layout::Separate {
                brokers,
                controllers,
            } => (brokers, controllers, false),
        };
        let members = brokers + controllers;
        let all_brokers = members + self.spare_brokers;
        (1..=all_brokers + self.spare_controllers)
            .map(|number| {
                let is_spare = (members + 1..=all_brokers).contains(&number);
                let is_voter = number <= members && (combined || number > brokers);
                NodeSpec {
                    id: i32::try_from(number).expect("checked: at most 64 nodes of a kind"),
                    name: format!("node{number}"),
                    is_broker: number <= brokers || is_spare,
                    is_controller: is_voter || number > all_brokers,
                    is_spare,
                    is_voter,
                }
            })
            .collect()
    }

    /// Those that are it from the start.
    pub fn voters(&self) -> Vec<NodeSpec> {
        let nodes = self.nodes().into_iter();
        nodes.filter(|node| node.is_voter).collect()
    }

    /// Those that are there from the start.
    pub fn brokers(&self) -> Vec<NodeSpec> {
        let nodes = self.nodes().into_iter();
        nodes
            .filter(|node| node.is_broker && !node.is_spare)
            .collect()
    }

    /// The configuration of one node.
    ///
    /// # Errors
    /// A property of the scenario that is wrong, by name.
    pub fn broker_config(&self, node: &NodeSpec) -> Result<BrokerConfig, ConfigError> {
        let reserved = self.reserved(node);
        let own = self.config.iter();
        let own = own.map(|(name, value)| (name.as_str(), value.as_str()));
        let reserved = reserved.iter().map(|(name, value)| (*name, value.as_str()));
        BrokerConfig::from_pairs(own.chain(reserved))
    }

    /// Properties that the testbed sets.
    fn reserved(&self, node: &NodeSpec) -> Vec<(&'static str, String)> {
        // A controller that may become a voter learns from the quorum who they are (KIP-853).
        let finds_voters = self.dynamic_quorum || (node.is_controller && !node.is_voter);
        let voter = |voter: &NodeSpec| match finds_voters {
            true => format!("{}:{CONTROLLER_PORT}", voter.name),
            false => format!("{}@{}:{CONTROLLER_PORT}", voter.id, voter.name),
        };
        let quorum = match finds_voters {
            true => "controller.quorum.bootstrap.servers",
            false => "controller.quorum.voters",
        };
        let voters: Vec<String> = self.voters().iter().map(voter).collect();
        let mut roles = Vec::new();
        let mut listeners = Vec::new();
        if node.is_broker {
            roles.push("broker");
            listeners.push(format!("PLAINTEXT://{}:{BROKER_PORT}", node.name));
        }
        if node.is_controller {
            roles.push("controller");
            listeners.push(format!("CONTROLLER://{}:{CONTROLLER_PORT}", node.name));
        }
        let others = (1..self.log_dirs).map(|number| format!(",/data{number}"));
        let turn = usize::try_from(node.id - 1).expect("ids begin at 1");
        let rack = match self.racks.len() {
            0 => String::new(),
            racks => self.racks[turn % racks].clone(),
        };
        vec![
            ("broker.rack", rack),
            ("node.id", node.id.to_string()),
            ("process.roles", roles.join(",")),
            (quorum, voters.join(",")),
            ("listeners", listeners.join(",")),
            ("log.dirs", "/data".to_owned() + &others.collect::<String>()),
        ]
    }
}

/// Topics are what the scenario says they are.
pub const STANDARD_PROPERTY: (&str, &str) = ("auto.create.topics.enable", "false");

/// Properties a scenario may not set: they follow from its layout.
pub const RESERVED_PROPERTIES: &[&str] = &[
    "node.id",
    "process.roles",
    "controller.quorum.voters",
    "controller.quorum.bootstrap.servers",
    "listeners",
    "advertised.listeners",
    "log.dirs",
    "log.dir",
    "broker.rack",
];
