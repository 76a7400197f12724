//! AddPartitionsToTxn, AddOffsetsToTxn, EndTxn.

use std::collections::BTreeSet;
use std::sync::Arc;

use broker_core::transaction::{AddPartitionsRequest, EndRequest, Producer, Reply, Request};
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::TopicPartition;

use super::Api;
use crate::internal_topics::{self, CONSUMER_OFFSETS, partition_for};

/// The first version of these requests that knows PRODUCER_FENCED (KIP-588).
const FENCED_SINCE: i16 = 2;
/// The first AddPartitionsToTxn between brokers (KIP-890).
const BATCHED_SINCE: i16 = 4;
/// The first EndTxn that raises the epoch (KIP-890 part 2).
const RAISES_EPOCH_SINCE: i16 = 5;
/// `transaction.version` of the clients that these come from.
const CLASSIC: i16 = 0;
const EPOCH_PER_TRANSACTION: i16 = 2;

/// Older clients know only the other name of being fenced.
pub fn fenced_as(error: ErrorCode, knows_fenced: bool) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced if !knows_fenced => ErrorCode::InvalidProducerEpoch,
        error => error,
    }
}

async fn ask(api: &Api, transactional_id: &str, request: Request) -> Result<Reply, ErrorCode> {
    if transactional_id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let transactions = api.transactions.as_ref();
    let transactions = transactions.ok_or(ErrorCode::NotCoordinator)?;
    transactions.call(transactional_id, request).await
}

pub async fn add_partitions(
    api: Arc<Api>,
    request: wire::AddPartitionsToTxnRequest,
    version: i16,
) -> wire::AddPartitionsToTxnResponse {
    if version < BATCHED_SINCE {
        let transaction = wire::AddPartitionsToTxnTransaction {
            transactional_id: request.v3_and_below_transactional_id,
            producer_id: request.v3_and_below_producer_id,
            producer_epoch: request.v3_and_below_producer_epoch,
            topics: request.v3_and_below_topics,
            ..Default::default()
        };
        let result = add_or_verify(&api, transaction, version).await;
        return wire::AddPartitionsToTxnResponse {
            results_by_topic_v3_and_below: result.topic_results,
            ..Default::default()
        };
    }
    let mut results = Vec::with_capacity(request.transactions.len());
    for transaction in request.transactions {
        results.push(add_or_verify(&api, transaction, version).await);
    }
    wire::AddPartitionsToTxnResponse {
        results_by_transaction: results,
        ..Default::default()
    }
}

/// One partition that does not exist fails all.
async fn add_or_verify(
    api: &Api,
    transaction: wire::AddPartitionsToTxnTransaction,
    version: i16,
) -> wire::AddPartitionsToTxnResult {
    let partitions = partitions(&transaction.topics);
    let unknown = api.metadata.read(|image| {
        let is_unknown =
            |it: &&TopicPartition| image.partition_by_name(&it.topic, it.partition).is_none();
        let unknown = partitions.iter().filter(is_unknown).cloned();
        unknown.collect::<BTreeSet<_>>()
    });
    let id = transaction.transactional_id.clone();
    if !unknown.is_empty() {
        return result(transaction, |partition| {
            if unknown.contains(partition) {
                ErrorCode::UnknownTopicOrPartition
            } else {
                ErrorCode::OperationNotAttempted
            }
        });
    }
    let is_batched = version >= BATCHED_SINCE;
    let asked = AddPartitionsRequest {
        transactional_id: id.clone(),
        producer: Producer {
            id: transaction.producer_id,
            epoch: transaction.producer_epoch,
        },
        partitions,
        client_version: if is_batched {
            EPOCH_PER_TRANSACTION
        } else {
            CLASSIC
        },
    };
    let asked = if transaction.verify_only {
        Request::VerifyPartitions(asked)
    } else {
        Request::AddPartitions(asked)
    };
    let reply = ask(api, &id, asked).await;
    let failed = |error| fenced_as(error, version >= FENCED_SINCE);
    match reply {
        Err(error) | Ok(Reply::VerifyPartitions(Err(error))) | Ok(Reply::AddPartitions(error)) => {
            result(transaction, |_| failed(error))
        }
        Ok(Reply::VerifyPartitions(Ok(foreign))) => result(transaction, |partition| {
            if foreign.contains(partition) {
                ErrorCode::TransactionAbortable
            } else {
                ErrorCode::None
            }
        }),
        Ok(other) => panic!("AddPartitionsToTxn was answered with {other:?}"),
    }
}

