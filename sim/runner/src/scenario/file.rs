//! A scenario as its TOML file has it. Every table refuses keys it does not know.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Deserializer};
use sim_disk::units;
use sim_faults::chaos::{Aim, Lasts};
use sim_faults::plan::Action;
use sim_faults::{Durability, Fault, FrameRule, Latency, Target};
use sim_workloads::WorkloadKind;
use toml::Spanned;

/// The whole file.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct File {
    pub(crate) name: Option<Spanned<String>>,
    #[serde(default)]
    pub(crate) description: String,
    pub(crate) cluster: Spanned<ClusterTable>,
    #[serde(default)]
    pub(crate) topic: Vec<Spanned<TopicTable>>,
    #[serde(default)]
    pub(crate) workload: Vec<Spanned<WorkloadTable>>,
    #[serde(default)]
    pub(crate) fault: Vec<Spanned<FaultTable>>,
    pub(crate) chaos: Option<Spanned<ChaosTable>>,
    #[serde(default)]
    pub(crate) budget: BudgetTable,
    pub(crate) run: Spanned<RunTable>,
    #[serde(default)]
    pub(crate) network: NetworkTable,
    #[serde(default)]
    pub(crate) disk: DiskTable,
    #[serde(default)]
    pub(crate) expect: ExpectTable,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ClusterTable {
    /// Combined broker and controller nodes.
    pub(crate) nodes: Option<Spanned<u32>>,
    pub(crate) brokers: Option<Spanned<u32>>,
    pub(crate) controllers: Option<Spanned<u32>>,
    /// Log directories of each node: `/data`, `/data1` …
    pub(crate) log_dirs: Option<Spanned<u32>>,
    /// `broker.rack` of the nodes, in turn.
    #[serde(default)]
    pub(crate) racks: Vec<String>,
    /// Broker properties by Kafka's names, on every node.
    #[serde(default)]
    pub(crate) config: BTreeMap<String, Spanned<Property>>,
    /// Brokers behind all other nodes, for "add-broker".
    pub(crate) spare_brokers: Option<Spanned<u32>>,
    /// The first voters are in the log (`kraft.version` 1), and nodes find them by bootstrap servers.
    #[serde(default)]
    pub(crate) dynamic_quorum: bool,
    /// Controllers behind those, for "add-voter".
    pub(crate) spare_controllers: Option<Spanned<u32>>,
    /// Releases of single nodes, e.g. { node1 = "4.0" }.
    #[serde(default)]
    pub(crate) releases: BTreeMap<String, Spanned<String>>,
}

/// A property's value: text, or a number or boolean that is written as text.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub(crate) enum Property {
    Text(String),
    Integer(i64),
    Boolean(bool),
}

impl Property {
    pub(crate) fn text(&self) -> String {
        match self {
            Property::Text(text) => text.clone(),
            Property::Integer(number) => number.to_string(),
            Property::Boolean(flag) => flag.to_string(),
        }
    }
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct TopicTable {
    pub(crate) name: Spanned<String>,
    #[serde(default = "one")]
    pub(crate) partitions: Spanned<i32>,
    pub(crate) replicas: Spanned<i16>,
    /// Ids of each partition's replicas, the preferred leader first.
    #[serde(default)]
    pub(crate) assignment: Option<Spanned<Vec<Vec<i32>>>>,
    #[serde(default)]
    pub(crate) config: BTreeMap<String, Spanned<Property>>,
}

fn one() -> Spanned<i32> {
    Spanned::new(0..0, 1)
}

/// What is not given is as in `WorkloadSpec::default()`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct WorkloadTable {
    pub(crate) kind: Spanned<Kind>,
    /// Topics it uses; none given: all.
    #[serde(default)]
    pub(crate) topics: Vec<Spanned<String>>,
    pub(crate) producers: Option<u32>,
    pub(crate) consumers: Option<u32>,
    pub(crate) observers: Option<u32>,
    /// Records (or topics) per second of each producer (or churner).
    pub(crate) rate: Option<u32>,
    /// Sends (or transactions) of each producer; more are not made.
    pub(crate) operations: Option<u32>,
    /// Sends of one producer without an outcome; more wait.
    pub(crate) outstanding: Option<u32>,
    #[serde(default, deserialize_with = "optional_size")]
    pub(crate) record_size: Option<u64>,
    pub(crate) keys: Option<u32>,
    pub(crate) headers: Option<u32>,
    pub(crate) acks: Option<Acks>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) linger: Option<Duration>,
    #[serde(default, deserialize_with = "optional_size")]
    pub(crate) batch_size: Option<u64>,
    pub(crate) max_in_flight: Option<u32>,
    pub(crate) compression: Option<String>,
    pub(crate) idempotence: Option<bool>,
    /// `isolation.level` of its consumers and observers.
    pub(crate) read_committed: Option<bool>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) transaction_timeout: Option<Duration>,
    /// `client.rack` of its consumers.
    pub(crate) client_rack: Option<String>,
    /// `group.protocol` of its members.
    pub(crate) group_protocol: Option<String>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) request_timeout: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) delivery_timeout: Option<Duration>,
    pub(crate) max_poll_records: Option<u32>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) fetch_max_wait: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) observe_interval: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) finish_timeout: Option<Duration>,
}

