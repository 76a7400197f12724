//! DeleteTopics and CreatePartitions.

use std::collections::BTreeSet;

use broker_protocol::ids::{NodeId, TopicIdPartition, Uuid};

use super::create_topics::{
    check_batch_size, check_manual_replicas, new_partition, place_or_refuse,
};
use super::error::ErrorCode;
use super::image::{MetadataImage, TopicImage};
use super::record::Record;
use super::reply::{ApiError, DeleteTopicResult, Output, Reply};
use super::request::{CreatePartitionsRequest, CreatePartitionsTopic, TopicSelector};
use crate::Ticket;

pub(super) fn delete_topics(
    hard: &MetadataImage,
    ticket: Ticket,
    topics: Vec<TopicSelector>,
    out: &mut Vec<Output>,
) {
    let mut removed = BTreeSet::new();
    let mut results = Vec::new();
    for selector in topics {
        let (name, topic_id, found) = find_topic(hard, &selector);
        let result = found.and_then(|id| {
            check_batch_size(removed.len() + 1)?;
            let first = removed.insert(id);
            let twice =
                || ApiError::new(ErrorCode::InvalidRequest, "Duplicate topic in the request.");
            first.then_some(()).ok_or_else(twice)
        });
        results.push(DeleteTopicResult {
            name,
            topic_id,
            result,
        });
    }
    if !removed.is_empty() {
        let records = removed
            .into_iter()
            .map(|topic_id| Record::RemoveTopic { topic_id });
        out.push(Output::Records(records.collect()));
    }
    out.push(Output::Reply(ticket, Reply::DeleteTopics(results)));
}

/// Both names of the topic as far as they are known.
fn find_topic(
    hard: &MetadataImage,
    selector: &TopicSelector,
) -> (Option<String>, Uuid, Result<Uuid, ApiError>) {
    match selector {
        TopicSelector::Name(name) => {
            let id = hard.topic_id(name);
            let found = id.ok_or(ApiError::from(ErrorCode::UnknownTopicOrPartition));
            (Some(name.clone()), id.unwrap_or(Uuid::ZERO), found)
        }
        TopicSelector::Id(id) => {
            let name = hard.topic_name(*id).map(str::to_owned);
            let found = if name.is_some() {
                Ok(*id)
            } else {
                Err(ErrorCode::UnknownTopicId.into())
            };
            (name, *id, found)
        }
    }
}

pub(super) fn create_partitions(
    hard: &MetadataImage,
    ticket: Ticket,
    request: CreatePartitionsRequest,
    out: &mut Vec<Output>,
) {
    let mut records = Vec::new();
    let mut names = BTreeSet::new();
    let mut results = Vec::new();
    for (index, topic) in (0u64..).zip(request.topics) {
        let result = if names.insert(topic.name.clone()) {
            add_partitions(
                hard,
                &topic,
                request.random.wrapping_add(index),
                &mut records,
            )
        } else {
            Err(ApiError::new(
                ErrorCode::InvalidRequest,
                "Duplicate topic name.",
            ))
        };
        results.push((topic.name, result));
    }
    if !request.validate_only && !records.is_empty() {
        out.push(Output::Records(records));
    }
    out.push(Output::Reply(ticket, Reply::CreatePartitions(results)));
}

fn add_partitions(
    hard: &MetadataImage,
    request: &CreatePartitionsTopic,
    seed: u64,
    records: &mut Vec<Record>,
) -> Result<(), ApiError> {
    let topic = hard
        .topic(&request.name)
        .ok_or(ApiError::from(ErrorCode::UnknownTopicOrPartition))?;
    let additional = additional_partitions(topic, request)?;
    check_batch_size(records.len().saturating_add(additional))?;
    let first = i32::try_from(topic.partitions.len()).expect("partitions are numbered by i32");
    let replication_factor = topic
        .partitions
        .values()
        .next()
        .expect("a topic has partitions")
        .replicas
        .len();
    let lists = match &request.assignments {
        Some(lists) => {
            check_assignments(hard, lists, first, additional, replication_factor)?;
            lists.clone()
        }
        None => place_or_refuse(hard, additional, replication_factor, seed)?,
    };
    for (partition, replicas) in (first..).zip(&lists) {
        let id = TopicIdPartition {
            topic_id: topic.id,
            partition,
        };
        records.push(Record::Partition(new_partition(hard, id, replicas)));
    }
    Ok(())
}

fn additional_partitions(
    topic: &TopicImage,
    request: &CreatePartitionsTopic,
) -> Result<usize, ApiError> {
    let current = topic.partitions.len();
    let wanted = usize::try_from(request.count).unwrap_or(0);
    if wanted == current {
        let message = format!("Topic already has {current} partition(s).");
        return Err(ApiError::new(ErrorCode::InvalidPartitions, message));
    }
    wanted.checked_sub(current).ok_or_else(|| {
        let message = format!(
            "The topic {} currently has {current} partition(s); {} would not be an increase.",
            topic.name, request.count
        );
        ApiError::new(ErrorCode::InvalidPartitions, message)
    })
}

fn check_assignments(
    hard: &MetadataImage,
    lists: &[Vec<NodeId>],
    first: i32,
    additional: usize,
    replication_factor: usize,
) -> Result<(), ApiError> {
    if lists.len() != additional {
        let message = format!(
            "Attempted to add {additional} additional partition(s), but only {} assignment(s) were specified.",
            lists.len()
        );
        return Err(ApiError::new(ErrorCode::InvalidReplicaAssignment, message));
    }
    for (partition, replicas) in (first..).zip(lists) {
        check_manual_replicas(hard, partition, replicas, Some(replication_factor))?;
    }
    Ok(())
}
