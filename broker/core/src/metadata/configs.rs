//! Configurations of topics and brokers: IncrementalAlterConfigs, AlterConfigs, and the checks of values.

use std::collections::BTreeMap;

use broker_probe::{mutant, probe};

use super::create_topics::check_batch_size;
use super::error::ErrorCode;
use super::image::{MIN_INSYNC_REPLICAS, MetadataImage, UNCLEAN_LEADER_ELECTION};
use super::record::{ConfigResource, ConfigResourceType, Record};
use super::reply::{ApiError, Output, Reply};
use super::request::{
    AlterConfigsRequest, ConfigOperation, ConfigOperationType, IncrementalAlterConfigsRequest,
};
use super::soft::{ControllerConfig, Soft};
use crate::Ticket;

/// Topic configurations of Kafka 4.1.
pub const TOPIC_CONFIG_NAMES: [&str; 33] = [
    "cleanup.policy",
    "compression.gzip.level",
    "compression.lz4.level",
    "compression.type",
    "compression.zstd.level",
    "delete.retention.ms",
    "file.delete.delay.ms",
    "flush.messages",
    "flush.ms",
    "follower.replication.throttled.replicas",
    "index.interval.bytes",
    "leader.replication.throttled.replicas",
    "local.retention.bytes",
    "local.retention.ms",
    "max.compaction.lag.ms",
    "max.message.bytes",
    "message.timestamp.after.max.ms",
    "message.timestamp.before.max.ms",
    "message.timestamp.type",
    "min.cleanable.dirty.ratio",
    "min.compaction.lag.ms",
    MIN_INSYNC_REPLICAS,
    "preallocate",
    "remote.log.copy.disable",
    "remote.log.delete.on.disable",
    "remote.storage.enable",
    "retention.bytes",
    "retention.ms",
    "segment.bytes",
    "segment.index.bytes",
    "segment.jitter.ms",
    "segment.ms",
    UNCLEAN_LEADER_ELECTION,
];

/// What a topic configuration may be.
enum ValueKind {
    /// Whole numbers from a lowest to a highest.
    Number(i64, i64),
    /// From 0 to 1.
    Ratio,
    OneOf(&'static [&'static str]),
    /// Comma-separated.
    ListOf(&'static [&'static str]),
    AnyList,
}

fn value_kind(name: &str) -> ValueKind {
    const INT: i64 = i32::MAX as i64;
    const LONG: i64 = i64::MAX;
    match name {
        "cleanup.policy" => ValueKind::ListOf(&["compact", "delete"]),
        "compression.type" => {
            ValueKind::OneOf(&["uncompressed", "zstd", "lz4", "snappy", "gzip", "producer"])
        }
        "message.timestamp.type" => ValueKind::OneOf(&["CreateTime", "LogAppendTime"]),
        "min.cleanable.dirty.ratio" => ValueKind::Ratio,
        "preallocate"
        | "remote.log.copy.disable"
        | "remote.log.delete.on.disable"
        | "remote.storage.enable"
        | UNCLEAN_LEADER_ELECTION => ValueKind::OneOf(&["true", "false"]),
        "follower.replication.throttled.replicas" | "leader.replication.throttled.replicas" => {
            ValueKind::AnyList
        }
        "compression.gzip.level" => ValueKind::Number(-1, 9),
        "compression.lz4.level" => ValueKind::Number(1, 17),
        "compression.zstd.level" => ValueKind::Number(-131_072, 22),
        MIN_INSYNC_REPLICAS => ValueKind::Number(1, INT),
        "retention.ms" => ValueKind::Number(-1, LONG),
        "retention.bytes" => ValueKind::Number(i64::MIN, LONG),
        "local.retention.ms" | "local.retention.bytes" => ValueKind::Number(-2, LONG),
        "segment.bytes" => ValueKind::Number(14, INT),
        "segment.index.bytes" => ValueKind::Number(4, INT),
        "segment.ms" | "flush.messages" | "max.compaction.lag.ms" => ValueKind::Number(1, LONG),
        "index.interval.bytes" | "max.message.bytes" => ValueKind::Number(0, INT),
        _ => ValueKind::Number(0, LONG),
    }
}

impl ValueKind {
    fn fits(&self, value: &str) -> bool {
        match self {
            ValueKind::Number(low, high) => value
                .parse()
                .is_ok_and(|it: i64| (*low..=*high).contains(&it)),
            ValueKind::Ratio => value.parse().is_ok_and(|it: f64| (0.0..=1.0).contains(&it)),
            ValueKind::OneOf(values) => values.contains(&value),
            ValueKind::ListOf(values) => list(value).all(|part| values.contains(&part)),
            ValueKind::AnyList => true,
        }
    }

