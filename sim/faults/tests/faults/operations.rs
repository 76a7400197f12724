//! What operators do: one node after the other, when the budget bears it, and who is a member.

use std::cell::RefCell;
use std::collections::BTreeSet;
use std::time::Duration;

use sim_faults::{
    Action, Budget, BudgetSpec, Durability, Event, Fault, FaultSpec, Operation, Planned,
    ProcessFault, Quiet, Refusal, RollingRestart, Schedule, Target, TargetResolver,
};

use crate::support::{Cluster, names};

const SECOND: u64 = 1_000_000_000;

/// Three brokers of which `up` run; node4 is spare; releases below 4.1 cannot run while `raised`.
struct Deployed {
    up: RefCell<BTreeSet<String>>,
    raised: bool,
}

impl TargetResolver for Deployed {
    fn nodes(&self) -> Vec<String> {
        names(3)
    }
    fn leader(&self, topic: &str, partition: i32) -> Option<String> {
        Cluster { nodes: 3 }.leader(topic, partition)
    }
    fn followers(&self, topic: &str, partition: i32) -> Vec<String> {
        Cluster { nodes: 3 }.followers(topic, partition)
    }
    fn controller(&self) -> Option<String> {
        None
    }
    fn group_coordinator(&self, _: &str) -> Option<String> {
        None
    }
    fn transaction_coordinator(&self, _: &str) -> Option<String> {
        None
    }
    fn partitions(&self) -> Vec<(String, i32)> {
        Vec::new()
    }
    fn spares(&self) -> Vec<String> {
        vec!["node4".into()]
    }
    fn removable(&self) -> Vec<String> {
        names(3)
    }
    fn is_up(&self, node: &str) -> bool {
        self.up.borrow().contains(node)
    }
    fn can_run(&self, release: &str) -> bool {
        !self.raised || release == "4.1"
    }
}

fn deployed(raised: bool) -> Deployed {
    Deployed {
        up: RefCell::new(names(3).into_iter().collect()),
        raised,
    }
}

fn budget() -> Budget {
    Budget::new(BudgetSpec {
        durability: Durability::Replicated,
        min_insync_replicas: 2,
        replication_factor: 3,
        voters: names(3).into_iter().collect(),
        max_down: Some(1),
        ..BudgetSpec::default()
    })
}

fn rolling(release: &str) -> FaultSpec {
    let restart = RollingRestart {
        release: Some(release.into()),
        down: Duration::from_secs(1),
        pause: Duration::from_secs(2),
        ..RollingRestart::default()
    };
    FaultSpec::once(
        Duration::from_secs(1),
        Planned::On(Target::All, Action::RollingRestart(restart)),
    )
}

fn schedule(specs: Vec<FaultSpec>) -> Schedule {
    Schedule::new([7; 32], specs, None, budget())
}

/// Plays to the end of the second; processes obey at once.
fn play(schedule: &mut Schedule, second: u64, cluster: &Deployed) -> Vec<String> {
    let mut lines = Vec::new();
    while let Some(at) = schedule.next_at().filter(|at| *at <= second * SECOND) {
        for event in schedule.due(at, cluster) {
            let Event::Apply(fault) = event else {
                panic!("{event:?}");
            };
            if let Fault::Process { node, fault } = &fault {
                match fault {
                    ProcessFault::Start => cluster.up.borrow_mut().insert(node.clone()),
                    _ => cluster.up.borrow_mut().remove(node),
                };
            }
            lines.push(format!("{} {fault}", at / 1_000_000));
        }
    }
    lines
}

#[test]
fn a_rolling_restart_takes_one_node_after_the_other() {
    let mut schedule = schedule(vec![rolling("4.1")]);
    assert_eq!(
        play(&mut schedule, 30, &deployed(true)),
        [
            "1000 node1: release 4.1 installed",
            "1000 node1: controlled stop within 10s",
            "2000 node1: start",
            "4000 node2: release 4.1 installed",
            "4000 node2: controlled stop within 10s",
            "5000 node2: start",
            "7000 node3: release 4.1 installed",
            "7000 node3: controlled stop within 10s",
            "8000 node3: start",
        ]
    );
}

