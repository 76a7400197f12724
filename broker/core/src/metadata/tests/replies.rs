//! Answers one by one: error codes in Kafka's order, placement, size limits, speed at 10 000 partitions.

use super::*;
use std::collections::BTreeSet;

fn code<T>(result: Result<T, ApiError>) -> Option<ErrorCode> {
    result.err().map(|error| error.code)
}

#[test]
fn topic_names_are_checked() {
    let mut world = World::with_brokers(1, false, 1);
    for name in ["", ".", "..", "a/b", "ä", &"x".repeat(250)] {
        assert_eq!(
            code(world.create(world.topic(name, 1, 1))),
            Some(ErrorCode::InvalidTopicException),
            "{name}"
        );
    }
    assert_eq!(
        code(world.create(world.topic(&"x".repeat(249), 1, 1))),
        None
    );
    assert_eq!(code(world.create(world.topic("a.b", 1, 1))), None);
    assert_eq!(
        code(world.create(world.topic("a.b", 1, 1))),
        Some(ErrorCode::TopicAlreadyExists)
    );
    assert_eq!(
        code(world.create(world.topic("a_b", 1, 1))),
        Some(ErrorCode::InvalidTopicException)
    );
    let request = vec![TopicSelector::Name("a.b".to_owned())];
    world.feed(Input::DeleteTopics(Ticket(0), request));
    assert_eq!(code(world.create(world.topic("a_b", 1, 1))), None);
}

#[test]
fn sizes_of_a_new_topic_are_checked() {
    let mut world = World::with_brokers(2, false, 1);
    let mut create =
        |partitions, replicas| code(world.create(world.topic("t", partitions, replicas)));
    assert_eq!(create(0, 1), Some(ErrorCode::InvalidPartitions));
    assert_eq!(create(-2, 1), Some(ErrorCode::InvalidPartitions));
    assert_eq!(create(1, 0), Some(ErrorCode::InvalidReplicationFactor));
    assert_eq!(create(1, 3), Some(ErrorCode::InvalidReplicationFactor));
    assert_eq!(create(i32::MAX, 1), Some(ErrorCode::PolicyViolation));
    assert_eq!(create(-1, -1), None);
    let topic = world.image.topic("t").expect("created");
    assert_eq!(
        (topic.partitions.len(), topic.partitions[&0].replicas.len()),
        (1, 1)
    );
}

#[test]
fn manual_assignments_are_checked() {
    let mut world = World::with_brokers(2, false, 1);
    let mut create = |lists: &[(i32, &[i32])]| {
        let assignments = lists
            .iter()
            .map(|(partition, replicas)| PartitionAssignment {
                partition: *partition,
                replicas: nodes(replicas),
            })
            .collect();
        let topic = CreatableTopic {
            assignments,
            ..world.topic("t", -1, -1)
        };
        code(world.create(topic))
    };
    let invalid = Some(ErrorCode::InvalidReplicaAssignment);
    assert_eq!(create(&[(0, &[])]), invalid);
    assert_eq!(create(&[(0, &[1, 1])]), invalid);
    assert_eq!(create(&[(0, &[1, 9])]), invalid);
    assert_eq!(create(&[(0, &[1]), (0, &[2])]), invalid);
    assert_eq!(create(&[(0, &[1]), (2, &[2])]), invalid);
    assert_eq!(create(&[(0, &[1]), (1, &[2, 1])]), invalid);
    assert_eq!(create(&[(1, &[2, 1]), (0, &[1, 2])]), None);
    let with_count = CreatableTopic {
        assignments: vec![PartitionAssignment {
            partition: 0,
            replicas: nodes(&[1]),
        }],
        ..world.topic("u", 1, -1)
    };
    assert_eq!(
        code(world.create(with_count)),
        Some(ErrorCode::InvalidRequest)
    );
}