    fn is_list(&self) -> bool {
        matches!(self, ValueKind::ListOf(_) | ValueKind::AnyList)
    }
}

fn list(value: &str) -> impl Iterator<Item = &str> {
    value
        .split(',')
        .map(str::trim)
        .filter(|part| !part.is_empty())
}

/// Refuses unknown names and values that make no sense.
pub(super) fn check_topic_configs<'a>(
    config: &ControllerConfig,
    values: impl Iterator<Item = (&'a str, &'a str)>,
) -> Result<(), ApiError> {
    for (name, value) in values {
        if !config.topic_config_names.contains(name) {
            let message = format!("Unknown topic config name: {name}");
            return Err(ApiError::new(ErrorCode::InvalidConfig, message));
        }
        if !value_kind(name).fits(value) {
            let message = format!("Invalid value {value} for configuration {name}");
            return Err(ApiError::new(ErrorCode::InvalidConfig, message));
        }
    }
    Ok(())
}

/// New values by name; none to unset.
type Changes<'a> = BTreeMap<&'a str, Option<String>>;

/// Each resource succeeds or fails as a whole; the good ones make one batch.
pub(super) fn incremental_alter_configs(
    hard: &MetadataImage,
    soft: &Soft,
    ticket: Ticket,
    request: IncrementalAlterConfigsRequest,
    out: &mut Vec<Output>,
) {
    let mut records = Vec::new();
    let mut results = Vec::new();
    for (resource, operations) in request.resources {
        let result = check_resource(hard, &resource)
            .and_then(|()| incremental_changes(hard, &resource, &operations))
            .and_then(|changes| alter(hard, &soft.config, &resource, changes, &mut records));
        results.push((resource, result));
    }
    if !request.validate_only && !records.is_empty() {
        out.push(Output::Records(records));
    }
    out.push(Output::Reply(
        ticket,
        Reply::IncrementalAlterConfigs(results),
    ));
}

fn incremental_changes<'a>(
    hard: &MetadataImage,
    resource: &ConfigResource,
    operations: &'a [ConfigOperation],
) -> Result<Changes<'a>, ApiError> {
    let mut changes = Changes::new();
    for ConfigOperation { name, operation } in operations {
        let value = operation.result(name, hard.config(resource, name))?;
        insert_once(&mut changes, name, value)?;
    }
    Ok(changes)
}

/// AlterConfigs (KIP-133), resource by resource as the incremental one.
pub(super) fn alter_configs(
    hard: &MetadataImage,
    soft: &Soft,
    ticket: Ticket,
    request: AlterConfigsRequest,
    out: &mut Vec<Output>,
) {
    let mut records = Vec::new();
    let mut results = Vec::new();
    for (resource, values) in request.resources {
        let result = check_resource(hard, &resource)
            .and_then(|()| replacing_changes(hard, &resource, &values))
            .and_then(|changes| alter(hard, &soft.config, &resource, changes, &mut records));
        results.push((resource, result));
    }
    if !request.validate_only && !records.is_empty() {
        out.push(Output::Records(records));
    }
    out.push(Output::Reply(ticket, Reply::AlterConfigs(results)));
}

/// What is not named is unset.
fn replacing_changes<'a>(
    hard: &'a MetadataImage,
    resource: &ConfigResource,
    values: &'a [(String, Option<String>)],
) -> Result<Changes<'a>, ApiError> {
    let mut changes = Changes::new();
    for (name, value) in values {
        let operation = ConfigOperationType::Set(value.clone());
        insert_once(&mut changes, name, operation.result(name, None)?)?;
    }
    let set = hard.configs().get(resource).into_iter().flatten();
    for (name, _) in set {
        changes.entry(name).or_insert(None);
    }
    Ok(changes)
}

fn insert_once<'a>(
    changes: &mut Changes<'a>,
    name: &'a str,
    value: Option<String>,
) -> Result<(), ApiError> {
    if changes.insert(name, value).is_some() {
        let message = format!("Error due to duplicate config keys: {name}");
        return Err(ApiError::new(ErrorCode::InvalidRequest, message));
    }
    Ok(())
}

