//! CreateTopics: names, configurations, placement; all good topics of a request together.

use std::collections::BTreeSet;

use broker_probe::mutant;
use broker_protocol::ids::{LeaderEpoch, NodeId, PartitionEpoch, TopicIdPartition};

use super::configs::check_topic_configs;
use super::draft::MAX_RECORDS_PER_USER_OP;
use super::error::ErrorCode;
use super::image::MetadataImage;
use super::partition::directory;
use super::placement::place;
use super::record::{ConfigResource, LeaderRecoveryState, PartitionRecord, Record};
use super::reply::{ApiError, CreateTopicResult, CreatedTopic, Output, Reply};
use super::request::{CreatableTopic, CreateTopicsRequest, PartitionAssignment};
use super::soft::{ControllerConfig, Soft};
use super::topic_name::check_new_topic_name;
use crate::Ticket;

pub(super) fn create_topics(
    hard: &MetadataImage,
    soft: &Soft,
    ticket: Ticket,
    request: CreateTopicsRequest,
    out: &mut Vec<Output>,
) {
    let mut batch = Batch {
        hard,
        config: &soft.config,
        records: Vec::new(),
        names: BTreeSet::new(),
    };
    let mut results = Vec::new();
    for (index, topic) in (0u64..).zip(&request.topics) {
        let result = batch.add(topic, request.random.wrapping_add(index));
        results.push(CreateTopicResult {
            name: topic.name.clone(),
            result,
        });
    }
    if !request.validate_only && !batch.records.is_empty() {
        out.push(Output::Records(batch.records));
    }
    out.push(Output::Reply(ticket, Reply::CreateTopics(results)));
}

struct Batch<'a> {
    hard: &'a MetadataImage,
    config: &'a ControllerConfig,
    records: Vec<Record>,
    /// Names earlier in the same request.
    names: BTreeSet<String>,
}

impl Batch<'_> {
    fn add(&mut self, topic: &CreatableTopic, seed: u64) -> Result<CreatedTopic, ApiError> {
        check_new_topic_name(self.hard, &topic.name)?;
        if !self.names.insert(topic.name.clone()) {
            let message = "Create topics request contains a topic of that name multiple times.";
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
        let configs = topic_configs(topic)?;
        check_topic_configs(
            self.config,
            configs.iter().map(|(name, value)| (*name, *value)),
        )?;
        let assignments = match topic.assignments.as_slice() {
            [] => automatic_assignment(self.hard, self.config, topic, seed)?,
            manual => manual_assignment(self.hard, topic, manual)?,
        };
        check_batch_size(self.records.len() + 1 + configs.len() + assignments.len())?;
        self.add_records(topic, &configs, &assignments)
    }

    /// Configurations come after the topic and before its partitions, as Kafka's brokers expect.
    fn add_records(
        &mut self,
        topic: &CreatableTopic,
        configs: &[(&str, &str)],
        assignments: &[Vec<NodeId>],
    ) -> Result<CreatedTopic, ApiError> {
        let topic_id = topic.topic_id;
        assert!(
            self.hard.topic_by_id(topic_id).is_none() && !topic_id.is_zero(),
            "topic id {topic_id} reused"
        );
        self.records.push(Record::Topic {
            name: topic.name.clone(),
            topic_id,
        });
        self.records
            .extend(configs.iter().map(|(name, value)| Record::Config {
                resource: ConfigResource::topic(&topic.name),
                name: (*name).to_owned(),
                value: Some((*value).to_owned()),
            }));
        for (partition, replicas) in (0..).zip(assignments) {
            let id = TopicIdPartition {
                topic_id,
                partition,
            };
            self.records
                .push(Record::Partition(new_partition(self.hard, id, replicas)));
        }
        let count = |length: usize| {
            ApiError::new(ErrorCode::InvalidRequest, format!("{length} is too many"))
        };
        Ok(CreatedTopic {
            topic_id,
            num_partitions: i32::try_from(assignments.len())
                .map_err(|_| count(assignments.len()))?,
            replication_factor: i16::try_from(assignments[0].len())
                .map_err(|_| count(assignments[0].len()))?,
        })
    }
}

/// A user's request that makes a batch too large to append is refused before it does harm: the append would
/// fail one active controller after the other (KAFKA-14204).
pub(super) fn check_batch_size(records: usize) -> Result<(), ApiError> {
    if records > MAX_RECORDS_PER_USER_OP && !mutant!(M_04) {
        let message = "Unable to perform excessively large batch operation.";
        return Err(ApiError::new(ErrorCode::PolicyViolation, message));
    }
    Ok(())
}

fn topic_configs(topic: &CreatableTopic) -> Result<Vec<(&str, &str)>, ApiError> {
    let missing: Vec<&str> = topic
        .configs
        .iter()
        .filter(|(_, value)| value.is_none())
        .map(|(name, _)| name.as_str())
        .collect();
    if !missing.is_empty() {
        let message = format!(
            "Null value not supported for topic configs: {}",
            missing.join(",")
        );
        return Err(ApiError::new(ErrorCode::InvalidConfig, message));
    }
    Ok(topic
        .configs
        .iter()
        .filter_map(|(name, value)| Some((name.as_str(), value.as_deref()?)))
        .collect())
}

