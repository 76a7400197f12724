//! Scenarios for Rust tests: the same as a file's, built in a line and run in another.

use std::collections::BTreeMap;
use std::time::Duration;

use sim_disk::DiskOptions;
use sim_faults::{Chaos, Durability, FaultSpec, NetworkOptions};

use sim_workloads::{WorkloadKind, WorkloadSpec};

use crate::application::{Application, Check};

use super::{Cluster, Expect, Heal, Layout, Scenario, Topic};

/// Builds a [`Scenario`]; what is not said is as in a file that does not say it. Three combined nodes,
/// no topic, ten simulated seconds, no faults.
#[derive(Clone, Debug)]
pub struct ScenarioBuilder {
    scenario: Scenario,
}

impl ScenarioBuilder {
    pub(super) fn new(name: &str) -> ScenarioBuilder {
        let config = [super::STANDARD_PROPERTY];
        ScenarioBuilder {
            scenario: Scenario {
                name: name.to_owned(),
                description: String::new(),
                cluster: Cluster {
                    layout: Layout::Combined(3),
                    config: owned(&config),
                    log_dirs: 1,
                    racks: Vec::new(),
                    spare_brokers: 0,
                    spare_controllers: 0,
                    dynamic_quorum: false,
                    releases: BTreeMap::new(),
                },
                topics: Vec::new(),
                workloads: Vec::new(),
                faults: Vec::new(),
                chaos: None,
                durability: Durability::default(),
                max_down: None,
                skips_refused: false,
                duration: Duration::from_secs(10),
                quiet: Duration::from_secs(60),
                heal: Heal::All,
                restart_delay: Duration::from_secs(1),
                seed: None,
                network: NetworkOptions::default(),
                disk: DiskOptions::default(),
                expect: Expect::default(),
                applications: Vec::new(),
                checks: Vec::new(),
            },
        }
    }

    /// Combined nodes.
    pub fn nodes(mut self, count: u32) -> ScenarioBuilder {
        self.scenario.cluster.layout = Layout::Combined(count);
        self
    }

    /// Brokers and controllers apart.
    pub fn roles(mut self, brokers: u32, controllers: u32) -> ScenarioBuilder {
        self.scenario.cluster.layout = Layout::Separate {
            brokers,
            controllers,
        };
        self
    }

    /// A broker property by Kafka's name.
    pub fn config(mut self, name: &str, value: &str) -> ScenarioBuilder {
        let config = &mut self.scenario.cluster.config;
        config.insert(name.to_owned(), value.to_owned());
        self
    }

    pub fn topic(
        mut self,
        name: &str,
        partitions: i32,
        replicas: i16,
        config: &[(&str, &str)],
    ) -> ScenarioBuilder {
        self.scenario.topics.push(Topic {
            name: name.to_owned(),
            partitions,
            replicas,
            assignment: Vec::new(),
            config: owned(config),
        });
        self
    }

    /// One producer with acks=all, so many records per second, and one consumer, on all topics so far.
    pub fn produce_consume(self, rate: u32) -> ScenarioBuilder {
        let topics = self.scenario.topics.iter();
        let topics = topics.map(|topic| topic.name.clone()).collect();
        self.workload(WorkloadSpec {
            kind: WorkloadKind::ProduceConsume,
            topics,
            rate,
            ..WorkloadSpec::default()
        })
    }

    pub fn workload(mut self, workload: WorkloadSpec) -> ScenarioBuilder {
        self.scenario.workloads.push(workload);
        self
    }

    pub fn fault(mut self, fault: FaultSpec) -> ScenarioBuilder {
        self.scenario.faults.push(fault);
        self
    }

    pub fn chaos(mut self, chaos: Chaos) -> ScenarioBuilder {
        self.scenario.chaos = Some(chaos);
        self
    }

    pub fn durability(mut self, durability: Durability) -> ScenarioBuilder {
        self.scenario.durability = durability;
        self
    }

    /// A program on a host of its own, started when the topics are there.
    pub fn application(mut self, application: Application) -> ScenarioBuilder {
        self.scenario.applications.push(application);
        self
    }

    /// What must be true when all faults are over, programs have ended and the cluster is at rest.
    pub fn check(mut self, check: Check) -> ScenarioBuilder {
        self.scenario.checks.push(check);
        self
    }

    /// Of the fault phase, simulated.
    pub fn duration(mut self, duration: Duration) -> ScenarioBuilder {
        self.scenario.duration = duration;
        self
    }

    pub fn build(self) -> Scenario {
        self.scenario
    }
}

fn owned(pairs: &[(&str, &str)]) -> BTreeMap<String, String> {
    let pairs = pairs.iter();
    pairs
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
        .collect()
}
