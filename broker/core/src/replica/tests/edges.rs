//! What schedules and scripts do not reach, one replica at a time.

use std::collections::BTreeMap;

use broker_protocol::ErrorCode;
use broker_protocol::ids::{BrokerEpoch, LeaderEpoch, NodeId, Offset, PartitionEpoch};

use crate::Ticket;
use crate::replica::{
    Acks, AlterPartitionId, AlteredPartition, Config, EpochEntry, FollowerFetch, Input,
    LeaderEpochs, LogState, Output, PartitionState, Replica, Reply, Timer,
};

pub(super) const ONE: NodeId = NodeId(1);
pub(super) const TWO: NodeId = NodeId(2);
const THREE: NodeId = NodeId(3);

pub(super) fn metadata(
    leader: NodeId,
    leader_epoch: i32,
    partition_epoch: i32,
    isr: &[NodeId],
) -> Input {
    Input::Metadata(PartitionState {
        leader,
        leader_epoch: LeaderEpoch(leader_epoch),
        partition_epoch: PartitionEpoch(partition_epoch),
        replicas: vec![ONE, TWO, THREE],
        isr: isr.to_vec(),
    })
}

pub(super) fn step(replica: &mut Replica, input: Input) -> Vec<Output> {
    let mut out = Vec::new();
    replica.step(input, &mut out);
    out
}

/// Replica 1 with a log of epoch 0 in `[start, end)`.
pub(super) fn replica(start: Offset, end: Offset, flush_before_ack: bool) -> Replica {
    let config = Config {
        min_insync_replicas: 1,
        flush_before_ack,
    };
    let entries = (end > start).then_some(EpochEntry {
        epoch: LeaderEpoch(0),
        start_offset: start,
    });
    let epochs = LeaderEpochs::from_entries(entries);
    Replica::new(
        ONE,
        config,
        LogState {
            log_start: start,
            log_end: end,
            epochs,
            high_watermark: start,
        },
    )
}

fn leader(isr: &[NodeId]) -> Replica {
    let mut replica = replica(0, 0, false);
    let brokers = [
        (ONE, BrokerEpoch(11)),
        (TWO, BrokerEpoch(12)),
        (THREE, BrokerEpoch(13)),
    ];
    step(&mut replica, Input::Eligible(BTreeMap::from(brokers)));
    step(&mut replica, metadata(ONE, 0, 0, isr));
    replica
}

pub(super) fn append(replica: &mut Replica, ticket: u64, acks: Acks) -> Vec<Output> {
    step(
        replica,
        Input::Append {
            ticket: Ticket(ticket),
            records: 1,
            acks,
        },
    )
}

fn fetch(follower: NodeId, broker_epoch: i64, fetch_offset: Offset) -> FollowerFetch {
    FollowerFetch {
        follower,
        broker_epoch: BrokerEpoch(broker_epoch),
        current_leader_epoch: Some(LeaderEpoch(0)),
        fetch_offset,
        last_fetched_epoch: (fetch_offset > 0).then_some(LeaderEpoch(0)),
        log_start: 0,
    }
}

pub(super) fn produced(outputs: &[Output]) -> Vec<(u64, Result<Offset, ErrorCode>)> {
    let replies = outputs.iter().filter_map(|output| match output {
        Output::Reply {
            ticket,
            reply: Reply::Produced(result),
        } => Some((ticket.0, result.map(|it| it.base_offset))),
        _ => None,
    });
    replies.collect()
}

/// KIP-98: a duplicate is acknowledged with the place of what it repeats, and no earlier than that.
#[test]
fn a_duplicate_is_acknowledged_when_what_it_repeats_is_committed() {
    let mut replica = leader(&[ONE, TWO]);
    for ticket in 0..3 {
        append(&mut replica, ticket, Acks::All);
    }
    let again = |ticket, offset, acks| Input::AppendedBefore {
        ticket: Ticket(ticket),
        base_offset: offset,
        last_offset: offset,
        acks,
    };
    assert_eq!(
        produced(&step(&mut replica, again(10, 1, Acks::Leader))),
        [(10, Ok(1))]
    );
    assert!(step(&mut replica, again(11, 1, Acks::All)).is_empty());
    let ticket = Ticket(20);
    let fetch = fetch(TWO, 12, 2);
    let out = step(&mut replica, Input::FollowerFetch { ticket, fetch });
    assert_eq!(produced(&out), [(0, Ok(0)), (1, Ok(1)), (11, Ok(1))]);
    assert_eq!(
        produced(&step(&mut replica, again(12, 0, Acks::All))),
        [(12, Ok(0))],
        "committed already"
    );
    step(&mut replica, metadata(TWO, 1, 1, &[ONE, TWO]));
    assert_eq!(
        produced(&step(&mut replica, again(13, 0, Acks::All))),
        [(13, Err(ErrorCode::NotLeaderOrFollower))]
    );
}