/// What the clients of a workload do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Kind {
    /// Producers, consumers and observers.
    ProduceConsume,
    Produce,
    Consume,
    /// Producers, and consumers that are members of one group.
    ConsumerGroup,
    /// Transactions of sends and polls, and consumers.
    Transactions,
    /// Transfers, each of two records in one transaction.
    Bank,
    ConsumeTransformProduce,
    CreateDeleteTopics,
    ReassignPartitions,
    /// Batches whose header does not fit their records.
    BrokenBatches,
}

impl Kind {
    pub(crate) fn spec(self) -> WorkloadKind {
        match self {
            Kind::ProduceConsume => WorkloadKind::ProduceConsume,
            Kind::Produce => WorkloadKind::Produce,
            Kind::Consume => WorkloadKind::Consume,
            Kind::ConsumerGroup => WorkloadKind::ConsumerGroup,
            Kind::Transactions => WorkloadKind::Transactions,
            Kind::Bank => WorkloadKind::Bank,
            Kind::ConsumeTransformProduce => WorkloadKind::ConsumeTransformProduce,
            Kind::CreateDeleteTopics => WorkloadKind::CreateDeleteTopics,
            Kind::ReassignPartitions => WorkloadKind::ReassignPartitions,
            Kind::BrokenBatches => WorkloadKind::BrokenBatches,
        }
    }
}

/// `acks` as producers configure it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Acks(pub(crate) i16);

impl<'de> Deserialize<'de> for Acks {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Acks, D::Error> {
        #[derive(Deserialize)]
        #[serde(untagged)]
        enum Given {
            Text(String),
            Number(i16),
        }
        match Given::deserialize(deserializer)? {
            Given::Text(text) if text == "all" => Ok(Acks(-1)),
            Given::Number(number @ -1..=1) => Ok(Acks(number)),
            Given::Text(text) => Err(wrong_acks(&format!("\"{text}\""))),
            Given::Number(number) => Err(wrong_acks(&number.to_string())),
        }
    }
}

fn wrong_acks<E: serde::de::Error>(given: &str) -> E {
    E::custom(format!("acks is 0, 1 or \"all\", not {given}"))
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct FaultTable {
    #[serde(with = "units::duration")]
    pub(crate) at: Duration,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) every: Option<Duration>,
    pub(crate) times: Option<u32>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) lasts: Option<Duration>,
    pub(crate) target: Option<Spanned<Target>>,
    pub(crate) action: Option<Spanned<Action>>,
    /// An explicit fault, instead of target and action.
    pub(crate) fault: Option<Spanned<Fault>>,
}

