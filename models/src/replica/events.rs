//! What an exploration must have come across, or else it explored nothing.

use std::collections::BTreeMap;

use broker_protocol::ids::LeaderEpoch;

use super::controller::Controller;
use super::state::State;

/// A set of [`EVENTS`] as bits.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub struct Events(u32);

impl Events {
    pub fn contains(self, event: usize) -> bool {
        self.0 >> event & 1 == 1
    }

    fn insert(&mut self, event: usize) {
        self.0 |= 1 << event;
    }
}

enum Seen {
    /// A rare path of a core.
    Probe(&'static str),
    /// From one state to the next.
    Change(fn(&Controller, &State) -> bool),
}

use Seen::{Change, Probe};

/// Events by name, and how to tell.
const EVENTS: [(&str, Seen); 20] = [
    ("a log is truncated on divergence", Probe("replica: truncated on divergence")),
    ("a late fetch response is ignored", Probe("replica: stale fetch response ignored")),
    ("a late AlterPartition answer is ignored", Probe("replica: late AlterPartition answer ignored")),
    ("AlterPartition is retried after it was done", Probe("metadata: AlterPartition retried")),
    ("AlterPartition of an old leader is fenced", Probe("metadata: AlterPartition fenced by leader epoch")),
    ("an ineligible replica is refused", Probe("metadata: ineligible replica")),
    ("the ISR shrinks", Change(isr_shrinks)),
    ("the ISR grows", Change(isr_grows)),
    ("the leader changes", Change(leader_changes)),
    ("nobody leads", Probe("metadata: partition became leaderless")),
    ("a replica becomes eligible (ELR)", Probe("metadata: replica became eligible")),
    ("the ELR gives the leader", Probe("metadata: leader from the eligible replicas")),
    ("two replicas lead at once", Change(two_lead)),
    ("a record is acknowledged", Change(acknowledged)),
    ("the high watermark advances after a fail-over", Change(commits_after_fail_over)),
    ("a replica comes back with a shorter log", Change(log_lost)),
    ("a broker comes back uncleanly", Probe("metadata: unclean restart")),
    ("a broker comes back cleanly", Probe("metadata: clean restart")),
    ("the last known leader is elected", Probe("metadata: unclean election")),
    ("min.insync.replicas changes with replicas in the ELR", Change(elr_is_cleared)),
];

pub const ALL: &[&str] = &{
    let mut names = [""; COUNT];
    let mut event = 0;
    while event < COUNT {
        names[event] = EVENTS[event].0;
        event += 1;
    }
    names
};

/// How many events there are.
pub const COUNT: usize = EVENTS.len();

pub fn name(event: usize) -> &'static str {
    EVENTS[event].0
}

/// What happened between the controller `before` and the state `now`.
pub fn of(probes: &BTreeMap<&'static str, u64>, before: &Controller, now: &State) -> Events {
    let mut events = Events::default();
    for (event, (_, seen)) in EVENTS.iter().enumerate() {
        let happened = match seen {
            Probe(probe) => probes.contains_key(probe),
            Change(changed) => changed(before, now),
        };
        if happened {
            events.insert(event);
        }
    }
    events
}

fn isr_shrinks(before: &Controller, now: &State) -> bool {
    now.controller.partition().isr.len() < before.partition().isr.len()
}

fn isr_grows(before: &Controller, now: &State) -> bool {
    now.controller.partition().isr.len() > before.partition().isr.len()
}

fn leader_changes(before: &Controller, now: &State) -> bool {
    let (before, now) = (before.partition().leader, now.controller.partition().leader);
    now.is_some() && now != before
}

fn two_lead(_: &Controller, now: &State) -> bool {
    let nodes = now.cluster.nodes.iter();
    nodes.filter(|node| node.running && node.replica.is_leader()).count() > 1
}

fn acknowledged(_: &Controller, now: &State) -> bool {
    !now.cluster.truth.acked.is_empty()
}

fn commits_after_fail_over(_: &Controller, now: &State) -> bool {
    let last = now.cluster.truth.committed.last();
    last.is_some_and(|(_, led)| *led > LeaderEpoch(0))
}

fn log_lost(_: &Controller, now: &State) -> bool {
    now.cluster.nodes.iter().any(|node| node.lost_in.is_some())
}

fn elr_is_cleared(before: &Controller, now: &State) -> bool {
    let elr = |controller: &Controller| !controller.partition().eligible_leader_replicas.is_empty();
    let changed = before.config() != now.controller.config();
    changed && elr(before) && !elr(&now.controller)
}
