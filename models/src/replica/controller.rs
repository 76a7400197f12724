//! The controller over a log that is committed at once: the model of the quorum covers everything else about
//! that log. One topic with one partition on all brokers.

use broker_core::Ticket;
use broker_core::metadata::invariants::{Transition, Violation};
use broker_core::metadata::{
    AlterPartition, AlterPartitionReassignmentsRequest, AlterPartitionRequest,
    BrokerHeartbeatRequest, BrokerRegistration, BrokerRegistrationRequest, ConfigOperation,
    ConfigOperationType, ConfigResource, ControllerConfig, CreatableTopic, CreateTopicsRequest,
    ELR_FEATURE, ElectLeadersRequest, ElectionType, IncrementalAlterConfigsRequest, Input,
    LeaderRecoveryState, MIN_INSYNC_REPLICAS, MetadataImage, Output, PartitionAssignment,
    PartitionRegistration, ReassignablePartition, Record, Reply, Soft, VersionRange, decide,
};
use broker_core::replica::cluster::{AskedIsr, Published, id, index};
use broker_core::replica::{AlterPartitionId, AlteredPartition, Config, PartitionState};
use broker_core::testbed::Shared;
use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, NodeId, Offset, TopicIdPartition, Uuid};

const TOPIC: &str = "t";
const PARTITION: TopicIdPartition = TopicIdPartition {
    topic_id: Uuid([7; 16]),
    partition: 0,
};

const ELR_LEVELS: VersionRange = VersionRange { min: 0, max: 1 };

#[derive(Clone, Debug)]
pub struct Controller {
    image: MetadataImage,
    /// Not part of a state: nothing that this model does depends on when a broker was last heard of.
    soft: Soft,
    /// How many batches the log has.
    end: usize,
    /// What the last batches of the log say, as far as some broker has not acted on them.
    published: Vec<Shared<Published>>,
}

impl Controller {
    /// All brokers are registered and unfenced and have the partition, which is led by the first.
    pub fn new(brokers: usize, min_insync_replicas: i32) -> Controller {
        Controller::with_replicas(brokers, brokers, min_insync_replicas)
    }

    /// The partition is on the first `replicas` of the brokers.
    pub fn with_replicas(brokers: usize, replicas: usize, min_insync_replicas: i32) -> Controller {
        let mut controller = Controller {
            image: MetadataImage::default(),
            soft: Soft::new(ControllerConfig {
                min_insync_replicas,
                // No more than is needed: the controller is copied with each state that it changes in.
                topic_config_names: [MIN_INSYNC_REPLICAS.to_owned()].into(),
                supported_features: [(ELR_FEATURE.to_owned(), ELR_LEVELS)].into(),
                ..ControllerConfig::default()
            }),
            end: 0,
            published: Vec::new(),
        };
        controller
            .bootstrap(brokers, replicas)
            .expect("nothing went wrong yet");
        controller
    }

    fn bootstrap(&mut self, brokers: usize, replicas: usize) -> Result<(), Violation> {
        let elr = Record::FeatureLevel {
            name: ELR_FEATURE.to_owned(),
            level: 1,
        };
        self.feed(Input::Activated {
            bootstrap: vec![elr],
        })?;
        for broker in 0..brokers {
            self.register(broker, BrokerEpoch(-1))?;
            self.unfence(broker, self.end)?;
        }
        let topic = CreatableTopic {
            name: TOPIC.to_owned(),
            topic_id: PARTITION.topic_id,
            num_partitions: -1,
            replication_factor: -1,
            assignments: vec![PartitionAssignment {
                partition: 0,
                replicas: (0..replicas).map(id).collect(),
            }],
            configs: Vec::new(),
        };
        self.feed(Input::CreateTopics(
            TICKET,
            CreateTopicsRequest {
                topics: vec![topic],
                validate_only: false,
                random: 0,
            },
        ))
        .map(|_| ())
    }

    /// META-1 and META-3 are checked for each record.
    fn feed(&mut self, input: Input) -> Result<Option<Reply>, Violation> {
        let mut out = Vec::new();
        decide(&self.image, &mut self.soft, input, &mut out);
        let mut answer = None;
        for output in out {
            match output {
                Output::Records(records) => self.append(&records)?,
                Output::Reply(_, reply) => answer = Some(reply),
                Output::ArmSession { .. }
                | Output::DisarmSession { .. }
                | Output::UpgradeKraftVersion(_)
                | Output::ArmLeaderBalance { .. }
                | Output::ArmUncleanElection { .. } => {}
            }
        }
        Ok(answer)
    }

    fn append(&mut self, records: &[Record]) -> Result<(), Violation> {
        for record in records {
            let transition = Transition::before(&self.image, record);
            self.image.apply(record);
            let min_insync_replicas = self.soft.config.min_insync_replicas;
            transition.check(&self.image, record, min_insync_replicas)?;
        }
        self.end += 1;
        if let Some(published) = self.latest() {
            self.published.push(Shared::new(published));
        }
        Ok(())
    }