/// KAFKA-13083: fenced brokers may be named, but only those that live are in sync, and one must live.
#[test]
fn manual_assignments_may_name_fenced_brokers() {
    let mut world = World::with_brokers(4, true, 2);
    world.feed(Input::SessionsExpired(nodes(&[1, 4])));
    let id = world.create_topic_on("t", &[1, 2, 3]);
    let partition = world.partition(id);
    assert_eq!(partition.replicas, nodes(&[1, 2, 3]));
    assert_eq!(partition.isr, nodes(&[2, 3]));
    assert_eq!(partition.leader, Some(NodeId(2)));
    let all_fenced = CreatableTopic {
        assignments: vec![PartitionAssignment {
            partition: 0,
            replicas: nodes(&[4, 1]),
        }],
        ..world.topic("u", -1, -1)
    };
    assert_eq!(
        code(world.create(all_fenced)),
        Some(ErrorCode::InvalidReplicaAssignment)
    );
}

/// StripedReplicaPlacer: racks take turns, and within a rack those that live come before the fenced ones.
#[test]
fn fenced_brokers_get_replicas_only_where_others_do_not_suffice() {
    let mut world = World::new(ControllerConfig::default());
    for broker in 1..=6 {
        let rack = Some(format!("rack{}", broker % 2));
        let request = BrokerRegistrationRequest {
            rack,
            ..world.registration(broker, 1)
        };
        world.feed(Input::RegisterBroker(Ticket(0), request));
        world.beat(broker);
    }
    world.feed(Input::SessionsExpired(nodes(&[1, 2])));
    world.create(world.topic("t", 40, 4)).expect("four live");
    for partition in world.image.topic("t").expect("created").partitions.values() {
        let mut replicas = partition.replicas.clone();
        replicas.sort_unstable();
        assert_eq!(replicas, nodes(&[3, 4, 5, 6]));
    }
    world
        .create(world.topic("u", 40, 5))
        .expect("six are there");
    for partition in world.image.topic("u").expect("created").partitions.values() {
        let fenced = |id: &&NodeId| !world.image.is_active(**id);
        assert_eq!(partition.replicas.iter().filter(fenced).count(), 1);
        assert_eq!(partition.isr.len(), 4);
    }
}

#[test]
fn topic_configurations_are_checked() {
    let mut world = World::with_brokers(1, false, 1);
    for (name, value) in [
        ("no.such.name", Some("1")),
        ("min.insync.replicas", Some("0")),
        ("cleanup.policy", Some("sometimes")),
        ("min.cleanable.dirty.ratio", Some("NaN")),
        ("retention.ms", None),
    ] {
        let configs = vec![(name.to_owned(), value.map(str::to_owned))];
        let topic = CreatableTopic {
            configs,
            ..world.topic("t", 1, 1)
        };
        assert_eq!(
            code(world.create(topic)),
            Some(ErrorCode::InvalidConfig),
            "{name}"
        );
    }
    let configs = vec![(
        "cleanup.policy".to_owned(),
        Some("compact, delete".to_owned()),
    )];
    assert_eq!(
        code(world.create(CreatableTopic {
            configs,
            ..world.topic("t", 1, 1)
        })),
        None
    );
    assert_eq!(
        world.image.topic_config("t", "cleanup.policy"),
        Some("compact, delete")
    );
}

#[test]
fn validate_only_changes_nothing() {
    let mut world = World::with_brokers(1, false, 1);
    let length = world.log.len();
    let topics = vec![world.topic("t", 1, 1)];
    let request = CreateTopicsRequest {
        topics,
        validate_only: true,
        random: 0,
    };
    let reply = world.ask(Input::CreateTopics(Ticket(0), request));
    assert!(matches!(reply, Reply::CreateTopics(results) if results[0].result.is_ok()));
    assert_eq!(world.log.len(), length);
}

