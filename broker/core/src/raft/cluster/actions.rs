//! What can happen next.

use super::{Action, Cluster, Node, QuorumKind};
use crate::raft::Raft;
use crate::raft::invariants::LogContent;

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
            let snapshots = &node.disk.snapshots;
            if snapshots.is_writing() || snapshots.is_finishing() {
                actions.push(Action::FinishSnapshot(node.key.id));
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

    /// Static voters have no directory ids, so there a new disk would vote in the name of the old.
    pub fn disk_replacements(&self) -> Vec<Action> {
        let fenced = self.shape.quorum == QuorumKind::Dynamic;
        let running = self.running().filter(|_| fenced);
        running
            .map(|node| Action::ReplaceDisk(node.key.id))
            .collect()
    }

    pub fn moves(&self) -> Vec<Action> {
        self.running()
            .map(|node| Action::Move(node.key.id))
            .collect()
    }

    /// State machines keep what they have applied: all that is committed, or all but the last batch.
    pub fn snapshots(&self) -> Vec<Action> {
        let of = |raft: &Raft| {
            let id = raft.id();
            let disk = &self.node(id).disk;
            let end = raft.high_watermark().unwrap_or(0);
            let start = raft
                .log()
                .latest_snapshot()
                .map_or(0, |latest| latest.offset);
            let start = start.max(raft.log().start());
            let ends = (start + 1..=end).rev();
            ends.filter(|&end| disk.is_batch_boundary(end))
                .take(2)
                .map(|end| Action::CreateSnapshot(id, end))
                .collect::<Vec<_>>()
        };
        self.cores().flat_map(of).collect()
    }

    pub fn damages(&self) -> Vec<Action> {
        let finishing = self
            .running()
            .filter(|node| node.disk.snapshots.is_finishing());
        finishing
            .map(|node| Action::DamageSnapshot(node.key.id))
            .collect()
    }

    /// Logs are deleted before each snapshot.
    pub fn deletions(&self) -> Vec<Action> {
        let of = |node: &Node| {
            let (id, start) = (node.key.id, node.disk.log().start);
            let later = node
                .disk
                .snapshots
                .ids()
                .filter(|found| found.offset > start);
            later
                .map(|snapshot| Action::DeleteBefore(id, snapshot))
                .collect::<Vec<_>>()
        };
        self.running().flat_map(of).collect()
    }

    /// Leaders are asked to make voters of nodes that are none.
    pub fn additions(&self) -> Vec<Action> {
        let of = |leader: &Raft| {
            let foreign = |node: &&Node| leader.voters().get(node.key.id).is_none();
            self.nodes
                .values()
                .filter(foreign)
                .map(|node| Action::AddVoter(leader.id(), node.key))
                .collect::<Vec<_>>()
        };
        self.leaders().flat_map(of).collect()
    }

    pub fn removals(&self) -> Vec<Action> {
        let of = |leader: &Raft| {
            let id = leader.id();
            leader
                .voters()
                .iter()
                .map(|voter| Action::RemoveVoter(id, voter))
                .collect::<Vec<_>>()
        };
        self.leaders().flat_map(of).collect()
    }

    pub fn upgrades(&self) -> Vec<Action> {
        self.leaders()
            .map(|raft| Action::Upgrade(raft.id(), 1))
            .collect()
    }

    fn cores(&self) -> impl Iterator<Item = &Raft> {
        self.running().filter_map(|node| node.raft.as_ref())
    }

    fn running(&self) -> impl Iterator<Item = &Node> {
        self.nodes.values().filter(|node| node.raft.is_some())
    }
}