fn partitions(topics: &[wire::AddPartitionsToTxnTopic]) -> BTreeSet<TopicPartition> {
    let each = |topic: &wire::AddPartitionsToTxnTopic| {
        let name = topic.name.clone();
        let partitions = topic.partitions.clone().into_iter();
        partitions.map(move |partition| TopicPartition::new(name.clone(), partition))
    };
    topics.iter().flat_map(each).collect()
}

fn result(
    transaction: wire::AddPartitionsToTxnTransaction,
    error_of: impl Fn(&TopicPartition) -> ErrorCode,
) -> wire::AddPartitionsToTxnResult {
    let of_topic = |topic: wire::AddPartitionsToTxnTopic| {
        let results = topic.partitions.iter().map(|&partition_index| {
            let partition = TopicPartition::new(topic.name.clone(), partition_index);
            wire::AddPartitionsToTxnPartitionResult {
                partition_index,
                partition_error_code: error_of(&partition).code(),
                ..Default::default()
            }
        });
        wire::AddPartitionsToTxnTopicResult {
            results_by_partition: results.collect(),
            name: topic.name.clone(),
            ..Default::default()
        }
    };
    wire::AddPartitionsToTxnResult {
        transactional_id: transaction.transactional_id,
        topic_results: transaction.topics.into_iter().map(of_topic).collect(),
        ..Default::default()
    }
}

pub async fn add_offsets(
    api: Arc<Api>,
    request: wire::AddOffsetsToTxnRequest,
    version: i16,
) -> wire::AddOffsetsToTxnResponse {
    let error = match add_group(&api, &request).await {
        Ok(Reply::AddPartitions(error)) | Err(error) => error,
        Ok(other) => panic!("AddOffsetsToTxn was answered with {other:?}"),
    };
    wire::AddOffsetsToTxnResponse {
        error_code: fenced_as(error, version >= FENCED_SINCE).code(),
        ..Default::default()
    }
}

/// The group's offsets are records of its partition of `__consumer_offsets`.
async fn add_group(api: &Api, request: &wire::AddOffsetsToTxnRequest) -> Result<Reply, ErrorCode> {
    let partition = api
        .metadata
        .read(|image| partition_for(image, CONSUMER_OFFSETS, &request.group_id));
    let Some(partition) = partition else {
        // A producer may commit offsets of a group that has never asked for its coordinator.
        let created = internal_topics::create(&api.config, &api.forwarder, CONSUMER_OFFSETS).await;
        if let Err(reason) = created {
            tracing::warn!(reason, "{CONSUMER_OFFSETS} was not created");
        }
        return Err(ErrorCode::CoordinatorNotAvailable);
    };
    let asked = AddPartitionsRequest {
        transactional_id: request.transactional_id.clone(),
        producer: Producer {
            id: request.producer_id,
            epoch: request.producer_epoch,
        },
        partitions: BTreeSet::from([TopicPartition::new(CONSUMER_OFFSETS, partition)]),
        client_version: CLASSIC,
    };
    ask(
        api,
        &request.transactional_id,
        Request::AddPartitions(asked),
    )
    .await
}

pub async fn end(
    api: Arc<Api>,
    request: wire::EndTxnRequest,
    version: i16,
) -> wire::EndTxnResponse {
    match end_transaction(&api, &request, version).await {
        Ok(producer) => wire::EndTxnResponse {
            producer_id: producer.id,
            producer_epoch: producer.epoch,
            ..Default::default()
        },
        Err(error) => wire::EndTxnResponse {
            error_code: fenced_as(error, version >= FENCED_SINCE).code(),
            ..Default::default()
        },
    }
}

async fn end_transaction(
    api: &Api,
    request: &wire::EndTxnRequest,
    version: i16,
) -> Result<Producer, ErrorCode> {
    let id = &request.transactional_id;
    if id.is_empty() {
        return Err(ErrorCode::InvalidRequest);
    }
    let (Some(producer_ids), Some(transactions)) = (&api.producer_ids, &api.transactions) else {
        return Err(ErrorCode::NotCoordinator);
    };
    let asked = |fresh_producer_id| {
        Request::End(EndRequest {
            transactional_id: id.clone(),
            producer: Producer {
                id: request.producer_id,
                epoch: request.producer_epoch,
            },
            committed: request.committed,
            client_version: if version >= RAISES_EPOCH_SINCE {
                EPOCH_PER_TRANSACTION
            } else {
                CLASSIC
            },
            fresh_producer_id,
        })
    };
    match transactions
        .call_with_producer_id(id, producer_ids, asked)
        .await?
    {
        Reply::End(result) => result,
        // Another one came between the two requests.
        Reply::NeedsProducerId => Err(ErrorCode::ConcurrentTransactions),
        other => panic!("EndTxn was answered with {other:?}"),
    }
}
