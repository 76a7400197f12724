//! Hosts: machines with a process on them, and what can be done to them from outside.

use std::sync::Arc;
use std::task::Waker;

use sim_disk::SimDisk;
use sim_engine::parts::NodeRandom;
use sim_engine::{Boot, Death, EventKind, NodeStatus};
use sim_faults::ClockModel;

use crate::state::State;
use crate::task::Task;

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

/// A short text as a word for the hash.
fn word(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

impl State {
    pub(crate) fn control(&mut self, node: u32, what: &str) {
        self.trace
            .event(EventKind::Control, self.now, u64::from(node), word(what));
        self.line(node, || what.to_owned());
    }

    /// Keeps a readable line, if lines are wanted now.
    pub(crate) fn line(&mut self, node: u32, what: impl FnOnce() -> String) {
        if self.trace.wants_lines() {
            let entry = self.nodes.get(crate::index(node));
            let name = entry.map_or_else(|| "".into(), |node| node.name.clone());
            self.trace.line(self.now, &name, what());
        }
    }

    /// Ends the process of a node. The caller drops the tasks with the world unlocked.
    #[must_use]
    pub(crate) fn end_process(&mut self, node: u32, death: Death) -> Vec<Task> {
        let entry = &mut self.nodes[crate::index(node)];
        entry.alive = false;
        entry.paused = false;
        entry.stalled_until = 0;
        entry.terminating = false;
        entry.on_terminate.clear();
        self.end_connections(node, death);
        self.network.ports.retain(|(host, _), _| *host != node);
        self.tasks.remove_of_node(node)
    }
}
