//! Topic-level properties: overrides of the broker's.

use std::collections::BTreeMap;

use broker_core::replication_quota;

use super::dynamic::topic_synonym;
use super::value::{Ratio, Value};

/// The effective configuration of a topic. Durations are milliseconds, sizes bytes.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TopicConfig {
    pub cleanup_policy: String,
    pub segment_bytes: i64,
    pub segment_ms: i64,
    pub segment_index_bytes: i64,
    pub index_interval_bytes: i64,
    pub flush_messages: i64,
    pub flush_ms: i64,
    pub retention_ms: i64,
    pub retention_bytes: i64,
    pub max_message_bytes: i64,
    /// How long tombstones and markers stay in a compacted log.
    pub delete_retention_ms: i64,
    /// Of a compacted log so much must be dirty before it is cleaned.
    pub min_cleanable_dirty_ratio: Ratio,
    pub min_insync_replicas: i32,
    /// `CreateTime` or `LogAppendTime`.
    pub message_timestamp_type: String,
    pub unclean_leader_election_enable: bool,
    /// `*` or `partition:broker,…` (KIP-73).
    pub leader_replication_throttled_replicas: String,
    pub follower_replication_throttled_replicas: String,
}

impl Default for TopicConfig {
    fn default() -> TopicConfig {
        TopicConfig {
            cleanup_policy: "delete".into(),
            segment_bytes: 1_073_741_824,
            segment_ms: 7 * 24 * 3_600_000,
            segment_index_bytes: 10 * 1024 * 1024,
            index_interval_bytes: 4096,
            flush_messages: i64::MAX,
            flush_ms: i64::MAX,
            retention_ms: 7 * 24 * 3_600_000,
            retention_bytes: -1,
            max_message_bytes: 1_048_588,
            delete_retention_ms: 24 * 3_600_000,
            min_cleanable_dirty_ratio: Ratio::HALF,
            min_insync_replicas: 1,
            message_timestamp_type: "CreateTime".into(),
            unclean_leader_election_enable: false,
            leader_replication_throttled_replicas: String::new(),
            follower_replication_throttled_replicas: String::new(),
        }
    }
}

/// The topic-level properties that can be set.
pub const TOPIC_CONFIG_NAMES: [&str; 17] = [
    "cleanup.policy",
    "segment.bytes",
    "segment.ms",
    "segment.index.bytes",
    "index.interval.bytes",
    "flush.messages",
    "flush.ms",
    "retention.ms",
    "retention.bytes",
    "max.message.bytes",
    "delete.retention.ms",
    "min.cleanable.dirty.ratio",
    "min.insync.replicas",
    "message.timestamp.type",
    "unclean.leader.election.enable",
    "leader.replication.throttled.replicas",
    "follower.replication.throttled.replicas",
];

fn throttled_replicas(list: &str) -> Result<String, String> {
    match replication_quota::list_problem(list) {
        None => Ok(list.to_owned()),
        Some(problem) => Err(problem),
    }
}

pub fn is_topic_config(name: &str) -> bool {
    TOPIC_CONFIG_NAMES.contains(&name)
}

/// Says what is wrong with a topic-level property, naming it.
pub fn validate_topic_config(name: &str, value: &str) -> Result<(), String> {
    if name == "cleanup.policy" && value != "delete" {
        // Internal topics have it, see `internal_topics`.
        return Err(format!("{name}={value}: only delete is supported yet"));
    }
    TopicConfig::default().set(name, value)
}

impl TopicConfig {
    pub fn is_compacted(&self) -> bool {
        self.cleanup_policy == "compact"
    }

    /// Applies overrides; those that do not parse were refused when they were set and are skipped.
    pub fn with_overrides(mut self, overrides: &BTreeMap<String, String>) -> TopicConfig {
        for (name, value) in overrides {
            if let Err(reason) = self.set(name, value) {
                tracing::warn!(name, value, reason, "topic property ignored");
            }
        }
        self
    }

