//! Nodes begin, stop and come back.

use std::collections::BTreeSet;

use broker_protocol::ids::{NodeId, ReplicaKey, Uuid};

use super::{Cluster, Disk, Ghost, Node, QuorumKind, Shape, Watch};
use crate::raft::cluster::Action;
use crate::raft::{Config, Endpoint, Endpoints, Raft, VersionRange, Voter, VoterSet};

/// So few records that most snapshots take more than one chunk.
const CHUNK_RECORDS: i32 = 2;

impl Cluster {
    /// All nodes run, with empty disks.
    pub fn new(shape: Shape, watch: Watch<'_>) -> Cluster {
        let keys = (1..=shape.voters + shape.observers).map(|id| shape.replica(id));
        let mut cluster = Cluster {
            nodes: keys.map(|key| (key.id, Node::down(key))).collect(),
            network: BTreeSet::new(),
            ghost: Ghost::default(),
            violation: None,
            lost: Vec::new(),
            shape,
        };
        if shape.quorum == QuorumKind::Dynamic {
            let voters = cluster.bootstrap_voters();
            for id in voters.iter().map(|voter| voter.id) {
                let snapshots = &mut cluster.node_mut(id).disk.snapshots;
                snapshots.bootstrap = Some(voters.clone());
            }
        }
        for id in cluster.nodes.keys().copied().collect::<Vec<_>>() {
            cluster.apply(&Action::Start(id), watch);
        }
        cluster
    }

    fn bootstrap_voters(&self) -> VoterSet {
        VoterSet::of((1..=self.shape.voters).map(|id| Voter {
            key: self.shape.replica(id),
            endpoints: self.endpoints(NodeId(id)),
            kraft_versions: VersionRange::KRAFT,
        }))
    }

    pub(super) fn start(&mut self, id: NodeId, watch: Watch<'_>) {
        let config = self.config(id);
        let node = self.node_mut(id);
        assert!(node.raft.is_none(), "node {id} runs already");
        node.disk.restarts += 1;
        let mut out = Vec::new();
        node.raft = Some(Raft::start(config, &node.disk.recovered(), &mut out));
        self.execute(id, out, &[], watch);
    }

    fn config(&self, id: NodeId) -> Config {
        let named = match self.shape.quorum {
            QuorumKind::Dynamic => 0,
            QuorumKind::Static | QuorumKind::Upgradable => self.shape.voters,
        };
        // The first voters know each other; every other node asks all.
        let knows_voters = named > 0 || self.node(id).disk.snapshots.bootstrap.is_some();
        let others = self.nodes.keys().filter(|&&node| node != id);
        let bootstrap_servers = if knows_voters {
            Vec::new()
        } else {
            others.copied().collect()
        };
        Config {
            bootstrap_servers,
            endpoints: self.endpoints(id),
            is_controller: self.shape.tell,
            auto_join: self.shape.tell,
            snapshot_chunk_bytes: CHUNK_RECORDS,
            ..Config::new(
                self.node(id).key,
                VoterSet::new((1..=named).map(|id| replica(id, 0))),
            )
        }
    }

    pub(super) fn endpoints(&self, id: NodeId) -> Endpoints {
        let endpoint = Endpoint {
            name: "CONTROLLER".to_owned(),
            host: format!("node-{id}"),
            port: self.node(id).port,
        };
        match self.shape.tell {
            true => vec![endpoint],
            false => Endpoints::new(),
        }
    }

    pub(super) fn stop(&mut self, id: NodeId, lose: impl FnOnce(&mut Disk)) {
        let node = self.node_mut(id);
        node.raft = None;
        node.timers.clear();
        node.asked.clear();
        lose(&mut node.disk);
        self.forget_connections(id);
    }

    /// The new disk is formatted without voters.
    pub(super) fn replace_disk(&mut self, id: NodeId) {
        self.stop(id, Disk::power_loss);
        self.lost.push(self.node(id).clone());
        let node = self.node_mut(id);
        node.disk = Disk::default();
        node.key.directory_id.0[15] += 1;
    }

    /// Nobody hears an answer to a process that is gone; its requests may still be on their way.
    fn forget_connections(&mut self, id: NodeId) {
        for node in self.nodes.values_mut() {
            for (waiting, _) in node.asked.values_mut() {
                *waiting = waiting.filter(|&waiting| waiting != id);
            }
        }
        let network = std::mem::take(&mut self.network).into_iter();
        self.network = network
            .filter_map(|envelope| envelope.after_death_of(id))
            .collect();
    }
}

impl Shape {
    /// The replica of a node with its first disk.
    fn replica(&self, id: i32) -> ReplicaKey {
        match self.quorum {
            QuorumKind::Static => replica(id, 0),
            QuorumKind::Upgradable | QuorumKind::Dynamic => replica(id, 1),
        }
    }
}

fn replica(id: i32, directory: u8) -> ReplicaKey {
    let mut directory_id = Uuid::ZERO;
    directory_id.0[15] = directory;
    ReplicaKey {
        id: NodeId(id),
        directory_id,
    }
}
