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

pub const TRUNCATED: &str = "a log is truncated on divergence";
pub const LATE_FETCH_RESPONSE: &str = "a late fetch response is ignored";
pub const LATE_ANSWER: &str = "a late AlterPartition answer is ignored";
pub const RETRIED: &str = "AlterPartition is retried after it was done";
pub const FENCED_REQUEST: &str = "AlterPartition of an old leader is fenced";
pub const INELIGIBLE: &str = "an ineligible replica is refused";
pub const ISR_SHRINKS: &str = "the ISR shrinks";
pub const ISR_GROWS: &str = "the ISR grows";
pub const LEADER_CHANGES: &str = "the leader changes";
pub const LEADERLESS: &str = "nobody leads";
pub const BECAME_ELIGIBLE: &str = "a replica becomes eligible (ELR)";
pub const LED_BY_ELIGIBLE: &str = "the ELR gives the leader";
pub const TWO_LEADERS: &str = "two replicas lead at once";
pub const ACKNOWLEDGED: &str = "a record is acknowledged";
pub const COMMITS_AFTER_FAIL_OVER: &str = "the high watermark advances after a fail-over";
pub const LOG_LOST: &str = "a replica comes back with a shorter log";
pub const UNCLEAN_RESTART: &str = "a broker comes back uncleanly";
pub const CLEAN_RESTART: &str = "a broker comes back cleanly";
pub const LAST_LEADER_ELECTED: &str = "the last known leader is elected";
pub const DELETED: &str = "records are deleted on all replicas";
pub const ELR_CLEARED: &str = "min.insync.replicas changes with replicas in the ELR";

/// Events by name, and how to tell.
const EVENTS: [(&str, Seen); 21] = [
    (TRUNCATED, Probe("replica: truncated on divergence")),
    (
        LATE_FETCH_RESPONSE,
        Probe("replica: stale fetch response ignored"),
    ),
    (
        LATE_ANSWER,
        Probe("replica: late AlterPartition answer ignored"),
    ),
    (RETRIED, Probe("metadata: AlterPartition retried")),
    (
        FENCED_REQUEST,
        Probe("metadata: AlterPartition fenced by leader epoch"),
    ),
    (INELIGIBLE, Probe("metadata: ineligible replica")),
    (ISR_SHRINKS, Change(isr_shrinks)),
    (ISR_GROWS, Change(isr_grows)),
    (LEADER_CHANGES, Change(leader_changes)),
    (LEADERLESS, Probe("metadata: partition became leaderless")),
    (BECAME_ELIGIBLE, Probe("metadata: replica became eligible")),
    (
        LED_BY_ELIGIBLE,
        Probe("metadata: leader from the eligible replicas"),
    ),
    (TWO_LEADERS, Change(two_lead)),
    (ACKNOWLEDGED, Change(acknowledged)),
    (COMMITS_AFTER_FAIL_OVER, Change(commits_after_fail_over)),
    (LOG_LOST, Change(log_lost)),
    (UNCLEAN_RESTART, Probe("metadata: unclean restart")),
    (CLEAN_RESTART, Probe("metadata: clean restart")),
    (LAST_LEADER_ELECTED, Probe("metadata: unclean election")),
    (ELR_CLEARED, Change(elr_is_cleared)),
    (DELETED, Change(all_deleted)),
];

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
    nodes
        .filter(|node| node.running && node.replica.is_leader())
        .count()
        > 1
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

fn all_deleted(_: &Controller, now: &State) -> bool {
    now.cluster
        .nodes
        .iter()
        .all(|node| node.replica.log_start() > 0)
}

fn elr_is_cleared(before: &Controller, now: &State) -> bool {
    let elr = |controller: &Controller| !controller.partition().eligible_leader_replicas.is_empty();
    let changed = before.config() != now.controller.config();
    changed && elr(before) && !elr(&now.controller)
}