/// What is not given is as in `Chaos::standard()`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ChaosTable {
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) mean_interval: Option<Duration>,
    pub(crate) weights: Option<BTreeMap<Spanned<String>, u32>>,
    pub(crate) lasts: Option<Lasts>,
    #[serde(default)]
    pub(crate) lasts_of: BTreeMap<String, Lasts>,
    pub(crate) aim: Option<Aim>,
    #[serde(default)]
    pub(crate) frames: Vec<FrameRule>,
    pub(crate) data_files: Option<Vec<String>>,
    /// What the nodes of a rolling restart come back as.
    #[serde(default)]
    pub(crate) releases: Vec<Spanned<String>>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct BudgetTable {
    #[serde(default)]
    pub(crate) durability: Durability,
    /// Nodes down or paused at the same time at most.
    pub(crate) max_down: Option<u32>,
    /// What becomes of a planned fault that is outside of it.
    #[serde(default)]
    pub(crate) refused: Refused,
}

/// What becomes of a planned fault outside of the budget.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub(crate) enum Refused {
    /// The scenario is wrong.
    #[default]
    Error,
    /// It is not done, and counted, as a random one.
    Skip,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct RunTable {
    /// Simulated, from the first workload's start to the quiet phase.
    #[serde(with = "units::duration")]
    pub(crate) duration: Duration,
    /// Bound on the quiet phase.
    #[serde(default = "minute", with = "units::duration")]
    pub(crate) quiet: Duration,
    /// What comes back when the quiet phase begins.
    #[serde(default)]
    pub(crate) heal: Heal,
    /// A supervisor starts a process that ended by itself after this time.
    #[serde(default = "second", with = "units::duration")]
    pub(crate) restart_delay: Duration,
    /// What `trial run` takes when none is given.
    pub(crate) seed: Option<u64>,
}

/// What comes back when the quiet phase begins.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Heal {
    /// Every node.
    #[default]
    All,
    /// Some nodes, drawn, stay away for ever; never so many that the cluster may stop.
    Core,
}

fn minute() -> Duration {
    Duration::from_secs(60)
}

fn second() -> Duration {
    Duration::from_secs(1)
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct NetworkTable {
    pub(crate) latency: Option<Latency>,
    /// Per second and directed link.
    #[serde(default, deserialize_with = "optional_size")]
    pub(crate) bandwidth: Option<u64>,
    /// Largest piece of a read or write.
    pub(crate) fragment: Option<u32>,
    pub(crate) refuse_when_cut: Option<bool>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct DiskTable {
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) sync_min: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) sync_max: Option<Duration>,
    #[serde(default, deserialize_with = "optional_duration")]
    pub(crate) operation: Option<Duration>,
    #[serde(default, deserialize_with = "optional_size")]
    pub(crate) capacity: Option<u64>,
}

#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct ExpectTable {
    /// Ids that must have been evaluated at least once.
    #[serde(default)]
    pub(crate) invariants: Vec<Spanned<String>>,
    /// Names that must have been hit at least once.
    #[serde(default)]
    pub(crate) probes: Vec<String>,
}

fn optional_duration<'de, D: Deserializer<'de>>(
    deserializer: D,
) -> Result<Option<Duration>, D::Error> {
    units::duration::deserialize(deserializer).map(Some)
}

fn optional_size<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u64>, D::Error> {
    let text = String::deserialize(deserializer)?;
    parse_size(&text)
        .map(Some)
        .map_err(serde::de::Error::custom)
}

/// Parses `"1MiB"`; units B, KB, KiB, MB, MiB, GB, GiB. The error is a sentence.
pub fn parse_size(text: &str) -> Result<u64, String> {
    let text = text.trim();
    let split = text
        .find(|character: char| !character.is_ascii_digit())
        .unwrap_or(text.len());
    let (digits, unit) = text.split_at(split);
    let factor: u64 = match unit {
        "B" => 1,
        "KB" => 1_000,
        "KiB" => 1 << 10,
        "MB" => 1_000_000,
        "MiB" => 1 << 20,
        "GB" => 1_000_000_000,
        "GiB" => 1 << 30,
        "" => return Err(format!("\"{text}\" needs a unit: B, KiB, MiB or GiB")),
        _ => {
            return Err(format!(
                "\"{unit}\" is no unit of size: use B, KiB, MiB or GiB"
            ));
        }
    };
    let number: u64 = digits
        .parse()
        .map_err(|_| format!("\"{text}\" is no size"))?;
    number
        .checked_mul(factor)
        .ok_or_else(|| format!("\"{text}\" is too large"))
}
