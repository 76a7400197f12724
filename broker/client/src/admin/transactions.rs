//! Transactions: what their coordinators and their partitions say of them, and how to end one that hangs (KIP-664).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker_env::Instant;
use broker_protocol::api as wire;
use broker_protocol::ids::{NodeId, TopicPartition};
use broker_protocol::{ErrorCode, Request};

use super::Admin;
use crate::coordinator::moved;
use crate::error::{AdminError, CallError};

const TRANSACTION: i8 = 1;

/// Which transactions; an empty filter lets all through.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct TransactionFilter {
    /// By Kafka's names of states.
    pub states: Vec<String>,
    pub producer_ids: Vec<i64>,
    /// Only transactions that run for longer than this (KIP-994).
    pub longer_than: Option<Duration>,
    /// A regular expression that matches the whole transactional id (KIP-1152).
    pub transactional_id_pattern: Option<String>,
}

/// A transactional id as its coordinator lists it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionListing {
    pub transactional_id: String,
    pub coordinator: NodeId,
    pub producer_id: i64,
    pub state: String,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TransactionDescription {
    pub coordinator: NodeId,
    pub state: String,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub timeout: Duration,
    /// Wall time in milliseconds.
    pub start_ms: Option<i64>,
    /// Of an ongoing transaction; of one that completes those that have no marker yet.
    pub partitions: BTreeSet<TopicPartition>,
}

/// A producer as the leader of a partition knows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ProducerState {
    pub producer_id: i64,
    pub producer_epoch: i32,
    pub last_sequence: i32,
    /// Wall time in milliseconds.
    pub last_timestamp_ms: i64,
    /// Of the coordinator that wrote the last marker.
    pub coordinator_epoch: Option<i32>,
    /// Where its open transaction begins.
    pub transaction_start: Option<i64>,
}

/// A transaction to be aborted in one partition, behind its coordinator's back.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct AbortTransaction {
    pub partition: TopicPartition,
    pub producer_id: i64,
    pub producer_epoch: i16,
    pub coordinator_epoch: i32,
}

impl Admin {
    /// The transactional ids of all coordinators.
    ///
    /// # Errors
    /// INVALID_REGULAR_EXPRESSION; INVALID_REQUEST names states that do not exist; some broker did not answer.
    pub async fn list_transactions(
        &self,
        filter: &TransactionFilter,
        limit: Duration,
    ) -> Result<Vec<TransactionListing>, AdminError> {
        let deadline = self.client.env().now() + limit;
        let longer_than = |it: Duration| i64::try_from(it.as_millis()).unwrap_or(i64::MAX);
        let request = wire::ListTransactionsRequest {
            state_filters: filter.states.clone(),
            producer_id_filters: filter.producer_ids.clone(),
            duration_filter: filter.longer_than.map_or(-1, longer_than),
            transactional_id_pattern: filter.transactional_id_pattern.clone(),
            ..Default::default()
        };
        let mut listed = Vec::new();
        for node in self.describe_cluster(limit).await?.nodes {
            let answer = self
                .ask_node(
                    async || Ok(node.id),
                    &request,
                    (limit, deadline),
                    |answer: &wire::ListTransactionsResponse| {
                        ErrorCode::from_code_or_unknown(answer.error_code)
                    },
                )
                .await?;
            if !answer.unknown_state_filters.is_empty() {
                let unknown = answer.unknown_state_filters.join(", ");
                let message = Some(format!("unknown states: {unknown}"));
                return Err(AdminError::api(ErrorCode::InvalidRequest, message));
            }
            let of_node = |it: wire::ListedTransaction| TransactionListing {
                transactional_id: it.transactional_id,
                coordinator: node.id,
                producer_id: it.producer_id,
                state: it.transaction_state,
            };
            listed.extend(answer.transaction_states.into_iter().map(of_node));
        }
        listed.sort_by(|left, right| left.transactional_id.cmp(&right.transactional_id));
        Ok(listed)
    }