    /// Applies a broker property that was changed at run time, if it is the default of one of these.
    pub fn override_default(&mut self, broker_property: &str, value: &str) {
        if let Some(name) = topic_synonym(broker_property)
            && let Err(reason) = self.set(name, value)
        {
            tracing::warn!(broker_property, value, reason, "broker property ignored");
        }
    }

    /// Sets one property; the error names it.
    pub fn set(&mut self, name: &str, value: &str) -> Result<(), String> {
        let named = |reason: String| format!("{name}={value}: {reason}");
        match name {
            "cleanup.policy" if matches!(value, "delete" | "compact") => {
                self.cleanup_policy = value.into();
            }
            "cleanup.policy" => return Err(named("must be delete or compact".into())),
            "message.timestamp.type" if matches!(value, "CreateTime" | "LogAppendTime") => {
                self.message_timestamp_type = value.into();
            }
            "message.timestamp.type" => {
                return Err(named("must be CreateTime or LogAppendTime".into()));
            }
            "unclean.leader.election.enable" => {
                self.unclean_leader_election_enable = bool::parse(value).map_err(named)?;
            }
            "leader.replication.throttled.replicas" => {
                self.leader_replication_throttled_replicas =
                    throttled_replicas(value).map_err(named)?;
            }
            "follower.replication.throttled.replicas" => {
                self.follower_replication_throttled_replicas =
                    throttled_replicas(value).map_err(named)?;
            }
            "min.cleanable.dirty.ratio" => {
                self.min_cleanable_dirty_ratio = Ratio::parse(value).map_err(named)?;
            }
            "min.insync.replicas" => {
                let parsed = i32::parse(value).map_err(named)?;
                if parsed < 1 {
                    return Err(named("must be at least 1".into()));
                }
                self.min_insync_replicas = parsed;
            }
            _ => {
                let (field, least) = self
                    .number(name)
                    .ok_or_else(|| format!("unknown topic property '{name}'"))?;
                let parsed = i64::parse(value).map_err(named)?;
                if parsed < least {
                    return Err(named(format!("must be at least {least}")));
                }
                *field = parsed;
            }
        }
        Ok(())
    }

    fn number(&mut self, name: &str) -> Option<(&mut i64, i64)> {
        Some(match name {
            "segment.bytes" => (&mut self.segment_bytes, 14),
            "segment.ms" => (&mut self.segment_ms, 1),
            "segment.index.bytes" => (&mut self.segment_index_bytes, 4),
            "index.interval.bytes" => (&mut self.index_interval_bytes, 0),
            "flush.messages" => (&mut self.flush_messages, 1),
            "flush.ms" => (&mut self.flush_ms, 0),
            "retention.ms" => (&mut self.retention_ms, -1),
            "retention.bytes" => (&mut self.retention_bytes, -1),
            "max.message.bytes" => (&mut self.max_message_bytes, 0),
            "delete.retention.ms" => (&mut self.delete_retention_ms, 0),
            _ => return None,
        })
    }

    /// (name, value) of each property.
    pub fn entries(&self) -> Vec<(&'static str, String)> {
        let values = [
            self.cleanup_policy.clone(),
            self.segment_bytes.to_string(),
            self.segment_ms.to_string(),
            self.segment_index_bytes.to_string(),
            self.index_interval_bytes.to_string(),
            self.flush_messages.to_string(),
            self.flush_ms.to_string(),
            self.retention_ms.to_string(),
            self.retention_bytes.to_string(),
            self.max_message_bytes.to_string(),
            self.delete_retention_ms.to_string(),
            self.min_cleanable_dirty_ratio.print(),
            self.min_insync_replicas.to_string(),
            self.message_timestamp_type.clone(),
            self.unclean_leader_election_enable.to_string(),
            self.leader_replication_throttled_replicas.clone(),
            self.follower_replication_throttled_replicas.clone(),
        ];
        TOPIC_CONFIG_NAMES.into_iter().zip(values).collect()
    }
}
