//! Runs `testdata/metadata/*.txt`: each `> command` is followed by the recorded output.
//!
//! `UPDATE_TESTDATA=1` records anew. Commands are in [`Script::run`]; options are `key=value`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::*;

#[test]
#[allow(
    clippy::disallowed_methods,
    reason = "recording anew is the developer's doing, outside of any simulation"
)]
fn recorded_scripts_hold() {
    let folder = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("testdata/metadata");
    let mut paths: Vec<PathBuf> = std::fs::read_dir(&folder)
        .expect("the folder is in the repository")
        .map(|entry| entry.expect("a readable folder").path())
        .collect();
    paths.sort();
    assert!(!paths.is_empty());
    for path in paths {
        let text = std::fs::read_to_string(&path).expect("a readable file");
        let played = play(&text);
        if std::env::var_os("UPDATE_TESTDATA").is_some() {
            std::fs::write(&path, &played).expect("a writable file");
            continue;
        }
        assert_eq!(text, played, "{} has changed", path.display());
    }
}

/// The script with the output of each command as it is now.
fn play(text: &str) -> String {
    let mut script = Script {
        world: World::new(ControllerConfig::default()),
    };
    let mut played = String::new();
    let mut in_output = false;
    for line in text.lines() {
        if let Some(command) = line.strip_prefix("> ") {
            played.push_str(line);
            played.push('\n');
            for line in script.run(command) {
                played.push_str(&line);
                played.push('\n');
            }
            in_output = true;
        } else if line.is_empty() || line.starts_with('#') {
            in_output = false;
            played.push_str(line);
            played.push('\n');
        } else {
            assert!(in_output, "output without a command: {line}");
        }
    }
    script.world.fail_over();
    played
}

struct Script {
    world: World,
}

struct Arguments<'a> {
    words: Vec<&'a str>,
    options: BTreeMap<&'a str, &'a str>,
}

impl<'a> Arguments<'a> {
    fn parse(command: &'a str) -> Arguments<'a> {
        let (options, words): (Vec<&str>, Vec<&str>) = command
            .split_whitespace()
            .skip(1)
            .partition(|word| word.contains('='));
        Arguments {
            words,
            options: options.iter().filter_map(|it| it.split_once('=')).collect(),
        }
    }

    fn has(&self, word: &str) -> bool {
        self.words.contains(&word)
    }

    fn number<T: std::str::FromStr>(&self, key: &str) -> Option<T> {
        let text = self.options.get(key)?;
        Some(
            text.parse()
                .ok()
                .unwrap_or_else(|| panic!("{key}={text} is no number")),
        )
    }

    fn release(&self) -> Option<MetadataVersion> {
        let text = self.options.get("release")?;
        Some(MetadataVersion::from_release(text).unwrap_or_else(|| panic!("no release {text}")))
    }

    fn broker(&self) -> i32 {
        self.words[0]
            .parse()
            .unwrap_or_else(|_| panic!("{} is no broker", self.words[0]))
    }
}

fn id_list(text: &str) -> Vec<i32> {
    text.split(',')
        .filter(|it| !it.is_empty())
        .map(|it| it.parse().expect("a broker id"))
        .collect()
}

impl Script {
    fn run(&mut self, command: &str) -> Vec<String> {
        let arguments = Arguments::parse(command);
        let verb = command.split_whitespace().next().expect("a command");
        let outputs = match verb {
            "activate" => {
                if let Some(min) = arguments.number("min-insync") {
                    self.world.config.min_insync_replicas = min;
                    self.world.soft = Soft::new(self.world.config.clone());
                }
                if let Some(records) = arguments.number("batch-records") {
                    self.world.config.batch_records_max = records;
                    self.world.soft = Soft::new(self.world.config.clone());
                }
                if let Some(voters) = arguments.options.get("voters") {
                    self.world.config.node_id = NodeId(arguments.number("node").unwrap_or(1));
                    self.world.config.voters = nodes(&id_list(voters)).into_iter().collect();
                    self.world.soft = Soft::new(self.world.config.clone());
                }
                let bootstrap = match arguments.release() {
                    Some(release) => vec![Record::FeatureLevel {
                        name: METADATA_VERSION_FEATURE.to_owned(),
                        level: release.level(),
                    }],
                    None => bootstrap(arguments.has("elr")),
                };
                self.world.feed(Input::Activated { bootstrap })
            }
            "fail-over" => self.world.fail_over(),
            "show" => return describe::image(&self.world),
            _ => {
                let input = self.input(verb, &arguments);
                self.world.feed(input)
            }
        };
        outputs
            .iter()
            .flat_map(|it| describe::output(&self.world, it))
            .collect()
    }