    /// # Errors
    /// TRANSACTIONAL_ID_NOT_FOUND
    pub async fn describe_transaction(
        &self,
        transactional_id: &str,
        limit: Duration,
    ) -> Result<TransactionDescription, AdminError> {
        let deadline = self.client.env().now() + limit;
        let request = wire::DescribeTransactionsRequest {
            transactional_ids: vec![transactional_id.to_string()],
            ..Default::default()
        };
        let mut coordinator = NodeId::NONE;
        let find = async || {
            coordinator = self
                .transaction_coordinator(transactional_id, deadline)
                .await?;
            Ok(coordinator)
        };
        let verdict = |answer: &wire::DescribeTransactionsResponse| {
            let states = answer.transaction_states.first();
            states.map_or(ErrorCode::UnknownServerError, |it| {
                ErrorCode::from_code_or_unknown(it.error_code)
            })
        };
        let answer = self
            .ask_node(find, &request, (limit, deadline), verdict)
            .await?;
        let described = answer.transaction_states.into_iter().next();
        let described = described.expect("without it the verdict is an error");
        Ok(description(coordinator, described))
    }

    /// The producers that a partition's leader knows, by their ids.
    ///
    /// # Errors
    /// UNKNOWN_TOPIC_OR_PARTITION
    pub async fn describe_producers(
        &self,
        partition: &TopicPartition,
        limit: Duration,
    ) -> Result<BTreeMap<i64, ProducerState>, AdminError> {
        let deadline = self.client.env().now() + limit;
        let request = wire::DescribeProducersRequest {
            topics: vec![wire::DescribeProducersRequestTopic {
                name: partition.topic.clone(),
                partition_indexes: vec![partition.partition],
                ..Default::default()
            }],
            ..Default::default()
        };
        let verdict = |answer: &wire::DescribeProducersResponse| {
            let partitions = answer.topics.iter().flat_map(|topic| &topic.partitions);
            let first = partitions.into_iter().next();
            first.map_or(ErrorCode::UnknownServerError, |it| {
                ErrorCode::from_code_or_unknown(it.error_code)
            })
        };
        let find = async || self.leader(partition, (limit, deadline)).await;
        let answer = self
            .ask_node(find, &request, (limit, deadline), verdict)
            .await?;
        let partitions = answer.topics.into_iter().flat_map(|topic| topic.partitions);
        let producers = partitions.flat_map(|partition| partition.active_producers);
        Ok(producers.map(|it| (it.producer_id, state(&it))).collect())
    }

    /// Writes an abort marker into one partition.
    ///
    /// # Errors
    /// The leader's, e.g. INVALID_PRODUCER_EPOCH, TRANSACTION_COORDINATOR_FENCED.
    pub async fn abort_transaction(
        &self,
        abort: &AbortTransaction,
        limit: Duration,
    ) -> Result<(), AdminError> {
        let deadline = self.client.env().now() + limit;
        let partition = &abort.partition;
        let topics = vec![wire::WritableTxnMarkerTopic {
            name: partition.topic.clone(),
            partition_indexes: vec![partition.partition],
            ..Default::default()
        }];
        let request = wire::WriteTxnMarkersRequest {
            markers: vec![wire::WritableTxnMarker {
                producer_id: abort.producer_id,
                producer_epoch: abort.producer_epoch,
                transaction_result: false,
                topics,
                coordinator_epoch: abort.coordinator_epoch,
                ..Default::default()
            }],
            ..Default::default()
        };
        let verdict = |answer: &wire::WriteTxnMarkersResponse| {
            let topics = answer.markers.iter().flat_map(|marker| &marker.topics);
            let first = topics.flat_map(|topic| &topic.partitions).next();
            first.map_or(ErrorCode::UnknownServerError, |it| {
                ErrorCode::from_code_or_unknown(it.error_code)
            })
        };
        let find = async || self.leader(partition, (limit, deadline)).await;
        let answer = self.ask_node(find, &request, (limit, deadline), verdict);
        answer.await.map(drop)
    }

    /// Asks whoever is the right one until there is a final verdict.
    async fn ask_node<R: Request>(
        &self,
        mut find: impl AsyncFnMut() -> Result<NodeId, AdminError>,
        request: &R,
        (limit, deadline): (Duration, Instant),
        verdict: impl Fn(&R::Response) -> ErrorCode,
    ) -> Result<R::Response, AdminError> {
        let mut attempt = 0;
        loop {
            let node = find().await?;
            let left = deadline.saturating_since(self.client.env().now());
            let last = match self.client.call(node, request, left).await {
                Ok(answer) => match verdict(&answer) {
                    ErrorCode::None => return Ok(answer),
                    error if moved(error) || is_passing(error) => error.to_string(),
                    error => return Err(AdminError::api(error, None)),
                },
                Err(CallError::Closed) => return Err(AdminError::Closed),
                Err(error) => {
                    let refreshed = self.client.refresh_metadata(&BTreeSet::new()).await;
                    refreshed.err().unwrap_or(error).to_string()
                }
            };
            if !self.client.pause_before_retry(attempt, deadline).await {
                return Err(AdminError::Timeout { limit, last });
            }
            attempt += 1;
        }
    }

