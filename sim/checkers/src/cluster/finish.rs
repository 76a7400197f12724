//! The end of the quiet phase: LIVE-1, LIVE-2, LIVE-5, and META-4's "equals the committed image".

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::Cluster;
use super::event::{PartitionId, PartitionState, QuorumRole};
use super::judge::{Invariant, Judge, Stamp};
use super::partition::Partition;
use crate::anomaly::Violation;

/// The cluster after the quiet phase, as the runner reads it from the nodes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalState {
    pub event: u64,
    pub sim_ms: u64,
    pub nodes: Vec<FinalNode>,
    pub clients: Vec<FinalClient>,
}

/// One node. A node that the scenario keeps down or cut off is there with `live` false.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalNode {
    pub node: i32,
    pub live: bool,
    /// Takes part in the metadata quorum.
    pub voter: bool,
    pub broker: bool,
    /// A log directory is offline although its disk is healthy.
    pub offline_directory: bool,
    pub quorum_role: Option<QuorumRole>,
    pub quorum_leader: Option<i32>,
    pub quorum_epoch: i32,
    pub metadata_end: i64,
    pub metadata_high_watermark: i64,
    pub applied_end: i64,
    /// Brokers that this node's image has as fenced or shutting down.
    pub fenced: Vec<i32>,
    /// Partitions that its image has as being moved to live brokers.
    #[serde(default)]
    pub reassigning: Vec<PartitionId>,
    /// Names of logs it holds although nobody assigned them to it.
    #[serde(default)]
    pub strays: Vec<String>,
    pub partitions: Vec<FinalReplica>,
}

/// One replica on a live node.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalReplica {
    pub partition: PartitionId,
    pub leader: bool,
    pub epoch: i32,
    pub log_end: i64,
    pub high_watermark: i64,
    /// As the leader has it; empty for a follower.
    pub isr: Vec<i32>,
}

/// One client after the quiet phase.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FinalClient {
    pub name: String,
    /// Requests that were neither answered nor failed within their timeout.
    pub unanswered: u64,
    /// Offsets between the consumer's positions and the ends of its partitions.
    pub behind: i64,
}

impl Cluster {
    /// Judges the state after the quiet phase; a violation of `LIVE-*` means stuck, not unsafe.
    pub fn finish(&mut self, state: &FinalState) {
        let mut judge = std::mem::take(&mut self.judge);
        self.metadata.close(i32::MIN, false, &mut judge);
        judge.at = Stamp {
            event: state.event,
            sim_ms: state.sim_ms,
            node: 0,
        };
        self.judge_final(state, &mut judge);
        self.judge = judge;
    }

    /// What [`Cluster::finish`] would find now. The quiet phase is over as soon as it is nothing: records are
    /// always under way, so one late look proves less than the first that is satisfied.
    pub fn unsettled(&self, state: &FinalState) -> Vec<Violation> {
        let mut judge = Judge::default();
        judge.at = Stamp {
            event: state.event,
            sim_ms: state.sim_ms,
            node: 0,
        };
        self.judge_final(state, &mut judge);
        judge.violations().to_vec()
    }

    fn judge_final(&self, state: &FinalState, judge: &mut Judge) {
        control_plane(state, judge);
        same_image(state, self.quorum.settled_end(state.sim_ms), judge);
        let live: BTreeMap<i32, &FinalNode> = state
            .nodes
            .iter()
            .filter(|node| node.live && node.broker)
            .map(|node| (node.node, node))
            .collect();
        for partition in self
            .partitions
            .values()
            .filter(|partition| !partition.removed)
        {
            if let Some(registered) = partition.newest_registered() {
                data_path(partition, registered, &live, judge);
            }
        }
        clients(state, judge);
    }
}

/// LIVE-2: one leader of the quorum that all live members know, live brokers unfenced, dead ones fenced.
fn control_plane(state: &FinalState, judge: &mut Judge) {
    let voters = state.nodes.iter().filter(|node| node.voter).count();
    let live: Vec<&FinalNode> = state.nodes.iter().filter(|node| node.live).collect();
    if live.iter().filter(|node| node.voter).count() <= voters / 2 {
        return;
    }
    let leaders: Vec<&&FinalNode> = live
        .iter()
        .filter(|node| node.quorum_role == Some(QuorumRole::Leader))
        .collect();
    let newest = leaders
        .iter()
        .max_by_key(|node| node.quorum_epoch)
        .copied()
        .copied();
    judge.demand(
        leaders.len() == 1,
        Invariant::Live2,
        "no-quorum-leader",
        |_| {
            let roles: Vec<_> = live
                .iter()
                .map(|node| (node.node, node.quorum_role, node.quorum_epoch))
                .collect();
            format!(
                "the metadata quorum has {} leaders: {roles:?}",
                leaders.len()
            )
        },
    );
    let Some(leader) = newest else { return };
    for node in &live {
        judge.at.node = node.node;
        let follows =
            node.quorum_leader == Some(leader.node) && node.quorum_epoch == leader.quorum_epoch;
        judge.demand(follows, Invariant::Live2, "quorum-disagrees", |_| {
            format!(
                "knows quorum leader {:?} of epoch {}, it is {} of epoch {}",
                node.quorum_leader, node.quorum_epoch, leader.node, leader.quorum_epoch
            )
        });
    }
    judge.at.node = leader.node;
    judge.demand(
        leader.reassigning.is_empty(),
        Invariant::Live2,
        "reassignment-pending",
        |judge| {
            let names = leader.reassigning.iter().map(|id| judge.name(*id));
            format!(
                "still being moved: {}",
                names.collect::<Vec<_>>().join(", ")
            )
        },
    );
    for node in state.nodes.iter().filter(|node| node.broker) {
        judge.at.node = node.node;
        let fenced = leader.fenced.contains(&node.node);
        judge.demand(fenced != node.live, Invariant::Live2, "fencing", |_| {
            format!(
                "broker {} is live: {}, fenced: {fenced}",
                node.node, node.live
            )
        });
    }
}