#[test]
fn parked_requests_end_by_timeout_lost_leadership_or_stop() {
    let mut replica = leader(&[ONE, TWO]);
    for ticket in 0..3 {
        assert!(produced(&append(&mut replica, ticket, Acks::All)).is_empty());
    }
    assert_eq!(
        produced(&step(&mut replica, Input::Expire(Ticket(1)))),
        [(1, Err(ErrorCode::RequestTimedOut))]
    );
    assert!(step(&mut replica, Input::Expire(Ticket(1))).is_empty());
    let out = step(&mut replica, metadata(TWO, 1, 1, &[ONE, TWO]));
    let lost = Err(ErrorCode::NotLeaderOrFollower);
    assert_eq!(produced(&out), [(0, lost), (2, lost)]);

    let mut replica = leader(&[ONE, TWO]);
    append(&mut replica, 7, Acks::All);
    let failed = Err(ErrorCode::KafkaStorageError);
    assert_eq!(
        produced(&step(
            &mut replica,
            Input::Stop(ErrorCode::KafkaStorageError)
        )),
        [(7, failed)]
    );
    assert_eq!(
        produced(&append(&mut replica, 8, Acks::Leader)),
        [(8, failed)]
    );
    assert!(
        append(&mut replica, 9, Acks::None).is_empty(),
        "acks=0 hears nothing"
    );
    assert!(
        step(&mut replica, metadata(ONE, 5, 5, &[ONE])).is_empty(),
        "stopped for good"
    );
}

#[test]
fn parked_requests_survive_a_new_epoch_of_the_same_leader() {
    let mut replica = leader(&[ONE, TWO]);
    append(&mut replica, 1, Acks::All);
    let out = step(&mut replica, metadata(ONE, 1, 1, &[ONE, TWO]));
    assert!(produced(&out).is_empty());
    assert_eq!(
        replica.counted_end(TWO),
        None,
        "what was counted in the old epoch is forgotten"
    );
    let again = FollowerFetch {
        current_leader_epoch: Some(LeaderEpoch(1)),
        ..fetch(TWO, 12, 1)
    };
    let out = step(
        &mut replica,
        Input::FollowerFetch {
            ticket: Ticket(2),
            fetch: again,
        },
    );
    assert_eq!(produced(&out), [(1, Ok(0))]);
}

#[test]
fn fetches_of_strangers_and_old_incarnations_are_refused() {
    let replica = leader(&[ONE, TWO]);
    let stranger = fetch(NodeId(9), -1, 0);
    assert_eq!(
        replica.read_for_follower(&stranger),
        Err(ErrorCode::UnknownLeaderEpoch)
    );
    let of_no_epoch = FollowerFetch {
        current_leader_epoch: None,
        ..stranger
    };
    assert_eq!(
        replica.read_for_follower(&of_no_epoch),
        Err(ErrorCode::NotLeaderOrFollower)
    );
    assert_eq!(
        replica.read_for_follower(&fetch(TWO, 10, 0)),
        Err(ErrorCode::NotLeaderOrFollower)
    );
    assert!(replica.read_for_follower(&fetch(TWO, 12, 0)).is_ok());
}

#[test]
fn a_fetch_without_epoch_is_answered_but_not_counted() {
    let mut replica = leader(&[ONE, TWO]);
    append(&mut replica, 1, Acks::All);
    let of_no_epoch = FollowerFetch {
        current_leader_epoch: None,
        ..fetch(TWO, 12, 1)
    };
    let out = step(
        &mut replica,
        Input::FollowerFetch {
            ticket: Ticket(2),
            fetch: of_no_epoch,
        },
    );
    assert!(
        matches!(
            out[..],
            [Output::Reply {
                reply: Reply::FollowerFetched(Ok(_)),
                ..
            }]
        ),
        "{out:?}"
    );
    assert_eq!(
        (replica.counted_end(TWO), replica.high_watermark()),
        (None, 0)
    );
}

