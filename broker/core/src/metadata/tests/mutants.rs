//! Each known bug, put back, must break an invariant or give a wrong answer in its scenario; without it
//! the scenario holds.

use super::*;

type Scenario = fn() -> Result<(), String>;

const SCENARIOS: [(&str, Scenario); 15] = [
    ("M_02", two_brokers_expire_together),
    ("M_04", a_batch_that_cannot_be_appended_is_refused),
    ("M_05", new_partition_with_a_fenced_replica),
    ("M_07", producer_ids_are_given_once),
    ("M_11", a_moved_replica_ends_the_leader_epoch),
    ("R_19", fenced_replica_stays_out_of_the_isr),
    ("R_20b", unclean_restart_ends_eligibility),
    ("R_20c", last_member_leaves_the_isr),
    ("R_22", fenced_last_known_leader_is_not_elected),
    ("R_23", changed_min_insync_replicas_clears_the_elr),
    ("R_25", retried_alter_partition_succeeds),
    ("R_32", nobody_outside_the_isr_is_elected),
    ("R_35", a_sick_replica_does_not_hold_up_a_reassignment),
    ("R_35b", a_reassignment_waits_for_its_new_replicas),
    ("K_23", registration_is_enough_to_be_caught_up),
];

#[test]
fn scenarios_hold_without_the_bugs() {
    for (id, scenario) in SCENARIOS {
        scenario().unwrap_or_else(|problem| panic!("{id}: {problem}"));
    }
}

/// By a violation or a wrong answer, not by a panic on the way.
#[cfg(feature = "mutants")]
#[test]
fn each_bug_is_found() {
    for (id, scenario) in SCENARIOS {
        broker_probe::set_mutant(Some(id));
        let result = scenario();
        broker_probe::set_mutant(None);
        let problem = result.expect_err(id);
        assert!(!problem.is_empty(), "{id}");
    }
}

fn feed(world: &mut World, input: Input) -> Result<Vec<Output>, String> {
    world
        .try_feed(input)
        .map_err(|violation| violation.to_string())
}

fn expire(world: &mut World, brokers: &[i32]) -> Result<(), String> {
    feed(world, Input::SessionsExpired(nodes(brokers))).map(|_| ())
}

fn expect(holds: bool, what: &str) -> Result<(), String> {
    if holds { Ok(()) } else { Err(what.to_owned()) }
}

fn two_brokers_expire_together() -> Result<(), String> {
    let mut world = World::with_brokers(3, false, 1);
    let id = world.create_topic_on("t", &[1, 2, 3]);
    expire(&mut world, &[1, 2])?;
    expect(
        world.partition(id).isr == nodes(&[3]),
        "both must be out of the ISR",
    )
}

fn a_batch_that_cannot_be_appended_is_refused() -> Result<(), String> {
    let mut world = World::with_brokers(1, false, 1);
    let too_many = i32::try_from(MAX_RECORDS_PER_USER_OP).expect("a small number") + 1;
    let request = CreateTopicsRequest {
        topics: vec![world.topic("t", too_many, 1)],
        validate_only: false,
        random: 0,
    };
    let mut out = Vec::new();
    decide(
        &world.image,
        &mut world.soft,
        Input::CreateTopics(Ticket(0), request),
        &mut out,
    );
    let fits = |output: &Output| !matches!(output, Output::Records(records) if records.len() > MAX_RECORDS_PER_BATCH);
    expect(
        out.iter().all(fits),
        "a batch of more records than a controller can append",
    )
}

fn new_partition_with_a_fenced_replica() -> Result<(), String> {
    let mut world = World::with_brokers(2, false, 1);
    expire(&mut world, &[2])?;
    let assignments = vec![PartitionAssignment {
        partition: 0,
        replicas: nodes(&[2, 1]),
    }];
    let topic = CreatableTopic {
        assignments,
        replication_factor: -1,
        ..world.topic("t", -1, -1)
    };
    let request = CreateTopicsRequest {
        topics: vec![topic],
        validate_only: false,
        random: 0,
    };
    feed(&mut world, Input::CreateTopics(Ticket(0), request)).map(|_| ())
}

fn producer_ids_are_given_once() -> Result<(), String> {
    let mut world = World::with_brokers(2, false, 1);
    for broker in [1, 2] {
        let epoch = world.broker_epoch(broker);
        feed(
            &mut world,
            Input::AllocateProducerIds(Ticket(0), NodeId(broker), epoch),
        )?;
    }
    expect(
        world.image.producer_ids().next_producer_id == 2000,
        "two blocks must be given out",
    )
}

fn a_moved_replica_ends_the_leader_epoch() -> Result<(), String> {
    let mut world = World::with_brokers(3, false, 1);
    let id = world.create_topic_on("t", &[1, 2, 3]);
    let before = world.partition(id).leader_epoch;
    feed(&mut world, reassign(("t", 0), Some(&[1, 2])))?;
    let partition = world.partition(id);
    expect(
        partition.leader == Some(NodeId(1)) && partition.leader_epoch > before,
        "the leader must go on in a new epoch",
    )
}

fn fenced_replica_stays_out_of_the_isr() -> Result<(), String> {
    let mut world = World::with_brokers(2, false, 1);
    let id = world.create_topic_on("t", &[1, 2]);
    expire(&mut world, &[2])?;
    let input = world.alter_input(1, world.alteration(id, &[1, 2]));
    feed(&mut world, input)?;
    expect(
        world.partition(id).isr == nodes(&[1]),
        "the fenced replica must stay out",
    )
}

