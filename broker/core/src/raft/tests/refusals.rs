//! Requests and answers that must not be followed: stale, late, wrong or impossible; each is refused with
//! Kafka's error or ignored.

use broker_protocol::ids::{LeaderEpoch, NodeId, ReplicaKey, Uuid};

use super::script::after;
use crate::Ticket;
use crate::raft::{
    AddVoterRequest, ApiVersionsResponse, Config, Error, FetchResponse, FetchSnapshotRequest,
    FetchSnapshotResponse, Inconsistency, Input, OffsetAndEpoch, Output, QuorumState, Raft,
    Recovered, RemoveVoterRequest, Request, Response, Snapshot, UpdateVoterRequest, VersionRange,
    VoterSet,
};

const TICKET: Ticket = Ticket(1000);

fn key(id: i32, directory: u8) -> ReplicaKey {
    let mut directory_id = Uuid::ZERO;
    directory_id.0[15] = directory;
    ReplicaKey {
        id: NodeId(id),
        directory_id,
    }
}

fn at(offset: i64, epoch: i32) -> OffsetAndEpoch {
    let epoch = LeaderEpoch(epoch);
    OffsetAndEpoch { offset, epoch }
}

fn step(raft: &Raft, input: Input) -> (Raft, Vec<Output>) {
    let (mut raft, mut out) = (raft.clone(), Vec::new());
    raft.step(input, &mut out);
    (raft, out)
}

fn ask(raft: &Raft, request: Request) -> Option<Response> {
    let ticket = TICKET;
    reply(&step(raft, Input::Request { ticket, request }).1)
}

fn reply(out: &[Output]) -> Option<Response> {
    out.iter().find_map(|output| match output {
        Output::Reply {
            ticket: TICKET,
            response,
            ..
        } => Some(response.clone()),
        _ => None,
    })
}

fn sent(out: &[Output]) -> Option<Request> {
    out.iter().find_map(|output| match output {
        Output::Send { request, .. } => Some(request.clone()),
        _ => None,
    })
}

/// Nodes 1 (leader, log from the snapshot 4@1 on) and 2.
fn with_snapshot() -> (Raft, Raft) {
    let commands = ["cluster 3", "timer 1 election", "run", "append 1 3", "run"];
    let snapshot = ["snapshot 1 4", "run", "delete-before 1 4 1", "run"];
    let cluster = after(&[&commands[..], &snapshot[..]].concat());
    (
        cluster.raft(NodeId(1)).clone(),
        cluster.raft(NodeId(2)).clone(),
    )
}

#[test]
fn a_snapshot_is_given_only_by_its_leader_and_only_where_it_has_bytes() {
    let (leader, follower) = with_snapshot();
    let asked = |snapshot, position, epoch, replica| {
        Request::FetchSnapshot(FetchSnapshotRequest {
            replica: key(replica, 0),
            current_leader_epoch: LeaderEpoch(epoch),
            snapshot,
            position,
            max_bytes: 2,
        })
    };
    for (request, error) in [
        (asked(at(4, 1), 0, 1, 3), Error::None),
        (asked(at(4, 1), 3, 1, 3), Error::None),
        (asked(at(3, 1), 0, 1, 3), Error::SnapshotNotFound),
        (asked(at(4, 2), 0, 1, 3), Error::SnapshotNotFound),
        (asked(at(0, 0), 0, 1, 3), Error::SnapshotNotFound),
        (asked(at(4, 1), 4, 1, 3), Error::PositionOutOfRange),
        (asked(at(4, 1), -1, 1, 3), Error::PositionOutOfRange),
        (asked(at(4, 1), 0, 0, 3), Error::FencedLeaderEpoch),
        (asked(at(4, 1), 0, 2, 3), Error::UnknownLeaderEpoch),
        (asked(at(4, 1), 0, 1, 1), Error::InvalidRequest),
        (asked(at(4, 1), 0, 1, -1), Error::InvalidRequest),
    ] {
        let answer = ask(&leader, request.clone()).unwrap();
        assert_eq!(answer.error(), error, "{request:?}");
    }
    let answer = ask(&follower, asked(at(4, 1), 0, 1, 3)).unwrap();
    assert_eq!(answer.error(), Error::NotLeaderOrFollower);
}