#[test]
fn alter_partition_errors_come_in_kafkas_order() {
    let mut world = World::with_brokers(3, false, 1);
    let id = world.create_topic_on("t", &[1, 2]);
    world.feed(Input::SessionsExpired(nodes(&[2])));
    world.beat(2);
    let good = world.alteration(id, &[1, 2]);
    let with = |adjust: fn(&mut AlterPartition)| {
        let mut change = good.clone();
        adjust(&mut change);
        change
    };
    let mut alter = |broker, change| world.alter(broker, change).err();
    assert_eq!(
        alter(1, with(|it| it.topic_id = uuid(9, 9))),
        Some(ErrorCode::UnknownTopicId)
    );
    assert_eq!(
        alter(1, with(|it| it.partition = 1)),
        Some(ErrorCode::UnknownTopicOrPartition)
    );
    assert_eq!(
        alter(1, with(|it| it.leader_epoch.0 += 1)),
        Some(ErrorCode::NotController)
    );
    assert_eq!(
        alter(1, with(|it| it.partition_epoch.0 += 1)),
        Some(ErrorCode::NotController)
    );
    assert_eq!(
        alter(3, with(|it| it.leader_epoch.0 -= 1)),
        Some(ErrorCode::FencedLeaderEpoch)
    );
    assert_eq!(alter(3, good.clone()), Some(ErrorCode::InvalidRequest));
    assert_eq!(
        alter(1, with(|it| it.partition_epoch.0 -= 1)),
        Some(ErrorCode::InvalidUpdateVersion)
    );
    assert_eq!(
        alter(1, with(|it| it.new_isr.clear())),
        Some(ErrorCode::InvalidRequest)
    );
    assert_eq!(
        alter(1, with(|it| it.new_isr[1].0 = NodeId(3))),
        Some(ErrorCode::InvalidRequest)
    );
    assert_eq!(
        alter(1, with(|it| it.new_isr[1] = it.new_isr[0])),
        Some(ErrorCode::InvalidRequest)
    );
    let recovering =
        |it: &mut AlterPartition| it.leader_recovery_state = LeaderRecoveryState::Recovering;
    assert_eq!(alter(1, with(recovering)), Some(ErrorCode::InvalidRequest));
    assert_eq!(
        alter(1, with(|it| it.new_isr[1].1.0 -= 1)),
        Some(ErrorCode::IneligibleReplica)
    );
    assert_eq!(alter(1, with(|it| it.new_isr[1].1 = BrokerEpoch(-1))), None);
}

#[test]
fn a_fenced_or_stopping_replica_is_ineligible() {
    let mut world = World::with_brokers(2, false, 1);
    let id = world.create_topic_on("t", &[1, 2]);
    world.create_topic_on("u", &[2]);
    let stop = BrokerHeartbeatRequest {
        want_shut_down: true,
        ..world.heartbeat(2)
    };
    world.feed(Input::BrokerHeartbeat(Ticket(0), stop));
    assert_eq!(
        world.alter(1, world.alteration(id, &[1, 2])),
        Err(ErrorCode::IneligibleReplica)
    );
    world.feed(Input::SessionsExpired(nodes(&[2])));
    assert_eq!(
        world.alter(1, world.alteration(id, &[1, 2])),
        Err(ErrorCode::IneligibleReplica)
    );
}

#[test]
fn registrations_are_checked() {
    let mut world = World::with_brokers(2, false, 1);
    let good = world.registration(3, 3);
    let mut register = |request| match world.ask(Input::RegisterBroker(Ticket(0), request)) {
        Reply::RegisterBroker(result) => code(result),
        other => panic!("{other:?}"),
    };
    let with_directories = |ids: &[Uuid]| BrokerRegistrationRequest {
        log_directories: ids.to_vec(),
        ..good.clone()
    };
    let invalid = Some(ErrorCode::InvalidRegistration);
    assert_eq!(register(with_directories(&[])), invalid);
    assert_eq!(register(with_directories(&[Uuid::ZERO])), invalid);
    assert_eq!(
        register(with_directories(&[directory_of(3), directory_of(3)])),
        invalid
    );
    assert_eq!(register(with_directories(&[directory_of(1)])), invalid);
    let old = BrokerRegistrationRequest {
        features: Default::default(),
        ..good.clone()
    };
    assert_eq!(register(old), Some(ErrorCode::UnsupportedVersion));
    let other = BrokerRegistrationRequest {
        broker: NodeId(1),
        ..good.clone()
    };
    assert_eq!(
        register(other),
        Some(ErrorCode::DuplicateBrokerRegistration)
    );
    assert_eq!(register(good), None);
}