#[test]
fn it_waits_while_another_node_is_down_and_while_the_release_could_not_run() {
    let mut one = schedule(vec![rolling("4.1")]);
    one.budget_mut().observed("node3", false);
    assert_eq!(play(&mut one, 5, &deployed(true)), [""; 0]);
    one.budget_mut().observed("node3", true);
    assert!(!play(&mut one, 6, &deployed(true)).is_empty());

    let mut old = schedule(vec![rolling("4.0")]);
    assert_eq!(play(&mut old, 5, &deployed(true)), [""; 0]);
    assert!(!play(&mut old, 6, &deployed(false)).is_empty());
}

#[test]
fn a_node_that_is_still_stopping_is_not_started_yet() {
    let mut schedule = schedule(vec![rolling("4.1")]);
    let cluster = deployed(false);
    assert_eq!(schedule.due(SECOND, &cluster).len(), 2);
    // It takes its time.
    assert_eq!(schedule.due(4 * SECOND, &cluster), []);
    cluster.up.borrow_mut().remove("node1");
    let lines = play(&mut schedule, 5, &cluster);
    assert!(lines[0].ends_with("node1: start"), "{lines:?}");
}

#[test]
fn brokers_are_drawn_from_those_who_can_come_or_go() {
    let action =
        |at, action| FaultSpec::once(Duration::from_secs(at), Planned::On(Target::Random, action));
    let removal = action(2, Action::RemoveBroker).lasting(Duration::from_secs(3));
    let mut schedule = schedule(vec![action(1, Action::AddBroker), removal]);
    let lines = play(&mut schedule, 10, &deployed(false));
    assert_eq!(lines.len(), 3, "{lines:?}");
    assert_eq!(lines[0], "1000 node4: added as broker");
    assert!(lines[1].contains("removed as broker within 10s"));
    assert!(lines[2].starts_with("5000 ") && lines[2].ends_with("added as broker"));
}

fn remove(node: &str) -> Fault {
    Fault::Operation(Operation::RemoveBroker {
        node: node.into(),
        grace: Duration::from_secs(1),
    })
}

fn add(node: &str) -> Fault {
    Fault::Operation(Operation::AddBroker { node: node.into() })
}

#[test]
fn a_removed_broker_is_not_down_but_its_copies_are_missed() {
    let mut budget = budget();
    budget.admits(&remove("node1")).unwrap();
    budget.record(&remove("node1"));
    assert!(budget.down().is_empty());
    // Two replicas of three must be left.
    assert!(matches!(
        budget.admits(&remove("node2")),
        Err(Refusal::Brokers { would: 2, .. })
    ));
    // A kill loses nothing, a power loss what perhaps only the removed broker had besides.
    budget
        .admits(&Fault::process("node2", ProcessFault::Kill))
        .unwrap();
    let power = Fault::process("node2", ProcessFault::PowerLoss);
    assert!(matches!(
        budget.admits(&power),
        Err(Refusal::LogData { .. })
    ));
    budget.record(&add("node1"));
    assert!(budget.admits(&power).is_err());
    assert!(budget.behind().contains("node1"));
    budget.caught_up("node1");
    budget.admits(&power).unwrap();
}

#[test]
fn a_removed_broker_is_not_healed() {
    let mut schedule = schedule(Vec::new());
    schedule
        .budget_mut()
        .record(&Fault::process("node1", ProcessFault::Kill));
    schedule.budget_mut().record(&remove("node1"));
    let healing = schedule.quiet(Quiet::HealAll, &deployed(false));
    assert_eq!(healing, [Fault::HealAll]);
}

#[test]
fn the_quorum_keeps_a_living_majority() {
    let voter = |node: &str, add: bool| {
        let node = node.to_owned();
        Fault::Operation(match add {
            true => Operation::AddVoter { node },
            false => Operation::RemoveVoter { node },
        })
    };
    let mut budget = budget();
    budget.admits(&voter("node4", true)).unwrap();
    budget.record(&Fault::process("node1", ProcessFault::Kill));
    // node2 and node3 of two are all alive, of node1 and node2 only one would be.
    budget.admits(&voter("node1", false)).unwrap();
    assert!(matches!(
        budget.admits(&voter("node3", false)),
        Err(Refusal::Voters {
            would: 1,
            voters: 2,
            ..
        })
    ));
    budget.record(&voter("node1", false));
    assert!(!budget.spec().voters.contains("node1"));
}
