//! `transactions` cuts the log inside of changes that are larger than a batch; `script` runs `testdata/metadata/*.txt` and compares the recorded output; `random` feeds random
//! inputs; `mutants` puts each known bug back and demands that an invariant or a script's answer shows
//! it; `replies` looks at answers one by one. All of them on [`World`].

mod describe;
mod mutants;
mod random;
mod replies;
mod script;
mod transactions;

use broker_protocol::ids::{
    BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch, TopicIdPartition, Uuid,
};

use super::invariants::{Transition, Violation, check_image};
use super::*;
use crate::Ticket;

/// A controller with its log, on which every record is checked.
pub(super) struct World {
    pub image: MetadataImage,
    pub soft: Soft,
    pub log: Vec<Record>,
    pub config: ControllerConfig,
}

impl World {
    pub fn new(config: ControllerConfig) -> World {
        let soft = Soft::new(config.clone());
        World {
            image: MetadataImage::default(),
            soft,
            log: Vec::new(),
            config,
        }
    }

    /// One controller, brokers 1 to `brokers`, all unfenced.
    pub fn with_brokers(brokers: i32, elr: bool, min_insync_replicas: i32) -> World {
        let mut world = World::new(ControllerConfig {
            min_insync_replicas,
            ..ControllerConfig::default()
        });
        world.feed(Input::Activated {
            bootstrap: bootstrap(elr),
        });
        for broker in 1..=brokers {
            let request = world.registration(broker, u64::from(broker.unsigned_abs()));
            world.feed(Input::RegisterBroker(Ticket(0), request));
            world.beat(broker);
        }
        world
    }

    pub fn next_offset(&self) -> Offset {
        Offset::try_from(self.log.len()).expect("a short log")
    }

    /// Decides, applies, checks.
    pub fn try_feed(&mut self, input: Input) -> Result<Vec<Output>, Violation> {
        let mut out = Vec::new();
        decide(&self.image, &mut self.soft, input, &mut out);
        for output in &out {
            if let Output::Records(records) = output {
                assert!(!records.is_empty());
                assert!(
                    records.len() <= self.config.batch_records_max
                        || !self.image.metadata_version().has_transactions(),
                    "a batch of {} records",
                    records.len()
                );
                records.iter().try_for_each(|record| self.apply(record))?;
            }
        }
        Ok(out)
    }

    fn apply(&mut self, record: &Record) -> Result<(), Violation> {
        let transition = Transition::before(&self.image, record);
        self.image.apply(record);
        self.log.push(record.clone());
        transition.check(&self.image, record, self.config.min_insync_replicas)
    }

    pub fn feed(&mut self, input: Input) -> Vec<Output> {
        self.try_feed(input)
            .unwrap_or_else(|violation| panic!("{violation}"))
    }

    /// The only reply to `input`.
    pub fn ask(&mut self, input: Input) -> Reply {
        let mut out = self.feed(input);
        match out.pop() {
            Some(Output::Reply(_, reply)) => reply,
            other => panic!("a reply comes last, not {other:?}"),
        }
    }

    /// Another controller takes over: replay of the log, and nothing else, is what it has.
    pub fn fail_over(&mut self) -> Vec<Output> {
        let mut replayed = MetadataImage::default();
        let mut replay = Replay::default();
        let complete = replay.read(&self.log);
        complete.iter().for_each(|record| replayed.apply(record));
        assert_eq!(replayed, self.image, "replay and live state differ");
        check_image(&self.image, self.config.min_insync_replicas)
            .unwrap_or_else(|it| panic!("{it}"));
        self.image = replayed;
        self.soft = Soft::new(self.config.clone());
        self.feed(Input::Activated {
            bootstrap: Vec::new(),
        })
    }

    pub fn registration(&self, broker: i32, incarnation: u64) -> BrokerRegistrationRequest {
        BrokerRegistrationRequest {
            broker: NodeId(broker),
            incarnation_id: uuid(1, incarnation),
            endpoints: vec![Endpoint {
                name: "PLAINTEXT".to_owned(),
                host: format!("broker{broker}"),
                port: 9092,
                security_protocol: 0,
            }],
            features: self.all_features(),
            rack: None,
            log_directories: vec![directory_of(broker)],
            previous_broker_epoch: BrokerEpoch(-1),
            next_offset: self.next_offset(),
        }
    }

    fn all_features(&self) -> std::collections::BTreeMap<String, VersionRange> {
        self.config.supported_features.clone()
    }

    /// A heartbeat of a broker that has applied everything and wants nothing special.
    pub fn heartbeat(&self, broker: i32) -> BrokerHeartbeatRequest {
        BrokerHeartbeatRequest {
            broker: NodeId(broker),
            broker_epoch: self.broker_epoch(broker),
            current_metadata_offset: self.next_offset() - 1,
            want_fence: false,
            want_shut_down: false,
            offline_log_directories: Vec::new(),
            next_offset: self.next_offset(),
        }
    }

    pub fn beat(&mut self, broker: i32) -> Reply {
        let request = self.heartbeat(broker);
        self.ask(Input::BrokerHeartbeat(Ticket(0), request))
    }

