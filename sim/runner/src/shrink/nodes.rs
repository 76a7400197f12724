//! The same scenario without one of its nodes: those behind it move up, and faults on it go.

use sim_faults::plan::Planned;
use sim_faults::{Fault, FaultSpec, NetworkFault};
use toml::Value;

use super::parts::limit_replicas;
use crate::scenario::{Cluster, Layout, Scenario, Topic};

/// One for each node that may go.
pub(super) fn without_one(scenario: &Scenario) -> Vec<Scenario> {
    let nodes = scenario.cluster.nodes();
    let numbers = nodes.iter().map(|node| node.id).rev();
    numbers
        .filter_map(|number| without(scenario, number))
        .collect()
}

fn without(scenario: &Scenario, gone: i32) -> Option<Scenario> {
    let cluster = smaller(&scenario.cluster, gone)?;
    let brokers = i16::try_from(cluster.brokers().len()).ok()?;
    let faults = scenario.faults.iter();
    Some(Scenario {
        faults: faults
            .filter_map(|spec| fault_without(spec, gone))
            .collect(),
        topics: scenario
            .topics
            .iter()
            .map(|topic| topic_without(topic, gone, brokers))
            .collect(),
        cluster,
        ..scenario.clone()
    })
}

/// None if it would have no node of the kind left.
fn smaller(cluster: &Cluster, gone: i32) -> Option<Cluster> {
    let node = cluster.nodes().into_iter().find(|node| node.id == gone)?;
    let mut smaller = cluster.clone();
    let count = match (&mut smaller.layout, node.is_broker) {
        _ if node.is_spare => &mut smaller.spare_brokers,
        _ if node.is_controller && !node.is_voter => &mut smaller.spare_controllers,
        (Layout::Combined(nodes), _) => nodes,
        (Layout::Separate { brokers, .. }, true) => brokers,
        (Layout::Separate { controllers, .. }, false) => controllers,
    };
    *count = count.checked_sub(1)?;
    let releases = cluster.releases.iter();
    smaller.releases = releases
        .filter_map(|(name, release)| Some((renamed(name, gone)?, release.clone())))
        .collect();
    Some(smaller)
}

fn topic_without(topic: &Topic, gone: i32, brokers: i16) -> Topic {
    let mut topic = topic.clone();
    for replicas in &mut topic.assignment {
        replicas.retain(|id| *id != gone);
        replicas
            .iter_mut()
            .for_each(|id| *id -= i32::from(*id > gone));
    }
    let fewest = topic.assignment.iter().map(Vec::len).min();
    let fewest = fewest.and_then(|fewest| i16::try_from(fewest).ok());
    limit_replicas(&mut topic, fewest.unwrap_or(brokers).min(brokers));
    topic
}

/// None if it strikes nobody any more.
fn fault_without(spec: &FaultSpec, gone: i32) -> Option<FaultSpec> {
    let Planned::Fault(fault) = &spec.planned else {
        return Some(spec.clone());
    };
    Some(FaultSpec {
        planned: Planned::Fault(struck(fault, gone)?),
        ..spec.clone()
    })
}

fn struck(fault: &Fault, gone: i32) -> Option<Fault> {
    match fault {
        Fault::Heal(fault) => Some(Fault::Heal(Box::new(struck(fault, gone)?))),
        Fault::Network(NetworkFault::Partition { sides }) => {
            let side = |side: &Vec<String>| -> Vec<String> {
                side.iter().filter_map(|node| renamed(node, gone)).collect()
            };
            let mut sides: Vec<Vec<String>> = sides.iter().map(side).collect();
            sides.retain(|side| !side.is_empty());
            let some = sides.len() > 1;
            some.then_some(Fault::Network(NetworkFault::Partition { sides }))
        }
        Fault::Network(NetworkFault::Grudge { pairs }) => {
            let pair = |(one, other): &(String, String)| {
                Some((renamed(one, gone)?, renamed(other, gone)?))
            };
            let pairs: Vec<(String, String)> = pairs.iter().filter_map(pair).collect();
            let some = !pairs.is_empty();
            some.then_some(Fault::Network(NetworkFault::Grudge { pairs }))
        }
        other => value_without(Value::try_from(other).ok()?, gone)?
            .try_into()
            .ok(),
    }
}

/// None if the node is named anywhere.
fn value_without(value: Value, gone: i32) -> Option<Value> {
    Some(match value {
        Value::String(text) => Value::String(renamed(&text, gone)?),
        Value::Table(table) => {
            let fields = table.into_iter();
            let fields = fields.map(|(key, value)| Some((key, value_without(value, gone)?)));
            Value::Table(fields.collect::<Option<toml::Table>>()?)
        }
        Value::Array(values) => {
            let values = values.into_iter().map(|value| value_without(value, gone));
            Value::Array(values.collect::<Option<Vec<Value>>>()?)
        }
        other => other,
    })
}

/// What is not the name of a node stays as it is; none for the one that is gone.
fn renamed(name: &str, gone: i32) -> Option<String> {
    let number = name
        .strip_prefix("node")
        .and_then(|number| number.parse::<i32>().ok());
    match number {
        Some(number) if number == gone => None,
        Some(number) if number > gone => Some(format!("node{}", number - 1)),
        _ => Some(name.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use sim_faults::ProcessFault;

    use super::*;

    fn told(faults: &[Fault], gone: i32) -> Vec<String> {
        let mut scenario = Scenario::builder("s")
            .nodes(4)
            .topic("t", 1, 3, &[])
            .build();
        scenario.topics[0].assignment = vec![vec![2, 4, 1]];
        let plan = |fault: &Fault| FaultSpec::once(Duration::ZERO, Planned::Fault(fault.clone()));
        scenario.faults = faults.iter().map(plan).collect();
        let smaller = without(&scenario, gone).expect("there are nodes left");
        assert_eq!(smaller.cluster.nodes().len(), 3);
        let mut told = vec![format!("{:?}", smaller.topics[0].assignment[0])];
        told.extend(smaller.faults.iter().map(|spec| spec.planned.to_string()));
        told
    }

    #[test]
    fn faults_and_replicas_follow_the_nodes() {
        let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
        let faults = [
            Fault::process("node2", ProcessFault::Kill),
            Fault::process("node4", ProcessFault::Kill),
            Fault::Network(NetworkFault::Partition {
                sides: vec![names(&["node2"]), names(&["node1", "node3"])],
            }),
            Fault::Network(NetworkFault::Partition {
                sides: vec![names(&["node1", "node2"]), names(&["node3", "node4"])],
            }),
            Fault::Network(NetworkFault::Grudge {
                pairs: vec![
                    ("node1".into(), "node2".into()),
                    ("node1".into(), "node4".into()),
                ],
            }),
            Fault::HealAll,
        ];
        let expected = [
            "[3, 1]",
            "node3: kill",
            "network: partition node1 | node2 node3",
            "network: cut node1 x node3",
            "heal all",
        ];
        assert_eq!(told(&faults, 2), expected);
    }

    #[test]
    fn the_last_node_stays() {
        let scenario = Scenario::builder("s").nodes(1).build();
        let left = without_one(&scenario);
        assert!(
            left.iter()
                .all(|it| Scenario::parse("s.toml", &it.to_toml()).is_err())
        );
    }
}