fn alter(
    hard: &MetadataImage,
    config: &ControllerConfig,
    resource: &ConfigResource,
    changes: Changes<'_>,
    records: &mut Vec<Record>,
) -> Result<(), ApiError> {
    if resource.kind == ConfigResourceType::Topic {
        check_topic_configs(
            config,
            changes
                .iter()
                .filter_map(|(name, it)| Some((*name, it.as_deref()?))),
        )?;
    } else {
        check_broker_values(hard, resource, &changes)?;
    }
    check_batch_size(records.len() + changes.len() + 1)?;
    // First clear, then change: in between nobody is eligible by the wrong measure.
    if clears_elr(hard, resource, &changes) && !mutant!(R_23) {
        let topic_name =
            (resource.kind == ConfigResourceType::Topic).then(|| resource.name.clone());
        probe!("metadata: eligible replicas cleared");
        records.push(Record::ClearElr { topic_name });
    }
    for (name, value) in changes {
        // A broker reloads on each record, also when the value stays the same (KAFKA-14136).
        let changed = hard.config(resource, name) != value.as_deref();
        if changed || resource.kind == ConfigResourceType::Broker {
            records.push(Record::Config {
                resource: resource.clone(),
                name: name.to_owned(),
                value,
            });
        }
    }
    Ok(())
}

/// Who is eligible was judged by the old `min.insync.replicas` (KAFKA-16540).
fn clears_elr(hard: &MetadataImage, resource: &ConfigResource, changes: &Changes<'_>) -> bool {
    let counts = match resource.kind {
        ConfigResourceType::Topic => true,
        ConfigResourceType::Broker => resource.name.is_empty(),
        _ => false,
    };
    let change = changes.get(MIN_INSYNC_REPLICAS);
    let changed =
        change.is_some_and(|value| hard.config(resource, MIN_INSYNC_REPLICAS) != value.as_deref());
    counts && changed && hard.elr_enabled()
}

fn check_resource(hard: &MetadataImage, resource: &ConfigResource) -> Result<(), ApiError> {
    match resource.kind {
        ConfigResourceType::Topic if hard.topic_id(&resource.name).is_none() => {
            Err(ErrorCode::UnknownTopicOrPartition.into())
        }
        ConfigResourceType::Broker
            if !resource.name.is_empty() && resource.name.parse::<i32>().is_err() =>
        {
            let message = format!(
                "Unexpected broker id, expected an integer, but received {}",
                resource.name
            );
            Err(ApiError::new(ErrorCode::InvalidRequest, message))
        }
        _ => Ok(()),
    }
}

/// Names of broker configurations are the brokers' matter; what the controller itself reads is not. With
/// eligible replicas, brokers must not disagree on `min.insync.replicas` (KAFKA-16540), so it is the
/// cluster's, and always set.
fn check_broker_values(
    hard: &MetadataImage,
    resource: &ConfigResource,
    changes: &Changes<'_>,
) -> Result<(), ApiError> {
    let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidConfig, message));
    for name in [MIN_INSYNC_REPLICAS, UNCLEAN_LEADER_ELECTION] {
        let value = changes.get(name).and_then(Option::as_deref);
        if let Some(value) = value.filter(|value| !value_kind(name).fits(value)) {
            return refuse(format!("Invalid value {value} for configuration {name}"));
        }
    }
    let change = changes.get(MIN_INSYNC_REPLICAS);
    match change.filter(|_| hard.elr_enabled() && resource.kind == ConfigResourceType::Broker) {
        Some(_) if !resource.name.is_empty() => refuse(format!(
            "Broker-level {MIN_INSYNC_REPLICAS} cannot be altered while ELR is enabled."
        )),
        Some(None) => refuse(format!(
            "Cluster-level {MIN_INSYNC_REPLICAS} cannot be removed while ELR is enabled."
        )),
        _ => Ok(()),
    }
}

impl ConfigOperationType {
    /// The value after the operation; none if there is then no value.
    fn result(&self, name: &str, current: Option<&str>) -> Result<Option<String>, ApiError> {
        let (parts, append) = match self {
            ConfigOperationType::Delete => return Ok(None),
            ConfigOperationType::Set(Some(value)) => return Ok(Some(value.clone())),
            ConfigOperationType::Set(None) => {
                let message = format!("Null value not supported for : {name}");
                return Err(ApiError::new(ErrorCode::InvalidRequest, message));
            }
            ConfigOperationType::Append(parts) => (parts, true),
            ConfigOperationType::Subtract(parts) => (parts, false),
        };
        if !value_kind(name).is_list() {
            let message = format!(
                "Can't append to or subtract from key {name} because its type is not LIST."
            );
            return Err(ApiError::new(ErrorCode::InvalidConfig, message));
        }
        let mut values: Vec<&str> = list(current.unwrap_or("")).collect();
        for part in list(parts) {
            if !append {
                values.retain(|value| *value != part);
            } else if !values.contains(&part) {
                values.push(part);
            }
        }
        Ok(Some(values.join(",")))
    }
}
