//! Answers that come twice, or long after they were taken: nothing may follow from them any more. One connection
//! brings none of that; a retry over a second one does.

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ids::NodeId;
use proptest::collection::vec;
use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::{Config as ProptestConfig, RngAlgorithm, TestRng, TestRunner};

use super::random::{Choice, changing, choose, elect_first, kinds};
use crate::raft::cluster::{Action, Cluster, Envelope, QuorumKind, Shape};
use crate::raft::{Input, Output, Raft, Request, Response, Role};

/// Answers that a process has taken.
type Taken = BTreeMap<NodeId, Vec<Input>>;

/// How many of its last answers a process gets once more after each event.
const LATE: usize = 6;

fn answer(action: &Action) -> Option<(NodeId, Input)> {
    let (Action::Deliver(envelope) | Action::Duplicate(envelope)) = action else {
        return None;
    };
    let Envelope::Response {
        to,
        from,
        request,
        response,
        ..
    } = envelope
    else {
        return None;
    };
    let input = Input::Response {
        from: *from,
        request: request.clone(),
        response: response.clone(),
    };
    Some((*to, input))
}

fn kind(input: &Input) -> &'static str {
    let Input::Response { response, .. } = input else {
        panic!("only answers are kept")
    };
    match response {
        Response::Vote(_) => "Vote",
        Response::BeginQuorumEpoch(_) => "BeginQuorumEpoch",
        Response::EndQuorumEpoch(_) => "EndQuorumEpoch",
        Response::Fetch(_) => "Fetch",
        Response::FetchSnapshot(_) => "FetchSnapshot",
        Response::AddVoter(_) => "AddRaftVoter",
        Response::RemoveVoter(_) => "RemoveRaftVoter",
        Response::UpdateVoter(_) => "UpdateRaftVoter",
        Response::ApiVersions(_) => "ApiVersions",
    }
}

/// A timer may be armed anew (a refused vote is asked for again later); nothing else may be said or done.
fn ignored(raft: &Raft, input: &Input) -> Result<(), String> {
    let (mut after, mut out) = (raft.clone(), Vec::new());
    after.step(input.clone(), &mut out);
    out.retain(|output| !matches!(output, Output::Arm { .. } | Output::Disarm(_)));
    if raft.leader().is_none() && after.leader().is_some() && after.epoch() == raft.epoch() {
        // Who leads the epoch is true whenever it is heard; it only puts an election off.
        return Ok(());
    }
    // What the other end knows of this epoch it still knows: that saves reminders, and no more.
    after.told_leader = raft.told_leader;
    if let (Role::Leader(reminded), Role::Leader(leadership)) = (&mut after.role, &raft.role)
        && kind(input) == "BeginQuorumEpoch"
    {
        reminded.voters.clone_from(&leadership.voters);
    }
    match after == *raft && out.is_empty() {
        true => Ok(()),
        false => Err(format!("{input:?}\nchanges something and leads to {out:?}")),
    }
}

/// Whether the process has asked the same again: then the former answer is as good as the one under way.
fn is_asked_again(cluster: &Cluster, id: NodeId, input: &Input) -> bool {
    let Input::Response { from, request, .. } = input else {
        return false;
    };
    if cluster.raft(id).awaits(*from, request) {
        return true;
    }
    let on_the_way = cluster.network.iter().any(|envelope| match envelope {
        Envelope::Request {
            from, request: it, ..
        } => *from == Some(id) && it == request,
        Envelope::Response {
            to, request: it, ..
        } => *to == id && it == request,
    });
    let asked = |(from, it): &(Option<NodeId>, Request)| *from == Some(id) && it == request;
    on_the_way
        || cluster
            .nodes
            .values()
            .any(|node| node.asked.values().any(asked))
}

impl Raft {
    /// What nobody will answer any more is under way until its time is over.
    fn awaits(&self, from: NodeId, request: &Request) -> bool {
        match request {
            Request::Fetch(fetch) => self.awaits_fetch(from, fetch),
            Request::FetchSnapshot(chunk) => self.awaits_chunk(from, chunk),
            Request::Vote(vote) => self.awaits_vote(from, vote),
            _ => false,
        }
    }
}

fn run(shape: Shape, choices: &[u32], seen: &mut BTreeSet<&'static str>) -> Result<(), String> {
    let ignore = &mut |_, _: &_| {};
    let mut cluster = Cluster::new(shape, ignore);
    elect_first(&mut cluster);
    let mut taken = Taken::new();
    for &number in choices {
        let Some(action) = choose(kinds(shape, true), &cluster, Choice(number)) else {
            break;
        };
        let answer = answer(&action);
        cluster.apply(&action, ignore);
        for (id, answers) in &mut taken {
            if cluster.node(*id).raft.is_none() {
                answers.clear();
            }
        }
        if let Some((to, input)) = answer {
            seen.insert(kind(&input));
            taken.entry(to).or_default().push(input);
        }
        for (id, answers) in &taken {
            let late = answers.iter().rev().take(LATE);
            for input in late.filter(|input| !is_asked_again(&cluster, *id, input)) {
                ignored(cluster.raft(*id), input)?;
            }
        }
    }
    Ok(())
}

#[test]
fn an_answer_that_was_taken_changes_nothing_any_more() {
    const STEPS: usize = 400;
    const CASES: u32 = 60;
    let mut seen = BTreeSet::new();
    for (quorum, seed) in [
        (QuorumKind::Static, 1),
        (QuorumKind::Upgradable, 2),
        (QuorumKind::Dynamic, 3),
    ] {
        let rng = TestRng::from_seed(RngAlgorithm::ChaCha, &[seed; 32]);
        let config = ProptestConfig {
            failure_persistence: None,
            ..ProptestConfig::default()
        };
        let mut runner = TestRunner::new_with_rng(config, rng);
        for _ in 0..CASES {
            let tree = vec(0..1_000_000u32, STEPS).new_tree(&mut runner);
            let choices = tree.expect("numbers can always be drawn").current();
            let held = run(changing(quorum, 3, 1, true), &choices, &mut seen);
            held.unwrap_or_else(|reason| panic!("{quorum:?}: {reason}"));
        }
    }
    let expected = [
        "ApiVersions",
        "BeginQuorumEpoch",
        "EndQuorumEpoch",
        "Fetch",
        "FetchSnapshot",
        "UpdateRaftVoter",
        "Vote",
    ];
    assert!(
        expected.iter().all(|kind| seen.contains(kind)),
        "only {seen:?} were tried"
    );
}