    pub fn broker_epoch(&self, broker: i32) -> BrokerEpoch {
        self.image
            .broker(NodeId(broker))
            .map_or(BrokerEpoch(-1), |it| it.epoch)
    }

    /// A topic with one partition on these replicas.
    pub fn create_topic_on(&mut self, name: &str, replicas: &[i32]) -> TopicIdPartition {
        let topic = CreatableTopic {
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![PartitionAssignment {
                partition: 0,
                replicas: nodes(replicas),
            }],
            ..self.topic(name, 0, 0)
        };
        self.create(topic).unwrap_or_else(|error| panic!("{error}"));
        TopicIdPartition {
            topic_id: self.image.topic_id(name).expect("just created"),
            partition: 0,
        }
    }

    pub fn topic(
        &self,
        name: &str,
        num_partitions: i32,
        replication_factor: i16,
    ) -> CreatableTopic {
        CreatableTopic {
            name: name.to_owned(),
            topic_id: uuid(2, self.next_offset().unsigned_abs()),
            num_partitions,
            replication_factor,
            assignments: Vec::new(),
            configs: Vec::new(),
        }
    }

    pub fn create(&mut self, topic: CreatableTopic) -> Result<CreatedTopic, ApiError> {
        let request = CreateTopicsRequest {
            topics: vec![topic],
            validate_only: false,
            random: 0,
        };
        match self.ask(Input::CreateTopics(Ticket(0), request)) {
            Reply::CreateTopics(mut results) => {
                results.pop().expect("one topic, one result").result
            }
            other => panic!("{other:?}"),
        }
    }

    pub fn partition(&self, id: TopicIdPartition) -> &PartitionRegistration {
        self.image
            .partition(id)
            .unwrap_or_else(|| panic!("no partition {id}"))
    }

    /// What the leader of `id` would ask to get this ISR.
    pub fn alteration(&self, id: TopicIdPartition, isr: &[i32]) -> AlterPartition {
        let partition = self.partition(id);
        AlterPartition {
            topic_id: id.topic_id,
            partition: id.partition,
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            new_isr: isr
                .iter()
                .map(|&member| (NodeId(member), self.broker_epoch(member)))
                .collect(),
            leader_recovery_state: LeaderRecoveryState::Recovered,
        }
    }

    pub fn alter(
        &mut self,
        broker: i32,
        change: AlterPartition,
    ) -> Result<AlteredPartition, ErrorCode> {
        let input = self.alter_input(broker, change);
        match self.ask(input) {
            Reply::AlterPartition(Ok(mut results)) => results.pop().expect("one partition").result,
            Reply::AlterPartition(Err(error)) => Err(error.code),
            other => panic!("{other:?}"),
        }
    }

    pub fn alter_input(&self, broker: i32, change: AlterPartition) -> Input {
        let broker_epoch = self.broker_epoch(broker);
        let request = AlterPartitionRequest {
            broker: NodeId(broker),
            broker_epoch,
            partitions: vec![change],
        };
        Input::AlterPartition(Ticket(0), request)
    }

    pub fn set_config(&mut self, resource: ConfigResource, name: &str, value: &str) -> Input {
        let operation = ConfigOperationType::Set(Some(value.to_owned()));
        self.change_config(resource, name, operation)
    }

    pub fn delete_config(&mut self, resource: ConfigResource, name: &str) -> Input {
        self.change_config(resource, name, ConfigOperationType::Delete)
    }

    fn change_config(
        &self,
        resource: ConfigResource,
        name: &str,
        operation: ConfigOperationType,
    ) -> Input {
        let operations = vec![ConfigOperation {
            name: name.to_owned(),
            operation,
        }];
        let resources = vec![(resource, operations)];
        let request = IncrementalAlterConfigsRequest {
            resources,
            validate_only: false,
        };
        Input::IncrementalAlterConfigs(Ticket(0), request)
    }
}

/// Asks for one partition's replicas to be moved; none to cancel.
pub(super) fn reassign(id: (&str, i32), target: Option<&[i32]>) -> Input {
    let partition = ReassignablePartition {
        topic: id.0.to_owned(),
        partition: id.1,
        replicas: target.map(nodes),
    };
    let request = AlterPartitionReassignmentsRequest {
        partitions: vec![partition],
        allow_replication_factor_change: true,
    };
    Input::AlterPartitionReassignments(Ticket(0), request)
}

pub(super) fn bootstrap(elr: bool) -> Vec<Record> {
    let mut records = vec![Record::FeatureLevel {
        name: "metadata.version".to_owned(),
        level: 27,
    }];
    if elr {
        records.push(Record::FeatureLevel {
            name: ELR_FEATURE.to_owned(),
            level: 1,
        });
    }
    records
}

pub(super) fn uuid(kind: u64, number: u64) -> Uuid {
    Uuid((u128::from(kind) << 100 | u128::from(number) << 8 | 0xff).to_be_bytes())
}

pub(super) fn directory_of(broker: i32) -> Uuid {
    uuid(3, u64::from(broker.unsigned_abs()))
}

pub(super) fn nodes(ids: &[i32]) -> Vec<NodeId> {
    ids.iter().map(|&id| NodeId(id)).collect()
}
