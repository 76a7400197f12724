//! The cluster under test: its processes, and what can be read from those that run.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard};

use broker_core::metadata::{MetadataImage, MetadataVersion};
use broker_env::{Address, Env};
use broker_protocol::ids::{NodeId, Offset, ReplicaKey, TopicIdPartition, Uuid};
use broker_server::format::{InitialController, InitialVoters, format};
use broker_server::node::{Node, NodeOptions, NodeView};
use reports::recording::ProcessState;
use sim_faults::{TargetResolver, World};

use super::faults::Struck;
use super::watch::Watch;
use crate::engine::{Boot, Start};
use crate::scenario::{CONTROLLER_PORT, Cluster, NodeSpec};

/// The nodes, and views of their latest processes.
pub struct Nodes {
    pub specs: Vec<NodeSpec>,
    views: Mutex<BTreeMap<String, NodeView>>,
    /// Who belongs to the cluster: not spare nodes, not removed ones.
    members: Mutex<BTreeSet<String>>,
    /// Who votes, or will when the operator is done.
    voters: Mutex<BTreeSet<String>>,
    /// Of a quorum with its voters in the log: the first ones, until each has written them to its disk.
    unformatted: Mutex<BTreeSet<String>>,
    first_voters: Vec<InitialController>,
    /// What nodes will be of from their next start on, where that is not what the scenario began with.
    releases: Mutex<BTreeMap<String, String>>,
    /// Processes that ended by themselves, and why.
    pub exits: Mutex<Vec<Struck>>,
}

impl Nodes {
    pub fn new(cluster: &Cluster) -> Nodes {
        let specs = cluster.nodes();
        let members = specs.iter().filter(|spec| !spec.is_spare);
        let voters = specs.iter().filter(|spec| spec.is_voter);
        let first = match cluster.dynamic_quorum {
            true => cluster.voters(),
            false => Vec::new(),
        };
        Nodes {
            unformatted: Mutex::new(first.iter().map(|spec| spec.name.clone()).collect()),
            first_voters: first.iter().map(first_voter).collect(),
            voters: Mutex::new(voters.map(|spec| spec.name.clone()).collect()),
            members: Mutex::new(members.map(|spec| spec.name.clone()).collect()),
            releases: Mutex::new(cluster.releases.clone()),
            specs,
            views: Mutex::default(),
            exits: Mutex::default(),
        }
    }

