//! KIP-392: reading from the replica that the leader names, and back.

use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, NodeId};

use super::{Client, NODE, PARTITION, at, batch};
use crate::consumer::{FetchPosition, Fetched, Input, Output, Timer};

const NEAR: NodeId = NodeId(7);

fn named() -> Fetched {
    Fetched {
        diverging: None,
        high_watermark: 100,
        log_start: 0,
        preferred_read_replica: Some(NEAR),
        batches: vec![],
    }
}

fn fetch_from(client: &mut Client, node: NodeId) -> Option<FetchPosition> {
    match client.step(Input::Fetch { node }).as_slice() {
        [] => None,
        [Output::Fetch { positions, .. }] => Some(positions[0]),
        other => panic!("not a fetch: {other:?}"),
    }
}

/// A client that was sent to the near replica, and the timer of its lease.
fn sent_to_near() -> (Client, Timer) {
    let (mut client, _) = Client::new(None, Some(at(5, None)));
    let position = client.fetch().expect("ready");
    let out = client.step(Input::FetchResult {
        position,
        result: Ok(named()),
    });
    let [Output::Arm(timer)] = out.as_slice() else {
        panic!("no lease: {out:?}")
    };
    let timer = *timer;
    assert_eq!(client.consumer.sources(), [NEAR].into());
    assert_eq!(fetch_from(&mut client, NODE), None);
    (client, timer)
}

#[test]
fn records_come_from_the_named_replica_until_the_lease_is_over() {
    let (mut client, timer) = sent_to_near();
    let position = fetch_from(&mut client, NEAR).expect("ready");
    let out = client.fetched(position, &[batch(5, 9, 1)]);
    assert!(matches!(out.as_slice(), [Output::Accept { from: 5, .. }]));
    assert_eq!(client.consumer.sources(), [NEAR].into());
    client.step(Input::Timer(timer));
    assert_eq!(
        fetch_from(&mut client, NODE).map(|asked| asked.offset),
        Some(10)
    );
}

#[test]
fn out_of_range_at_a_replica_is_asked_of_the_leader_before_anything_is_reset() {
    let (mut client, _) = sent_to_near();
    let position = fetch_from(&mut client, NEAR).expect("ready");
    let out = client.step(Input::FetchResult {
        position,
        result: Err(ErrorCode::OffsetOutOfRange),
    });
    assert_eq!(out, []);
    let position = fetch_from(&mut client, NODE).expect("back at the leader");
    assert_eq!(position.offset, 5);
    let out = client.step(Input::FetchResult {
        position,
        result: Err(ErrorCode::OffsetOutOfRange),
    });
    assert!(
        matches!(out.as_slice(), [Output::Stalled { .. }]),
        "{out:?}"
    );
}

#[test]
fn a_replica_that_cannot_be_reached_is_given_up() {
    let (mut client, _) = sent_to_near();
    let position = fetch_from(&mut client, NEAR).expect("ready");
    client.step(Input::FetchResult {
        position,
        result: Err(ErrorCode::NetworkException),
    });
    client.step(Input::Timer(Timer::Retry(PARTITION)));
    assert!(fetch_from(&mut client, NODE).is_some());
}

#[test]
fn a_new_leader_epoch_or_a_seek_ends_the_lease() {
    let (mut client, _) = sent_to_near();
    client.leader(2);
    assert_eq!(client.consumer.sources(), [NODE].into());
    let (mut client, timer) = sent_to_near();
    client.step(Input::Seek {
        partition: PARTITION,
        position: at(0, None),
    });
    assert_eq!(client.consumer.sources(), [NODE].into());
    // The old lease's timer does not end a new one.
    let position = client.fetch().expect("ready");
    client.step(Input::FetchResult {
        position,
        result: Ok(named()),
    });
    client.step(Input::Timer(timer));
    assert_eq!(client.consumer.sources(), [NEAR].into());
}

#[test]
fn a_partition_without_news_may_be_asked_again() {
    let (mut client, _) = Client::new(None, Some(at(5, None)));
    let position = client.fetch().expect("ready");
    assert_eq!(client.fetch(), None);
    let stale = FetchPosition {
        current_leader_epoch: LeaderEpoch(0),
        ..position
    };
    client.step(Input::FetchUnchanged { position: stale });
    assert_eq!(client.fetch(), None, "an answer to another question");
    client.step(Input::FetchUnchanged { position });
    assert_eq!(client.fetch(), Some(position));
}
