//! Published metadata: META-1 … META-4.

use std::collections::{BTreeMap, BTreeSet};

use super::event::{PartitionId, PartitionState};
use super::judge::{Invariant, Judge};
use super::quorum::Quorum;

/// A broker as a node publishes it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Broker {
    epoch: i64,
    fenced: bool,
    shutting_down: bool,
}

impl Broker {
    fn is_active(self) -> bool {
        !self.fenced && !self.shutting_down
    }
}

/// What one node has published since it started.
#[derive(Clone, Debug, Default)]
struct Published {
    applied_end: i64,
    partitions: BTreeMap<PartitionId, PartitionState>,
    brokers: BTreeMap<i32, Broker>,
    /// Changed by the image that is being published.
    changed: BTreeSet<PartitionId>,
    /// Became inactive by the image that is being published.
    inactive: BTreeSet<i32>,
}

/// All nodes' published metadata.
#[derive(Debug, Default)]
pub struct Metadata {
    nodes: BTreeMap<i32, Published>,
    /// By end offset: hash and epoch of the image, and who told it first.
    images: BTreeMap<i64, (u64, i32, i32)>,
    /// The node in the middle of publishing: its partitions come before its brokers.
    publishing: Option<i32>,
}

impl Metadata {
    pub fn stopped(&mut self, node: i32) {
        self.nodes.remove(&node);
        if self.publishing == Some(node) {
            self.publishing = None;
        }
    }

    /// Images of offsets that were given up with a loss are no reference any more.
    pub fn forget_from(&mut self, end: i64) {
        self.images.split_off(&end);
    }

    /// META-2: the image is a function of the committed prefix; META-4: it only goes forward.
    pub fn applied(
        &mut self,
        node: i32,
        (end, epoch, hash): (i64, i32, u64),
        quorum: &Quorum,
        judge: &mut Judge,
    ) {
        let published = self.nodes.entry(node).or_default();
        let before = std::mem::replace(&mut published.applied_end, end);
        judge.demand(before < end, Invariant::Meta4, "went-back", |_| {
            format!("applied metadata up to {end} after {before}")
        });
        let own = quorum
            .members
            .get(&node)
            .and_then(|member| member.high_watermark);
        judge.demand(
            own.is_some_and(|own| end <= own),
            Invariant::Meta2,
            "uncommitted-applied",
            |_| format!("applied metadata up to {end}, its high watermark is {own:?}"),
        );
        let first = *self.images.entry(end).or_insert((hash, epoch, node));
        judge.demand((first.0, first.1) == (hash, epoch), Invariant::Meta2, "image-differs", |_| {
            format!(
                "image at {end} (epoch {epoch}) has hash {hash:016x}; node {} had {:016x} (epoch {})",
                first.2, first.0, first.1
            )
        });
    }

    /// Where the image ends that a node publishes.
    pub fn applied_end(&self, node: i32) -> i64 {
        self.nodes
            .get(&node)
            .map_or(0, |published| published.applied_end)
    }

    /// RAFT-6: loading a snapshot equals replaying the records that it replaces.
    pub fn snapshot_loaded(
        &mut self,
        node: i32,
        (end, epoch, hash): (i64, i32, u64),
        judge: &mut Judge,
    ) {
        let first = *self.images.entry(end).or_insert((hash, epoch, node));
        judge.demand((first.0, first.1) == (hash, epoch), Invariant::Raft6, "snapshot-differs", |_| {
            format!(
                "snapshot {end}-{epoch} has hash {hash:016x}; node {} had {:016x} (epoch {}) there",
                first.2, first.0, first.1
            )
        });
    }

    /// META-1 and META-2: only the leader's controller acts, and only after the epochs before.
    pub fn controller_active(
        &mut self,
        node: i32,
        epoch: i32,
        applied_end: i64,
        quorum: &Quorum,
        judge: &mut Judge,
    ) {
        let leader = quorum.leaders.get(&epoch).copied();
        judge.demand(
            leader == Some(node),
            Invariant::Meta1,
            "controller-not-leader",
            |_| format!("controller active in epoch {epoch}, whose leader is {leader:?}"),
        );
        let Some(member) = quorum.members.get(&node) else {
            return;
        };
        let start = member
            .log
            .epochs
            .iter()
            .find(|entry| entry.0 >= epoch)
            .map(|entry| entry.1);
        let covered = start.is_none_or(|start| applied_end >= start);
        judge.demand(covered, Invariant::Meta2, "controller-behind", |_| {
            format!("controller active in epoch {epoch}, which starts at {start:?}, having applied up to {applied_end}")
        });
    }

