//! Batching, order, retries and outcomes.

mod sequences;
mod transactions;

use broker_protocol::ErrorCode;
use broker_protocol::ids::{NodeId, Offset, TopicIdPartition, Uuid};

use super::{
    BatchId, BatchToSend, Config, Input, Outcome, Output, Producer, RecordHandle, RequestId, Timer,
};

const CONFIG: Config = Config {
    batch_size: 100,
    max_request_size: 1000,
    max_in_flight: 5,
    retries: 10,
    linger: true,
    idempotence: false,
    transactional: false,
};

fn partition(number: i32) -> TopicIdPartition {
    TopicIdPartition {
        topic_id: Uuid([1; 16]),
        partition: number,
    }
}

struct Client {
    producer: Producer,
    next: u64,
}

impl Client {
    fn new(config: Config) -> Client {
        let mut client = Client {
            producer: Producer::new(config),
            next: 0,
        };
        for number in 0..3 {
            client.step(Input::Leader {
                partition: partition(number),
                leader: Some(NodeId(1)),
            });
        }
        client
    }

    fn step(&mut self, input: Input) -> Vec<Output> {
        let mut out = Vec::new();
        self.producer.step(input, &mut out);
        out
    }

    fn send(&mut self, number: i32, size: u32) -> Vec<Output> {
        self.next += 1;
        self.step(Input::Send {
            partition: partition(number),
            record: RecordHandle(self.next),
            size,
        })
    }

    fn answer(
        &mut self,
        request: u64,
        number: i32,
        result: Result<Offset, ErrorCode>,
    ) -> Vec<Output> {
        self.step(Input::Response {
            request: RequestId(request),
            results: vec![(partition(number), result)],
        })
    }

    fn timer(&mut self, timer: Timer) -> Vec<Output> {
        self.step(Input::Timer(timer))
    }
}

fn sent(outputs: &[Output]) -> Vec<(u64, i32, &BatchToSend)> {
    let requests = outputs.iter().filter_map(|output| match output {
        Output::Produce {
            request,
            node,
            batches,
        } => Some((request.0, node.0, batches)),
        _ => None,
    });
    requests
        .flat_map(|(request, node, batches)| {
            batches.iter().map(move |batch| (request, node, batch))
        })
        .collect()
}

fn outcomes(outputs: &[Output]) -> Vec<(Vec<u64>, Outcome)> {
    let complete = outputs.iter().filter_map(|output| match output {
        Output::Complete {
            records, outcome, ..
        } => Some((records.iter().map(|record| record.0).collect(), *outcome)),
        _ => None,
    });
    complete.collect()
}

fn has(outputs: &[Output], wanted: &Output) -> bool {
    outputs.contains(wanted)
}

#[test]
fn a_batch_goes_out_when_it_is_full_or_lingered() {
    let mut client = Client::new(CONFIG);
    assert!(sent(&client.send(0, 60)).is_empty());
    let full = client.send(0, 60);
    assert_eq!(sent(&full).len(), 1);
    assert_eq!(sent(&full)[0].2.records, [RecordHandle(1)]);
    let lingered = client.timer(Timer::Linger(partition(0)));
    assert_eq!(sent(&lingered)[0].2.records, [RecordHandle(2)]);
    assert!(client.timer(Timer::Linger(partition(0))).is_empty());
}

#[test]
fn without_linger_records_gather_only_while_the_partition_cannot_send() {
    let mut client = Client::new(Config {
        linger: false,
        max_in_flight: 1,
        ..CONFIG
    });
    assert_eq!(sent(&client.send(0, 10)).len(), 1);
    assert!(sent(&client.send(0, 10)).is_empty());
    assert!(sent(&client.send(0, 10)).is_empty());
    let next = client.answer(0, 0, Ok(0));
    assert_eq!(
        outcomes(&next),
        [(vec![1], Outcome::Acked { base_offset: 0 })]
    );
    assert_eq!(sent(&next)[0].2.records, [RecordHandle(2), RecordHandle(3)]);
}

#[test]
fn one_request_carries_a_batch_of_each_partition_up_to_the_size_limit() {
    let mut client = Client::new(Config {
        max_request_size: 150,
        max_in_flight: 1,
        ..CONFIG
    });
    assert_eq!(sent(&client.send(0, 100)).len(), 1);
    for number in [1, 2] {
        assert!(sent(&client.send(number, 80)).is_empty());
    }
    client.step(Input::Flush);
    let next = client.answer(0, 0, Ok(0));
    assert_eq!(sent(&next).len(), 1, "160 bytes exceed a request of 150");
    assert_eq!(
        sent(&client.answer(1, 1, Ok(0)))[0].2.records,
        [RecordHandle(3)]
    );
}

/// C-02: the retry of the first batch waits, and the second must not overtake it on the new leader's
/// connection.
fn records_in_order_over_a_leader_change() -> Vec<u64> {
    let mut client = Client::new(Config {
        max_in_flight: 1,
        ..CONFIG
    });
    let mut order = Vec::new();
    client.send(0, 100);
    client.send(0, 100);
    let moved = client.step(Input::Leader {
        partition: partition(0),
        leader: Some(NodeId(2)),
    });
    let mut requests: Vec<u64> = sent(&moved).iter().map(|(request, ..)| *request).collect();
    order.extend(sent(&moved).iter().map(|(_, _, batch)| batch.records[0].0));
    client.answer(0, 0, Err(ErrorCode::NotLeaderOrFollower));
    for _ in 0..3 {
        for request in std::mem::take(&mut requests) {
            let out = client.answer(request, 0, Ok(0));
            requests.extend(sent(&out).iter().map(|(request, ..)| *request));
            order.extend(sent(&out).iter().map(|(_, _, batch)| batch.records[0].0));
        }
        let out = client.timer(Timer::Retry(partition(0)));
        requests.extend(sent(&out).iter().map(|(request, ..)| *request));
        order.extend(sent(&out).iter().map(|(_, _, batch)| batch.records[0].0));
    }
    order
}

