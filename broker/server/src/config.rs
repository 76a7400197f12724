//! The broker's configuration, by Kafka's property names.
//!
//! One table ([`BrokerConfig`]) is the source of names, defaults, checks and of what DescribeConfigs
//! answers. An unknown property or a wrong value is an error that names it. `config/` holds the value
//! types, the listener and voter syntax and the topic-level properties.

mod dynamic;
mod endpoint;
mod topic;
mod value;

use std::collections::BTreeMap;

pub use dynamic::{is_dynamic_config, topic_synonym, validate_dynamic_config};
pub use endpoint::{Listener, SecurityProtocol, Server, Voter};
pub use topic::{TOPIC_CONFIG_NAMES, TopicConfig, is_topic_config, validate_topic_config};
pub use value::{ConfigError, Ratio, Value};

use crate::features;

macro_rules! broker_config {
    ($( $(#[doc = $doc:literal])* $field:ident : $type:ty = $name:literal, $default:expr, $check:expr; )*) => {
        /// Everything a node is told at start. Durations are milliseconds, sizes bytes, as in Kafka.
        #[derive(Clone, Debug, PartialEq, Eq)]
        pub struct BrokerConfig {
            $( $(#[doc = $doc])* pub $field: $type, )*
        }

        impl Default for BrokerConfig {
            fn default() -> BrokerConfig {
                BrokerConfig { $( $field: $default, )* }
            }
        }

        impl BrokerConfig {
            /// Sets one property from its text.
            pub fn set(&mut self, name: &str, text: &str) -> Result<(), ConfigError> {
                match name {
                    $( $name => {
                        let check: fn(&$type) -> Result<(), String> = $check;
                        let value = <$type as Value>::parse(text).and_then(|value| check(&value).map(|()| value));
                        self.$field = value.map_err(|reason| ConfigError::Invalid {
                            name: name.to_string(), value: text.to_string(), reason,
                        })?;
                        Ok(())
                    } )*
                    _ => Err(ConfigError::unknown(name, &Self::names())),
                }
            }

            /// All property names, in the order of the table.
            pub fn names() -> Vec<&'static str> {
                vec![$( $name, )*]
            }

            /// (name, value, is default, documentation) of each property.
            pub fn entries(&self) -> Vec<ConfigEntry> {
                let default = BrokerConfig::default();
                vec![$( ConfigEntry {
                    name: $name,
                    value: self.$field.print(),
                    is_default: self.$field == default.$field,
                    documentation: concat!($($doc),*),
                }, )*]
            }
        }
    };
}

/// A property as DescribeConfigs shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConfigEntry {
    pub name: &'static str,
    pub value: String,
    pub is_default: bool,
    pub documentation: &'static str,
}

fn any<T>(_: &T) -> Result<(), String> {
    Ok(())
}

fn positive(value: &i64) -> Result<(), String> {
    at_least(*value, 1)
}

fn not_negative(value: &i64) -> Result<(), String> {
    at_least(*value, 0)
}

fn minus_one_or_more(value: &i64) -> Result<(), String> {
    at_least(*value, -1)
}

fn at_least(value: i64, least: i64) -> Result<(), String> {
    if value >= least {
        Ok(())
    } else {
        Err(format!("must be at least {least}"))
    }
}

fn positive_i32(value: &i32) -> Result<(), String> {
    at_least(i64::from(*value), 1)
}

fn not_negative_i32(value: &i32) -> Result<(), String> {
    at_least(i64::from(*value), 0)
}

fn replication_factor(value: &i32) -> Result<(), String> {
    if (1..=i32::from(i16::MAX)).contains(value) {
        Ok(())
    } else {
        Err("must be 1 to 32767".into())
    }
}

fn segment_bytes(value: &i64) -> Result<(), String> {
    if (14..=i64::from(i32::MAX)).contains(value) {
        Ok(())
    } else {
        Err("must be 14 to 2147483647".into())
    }
}

broker_config! {
    /// The node's id in this cluster.
    node_id: i32 = "node.id", 1, not_negative_i32;
    /// Roles of this process: broker, controller or both.
    process_roles: Vec<String> = "process.roles", vec!["broker".into(), "controller".into()], |roles| value::roles(roles);
    /// Where to listen, as NAME://host:port.
    listeners: Vec<Listener> = "listeners", endpoint::default_listeners(), any;
    /// What clients are told to connect to; the listeners if empty.
    advertised_listeners: Vec<Listener> = "advertised.listeners", vec![], any;
    /// Names of the controller's listeners.
    controller_listener_names: Vec<String> = "controller.listener.names", vec!["CONTROLLER".into()], any;
    /// Name of the listener for traffic between brokers; the first broker listener if empty.
    inter_broker_listener_name: String = "inter.broker.listener.name", String::new(), any;
    /// Security protocol of each listener name.
    listener_security_protocol_map: Vec<String> = "listener.security.protocol.map",
        vec!["PLAINTEXT:PLAINTEXT".into(), "CONTROLLER:PLAINTEXT".into()], |entries| endpoint::protocol_map(entries);
    /// The voters of the metadata quorum, as id@host:port; this node alone if empty.
    controller_quorum_voters: Vec<Voter> = "controller.quorum.voters", vec![], any;
    /// Where to find the metadata quorum, as host:port, if its voters are in its log.
    controller_quorum_bootstrap_servers: Vec<Server> = "controller.quorum.bootstrap.servers", vec![], any;
    /// A controller that is no voter makes itself one.
    controller_quorum_auto_join_enable: bool = "controller.quorum.auto.join.enable", false, any;
    /// Rack of this broker.
    broker_rack: String = "broker.rack", String::new(), any;
    /// The data folder; overridden by log.dirs.
    log_dir: String = "log.dir", "./data".into(), |path| value::not_empty(path);
    /// The data folders, best on a disk each. The first one also holds the metadata log.
    log_dirs: Vec<String> = "log.dirs", vec![], |paths| value::distinct(paths);

    /// Partitions of a topic that does not say.
    num_partitions: i32 = "num.partitions", 1, positive_i32;
    /// Replicas of a topic that does not say.
    default_replication_factor: i32 = "default.replication.factor", 1, replication_factor;
    /// In-sync replicas an acks=all write needs.
    min_insync_replicas: i32 = "min.insync.replicas", 1, positive_i32;
    /// Create topics on first use.
    auto_create_topics_enable: bool = "auto.create.topics.enable", true, any;
    /// Whether topics can be deleted.
    delete_topic_enable: bool = "delete.topic.enable", true, any;
    /// Elect replicas outside the ISR where nobody else is left, at the price of records.
    unclean_leader_election_enable: bool = "unclean.leader.election.enable", false, any;
    /// How often the controller looks where such an election is allowed and needed.
    unclean_leader_election_interval_ms: i64 = "unclean.leader.election.interval.ms", 300_000, positive;
    /// Give preferred replicas their leadership back from time to time.
    auto_leader_rebalance_enable: bool = "auto.leader.rebalance.enable", true, any;
    /// How often the controller looks at that.
    leader_imbalance_check_interval_seconds: i64 = "leader.imbalance.check.interval.seconds", 300, positive;
    /// Share of a broker's partitions that others may lead in its place.
    leader_imbalance_per_broker_percentage: i64 = "leader.imbalance.per.broker.percentage", 10, not_negative;

    /// A segment is rolled at this size.
    log_segment_bytes: i64 = "log.segment.bytes", 1_073_741_824, segment_bytes;
    /// A segment is rolled at this age.
    log_roll_ms: i64 = "log.roll.ms", 7 * 24 * 3_600_000, positive;
    /// Bytes between two index entries.
    log_index_interval_bytes: i64 = "log.index.interval.bytes", 4096, not_negative;
    /// Largest size of an index file.
    log_index_size_max_bytes: i64 = "log.index.size.max.bytes", 10 * 1024 * 1024, segment_bytes;
    /// Messages after which a log is flushed; with 1 an acknowledgement waits for the flush.
    log_flush_interval_messages: i64 = "log.flush.interval.messages", i64::MAX, positive;
    /// Milliseconds after which a log with unflushed data is flushed.
    log_flush_interval_ms: i64 = "log.flush.interval.ms", i64::MAX, positive;
    /// How often recovery points are written.
    log_flush_offset_checkpoint_interval_ms: i64 = "log.flush.offset.checkpoint.interval.ms", 60_000, positive;
    /// How often high watermarks are written.
    replica_high_watermark_checkpoint_interval_ms: i64 =
        "replica.high.watermark.checkpoint.interval.ms", 5_000, positive;
    /// Age at which segments are deleted; -1 never.
    log_retention_ms: i64 = "log.retention.ms", 7 * 24 * 3_600_000, minus_one_or_more;
    /// Size of a log above which old segments are deleted; -1 never.
    log_retention_bytes: i64 = "log.retention.bytes", -1, minus_one_or_more;
    /// How often retention looks.
    log_retention_check_interval_ms: i64 = "log.retention.check.interval.ms", 300_000, positive;
    /// Whether compacted logs are cleaned.
    log_cleaner_enable: bool = "log.cleaner.enable", true, any;
    /// Pause between two looks at what there is to clean.
    log_cleaner_backoff_ms: i64 = "log.cleaner.backoff.ms", 15_000, positive;
    /// Memory for the keys of a log that is being cleaned.
    log_cleaner_dedupe_buffer_size: i64 = "log.cleaner.dedupe.buffer.size", 134_217_728, positive;
    /// How long tombstones and markers stay in a compacted log.
    log_cleaner_delete_retention_ms: i64 = "log.cleaner.delete.retention.ms", 24 * 3_600_000, not_negative;
    /// Of a compacted log so much must be dirty before it is cleaned.
    log_cleaner_min_cleanable_ratio: Ratio = "log.cleaner.min.cleanable.ratio", Ratio::HALF, any;
    /// A producer that sent nothing for so long is forgotten (KIP-854).
    producer_id_expiration_ms: i64 = "producer.id.expiration.ms", 24 * 3_600_000, positive;
    /// How often such producers are looked for.
    producer_id_expiration_check_interval_ms: i64 =
        "producer.id.expiration.check.interval.ms", 600_000, positive;
    /// A transactional batch is appended only if the coordinator knows of its transaction (KIP-890).
    transaction_partition_verification_enable: bool =
        "transaction.partition.verification.enable", true, any;
    /// Largest record batch.
    message_max_bytes: i64 = "message.max.bytes", 1_048_588, not_negative;

    /// A follower that has not caught up for this long leaves the ISR.
    replica_lag_time_max_ms: i64 = "replica.lag.time.max.ms", 30_000, positive;
    /// How long a follower's fetch may wait.
    replica_fetch_wait_max_ms: i64 = "replica.fetch.wait.max.ms", 500, not_negative;
    /// Bytes a follower's fetch waits for.
    replica_fetch_min_bytes: i64 = "replica.fetch.min.bytes", 1, not_negative;
    /// Bytes per partition of a follower's fetch.
    replica_fetch_max_bytes: i64 = "replica.fetch.max.bytes", 1_048_576, not_negative;
    /// Bytes of a whole answer to a follower's fetch.
    replica_fetch_response_max_bytes: i64 = "replica.fetch.response.max.bytes", 10_485_760, not_negative;
    /// Longest wait for the answer to a follower's fetch, beyond its own wait.
    replica_socket_timeout_ms: i64 = "replica.socket.timeout.ms", 30_000, positive;
    /// Pause of a follower after a failed fetch.
    replica_fetch_backoff_ms: i64 = "replica.fetch.backoff.ms", 1_000, not_negative;
    /// Bytes of a whole answer to a consumer's fetch.
    fetch_max_bytes: i64 = "fetch.max.bytes", 57_671_680, positive;

    /// Fetch sessions kept for clients and followers (KIP-227).
    max_incremental_fetch_session_cache_slots: i32 =
        "max.incremental.fetch.session.cache.slots", 1_000, not_negative_i32;

    /// Bytes per second that throttled replicas which lag may fetch from this broker (KIP-73).
    leader_replication_throttled_rate: i64 = "leader.replication.throttled.rate", i64::MAX, not_negative;
    /// Bytes per second that throttled replicas on this broker which lag may fetch.
    follower_replication_throttled_rate: i64 = "follower.replication.throttled.rate", i64::MAX, not_negative;

    /// Which replica serves a consumer (KIP-392): the leader if empty, or Kafka's name of the rack-aware one.
    replica_selector_class: String = "replica.selector.class", String::new(), |class| replica_selector(class);

    /// Partitions of the topic that holds groups and their offsets.
    offsets_topic_num_partitions: i32 = "offsets.topic.num.partitions", 50, positive_i32;
    /// Its replicas. Until so many brokers are there, there are no groups.
    offsets_topic_replication_factor: i32 = "offsets.topic.replication.factor", 3, replication_factor;
    /// A segment of it is rolled at this size.
    offsets_topic_segment_bytes: i64 = "offsets.topic.segment.bytes", 104_857_600, segment_bytes;
    /// Longest wait for a commit to be replicated.
    offsets_commit_timeout_ms: i64 = "offsets.commit.timeout.ms", 5_000, positive;
    /// How long offsets stay after a group has lost its last member.
    offsets_retention_minutes: i64 = "offsets.retention.minutes", 10_080, positive;
    /// How often that is looked at.
    offsets_retention_check_interval_ms: i64 = "offsets.retention.check.interval.ms", 600_000, positive;
    /// Largest metadata string of a committed offset.
    offset_metadata_max_bytes: i32 = "offset.metadata.max.bytes", 4_096, not_negative_i32;
    /// Shortest session timeout that a member may ask for.
    group_min_session_timeout_ms: i32 = "group.min.session.timeout.ms", 6_000, positive_i32;
    /// Longest session timeout that a member may ask for.
    group_max_session_timeout_ms: i32 = "group.max.session.timeout.ms", 1_800_000, positive_i32;
    /// How long a group that was empty waits for more members before its first rebalance.
    group_initial_rebalance_delay_ms: i64 = "group.initial.rebalance.delay.ms", 3_000, not_negative;
    /// Most members of a group.
    group_max_size: i32 = "group.max.size", i32::MAX, positive_i32;
    /// A member of a consumer group that was not heard of for so long is out.
    group_consumer_session_timeout_ms: i32 = "group.consumer.session.timeout.ms", 45_000, positive_i32;
    /// How often members of consumer groups are told to heartbeat.
    group_consumer_heartbeat_interval_ms: i32 = "group.consumer.heartbeat.interval.ms", 5_000, positive_i32;
    /// Most members of a consumer group.
    group_consumer_max_size: i32 = "group.consumer.max.size", i32::MAX, positive_i32;
    /// Server-side assignors that members may ask for; the first is the default.
    group_consumer_assignors: Vec<String> = "group.consumer.assignors", vec!["uniform".into(), "range".into()], |names| value::assignors(names);

    /// Longest transaction timeout that a producer may ask for.
    transaction_max_timeout_ms: i32 = "transaction.max.timeout.ms", 900_000, positive_i32;
    /// A transactional id without a transaction for so long is forgotten.
    transactional_id_expiration_ms: i64 = "transactional.id.expiration.ms", 7 * 24 * 3_600_000, positive;
    /// How often such ids are looked for.
    transaction_remove_expired_interval_ms: i64 =
        "transaction.remove.expired.transaction.cleanup.interval.ms", 3_600_000, positive;
    /// How often transactions that are over their timeout are looked for.
    transaction_abort_timed_out_interval_ms: i64 =
        "transaction.abort.timed.out.transaction.cleanup.interval.ms", 10_000, positive;
    /// Partitions of the topic that holds transactions.
    transaction_state_log_num_partitions: i32 = "transaction.state.log.num.partitions", 50, positive_i32;
    /// Its replicas. Until so many brokers are there, there are no transactions.
    transaction_state_log_replication_factor: i32 =
        "transaction.state.log.replication.factor", 3, replication_factor;
    /// In-sync replicas it needs.
    transaction_state_log_min_isr: i32 = "transaction.state.log.min.isr", 2, positive_i32;
    /// A segment of it is rolled at this size.
    transaction_state_log_segment_bytes: i64 = "transaction.state.log.segment.bytes", 104_857_600, segment_bytes;

    /// The controller fences a broker it has not heard of for this long.
    broker_session_timeout_ms: i64 = "broker.session.timeout.ms", 9_000, positive;
    /// How often a broker tells the controller that it lives.
    broker_heartbeat_interval_ms: i64 = "broker.heartbeat.interval.ms", 2_000, positive;
    /// Limit of a controlled shutdown before the broker stops anyway.
    controlled_shutdown_max_wait_ms: i64 = "controlled.shutdown.max.wait.ms", 30_000, not_negative;
    /// Move leaders away before stopping.
    controlled_shutdown_enable: bool = "controlled.shutdown.enable", true, any;
    /// The controller writes a no-op record after this much idle time; 0 never.
    metadata_max_idle_interval_ms: i64 = "metadata.max.idle.interval.ms", 500, not_negative;
    /// Bytes of metadata after which a snapshot is written.
    metadata_log_max_record_bytes_between_snapshots: i64 =
        "metadata.log.max.record.bytes.between.snapshots", 20 * 1024 * 1024, positive;
    /// Time after which a snapshot is written if there are new records; 0 never.
    metadata_log_max_snapshot_interval_ms: i64 = "metadata.log.max.snapshot.interval.ms", 3_600_000, not_negative;
    /// Size of the metadata log and its snapshots above which old ones are deleted; -1 never.
    metadata_max_retention_bytes: i64 = "metadata.max.retention.bytes", 100 * 1024 * 1024, minus_one_or_more;
    /// Age at which an old snapshot, and the log before the next, is deleted; -1 never.
    metadata_max_retention_ms: i64 = "metadata.max.retention.ms", 7 * 24 * 3_600_000, minus_one_or_more;
    /// A segment of the metadata log is rolled at this size.
    metadata_log_segment_bytes: i64 = "metadata.log.segment.bytes", 1_073_741_824, segment_bytes;
    /// A segment of the metadata log is rolled at this age.
    metadata_log_segment_ms: i64 = "metadata.log.segment.ms", 7 * 24 * 3_600_000, positive;
    /// A voter that hears of no leader for this long starts an election.
    controller_quorum_election_timeout_ms: i64 = "controller.quorum.election.timeout.ms", 1_000, positive;
    /// A leader that a majority has not fetched from for this long resigns; a follower campaigns.
    controller_quorum_fetch_timeout_ms: i64 = "controller.quorum.fetch.timeout.ms", 2_000, positive;
    /// Longest back-off between elections.
    controller_quorum_election_backoff_max_ms: i64 = "controller.quorum.election.backoff.max.ms", 1_000, positive;
    /// Longest wait for an answer within the quorum.
    controller_quorum_request_timeout_ms: i64 = "controller.quorum.request.timeout.ms", 2_000, positive;
    /// Longest wait for an answer between brokers.
    request_timeout_ms: i64 = "request.timeout.ms", 30_000, positive;

    /// Largest request accepted.
    socket_request_max_bytes: i64 = "socket.request.max.bytes", 104_857_600, positive;
    /// Connections accepted at once.
    max_connections: i64 = "max.connections", i64::from(i32::MAX), not_negative;
    /// An idle connection is closed after this long.
    connections_max_idle_ms: i64 = "connections.max.idle.ms", 600_000, minus_one_or_more;

    /// Internal, for tests of rolling upgrades: the release whose features this node supports, e.g. 4.0.
    internal_supported_release: String = "internal.supported.release", "4.1".into(), |release| features::check_release(release);
    /// Internal, for tests of metadata transactions: most records of one batch of the metadata log.
    internal_metadata_batch_records_max: i64 = "internal.metadata.batch.records.max", 1_000, positive;
    /// Internal: highest supported levels of single features, as name:level; they narrow the release.
    internal_supported_feature_levels: Vec<String> =
        "internal.supported.feature.levels", vec![], |levels| features::check_levels(levels);
    /// Internal: the release whose feature levels a new cluster starts with, as kafka-storage's
    /// --release-version; what the node supports if empty.
    internal_bootstrap_release: String = "internal.bootstrap.release", String::new(),
        |release| if release.is_empty() { Ok(()) } else { features::check_release(release) };
}

const RACK_AWARE_SELECTOR: &str = "org.apache.kafka.common.replica.RackAwareReplicaSelector";
const LEADER_SELECTOR: &str = "org.apache.kafka.common.replica.LeaderSelector";

fn replica_selector(class: &str) -> Result<(), String> {
    match class {
        "" | LEADER_SELECTOR | RACK_AWARE_SELECTOR => Ok(()),
        _ => Err(format!(
            "must be {LEADER_SELECTOR} or {RACK_AWARE_SELECTOR}"
        )),
    }
}

impl BrokerConfig {
    /// Whether consumers are sent to replicas in their rack.
    pub fn selects_replicas_by_rack(&self) -> bool {
        self.replica_selector_class == RACK_AWARE_SELECTOR
    }

    /// Reads Kafka's `server.properties` syntax; the error names line, property and reason.
    pub fn from_properties(text: &str) -> Result<BrokerConfig, ConfigError> {
        let mut config = BrokerConfig::default();
        for (number, name, value) in value::properties(text)? {
            config
                .set(&name, &value)
                .map_err(|error| error.at_line(number))?;
        }
        config.check()?;
        Ok(config)
    }

    /// Builds a configuration from (name, value) pairs.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (&'a str, &'a str)>,
    ) -> Result<BrokerConfig, ConfigError> {
        let mut config = BrokerConfig::default();
        for (name, value) in pairs {
            config.set(name, value)?;
        }
        config.check()?;
        Ok(config)
    }

    /// Checks that hold between properties.
    pub fn check(&self) -> Result<(), ConfigError> {
        let conflict = |reason: String| Err(ConfigError::Conflict { reason });
        if self.broker_heartbeat_interval_ms >= self.broker_session_timeout_ms {
            return conflict(
                "broker.heartbeat.interval.ms must be below broker.session.timeout.ms".into(),
            );
        }
        if self.is_broker() && self.broker_listeners().is_empty() {
            return conflict(
                "listeners: a broker needs a listener that is not a controller's".into(),
            );
        }
        if self.is_controller() && self.controller_listener().is_none() {
            return conflict(format!(
                "listeners: a controller needs a listener named in controller.listener.names ({})",
                self.controller_listener_names.join(",")
            ));
        }
        if self.group_min_session_timeout_ms > self.group_max_session_timeout_ms {
            return conflict(
                "group.min.session.timeout.ms must not be above group.max.session.timeout.ms"
                    .into(),
            );
        }
        if self.group_consumer_heartbeat_interval_ms >= self.group_consumer_session_timeout_ms {
            return conflict(
                "group.consumer.heartbeat.interval.ms must be below group.consumer.session.timeout.ms"
                    .into(),
            );
        }
        let voters = self.voters();
        if self.is_controller()
            && !self.finds_voters()
            && !voters.iter().any(|voter| voter.id == self.node_id)
        {
            return conflict(format!(
                "controller.quorum.voters does not name node.id {}",
                self.node_id
            ));
        }
        if !self.is_controller() && voters.iter().any(|voter| voter.id == self.node_id) {
            return conflict(format!(
                "controller.quorum.voters names node.id {}, which is no controller",
                self.node_id
            ));
        }
        if !self.is_controller() && voters.is_empty() && !self.finds_voters() {
            return conflict(
                "controller.quorum.voters or controller.quorum.bootstrap.servers is needed by a broker without the controller role"
                    .into(),
            );
        }
        if self.controller_quorum_auto_join_enable && !(self.is_controller() && self.finds_voters())
        {
            return conflict(
                "controller.quorum.auto.join.enable is for controllers with controller.quorum.bootstrap.servers"
                    .into(),
            );
        }
        let mut ids = BTreeMap::new();
        for voter in &voters {
            if ids.insert(voter.id, ()).is_some() {
                return conflict(format!(
                    "controller.quorum.voters names id {} twice",
                    voter.id
                ));
            }
        }
        Ok(())
    }

    pub fn is_broker(&self) -> bool {
        self.process_roles.iter().any(|role| role == "broker")
    }

    pub fn is_controller(&self) -> bool {
        self.process_roles.iter().any(|role| role == "controller")
    }

    /// The folder that holds all data of this node.
    pub fn data_directory(&self) -> &str {
        self.log_dirs.first().unwrap_or(&self.log_dir)
    }

    /// Whether this node learns the voters from the quorum (KIP-853) and not from its configuration.
    pub fn finds_voters(&self) -> bool {
        self.controller_quorum_voters.is_empty()
            && !self.controller_quorum_bootstrap_servers.is_empty()
    }

    /// The configured voters of the metadata quorum: this node alone if nothing is said of it. A voter set in
    /// the log replaces them.
    pub fn voters(&self) -> Vec<Voter> {
        if !self.controller_quorum_voters.is_empty() || !self.is_controller() || self.finds_voters()
        {
            return self.controller_quorum_voters.clone();
        }
        let listener = self.controller_listener();
        listener
            .map(|listener| Voter {
                id: self.node_id,
                host: listener.host_or_loopback(),
                port: listener.port,
            })
            .into_iter()
            .collect()
    }

    /// The listeners that are not a controller's.
    pub fn broker_listeners(&self) -> Vec<Listener> {
        let is_controllers =
            |listener: &&Listener| self.controller_listener_names.contains(&listener.name);
        self.listeners
            .iter()
            .filter(|listener| !is_controllers(listener))
            .cloned()
            .collect()
    }

    pub fn controller_listener(&self) -> Option<Listener> {
        self.listeners
            .iter()
            .find(|listener| self.controller_listener_names.contains(&listener.name))
            .cloned()
    }

    /// What clients and other brokers are told to connect to.
    pub fn advertised(&self) -> Vec<Listener> {
        let is_controllers =
            |listener: &Listener| self.controller_listener_names.contains(&listener.name);
        let mut listeners = self.advertised_listeners.clone();
        listeners.retain(|listener| !is_controllers(listener));
        if listeners.is_empty() {
            listeners = self.broker_listeners();
        }
        listeners.into_iter().map(Listener::reachable).collect()
    }

    /// What the other controllers are told to connect to; none on a node without this role.
    pub fn advertised_controller(&self) -> Option<Listener> {
        let listener = self
            .controller_listener()
            .filter(|_| self.is_controller())?;
        let mut advertised = self.advertised_listeners.iter();
        let named = advertised.find(|advertised| advertised.name == listener.name);
        Some(named.cloned().unwrap_or(listener).reachable())
    }

    /// The listener name for traffic between brokers.
    pub fn inter_broker_listener(&self) -> String {
        if !self.inter_broker_listener_name.is_empty() {
            return self.inter_broker_listener_name.clone();
        }
        self.broker_listeners()
            .first()
            .map_or_else(|| "PLAINTEXT".into(), |listener| listener.name.clone())
    }

    /// Topic-level defaults that follow from the broker's properties.
    pub fn topic_defaults(&self) -> TopicConfig {
        TopicConfig {
            segment_bytes: self.log_segment_bytes,
            segment_ms: self.log_roll_ms,
            segment_index_bytes: self.log_index_size_max_bytes,
            index_interval_bytes: self.log_index_interval_bytes,
            flush_messages: self.log_flush_interval_messages,
            flush_ms: self.log_flush_interval_ms,
            retention_ms: self.log_retention_ms,
            retention_bytes: self.log_retention_bytes,
            max_message_bytes: self.message_max_bytes,
            delete_retention_ms: self.log_cleaner_delete_retention_ms,
            min_cleanable_dirty_ratio: self.log_cleaner_min_cleanable_ratio,
            min_insync_replicas: self.min_insync_replicas,
            unclean_leader_election_enable: self.unclean_leader_election_enable,
            ..TopicConfig::default()
        }
    }
}

#[cfg(test)]
mod tests;