    pub fn broker_registered(
        &mut self,
        node: i32,
        broker: i32,
        (epoch, fenced, shutting_down): (i64, bool, bool),
        judge: &mut Judge,
    ) {
        self.publishing = Some(node);
        let published = self.nodes.entry(node).or_default();
        let now = Broker {
            epoch,
            fenced,
            shutting_down,
        };
        let before = published.brokers.insert(broker, now);
        judge.demand(
            before.is_none_or(|before| before.epoch <= epoch),
            Invariant::Meta1,
            "broker-epoch-fell",
            |_| format!("broker {broker} has epoch {epoch}, before it had {before:?}"),
        );
        if before != Some(now) && !now.is_active() {
            published.inactive.insert(broker);
        }
    }

    pub fn partition_removed(&mut self, node: i32, partition: PartitionId) {
        self.publishing = Some(node);
        let published = self.nodes.entry(node).or_default();
        let removed = |id: &PartitionId| {
            id.topic == partition.topic && (partition.index < 0 || id.index == partition.index)
        };
        published.partitions.retain(|id, _| !removed(id));
        published.changed.retain(|id| !removed(id));
    }

    /// META-1 and META-4 at one node; `known` are the states anybody published, by partition epoch.
    pub fn partition_registered(
        &mut self,
        node: i32,
        id: PartitionId,
        state: &PartitionState,
        known: &mut BTreeMap<i32, PartitionState>,
        judge: &mut Judge,
    ) {
        self.publishing = Some(node);
        let published = self.nodes.entry(node).or_default();
        published.changed.insert(id);
        let before = published.partitions.insert(id, state.clone());
        let forward = before.as_ref().is_none_or(|before| {
            before.leader_epoch <= state.leader_epoch
                && before.partition_epoch <= state.partition_epoch
        });
        judge.demand(forward, Invariant::Meta4, "went-back", |judge| {
            format!("{}: published {state:?} after {before:?}", judge.name(id))
        });
        epochs_grow(id, state, known, judge);
        valid(id, state, judge);
        known
            .entry(state.partition_epoch)
            .or_insert_with(|| state.clone());
    }

    /// Publishing an image is over when its node, or another, does something else. Only then are brokers and
    /// partitions of one image known together.
    pub fn close(&mut self, node: i32, event_publishes: bool, judge: &mut Judge) {
        if let Some(publishing) = self.publishing
            && !(event_publishes && publishing == node)
        {
            self.publishing = None;
            self.check_published(publishing, judge);
        }
    }

    fn check_published(&mut self, node: i32, judge: &mut Judge) {
        let Some(published) = self.nodes.get_mut(&node) else {
            return;
        };
        let mut suspects = std::mem::take(&mut published.changed);
        let inactive = std::mem::take(&mut published.inactive);
        if !inactive.is_empty() {
            let concerned =
                |state: &PartitionState| state.isr.iter().any(|id| inactive.contains(id));
            let found = published
                .partitions
                .iter()
                .filter(|(_, state)| concerned(state));
            suspects.extend(found.map(|(id, _)| *id));
        }
        let at = judge.at;
        judge.at.node = node;
        for id in suspects {
            if let Some(state) = published.partitions.get(&id) {
                members_active(id, state, &published.brokers, judge);
            }
        }
        judge.at = at;
    }
}