/// META-4: after quiet time every live node has the committed image, but for records that are on the way, and
/// no log that it should not have.
fn same_image(state: &FinalState, settled: i64, judge: &mut Judge) {
    for node in state.nodes.iter().filter(|node| node.live) {
        judge.at.node = node.node;
        let applied = node.applied_end;
        judge.demand(
            applied >= settled,
            Invariant::Live2,
            "metadata-behind",
            |_| {
                format!(
                    "has applied metadata up to {applied}, committed is up to {settled} for a while"
                )
            },
        );
        judge.demand(
            node.strays.is_empty(),
            Invariant::Meta4,
            "stray-replica",
            |_| {
                let strays = node.strays.join(", ");
                format!("holds logs that are not assigned to it: {strays}")
            },
        );
    }
}

/// LIVE-1 for one partition.
fn data_path(
    partition: &Partition,
    registered: &PartitionState,
    live: &BTreeMap<i32, &FinalNode>,
    judge: &mut Judge,
) {
    let id = partition.id;
    let members: Vec<i32> = registered
        .replicas
        .iter()
        .filter(|node| live.contains_key(node))
        .copied()
        .collect();
    let may_lead =
        |node: &&i32| registered.isr.contains(node) || registered.eligible.contains(node);
    if !members.iter().any(|node| may_lead(&node)) {
        return;
    }
    let hosted = |node: i32| {
        live.get(&node)?
            .partitions
            .iter()
            .find(|replica| replica.partition == id)
    };
    let leaders: Vec<i32> = members
        .iter()
        .copied()
        .filter(|node| hosted(*node).is_some_and(|replica| replica.leader))
        .collect();
    judge.at.node = registered.leader.unwrap_or(0);
    let led = leaders.len() == 1 && registered.leader == leaders.first().copied();
    if !judge.demand(led, Invariant::Live1, "leaderless", |judge| {
        format!(
            "{}: registered leader {:?}, leading are {leaders:?} of {members:?}",
            judge.name(id),
            registered.leader
        )
    }) {
        return;
    }
    let Some((leader, own)) = leaders
        .first()
        .and_then(|node| Some((*node, hosted(*node)?)))
    else {
        return;
    };
    judge.at.node = leader;
    judge.demand(
        own.high_watermark == own.log_end,
        Invariant::Live1,
        "high-watermark-stuck",
        |judge| {
            format!(
                "{}: high watermark {}, log end {}",
                judge.name(id),
                own.high_watermark,
                own.log_end
            )
        },
    );
    let missing: Vec<i32> = members
        .iter()
        .copied()
        .filter(|node| !own.isr.contains(node))
        .collect();
    judge.demand(
        missing.is_empty(),
        Invariant::Live1,
        "isr-not-full",
        |judge| {
            format!(
                "{}: ISR {:?} lacks the live replicas {missing:?}",
                judge.name(id),
                own.isr
            )
        },
    );
    for node in members.into_iter().filter(|node| *node != leader) {
        judge.at.node = node;
        let its = hosted(node).map(|replica| (replica.epoch, replica.log_end));
        judge.demand(
            its == Some((own.epoch, own.log_end)),
            Invariant::Live1,
            "not-converged",
            |judge| {
                format!(
                    "{}: (epoch, log end) is {its:?}, the leader {leader} is at {:?}",
                    judge.name(id),
                    (own.epoch, own.log_end)
                )
            },
        );
    }
}

/// LIVE-5: requests end, consumers reach the end; LIVE-1: healthy disks are in use.
fn clients(state: &FinalState, judge: &mut Judge) {
    judge.at.node = 0;
    for client in &state.clients {
        judge.demand(
            client.unanswered == 0,
            Invariant::Live5,
            "unanswered",
            |_| {
                format!(
                    "{}: {} requests without an answer",
                    client.name, client.unanswered
                )
            },
        );
        judge.demand(
            client.behind <= 0,
            Invariant::Live5,
            "consumer-behind",
            |_| {
                format!(
                    "{}: {} offsets behind the ends of its partitions",
                    client.name, client.behind
                )
            },
        );
    }
    for node in state.nodes.iter().filter(|node| node.live) {
        judge.at.node = node.node;
        judge.demand(
            !node.offline_directory,
            Invariant::Live1,
            "directory-offline",
            |_| "its log directory is offline, its disk is healthy".to_owned(),
        );
    }
}