    fn input(&mut self, verb: &str, arguments: &Arguments<'_>) -> Input {
        let ticket = Ticket(0);
        match verb {
            "register" => Input::RegisterBroker(ticket, self.register(arguments)),
            "heartbeat" => Input::BrokerHeartbeat(ticket, self.heartbeat(arguments)),
            "expire" => {
                let brokers: Vec<_> = arguments.words.iter().flat_map(|it| id_list(it)).collect();
                Input::SessionsExpired(nodes(&brokers))
            }
            "unregister" => Input::UnregisterBroker(ticket, NodeId(arguments.broker())),
            "create-topic" => Input::CreateTopics(ticket, self.create_topic(arguments)),
            "delete-topic" => Input::DeleteTopics(
                ticket,
                vec![TopicSelector::Name(arguments.words[0].to_owned())],
            ),
            "create-partitions" => Input::CreatePartitions(ticket, create_partitions(arguments)),
            "alter-partition" => self.alter_partition(arguments),
            "assign-replica" => self.assign_replica(arguments),
            "set" => {
                let resource = match arguments.words[0] {
                    "cluster" => ConfigResource::cluster(),
                    broker if broker.parse::<i32>().is_ok() => ConfigResource {
                        name: broker.to_owned(),
                        ..ConfigResource::cluster()
                    },
                    topic => ConfigResource::topic(topic),
                };
                let (name, value) = arguments.options.first_key_value().expect("name=value");
                match *value {
                    "(unset)" => self.world.delete_config(resource, name),
                    value => self.world.set_config(resource, name, value),
                }
            }
            "reassign" => Input::AlterPartitionReassignments(ticket, reassign(arguments)),
            "list-reassignments" => {
                let asked = arguments
                    .words
                    .iter()
                    .map(|it| topic_partition(it))
                    .collect();
                let all = arguments.words.is_empty();
                Input::ListPartitionReassignments(ticket, (!all).then_some(asked))
            }
            "unclean-timer" => Input::UncleanElectionTimer,
            "alter-configs" => Input::AlterConfigs(ticket, alter_configs(arguments)),
            "producer-ids" => {
                let broker = arguments.broker();
                Input::AllocateProducerIds(ticket, NodeId(broker), self.world.broker_epoch(broker))
            }
            "register-controller" => {
                Input::RegisterController(ticket, register_controller(arguments))
            }
            "features" => Input::UpdateFeatures(ticket, update_features(arguments)),
            "elect" => Input::ElectLeaders(ticket, elect(arguments)),
            "balance" => Input::LeaderBalanceTimer,
            "no-op" => Input::NoOpTimer,
            other => panic!("no such command: {other}"),
        }
    }

    fn register(&self, arguments: &Arguments<'_>) -> BrokerRegistrationRequest {
        let broker = arguments.broker();
        let incarnation = arguments
            .number("incarnation")
            .unwrap_or(u64::from(broker.unsigned_abs()));
        let mut request = self.world.registration(broker, incarnation);
        request.rack = arguments.options.get("rack").map(|&rack| rack.to_owned());
        if let Some(release) = arguments.release() {
            request.features = supported_features(release);
        }
        if let Some(number) = arguments.number("directory") {
            request.log_directories = vec![uuid(4, number)];
        }
        if arguments.has("clean") {
            request.previous_broker_epoch = self.world.broker_epoch(broker);
        }
        request
    }

    fn heartbeat(&self, arguments: &Arguments<'_>) -> BrokerHeartbeatRequest {
        let mut request = self.world.heartbeat(arguments.broker());
        if let Some(offset) = arguments.number("offset") {
            request.current_metadata_offset = offset;
        }
        if let Some(epoch) = arguments.number("epoch") {
            request.broker_epoch = BrokerEpoch(epoch);
        }
        if arguments.has("directory-failed") {
            request
                .offline_log_directories
                .push(directory_of(arguments.broker()));
        }
        request.want_fence = arguments.has("want-fence");
        request.want_shut_down = arguments.has("want-shutdown");
        request
    }

    fn create_topic(&self, arguments: &Arguments<'_>) -> CreateTopicsRequest {
        let partitions = arguments.number("partitions").unwrap_or(-1);
        let replicas = arguments.number("replicas").unwrap_or(-1);
        let mut topic = self.world.topic(arguments.words[0], partitions, replicas);
        if let Some(lists) = arguments.options.get("assign") {
            let lists = (0..).zip(lists.split(';'));
            topic.assignments = lists
                .map(|(partition, list)| PartitionAssignment {
                    partition,
                    replicas: nodes(&id_list(list)),
                })
                .collect();
        }
        let reserved = ["partitions", "replicas", "assign", "random"];
        let configs = arguments
            .options
            .iter()
            .filter(|(name, _)| !reserved.contains(name));
        topic.configs = configs
            .map(|(name, value)| (String::from(*name), Some(String::from(*value))))
            .collect();
        CreateTopicsRequest {
            topics: vec![topic],
            validate_only: arguments.has("validate-only"),
            random: arguments.number("random").unwrap_or(0),
        }
    }

    /// `assign-replica BROKER topic-partition directory=lost|NUMBER`.
    fn assign_replica(&self, arguments: &Arguments<'_>) -> Input {
        let broker = arguments.broker();
        let (topic, partition) = topic_partition(arguments.words[1]);
        let directory = match arguments.options["directory"] {
            "lost" => directory::LOST,
            number => uuid(4, number.parse().expect("a number")),
        };
        let assignment = ReplicaAssignment {
            topic_id: self.world.image.topic_id(&topic).unwrap_or(Uuid::ZERO),
            partition,
            directory,
        };
        let request = AssignReplicasRequest {
            broker: NodeId(broker),
            broker_epoch: self.world.broker_epoch(broker),
            assignments: vec![assignment],
        };
        Input::AssignReplicas(Ticket(0), request)
    }