/// Node 2 with an empty log, told to fetch the snapshot 4@1; and the request for its first chunk.
fn fetching_snapshot() -> (Raft, FetchSnapshotRequest) {
    let mut out = Vec::new();
    let recovered = Recovered {
        quorum_state: Some(QuorumState {
            epoch: LeaderEpoch(1),
            leader: Some(NodeId(1)),
            voted: None,
        }),
        ..Recovered::default()
    };
    let voters = VoterSet::new([key(1, 0), key(2, 0), key(3, 0)]);
    let follower = Raft::start(Config::new(key(2, 0), voters), &recovered, &mut out);
    let response = Response::Fetch(FetchResponse {
        error: Error::None,
        leader: Some(NodeId(1)),
        leader_epoch: LeaderEpoch(1),
        high_watermark: Some(5),
        log_start_offset: 4,
        diverging: None,
        snapshot: Some(at(4, 1)),
        batches: Vec::new(),
    });
    let (follower, out) = respond(&follower, sent(&out).unwrap(), response);
    match sent(&out) {
        Some(Request::FetchSnapshot(request)) => (follower, request),
        other => panic!("{other:?}"),
    }
}

fn respond(raft: &Raft, request: Request, response: Response) -> (Raft, Vec<Output>) {
    let input = Input::Response {
        from: NodeId(1),
        request,
        response,
    };
    step(raft, input)
}

fn chunk(position: i64, chunk_bytes: i64) -> FetchSnapshotResponse {
    FetchSnapshotResponse {
        error: Error::None,
        leader: Some(NodeId(1)),
        leader_epoch: LeaderEpoch(1),
        snapshot: at(4, 1),
        size: 10,
        position,
        chunk_bytes,
    }
}

#[test]
fn a_chunk_that_does_not_fit_ends_the_download() {
    let (follower, request) = fetching_snapshot();
    let answer = |response| {
        respond(
            &follower,
            Request::FetchSnapshot(request),
            Response::FetchSnapshot(response),
        )
    };
    let takes = |out: &[Output]| {
        out.iter()
            .any(|output| matches!(output, Output::AppendChunk { .. }))
    };
    assert!(takes(&answer(chunk(0, 3)).1));
    let other = FetchSnapshotResponse {
        snapshot: at(5, 1),
        ..chunk(0, 3)
    };
    let gone = FetchSnapshotResponse {
        error: Error::SnapshotNotFound,
        ..chunk(0, 0)
    };
    for response in [
        chunk(1, 3),
        chunk(0, 0),
        chunk(0, -1),
        chunk(0, 11),
        chunk(0, i64::MAX),
        other,
        gone,
    ] {
        let (after, out) = answer(response);
        assert!(!takes(&out), "{response:?}: {out:?}");
        let again = step(&after, Input::Timer(crate::raft::Timer::Retry(NodeId(1))));
        assert!(
            matches!(sent(&again.1), Some(Request::Fetch(_))),
            "{response:?}: {again:?}"
        );
    }
}

#[test]
fn a_late_chunk_is_ignored() {
    let (follower, request) = fetching_snapshot();
    let (follower, _) = respond(
        &follower,
        Request::FetchSnapshot(request),
        Response::FetchSnapshot(chunk(0, 3)),
    );
    let (after, out) = respond(
        &follower,
        Request::FetchSnapshot(request),
        Response::FetchSnapshot(chunk(0, 3)),
    );
    assert_eq!((after, out), (follower, Vec::new()));
}

#[test]
fn a_snapshot_below_the_high_watermark_is_evidence_against_the_leader() {
    let (_, follower) = with_snapshot();
    assert_eq!(follower.high_watermark(), Some(4));
    let snapshot = Snapshot {
        id: at(3, 2),
        size: 3,
        kraft_version: 0,
        voters: None,
    };
    let (after, out) = step(&follower, Input::SnapshotFetched(snapshot));
    let broken = Output::Inconsistent(Inconsistency::SnapshotBelowHighWatermark {
        snapshot: at(3, 2),
        high_watermark: 4,
    });
    assert_eq!(out, [broken]);
    assert_eq!(after.log().end(), 4);
}

