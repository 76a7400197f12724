//! Random inputs: every record keeps the invariants, replay gives the live image, and once all brokers
//! are back every partition has a leader.

use proptest::prelude::*;

use super::*;

const BROKERS: i32 = 4;

#[derive(Clone, Debug)]
enum Action {
    Register {
        broker: i32,
        same_incarnation: bool,
        clean: bool,
    },
    Heartbeat {
        broker: i32,
        lag: i64,
        want_fence: bool,
        want_shut_down: bool,
        directory_failed: bool,
    },
    StaleHeartbeat {
        broker: i32,
    },
    Expire {
        mask: u8,
    },
    Unregister {
        broker: i32,
    },
    CreateTopic {
        name: u8,
        partitions: i32,
        replicas: i16,
        random: u64,
    },
    AssignTopic {
        name: u8,
        replicas: Vec<i32>,
    },
    DeleteTopic {
        name: u8,
    },
    CreatePartitions {
        name: u8,
        count: i32,
        random: u64,
    },
    Alter {
        pick: usize,
        mask: u8,
        epochs: i32,
        by_leader: bool,
        recovering: bool,
    },
    ProducerIds {
        broker: i32,
    },
    MinInsyncReplicas {
        name: u8,
        value: i32,
    },
    UncleanElection {
        name: u8,
        enabled: bool,
    },
    Elect {
        unclean: bool,
    },
    Reassign {
        pick: usize,
        target: Vec<i32>,
        cancel: bool,
    },
    Balance,
    UncleanTimer,
    FailOver,
}

fn broker() -> std::ops::RangeInclusive<i32> {
    1..=BROKERS
}

fn rarely() -> impl Strategy<Value = bool> {
    prop::bool::weighted(0.15)
}

fn action() -> impl Strategy<Value = Action> {
    use Action::*;
    prop_oneof![
        3 => (broker(), rarely(), any::<bool>())
            .prop_map(|(broker, same_incarnation, clean)| Register { broker, same_incarnation, clean }),
        8 => (broker(), 0..3i64, rarely(), rarely(), prop::bool::weighted(0.05)).prop_map(
            |(broker, lag, want_fence, want_shut_down, directory_failed)| Heartbeat {
                broker, lag, want_fence, want_shut_down, directory_failed
            }),
        1 => broker().prop_map(|broker| StaleHeartbeat { broker }),
        3 => any::<u8>().prop_map(|mask| Expire { mask }),
        1 => broker().prop_map(|broker| Unregister { broker }),
        3 => (0..4u8, -1..4i32, -1..5i16, any::<u64>()).prop_map(|(name, partitions, replicas, random)| {
            CreateTopic { name, partitions, replicas, random }
        }),
        3 => (0..4u8, prop::collection::vec(broker(), 1..4))
            .prop_map(|(name, replicas)| AssignTopic { name, replicas }),
        1 => (0..4u8).prop_map(|name| DeleteTopic { name }),
        1 => (0..4u8, 1..5i32, any::<u64>())
            .prop_map(|(name, count, random)| CreatePartitions { name, count, random }),
        8 => (any::<usize>(), any::<u8>(), -1..2i32, prop::bool::weighted(0.9), rarely()).prop_map(
            |(pick, mask, epochs, by_leader, recovering)| Alter { pick, mask, epochs, by_leader, recovering }),
        1 => broker().prop_map(|broker| ProducerIds { broker }),
        1 => (0..5u8, 0..4i32).prop_map(|(name, value)| MinInsyncReplicas { name, value }),
        1 => (0..4u8, any::<bool>()).prop_map(|(name, enabled)| UncleanElection { name, enabled }),
        1 => any::<bool>().prop_map(|unclean| Elect { unclean }),
        4 => (any::<usize>(), prop::collection::vec(broker(), 1..4), prop::bool::weighted(0.25))
            .prop_map(|(pick, target, cancel)| Reassign { pick, target, cancel }),
        1 => Just(Balance),
        1 => Just(UncleanTimer),
        1 => Just(FailOver),
    ]
}

/// `.` and `_` so that some collide.
fn topic_name(number: u8) -> String {
    ["a.b", "a_b", "c", "d"][usize::from(number) % 4].to_owned()
}

fn by_mask(mask: u8) -> Vec<i32> {
    broker().filter(|&id| mask >> id & 1 == 1).collect()
}

struct Random {
    world: World,
    incarnations: u64,
}

impl Random {
    fn run(&mut self, action: Action) {
        if let Action::FailOver = action {
            self.world.fail_over();
        } else if let Some(input) = self.input(action) {
            self.world.feed(input);
        }
    }

    fn register(&mut self, broker: i32, same_incarnation: bool, clean: bool) -> Input {
        self.incarnations += 1;
        let mut request = self.world.registration(broker, self.incarnations);
        if let Some(existing) = self.world.image.broker(NodeId(broker)) {
            if same_incarnation {
                request.incarnation_id = existing.incarnation_id;
            }
            if clean {
                request.previous_broker_epoch = existing.epoch;
            }
        }
        Input::RegisterBroker(Ticket(0), request)
    }

