//! The cluster after the quiet phase, as its nodes have it.

use std::collections::BTreeSet;

use broker_protocol::ids::{NodeId, TopicIdPartition};
use broker_server::node::NodeView;
use sim_checkers::cluster::event::QuorumRole;
use sim_checkers::cluster::finish::{FinalClient, FinalNode, FinalReplica, FinalState};
use sim_faults::World;
use sim_workloads::FinalRead;

use super::cluster::{Nodes, replica};
use super::translate::partition_id;
use crate::engine::Recorder;
use crate::scenario::NodeSpec;

pub fn read(
    nodes: &Nodes,
    world: &dyn World,
    recorder: &dyn Recorder,
    away: &BTreeSet<String>,
    clients_running: usize,
    reads: &FinalRead,
) -> FinalState {
    let running = nodes.running(world);
    let present = |spec: &&NodeSpec| !away.contains(&spec.name) && nodes.is_member(&spec.name);
    let live = nodes.specs.iter().filter(present);
    let live: BTreeSet<i32> = live.map(|spec| spec.id).collect();
    let states = nodes.specs.iter().map(|spec| {
        let view = running.iter().find(|(up, _)| up.id == spec.id);
        let view = view.map(|(_, view)| view);
        let state = node(spec, view, live.contains(&spec.id), &live, &nodes.specs);
        FinalNode {
            voter: nodes.is_voter(&spec.name),
            ..state
        }
    });
    FinalState {
        event: recorder.event(),
        sim_ms: recorder.now_ns() / 1_000_000,
        nodes: states.collect(),
        clients: clients(clients_running, reads),
    }
}

fn node(
    spec: &NodeSpec,
    view: Option<&NodeView>,
    is_live: bool,
    live: &BTreeSet<i32>,
    all: &[NodeSpec],
) -> FinalNode {
    let base = FinalNode {
        node: spec.id,
        live: is_live,
        broker: spec.is_broker,
        ..FinalNode::default()
    };
    let Some(view) = view else {
        return base;
    };
    let leadership = view.quorum.status.get();
    let applied_end = view.metadata.last_offset() + 1;
    let leads = leadership.active_here && leadership.leader == Some(NodeId(spec.id));
    let role = if leads {
        QuorumRole::Leader
    } else {
        QuorumRole::Follower
    };
    // Nobody is sent to a broker that is not registered, either.
    let fenced = view.metadata.read(|image| {
        let brokers = all.iter().filter(|spec| spec.is_broker);
        let inactive = brokers.filter(|spec| !image.is_active(NodeId(spec.id)));
        inactive.map(|spec| spec.id).collect()
    });
    let reassigning = view.metadata.read(|image| {
        let moving = image.reassigning_partitions().iter().copied();
        let all_live = |id: &TopicIdPartition| {
            let replicas = image.partition(*id).map(|it| it.replicas.as_slice());
            replicas
                .unwrap_or_default()
                .iter()
                .all(|id| live.contains(&id.0))
        };
        moving.filter(all_live).map(partition_id).collect()
    });
    let strays = view.replicas.as_ref().map(|replicas| replicas.stray_logs());
    let strays = strays.unwrap_or_default();
    FinalNode {
        reassigning,
        strays: strays.iter().map(ToString::to_string).collect(),
        quorum_role: Some(role),
        quorum_leader: leadership.leader.map(|leader| leader.0),
        quorum_epoch: leadership.epoch.0,
        metadata_end: applied_end,
        metadata_high_watermark: applied_end,
        applied_end,
        fenced,
        partitions: replicas(spec, view),
        ..base
    }
}

fn replicas(spec: &NodeSpec, view: &NodeView) -> Vec<FinalReplica> {
    let own = NodeId(spec.id);
    view.metadata.read(|image| {
        let hosted = image.partitions_on(own);
        hosted
            .filter_map(|id| {
                let registration = image.partition(id)?;
                let state = replica(view, id)?;
                let leader = registration.leader == Some(own);
                let isr = registration.isr.iter().map(|node| node.0);
                Some(FinalReplica {
                    partition: partition_id(id),
                    leader,
                    epoch: registration.leader_epoch.0,
                    log_end: state.log_end,
                    high_watermark: state.high_watermark,
                    isr: if leader { isr.collect() } else { Vec::new() },
                })
            })
            .collect()
    })
}

fn clients(running: usize, reads: &FinalRead) -> Vec<FinalClient> {
    let mut clients = vec![FinalClient {
        name: "clients".into(),
        unanswered: u64::try_from(running).unwrap_or(u64::MAX),
        behind: 0,
    }];
    clients.extend(reads.stuck.iter().map(|stuck| {
        let known = stuck.end.zip(stuck.position);
        FinalClient {
            name: format!(
                "final read of {}-{}: {}",
                stuck.topic, stuck.partition, stuck.detail
            ),
            unanswered: 0,
            behind: known.map_or(1, |(end, position)| (end - position).max(1)),
        }
    }));
    clients
}
