//! KIP-392: whom a leader sends a consumer to, and what a follower serves.

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset};

use super::edges::{ONE, TWO, append, metadata, replica, step};
use crate::Ticket;
use crate::replica::{
    Acks, ConsumerFetch, FetchResponse, Fetched, FetchedBatch, FollowerFetch, Input, Replica,
};

const THREE: NodeId = NodeId(3);

fn consumer(offset: Offset) -> ConsumerFetch {
    ConsumerFetch {
        current_leader_epoch: Some(LeaderEpoch(0)),
        fetch_offset: offset,
        last_fetched_epoch: None,
        leader_only: false,
    }
}

/// Leader 1 with 4 records; the followers have `two` and `three` of them.
fn leader(isr: &[NodeId], two: Offset, three: Offset) -> Replica {
    let mut leader = replica(0, 0, false);
    let brokers = BTreeMap::from([1, 2, 3].map(|id| (NodeId(id), BrokerEpoch(10))));
    step(&mut leader, Input::Eligible(brokers));
    step(&mut leader, metadata(ONE, 0, 0, isr));
    for ticket in 0..4 {
        append(&mut leader, ticket, Acks::Leader);
    }
    for (follower, fetch_offset) in [(TWO, two), (THREE, three)] {
        let fetch = FollowerFetch {
            follower,
            broker_epoch: BrokerEpoch(10),
            current_leader_epoch: Some(LeaderEpoch(0)),
            fetch_offset,
            last_fetched_epoch: (fetch_offset > 0).then_some(LeaderEpoch(0)),
            log_start: 0,
        };
        let ticket = Ticket(100);
        step(&mut leader, Input::FollowerFetch { ticket, fetch });
    }
    leader
}

#[test]
fn the_most_caught_up_in_sync_replica_of_the_rack_that_has_the_offset_is_named() {
    let all = [ONE, TWO, THREE];
    // ISR, log ends of both followers, offset asked for, live brokers of the rack, who is named.
    type Case<'a> = (
        &'a [NodeId],
        (Offset, Offset),
        Offset,
        &'a [NodeId],
        Option<NodeId>,
    );
    let cases: [Case<'_>; 8] = [
        (&all, (4, 4), 4, &[], None),
        (&all, (4, 4), 4, &[TWO], Some(TWO)),
        (&all, (4, 4), 4, &[ONE, TWO], None),
        (&all, (4, 3), 2, &[TWO, THREE], Some(TWO)),
        (&all, (3, 4), 2, &[TWO, THREE], Some(THREE)),
        (&all, (4, 4), 2, &[TWO, THREE], Some(THREE)),
        (&all, (3, 3), 4, &[TWO, THREE], None),
        (&[ONE, THREE], (1, 4), 1, &[TWO], None),
    ];
    for (isr, (two, three), offset, rack, expected) in cases {
        let leader = leader(isr, two, three);
        let rack: BTreeSet<NodeId> = rack.iter().copied().collect();
        let named = leader.preferred_read_replica(&consumer(offset), &rack);
        assert_eq!(
            named, expected,
            "{isr:?} at {two}/{three}, offset {offset} in {rack:?}"
        );
    }
}

#[test]
fn a_follower_serves_up_to_its_own_high_watermark() {
    let mut follower = replica(0, 0, false);
    step(&mut follower, metadata(TWO, 0, 0, &[ONE, TWO]));
    let request = follower.fetch_request().expect("a leader to fetch from");
    let batch = FetchedBatch {
        base_offset: 0,
        last_offset: 9,
        leader_epoch: LeaderEpoch(0),
    };
    let result = Ok(Fetched {
        diverging: None,
        high_watermark: 6,
        log_start: 0,
        batches: vec![batch],
    });
    step(
        &mut follower,
        Input::FetchResponse(FetchResponse { request, result }),
    );
    let limit = |offset| {
        follower
            .read_for_consumer(&consumer(offset))
            .map(|read| read.limit)
    };
    assert_eq!(limit(0), Ok(6));
    // Above the high watermark but in the log: nothing to read yet. Above the log: the leader is asked.
    assert_eq!(limit(8), Ok(6));
    assert_eq!(limit(11), Err(ErrorCode::OffsetOutOfRange));
    let by_leader_only = ConsumerFetch {
        leader_only: true,
        ..consumer(0)
    };
    assert_eq!(
        follower.read_for_consumer(&by_leader_only),
        Err(ErrorCode::NotLeaderOrFollower)
    );
    let newer_epoch = ConsumerFetch {
        current_leader_epoch: Some(LeaderEpoch(1)),
        ..consumer(0)
    };
    assert_eq!(
        follower.read_for_consumer(&newer_epoch),
        Err(ErrorCode::UnknownLeaderEpoch)
    );
    let named = follower.preferred_read_replica(&consumer(0), &[TWO].into());
    assert_eq!(named, None, "a follower sends nobody anywhere");
}
