//! The same for a follower: answers that do not fit, logs that begin inside of a batch, flushes.

use broker_protocol::ids::{LeaderEpoch, Offset};

use super::edges::{ONE, TWO, append, metadata, produced, replica, step};
use crate::PersistId;
use crate::replica::{
    Acks, EpochEndOffset, FetchRequest, FetchResponse, Fetched, FetchedBatch, Input, Output,
    Replica, Timer,
};

fn follower(start: Offset, end: Offset, flush_before_ack: bool) -> Replica {
    let mut replica = replica(start, end, flush_before_ack);
    step(&mut replica, metadata(TWO, 1, 1, &[ONE, TWO]));
    replica
}

fn answer(
    request: FetchRequest,
    diverging: Option<(i32, Offset)>,
    batches: &[(Offset, Offset, i32)],
) -> Input {
    let batch = |&(base_offset, last_offset, epoch): &(Offset, Offset, i32)| FetchedBatch {
        base_offset,
        last_offset,
        leader_epoch: LeaderEpoch(epoch),
    };
    let fetched = Fetched {
        diverging: diverging.map(|(epoch, end_offset)| EpochEndOffset {
            epoch: LeaderEpoch(epoch),
            end_offset,
        }),
        high_watermark: 100,
        log_start: 0,
        batches: batches.iter().map(batch).collect(),
    };
    Input::FetchResponse(FetchResponse {
        request,
        result: Ok(fetched),
    })
}

/// a repeated answer fits the offset and the epoch, but not the history that it is about.
#[test]
fn a_repeated_divergence_does_not_cut_what_was_fetched_since() {
    let mut replica = follower(0, 10, false);
    let before = replica.fetch_request().expect("following 2");
    let diverging = answer(before, Some((0, 5)), &[]);
    assert_eq!(
        step(&mut replica, diverging.clone()),
        [Output::Truncate { to: 5 }]
    );
    step(&mut replica, Input::Truncated { log_end: 5 });
    let request = replica.fetch_request().expect("again");
    step(&mut replica, answer(request, None, &[(5, 9, 1)]));
    assert_eq!(replica.log_end(), 10);
    assert!(step(&mut replica, diverging).is_empty());
    assert_eq!(replica.log_end(), 10);
}

#[test]
fn batches_that_do_not_follow_on_are_not_appended() {
    for batches in [
        &[(9, 9, 0)][..],
        &[(10, 11, 0), (11, 12, 0)],
        &[(10, 10, 2)],
        &[(10, 9, 0)],
        &[(10, 10, 1), (11, 11, 0)],
    ] {
        let mut replica = follower(0, 10, false);
        let request = replica.fetch_request().expect("following 2");
        let out = step(&mut replica, answer(request, None, batches));
        assert_eq!(out, [Output::Arm(Timer::FetchBackoff)], "{batches:?}");
        assert_eq!((replica.log_end(), replica.fetch_request()), (10, None));
        assert_eq!(
            step(&mut replica, Input::Timer(Timer::FetchBackoff)),
            [Output::FetchReady]
        );
    }
    let mut replica = follower(0, 10, false);
    let request = replica.fetch_request().expect("following 2");
    step(
        &mut replica,
        answer(request, None, &[(12, 14, 0), (20, 20, 1)]),
    );
    assert_eq!(replica.log_end(), 21, "compacted away in between");
}

#[test]
fn an_empty_log_may_begin_inside_of_a_batch() {
    let mut replica = follower(7, 7, false);
    let request = replica.fetch_request().expect("following 2");
    let out = step(&mut replica, answer(request, None, &[(5, 9, 0)]));
    assert_eq!(
        out[..3],
        [
            Output::TruncateFully { at: 5 },
            Output::AppendFetched { log_end: 10 },
            Output::AdvanceLogStart { to: 7 },
        ]
    );
    assert_eq!(
        (
            replica.log_start(),
            replica.high_watermark(),
            replica.log_end()
        ),
        (7, 10, 10)
    );
}

#[test]
fn a_flush_counts_up_to_where_it_began() {
    let mut replica = replica(0, 10, true);
    let out = step(&mut replica, metadata(TWO, 1, 1, &[ONE, TWO]));
    assert!(out.contains(&Output::Flush {
        id: PersistId(0),
        end: 10
    }));
    assert_eq!(replica.fetch_request(), None, "nothing is durable yet");
    step(&mut replica, Input::Flushed(PersistId(0)));
    let request = replica.fetch_request().expect("durable");
    let out = step(&mut replica, answer(request, None, &[(10, 12, 1)]));
    assert!(out.contains(&Output::Flush {
        id: PersistId(1),
        end: 13
    }));
    step(&mut replica, metadata(TWO, 2, 2, &[ONE, TWO]));
    step(&mut replica, metadata(ONE, 3, 3, &[ONE]));
    let out = append(&mut replica, 1, Acks::Leader);
    assert!(
        produced(&out).is_empty(),
        "the flush under way ends before this record"
    );
    let out = step(&mut replica, Input::Flushed(PersistId(1)));
    assert_eq!(replica.high_watermark(), 13);
    assert!(
        produced(&out).is_empty()
            && out.contains(&Output::Flush {
                id: PersistId(2),
                end: 14
            })
    );
    assert!(step(&mut replica, Input::Flushed(PersistId(1))).is_empty());
    assert_eq!(
        produced(&step(&mut replica, Input::Flushed(PersistId(2)))),
        [(1, Ok(13))]
    );
}