/// Three voters, node 4 observes; all have everything.
fn dynamic() -> (Raft, Raft) {
    let cluster = after(&["dynamic 3 1", "timer 1 election", "run"]);
    (
        cluster.raft(NodeId(1)).clone(),
        cluster.raft(NodeId(2)).clone(),
    )
}

fn add(voter: ReplicaKey) -> Request {
    Request::AddVoter(AddVoterRequest {
        voter,
        endpoints: Vec::new(),
        ack_when_committed: true,
    })
}

fn remove(voter: ReplicaKey) -> Request {
    Request::RemoveVoter(RemoveVoterRequest { voter })
}

#[test]
fn impossible_voter_changes_are_refused() {
    let (leader, follower) = dynamic();
    for (request, error) in [
        (add(key(4, 0)), Error::InvalidRequest),
        (add(key(-1, 1)), Error::InvalidRequest),
        (add(key(2, 1)), Error::DuplicateVoter),
        (add(key(2, 7)), Error::DuplicateVoter),
        (remove(key(4, 1)), Error::VoterNotFound),
        (remove(key(2, 7)), Error::VoterNotFound),
    ] {
        let answer = ask(&leader, request.clone()).unwrap();
        assert_eq!(answer.error(), error, "{request:?}");
        let elsewhere = ask(&follower, request).unwrap();
        assert_eq!(elsewhere.error(), Error::NotLeaderOrFollower);
    }
    let still = after(&["cluster 3", "timer 1 election", "run"]);
    for request in [add(key(4, 1)), remove(key(2, 0))] {
        let answer = ask(still.raft(NodeId(1)), request).unwrap();
        assert_eq!(answer.error(), Error::UnsupportedVersion);
    }
}

#[test]
fn a_new_voter_that_does_not_support_the_version_is_refused() {
    let (leader, _) = dynamic();
    let answered = |error, kraft_versions| {
        Response::ApiVersions(ApiVersionsResponse {
            error,
            kraft_versions,
        })
    };
    for (voter, answer, error) in [
        (4, answered(Error::None, None), Error::InvalidRequest),
        (
            4,
            answered(Error::None, Some(VersionRange::STATIC)),
            Error::InvalidRequest,
        ),
        (
            4,
            answered(Error::Unexpected, Some(VersionRange::KRAFT)),
            Error::RequestTimedOut,
        ),
        // It has never fetched.
        (
            5,
            answered(Error::None, Some(VersionRange::KRAFT)),
            Error::RequestTimedOut,
        ),
    ] {
        let (ticket, request) = (TICKET, add(key(voter, 1)));
        let (asking, out) = step(&leader, Input::Request { ticket, request });
        let (_, out) = respond(&asking, sent(&out).unwrap(), answer.clone());
        assert_eq!(reply(&out).unwrap().error(), error, "{answer:?}");
    }
}

#[test]
fn a_late_answer_of_a_new_voter_is_ignored() {
    let (leader, _) = dynamic();
    let (ticket, request) = (TICKET, add(key(4, 1)));
    let (asking, out) = step(&leader, Input::Request { ticket, request });
    let question = sent(&out).unwrap();
    let (given_up, out) = step(&asking, Input::Timer(crate::raft::Timer::VoterChange));
    assert_eq!(reply(&out).unwrap().error(), Error::RequestTimedOut);
    let answer = Response::ApiVersions(ApiVersionsResponse {
        error: Error::None,
        kraft_versions: Some(VersionRange::KRAFT),
    });
    let (after, out) = respond(&given_up, question, answer);
    assert_eq!((after, out), (given_up, Vec::new()));
}