    fn latest(&self) -> Option<Published> {
        let partition = self.image.partition(PARTITION)?;
        let brokers = self.image.brokers().values();
        let eligible = brokers
            .filter(|broker| broker.is_active())
            .map(|broker| (broker.id, broker.epoch))
            .collect();
        Some(Published {
            state: PartitionState {
                leader: partition.leader.unwrap_or(NodeId::NONE),
                leader_epoch: partition.leader_epoch,
                partition_epoch: partition.partition_epoch,
                replicas: partition.replicas.clone(),
                isr: partition.isr.clone(),
            },
            eligible,
            config: self.config(),
        })
    }

    /// The partition's configuration as brokers see it.
    pub fn config(&self) -> Config {
        let default = self.soft.config.min_insync_replicas;
        let min_insync_replicas = self.image.min_insync_replicas(TOPIC, default);
        Config {
            min_insync_replicas: usize::try_from(min_insync_replicas).expect("at least one"),
            flush_before_ack: false,
        }
    }

    pub fn partition(&self) -> &PartitionRegistration {
        self.image.partition(PARTITION).expect("created at once")
    }

    /// How many batches the log has.
    pub fn end(&self) -> usize {
        self.end
    }

    /// What the metadata says once `end` batches are applied.
    pub fn published(&self, end: usize) -> &Shared<Published> {
        let first = self.end - self.published.len();
        &self.published[end - 1 - first]
    }

    /// Every broker has acted on the first `seen` batches.
    pub fn forget_before(&mut self, seen: usize) {
        self.published.drain(..self.needless(seen));
    }

    pub fn remembers_before(&self, seen: usize) -> bool {
        self.needless(seen) > 0
    }

    /// The last one always stays, for whoever starts.
    fn needless(&self, seen: usize) -> usize {
        let first = self.end - self.published.len();
        seen.min(self.end - 1).saturating_sub(first)
    }

    fn broker(&self, broker: usize) -> &BrokerRegistration {
        self.image.broker(id(broker)).expect("registered at once")
    }

    pub fn is_fenced(&self, broker: usize) -> bool {
        self.broker(broker).fenced
    }

    /// Whether a broker that has acted on `seen` batches knows its own registration.
    pub fn knows_itself(&self, broker: usize, seen: usize) -> bool {
        offset(seen) > self.broker(broker).epoch.0
    }

    /// A process starts; -1 unless the one before it ended cleanly. Gives its broker epoch.
    pub fn register(
        &mut self,
        broker: usize,
        previous_broker_epoch: BrokerEpoch,
    ) -> Result<BrokerEpoch, Violation> {
        let request = BrokerRegistrationRequest {
            broker: id(broker),
            incarnation_id: uuid(100 + self.end),
            endpoints: Vec::new(),
            features: [(ELR_FEATURE.to_owned(), ELR_LEVELS)].into(),
            rack: None,
            log_directories: vec![uuid(200 + broker)],
            previous_broker_epoch,
            next_offset: offset(self.end),
        };
        match self.feed(Input::RegisterBroker(TICKET, request))? {
            Some(Reply::RegisterBroker(Ok(epoch))) => Ok(epoch),
            other => panic!("registration of {}: {other:?}", id(broker)),
        }
    }

    /// A heartbeat of a broker that has acted on `seen` batches.
    pub fn unfence(&mut self, broker: usize, seen: usize) -> Result<(), Violation> {
        self.heartbeat(broker, seen, false)?;
        let kept_out = self.is_fenced(broker) && self.knows_itself(broker, seen);
        demand(!kept_out, || {
            format!("{} knows its registration and stays fenced", id(broker))
        })
    }

    /// The last heartbeat of a broker that stops in good order.
    pub fn shut_down(&mut self, broker: usize, seen: usize) -> Result<(), Violation> {
        self.heartbeat(broker, seen, true)
    }

    fn heartbeat(&mut self, broker: usize, seen: usize, stop: bool) -> Result<(), Violation> {
        let request = BrokerHeartbeatRequest {
            broker: id(broker),
            broker_epoch: self.broker(broker).epoch,
            current_metadata_offset: offset(seen) - 1,
            want_fence: stop,
            want_shut_down: stop,
            offline_log_directories: Vec::new(),
            next_offset: offset(self.end),
        };
        self.feed(Input::BrokerHeartbeat(TICKET, request))
            .map(|_| ())
    }

    /// The broker's session runs out.
    pub fn fence(&mut self, broker: usize) -> Result<(), Violation> {
        self.feed(Input::SessionsExpired(vec![id(broker)]))
            .map(|_| ())
    }

    /// ElectLeaders for the preferred replica.
    pub fn elect_preferred(&mut self) -> Result<(), Violation> {
        let request = ElectLeadersRequest {
            kind: ElectionType::Preferred,
            partitions: Some(vec![(TOPIC.to_owned(), PARTITION.partition)]),
        };
        self.feed(Input::ElectLeaders(TICKET, request)).map(|_| ())
    }

