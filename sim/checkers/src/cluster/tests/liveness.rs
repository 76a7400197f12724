//! LIVE-1, LIVE-2, LIVE-5.

use super::*;
use crate::anomaly::Verdict;
use crate::cluster::finish::{FinalClient, FinalNode, FinalReplica, FinalState};

/// [`committed`] and healthy: node 1 leads the partition and the quorum.
fn healthy() -> (Story, FinalState) {
    let replica = |node: i32| FinalReplica {
        partition: P,
        leader: node == 1,
        epoch: 0,
        log_end: 5,
        high_watermark: 5,
        isr: if node == 1 { vec![1, 2, 3] } else { Vec::new() },
    };
    let node = |node: i32| FinalNode {
        node,
        live: true,
        voter: true,
        broker: true,
        quorum_role: Some(if node == 1 {
            QuorumRole::Leader
        } else {
            QuorumRole::Follower
        }),
        quorum_leader: Some(1),
        quorum_epoch: 4,
        applied_end: 7,
        partitions: vec![replica(node)],
        ..FinalNode::default()
    };
    let mut story = committed();
    story.quorum_role(1, 4, QuorumRole::Leader);
    story
        .metadata(1, batch(0, 6, 4))
        .metadata(2, batch(0, 6, 4))
        .metadata_commits(1, 4, 7, true);
    let clients = vec![FinalClient {
        name: "consumer1".into(),
        unanswered: 0,
        behind: 0,
    }];
    (
        story,
        FinalState {
            event: 1000,
            sim_ms: 60_000,
            nodes: vec![node(1), node(2), node(3)],
            clients,
        },
    )
}

#[track_caller]
fn stuck(change: impl Fn(&mut FinalState), invariant: &str, anomaly: &str) {
    let (mut story, mut state) = healthy();
    change(&mut state);
    assert!(!story.cluster.unsettled(&state).is_empty());
    story.cluster.finish(&state);
    let found = story.cluster.violations();
    assert!(
        found
            .iter()
            .any(|found| found.invariant == invariant && found.anomaly == anomaly),
        "{anomaly}: {found:#?}"
    );
    assert_eq!(Verdict::of(found), Verdict::Stuck);
    assert!(
        found
            .iter()
            .all(|found| found.event == 1000 && found.sim_ms == 60_000)
    );
}

#[test]
fn a_healthy_cluster_is_settled() {
    let (mut story, state) = healthy();
    assert_eq!(story.cluster.unsettled(&state), []);
    story.cluster.finish(&state);
    story.holds();
    let report = story.cluster.report();
    for invariant in ["LIVE-1", "LIVE-2", "LIVE-5"] {
        assert!(report.checked[invariant] > 0);
    }
}

#[test]
fn a_dead_node_is_fenced_and_not_waited_for() {
    let (mut story, mut state) = healthy();
    state.nodes[2].live = false;
    state.nodes[0].fenced = vec![3];
    state.nodes[0].partitions[0].isr = vec![1, 2];
    story.cluster.finish(&state);
    story.holds();
}

#[test]
fn without_a_majority_the_quorum_owes_no_leader() {
    let (story, mut state) = healthy();
    for node in &mut state.nodes[1..] {
        node.live = false;
    }
    state.nodes[0].quorum_role = Some(QuorumRole::Candidate);
    let found = story.cluster.unsettled(&state);
    assert!(
        found.iter().all(|found| found.invariant != "LIVE-2"),
        "{found:#?}"
    );
}

#[test]
fn live_1_the_data_path_comes_back() {
    stuck(
        |state| state.nodes[0].partitions[0].leader = false,
        "LIVE-1",
        "leaderless",
    );
    stuck(
        |state| state.nodes[1].partitions[0].leader = true,
        "LIVE-1",
        "leaderless",
    );
    stuck(
        |state| state.nodes[0].partitions[0].high_watermark = 4,
        "LIVE-1",
        "high-watermark-stuck",
    );
    stuck(
        |state| state.nodes[0].partitions[0].isr = vec![1, 2],
        "LIVE-1",
        "isr-not-full",
    );
    stuck(
        |state| state.nodes[2].partitions[0].log_end = 4,
        "LIVE-1",
        "not-converged",
    );
    stuck(
        |state| state.nodes[2].partitions.clear(),
        "LIVE-1",
        "not-converged",
    );
    stuck(
        |state| state.nodes[2].offline_directory = true,
        "LIVE-1",
        "directory-offline",
    );
}

#[test]
fn live_2_the_control_plane_comes_back() {
    stuck(
        |state| state.nodes[0].quorum_role = Some(QuorumRole::Candidate),
        "LIVE-2",
        "no-quorum-leader",
    );
    stuck(
        |state| state.nodes[1].quorum_role = Some(QuorumRole::Leader),
        "LIVE-2",
        "no-quorum-leader",
    );
    stuck(
        |state| state.nodes[1].quorum_epoch = 3,
        "LIVE-2",
        "quorum-disagrees",
    );
    stuck(|state| state.nodes[0].fenced = vec![2], "LIVE-2", "fencing");
    stuck(
        |state| state.nodes[0].reassigning = vec![P],
        "LIVE-2",
        "reassignment-pending",
    );
    stuck(|state| state.nodes[2].live = false, "LIVE-2", "fencing");
    stuck(
        |state| state.nodes[2].applied_end = 6,
        "LIVE-2",
        "metadata-behind",
    );
}

#[test]
fn meta_4_no_log_stays_where_it_is_not_assigned() {
    let (mut story, mut state) = healthy();
    state.nodes[2].strays = vec!["gone-0".into()];
    story.cluster.finish(&state);
    let found = story.cluster.violations();
    assert_eq!(
        found
            .iter()
            .map(|found| (found.invariant.as_str(), found.anomaly.as_str()))
            .collect::<Vec<_>>(),
        [("META-4", "stray-replica")]
    );
}

#[test]
fn live_2_metadata_records_may_be_on_the_way() {
    let (mut story, mut state) = healthy();
    (story.event, state.sim_ms) = (59_000, 60_000);
    story
        .metadata(1, batch(7, 7, 4))
        .metadata(2, batch(7, 7, 4))
        .metadata_commits(1, 4, 8, true);
    assert_eq!(story.cluster.unsettled(&state), []);
    state.sim_ms = 62_000;
    assert_eq!(story.cluster.unsettled(&state).len(), 3);
}

#[test]
fn live_5_requests_end_and_consumers_arrive() {
    stuck(
        |state| state.clients[0].unanswered = 1,
        "LIVE-5",
        "unanswered",
    );
    stuck(
        |state| state.clients[0].behind = 3,
        "LIVE-5",
        "consumer-behind",
    );
}

#[test]
fn a_topic_that_a_later_snapshot_lacks_owes_no_leader() {
    let (mut story, mut state) = healthy();
    for node in &mut state.nodes {
        node.partitions.clear();
    }
    assert!(!story.cluster.unsettled(&state).is_empty());
    story.at(
        3,
        Event::MetadataSnapshotLoaded {
            end: 7,
            epoch: 4,
            hash: 1,
            topics: Vec::new(),
        },
    );
    assert_eq!(story.cluster.unsettled(&state), []);
}
