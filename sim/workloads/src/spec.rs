//! What a workload does, as data.

use std::time::Duration;

use broker_client::config::Acks;
use broker_client::{Compression, ConsumerConfig, IsolationLevel, ProducerConfig};
use serde::{Deserialize, Serialize};

/// Values of `group.protocol`.
pub(crate) const CLASSIC_PROTOCOL: &str = "classic";
pub(crate) const CONSUMER_PROTOCOL: &str = "consumer";

/// What the clients of a workload do.
#[derive(
    Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize,
)]
#[serde(rename_all = "snake_case")]
pub enum WorkloadKind {
    /// Producers, consumers and observers.
    #[default]
    ProduceConsume,
    /// Only the producers.
    Produce,
    /// Only the consumers.
    Consume,
    /// Producers, and consumers that are members of one group.
    ConsumerGroup,
    /// Transactions that mix sends and polls, as Jepsen's Kafka workload has them, and consumers.
    Transactions,
    /// Transfers: transactions that write a debit to one partition and the credit to another.
    Bank,
    /// Members of one group that read the first topic and write to the last, each batch in a transaction with its
    /// offsets; some go on as zombies.
    ConsumeTransformProduce,
    /// Creates and deletes topics.
    CreateDeleteTopics,
    /// Moves replicas and elects leaders.
    ReassignPartitions,
    /// Sends batches that must be refused.
    BrokenBatches,
    /// No clients.
    Idle,
}

/// What one client does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Role {
    /// Sends records to random partitions at a rate.
    Producer,
    /// Reads all partitions from their start and follows.
    Consumer,
    /// Joins a group, reads what it is assigned, commits, leaves or falls silent, and comes back.
    Member,
    /// Makes transactions of sends and polls.
    Transactor,
    /// Reads, writes and commits offsets in transactions, as a member of a group.
    Transformer,
    /// Asks for the offsets of all partitions now and then.
    Observer,
    /// Creates topics and deletes them.
    TopicChurner,
    /// Moves replicas, cancels that, and elects leaders.
    Reassigner,
    /// Sends batches whose header does not fit their records.
    Breaker,
}

/// A workload. Times are milliseconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct WorkloadSpec {
    pub kind: WorkloadKind,
    pub topics: Vec<String>,
    pub producers: u32,
    pub consumers: u32,
    pub observers: u32,
    /// Records (or topics, or looks at a partition) per second of each producer (or churner, or operator).
    pub rate: u32,
    /// Sends (or transactions) of each producer (or transactor) in all; 0: as many as there is time for.
    pub operations: u32,
    /// Sends of one producer without an outcome; more wait.
    pub outstanding: u32,
    /// Of a record's value; at least 8.
    pub record_size: u32,
    /// Different keys; 0: no keys.
    pub keys: u32,
    /// Headers of each record.
    pub headers: u32,
    /// -1 all, 1 leader, 0 none.
    pub acks: i16,
    pub linger_ms: u64,
    pub batch_size: u32,
    /// 1 keeps the order of a producer's records in a partition.
    pub max_in_flight: u32,
    /// Kafka's names: none, gzip, snappy, lz4, zstd.
    pub compression: String,
    pub idempotence: bool,
    /// `isolation.level` of its consumers and observers is read_committed.
    pub read_committed: bool,
    pub transaction_timeout_ms: u64,
    /// `client.rack` of its consumers.
    pub client_rack: String,
    /// `group.protocol` of its members: classic or consumer.
    pub group_protocol: String,
    pub request_timeout_ms: u64,
    pub delivery_timeout_ms: u64,
    pub max_poll_records: u32,
    pub fetch_max_wait_ms: u64,
    pub observe_interval_ms: u64,
    /// Limit of the complete read at the end.
    pub finish_timeout_ms: u64,
}

impl Default for WorkloadSpec {
    fn default() -> WorkloadSpec {
        WorkloadSpec {
            kind: WorkloadKind::ProduceConsume,
            topics: vec!["workload".to_string()],
            producers: 1,
            consumers: 1,
            observers: 0,
            rate: 100,
            operations: 0,
            outstanding: 200,
            record_size: 64,
            keys: 16,
            headers: 1,
            acks: -1,
            linger_ms: 0,
            batch_size: 16_384,
            max_in_flight: 5,
            compression: "none".to_string(),
            idempotence: true,
            read_committed: false,
            transaction_timeout_ms: 10_000,
            client_rack: String::new(),
            group_protocol: CLASSIC_PROTOCOL.to_string(),
            request_timeout_ms: 5_000,
            delivery_timeout_ms: 20_000,
            max_poll_records: 500,
            fetch_max_wait_ms: 500,
            observe_interval_ms: 1_000,
            finish_timeout_ms: 60_000,
        }
    }
}

