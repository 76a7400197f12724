//! A whole quorum as a value: cores, their disks and the network between them, moved by one [`Action`] at a
//! time. Scripts, random tests and the model checker drive the same thing; it decides nothing by itself.
//!
//! Faults are what happens to a pending action: a message delivered late, twice or never, a save or a flush
//! that does not finish before the power fails.

mod actions;
mod describe;
mod disk;
mod nodes;
mod shell;
mod snapshots;

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ids::{NodeId, Offset, ReplicaKey};

pub use describe::describe_change;
pub use disk::{Disk, Entry, LogEntries};

use super::invariants::{self, Ghost, NodeView, Violation};
use super::{
    AddVoterRequest, Input, OffsetAndEpoch, Output, Raft, RemoveVoterRequest, Request, Response,
    Role, Timer,
};
use crate::Ticket;

/// Nodes 1 to `voters` vote, those after them observe.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Shape {
    pub voters: i32,
    pub observers: i32,
    pub quorum: QuorumKind,
    /// Nodes tell their leader where they listen, and observers make themselves voters.
    pub tell: bool,
    /// Saves and flushes finish within the step that asks for them: fewer states to explore, but no crash
    /// falls between.
    pub instant_saves: bool,
    pub instant_flushes: bool,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum QuorumKind {
    /// `controller.quorum.voters`, without directory ids.
    #[default]
    Static,
    /// The same, but nodes have directory ids: `kraft.version` 1 can be finalized.
    Upgradable,
    /// Bootstrap snapshots name the voters.
    Dynamic,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Cluster {
    pub nodes: BTreeMap<NodeId, Node>,
    pub network: BTreeSet<Envelope>,
    pub ghost: Ghost,
    /// The first broken invariant; nothing happens after it.
    pub violation: Option<Violation>,
    /// Disks that were replaced: what was on them counts as if their nodes were down for good.
    lost: Vec<Node>,
    shape: Shape,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Node {
    pub key: ReplicaKey,
    /// Where it listens.
    pub port: u16,
    /// None while down.
    pub raft: Option<Raft>,
    pub disk: Disk,
    pub timers: BTreeSet<Timer>,
    /// Requests this node has not answered; who waits for the answer, if anyone still does.
    pub asked: BTreeMap<Ticket, (Option<NodeId>, Request)>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Envelope {
    /// `from` is None once the sender's process is gone: the request may arrive, the answer may not.
    Request {
        to: NodeId,
        from: Option<NodeId>,
        request: Request,
    },
    /// `entries` are the records that travel with a fetch response.
    Response {
        to: NodeId,
        from: NodeId,
        request: Request,
        response: Response,
        entries: Vec<Entry>,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Action {
    Deliver(Envelope),
    /// Delivers a copy.
    Duplicate(Envelope),
    /// The message is lost; the sender of the request learns that it failed.
    Lose(Envelope),
    Timer(NodeId, Timer),
    /// The save under way is on disk.
    FinishSave(NodeId),
    /// The flush under way is on disk.
    FinishFlush(NodeId),
    /// The leader's controller appends a batch of so many records.
    Append(NodeId, u32),
    Resign(NodeId),
    Shutdown(NodeId),
    /// The process dies and what is not synced is gone.
    PowerLoss(NodeId),
    /// The process dies, the page cache stays.
    Kill(NodeId),
    /// Comes back with an empty disk (K-20); outside every durability budget.
    WipeDisk(NodeId),
    /// Comes back with another disk, empty and with a directory id of its own (KIP-853).
    ReplaceDisk(NodeId),
    /// Goes down and will listen elsewhere.
    Move(NodeId),
    /// Its state machine, which has applied so far, wants a snapshot.
    CreateSnapshot(NodeId, Offset),
    /// The snapshot being written or fetched is on disk.
    FinishSnapshot(NodeId),
    /// The fetched snapshot turns out to be damaged.
    DamageSnapshot(NodeId),
    /// Retention lets go of what is before the snapshot.
    DeleteBefore(NodeId, OffsetAndEpoch),
    /// An administrator asks the node to make the replica a voter.
    AddVoter(NodeId, ReplicaKey),
    RemoveVoter(NodeId, ReplicaKey),
    /// The leader's controller finalizes `kraft.version`.
    Upgrade(NodeId, i16),
    Start(NodeId),
}

/// Told every output a node's shell executes.
pub type Watch<'a> = &'a mut dyn FnMut(NodeId, &Output);

impl Cluster {
    /// Does one thing and checks every invariant.
    pub fn apply(&mut self, action: &Action, watch: Watch<'_>) {
        match action {
            Action::Deliver(envelope) => {
                self.network.remove(envelope);
                self.deliver(envelope, watch);
            }
            Action::Duplicate(envelope) => self.deliver(envelope, watch),
            Action::Lose(envelope) => {
                self.network.remove(envelope);
                self.fail(envelope, watch);
            }
            Action::Timer(id, timer) => {
                self.node_mut(*id).timers.remove(timer);
                self.step(*id, Input::Timer(*timer), &[], watch);
            }
            Action::FinishSave(id) => {
                let done = self.node_mut(*id).disk.finish_save();
                self.step(*id, Input::Persisted(done), &[], watch);
            }
            Action::FinishFlush(id) => {
                let done = self.node_mut(*id).disk.finish_flush();
                self.step(*id, Input::Persisted(done), &[], watch);
            }
            Action::Append(id, records) => self.append(*id, *records, watch),
            Action::Resign(id) => {
                let epoch = self.raft(*id).epoch();
                self.step(*id, Input::Resign { epoch }, &[], watch);
            }
            Action::Shutdown(id) => self.step(*id, Input::Shutdown, &[], watch),
            Action::PowerLoss(id) => self.stop(*id, Disk::power_loss),
            Action::Kill(id) => self.stop(*id, Disk::process_death),
            Action::WipeDisk(id) => self.stop(*id, |disk| *disk = Disk::default()),
            Action::ReplaceDisk(id) => self.replace_disk(*id),
            Action::Move(id) => {
                self.stop(*id, Disk::process_death);
                self.node_mut(*id).port += 1;
            }
            Action::Start(id) => self.start(*id, watch),
            Action::CreateSnapshot(id, end) => self.create_snapshot(*id, *end, watch),
            Action::FinishSnapshot(id) => self.finish_snapshot(*id, watch),
            Action::DamageSnapshot(id) => {
                let id_of = self.node_mut(*id).disk.snapshots.damage_fetched();
                self.step(*id, Input::SnapshotDamaged { id: id_of }, &[], watch);
            }
            Action::DeleteBefore(id, snapshot) => {
                let snapshot = *snapshot;
                self.step(*id, Input::DeleteBefore { snapshot }, &[], watch);
            }
            Action::AddVoter(id, voter) => self.add_voter(*id, *voter, watch),
            Action::RemoveVoter(id, voter) => {
                let request = Request::RemoveVoter(RemoveVoterRequest { voter: *voter });
                self.ask(*id, None, request, watch);
            }
            Action::Upgrade(id, version) => self.upgrade(*id, *version, watch),
        }
        self.check();
    }

    pub fn node(&self, id: NodeId) -> &Node {
        &self.nodes[&id]
    }

    /// The running core of a node.
    pub fn raft(&self, id: NodeId) -> &Raft {
        self.node(id)
            .raft
            .as_ref()
            .expect("only a running node is asked")
    }

    /// Nodes that believe they lead.
    pub fn leaders(&self) -> impl Iterator<Item = &Raft> {
        let running = self.nodes.values().filter_map(|node| node.raft.as_ref());
        running.filter(|raft| matches!(raft.role(), Role::Leader(_)))
    }

    fn node_mut(&mut self, id: NodeId) -> &mut Node {
        self.nodes
            .get_mut(&id)
            .expect("ids come from the cluster itself")
    }

    fn create_snapshot(&mut self, id: NodeId, end: Offset, watch: Watch<'_>) {
        self.node_mut(id).disk.snapshots.applied = Some(end);
        self.step(id, Input::CreateSnapshot { end }, &[], watch);
        self.node_mut(id).disk.snapshots.applied = None;
    }

    fn finish_snapshot(&mut self, id: NodeId, watch: Watch<'_>) {
        let snapshots = &mut self.node_mut(id).disk.snapshots;
        let input = if snapshots.is_finishing() {
            Input::SnapshotFetched(snapshots.finish_fetched())
        } else {
            let (id, size) = snapshots.finish_write();
            Input::SnapshotWritten { id, size }
        };
        self.step(id, input, &[], watch);
    }

    fn add_voter(&mut self, id: NodeId, voter: ReplicaKey, watch: Watch<'_>) {
        let endpoints = self.endpoints(voter.id);
        let request = AddVoterRequest {
            voter,
            endpoints,
            ack_when_committed: true,
        };
        self.ask(id, None, Request::AddVoter(request), watch);
    }

    fn upgrade(&mut self, id: NodeId, version: i16, watch: Watch<'_>) {
        let input = Input::UpgradeKraftVersion {
            ticket: Ticket(0),
            epoch: self.raft(id).epoch(),
            version,
            validate_only: false,
        };
        self.step(id, input, &[], watch);
    }

    fn ask(&mut self, to: NodeId, from: Option<NodeId>, request: Request, watch: Watch<'_>) {
        let ticket = self.node(to).free_ticket();
        let asked = (from, request.clone());
        self.node_mut(to).asked.insert(ticket, asked);
        self.step(to, Input::Request { ticket, request }, &[], watch);
    }

    fn deliver(&mut self, envelope: &Envelope, watch: Watch<'_>) {
        match envelope {
            Envelope::Request { to, .. } | Envelope::Response { to, .. }
                if self.node(*to).raft.is_none() =>
            {
                self.fail(envelope, watch);
            }
            Envelope::Request { to, from, request } => {
                self.ask(*to, *from, request.clone(), watch);
            }
            Envelope::Response {
                to,
                from,
                request,
                response,
                entries,
            } => {
                let (request, response) = (request.clone(), response.clone());
                self.step(
                    *to,
                    Input::Response {
                        from: *from,
                        request,
                        response,
                    },
                    entries,
                    watch,
                );
            }
        }
    }

    fn fail(&mut self, envelope: &Envelope, watch: Watch<'_>) {
        let (asker, to, request) = match envelope {
            Envelope::Request { from, to, request } => (*from, *to, request),
            Envelope::Response {
                to, from, request, ..
            } => (Some(*to), *from, request),
        };
        if let Some(asker) = asker.filter(|asker| self.node(*asker).raft.is_some()) {
            let request = request.clone();
            self.step(asker, Input::RequestFailed { to, request }, &[], watch);
        }
    }

    /// The ticket of an append carries the size of the batch.
    fn append(&mut self, id: NodeId, records: u32, watch: Watch<'_>) {
        let epoch = self.raft(id).epoch();
        let ticket = Ticket(u64::from(records));
        self.step(
            id,
            Input::Append {
                ticket,
                epoch,
                records,
            },
            &[],
            watch,
        );
    }

    fn check(&mut self) {
        let nodes = self.nodes.values().chain(&self.lost);
        let views: Vec<NodeView<'_>> = nodes.map(Node::view).collect();
        if let Err(violation) = invariants::check(&views, &mut self.ghost) {
            self.violation.get_or_insert(violation);
        }
    }
}

impl Node {
    fn down(key: ReplicaKey) -> Node {
        Node {
            key,
            port: 0,
            raft: None,
            disk: Disk::default(),
            timers: BTreeSet::new(),
            asked: BTreeMap::new(),
        }
    }

    fn view(&self) -> NodeView<'_> {
        NodeView {
            key: self.key,
            raft: self.raft.as_ref(),
            log: &self.disk,
            durable_end: self.disk.durable_end(),
        }
    }

    fn free_ticket(&self) -> Ticket {
        let used = (0..)
            .zip(self.asked.keys())
            .take_while(|(number, ticket)| ticket.0 == *number);
        Ticket(used.last().map_or(0, |(number, _)| number + 1))
    }
}

impl Envelope {
    fn after_death_of(self, id: NodeId) -> Option<Envelope> {
        match self {
            Envelope::Response { to, .. } if to == id => None,
            Envelope::Request {
                to,
                from: Some(from),
                request,
            } if from == id => Some(Envelope::Request {
                to,
                from: None,
                request,
            }),
            other => Some(other),
        }
    }
}