    fn input(&mut self, action: Action) -> Option<Input> {
        let ticket = Ticket(0);
        let world = &mut self.world;
        Some(match action {
            Action::FailOver => return None,
            Action::Register {
                broker,
                same_incarnation,
                clean,
            } => self.register(broker, same_incarnation, clean),
            Action::Heartbeat {
                broker,
                lag,
                want_fence,
                want_shut_down,
                directory_failed,
            } => {
                let mut request = world.heartbeat(broker);
                request.current_metadata_offset -= lag;
                (request.want_fence, request.want_shut_down) = (want_fence, want_shut_down);
                if directory_failed {
                    request.offline_log_directories.push(directory_of(broker));
                }
                Input::BrokerHeartbeat(ticket, request)
            }
            Action::StaleHeartbeat { broker } => {
                let broker_epoch = BrokerEpoch(world.broker_epoch(broker).0 - 1);
                Input::BrokerHeartbeat(
                    ticket,
                    BrokerHeartbeatRequest {
                        broker_epoch,
                        ..world.heartbeat(broker)
                    },
                )
            }
            Action::Expire { mask } => Input::SessionsExpired(nodes(&by_mask(mask))),
            Action::Unregister { broker } => Input::UnregisterBroker(ticket, NodeId(broker)),
            Action::CreateTopic {
                name,
                partitions,
                replicas,
                random,
            } => {
                let topics = vec![world.topic(&topic_name(name), partitions, replicas)];
                Input::CreateTopics(
                    ticket,
                    CreateTopicsRequest {
                        topics,
                        validate_only: false,
                        random,
                    },
                )
            }
            Action::AssignTopic { name, replicas } => {
                let assignments = vec![PartitionAssignment {
                    partition: 0,
                    replicas: nodes(&replicas),
                }];
                let topics = vec![CreatableTopic {
                    assignments,
                    ..world.topic(&topic_name(name), -1, -1)
                }];
                Input::CreateTopics(
                    ticket,
                    CreateTopicsRequest {
                        topics,
                        validate_only: false,
                        random: 0,
                    },
                )
            }
            Action::DeleteTopic { name } => {
                Input::DeleteTopics(ticket, vec![TopicSelector::Name(topic_name(name))])
            }
            Action::CreatePartitions {
                name,
                count,
                random,
            } => {
                let topics = vec![CreatePartitionsTopic {
                    name: topic_name(name),
                    count,
                    assignments: None,
                }];
                Input::CreatePartitions(
                    ticket,
                    CreatePartitionsRequest {
                        topics,
                        validate_only: false,
                        random,
                    },
                )
            }
            Action::Alter { .. } => return self.alter(action),
            Action::ProducerIds { broker } => {
                Input::AllocateProducerIds(ticket, NodeId(broker), world.broker_epoch(broker))
            }
            Action::MinInsyncReplicas { name, value } => {
                let resource = if name == 4 {
                    ConfigResource::cluster()
                } else {
                    ConfigResource::topic(topic_name(name))
                };
                world.set_config(resource, MIN_INSYNC_REPLICAS, &value.to_string())
            }
            Action::UncleanElection { name, enabled } => {
                let resource = ConfigResource::topic(topic_name(name));
                world.set_config(
                    resource,
                    "unclean.leader.election.enable",
                    &enabled.to_string(),
                )
            }
            Action::Elect { unclean } => {
                let kind = if unclean {
                    ElectionType::Unclean
                } else {
                    ElectionType::Preferred
                };
                Input::ElectLeaders(
                    ticket,
                    ElectLeadersRequest {
                        kind,
                        partitions: None,
                    },
                )
            }
            Action::Reassign {
                pick,
                target,
                cancel,
            } => {
                let count = world.image.partition_count();
                let (id, _) = world.image.partitions().nth(pick.checked_rem(count)?)?;
                let topic = world.image.topic_name(id.topic_id)?;
                reassign(
                    (topic, id.partition),
                    (!cancel).then_some(target.as_slice()),
                )
            }
            Action::Balance => Input::LeaderBalanceTimer,
            Action::UncleanTimer => Input::UncleanElectionTimer,
        })
    }

    fn alter(&mut self, action: Action) -> Option<Input> {
        let Action::Alter {
            pick,
            mask,
            epochs,
            by_leader,
            recovering,
        } = action
        else {
            return None;
        };
        let count = self.world.image.partition_count();
        let (id, partition) = self
            .world
            .image
            .partitions()
            .nth(pick.checked_rem(count)?)?;
        let leader = partition.leader.map_or(1, |it| it.0);
        let mut change = self.world.alteration(id, &by_mask(mask | 1 << leader));
        change.partition_epoch.0 += epochs;
        if recovering {
            change.leader_recovery_state = LeaderRecoveryState::Recovering;
        }
        Some(
            self.world
                .alter_input(if by_leader { leader } else { 1 }, change),
        )
    }

    fn bring_all_back(&mut self) {
        self.world
            .feed(Input::SessionsExpired(nodes(&by_mask(u8::MAX))));
        for broker in broker() {
            let input = self.register(broker, false, true);
            self.world.feed(input);
        }
        for broker in broker() {
            self.world.beat(broker);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 400, ..ProptestConfig::default() })]

    #[test]
    fn any_inputs_keep_the_invariants(
        elr in any::<bool>(),
        min_insync_replicas in 1..4i32,
        actions in prop::collection::vec(action(), 0..60),
    ) {
        let world = World::with_brokers(BROKERS, elr, min_insync_replicas);
        let mut random = Random { world, incarnations: 1000 };
        for action in actions {
            random.run(action);
        }
        random.world.fail_over();
        random.bring_all_back();
        for (id, partition) in random.world.image.partitions() {
            prop_assert!(partition.leader.is_some(), "{} has no leader: {:?}", id, partition);
        }
        random.world.fail_over();
    }
}
