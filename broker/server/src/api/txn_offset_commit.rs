//! TxnOffsetCommit: a group's positions, as part of a producer's transaction.

use std::sync::Arc;
use std::time::Duration;

use broker_core::group::{
    CommittedPartition, MemberContext, Producer, Reply, Request, TransactionalCommitRequest,
};
use broker_core::producer_state::Proof;
use broker_probe::probe;
use broker_protocol::ErrorCode;
use broker_protocol::api as wire;

use super::Api;
use super::offsets::{committed_partitions, each_partition, in_time, known_partitions};
use super::write_txn_markers::hosted;
use crate::internal_topics::CONSUMER_OFFSETS;
use crate::partition::ProduceBatch;
use crate::transaction_verifier::{Partitions, Transaction};

/// From here on offsets join the transaction by being committed.
const IMPLICIT_ADD: i16 = 5;
/// From here on clients know TRANSACTION_ABORTABLE.
const KNOWS_ABORTABLE: i16 = 4;
/// `add.partitions.to.txn.retry.backoff.ms`: the transaction before may still be completing.
const RETRY: Duration = Duration::from_millis(20);
const RETRIES_MAX: usize = 5;

pub async fn commit(
    api: Arc<Api>,
    request: wire::TxnOffsetCommitRequest,
    version: i16,
) -> wire::TxnOffsetCommitResponse {
    let topics: Vec<_> = request.topics.iter().map(plain).collect();
    let known = known_partitions(&api, &topics);
    let partitions = committed_partitions(&topics, &known);
    let count = partitions.len();
    let errors = match count {
        0 => Vec::new(),
        _ => {
            let committed = committed(&api, &request, partitions, version).await;
            committed.unwrap_or_else(|error| vec![mapped(error, version); count])
        }
    };
    response(request, each_partition(&known, errors))
}

async fn committed(
    api: &Api,
    request: &wire::TxnOffsetCommitRequest,
    partitions: Vec<CommittedPartition>,
    version: i16,
) -> Result<Vec<ErrorCode>, ErrorCode> {
    let group = request.group_id.as_str();
    let commit = TransactionalCommitRequest {
        group: group.to_string(),
        member: MemberContext {
            member_id: request.member_id.clone(),
            instance_id: request.group_instance_id.clone(),
            generation: request.generation_id,
        },
        producer: Producer {
            id: request.producer_id,
            epoch: request.producer_epoch,
        },
        partitions,
    };
    let groups = api.groups.as_ref().ok_or(ErrorCode::NotCoordinator)?;
    let _turn = api.verifier.turn(&request.transactional_id).await;
    let proof = prove(api, request, version).await?;
    let asked = groups.call_in_transaction(group, Request::CommitTransactional(commit), proof);
    match in_time(api, asked).await? {
        Reply::CommitTransactional(committed) => committed,
        other => panic!("{group}: TxnOffsetCommit was answered with {other:?}"),
    }
}

/// Asks the transaction's coordinator whether the group's partition belongs to it, unless it does here (KIP-890).
async fn prove(
    api: &Api,
    request: &wire::TxnOffsetCommitRequest,
    version: i16,
) -> Result<Proof, ErrorCode> {
    let adds = version >= IMPLICIT_ADD;
    let verifies = api.config.transaction_partition_verification_enable;
    if !adds && !verifies {
        return Ok(Proof::NotNeeded);
    }
    let groups = api.groups.as_ref().ok_or(ErrorCode::NotCoordinator)?;
    let index = groups.partition(&request.group_id);
    let partition = index.and_then(|index| hosted(api, CONSUMER_OFFSETS, index));
    let (index, partition) = index.zip(partition).ok_or(ErrorCode::NotCoordinator)?;
    let producer = (request.producer_id, request.producer_epoch);
    let stand_in = ProduceBatch::of_nothing(producer);
    let Some(guard) = partition.begin_verification(&stand_in, adds) else {
        return Ok(Proof::OpenTransaction);
    };
    let transaction = Transaction {
        transactional_id: request.transactional_id.clone(),
        producer_id: request.producer_id,
        producer_epoch: request.producer_epoch,
    };
    verify(api, &transaction, index, adds).await?;
    Ok(match verifies {
        true => Proof::Verified(guard),
        false => Proof::NotNeeded,
    })
}

async fn verify(
    api: &Api,
    transaction: &Transaction,
    partition: i32,
    adds: bool,
) -> Result<(), ErrorCode> {
    let asked: Partitions = [(CONSUMER_OFFSETS.to_string(), vec![partition])].into();
    let place = (CONSUMER_OFFSETS.to_string(), partition);
    let mut retries = 0;
    loop {
        let verified = api.verifier.ask(transaction, &asked, adds).await?;
        match verified.get(&place) {
            Some(ErrorCode::None) => return Ok(()),
            Some(ErrorCode::ConcurrentTransactions) if adds && retries < RETRIES_MAX => {
                probe!("txn offset commit: the transaction before was still completing");
                retries += 1;
                api.env.sleep(RETRY).await;
            }
            // What the coordinator leaves out it does not know.
            error => return Err(error.copied().unwrap_or(ErrorCode::InvalidTxnState)),
        }
    }
}

/// What the partition of the group says, as clients of its coordinator understand it.
fn mapped(error: ErrorCode, version: i16) -> ErrorCode {
    match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < KNOWS_ABORTABLE => ErrorCode::InvalidTxnState,
        ErrorCode::NotLeaderOrFollower | ErrorCode::KafkaStorageError => ErrorCode::NotCoordinator,
        ErrorCode::NotEnoughReplicas
        | ErrorCode::UnknownTopicOrPartition
        | ErrorCode::RequestTimedOut => ErrorCode::CoordinatorNotAvailable,
        // Older clients retry this one without asking for another coordinator.
        ErrorCode::NetworkException => ErrorCode::CoordinatorLoadInProgress,
        error => error,
    }
}

/// As an OffsetCommit has it.
fn plain(topic: &wire::TxnOffsetCommitRequestTopic) -> wire::OffsetCommitRequestTopic {
    let partitions = topic.partitions.iter();
    let partitions = partitions.map(|partition| wire::OffsetCommitRequestPartition {
        partition_index: partition.partition_index,
        committed_offset: partition.committed_offset,
        committed_leader_epoch: partition.committed_leader_epoch,
        committed_metadata: partition.committed_metadata.clone(),
        ..Default::default()
    });
    wire::OffsetCommitRequestTopic {
        name: topic.name.clone(),
        partitions: partitions.collect(),
        ..Default::default()
    }
}

fn response(
    request: wire::TxnOffsetCommitRequest,
    errors: Vec<ErrorCode>,
) -> wire::TxnOffsetCommitResponse {
    let mut errors = errors.into_iter();
    let topics = request.topics.into_iter().map(|topic| {
        let partitions = topic.partitions.iter().zip(errors.by_ref());
        let partitions =
            partitions.map(
                |(partition, error)| wire::TxnOffsetCommitResponsePartition {
                    partition_index: partition.partition_index,
                    error_code: error.code(),
                    ..Default::default()
                },
            );
        wire::TxnOffsetCommitResponseTopic {
            partitions: partitions.collect(),
            name: topic.name,
            ..Default::default()
        }
    });
    wire::TxnOffsetCommitResponse {
        topics: topics.collect(),
        ..Default::default()
    }
}
