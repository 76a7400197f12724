//! What a scenario says that it need not say: each taken back to what a file without it means.

use sim_disk::DiskOptions;
use sim_faults::{Durability, NetworkOptions};
use sim_workloads::WorkloadSpec;

use crate::scenario::{Heal, STANDARD_PROPERTY, Scenario};

/// Takes one thing back.
pub(super) type Step = Box<dyn Fn(&mut Scenario)>;

/// A workload's settings beside its kind, topics, clients and rate.
const SETTINGS: &[fn(&mut WorkloadSpec, WorkloadSpec)] = &[
    |spec, standard| spec.outstanding = standard.outstanding,
    |spec, standard| spec.record_size = standard.record_size,
    |spec, standard| spec.keys = standard.keys,
    |spec, standard| spec.headers = standard.headers,
    |spec, standard| spec.acks = standard.acks,
    |spec, standard| spec.linger_ms = standard.linger_ms,
    |spec, standard| spec.batch_size = standard.batch_size,
    |spec, standard| spec.max_in_flight = standard.max_in_flight,
    |spec, standard| spec.compression = standard.compression,
    |spec, standard| spec.idempotence = standard.idempotence,
    |spec, standard| spec.read_committed = standard.read_committed,
    |spec, standard| spec.transaction_timeout_ms = standard.transaction_timeout_ms,
    |spec, standard| spec.client_rack = standard.client_rack,
    |spec, standard| spec.group_protocol = standard.group_protocol,
    |spec, standard| spec.request_timeout_ms = standard.request_timeout_ms,
    |spec, standard| spec.delivery_timeout_ms = standard.delivery_timeout_ms,
    |spec, standard| spec.max_poll_records = standard.max_poll_records,
    |spec, standard| spec.fetch_max_wait_ms = standard.fetch_max_wait_ms,
    |spec, standard| spec.observe_interval_ms = standard.observe_interval_ms,
    |spec, standard| spec.finish_timeout_ms = standard.finish_timeout_ms,
];

const OTHERS: &[fn(&mut Scenario)] = &[
    |it| it.network = NetworkOptions::default(),
    |it| it.disk = DiskOptions::default(),
    |it| it.cluster.racks.clear(),
    |it| it.cluster.log_dirs = 1,
    |it| it.cluster.releases.clear(),
    |it| it.cluster.dynamic_quorum = false,
    |it| it.cluster.spare_brokers = 0,
    |it| it.cluster.spare_controllers = 0,
    |it| it.max_down = None,
    |it| it.heal = Heal::All,
    |it| it.restart_delay = std::time::Duration::from_secs(1),
];

/// What a scenario rests on that promises that acknowledged records survive a power loss of all.
const FLUSHES: &[&str] = &[
    "flush.messages",
    "flush.ms",
    "log.flush.interval.messages",
    "log.flush.interval.ms",
];

/// Without it the correct code would fail, too.
fn is_promised(scenario: &Scenario, property: &str) -> bool {
    scenario.durability == Durability::Flushed && FLUSHES.contains(&property)
}

/// All that changes something.
pub(super) fn steps(scenario: &Scenario) -> Vec<Step> {
    let text = scenario.to_toml();
    let changes = |step: &Step| {
        let mut changed = scenario.clone();
        step(&mut changed);
        changed.to_toml() != text
    };
    let all = properties(scenario)
        .chain(settings(scenario))
        .chain(OTHERS.iter().map(|step| Box::new(*step) as Step));
    all.filter(changes).collect()
}

fn properties(scenario: &Scenario) -> impl Iterator<Item = Step> + use<> {
    let of_cluster = scenario.cluster.config.keys().cloned();
    let of_cluster =
        of_cluster.filter(|name| name != STANDARD_PROPERTY.0 && !is_promised(scenario, name));
    let mut steps: Vec<Step> = of_cluster
        .map(|name| {
            Box::new(move |it: &mut Scenario| {
                it.cluster.config.remove(&name);
            }) as Step
        })
        .collect();
    for (index, topic) in scenario.topics.iter().enumerate() {
        let own = topic.config.keys();
        for name in own.filter(|name| !is_promised(scenario, name)) {
            let name = name.clone();
            steps.push(Box::new(move |it: &mut Scenario| {
                it.topics[index].config.remove(&name);
            }));
        }
    }
    steps.into_iter()
}

fn settings(scenario: &Scenario) -> impl Iterator<Item = Step> + use<> {
    let workloads = 0..scenario.workloads.len();
    workloads.flat_map(|index| {
        SETTINGS.iter().map(move |reset| {
            Box::new(move |it: &mut Scenario| {
                reset(&mut it.workloads[index], WorkloadSpec::default());
            }) as Step
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn plain(durability: Durability) -> Scenario {
        let config = [("flush.messages", "1"), ("min.insync.replicas", "2")];
        let builder = Scenario::builder("s").topic("t", 1, 2, &config);
        let mut scenario = builder.config("log.flush.interval.ms", "1").build();
        scenario.durability = durability;
        for step in steps(&scenario) {
            step(&mut scenario);
        }
        scenario
    }

    #[test]
    fn what_the_promise_of_the_scenario_rests_on_stays() {
        let flushed = plain(Durability::Flushed);
        let left: Vec<&String> = flushed.topics[0].config.keys().collect();
        assert_eq!(left, ["flush.messages"]);
        assert!(flushed.cluster.config.contains_key("log.flush.interval.ms"));
        let replicated = plain(Durability::Replicated);
        assert!(replicated.topics[0].config.is_empty());
        assert_eq!(replicated.cluster.config.len(), 1);
    }
}