#[test]
fn updates_of_strangers_and_of_other_epochs_are_refused() {
    let (leader, follower) = dynamic();
    let update = |voter, epoch, kraft_versions| {
        Request::UpdateVoter(UpdateVoterRequest {
            current_leader_epoch: LeaderEpoch(epoch),
            voter,
            endpoints: Vec::new(),
            kraft_versions,
        })
    };
    let (able, unable) = (VersionRange::KRAFT, VersionRange::STATIC);
    for (request, error) in [
        (update(key(2, 1), 1, able), Error::None),
        (update(key(2, 7), 1, able), Error::VoterNotFound),
        (update(key(4, 1), 1, able), Error::VoterNotFound),
        (update(key(2, 1), 1, unable), Error::InvalidRequest),
        (update(key(2, 1), 0, able), Error::FencedLeaderEpoch),
        (update(key(2, 1), 2, able), Error::UnknownLeaderEpoch),
    ] {
        let answer = ask(&leader, request.clone()).unwrap();
        assert_eq!(answer.error(), error, "{request:?}");
    }
    let elsewhere = ask(&follower, update(key(2, 1), 1, able)).unwrap();
    assert_eq!(elsewhere.error(), Error::NotLeaderOrFollower);
}

#[test]
fn kraft_version_is_only_raised_by_the_leader_of_the_epoch() {
    let commands = ["upgradable 3", "timer 1 election", "run"];
    let told = ["timer 2 update-voter", "timer 3 update-voter", "run"];
    let cluster = after(&[&commands[..], &told[..]].concat());
    let (leader, follower) = (cluster.raft(NodeId(1)), cluster.raft(NodeId(2)));
    let upgrade = |raft: &Raft, epoch, version, validate_only| {
        let epoch = LeaderEpoch(epoch);
        let input = Input::UpgradeKraftVersion {
            ticket: TICKET,
            epoch,
            version,
            validate_only,
        };
        let (after, out) = step(raft, input);
        let result = out.iter().find_map(|output| match output {
            Output::KraftVersion { result, .. } => Some(*result),
            _ => None,
        });
        (result.unwrap(), after.configuration().kraft_version)
    };
    assert_eq!(
        upgrade(leader, 0, 1, false),
        (Err(Error::NotLeaderOrFollower), 0)
    );
    assert_eq!(
        upgrade(follower, 1, 1, false),
        (Err(Error::NotLeaderOrFollower), 0)
    );
    assert_eq!(
        upgrade(leader, 1, 2, false),
        (Err(Error::InvalidUpdateVersion), 0)
    );
    assert_eq!(
        upgrade(leader, 1, -1, false),
        (Err(Error::InvalidUpdateVersion), 0)
    );
    assert_eq!(upgrade(leader, 1, 0, false), (Ok(None), 0));
    assert_eq!(upgrade(leader, 1, 1, true), (Ok(None), 0));
    assert_eq!(upgrade(leader, 1, 1, false), (Ok(Some(3)), 1));
}

#[test]
fn a_voter_with_another_directory_is_asked_in_vain() {
    let (_, follower) = dynamic();
    let Some(Request::Vote(vote)) = ({
        let (_, out) = step(&follower, Input::Timer(crate::raft::Timer::Election));
        sent(&out)
    }) else {
        panic!("a voter without news of its leader asks for votes");
    };
    let replaced = after(&[
        "dynamic 3 1",
        "timer 1 election",
        "run",
        "replace-disk 1",
        "start 1",
        "run",
    ]);
    let answer = ask(replaced.raft(NodeId(1)), Request::Vote(vote)).unwrap();
    assert_eq!(answer.error(), Error::InvalidVoterKey);
}

#[test]
fn a_voter_whose_voters_are_all_gone_asks_the_bootstrap_servers() {
    let servers = vec![NodeId(-2), NodeId(-3)];
    let config = Config {
        bootstrap_servers: servers.clone(),
        ..Config::new(key(1, 0), VoterSet::new([key(1, 0), key(2, 0)]))
    };
    let mut out = Vec::new();
    let raft = Raft::start(config, &Recovered::default(), &mut out);
    assert!(raft.is_voter());
    let asked = out.iter().find_map(|output| match output {
        Output::Send {
            to,
            request: Request::Fetch(_),
        } => Some(*to),
        _ => None,
    });
    assert!(servers.contains(&asked.unwrap()));
}