    /// AlterPartitionReassignments; none cancels what is under way. Whether it was taken.
    pub fn reassign(&mut self, target: Option<&[usize]>) -> Result<bool, Violation> {
        let request = AlterPartitionReassignmentsRequest {
            partitions: vec![ReassignablePartition {
                topic: TOPIC.to_owned(),
                partition: PARTITION.partition,
                replicas: target.map(|brokers| brokers.iter().copied().map(id).collect()),
            }],
            allow_replication_factor_change: true,
        };
        let reply = self.feed(Input::AlterPartitionReassignments(TICKET, request))?;
        let Some(Reply::AlterPartitionReassignments(results)) = reply else {
            panic!("another reply: {reply:?}");
        };
        Ok(results.iter().all(|(_, result)| result.is_ok()))
    }

    /// The leader asks for an ISR, and its request arrives at once.
    pub fn set_isr(&mut self, isr: &[NodeId]) -> Result<(), Violation> {
        let partition = self.partition();
        let leader = partition.leader.expect("a leader asks");
        let known = |member: &NodeId| (*member, self.broker(index(*member)).epoch);
        let asked = AskedIsr {
            request: AlterPartitionId(0),
            leader_epoch: partition.leader_epoch,
            partition_epoch: partition.partition_epoch,
            isr: isr.iter().map(known).collect(),
        };
        let leader = index(leader);
        let broker_epoch = self.broker(leader).epoch;
        self.alter_partition(leader, broker_epoch, asked).map(drop)
    }

    pub fn set_min_insync_replicas(&mut self, value: usize) -> Result<(), Violation> {
        let operation = ConfigOperation {
            name: MIN_INSYNC_REPLICAS.to_owned(),
            operation: ConfigOperationType::Set(Some(value.to_string())),
        };
        let request = IncrementalAlterConfigsRequest {
            resources: vec![(ConfigResource::topic(TOPIC), vec![operation])],
            validate_only: false,
        };
        self.feed(Input::IncrementalAlterConfigs(TICKET, request))
            .map(|_| ())
    }

    pub fn alter_partition(
        &mut self,
        broker: usize,
        broker_epoch: BrokerEpoch,
        asked: AskedIsr,
    ) -> Result<Result<AlteredPartition, ErrorCode>, Violation> {
        let repeats = self.is_already(broker, &asked);
        let request = AlterPartitionRequest {
            broker: id(broker),
            broker_epoch,
            partitions: vec![AlterPartition {
                topic_id: PARTITION.topic_id,
                partition: PARTITION.partition,
                leader_epoch: asked.leader_epoch,
                partition_epoch: asked.partition_epoch,
                new_isr: asked.isr,
                leader_recovery_state: LeaderRecoveryState::Recovered,
            }],
        };
        let reply = self.feed(Input::AlterPartition(TICKET, request))?;
        let Some(Reply::AlterPartition(result)) = reply else {
            panic!("another reply: {reply:?}");
        };
        let result = result.map_err(|error| error.code).and_then(|mut results| {
            let altered = results.pop().expect("one partition was asked for").result?;
            Ok(AlteredPartition {
                leader_epoch: altered.leader_epoch,
                partition_epoch: altered.partition_epoch,
                isr: altered.isr,
            })
        });
        demand(!repeats || result.is_ok(), || {
            let (broker, error) = (id(broker), result.as_ref().err());
            format!("the ISR is as leader {broker} asks, and it is told {error:?}")
        })?;
        Ok(result)
    }

    /// The leader asks for what it has got already: the answer was lost.
    fn is_already(&self, broker: usize, asked: &AskedIsr) -> bool {
        let partition = self.partition();
        let mut isr = partition.isr.clone();
        let mut wanted: Vec<NodeId> = asked.isr.iter().map(|&(member, _)| member).collect();
        isr.sort_unstable();
        wanted.sort_unstable();
        partition.leader == Some(id(broker))
            && asked.leader_epoch == partition.leader_epoch
            && asked.partition_epoch < partition.partition_epoch
            && isr == wanted
    }
}

/// LIVE-2: what the controller must not keep from anybody.
fn demand(holds: bool, detail: impl FnOnce() -> String) -> Result<(), Violation> {
    if holds {
        return Ok(());
    }
    Err(Violation {
        invariant: "LIVE-2",
        detail: detail(),
    })
}

/// The image keeps a fingerprint of its content.
impl std::hash::Hash for Controller {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        (self.image.hash(), self.end, &self.published).hash(state);
    }
}

impl PartialEq for Controller {
    fn eq(&self, other: &Controller) -> bool {
        (&self.image, self.end, &self.published) == (&other.image, other.end, &other.published)
    }
}

impl Eq for Controller {}

/// Every request is answered at once.
const TICKET: Ticket = Ticket(0);

fn offset(batches: usize) -> Offset {
    Offset::try_from(batches).expect("a short log")
}

fn uuid(number: usize) -> Uuid {
    let mut bytes = [0; 16];
    bytes[8..].copy_from_slice(&u64::try_from(number).expect("small").to_be_bytes());
    bytes[0] = 1;
    Uuid(bytes)
}
