//! Topics and their partitions.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::{NodeId, Uuid};

use super::{Admin, Results, verdict};
use crate::config::millis;
use crate::error::{AdminError, CallError};
use crate::metadata::TopicMetadata;

/// A topic to create.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct NewTopic {
    pub name: String,
    /// -1: the broker's `num.partitions`.
    pub num_partitions: i32,
    /// -1: the broker's `default.replication.factor`.
    pub replication_factor: i16,
    /// Replicas by partition; if not empty, both counts must be -1.
    pub assignments: BTreeMap<i32, Vec<NodeId>>,
    pub configs: BTreeMap<String, String>,
}

impl NewTopic {
    pub fn new(name: impl Into<String>, num_partitions: i32, replication_factor: i16) -> NewTopic {
        NewTopic {
            name: name.into(),
            num_partitions,
            replication_factor,
            assignments: BTreeMap::new(),
            configs: BTreeMap::new(),
        }
    }

    /// The same with a configuration entry.
    pub fn config(mut self, name: impl Into<String>, value: impl Into<String>) -> NewTopic {
        self.configs.insert(name.into(), value.into());
        self
    }

    fn to_wire(&self) -> wire::CreatableTopic {
        let assignment =
            |(partition, nodes): (&i32, &Vec<NodeId>)| wire::CreatableReplicaAssignment {
                partition_index: *partition,
                broker_ids: nodes.iter().map(|node| node.0).collect(),
                ..Default::default()
            };
        let config = |(name, value): (&String, &String)| wire::CreatableTopicConfig {
            name: name.clone(),
            value: Some(value.clone()),
            ..Default::default()
        };
        wire::CreatableTopic {
            name: self.name.clone(),
            num_partitions: self.num_partitions,
            replication_factor: self.replication_factor,
            assignments: self.assignments.iter().map(assignment).collect(),
            configs: self.configs.iter().map(config).collect(),
            ..Default::default()
        }
    }
}

/// What the controller made of a [`NewTopic`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct CreatedTopic {
    pub id: Uuid,
    pub num_partitions: i32,
    pub replication_factor: i16,
}

/// A topic as a broker sees it.
pub type TopicDescription = TopicMetadata;

impl Admin {
    /// Creates topics, or with `validate_only` says whether they could be.
    ///
    /// # Errors
    /// Per topic, e.g. TOPIC_ALREADY_EXISTS, INVALID_REPLICATION_FACTOR.
    pub async fn create_topics(
        &self,
        topics: &[NewTopic],
        validate_only: bool,
        limit: Duration,
    ) -> Result<Results<String, CreatedTopic>, AdminError> {
        let names = topics.iter().map(|topic| topic.name.clone()).collect();
        let request = |wanted: &BTreeSet<String>, left| wire::CreateTopicsRequest {
            topics: topics
                .iter()
                .filter(|topic| wanted.contains(&topic.name))
                .map(NewTopic::to_wire)
                .collect(),
            timeout_ms: millis(left),
            validate_only,
            ..Default::default()
        };
        let one = |topic: wire::CreatableTopicResult| {
            let created = CreatedTopic {
                id: topic.topic_id,
                num_partitions: topic.num_partitions,
                replication_factor: topic.replication_factor,
            };
            (
                topic.name,
                verdict(topic.error_code, topic.error_message, || created),
            )
        };
        let verdicts =
            |response: wire::CreateTopicsResponse| response.topics.into_iter().map(one).collect();
        self.each(names, limit, request, verdicts).await
    }

    /// Deletes topics by name.
    ///
    /// # Errors
    /// Per topic, e.g. UNKNOWN_TOPIC_OR_PARTITION.
    pub async fn delete_topics(
        &self,
        topics: &[String],
        limit: Duration,
    ) -> Result<Results<String, ()>, AdminError> {
        let request = |wanted: &BTreeSet<String>, left| wire::DeleteTopicsRequest {
            topics: wanted
                .iter()
                .map(|name| wire::DeleteTopicState {
                    name: Some(name.clone()),
                    ..Default::default()
                })
                .collect(),
            topic_names: wanted.iter().cloned().collect(),
            timeout_ms: millis(left),
            ..Default::default()
        };
        let one = |topic: wire::DeletableTopicResult| {
            (
                topic.name.unwrap_or_default(),
                verdict(topic.error_code, topic.error_message, || ()),
            )
        };
        let verdicts = |response: wire::DeleteTopicsResponse| {
            response.responses.into_iter().map(one).collect()
        };
        let results = self
            .each(topics.iter().cloned().collect(), limit, request, verdicts)
            .await?;
        for (name, _) in results.iter().filter(|(_, result)| result.is_ok()) {
            self.client.with_metadata(|metadata| metadata.forget(name));
        }
        Ok(results)
    }