    fn views(&self) -> MutexGuard<'_, BTreeMap<String, NodeView>> {
        self.views.lock().expect("no panic under this lock")
    }

    /// The view of a node's latest process; stale if it is down.
    pub fn view(&self, name: &str) -> Option<NodeView> {
        self.views().get(name).cloned()
    }

    /// Views of the nodes that run, with their names, in order of ids.
    pub fn running(&self, world: &dyn World) -> Vec<(NodeSpec, NodeView)> {
        let views = self.views();
        let up = self.specs.iter().filter(|spec| world.is_up(&spec.name));
        up.filter_map(|spec| Some((spec.clone(), views.get(&spec.name)?.clone())))
            .collect()
    }

    pub fn is_member(&self, name: &str) -> bool {
        let members = self.members.lock().expect("no panic under this lock");
        members.contains(name)
    }

    /// The node belongs to the cluster from now on, or does not any more.
    pub fn set_member(&self, name: &str, is_member: bool) {
        let mut members = self.members.lock().expect("no panic under this lock");
        if is_member {
            members.insert(name.to_owned());
        } else {
            members.remove(name);
        }
    }

    pub fn is_voter(&self, name: &str) -> bool {
        let voters = self.voters.lock().expect("no panic under this lock");
        voters.contains(name)
    }

    /// The node votes from now on, or does not any more.
    pub fn set_voter(&self, name: &str, is_voter: bool) {
        let mut voters = self.voters.lock().expect("no panic under this lock");
        if is_voter {
            voters.insert(name.to_owned());
        } else {
            voters.remove(name);
        }
    }

    /// The node's disk was replaced: nothing that its former process showed is so any more.
    pub fn replaced(&self, name: &str) {
        drop(self.views().remove(name));
    }

    /// Whether voters that lose their disks are to be replaced.
    pub fn is_dynamic(&self) -> bool {
        !self.first_voters.is_empty()
    }

    /// What a controller that finds its voters is formatted with: the first disk of a first voter names them.
    fn initial_voters(&self, name: &str) -> InitialVoters {
        let mut unformatted = self.unformatted.lock().expect("no panic under this lock");
        match unformatted.remove(name) {
            true => InitialVoters::Controllers(self.first_voters.clone()),
            false => InitialVoters::Elsewhere,
        }
    }

    /// What the node is of from its next start on.
    pub fn install(&self, name: &str, release: &str) {
        let mut releases = self.releases.lock().expect("no panic under this lock");
        releases.insert(name.to_owned(), release.to_owned());
    }

    /// Whoever could not run at the finalized levels gets the newest release.
    pub fn replace_old_releases(&self, can_run: impl Fn(&str) -> bool) {
        let mut releases = self.releases.lock().expect("no panic under this lock");
        releases.retain(|_, release| can_run(release));
    }

    pub fn name_of(&self, id: NodeId) -> Option<String> {
        let found = self.specs.iter().find(|spec| spec.id == id.0);
        found.map(|spec| spec.name.clone())
    }

    /// The process of one node.
    pub fn boot(
        self: &Arc<Self>,
        cluster: &Cluster,
        spec: &NodeSpec,
        cluster_id: &str,
        watch: &Arc<Watch>,
    ) -> Boot {
        let config = cluster
            .broker_config(spec)
            .expect("checked when the scenario was read");
        let (nodes, spec) = (self.clone(), spec.clone());
        let (cluster_id, watch) = (cluster_id.to_owned(), watch.clone());
        Arc::new(move |start: Start| {
            let (nodes, spec) = (nodes.clone(), spec.clone());
            if !nodes.is_member(&spec.name) {
                return Box::pin(std::future::ready(()));
            }
            let mut config = config.clone();
            let releases = nodes.releases.lock().expect("no panic under this lock");
            if let Some(release) = releases.get(&spec.name) {
                let set = config.set(SUPPORTED_RELEASE, release);
                set.expect("releases are checked when the scenario is read");
            }
            drop(releases);
            let watch = watch.clone();
            let observer = watch.observer(&spec, start.recorder.clone());
            let options = NodeOptions {
                config,
                observer,
                cluster_id: Some(cluster_id.clone()),
            };
            Box::pin(async move { nodes.process(spec, start, options, &watch).await })
        })
    }

    async fn process(&self, spec: NodeSpec, start: Start, options: NodeOptions, watch: &Watch) {
        let recorder = start.recorder.clone();
        watch.process(&spec.name, ProcessState::Started, &*recorder);
        // What is left of the former process says nothing about this one.
        drop(self.views().remove(&spec.name));
        if options.config.is_controller() && options.config.finds_voters() {
            let voters = self.initial_voters(&spec.name);
            format_by_operator(&start.env, &options, &voters).await;
        }
        let ended = match Node::start(start.env, options).await {
            Ok(node) => {
                self.views().insert(spec.name.clone(), node.view());
                node.run(start.stop).await
            }
            Err(error) => Err(error),
        };
        let state = match &ended {
            Ok(()) => ProcessState::Stopped,
            Err(error) => ProcessState::Failed(error.to_string()),
        };
        watch.process(&spec.name, state, &*recorder);
        if let Err(error) = ended {
            let mut exits = self.exits.lock().expect("no panic under this lock");
            exits.push(Struck {
                at_ms: start.recorder.now_ns() / 1_000_000,
                event: start.recorder.event(),
                what: format!("{} ended: {error}", spec.name),
            });
        }
    }

    /// Forgets the views: they hold the nodes' memory.
    pub fn forget(&self) {
        let views = std::mem::take(&mut *self.views());
        drop(views);
    }
}

/// A controller that is to find its voters is formatted by an operator; done already from its second start on,
/// and whatever else is wrong its start will say.
async fn format_by_operator(env: &Env, options: &NodeOptions, voters: &InitialVoters) {
    let cluster_id = options.cluster_id.clone().unwrap_or_default();
    let formatted = format(env, &options.config, cluster_id, voters).await;
    drop(formatted);
}

/// As `broker format --initial-controllers` names it.
fn first_voter(spec: &NodeSpec) -> InitialController {
    let byte = u8::try_from(spec.id).expect("checked: at most 64 nodes of a kind");
    InitialController {
        key: ReplicaKey {
            id: NodeId(spec.id),
            directory_id: Uuid([byte; 16]),
        },
        address: Address::new(&spec.name, CONTROLLER_PORT),
    }
}

/// The property that makes a node one of an older release.
pub const SUPPORTED_RELEASE: &str = "internal.supported.release";