impl WorkloadSpec {
    /// Its clients; each one runs on a host of its own.
    pub fn roles(&self) -> Vec<Role> {
        let of = |role, count: u32| {
            std::iter::repeat_n(role, usize::try_from(count).unwrap_or(usize::MAX))
        };
        let producers = || of(Role::Producer, self.producers);
        let consumers = || of(Role::Consumer, self.consumers);
        match self.kind {
            WorkloadKind::ProduceConsume => producers()
                .chain(consumers())
                .chain(of(Role::Observer, self.observers))
                .collect(),
            WorkloadKind::ConsumerGroup => producers()
                .chain(of(Role::Member, self.consumers))
                .collect(),
            WorkloadKind::Transactions | WorkloadKind::Bank => of(Role::Transactor, self.producers)
                .chain(consumers())
                .chain(of(Role::Observer, self.observers))
                .collect(),
            WorkloadKind::ConsumeTransformProduce => producers()
                .chain(of(Role::Transformer, self.consumers))
                .collect(),
            WorkloadKind::Produce => producers().collect(),
            WorkloadKind::Consume => consumers().collect(),
            WorkloadKind::CreateDeleteTopics => {
                of(Role::TopicChurner, self.producers.max(1)).collect()
            }
            WorkloadKind::ReassignPartitions => {
                of(Role::Reassigner, self.producers.max(1)).collect()
            }
            WorkloadKind::BrokenBatches => of(Role::Breaker, self.producers.max(1)).collect(),
            WorkloadKind::Idle => Vec::new(),
        }
    }

    /// # Errors
    /// A sentence that names the field.
    pub fn check(&self) -> Result<(), String> {
        let problem = if self.record_size < 8 {
            "record_size must be at least 8: a value begins with its number"
        } else if Acks::from_code(self.acks).is_none() {
            "acks must be -1, 0 or 1"
        } else if Compression::from_name(&self.compression).is_none() {
            "compression must be none, gzip, snappy, lz4 or zstd"
        } else if ![CLASSIC_PROTOCOL, CONSUMER_PROTOCOL].contains(&self.group_protocol.as_str()) {
            "group_protocol must be classic or consumer"
        } else if self.rate == 0 {
            "rate must be at least 1"
        } else if self.max_in_flight == 0 || self.outstanding == 0 || self.max_poll_records == 0 {
            "max_in_flight, outstanding and max_poll_records must be at least 1"
        } else if self.topics.is_empty() && self.kind != WorkloadKind::Idle {
            "topics must name one"
        } else {
            return Ok(());
        };
        Err(problem.to_string())
    }

    /// Whether its clients make transactions; their consumers read committed records.
    pub fn is_transactional(&self) -> bool {
        matches!(
            self.kind,
            WorkloadKind::Transactions | WorkloadKind::Bank | WorkloadKind::ConsumeTransformProduce
        )
    }

    /// Whether a client has done all it was to do after so many sends or transactions.
    pub(crate) fn is_done_after(&self, operations: u64) -> bool {
        self.operations > 0 && operations >= u64::from(self.operations)
    }

    pub(crate) fn isolation(&self) -> IsolationLevel {
        if self.read_committed || self.is_transactional() {
            IsolationLevel::ReadCommitted
        } else {
            IsolationLevel::ReadUncommitted
        }
    }

    /// Whether a producer's records keep their order in each partition (CLI-6).
    pub fn orders_sends(&self) -> bool {
        self.is_idempotent() || self.max_in_flight == 1
    }

    /// Whether a record is in the log once, however often it was sent (CLI-6).
    pub fn is_idempotent(&self) -> bool {
        self.producer_config().is_idempotent()
    }

    pub(crate) fn request_timeout(&self) -> Duration {
        Duration::from_millis(self.request_timeout_ms)
    }

    pub(crate) fn producer_config(&self) -> ProducerConfig {
        ProducerConfig {
            acks: Acks::from_code(self.acks).unwrap_or_default(),
            linger: Duration::from_millis(self.linger_ms),
            batch_size: self.batch_size,
            max_in_flight: usize::try_from(self.max_in_flight).unwrap_or(usize::MAX),
            delivery_timeout: Duration::from_millis(self.delivery_timeout_ms),
            request_timeout: self.request_timeout(),
            max_block: Duration::from_millis(self.delivery_timeout_ms),
            compression: Compression::from_name(&self.compression).unwrap_or_default(),
            idempotence: self.idempotence,
            transaction_timeout: Duration::from_millis(self.transaction_timeout_ms),
            ..ProducerConfig::default()
        }
    }

    /// Without a reset policy: a lost position is an error that is recorded, never a silent jump.
    pub(crate) fn consumer_config(&self) -> ConsumerConfig {
        ConsumerConfig {
            max_poll_records: usize::try_from(self.max_poll_records).unwrap_or(usize::MAX),
            fetch_max_wait: Duration::from_millis(self.fetch_max_wait_ms),
            auto_offset_reset: None,
            isolation_level: self.isolation(),
            client_rack: self.client_rack.clone(),
            ..ConsumerConfig::default()
        }
    }
}