    /// Raises partition counts to these totals.
    ///
    /// # Errors
    /// Per topic, e.g. INVALID_PARTITIONS.
    pub async fn create_partitions(
        &self,
        counts: &BTreeMap<String, i32>,
        limit: Duration,
    ) -> Result<Results<String, ()>, AdminError> {
        let request = |wanted: &BTreeSet<String>, left| {
            let topic = |(name, count): (&String, &i32)| wire::CreatePartitionsTopic {
                name: name.clone(),
                count: *count,
                assignments: None,
                ..Default::default()
            };
            wire::CreatePartitionsRequest {
                topics: counts
                    .iter()
                    .filter(|(name, _)| wanted.contains(*name))
                    .map(topic)
                    .collect(),
                timeout_ms: millis(left),
                ..Default::default()
            }
        };
        let one = |topic: wire::CreatePartitionsTopicResult| {
            (
                topic.name,
                verdict(topic.error_code, topic.error_message, || ()),
            )
        };
        let verdicts = |response: wire::CreatePartitionsResponse| {
            response.results.into_iter().map(one).collect()
        };
        self.each(counts.keys().cloned().collect(), limit, request, verdicts)
            .await
    }

    /// Partitions, leaders and in-sync replicas as some broker knows them.
    ///
    /// # Errors
    /// Per topic, e.g. UNKNOWN_TOPIC_OR_PARTITION.
    pub async fn describe_topics(
        &self,
        topics: &[String],
        limit: Duration,
    ) -> Result<Results<String, TopicDescription>, AdminError> {
        let names: BTreeSet<String> = topics.iter().cloned().collect();
        let errors = self.metadata(Some(&names), limit).await?;
        let describe = |name: String| {
            let known = self
                .client
                .metadata(|metadata| metadata.topic(&name).cloned());
            let error = errors.get(&name).copied();
            let missing = error.unwrap_or(ErrorCode::UnknownTopicOrPartition);
            let result = match (error, known) {
                (None, Some(topic)) => Ok(topic),
                _ => Err(AdminError::api(missing, Some(format!("topic {name}")))),
            };
            (name, result)
        };
        Ok(names.into_iter().map(describe).collect())
    }

    /// All topics, by name.
    ///
    /// # Errors
    /// No broker answered within `limit`.
    pub async fn list_topics(
        &self,
        limit: Duration,
    ) -> Result<BTreeMap<String, TopicDescription>, AdminError> {
        let asked = self.client.env().now();
        self.metadata(None, limit).await?;
        Ok(self.client.metadata(|metadata| {
            let fresh = metadata
                .topics()
                .filter(|(_, topic)| topic.refreshed >= asked);
            fresh
                .map(|(name, topic)| (name.to_string(), topic.clone()))
                .collect()
        }))
    }

    async fn metadata(
        &self,
        topics: Option<&BTreeSet<String>>,
        limit: Duration,
    ) -> Result<BTreeMap<String, ErrorCode>, AdminError> {
        let deadline = self.client.env().now() + limit;
        let mut attempt = 0;
        loop {
            let result = match topics {
                Some(topics) => self.client.refresh_metadata(topics).await,
                None => self.client.refresh_all_metadata().await,
            };
            let last = match result {
                Ok(errors) => return Ok(errors),
                Err(CallError::Closed) => return Err(AdminError::Closed),
                Err(error) => error.to_string(),
            };
            if !self.client.pause_before_retry(attempt, deadline).await {
                return Err(AdminError::Timeout { limit, last });
            }
            attempt += 1;
        }
    }
}