/// ISR empty, ELR [2, 1] in the order of leaving.
fn all_replicas_away(min_insync_replicas: i32) -> Result<(World, TopicIdPartition), String> {
    let mut world = World::with_brokers(2, true, min_insync_replicas);
    let id = world.create_topic_on("t", &[1, 2]);
    expire(&mut world, &[2])?;
    expire(&mut world, &[1])?;
    Ok((world, id))
}

fn restart_uncleanly(world: &mut World, broker: i32) -> Result<(), String> {
    let request = world.registration(broker, 77);
    feed(world, Input::RegisterBroker(Ticket(0), request)).map(|_| ())
}

fn unclean_restart_ends_eligibility() -> Result<(), String> {
    let (mut world, id) = all_replicas_away(2)?;
    restart_uncleanly(&mut world, 1)?;
    world.beat(1);
    expect(
        world.partition(id).leader.is_none(),
        "a replica that lost its page cache must not lead",
    )?;
    world.beat(2);
    expect(
        world.partition(id).leader == Some(NodeId(2)),
        "the eligible replica must lead",
    )
}

fn last_member_leaves_the_isr() -> Result<(), String> {
    let (world, id) = all_replicas_away(2)?;
    expect(world.partition(id).isr.is_empty(), "the ISR must be empty")
}

fn fenced_last_known_leader_is_not_elected() -> Result<(), String> {
    let (mut world, id) = all_replicas_away(1)?;
    restart_uncleanly(&mut world, 1)?;
    expect(
        world.partition(id).leader.is_none(),
        "a fenced broker must not lead",
    )?;
    world.beat(1);
    let partition = world.partition(id);
    expect(
        partition.leader == Some(NodeId(1)),
        "the last known leader must lead once it is back",
    )?;
    expect(
        partition.leader_recovery_state == LeaderRecoveryState::Recovering,
        "and must recover first",
    )
}

fn changed_min_insync_replicas_clears_the_elr() -> Result<(), String> {
    let mut world = World::with_brokers(2, true, 2);
    let id = world.create_topic_on("t", &[1, 2]);
    expire(&mut world, &[2])?;
    expect(
        world.partition(id).eligible_leader_replicas == nodes(&[2]),
        "2 must be eligible",
    )?;
    let input = world.set_config(ConfigResource::topic("t"), MIN_INSYNC_REPLICAS, "1");
    feed(&mut world, input)?;
    expect(
        world.partition(id).eligible_leader_replicas.is_empty(),
        "the ELR must be cleared",
    )
}

fn retried_alter_partition_succeeds() -> Result<(), String> {
    let mut world = World::with_brokers(2, false, 1);
    let id = world.create_topic_on("t", &[1, 2]);
    let change = world.alteration(id, &[1]);
    let first = world.alter(1, change.clone());
    let length = world.log.len();
    let second = world.alter(1, change);
    expect(
        first.is_ok() && first == second,
        "the retry must get the first answer",
    )?;
    expect(world.log.len() == length, "the retry must change nothing")
}

fn nobody_outside_the_isr_is_elected() -> Result<(), String> {
    let mut world = World::with_brokers(2, false, 1);
    let id = world.create_topic_on("t", &[1, 2]);
    let shrink = world.alter_input(1, world.alteration(id, &[1]));
    feed(&mut world, shrink)?;
    expire(&mut world, &[1])?;
    expect(
        world.partition(id).leader.is_none(),
        "a replica outside of the ISR must not lead",
    )
}

/// Replicas 1, 2, 3 on their way to 2, 3, 4 with the leader 1; 2 is away.
fn reassigning_with_a_sick_replica() -> Result<(World, TopicIdPartition), String> {
    let mut world = World::with_brokers(4, true, 2);
    let id = world.create_topic_on("t", &[1, 2, 3]);
    expire(&mut world, &[2])?;
    feed(&mut world, reassign(("t", 0), Some(&[2, 3, 4])))?;
    Ok((world, id))
}

fn a_sick_replica_does_not_hold_up_a_reassignment() -> Result<(), String> {
    let (mut world, id) = reassigning_with_a_sick_replica()?;
    let join = world.alter_input(1, world.alteration(id, &[1, 3, 4]));
    feed(&mut world, join)?;
    let partition = world.partition(id);
    expect(
        partition.replicas == nodes(&[2, 3, 4]) && !partition.is_reassigning(),
        "all new replicas are in sync: the reassignment must complete",
    )
}

fn a_reassignment_waits_for_its_new_replicas() -> Result<(), String> {
    let (world, id) = reassigning_with_a_sick_replica()?;
    expect(
        world.partition(id).is_reassigning(),
        "nothing of the new replica is in sync: the reassignment must go on",
    )
}

fn registration_is_enough_to_be_caught_up() -> Result<(), String> {
    let mut world = World::with_brokers(1, false, 1);
    let request = world.registration(2, 2);
    feed(&mut world, Input::RegisterBroker(Ticket(0), request))?;
    let registered = world.next_offset() - 1;
    feed(&mut world, Input::NoOpTimer)?;
    let heartbeat = BrokerHeartbeatRequest {
        current_metadata_offset: registered,
        ..world.heartbeat(2)
    };
    feed(&mut world, Input::BrokerHeartbeat(Ticket(0), heartbeat))?;
    expect(
        world.image.is_active(NodeId(2)),
        "an idle broker must be unfenced",
    )
}
