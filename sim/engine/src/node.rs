//! Hosts: machines with a process on them, and what can be done to them from outside.

use std::sync::Arc;
use std::task::Waker;

use broker_env::{BoxFuture, Env};
use sim_disk::SimDisk;
use sim_faults::ClockModel;

use crate::events::Event;
use crate::network::connection::{ConnectionRef, SideState};
use crate::random::NodeRandom;
use crate::state::State;
use crate::task::{Task, TaskRef};
use crate::trace::EventKind;

/// Starts the process of a node; called at each start with a fresh environment.
pub type Boot = Box<dyn Fn(Env) -> BoxFuture<'static, ()> + Send + Sync>;

/// What peers see of a process that died.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Death {
    /// Its kernel resets its connections.
    #[default]
    Reset,
    /// Nothing: the machine, or its network, went with it.
    Silent,
}

/// What a host is doing.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum NodeStatus {
    Running,
    /// Stopped as by SIGSTOP.
    Paused,
    /// No process, the machine is up.
    Down,
    /// No process, the machine is off.
    PoweredOff,
}

pub(crate) struct Node {
    pub(crate) name: Arc<str>,
    /// The process ends when its main task does.
    pub(crate) ends_with_main: bool,
    pub(crate) incarnation: u32,
    pub(crate) alive: bool,
    pub(crate) powered: bool,
    pub(crate) paused: bool,
    /// Blocked in a system call until then; true time, ns.
    pub(crate) stalled_until: u64,
    /// Tasks that could run but for the pause or stall.
    pub(crate) parked: Vec<TaskRef>,
    pub(crate) clock: ClockModel,
    /// Somebody asked the process to end; who waits for that.
    pub(crate) terminating: bool,
    pub(crate) on_terminate: Vec<Waker>,
    pub(crate) disk: SimDisk,
    pub(crate) random: Arc<NodeRandom>,
    pub(crate) boot: Option<Arc<Boot>>,
}

impl Node {
    pub(crate) fn can_run(&self, now: u64) -> bool {
        !self.paused && self.stalled_until <= now
    }

    pub(crate) fn status(&self) -> NodeStatus {
        match (self.alive, self.powered, self.paused) {
            (true, _, true) => NodeStatus::Paused,
            (true, _, false) => NodeStatus::Running,
            (false, true, _) => NodeStatus::Down,
            (false, false, _) => NodeStatus::PoweredOff,
        }
    }
}

impl State {
    pub(crate) fn control(&mut self, node: u32, what: &str) {
        self.trace.event(
            EventKind::Control,
            self.now,
            u64::from(node),
            crate::random::fnv(what),
        );
        if self.trace.wants_lines() {
            let name = self
                .nodes
                .get(crate::index(node))
                .map_or("", |node| &node.name);
            self.trace.line(self.now, name, what.to_owned());
        }
    }

    /// Ends the process of a node. The caller drops the tasks with the world unlocked.
    #[must_use]
    pub(crate) fn end_process(&mut self, node: u32, death: Death) -> Vec<Task> {
        let entry = &mut self.nodes[crate::index(node)];
        entry.alive = false;
        entry.paused = false;
        entry.parked.clear();
        entry.stalled_until = 0;
        entry.terminating = false;
        entry.on_terminate.clear();
        self.end_connections(node, death);
        self.network.ports.retain(|(host, _), _| *host != node);
        self.tasks.remove_of_node(node)
    }

    fn end_connections(&mut self, node: u32, death: Death) {
        for slot in
            0..u32::try_from(self.network.connections.len()).expect("fewer than 2^32 connections")
        {
            for side in [0, 1] {
                let connection = &self.network.connections[crate::index(slot)];
                let entry = connection.sides[usize::from(side)];
                if entry.host == node && entry.held {
                    let generation = connection.generation;
                    self.end_side(ConnectionRef { slot, generation }, side, death);
                }
            }
        }
    }

    fn end_side(&mut self, reference: ConnectionRef, side: u8, death: Death) {
        let Some(connection) = self.network.get(reference) else {
            return;
        };
        let entry = &mut connection.sides[usize::from(side)];
        let was_open = entry.state == SideState::Open;
        (entry.state, entry.held) = (SideState::Gone, false);
        let outgoing = &mut connection.pipes[usize::from(side)];
        if outgoing.blocked {
            // Nobody is left to retransmit it. What passes the network now still arrives.
            outgoing.drop_flight();
            self.network.blocked.remove(&(reference.slot, side));
        } else {
            outgoing.drop_staged();
        }
        if was_open && death == Death::Reset {
            self.send_reset(reference, 1 - side);
        }
        self.release_if_unheld(reference);
    }

    /// Lets a node run again what it could not while paused or stalled.
    pub(crate) fn unpark(&mut self, node: u32) {
        let entry = &mut self.nodes[crate::index(node)];
        if entry.can_run(self.now) {
            self.ready.extend(entry.parked.drain(..));
        }
    }

    /// The node's thread is in a system call: none of its tasks runs for this long.
    pub(crate) fn stall(&mut self, node: u32, nanos: u64) {
        let entry = &mut self.nodes[crate::index(node)];
        entry.stalled_until = entry.stalled_until.max(self.now).saturating_add(nanos);
        self.events
            .schedule(entry.stalled_until, Event::StallEnd { node });
    }

    /// A stall may be over. Tells whether it is.
    pub(crate) fn end_stall(&mut self, node: u32) -> bool {
        let entry = &self.nodes[crate::index(node)];
        if entry.parked.is_empty() || !entry.can_run(self.now) {
            return false;
        }
        self.trace
            .event(EventKind::StallEnd, self.now, u64::from(node), 0);
        self.unpark(node);
        true
    }
}
