//! One known bug each that schedules alone do not show: liveness, or a guard that only matters after another
//! bug. Each is also put back, to see that its test notices.

use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey, Uuid};

use super::script::after;
use crate::Ticket;
use crate::raft::{
    BatchSummary, Config, Error, FetchRequest, FetchResponse, Input, OffsetAndEpoch, Output,
    QuorumState, Raft, Recovered, Request, Response, Timer, VoterSet,
};

fn check(id: &'static str, holds: impl Fn() -> bool) {
    assert!(holds(), "{id}");
    #[cfg(feature = "mutants")]
    {
        broker_probe::set_mutant(Some(id));
        let found = !holds();
        broker_probe::set_mutant(None);
        assert!(found, "{id} is not noticed");
    }
}

#[test]
fn the_only_voter_needs_no_fetches_to_stay_leader() {
    check("K_07", || {
        let cluster = after(&["cluster 1", "run"]);
        assert_eq!(cluster.leaders().count(), 1);
        !cluster.node(NodeId(1)).timers.contains(&Timer::CheckQuorum)
    });
}

#[test]
fn a_voter_that_is_cut_off_does_not_raise_its_epoch() {
    check("K_11", || {
        let cluster = after(&[
            "cluster 3",
            "timer 1 election",
            "run",
            "cut 3",
            "timer 3 election",
            "run",
            "timer 3 election",
            "run",
        ]);
        cluster.raft(NodeId(3)).epoch() == LeaderEpoch(1)
    });
}

#[test]
fn resignation_answers_the_parked_fetches() {
    check("K_19", || {
        let cluster = after(&["cluster 3", "timer 1 election", "run", "resign 1", "run"]);
        cluster.node(NodeId(1)).asked.is_empty()
    });
}

#[test]
fn a_voter_that_lost_its_disk_catches_up() {
    check("K_20", || {
        let cluster = after(&[
            "cluster 3",
            "timer 1 election",
            "run",
            "append 1 2",
            "run",
            "wipe-disk 2",
            "start 2",
            "timer 1 begin-quorum-epoch",
            "run",
            "timer 1 begin-quorum-epoch",
            "run",
        ]);
        cluster.raft(NodeId(2)).log().end() == 3
    });
}

#[test]
fn no_truncation_below_the_high_watermark() {
    check("K_05", || {
        let mut out = Vec::new();
        let mut raft = follower_of_1(&mut out);
        let batch = BatchSummary {
            base_offset: 0,
            last_offset: 3,
            epoch: LeaderEpoch(1),
            change: None,
        };
        answer(&mut raft, &mut out, Some(4), vec![batch], None);
        assert_eq!(raft.high_watermark(), Some(4));
        let diverging = OffsetAndEpoch {
            offset: 2,
            epoch: LeaderEpoch(1),
        };
        answer(&mut raft, &mut out, Some(4), Vec::new(), Some(diverging));
        raft.log().end() == 4
            && out
                .iter()
                .any(|output| matches!(output, Output::Inconsistent(_)))
    });
}

fn follower_of_1(out: &mut Vec<Output>) -> Raft {
    let key = |id| ReplicaKey {
        id: NodeId(id),
        directory_id: Uuid::ZERO,
    };
    let state = QuorumState {
        epoch: LeaderEpoch(1),
        leader: Some(NodeId(1)),
        voted: None,
    };
    let recovered = Recovered {
        quorum_state: Some(state),
        log_start_offset: 0,
        log_end_offset: 0,
        epochs: Vec::new(),
        ..Recovered::default()
    };
    Raft::start(
        Config::new(key(2), VoterSet::new([key(1), key(2), key(3)])),
        &recovered,
        out,
    )
}

/// Answers the fetch that is in `out`, and finishes the flush that follows.
fn answer(
    raft: &mut Raft,
    out: &mut Vec<Output>,
    high_watermark: Option<Offset>,
    batches: Vec<BatchSummary>,
    diverging: Option<OffsetAndEpoch>,
) {
    let request = out.drain(..).find_map(|output| match output {
        Output::Send {
            request: Request::Fetch(fetch),
            ..
        } => Some(Request::Fetch(fetch)),
        _ => None,
    });
    let response = Response::Fetch(FetchResponse {
        error: Error::None,
        leader: Some(NodeId(1)),
        leader_epoch: LeaderEpoch(1),
        high_watermark,
        log_start_offset: 0,
        diverging,
        snapshot: None,
        batches,
    });
    let request = request.expect("a follower fetches");
    raft.step(
        Input::Response {
            from: NodeId(1),
            request,
            response,
        },
        out,
    );
    let flush = out.iter().find_map(|output| match output {
        Output::Flush { id, .. } => Some(*id),
        _ => None,
    });
    if let Some(id) = flush {
        raft.step(Input::Persisted(id), out);
    }
}

#[test]
fn an_equal_offset_of_another_epoch_is_another_record() {
    check("K_28", || {
        let commands = ["cluster 3", "timer 1 election", "run", "resign 1", "run"];
        let again = ["timer 2 election", "run"];
        let cluster = after(&[&commands[..], &again[..]].concat());
        let leader = cluster.raft(NodeId(2));
        let (end, epoch) = (leader.log().end(), leader.epoch());
        assert!(
            cluster.leaders().count() == 1 && epoch > LeaderEpoch(1),
            "{cluster}"
        );
        let request = Request::Fetch(FetchRequest {
            replica: ReplicaKey {
                id: NodeId(3),
                directory_id: Uuid::ZERO,
            },
            current_leader_epoch: epoch,
            fetch_offset: end,
            last_fetched_epoch: LeaderEpoch(1),
            high_watermark: 0,
            max_wait_ms: 0,
        });
        let (mut raft, mut out, ticket) = (leader.clone(), Vec::new(), Ticket(1000));
        raft.step(Input::Request { ticket, request }, &mut out);
        out.iter().any(|output| {
            matches!(output, Output::Reply { response: Response::Fetch(answer), .. } if answer.diverging.is_some())
        })
    });
}
