//! Transactions: what waits for what, and what an error leaves possible.

use super::super::ProducerIdAndEpoch;
use super::super::transaction::{Asked, TransactionState, Verdict};
use super::*;

const TRANSACTIONAL: Config = Config {
    linger: false,
    idempotence: true,
    transactional: true,
    ..CONFIG
};

fn epoch(producer_epoch: i16) -> ProducerIdAndEpoch {
    ProducerIdAndEpoch {
        producer_id: 7,
        producer_epoch,
    }
}

/// A producer that has its identity, in a transaction.
fn begun(implicit: bool) -> Client {
    let mut client = Client::new(TRANSACTIONAL);
    let mut out = Vec::new();
    client
        .producer
        .init_transactions(&mut out)
        .expect("the first call");
    assert_eq!(out, [Output::InitProducerId { previous: None }]);
    assert!(client.producer.accepts_records().is_err());
    client.step(Input::ProducerId(Ok(epoch(0))));
    client
        .producer
        .begin_transaction(implicit)
        .expect("it is ready");
    client
}

fn add(numbers: &[i32]) -> Output {
    Output::AddPartitions {
        partitions: numbers.iter().copied().map(partition).collect(),
    }
}

fn produced(out: &[Output]) -> Vec<RequestId> {
    let requests = out.iter().filter_map(|output| match output {
        Output::Produce { request, .. } => Some(*request),
        _ => None,
    });
    requests.collect()
}

fn answer(
    client: &mut Client,
    request: RequestId,
    result: Result<Offset, ErrorCode>,
) -> Vec<Output> {
    client.step(Input::Response {
        request,
        results: vec![(partition(0), result)],
    })
}

fn outcomes(out: &[Output]) -> Vec<Outcome> {
    let outcomes = out.iter().filter_map(|output| match output {
        Output::Complete { outcome, .. } => Some(*outcome),
        _ => None,
    });
    outcomes.collect()
}

#[test]
fn records_wait_until_the_coordinator_knows_their_partition() {
    let mut client = begun(false);
    let out = client.send(0, 10);
    assert!(
        produced(&out).is_empty() && out.contains(&add(&[0])),
        "{out:?}"
    );
    // One request at a time: the next two go together.
    assert!(!client.send(1, 10).contains(&add(&[1])));
    client.send(2, 10);
    let out = client.step(Input::PartitionsAdded);
    assert_eq!(produced(&out).len(), 1);
    assert!(out.contains(&add(&[1, 2])), "{out:?}");
    let out = client.step(Input::Commit);
    assert!(!out.contains(&Output::EndTxn { committed: true }));
}

#[test]
fn a_commit_comes_after_every_acknowledgement_and_leads_to_the_next_transaction() {
    let mut client = begun(false);
    client.send(0, 10);
    let out = client.step(Input::PartitionsAdded);
    let request = produced(&out)[0];
    assert_eq!(client.step(Input::Commit), []);
    let out = answer(&mut client, request, Ok(5));
    assert_eq!(outcomes(&out), [Outcome::Acked { base_offset: 5 }]);
    assert!(out.contains(&Output::EndTxn { committed: true }), "{out:?}");
    assert_eq!(
        client.producer.transaction_state(),
        TransactionState::Committing
    );
    client.step(Input::TransactionEnded { next: None });
    assert_eq!(client.producer.transaction_state(), TransactionState::Ready);
    assert_eq!(client.producer.producer_id(), Some(epoch(0)));
}

#[test]
fn nothing_is_ended_that_never_began_at_a_broker() {
    for input in [Input::Commit, Input::Abort] {
        let mut client = begun(true);
        assert_eq!(client.step(input), []);
        assert_eq!(client.producer.transaction_state(), TransactionState::Ready);
    }
}

#[test]
fn with_version_two_leaders_add_partitions_and_each_end_raises_the_epoch() {
    let mut client = begun(true);
    let out = client.send(0, 10);
    let request = produced(&out)[0];
    client.step(Input::Commit);
    answer(&mut client, request, Ok(0));
    client.step(Input::TransactionEnded {
        next: Some(epoch(1)),
    });
    client
        .producer
        .begin_transaction(true)
        .expect("it is ready");
    let out = client.send(0, 10);
    let Some(Output::Produce { batches, .. }) = out
        .iter()
        .find(|output| matches!(output, Output::Produce { .. }))
    else {
        panic!("{out:?}");
    };
    let sequence = batches[0].sequence.expect("it is idempotent");
    assert_eq!((sequence.producer, sequence.base_sequence), (epoch(1), 0));
}

