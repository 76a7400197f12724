//! Admin requests at the active controller: topics and partitions.

use std::collections::BTreeSet;
use std::sync::Arc;

use broker_core::metadata::{self as core, ApiError, Input, Reply};
use broker_env::random;
use broker_env::random::Stream;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{NodeId, Uuid};

use super::Api;
use crate::config::{TopicConfig, validate_topic_config};
use crate::internal_topics::is_internal;

pub(super) const NOT_CONTROLLER: i16 = ErrorCode::NotController.code();

pub(super) fn split(result: Result<(), ApiError>) -> (i16, Option<String>) {
    match result {
        Ok(()) => (0, None),
        Err(error) => (error.code.code(), error.message),
    }
}

pub async fn create_topics(
    api: Arc<Api>,
    request: wire::CreateTopicsRequest,
) -> wire::CreateTopicsResponse {
    let names: Vec<String> = request
        .topics
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    let (valid, mut results) = check_topics(request.topics);
    let random = api.env.random.as_ref();
    let topics = valid
        .into_iter()
        .map(|topic| creatable(topic, Uuid(random::uuid(random))))
        .collect();
    let core_request = core::CreateTopicsRequest {
        topics,
        validate_only: request.validate_only,
        random: random.next_u64(Stream::Identity),
    };
    match api
        .quorum
        .controller(move |ticket, _| Input::CreateTopics(ticket, core_request))
        .await
    {
        Ok(Reply::CreateTopics(created)) => {
            results.extend(created.into_iter().map(created_to_wire))
        }
        Ok(other) => panic!("the controller answered CreateTopics with {other:?}"),
        Err(_) => {
            results = names
                .iter()
                .map(|name| topic_error(name, NOT_CONTROLLER, None))
                .collect();
        }
    }
    results.sort_by_key(|result| names.iter().position(|name| *name == result.name));
    wire::CreateTopicsResponse {
        topics: results,
        ..Default::default()
    }
}

/// Refuses topics named twice and properties with wrong values; the core knows names, not values.
fn check_topics(
    topics: Vec<wire::CreatableTopic>,
) -> (Vec<wire::CreatableTopic>, Vec<wire::CreatableTopicResult>) {
    let mut seen = BTreeSet::new();
    let twice: BTreeSet<String> = topics
        .iter()
        .filter(|topic| !seen.insert(topic.name.clone()))
        .map(|topic| topic.name.clone())
        .collect();
    let mut refused: Vec<wire::CreatableTopicResult> = twice
        .iter()
        .map(|name| {
            let message = "topic named more than once in the request".to_string();
            topic_error(name, ErrorCode::InvalidRequest.code(), Some(message))
        })
        .collect();
    let mut valid = Vec::new();
    for topic in topics
        .into_iter()
        .filter(|topic| !twice.contains(&topic.name))
    {
        let problem = topic.configs.iter().find_map(|config| {
            let value = config.value.as_deref().unwrap_or("");
            if is_internal(&topic.name) {
                return TopicConfig::default().set(&config.name, value).err();
            }
            validate_topic_config(&config.name, value).err()
        });
        match problem {
            Some(reason) => refused.push(topic_error(
                &topic.name,
                ErrorCode::InvalidConfig.code(),
                Some(reason),
            )),
            None => valid.push(topic),
        }
    }
    (valid, refused)
}

fn creatable(topic: wire::CreatableTopic, topic_id: Uuid) -> core::CreatableTopic {
    let assignments = topic
        .assignments
        .iter()
        .map(|assignment| core::PartitionAssignment {
            partition: assignment.partition_index,
            replicas: assignment.broker_ids.iter().copied().map(NodeId).collect(),
        });
    core::CreatableTopic {
        topic_id,
        num_partitions: topic.num_partitions,
        replication_factor: topic.replication_factor,
        assignments: assignments.collect(),
        configs: topic
            .configs
            .into_iter()
            .map(|config| (config.name, config.value))
            .collect(),
        name: topic.name,
    }
}

fn created_to_wire(result: core::CreateTopicResult) -> wire::CreatableTopicResult {
    match result.result {
        Ok(created) => wire::CreatableTopicResult {
            name: result.name,
            topic_id: created.topic_id,
            num_partitions: created.num_partitions,
            replication_factor: created.replication_factor,
            error_message: None,
            ..Default::default()
        },
        Err(error) => topic_error(&result.name, error.code.code(), error.message),
    }
}