/// META-1: a change has a new partition epoch, a new leader a new leader epoch; all nodes see the same.
fn epochs_grow(
    id: PartitionId,
    state: &PartitionState,
    known: &BTreeMap<i32, PartitionState>,
    judge: &mut Judge,
) {
    let epoch = state.partition_epoch;
    if let Some(same) = known.get(&epoch) {
        // min.insync.replicas is a topic configuration, which has no part in the partition's epoch.
        let comparable = PartitionState {
            min_insync_replicas: state.min_insync_replicas,
            ..same.clone()
        };
        judge.demand(
            comparable == *state,
            Invariant::Meta2,
            "image-differs",
            |judge| {
                format!(
                    "{}: partition epoch {epoch} is {state:?}, another node published {same:?}",
                    judge.name(id)
                )
            },
        );
        return;
    }
    let before = known.range(..epoch).next_back().map(|(_, state)| state);
    let after = known.range(epoch..).next().map(|(_, state)| state);
    let grows = |one: &PartitionState, next: &PartitionState| {
        one.leader_epoch < next.leader_epoch
            || (one.leader_epoch == next.leader_epoch && one.leader == next.leader)
    };
    let lawful = before.is_none_or(|before| grows(before, state))
        && after.is_none_or(|after| grows(state, after));
    judge.demand(lawful, Invariant::Meta1, "epoch-reused", |judge| {
        format!(
            "{}: {state:?} between {before:?} and {after:?}",
            judge.name(id)
        )
    });
    let next = before.filter(|before| before.partition_epoch + 1 == epoch);
    judge.demand(
        next.is_none_or(|before| says_what_it_lacks(before, state)),
        Invariant::Meta3,
        "unclean-unsaid",
        |judge| {
            format!(
                "{}: after {before:?} leads {state:?}, which is not recovering",
                judge.name(id)
            )
        },
    );
}

/// KIP-704: who may lack what was committed is in recovery when it is elected.
///
/// A reassignment ends with the change of the ISR that completes it (KIP-455): the leader that asked vouches for who joins,
/// and may lose its place and its office to that replica in the same record.
fn says_what_it_lacks(before: &PartitionState, state: &PartitionState) -> bool {
    let ends_a_move = before.replicas.len() > state.replicas.len()
        && state
            .replicas
            .iter()
            .all(|one| before.replicas.contains(one));
    let complete = |leader: &i32| {
        let joined = ends_a_move && state.isr.contains(leader);
        joined || before.isr.contains(leader) || before.eligible.contains(leader)
    };
    state.leader.is_none_or(|leader| complete(&leader)) || state.recovering
}

/// META-3 as far as the partition itself tells.
fn valid(id: PartitionId, state: &PartitionState, judge: &mut Judge) {
    let PartitionState {
        replicas,
        isr,
        eligible,
        leader,
        min_insync_replicas,
        recovering,
        ..
    } = state;
    let subset = |members: &[i32]| {
        let distinct = (1..members.len()).all(|at| !members[..at].contains(&members[at]));
        distinct && members.iter().all(|member| replicas.contains(member))
    };
    let led = leader.map_or(isr.len() <= 1, |leader| isr.contains(&leader));
    let apart = !eligible.iter().any(|member| isr.contains(member));
    let enough = isr.len() >= usize::try_from(*min_insync_replicas).unwrap_or(1);
    // KIP-704: until the leader has asked for another ISR, it is alone in it.
    let alone = !recovering || isr.len() <= 1;
    let lawful = subset(isr)
        && subset(eligible)
        && apart
        && led
        && alone
        && (!enough || eligible.is_empty());
    judge.demand(lawful, Invariant::Meta3, "invalid-partition", |judge| {
        format!("{}: {state:?}", judge.name(id))
    });
}

/// META-3: nobody in the ISR of a led partition is fenced or shutting down.
fn members_active(
    id: PartitionId,
    state: &PartitionState,
    brokers: &BTreeMap<i32, Broker>,
    judge: &mut Judge,
) {
    let inactive = |member: &&i32| {
        brokers
            .get(member)
            .is_some_and(|broker| !broker.is_active())
    };
    let found = state
        .isr
        .iter()
        .find(inactive)
        .copied()
        .filter(|_| state.leader.is_some());
    judge.demand(
        found.is_none(),
        Invariant::Meta3,
        "inactive-in-isr",
        |judge| {
            let broker = found.and_then(|member| brokers.get(&member));
            format!(
                "{}: broker {found:?} is {broker:?} in {state:?}",
                judge.name(id)
            )
        },
    );
}
