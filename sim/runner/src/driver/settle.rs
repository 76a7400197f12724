//! Whether the cluster has come to rest, read from its nodes.

use std::collections::BTreeSet;

use broker_core::metadata::MetadataImage;
use broker_protocol::ids::{NodeId, TopicIdPartition};
use broker_server::node::NodeView;
use sim_faults::World;

use super::cluster::{Nodes, Offices, replica};
use crate::scenario::NodeSpec;

/// What still keeps the cluster from rest; empty if nothing does. `away` are nodes that never come back.
pub fn unsettled(nodes: &Nodes, world: &dyn World, away: &BTreeSet<String>) -> Vec<String> {
    let running = nodes.running(world);
    let stays = |spec: &&NodeSpec| !away.contains(&spec.name) && nodes.is_member(&spec.name);
    let wanted = || nodes.specs.iter().filter(stays);
    let mut reasons = Vec::new();
    for spec in wanted() {
        if !running.iter().any(|(up, _)| up.id == spec.id) {
            reasons.push(format!("{} is down", spec.name));
        }
    }
    let offices = Offices { nodes, world };
    let Some((controller, view)) = offices.active_controller() else {
        reasons.push("no controller is active".into());
        return reasons;
    };
    reasons.extend(quorum(&controller, &view, &running));
    let alive: BTreeSet<NodeId> = wanted().map(|spec| NodeId(spec.id)).collect();
    reasons.extend(metadata(&view, &running));
    view.metadata.read(|image| {
        for broker in wanted().filter(|spec| spec.is_broker) {
            if !image.is_active(NodeId(broker.id)) {
                reasons.push(format!("{} is fenced", broker.name));
            } else if !is_this_process(image, broker, &running) {
                reasons.push(format!("{} has yet to register anew", broker.name));
            }
        }
        for gone in nodes
            .specs
            .iter()
            .filter(|spec| !nodes.is_member(&spec.name))
        {
            if image.broker(NodeId(gone.id)).is_some() {
                reasons.push(format!("{} is still registered", gone.name));
            }
        }
        // Each partition of each node is a look too many once all have the same.
        let other = |(_, view): &&(NodeSpec, NodeView)| {
            view.metadata.read(|known| known.hash() != image.hash())
        };
        let others: Vec<&(NodeSpec, NodeView)> = running.iter().filter(other).collect();
        for (id, _) in image.partitions() {
            reasons.extend(partition(image, id, &alive, &running, &others));
        }
        if !reasons.is_empty() {
            return;
        }
        for (spec, view) in &running {
            let strays = view.replicas.as_ref().map(|replicas| replicas.stray_logs());
            for stray in strays.unwrap_or_default() {
                reasons.push(format!("{} holds the stray log {stray}", spec.name));
            }
        }
    });
    reasons
}

/// The registration may still be that of a process that was killed: until its session is over the next one is
/// not let in.
fn is_this_process(
    image: &MetadataImage,
    broker: &NodeSpec,
    running: &[(NodeSpec, NodeView)],
) -> bool {
    let registered = image.broker(NodeId(broker.id)).map(|it| it.epoch);
    let view = running.iter().find(|(spec, _)| spec.id == broker.id);
    view.is_some_and(|(_, view)| registered == Some(view.standing.epoch()))
}

fn quorum(
    controller: &NodeSpec,
    view: &NodeView,
    running: &[(NodeSpec, NodeView)],
) -> Option<String> {
    let leadership = view.quorum.status.get();
    let other = running.iter().find(|(_, other)| {
        let known = other.quorum.status.get();
        known.epoch != leadership.epoch || known.leader != Some(NodeId(controller.id))
    })?;
    Some(format!(
        "{} does not follow the quorum leader {}",
        other.0.name, controller.name
    ))
}

/// Small differences are records on their way: the controller writes one every half second when idle.
fn metadata(controller: &NodeView, running: &[(NodeSpec, NodeView)]) -> Option<String> {
    const ON_THE_WAY: i64 = 3;
    let end = controller.metadata.last_offset();
    let behind = running
        .iter()
        .find(|(_, view)| view.metadata.last_offset() < end - ON_THE_WAY)?;
    let at = behind.1.metadata.last_offset();
    Some(format!(
        "{} has applied metadata to {at} of {end}",
        behind.0.name
    ))
}