fn topic_error(name: &str, code: i16, message: Option<String>) -> wire::CreatableTopicResult {
    wire::CreatableTopicResult {
        name: name.to_string(),
        error_code: code,
        error_message: message,
        num_partitions: -1,
        replication_factor: -1,
        ..Default::default()
    }
}

pub async fn delete_topics(
    api: Arc<Api>,
    request: wire::DeleteTopicsRequest,
    version: i16,
) -> wire::DeleteTopicsResponse {
    let by_name = |name: String| core::TopicSelector::Name(name);
    let by_either = |topic: wire::DeleteTopicState| match topic.name {
        Some(name) => core::TopicSelector::Name(name),
        None => core::TopicSelector::Id(topic.topic_id),
    };
    let selectors: Vec<core::TopicSelector> = if version >= 6 {
        request.topics.into_iter().map(by_either).collect()
    } else {
        request.topic_names.into_iter().map(by_name).collect()
    };
    let asked = selectors.clone();
    let deletable = api.config.delete_topic_enable;
    let reply = match deletable {
        true => {
            api.quorum
                .controller(move |ticket, _| Input::DeleteTopics(ticket, selectors))
                .await
        }
        false => return refuse_all(&asked, ErrorCode::TopicDeletionDisabled.code()),
    };
    match reply {
        Ok(Reply::DeleteTopics(results)) => {
            let responses = results.into_iter().map(|result| {
                let (error_code, error_message) = split(result.result);
                wire::DeletableTopicResult {
                    name: result.name,
                    topic_id: result.topic_id,
                    error_code,
                    error_message,
                    ..Default::default()
                }
            });
            wire::DeleteTopicsResponse {
                responses: responses.collect(),
                ..Default::default()
            }
        }
        Ok(other) => panic!("the controller answered DeleteTopics with {other:?}"),
        Err(_) => refuse_all(&asked, NOT_CONTROLLER),
    }
}

fn refuse_all(asked: &[core::TopicSelector], code: i16) -> wire::DeleteTopicsResponse {
    let responses = asked.iter().map(|selector| {
        let (name, topic_id) = match selector {
            core::TopicSelector::Name(name) => (Some(name.clone()), Uuid::ZERO),
            core::TopicSelector::Id(id) => (None, *id),
        };
        wire::DeletableTopicResult {
            name,
            topic_id,
            error_code: code,
            error_message: None,
            ..Default::default()
        }
    });
    wire::DeleteTopicsResponse {
        responses: responses.collect(),
        ..Default::default()
    }
}

pub async fn create_partitions(
    api: Arc<Api>,
    request: wire::CreatePartitionsRequest,
) -> wire::CreatePartitionsResponse {
    let names: Vec<String> = request
        .topics
        .iter()
        .map(|topic| topic.name.clone())
        .collect();
    let topics = request
        .topics
        .into_iter()
        .map(|topic| core::CreatePartitionsTopic {
            name: topic.name,
            count: topic.count,
            assignments: topic.assignments.map(|assignments| {
                let replicas = |assignment: wire::CreatePartitionsAssignment| {
                    assignment.broker_ids.into_iter().map(NodeId).collect()
                };
                assignments.into_iter().map(replicas).collect()
            }),
        });
    let core_request = core::CreatePartitionsRequest {
        topics: topics.collect(),
        validate_only: request.validate_only,
        random: api.env.random.next_u64(Stream::Identity),
    };
    let result = |name: String, (error_code, error_message): (i16, Option<String>)| {
        wire::CreatePartitionsTopicResult {
            name,
            error_code,
            error_message,
            ..Default::default()
        }
    };
    let results = match api
        .quorum
        .controller(move |ticket, _| Input::CreatePartitions(ticket, core_request))
        .await
    {
        Ok(Reply::CreatePartitions(results)) => results
            .into_iter()
            .map(|(name, outcome)| result(name, split(outcome)))
            .collect(),
        Ok(other) => panic!("the controller answered CreatePartitions with {other:?}"),
        Err(_) => names
            .into_iter()
            .map(|name| result(name, (NOT_CONTROLLER, None)))
            .collect(),
    };
    wire::CreatePartitionsResponse {
        results,
        ..Default::default()
    }
}