#[test]
fn a_record_without_success_leaves_only_the_abort_and_then_another_epoch() {
    let mut client = begun(false);
    client.send(0, 10);
    let out = client.step(Input::PartitionsAdded);
    client.send(0, 10);
    let out = answer(
        &mut client,
        produced(&out)[0],
        Err(ErrorCode::InvalidProducerEpoch),
    );
    let error = ErrorCode::InvalidProducerEpoch;
    assert_eq!(
        outcomes(&out),
        [Outcome::Failed(error), Outcome::Failed(error)]
    );
    let state = TransactionState::AbortableError(error);
    assert_eq!(client.producer.transaction_state(), state);
    assert_eq!(client.step(Input::Commit), []);
    assert_eq!(client.producer.accepts_records(), Err(error));
    assert_eq!(
        client.step(Input::Abort),
        [Output::EndTxn { committed: false }]
    );
    let out = client.step(Input::TransactionEnded { next: None });
    let previous = Some(epoch(0));
    assert_eq!(out, [Output::InitProducerId { previous }]);
    assert_eq!(
        client.producer.transaction_state(),
        TransactionState::Aborting
    );
    client.step(Input::ProducerId(Ok(epoch(1))));
    assert_eq!(client.producer.transaction_state(), TransactionState::Ready);
}

#[test]
fn an_abort_waits_for_what_is_on_its_way_and_does_not_try_it_again() {
    let mut client = begun(true);
    let out = client.send(0, 10);
    let request = produced(&out)[0];
    assert!(
        !client
            .step(Input::Abort)
            .contains(&Output::EndTxn { committed: false })
    );
    let out = client.step(Input::RequestFailed {
        request,
        sent: true,
    });
    assert_eq!(
        outcomes(&out),
        [Outcome::Unknown(ErrorCode::NetworkException)]
    );
    assert!(
        out.contains(&Output::EndTxn { committed: false }),
        "{out:?}"
    );
}

#[test]
fn offsets_under_way_hold_the_end_back() {
    let mut client = begun(false);
    let mut out = Vec::new();
    client.producer.note_offsets(true, &mut out);
    assert_eq!(client.step(Input::Commit), []);
    client.producer.note_offsets(false, &mut out);
    assert_eq!(out, [Output::EndTxn { committed: true }]);
}

#[test]
fn who_is_fenced_can_do_nothing_more() {
    let mut client = begun(false);
    client.send(0, 10);
    let refused = Input::Refused {
        asked: Asked::AddPartitionsToTxn,
        error: ErrorCode::ProducerFenced,
    };
    let out = client.step(refused);
    assert_eq!(outcomes(&out), [Outcome::Failed(ErrorCode::ProducerFenced)]);
    let fatal = TransactionState::FatalError(ErrorCode::ProducerFenced);
    for input in [Input::Abort, Input::Commit] {
        client.step(input);
        assert_eq!(client.producer.transaction_state(), fatal);
    }
    assert!(client.producer.begin_transaction(false).is_err());
}

#[test]
fn an_end_under_an_id_that_is_forgotten_leads_to_another_identity() {
    let mut client = begun(false);
    client.send(0, 10);
    let out = client.step(Input::PartitionsAdded);
    let _unanswered = client.step(Input::Abort);
    answer(&mut client, produced(&out)[0], Ok(0));
    let out = client.step(Input::Refused {
        asked: Asked::EndTxn,
        error: ErrorCode::InvalidProducerIdMapping,
    });
    assert!(
        matches!(out[..], [Output::InitProducerId { .. }]),
        "{out:?}"
    );
}

#[test]
fn errors_of_coordinators_mean_what_kafkas_client_takes_them_for() {
    use Verdict::{Abortable, Fatal, FindCoordinator, Retry};
    let cases = [
        (Asked::EndTxn, ErrorCode::NotCoordinator, FindCoordinator),
        (Asked::EndTxn, ErrorCode::ConcurrentTransactions, Retry),
        (Asked::EndTxn, ErrorCode::CoordinatorLoadInProgress, Retry),
        (Asked::EndTxn, ErrorCode::InvalidTxnState, Fatal),
        (Asked::EndTxn, ErrorCode::InvalidProducerEpoch, Fatal),
        (Asked::EndTxn, ErrorCode::TransactionAbortable, Abortable),
        (
            Asked::EndTxn,
            ErrorCode::InvalidProducerIdMapping,
            Abortable,
        ),
        (
            Asked::InitProducerId,
            ErrorCode::InvalidProducerIdMapping,
            Fatal,
        ),
        (
            Asked::InitProducerId,
            ErrorCode::ConcurrentTransactions,
            Retry,
        ),
        (Asked::InitProducerId, ErrorCode::ProducerFenced, Fatal),
        (
            Asked::AddPartitionsToTxn,
            ErrorCode::UnknownTopicOrPartition,
            Retry,
        ),
        (
            Asked::AddPartitionsToTxn,
            ErrorCode::OperationNotAttempted,
            Abortable,
        ),
        (
            Asked::TxnOffsetCommit,
            ErrorCode::IllegalGeneration,
            Abortable,
        ),
        (
            Asked::TxnOffsetCommit,
            ErrorCode::UnknownMemberId,
            Abortable,
        ),
        (
            Asked::TxnOffsetCommit,
            ErrorCode::FencedInstanceId,
            Abortable,
        ),
        (Asked::AddOffsetsToTxn, ErrorCode::IllegalGeneration, Fatal),
        (
            Asked::AddOffsetsToTxn,
            ErrorCode::GroupAuthorizationFailed,
            Abortable,
        ),
    ];
    for (asked, error, verdict) in cases {
        assert_eq!(asked.verdict(error), verdict, "{asked:?} {error}");
    }
}
