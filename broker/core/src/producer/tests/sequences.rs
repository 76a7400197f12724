//! Idempotence: sequences and epochs.

use broker_protocol::ErrorCode;

use super::super::batch::add_sequence;
use super::super::{BatchId, Config, Input, Outcome, Output, ProducerIdAndEpoch, RequestId, Timer};
use super::{CONFIG, Client, has, outcomes, partition, sent};

const IDENTITY: ProducerIdAndEpoch = ProducerIdAndEpoch {
    producer_id: 7,
    producer_epoch: 0,
};

#[test]
fn sequences_follow_on_and_survive_retries() {
    let mut client = Client::new(Config {
        idempotence: true,
        ..CONFIG
    });
    assert!(has(
        &client.send(0, 50),
        &Output::Arm {
            timer: Timer::Linger(partition(0)),
            attempt: 0
        }
    ));
    let out = client.send(0, 50);
    assert!(sent(&out).is_empty() && has(&out, &Output::InitProducerId { previous: None }));
    let out = client.step(Input::ProducerId(Ok(IDENTITY)));
    assert_eq!(
        sent(&out)[0].2.sequence.expect("idempotent").base_sequence,
        0
    );
    assert!(
        sent(&client.send(0, 100)).is_empty(),
        "one batch in flight per partition"
    );
    client.answer(0, 0, Err(ErrorCode::NotLeaderOrFollower));
    let out = client.timer(Timer::Retry(partition(0)));
    assert_eq!(
        sent(&out)[0].2.sequence.expect("idempotent").base_sequence,
        0
    );
    let out = client.answer(1, 0, Ok(0));
    assert_eq!(
        sent(&out)[0].2.sequence.expect("idempotent").base_sequence,
        2
    );
}

/// C-05: giving up a batch leaves a gap; the epoch is raised, but only when the other partition's retry,
/// which may be in the log already, is through under its old sequence.
#[test]
fn a_gap_raises_the_epoch_after_old_sequences_are_settled() {
    let mut client = Client::new(Config {
        idempotence: true,
        ..CONFIG
    });
    client.send(0, 100);
    client.step(Input::ProducerId(Ok(IDENTITY)));
    client.send(1, 100);
    client.step(Input::RequestFailed {
        request: RequestId(0),
        sent: true,
    });
    client.step(Input::RequestFailed {
        request: RequestId(1),
        sent: true,
    });
    let out = client.timer(Timer::Delivery(partition(0), BatchId(0)));
    assert_eq!(
        outcomes(&out),
        [(vec![1], Outcome::Unknown(ErrorCode::RequestTimedOut))]
    );
    assert!(
        sent(&client.send(2, 100)).is_empty(),
        "no new sequence under the retired epoch"
    );
    let out = client.timer(Timer::Retry(partition(1)));
    assert_eq!(
        sent(&out)[0].2.sequence.expect("idempotent").producer,
        IDENTITY
    );
    let out = client.answer(2, 1, Ok(0));
    assert!(has(
        &out,
        &Output::InitProducerId {
            previous: Some(IDENTITY)
        }
    ));
    let next = ProducerIdAndEpoch {
        producer_epoch: 1,
        ..IDENTITY
    };
    let out = client.step(Input::ProducerId(Ok(next)));
    let sequence = sent(&out)[0].2.sequence.expect("idempotent");
    assert_eq!((sequence.producer, sequence.base_sequence), (next, 0));
}

#[test]
fn sequences_wrap_to_zero() {
    assert_eq!(add_sequence(i32::MAX, 1), 0);
    assert_eq!(add_sequence(i32::MAX - 1, 3), 1);
}