fn proposal(outputs: &[Output]) -> Option<AlterPartitionId> {
    outputs.iter().find_map(|output| match output {
        Output::AlterPartition { request, .. } => Some(*request),
        _ => None,
    })
}

/// The answer to AlterPartition tells the epoch before the metadata do. When those arrive, a next proposal
/// may be under way already: they must not make the leader forget that it waits for a third replica.
#[test]
fn metadata_of_a_known_partition_epoch_keep_the_pending_isr() {
    let mut replica = leader(&[ONE]);
    let out = step(
        &mut replica,
        Input::FollowerFetch {
            ticket: Ticket(1),
            fetch: fetch(TWO, 12, 0),
        },
    );
    let request = proposal(&out).expect("2 is in sync");
    let isr = vec![ONE, TWO];
    let altered = AlteredPartition {
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(1),
        isr,
    };
    step(
        &mut replica,
        Input::AlterPartitionResult {
            request,
            result: Ok(altered),
        },
    );
    let out = step(
        &mut replica,
        Input::FollowerFetch {
            ticket: Ticket(2),
            fetch: fetch(THREE, 13, 0),
        },
    );
    assert!(proposal(&out).is_some());
    step(&mut replica, metadata(ONE, 0, 1, &[ONE, TWO]));
    assert!(replica.maximal_isr().contains(&THREE));
    append(&mut replica, 3, Acks::All);
    step(
        &mut replica,
        Input::FollowerFetch {
            ticket: Ticket(4),
            fetch: fetch(TWO, 12, 1),
        },
    );
    assert_eq!(replica.high_watermark(), 0, "3 may be in the ISR already");
}

/// Leader 1 that has asked for 2 in its ISR, and the name of its request.
fn leader_with_proposal() -> (Replica, AlterPartitionId) {
    let mut replica = leader(&[ONE]);
    let fetched = Input::FollowerFetch {
        ticket: Ticket(1),
        fetch: fetch(TWO, 12, 0),
    };
    let out = step(&mut replica, fetched);
    let request = proposal(&out).expect("2 is in sync");
    (replica, request)
}

fn answered(request: AlterPartitionId, error: ErrorCode) -> Input {
    Input::AlterPartitionResult {
        request,
        result: Err(error),
    }
}

#[test]
fn a_refused_proposal_goes_back_and_an_unclear_one_stays_pending() {
    let (mut replica, request) = leader_with_proposal();
    step(
        &mut replica,
        answered(request, ErrorCode::IneligibleReplica),
    );
    assert!(!replica.maximal_isr().contains(&TWO));

    let (mut replica, request) = leader_with_proposal();
    assert_eq!(
        step(&mut replica, answered(request, ErrorCode::RequestTimedOut)),
        [Output::Arm(Timer::AlterPartitionRetry)]
    );
    assert!(replica.maximal_isr().contains(&TWO));
    let out = step(&mut replica, Input::Timer(Timer::AlterPartitionRetry));
    assert_ne!(proposal(&out).expect("asked again"), request);
}

/// The attempt whose fate is unknown may arrive when the replica is eligible again. Found by the model
/// `replica-isr`.
#[test]
fn a_proposal_refused_after_an_unclear_attempt_stays_pending_until_that_is_fenced() {
    let (mut replica, request) = leader_with_proposal();
    step(&mut replica, answered(request, ErrorCode::RequestTimedOut));
    let out = step(&mut replica, Input::Timer(Timer::AlterPartitionRetry));
    let retried = proposal(&out).expect("asked again");
    assert_eq!(
        step(
            &mut replica,
            answered(retried, ErrorCode::IneligibleReplica)
        ),
        [Output::Arm(Timer::AlterPartitionRetry)]
    );
    assert!(replica.maximal_isr().contains(&TWO));

    let out = step(&mut replica, Input::Timer(Timer::AlterPartitionRetry));
    let withdrawal = proposal(&out).expect("the committed ISR is asked for");
    let asked = out.iter().find_map(|output| match output {
        Output::AlterPartition { isr, .. } => Some(isr.as_slice()),
        _ => None,
    });
    assert_eq!(asked, Some(&[(ONE, BrokerEpoch(11))][..]));
    let altered = AlteredPartition {
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(1),
        isr: vec![ONE],
    };
    let confirmed = Input::AlterPartitionResult {
        request: withdrawal,
        result: Ok(altered),
    };
    step(&mut replica, confirmed);
    assert!(!replica.maximal_isr().contains(&TWO));
}
