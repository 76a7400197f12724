//! What belongs to a transaction is appended only if the coordinator knows that it belongs there (KIP-890).

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use broker_core::producer_state::{Proof, VerificationGuard};
use broker_probe::probe;
use broker_protocol::ErrorCode;

use super::{Pending, StartedTopic};
use crate::api::Api;
use crate::transaction_verifier::{Partitions, Transaction, Verified};

/// From here on producers have an epoch for each transaction, and add partitions by writing to them.
const IMPLICIT_ADD: i16 = 12;
/// From here on clients know TRANSACTION_ABORTABLE.
const KNOWS_ABORTABLE: i16 = 11;
/// `add.partitions.to.txn.retry.backoff.ms`, `add.partitions.to.txn.retry.backoff.max.ms`: the transaction before
/// may still be completing.
const RETRY: Duration = Duration::from_millis(20);
const RETRIES_MAX: usize = 5;

/// Where in the request a batch is.
type Place = (usize, usize);

/// Asks the coordinator about batches that begin a transaction in their partition, then appends what may be.
pub async fn append(
    api: &Api,
    transactional_id: String,
    (version, acks): (i16, i16),
    topics: &mut [StartedTopic],
) {
    let _turn = api.verifier.turn(&transactional_id).await;
    let guards = begin(api, version, topics);
    let unknown = guards.iter().filter(|(_, guard)| guard.is_some());
    let unknown: Vec<Place> = unknown.map(|(place, _)| *place).collect();
    let refused = ask(api, transactional_id, version, topics, &unknown).await;
    let verifies = api.config.transaction_partition_verification_enable;
    for (place, guard) in guards {
        let answer = &mut topics[place.0].partitions[place.1].answer;
        if let Some((error, message)) = refused.get(&place) {
            *answer = Pending::Refused(*error, message.clone());
        } else if let Pending::Ready(partition, batch) = std::mem::replace(answer, refusal()) {
            let proof = match guard {
                _ if !verifies || !batch.is_transactional() => Proof::NotNeeded,
                Some(guard) => Proof::Verified(guard),
                None => Proof::OpenTransaction,
            };
            *answer = Pending::Waiting(partition.produce(batch.with_proof(proof), acks));
        }
    }
}

/// Takes the place of what is moved.
fn refusal() -> Pending {
    Pending::Refused(ErrorCode::UnknownServerError, None)
}

/// Every batch, with a guard if the coordinator has to be asked.
fn begin(
    api: &Api,
    version: i16,
    topics: &[StartedTopic],
) -> BTreeMap<Place, Option<VerificationGuard>> {
    let bumps_epochs = version >= IMPLICIT_ADD;
    let asks = bumps_epochs || api.config.transaction_partition_verification_enable;
    let mut guards = BTreeMap::new();
    for (at, topic) in topics.iter().enumerate() {
        for (index, started) in topic.partitions.iter().enumerate() {
            if let Pending::Ready(partition, batch) = &started.answer {
                let begins = asks && batch.is_transactional();
                let guard = begins
                    .then(|| partition.begin_verification(batch, bumps_epochs))
                    .flatten();
                guards.insert((at, index), guard);
            }
        }
    }
    guards
}

type Refused = BTreeMap<Place, (ErrorCode, Option<String>)>;

/// Those that must not be appended, and why.
async fn ask(
    api: &Api,
    transactional_id: String,
    version: i16,
    topics: &[StartedTopic],
    places: &[Place],
) -> Refused {
    let mut producers = BTreeSet::new();
    let mut partitions = Partitions::new();
    for place in places {
        let topic = &topics[place.0];
        let started = &topic.partitions[place.1];
        if let Pending::Ready(_, batch) = &started.answer {
            producers.insert(batch.producer());
            let listed = partitions.entry(topic.name.clone()).or_default();
            listed.push(started.index);
        }
    }
    let refuse_all = |error: ErrorCode| {
        let each = places.iter().map(|place| (*place, told(error, version)));
        each.collect()
    };
    let Some((producer_id, producer_epoch)) = producers.pop_first() else {
        return Refused::new();
    };
    if !producers.is_empty() {
        return refuse_all(ErrorCode::InvalidProducerIdMapping);
    }
    let transaction = Transaction {
        transactional_id,
        producer_id,
        producer_epoch,
    };
    let verified = match verify(api, &transaction, &partitions, version).await {
        Ok(verified) => verified,
        Err(error) => return refuse_all(error),
    };
    let each = places.iter().filter_map(|place| {
        let topic = &topics[place.0];
        let named = (topic.name.clone(), topic.partitions[place.1].index);
        // What the coordinator leaves out it does not know.
        let error = verified.get(&named).copied();
        let error = error.unwrap_or(ErrorCode::InvalidTxnState);
        (error != ErrorCode::None).then(|| (*place, told(error, version)))
    });
    each.collect()
}

async fn verify(
    api: &Api,
    transaction: &Transaction,
    partitions: &Partitions,
    version: i16,
) -> Result<Verified, ErrorCode> {
    let adds = version >= IMPLICIT_ADD;
    for _ in 0..RETRIES_MAX {
        let verified = api.verifier.ask(transaction, partitions, adds).await?;
        let completing = verified
            .values()
            .any(|error| *error == ErrorCode::ConcurrentTransactions);
        if !adds || !completing {
            return Ok(verified);
        }
        probe!("produce: the transaction before was still completing");
        api.env.sleep(RETRY).await;
    }
    api.verifier.ask(transaction, partitions, adds).await
}

/// What a producer is told: older ones retry only what they know from replication.
fn told(error: ErrorCode, version: i16) -> (ErrorCode, Option<String>) {
    let error = match error {
        ErrorCode::ProducerFenced => ErrorCode::InvalidProducerEpoch,
        ErrorCode::TransactionAbortable if version < KNOWS_ABORTABLE => ErrorCode::InvalidTxnState,
        other => other,
    };
    let retries = match error {
        ErrorCode::NetworkException
        | ErrorCode::CoordinatorLoadInProgress
        | ErrorCode::CoordinatorNotAvailable
        | ErrorCode::NotCoordinator => true,
        ErrorCode::ConcurrentTransactions => version < IMPLICIT_ADD,
        _ => false,
    };
    if retries {
        let message = format!("the transaction could not be verified: {}", error.name());
        return (ErrorCode::NotEnoughReplicas, Some(message));
    }
    let message = (error == ErrorCode::InvalidTxnState)
        .then(|| "the partition was not added to the transaction".to_string());
    (error, message)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn producers_are_told_what_their_version_knows() {
        use ErrorCode::*;
        let cases = [
            (ProducerFenced, 9, InvalidProducerEpoch),
            (TransactionAbortable, 10, InvalidTxnState),
            (TransactionAbortable, 11, TransactionAbortable),
            (ConcurrentTransactions, 11, NotEnoughReplicas),
            (ConcurrentTransactions, 12, ConcurrentTransactions),
            (NotCoordinator, 12, NotEnoughReplicas),
            (CoordinatorNotAvailable, 3, NotEnoughReplicas),
            (NetworkException, 9, NotEnoughReplicas),
            (InvalidTxnState, 9, InvalidTxnState),
            (InvalidProducerIdMapping, 9, InvalidProducerIdMapping),
        ];
        for (said, version, expected) in cases {
            assert_eq!(
                told(said, version).0,
                expected,
                "{} in v{version}",
                said.name()
            );
        }
    }
}
