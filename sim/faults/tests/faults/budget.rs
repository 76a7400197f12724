//! The budget lets through what a promise covers and nothing else.

use std::collections::BTreeSet;

use sim_faults::{
    Budget, BudgetSpec, DiskFault, Durability, Fault, Operation, ProcessFault, Refusal, Strikes,
};

use crate::support::names;

fn budget(durability: Durability, min_insync_replicas: u32, voters: usize) -> Budget {
    Budget::new(BudgetSpec {
        durability,
        min_insync_replicas,
        voters: names(voters).into_iter().collect(),
        ..BudgetSpec::default()
    })
}

fn power_loss(node: &str) -> Fault {
    Fault::process(node, ProcessFault::PowerLoss)
}

fn wiped(node: &str) -> Fault {
    Fault::disk(node, DiskFault::Wiped)
}

#[test]
fn replicated_data_bear_one_loss_less_than_min_insync_replicas() {
    let mut budget = budget(Durability::Replicated, 2, 0);
    budget.admits(&power_loss("node1")).unwrap();
    budget.record(&power_loss("node1"));
    assert!(matches!(
        budget.admits(&power_loss("node2")),
        Err(Refusal::LogData { would: 2, .. })
    ));
    assert!(budget.admits(&wiped("node2")).is_err());
    budget.admits(&power_loss("node1")).unwrap();
    // Being up again is not enough, having caught up is.
    budget.record(&Fault::process("node1", ProcessFault::Start));
    assert!(budget.admits(&power_loss("node2")).is_err());
    budget.caught_up("node1");
    budget.admits(&power_loss("node2")).unwrap();
}

/// KIP-966: an unclean end counts as a loss as soon as somebody really lost data.
#[test]
fn unclean_ends_are_free_until_data_are_lost() {
    let kill = |node: &str| Fault::process(node, ProcessFault::Kill);
    let mut budget = budget(Durability::Replicated, 2, 0);
    for node in ["node1", "node2", "node3"] {
        budget.admits(&kill(node)).unwrap();
        budget.record(&kill(node));
    }
    assert!(budget.admits(&power_loss("node1")).is_err());
    budget.caught_up("node2");
    budget.caught_up("node3");
    budget.admits(&power_loss("node1")).unwrap();
    budget.record(&power_loss("node1"));
    assert!(matches!(
        budget.admits(&kill("node2")),
        Err(Refusal::LogData { would: 2, .. })
    ));
    budget.caught_up("node1");
    budget.admits(&kill("node2")).unwrap();
}

#[test]
fn with_min_insync_replicas_1_no_loss_is_in_the_budget() {
    let budget = budget(Durability::Replicated, 1, 0);
    assert!(budget.admits(&power_loss("node1")).is_err());
    budget
        .admits(&Fault::process("node1", ProcessFault::Kill))
        .unwrap();
}

#[test]
fn flushed_data_bear_any_power_loss_but_not_a_lost_disk() {
    let mut budget = budget(Durability::Flushed, 1, 3);
    budget
        .admits_all(&[
            power_loss("node1"),
            power_loss("node2"),
            power_loss("node3"),
        ])
        .unwrap();
    assert!(budget.admits(&wiped("node4")).is_err());
    // After a sync that lied even fsynced data may go.
    let lie = Fault::disk("node4", DiskFault::LyingSync(Strikes::once("*")));
    budget.admits(&lie).unwrap();
    budget.record(&lie);
    assert!(matches!(
        budget.admits(&power_loss("node4")),
        Err(Refusal::LogData { .. })
    ));
    budget.admits(&power_loss("node5")).unwrap();
}

#[test]
fn a_fault_that_goes_on_cannot_be_caught_up_with() {
    let mut budget = budget(Durability::Replicated, 2, 0);
    let lost = Fault::disk("node1", DiskFault::LostWrite(Strikes::default()));
    budget.record(&lost);
    budget.caught_up("node1");
    assert!(budget.lossy().contains("node1"));
    budget.record(&Fault::Heal(Box::new(lost)));
    budget.caught_up("node1");
    assert!(budget.lossy().is_empty());
}