/// `others` are the nodes whose metadata differ from `image` somewhere.
fn partition(
    image: &MetadataImage,
    id: TopicIdPartition,
    alive: &BTreeSet<NodeId>,
    running: &[(NodeSpec, NodeView)],
    others: &[&(NodeSpec, NodeView)],
) -> Option<String> {
    let registration = image.partition(id)?;
    let name = || {
        let topic = image.topic_name(id.topic_id).unwrap_or_default();
        format!("{topic}-{}", id.partition)
    };
    let view_of = |node: NodeId| {
        let found = running.iter().find(|(spec, _)| spec.id == node.0);
        found.map(|(_, view)| view)
    };
    let Some(leader) = registration.leader else {
        return Some(format!("{} has no leader", name()));
    };
    let unaware = others.iter().find(|(_, view)| {
        view.metadata
            .read(|known| known.partition(id) != Some(registration))
    });
    if let Some((spec, _)) = unaware {
        return Some(format!("{} has not heard all of {}", spec.name, name()));
    }
    if registration.is_reassigning() && registration.replicas.iter().all(|id| alive.contains(id)) {
        return Some(format!("{} is being moved", name()));
    }
    let expected = registration.replicas.iter().filter(|id| alive.contains(id));
    let missing: Vec<i32> = expected
        .clone()
        .filter(|id| !registration.isr.contains(id))
        .map(|id| id.0)
        .collect();
    if !missing.is_empty() {
        return Some(format!("{}: {missing:?} not in the ISR", name()));
    }
    let Some(at_leader) = view_of(leader).and_then(|view| replica(view, id)) else {
        return Some(format!("{}: leader {} does not host it", name(), leader.0));
    };
    if at_leader.high_watermark != at_leader.log_end {
        return Some(format!(
            "{}: high watermark {} of {}",
            name(),
            at_leader.high_watermark,
            at_leader.log_end
        ));
    }
    let behind = expected.copied().find(|&node| {
        let state = view_of(node).and_then(|view| replica(view, id));
        state.is_none_or(|state| state != at_leader)
    })?;
    Some(format!(
        "{}: replica {} differs from leader {}",
        name(),
        behind.0,
        leader.0
    ))
}

/// A node that votes under the id of its present disk, and has applied what the controller has.
pub fn voter_caught_up(nodes: &Nodes, world: &dyn World, node: &str) -> bool {
    let offices = Offices { nodes, world };
    let Some((_, controller)) = offices.active_controller() else {
        return false;
    };
    let running = nodes.running(world);
    let Some((_, view)) = running.iter().find(|(spec, _)| spec.name == node) else {
        return false;
    };
    view.quorum.status.is_voter()
        && view.metadata.last_offset() >= controller.metadata.last_offset()
}

/// Nodes all of whose replicas hold what their leaders have committed, in the ISR of the newest metadata.
pub fn caught_up(nodes: &Nodes, world: &dyn World, node: &NodeSpec) -> bool {
    let offices = Offices { nodes, world };
    let running = nodes.running(world);
    let Some((_, controller)) = offices.active_controller() else {
        return false;
    };
    let Some((_, view)) = running.iter().find(|(spec, _)| spec.id == node.id) else {
        return false;
    };
    let id = NodeId(node.id);
    controller.metadata.read(|image| {
        let registered = image.broker(id);
        let is_this_process = registered
            .is_some_and(|broker| broker.is_active() && broker.epoch == view.standing.epoch());
        is_this_process
            && image.partitions_on(id).all(|partition| {
                let registration = image.partition(partition);
                let Some(registration) = registration else {
                    return false;
                };
                let leader = registration.leader.and_then(|leader| {
                    let found = running.iter().find(|(spec, _)| spec.id == leader.0);
                    found.and_then(|(_, view)| replica(view, partition))
                });
                let own = replica(view, partition);
                match (leader, own) {
                    (Some(leader), Some(own)) => {
                        registration.isr.contains(&id) && own.log_end >= leader.high_watermark
                    }
                    _ => false,
                }
            })
    })
}
