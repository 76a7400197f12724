//! What can happen next.

use super::{Action, Cluster, Node};

impl Cluster {
    /// Messages on their way arrive.
    pub fn deliveries(&self) -> Vec<Action> {
        self.network.iter().cloned().map(Action::Deliver).collect()
    }

    pub fn duplicates(&self) -> Vec<Action> {
        self.network
            .iter()
            .cloned()
            .map(Action::Duplicate)
            .collect()
    }

    pub fn losses(&self) -> Vec<Action> {
        self.network.iter().cloned().map(Action::Lose).collect()
    }

    /// Saves and flushes under way finish.
    pub fn disk_work(&self) -> Vec<Action> {
        let mut actions = Vec::new();
        for node in self.running() {
            if node.disk.is_saving() {
                actions.push(Action::FinishSave(node.key.id));
            }
            if node.disk.is_flushing() {
                actions.push(Action::FinishFlush(node.key.id));
            }
        }
        actions
    }

    pub fn timers(&self) -> Vec<Action> {
        let of = |node: &Node| {
            let id = node.key.id;
            node.timers
                .iter()
                .map(|&timer| Action::Timer(id, timer))
                .collect::<Vec<_>>()
        };
        self.running().flat_map(of).collect()
    }

    /// Leaders append one record.
    pub fn appends(&self) -> Vec<Action> {
        self.leaders()
            .map(|raft| Action::Append(raft.id(), 1))
            .collect()
    }

    pub fn resignations(&self) -> Vec<Action> {
        self.leaders()
            .map(|raft| Action::Resign(raft.id()))
            .collect()
    }

    pub fn power_losses(&self) -> Vec<Action> {
        self.running()
            .map(|node| Action::PowerLoss(node.key.id))
            .collect()
    }

    pub fn kills(&self) -> Vec<Action> {
        self.running()
            .map(|node| Action::Kill(node.key.id))
            .collect()
    }

    pub fn starts(&self) -> Vec<Action> {
        let down = self.nodes.values().filter(|node| node.raft.is_none());
        down.map(|node| Action::Start(node.key.id)).collect()
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.raft.is_some())
    }
}