#[test]
fn a_minority_of_voters_may_lose_its_disk_and_none_may_forget_in_place() {
    let mut budget = budget(Durability::Replicated, 4, 3);
    budget.admits(&power_loss("node1")).unwrap();
    budget.record(&wiped("node1"));
    assert!(matches!(
        budget.admits(&wiped("node2")),
        Err(Refusal::Quorum {
            would: 2,
            voters: 3,
            ..
        })
    ));
    budget.admits(&wiped("node4")).unwrap();
    budget.caught_up("node1");
    assert!(budget.admits(&wiped("node2")).is_err());
    budget.voter_caught_up("node1");
    budget.admits(&wiped("node2")).unwrap();

    let rot = |files: &str| {
        Fault::disk(
            "node2",
            DiskFault::BitRot {
                files: files.into(),
                bits: 1,
            },
        )
    };
    assert!(matches!(
        budget.admits(&rot("*.log")),
        Err(Refusal::Quorum { .. })
    ));
    budget.admits(&rot("*/t-0/*.log")).unwrap();
    budget.record(&Fault::disk(
        "node2",
        DiskFault::SyncError(Strikes::once("*")),
    ));
    assert!(matches!(
        budget.admits(&power_loss("node2")),
        Err(Refusal::Quorum { .. })
    ));
}

#[test]
fn static_voters_may_not_lose_their_disks() {
    let spec = BudgetSpec {
        min_insync_replicas: 3,
        voters: names(3).into_iter().collect(),
        dynamic_voters: false,
        ..BudgetSpec::default()
    };
    let budget = Budget::new(spec);
    assert!(budget.admits(&wiped("node1")).is_err());
    budget.admits(&wiped("node4")).unwrap();
}

#[test]
fn down_nodes_are_limited() {
    let mut budget = Budget::new(BudgetSpec {
        max_down: Some(1),
        ..BudgetSpec::default()
    });
    let kill = |node: &str| Fault::process(node, ProcessFault::Kill);
    budget.record(&kill("node1"));
    assert!(matches!(
        budget.admits(&kill("node2")),
        Err(Refusal::Down {
            would: 2,
            limit: 1,
            ..
        })
    ));
    assert!(
        budget
            .admits(&Fault::process("node2", ProcessFault::Pause))
            .is_err()
    );
    budget.admits(&kill("node1")).unwrap();
    budget.record(&Fault::process("node1", ProcessFault::Start));
    budget.admits(&kill("node2")).unwrap();
    budget.observed("node3", false);
    assert!(budget.admits(&kill("node2")).is_err());
}

#[test]
fn unlimited_admits_everything() {
    let budget = budget(Durability::Unlimited, 1, 3);
    budget
        .admits_all(&[
            wiped("node1"),
            wiped("node2"),
            wiped("node3"),
            power_loss("node1"),
        ])
        .unwrap();
}

#[test]
fn healing_starts_the_dead_and_those_that_a_failed_disk_ended() {
    let mut budget = budget(Durability::Replicated, 2, 3);
    budget.record(&Fault::process("node1", ProcessFault::Kill));
    budget.record(&Fault::disk(
        "node2",
        DiskFault::WriteError(Strikes::once("*")),
    ));
    budget.record(&Fault::process("node3", ProcessFault::Pause));
    let faults: Vec<String> = budget
        .heal_all(&BTreeSet::new())
        .iter()
        .map(Fault::to_string)
        .collect();
    assert_eq!(faults, ["heal all", "node1: start", "node2: start"]);
    let faults = budget.heal_all(&BTreeSet::from(["node1".into()]));
    assert_eq!(faults.last().unwrap().to_string(), "node2: start");
    assert_eq!(faults.len(), 2);
}

#[test]
fn a_lawful_core_has_a_majority_of_voters_and_spare_replicas() {
    let mut budget = budget(Durability::Replicated, 2, 3);
    let gone = |names: &[&str]| {
        names
            .iter()
            .map(|name| (*name).to_owned())
            .collect::<BTreeSet<_>>()
    };
    assert!(budget.may_stay_down(&gone(&["node1"]), 3));
    assert!(!budget.may_stay_down(&gone(&["node1", "node2"]), 5));
    assert!(!budget.may_stay_down(&gone(&["node1"]), 2));
    assert!(budget.may_stay_down(&gone(&["node4", "node1"]), 4));
    budget.record(&power_loss("node2"));
    assert!(!budget.may_stay_down(&gone(&["node1"]), 3));
}

#[test]
fn the_disks_of_nodes_without_partitions_take_no_records() {
    let mut budget = Budget::new(BudgetSpec {
        min_insync_replicas: 2,
        voters: names(3).into_iter().collect(),
        without_logs: names(3).into_iter().collect(),
        ..BudgetSpec::default()
    });
    budget.record(&wiped("node4"));
    assert!(budget.admits(&wiped("node5")).is_err());
    budget.admits(&power_loss("node2")).unwrap();
    budget.record(&wiped("node1"));
    assert_eq!(budget.lossy().iter().collect::<Vec<_>>(), ["node4"]);
    assert!(budget.lossy_voters().contains("node1"));
    // One that is being replaced is neither added nor removed by anybody else.
    let operation = Operation::RemoveVoter {
        node: "node1".into(),
    };
    assert!(budget.admits(&Fault::Operation(operation)).is_err());
}