/// Reads the cluster for faults that aim at an office.
pub struct Offices<'a> {
    pub nodes: &'a Nodes,
    pub world: &'a dyn World,
}

impl Offices<'_> {
    /// Reads the newest metadata of all running nodes.
    pub fn newest<T>(&self, read: impl FnOnce(&MetadataImage) -> T) -> Option<T> {
        let running = self.nodes.running(self.world);
        let newest = running
            .iter()
            .max_by_key(|(spec, view)| (view.metadata.last_offset(), -spec.id))?;
        Some(newest.1.metadata.read(read))
    }

    /// The running node whose controller acts in the newest epoch.
    pub fn active_controller(&self) -> Option<(NodeSpec, NodeView)> {
        let running = self.nodes.running(self.world).into_iter();
        running
            .filter(|(_, view)| view.quorum.status.get().active_here)
            .max_by_key(|(spec, view)| (view.quorum.status.get().epoch, -spec.id))
    }

    fn named(&self, wanted: impl Fn(&NodeSpec) -> bool) -> Vec<String> {
        let specs = self.nodes.specs.iter().filter(|spec| wanted(spec));
        let mut names: Vec<String> = specs.map(|spec| spec.name.clone()).collect();
        names.sort();
        names
    }

    fn partition_leader(&self, topic: &str, partition: i32) -> Option<NodeId> {
        self.newest(|image| image.partition_by_name(topic, partition)?.leader)?
    }
}

impl TargetResolver for Offices<'_> {
    fn nodes(&self) -> Vec<String> {
        self.named(|spec| self.nodes.is_member(&spec.name))
    }

    fn spares(&self) -> Vec<String> {
        self.named(|spec| !self.nodes.is_member(&spec.name) && !self.world.is_up(&spec.name))
    }

    fn removable(&self) -> Vec<String> {
        self.named(|spec| self.nodes.is_member(&spec.name) && !spec.is_controller)
    }

    fn candidates(&self) -> Vec<String> {
        self.named(|spec| spec.is_controller && !self.nodes.is_voter(&spec.name))
    }

    fn voters(&self) -> Vec<String> {
        self.named(|spec| self.nodes.is_voter(&spec.name))
    }

    fn is_up(&self, node: &str) -> bool {
        self.world.is_up(node)
    }

    fn can_run(&self, release: &str) -> bool {
        let finalized = self.newest(MetadataImage::metadata_version);
        let release = MetadataVersion::from_release(release);
        finalized.is_none_or(|finalized| release.is_some_and(|release| finalized <= release))
    }

    fn leader(&self, topic: &str, partition: i32) -> Option<String> {
        self.nodes.name_of(self.partition_leader(topic, partition)?)
    }

    fn followers(&self, topic: &str, partition: i32) -> Vec<String> {
        let leader = self.partition_leader(topic, partition);
        let replicas = self.newest(|image| {
            let registration = image.partition_by_name(topic, partition);
            registration.map(|registration| registration.replicas.clone())
        });
        let replicas = replicas.flatten().unwrap_or_default().into_iter();
        let mut names: Vec<String> = replicas
            .filter(|replica| Some(*replica) != leader)
            .filter_map(|replica| self.nodes.name_of(replica))
            .collect();
        names.sort();
        names
    }

    fn controller(&self) -> Option<String> {
        self.active_controller().map(|(spec, _)| spec.name)
    }

    fn group_coordinator(&self, _group: &str) -> Option<String> {
        None
    }

    fn transaction_coordinator(&self, _transactional_id: &str) -> Option<String> {
        None
    }

    fn partitions(&self) -> Vec<(String, i32)> {
        let all = self.newest(|image| {
            let topics = image.topics();
            let mut partitions: Vec<(String, i32)> = topics
                .flat_map(|topic| {
                    let numbers = topic.partitions.keys();
                    numbers.map(|number| (topic.name.clone(), *number))
                })
                .collect();
            partitions.sort();
            partitions
        });
        all.unwrap_or_default()
    }
}

/// A replica as its node has it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReplicaState {
    pub log_end: Offset,
    pub high_watermark: Offset,
}

/// Reads a replica.
pub fn replica(view: &NodeView, id: TopicIdPartition) -> Option<ReplicaState> {
    let partition = view.replicas.as_ref()?.partition(id)?;
    let log_end = partition.with_log(|log| log.log_end());
    Some(ReplicaState {
        log_end,
        high_watermark: partition.high_watermark(),
    })
}