    async fn transaction_coordinator(
        &self,
        transactional_id: &str,
        deadline: Instant,
    ) -> Result<NodeId, AdminError> {
        let left = deadline.saturating_since(self.client.env().now());
        let request = || wire::FindCoordinatorRequest {
            key_type: TRANSACTION,
            coordinator_keys: vec![transactional_id.to_string()],
            ..Default::default()
        };
        let found = |answer: wire::FindCoordinatorResponse| {
            let found = answer.coordinators.into_iter().next();
            let found = found.ok_or((ErrorCode::CoordinatorNotAvailable, None))?;
            super::verdict(found.error_code, found.error_message, || {
                NodeId(found.node_id)
            })
        };
        let node = self.one(left, request, found).await?;
        let is_known = |node| self.client.metadata(|it| it.brokers.contains_key(&node));
        if !is_known(node) {
            let refreshed = self.client.refresh_metadata(&BTreeSet::new()).await;
            if let Err(CallError::Closed) = refreshed {
                return Err(AdminError::Closed);
            }
        }
        Ok(node)
    }

    async fn leader(
        &self,
        partition: &TopicPartition,
        (limit, deadline): (Duration, Instant),
    ) -> Result<NodeId, AdminError> {
        let topics = BTreeSet::from([partition.topic.clone()]);
        let mut attempt = 0;
        loop {
            let last = match self.client.refresh_metadata(&topics).await {
                Err(CallError::Closed) => return Err(AdminError::Closed),
                Err(error) => error.to_string(),
                Ok(errors) => match errors.get(&partition.topic) {
                    Some(error) if !is_passing(*error) => {
                        return Err(AdminError::api(*error, None));
                    }
                    _ => match self.known_leader(partition) {
                        Some(Some(leader)) => return Ok(leader),
                        Some(None) => ErrorCode::LeaderNotAvailable.to_string(),
                        None => {
                            let unknown = ErrorCode::UnknownTopicOrPartition;
                            return Err(AdminError::api(unknown, None));
                        }
                    },
                },
            };
            if !self.client.pause_before_retry(attempt, deadline).await {
                return Err(AdminError::Timeout { limit, last });
            }
            attempt += 1;
        }
    }

    /// Outer: whether there is such a partition.
    fn known_leader(&self, partition: &TopicPartition) -> Option<Option<NodeId>> {
        self.client.metadata(|metadata| {
            let known = metadata.partition(&partition.topic, partition.partition);
            known.map(|partition| partition.leader)
        })
    }
}

/// A missing partition is an answer.
fn is_passing(error: ErrorCode) -> bool {
    error.is_retriable() && error != ErrorCode::UnknownTopicOrPartition
}

fn description(
    coordinator: NodeId,
    described: wire::DescribedTransaction,
) -> TransactionDescription {
    let partitions = described.topics.into_iter().flat_map(|topic| {
        let name = topic.topic;
        let indexes = topic.partitions.into_iter();
        indexes.map(move |index| TopicPartition::new(name.as_str(), index))
    });
    let timeout_ms = u64::try_from(described.transaction_timeout_ms).unwrap_or(0);
    TransactionDescription {
        coordinator,
        state: described.transaction_state,
        producer_id: described.producer_id,
        producer_epoch: described.producer_epoch,
        timeout: Duration::from_millis(timeout_ms),
        start_ms: Some(described.transaction_start_time_ms).filter(|at| *at >= 0),
        partitions: partitions.collect(),
    }
}

fn state(producer: &wire::ActiveProducer) -> ProducerState {
    ProducerState {
        producer_id: producer.producer_id,
        producer_epoch: producer.producer_epoch,
        last_sequence: producer.last_sequence,
        last_timestamp_ms: producer.last_timestamp,
        coordinator_epoch: Some(producer.coordinator_epoch).filter(|epoch| *epoch >= 0),
        transaction_start: Some(producer.current_txn_start_offset).filter(|at| *at >= 0),
    }
}
