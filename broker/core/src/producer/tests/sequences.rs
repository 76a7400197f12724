//! Idempotence: sequences and epochs.

use broker_protocol::ErrorCode;

use super::super::batch::add_sequence;
use super::super::{
    BatchId, BatchToSend, Config, Input, Outcome, Output, ProducerIdAndEpoch, RequestId, Timer,
};
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
    client.answer(0, 0, Ok(0));
    assert_eq!(sequences(&client.send(0, 100)), [2]);
    assert_eq!(sequences(&client.send(0, 100)), [3]);
    client.answer(1, 0, Err(ErrorCode::NotLeaderOrFollower));
    assert_eq!(sequences(&client.timer(Timer::Retry(partition(0)))), [2]);
    assert_eq!(sequences(&client.send(0, 100)), [4]);
}

/// A broker that has never heard of the producer takes any sequence: the second batch must not overtake a
/// first one that was lost, in any epoch.
#[test]
fn nothing_follows_the_first_batch_of_an_epoch_before_its_acknowledgement() {
    let mut client = Client::new(Config {
        idempotence: true,
        ..CONFIG
    });
    client.send(0, 100);
    let out = client.step(Input::ProducerId(Ok(IDENTITY)));
    assert_eq!(sequences(&out), [0]);
    assert!(sent(&client.send(0, 100)).is_empty());
    client.step(Input::RequestFailed {
        request: RequestId(0),
        sent: true,
    });
    let out = client.timer(Timer::Retry(partition(0)));
    assert_eq!(sequences(&out), [0]);
    assert_eq!(sequences(&client.answer(1, 0, Ok(0))), [1]);
    assert_eq!(sequences(&client.send(0, 100)), [2]);
}

/// One batch is acknowledged, request 1 with sequence 1 is in flight.
fn idempotent() -> Client {
    let mut client = Client::new(Config {
        idempotence: true,
        ..CONFIG
    });
    client.send(0, 100);
    client.step(Input::ProducerId(Ok(IDENTITY)));
    client.answer(0, 0, Ok(0));
    client.send(0, 100);
    client
}

fn sequences(outputs: &[Output]) -> Vec<i32> {
    let sent = sent(outputs);
    let sequence = |batch: &BatchToSend| batch.sequence.expect("idempotent").base_sequence;
    sent.iter().map(|(_, _, batch)| sequence(batch)).collect()
}

#[test]
fn five_batches_are_in_flight_at_most() {
    let mut client = idempotent();
    for next in 2..6 {
        assert_eq!(sequences(&client.send(0, 100)), [next]);
    }
    assert!(sent(&client.send(0, 100)).is_empty());
    assert_eq!(sequences(&client.answer(1, 0, Ok(1))), [6]);
}

/// The first of three is lost, so the broker refuses the others. They come again one by one, in order, in
/// whatever order their refusals came.
#[test]
fn what_overtook_a_lost_batch_comes_again_behind_it() {
    for order in [[1, 2, 3], [3, 2, 1], [2, 1, 3]] {
        let mut client = idempotent();
        client.send(0, 100);
        client.send(0, 100);
        for request in order {
            let out = match request {
                1 => client.step(Input::RequestFailed {
                    request: RequestId(1),
                    sent: true,
                }),
                _ => client.answer(request, 0, Err(ErrorCode::OutOfOrderSequenceNumber)),
            };
            assert!(
                sent(&out).is_empty() && outcomes(&out).is_empty(),
                "{order:?}"
            );
        }
        assert_eq!(sequences(&client.timer(Timer::Retry(partition(0)))), [1]);
        assert!(sent(&client.send(0, 100)).is_empty(), "a retry goes alone");
        assert_eq!(sequences(&client.answer(4, 0, Ok(1))), [2]);
        assert_eq!(sequences(&client.answer(5, 0, Ok(2))), [3, 4]);
        client.answer(6, 0, Ok(3));
        client.answer(7, 0, Ok(4));
        assert!(client.producer.is_idle());
    }
}

/// KIP-360: behind a batch that is given up nothing is accepted; what is surely in no log begins anew in the
/// next epoch, in its order, and what may be in one is told as unknown.
#[test]
fn what_is_refused_behind_a_gap_begins_anew() {
    let mut client = idempotent();
    for _ in 0..3 {
        client.send(0, 100);
    }
    client.answer(1, 0, Err(ErrorCode::InvalidRecord));
    let lost = client.step(Input::RequestFailed {
        request: RequestId(3),
        sent: true,
    });
    assert!(outcomes(&lost).is_empty());
    let refused = Err(ErrorCode::OutOfOrderSequenceNumber);
    let out = client.answer(2, 0, refused);
    let unknown = Outcome::Unknown(ErrorCode::OutOfOrderSequenceNumber);
    assert_eq!(outcomes(&out), [(vec![4], unknown)]);
    let out = client.answer(4, 0, refused);
    let previous = Some(IDENTITY);
    assert!(has(&out, &Output::InitProducerId { previous }));
    let next = ProducerIdAndEpoch {
        producer_epoch: 1,
        ..IDENTITY
    };
    client.timer(Timer::Retry(partition(0)));
    let out = client.step(Input::ProducerId(Ok(next)));
    let first_record = |out: &[Output]| sent(out)[0].2.records[0].0;
    assert_eq!((first_record(&out), sequences(&out)), (3, vec![0]));
    let out = client.answer(5, 0, Ok(1));
    assert_eq!((first_record(&out), sequences(&out)), (5, vec![1]));
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