fn automatic_assignment(
    hard: &MetadataImage,
    config: &ControllerConfig,
    topic: &CreatableTopic,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, ApiError> {
    let replication_factor = match topic.replication_factor {
        -1 => config.default_replication_factor,
        given => given,
    };
    let partitions = if topic.num_partitions == -1 {
        config.num_partitions
    } else {
        topic.num_partitions
    };
    let Some(replicas) = usize::try_from(replication_factor)
        .ok()
        .filter(|&count| count > 0)
    else {
        let message = "Replication factor must be larger than 0, or -1 to use the default value.";
        return Err(ApiError::new(ErrorCode::InvalidReplicationFactor, message));
    };
    let Some(count) = usize::try_from(partitions).ok().filter(|&count| count > 0) else {
        let message = "Number of partitions was set to an invalid non-positive value.";
        return Err(ApiError::new(ErrorCode::InvalidPartitions, message));
    };
    check_batch_size(count)?;
    place_or_refuse(hard, count, replicas, seed)
}

/// Each partition with at least one active replica, or INVALID_REPLICATION_FACTOR.
pub(super) fn place_or_refuse(
    hard: &MetadataImage,
    partitions: usize,
    replication_factor: usize,
    seed: u64,
) -> Result<Vec<Vec<NodeId>>, ApiError> {
    place(hard, partitions, replication_factor, seed).map_err(|reason| {
        let message =
            format!("Unable to replicate the partition {replication_factor} time(s): {reason}");
        ApiError::new(ErrorCode::InvalidReplicationFactor, message)
    })
}

fn manual_assignment(
    hard: &MetadataImage,
    topic: &CreatableTopic,
    assignments: &[PartitionAssignment],
) -> Result<Vec<Vec<NodeId>>, ApiError> {
    for (given, what) in [
        (
            i32::from(topic.replication_factor),
            "replication factor was not set to -1.",
        ),
        (topic.num_partitions, "numPartitions was not set to -1."),
    ] {
        if given != -1 {
            let message = format!("A manual partition assignment was specified, but {what}");
            return Err(ApiError::new(ErrorCode::InvalidRequest, message));
        }
    }
    check_batch_size(assignments.len())?;
    let mut ordered: Vec<&PartitionAssignment> = assignments.iter().collect();
    ordered.sort_by_key(|assignment| assignment.partition);
    let mut lists = Vec::new();
    for (expected, assignment) in (0..).zip(ordered) {
        check_partition_number(assignment.partition, expected)?;
        let replication_factor = lists.first().map(Vec::len);
        check_manual_replicas(
            hard,
            assignment.partition,
            &assignment.replicas,
            replication_factor,
        )?;
        lists.push(assignment.replicas.clone());
    }
    Ok(lists)
}

fn check_partition_number(partition: i32, expected: i32) -> Result<(), ApiError> {
    let message = match partition {
        _ if partition == expected => return Ok(()),
        _ if partition == expected - 1 => {
            format!("Found multiple manual partition assignments for partition {partition}")
        }
        _ => "partitions should be a consecutive 0-based integer sequence".to_owned(),
    };
    Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message))
}

/// Replicas a user chose for one partition: registered, distinct, as many as for the others, one active.
pub(super) fn check_manual_replicas(
    hard: &MetadataImage,
    partition: i32,
    replicas: &[NodeId],
    replication_factor: Option<usize>,
) -> Result<(), ApiError> {
    check_replica_list(hard, replicas)?;
    let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    if let Some(expected) = replication_factor
        && expected != replicas.len()
    {
        return refuse(format!(
            "The manual partition assignment includes a partition with {} replica(s), but this is not \
             consistent with previous partitions, which have {expected} replica(s).",
            replicas.len()
        ));
    }
    if !replicas.iter().any(|&broker| hard.is_active(broker)) {
        return refuse(format!(
            "All brokers specified in the manual partition assignment for partition {partition} are fenced \
             or in controlled shutdown."
        ));
    }
    Ok(())
}

/// Some, registered, distinct.
pub(super) fn check_replica_list(
    hard: &MetadataImage,
    replicas: &[NodeId],
) -> Result<(), ApiError> {
    let refuse = |message: String| Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    if replicas.is_empty() {
        return refuse(
            "The manual partition assignment includes an empty replica list.".to_owned(),
        );
    }
    let mut seen = BTreeSet::new();
    for &broker in replicas {
        if hard.broker(broker).is_none() {
            return refuse(format!(
                "The manual partition assignment includes broker {broker}, but no such broker is registered."
            ));
        }
        if !seen.insert(broker) {
            return refuse(format!(
                "The manual partition assignment includes the broker {broker} more than once."
            ));
        }
    }
    Ok(())
}

/// Only active replicas start in the ISR (KAFKA-13083); the first of them leads.
pub(super) fn new_partition(
    hard: &MetadataImage,
    partition: TopicIdPartition,
    replicas: &[NodeId],
) -> PartitionRecord {
    let fits = |broker: &NodeId| hard.is_active(*broker) || mutant!(M_05);
    let isr: Vec<NodeId> = replicas.iter().copied().filter(fits).collect();
    let leader = *isr
        .first()
        .unwrap_or_else(|| panic!("no active replica for {partition}: {replicas:?}"));
    let directory = |broker: &NodeId| hard.broker(*broker).map(|it| it.default_directory());
    PartitionRecord {
        partition,
        replicas: replicas.to_vec(),
        isr,
        removing_replicas: Vec::new(),
        adding_replicas: Vec::new(),
        leader,
        leader_recovery_state: LeaderRecoveryState::Recovered,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        directories: replicas
            .iter()
            .map(|it| directory(it).unwrap_or(directory::UNASSIGNED))
            .collect(),
        eligible_leader_replicas: Vec::new(),
        last_known_elr: Vec::new(),
    }
}