#[test]
fn replicas_are_spread_over_racks() {
    let mut world = World::new(ControllerConfig::default());
    for broker in 1..=6 {
        let rack = Some(format!("rack{}", broker % 3));
        let request = BrokerRegistrationRequest {
            rack,
            ..world.registration(broker, 1)
        };
        world.feed(Input::RegisterBroker(Ticket(0), request));
        world.beat(broker);
    }
    world
        .create(world.topic("t", 60, 3))
        .expect("six brokers hold three replicas");
    let topic = world.image.topic("t").expect("created");
    for partition in topic.partitions.values() {
        let racks: BTreeSet<i32> = partition
            .replicas
            .iter()
            .map(|broker| broker.0 % 3)
            .collect();
        assert_eq!(racks.len(), 3, "{:?}", partition.replicas);
    }
    for broker in 1..=6 {
        let leaders = world.image.leader_count(NodeId(broker));
        assert!(
            (5..=15).contains(&leaders),
            "broker {broker} leads {leaders} of 60"
        );
    }
}

#[test]
fn placement_ends_whatever_is_fenced() {
    for fenced in 0..5 {
        for seed in 0..50 {
            let mut world = World::with_brokers(5, false, 1);
            world.feed(Input::SessionsExpired(nodes(
                &(1..=fenced).collect::<Vec<_>>(),
            )));
            for replicas in 1..=5 {
                let topics = vec![world.topic(&format!("t{replicas}"), 20, replicas)];
                let request = CreateTopicsRequest {
                    topics,
                    validate_only: false,
                    random: seed,
                };
                world.feed(Input::CreateTopics(Ticket(0), request));
            }
            assert_eq!(world.image.partition_count(), 100);
        }
    }
}

#[test]
fn ten_thousand_partitions_are_no_burden() {
    let mut world = World::with_brokers(3, false, 1);
    for number in 0..10 {
        world
            .create(world.topic(&format!("t{number}"), 1000, 3))
            .expect("within the limit");
    }
    let out = world.feed(Input::SessionsExpired(nodes(&[1])));
    let sizes: Vec<usize> = out
        .iter()
        .filter_map(|it| {
            if let Output::Records(records) = it {
                Some(records.len())
            } else {
                None
            }
        })
        .collect();
    assert_eq!(sizes[..10], [MAX_RECORDS_PER_BATCH; 10]);
    assert_eq!(sizes[10..], [1]);
    assert_eq!(world.image.leader_count(NodeId(1)), 0);
    world.beat(1);
    world.fail_over();
}

#[test]
fn the_hash_tells_images_apart() {
    let mut world = World::with_brokers(2, false, 1);
    let mut seen = BTreeSet::from([world.image.hash()]);
    let id = world.create_topic_on("t", &[1, 2]);
    assert!(seen.insert(world.image.hash()));
    world
        .alter(1, world.alteration(id, &[1]))
        .expect("a lawful shrink");
    assert!(seen.insert(world.image.hash()));
    world.beat(1);
    assert!(
        !seen.insert(world.image.hash()),
        "a heartbeat changes no metadata"
    );
}

/// A leader that is not sure of an earlier attempt asks for the ISR as it is: after that no earlier one counts.
#[test]
fn an_unchanged_isr_fences_what_was_asked_before() {
    let mut world = World::with_brokers(2, false, 1);
    let id = world.create_topic_on("t", &[1, 2]);
    world.alter(1, world.alteration(id, &[1])).expect("shrinks");
    let late = world.alteration(id, &[1, 2]);
    let before = world.partition(id).partition_epoch;
    let reaffirmed = world
        .alter(1, world.alteration(id, &[1]))
        .expect("as it is");
    assert!(reaffirmed.partition_epoch > before);
    assert_eq!(world.alter(1, late), Err(ErrorCode::InvalidUpdateVersion));
}
