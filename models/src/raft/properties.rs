//! What must hold everywhere, and what must happen somewhere.

use broker_core::raft::cluster::Node;
use broker_core::raft::{Raft, Request, Role, VoterSet};
use broker_protocol::ids::{LeaderEpoch, NodeId};
use stateright::Property;

use super::{Faults, RaftModel, State};

type Condition = fn(&RaftModel, &State) -> bool;

impl RaftModel {
    /// What a model that explores its subject must come across.
    pub(super) fn own_properties(&self) -> Vec<Property<RaftModel>> {
        let Faults {
            snapshots,
            additions,
            removals,
            disk_replacements,
            wipes,
            elections,
            ..
        } = self.bounds.faults;
        let mut properties = Vec::new();
        if elections > 0 && self.cut_off.is_none() {
            properties.push(Property::sometimes(
                "another leader is elected",
                |_, state: &State| other_leaders(state).next().is_some(),
            ));
        }
        if self.cut_off.is_some() {
            let (always, sometimes) = self.staying();
            properties.push(Property::always("LIVE-2: the leader stays", always));
            properties.push(sometimes);
            return properties;
        }
        if wipes > 0 {
            properties.push(Property::sometimes(
                "a voter that lost its disk has all records again",
                is_filled_again,
            ));
            return properties;
        }
        let others = properties.len();
        if snapshots > 0 {
            properties.extend(snapshot_properties());
        }
        if additions > 0 {
            properties.extend(addition_properties());
        }
        if removals > 0 {
            properties.extend(removal_properties());
        }
        if disk_replacements > 0 {
            properties.push(Property::sometimes(
                "an empty disk of no voter is filled",
                |_, state: &State| observers_with_records(state).next().is_some(),
            ));
        }
        if properties.len() == others {
            properties.push(Property::sometimes(
                "a log is truncated",
                |_, state: &State| state.seen.truncation,
            ));
        }
        if removals > 0 && additions == 0 {
            properties.push(Property::sometimes(
                "a voter change is truncated",
                |_, state: &State| state.seen.change_undone,
            ));
        }
        properties
    }

    /// What a leader does that nobody has a reason to replace, and what happens to it all the same.
    fn staying(&self) -> (Condition, Property<RaftModel>) {
        if self.shape.voters == 1 {
            let again = |_: &RaftModel, state: &State| {
                state
                    .cluster
                    .leaders()
                    .any(|raft| raft.epoch() > LeaderEpoch(1))
            };
            let again = Property::sometimes("the voter leads again after a power loss", again);
            return (the_only_voter_leads, again);
        }
        let twice = |_: &RaftModel, state: &State| state.left.elections == 0;
        let twice = Property::sometimes("a voter has given the leader up twice", twice);
        (the_first_leader_stays, twice)
    }

    pub(super) fn holds(state: &State, invariant: &str) -> bool {
        state
            .cluster
            .violation
            .as_ref()
            .is_none_or(|violation| violation.invariant != invariant)
    }
}

fn snapshot_properties() -> Vec<Property<RaftModel>> {
    vec![
        Property::sometimes(
            "a log starts behind its first record",
            |_, state: &State| {
                let mut logs = state.cluster.nodes.values().map(|node| node.disk.log());
                logs.any(|log| log.start > 0)
            },
        ),
        Property::sometimes("a snapshot replaces a log", |_, state: &State| {
            state.seen.installation
        }),
        Property::sometimes("another leader starts at a snapshot", |_, state: &State| {
            other_leaders(state).any(|leader| leader.log().start() > 0)
        }),
    ]
}

fn addition_properties() -> Vec<Property<RaftModel>> {
    vec![
        Property::sometimes("an added voter is committed", |_, state: &State| {
            committed_voters(state).any(|voters| voters.len() == 3)
        }),
        Property::sometimes("the added voter leads", |_, state: &State| {
            other_leaders(state).any(|leader| leader.id() == NodeId(3))
        }),
    ]
}

fn removal_properties() -> Vec<Property<RaftModel>> {
    vec![
        Property::sometimes("a removed voter is committed", |_, state: &State| {
            committed_voters(state)
                .any(|voters| voters.len() < 3 && voters.get(NodeId(2)).is_some())
        }),
        Property::sometimes("a leader is no voter any more", |_, state: &State| {
            state.cluster.leaders().any(|leader| !leader.is_voter())
        }),
    ]
}

fn the_first_leader_stays(_: &RaftModel, state: &State) -> bool {
    let nodes = state.cluster.nodes.values();
    let mut cores = nodes.filter_map(|node| node.raft.as_ref());
    cores.all(|raft| raft.epoch() <= LeaderEpoch(1)) && state.cluster.leaders().next().is_some()
}

fn the_only_voter_leads(_: &RaftModel, state: &State) -> bool {
    let core = state.cluster.node(NodeId(1)).raft.as_ref();
    core.is_none_or(|raft| matches!(raft.role(), Role::Leader(_)))
}

fn is_filled_again(_: &RaftModel, state: &State) -> bool {
    let whole = |node: &Node, leader: &Raft| {
        let raft = node.raft.as_ref();
        raft.is_some_and(|raft| raft.log().end() == leader.log().end())
    };
    let wiped = state.seen.wiped.map(|id| state.cluster.node(id));
    wiped.is_some_and(|node| state.cluster.leaders().any(|leader| whole(node, leader)))
}

/// LIVE-2: a fetch is parked only where it will be answered, at a leader (KAFKA-10677).
pub(super) fn nobody_waits_for_ever(state: &State) -> bool {
    let waits = |node: &Node| {
        let mut asked = node.asked.values();
        asked.any(|(asker, request)| asker.is_some() && matches!(request, Request::Fetch(_)))
    };
    let leads = |raft: &Raft| matches!(raft.role(), Role::Leader(_));
    let mut nodes = state.cluster.nodes.values();
    nodes.all(|node| node.raft.as_ref().is_none_or(leads) || !waits(node))
}

/// Leaders but the one that exploration starts with.
fn other_leaders(state: &State) -> impl Iterator<Item = &Raft> {
    let leaders = state.cluster.leaders();
    leaders.filter(|leader| leader.id() != NodeId(1))
}

/// Those who follow with a log, and are none of a leader's voters.
fn observers_with_records(state: &State) -> impl Iterator<Item = &Raft> {
    let follower = |raft: &&Raft| raft.high_watermark().is_some_and(|end| end > 0);
    let outside = |raft: &&Raft| {
        let key = state.cluster.nodes[&raft.id()].key;
        state
            .cluster
            .leaders()
            .any(|leader| !leader.voters().contains(key))
    };
    let cores = state
        .cluster
        .nodes
        .values()
        .filter_map(|node| node.raft.as_ref());
    cores.filter(follower).filter(outside)
}

/// The voters of leaders who have committed them.
fn committed_voters(state: &State) -> impl Iterator<Item = &VoterSet> {
    let committed = |leader: &&Raft| {
        let offset = leader.configuration().offset;
        leader.high_watermark() > offset
    };
    state.cluster.leaders().filter(committed).map(Raft::voters)
}