    fn alter_partition(&self, arguments: &Arguments<'_>) -> Input {
        let (topic, partition) = topic_partition(arguments.words[1]);
        let topic_id = self.world.image.topic_id(&topic).unwrap_or(Uuid::ZERO);
        let id = TopicIdPartition {
            topic_id,
            partition,
        };
        let isr = id_list(arguments.options["isr"]);
        let mut change = match self.world.image.partition(id) {
            Some(_) => self.world.alteration(id, &isr),
            None => AlterPartition {
                topic_id,
                partition,
                leader_epoch: LeaderEpoch(0),
                partition_epoch: PartitionEpoch(0),
                new_isr: Vec::new(),
                leader_recovery_state: LeaderRecoveryState::Recovered,
            },
        };
        if let Some(epoch) = arguments.number("leader-epoch") {
            change.leader_epoch = LeaderEpoch(epoch);
        }
        if let Some(epoch) = arguments.number("partition-epoch") {
            change.partition_epoch = PartitionEpoch(epoch);
        }
        if let Some(epoch) = arguments.number("member-epoch") {
            change.new_isr.last_mut().expect("a member").1 = BrokerEpoch(epoch);
        }
        self.world.alter_input(arguments.broker(), change)
    }
}

fn create_partitions(arguments: &Arguments<'_>) -> CreatePartitionsRequest {
    let lists = arguments.options.get("assign");
    let topic = CreatePartitionsTopic {
        name: arguments.words[0].to_owned(),
        count: arguments.number("count").expect("count=N"),
        assignments: lists.map(|it| it.split(';').map(|list| nodes(&id_list(list))).collect()),
    };
    CreatePartitionsRequest {
        topics: vec![topic],
        validate_only: false,
        random: 0,
    }
}

fn register_controller(arguments: &Arguments<'_>) -> RegisterControllerRecord {
    RegisterControllerRecord {
        controller: NodeId(arguments.broker()),
        incarnation_id: uuid(5, 1),
        endpoints: Vec::new(),
        features: supported_features(arguments.release().unwrap_or(MetadataVersion::LATEST)),
    }
}

/// `features NAME=LEVEL .. [type=safe|unsafe|unknown] [validate-only] [quorum-refuses]`
fn update_features(arguments: &Arguments<'_>) -> UpdateFeaturesRequest {
    let upgrade_type = match arguments.options.get("type").copied() {
        None => UpgradeType::Upgrade,
        Some("safe") => UpgradeType::SafeDowngrade,
        Some("unsafe") => UpgradeType::UnsafeDowngrade,
        Some(_) => UpgradeType::Unknown,
    };
    let features = arguments
        .options
        .iter()
        .filter(|(name, _)| **name != "type");
    let updates = features.map(|(name, level)| FeatureUpdate {
        name: (*name).to_owned(),
        level: level.parse().expect("a level"),
        upgrade_type,
    });
    UpdateFeaturesRequest {
        updates: updates.collect(),
        validate_only: arguments.has("validate-only"),
        kraft_version: 0,
        kraft_refusal: arguments.has("quorum-refuses").then(|| {
            let message = "a voter has told of no such kraft.version".to_owned();
            ApiError::new(ErrorCode::InvalidUpdateVersion, message)
        }),
    }
}

fn reassign(arguments: &Arguments<'_>) -> AlterPartitionReassignmentsRequest {
    let (topic, partition) = topic_partition(arguments.words[0]);
    let target = arguments
        .options
        .get("to")
        .map(|list| nodes(&id_list(list)));
    AlterPartitionReassignmentsRequest {
        partitions: vec![ReassignablePartition {
            topic,
            partition,
            replicas: target.filter(|_| !arguments.has("cancel")),
        }],
        allow_replication_factor_change: !arguments.has("keep-factor"),
    }
}

fn alter_configs(arguments: &Arguments<'_>) -> AlterConfigsRequest {
    let values = arguments.options.iter();
    let values = values.map(|(name, value)| (String::from(*name), Some(String::from(*value))));
    let resource = ConfigResource::topic(arguments.words[0]);
    AlterConfigsRequest {
        resources: vec![(resource, values.collect())],
        validate_only: false,
    }
}

fn elect(arguments: &Arguments<'_>) -> ElectLeadersRequest {
    let kind = match arguments.words[0] {
        "preferred" => ElectionType::Preferred,
        "unclean" => ElectionType::Unclean,
        other => panic!("no such election: {other}"),
    };
    let partitions = arguments.words.get(1).map(|it| vec![topic_partition(it)]);
    ElectLeadersRequest { kind, partitions }
}

fn topic_partition(text: &str) -> (String, i32) {
    let (topic, partition) = text.rsplit_once('-').expect("topic-partition");
    (
        topic.to_owned(),
        partition.parse().expect("a partition number"),
    )
}