#[test]
fn a_leader_change_does_not_reorder() {
    assert_eq!(records_in_order_over_a_leader_change(), [1, 2]);
}

#[cfg(feature = "mutants")]
#[test]
fn without_muting_a_leader_change_reorders() {
    broker_probe::set_mutant(Some("C_02"));
    let order = records_in_order_over_a_leader_change();
    broker_probe::set_mutant(None);
    assert_eq!(order, [2, 1]);
}

#[test]
fn outcomes_tell_failed_from_unknown() {
    let refused = |error| {
        let mut client = Client::new(Config {
            retries: 0,
            ..CONFIG
        });
        client.send(0, 100);
        outcomes(&client.answer(0, 0, Err(error)))[0].1
    };
    assert_eq!(
        refused(ErrorCode::InvalidRecord),
        Outcome::Failed(ErrorCode::InvalidRecord)
    );
    assert_eq!(
        refused(ErrorCode::NotEnoughReplicas),
        Outcome::Failed(ErrorCode::NotEnoughReplicas)
    );
    for perhaps in [
        ErrorCode::NotLeaderOrFollower,
        ErrorCode::RequestTimedOut,
        ErrorCode::NotEnoughReplicasAfterAppend,
        ErrorCode::KafkaStorageError,
        ErrorCode::UnknownServerError,
    ] {
        assert_eq!(refused(perhaps), Outcome::Unknown(perhaps));
    }
    assert_eq!(
        refused(ErrorCode::DuplicateSequenceNumber),
        Outcome::Acked { base_offset: -1 }
    );
    for (written, outcome) in [
        (true, Outcome::Unknown(ErrorCode::NetworkException)),
        (false, Outcome::Failed(ErrorCode::NetworkException)),
    ] {
        let mut client = Client::new(Config {
            retries: 0,
            ..CONFIG
        });
        client.send(0, 100);
        let out = client.step(Input::RequestFailed {
            request: RequestId(0),
            sent: written,
        });
        assert_eq!(outcomes(&out)[0].1, outcome);
    }
}

#[test]
fn an_unclear_attempt_is_not_forgotten_by_a_clear_refusal_later() {
    let mut client = Client::new(Config {
        retries: 1,
        ..CONFIG
    });
    client.send(0, 100);
    let out = client.step(Input::RequestFailed {
        request: RequestId(0),
        sent: true,
    });
    assert!(has(
        &out,
        &Output::Arm {
            timer: Timer::Retry(partition(0)),
            attempt: 0
        }
    ));
    assert_eq!(sent(&client.timer(Timer::Retry(partition(0)))).len(), 1);
    let out = client.answer(1, 0, Err(ErrorCode::NotEnoughReplicas));
    assert_eq!(
        outcomes(&out),
        [(vec![1], Outcome::Unknown(ErrorCode::NotEnoughReplicas))]
    );
    assert_eq!(client.producer.buffered_bytes(), 0);
    assert!(client.producer.is_idle());
}

#[test]
fn the_delivery_timeout_tells_once() {
    let mut client = Client::new(CONFIG);
    client.send(0, 100);
    client.send(1, 10);
    let queued = client.timer(Timer::Delivery(partition(1), BatchId(1)));
    assert_eq!(
        outcomes(&queued),
        [(vec![2], Outcome::Failed(ErrorCode::RequestTimedOut))]
    );
    let in_flight = client.timer(Timer::Delivery(partition(0), BatchId(0)));
    assert_eq!(
        outcomes(&in_flight),
        [(vec![1], Outcome::Unknown(ErrorCode::RequestTimedOut))]
    );
    assert!(client.answer(0, 0, Ok(3)).is_empty());
    assert!(
        client
            .timer(Timer::Delivery(partition(0), BatchId(0)))
            .is_empty()
    );
    assert!(client.producer.is_idle());
}

#[test]
fn without_a_leader_metadata_are_asked_for_once() {
    let mut client = Client::new(CONFIG);
    client.step(Input::Leader {
        partition: partition(0),
        leader: None,
    });
    let refresh = Output::RefreshMetadata {
        partition: partition(0),
    };
    assert!(has(&client.send(0, 100), &refresh));
    assert!(!has(&client.send(0, 100), &refresh));
    let out = client.step(Input::Leader {
        partition: partition(0),
        leader: Some(NodeId(3)),
    });
    assert_eq!(sent(&out)[0].1, 3);
}

#[test]
fn a_batch_that_is_too_large_is_split_in_order() {
    let mut client = Client::new(Config {
        max_in_flight: 1,
        ..CONFIG
    });
    for _ in 0..3 {
        client.send(0, 30);
    }
    let out = client.step(Input::Flush);
    assert_eq!(sent(&out)[0].2.records.len(), 3);
    let out = client.answer(0, 0, Err(ErrorCode::MessageTooLarge));
    assert_eq!(sent(&out)[0].2.records, [RecordHandle(1)]);
    let out = client.answer(1, 0, Ok(0));
    assert_eq!(sent(&out)[0].2.records, [RecordHandle(2), RecordHandle(3)]);
    client.answer(2, 0, Ok(1));
    assert_eq!(client.producer.buffered_bytes(), 0);
}
