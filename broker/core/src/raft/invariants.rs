//! RAFT-1 … RAFT-6 over all nodes of a quorum: pure functions for the simulator (after every event), the
//! model checker (`always`) and the random tests.
//!
//! [`check`] looks at the nodes and remembers in [`Ghost`] what no single moment shows: who led an epoch, who
//! was voted for, what was ever committed. [`check_released`] looks at each message that leaves a node.

use std::collections::BTreeMap;
use std::fmt;

use broker_protocol::ids::{LeaderEpoch, NodeId, Offset, ReplicaKey};

use super::message::UNKNOWN_EPOCH;
use super::{
    Configuration, Leadership, OffsetAndEpoch, Output, QuorumState, Raft, Request, Response, Role,
    VoterSet,
};

/// A broken invariant: its id and what was seen.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Violation {
    pub invariant: &'static str,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.invariant, self.detail)
    }
}

fn demand(
    holds: bool,
    invariant: &'static str,
    detail: impl FnOnce() -> String,
) -> Result<(), Violation> {
    if holds {
        Ok(())
    } else {
        Err(Violation {
            invariant,
            detail: detail(),
        })
    }
}

/// A metadata log with its content, which the core does not see.
pub trait LogContent {
    fn start_offset(&self) -> Offset;
    fn end_offset(&self) -> Offset;
    /// Epoch of the batch that holds `offset`; asked for start <= offset < end.
    fn epoch_at(&self, offset: Offset) -> LeaderEpoch;
    /// A hash of all content below `end`; asked for start <= end <= end offset. What is below the start must
    /// have entered it too.
    fn hash_below(&self, end: Offset) -> u64;
    /// Whether a batch ends before `offset`; asked for start <= offset <= end offset.
    fn is_batch_boundary(&self, offset: Offset) -> bool;
    /// `kraft.version` and the voters by the last control records, those in the snapshot that the log starts at
    /// included; None without any.
    fn configuration(&self) -> Option<(i16, VoterSet)>;
    /// The whole snapshots beside the log, without the bootstrap snapshot.
    fn snapshots(&self) -> Vec<SnapshotContent>;
}

/// A snapshot with a hash of the records it was made of, comparable to [`LogContent::hash_below`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct SnapshotContent {
    pub id: OffsetAndEpoch,
    pub hash: u64,
}

/// One node at one moment; `raft` is None while it is down.
#[derive(Clone, Copy)]
pub struct NodeView<'a> {
    pub key: ReplicaKey,
    pub raft: Option<&'a Raft>,
    pub log: &'a dyn LogContent,
    /// The part of `log` that survives a power loss.
    pub durable_end: Offset,
}

/// What was, and must not be forgotten.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ghost {
    leaders: BTreeMap<LeaderEpoch, NodeId>,
    /// The last vote each replica saved.
    votes: BTreeMap<ReplicaKey, (LeaderEpoch, ReplicaKey)>,
    /// High watermarks ever seen, with the hash of the log below and the epoch in which they were seen.
    committed: BTreeMap<Offset, (u64, LeaderEpoch)>,
    /// Each running node's high watermark.
    high_watermarks: BTreeMap<NodeId, Offset>,
    /// Hashes of all snapshots ever seen.
    snapshots: BTreeMap<OffsetAndEpoch, u64>,
}

impl Ghost {
    /// How much was ever committed.
    pub fn committed_end(&self) -> Offset {
        self.committed.last_key_value().map_or(0, |(&end, _)| end)
    }

    /// For a driver that does not check between the end of a process and its next start: what comes back has
    /// yet to learn its high watermark.
    pub fn process_ended(&mut self, id: NodeId) {
        self.high_watermarks.remove(&id);
    }
}

/// Checks all of it, and remembers.
pub fn check(nodes: &[NodeView<'_>], ghost: &mut Ghost) -> Result<(), Violation> {
    election_safety(nodes, ghost)?;
    log_matching(nodes)?;
    high_watermarks(nodes, ghost)?;
    commit(nodes, ghost)?;
    leader_completeness(nodes, ghost)?;
    voter_changes(nodes)?;
    snapshots(nodes, ghost)
}

fn running<'a>(nodes: &'a [NodeView<'a>]) -> impl Iterator<Item = (&'a NodeView<'a>, &'a Raft)> {
    nodes
        .iter()
        .filter_map(|node| node.raft.map(|raft| (node, raft)))
}

fn leadership(raft: &Raft) -> Option<&Leadership> {
    match raft.role() {
        Role::Leader(leadership) => Some(leadership),
        _ => None,
    }
}

/// RAFT-1: one leader in an epoch, one vote per replica and epoch, also across restarts.
pub fn election_safety(nodes: &[NodeView<'_>], ghost: &mut Ghost) -> Result<(), Violation> {
    for (node, raft) in running(nodes) {
        let (id, epoch) = (node.key.id, raft.epoch());
        if leadership(raft).is_some() {
            let first = *ghost.leaders.entry(epoch).or_insert(id);
            demand(first == id, "RAFT-1", || {
                format!("epoch {epoch} has the leaders {first} and {id}")
            })?;
        }
        let saved = raft.saved_quorum_state();
        let Some(voted) = saved.voted else { continue };
        let (known_epoch, known) = *ghost.votes.entry(node.key).or_insert((saved.epoch, voted));
        demand(
            known_epoch != saved.epoch || may_be_same(known, voted),
            "RAFT-1",
            || {
                format!(
                    "node {id} voted for {} and for {} in epoch {}",
                    known.id, voted.id, saved.epoch
                )
            },
        )?;
        ghost.votes.insert(node.key, (saved.epoch, voted));
    }
    Ok(())
}

/// A quorum-state file of `kraft.version` 0 does not say in which directory the candidate was.
fn may_be_same(one: ReplicaKey, other: ReplicaKey) -> bool {
    let unknown = one.directory_id.is_zero() || other.directory_id.is_zero();
    one.id == other.id && (unknown || one.directory_id == other.directory_id)
}

/// RAFT-2: logs that agree on the epoch of an offset agree on everything up to it.
pub fn log_matching(nodes: &[NodeView<'_>]) -> Result<(), Violation> {
    for (index, left) in nodes.iter().enumerate() {
        for right in &nodes[index + 1..] {
            let Some(offset) = last_common(left.log, right.log) else {
                continue;
            };
            let same = left.log.hash_below(offset + 1) == right.log.hash_below(offset + 1);
            demand(same, "RAFT-2", || {
                let (left, right, epoch) = (left.key.id, right.key.id, left.log.epoch_at(offset));
                format!(
                    "nodes {left} and {right} differ at or below offset {offset} of epoch {epoch}"
                )
            })?;
        }
    }
    Ok(())
}

/// The last offset to which both logs give the same epoch.
fn last_common(left: &dyn LogContent, right: &dyn LogContent) -> Option<Offset> {
    let start = left.start_offset().max(right.start_offset());
    let end = left.end_offset().min(right.end_offset());
    (start..end)
        .rev()
        .find(|&offset| left.epoch_at(offset) == right.epoch_at(offset))
}

/// RAFT-3: a node's high watermark never decreases while it runs, and its log never ends below.
pub fn high_watermarks(nodes: &[NodeView<'_>], ghost: &mut Ghost) -> Result<(), Violation> {
    ghost
        .high_watermarks
        .retain(|&id, _| running(nodes).any(|(node, _)| node.key.id == id));
    for (node, raft) in running(nodes) {
        let (id, end) = (node.key.id, node.log.end_offset());
        let Some(now) = raft.high_watermark() else {
            continue;
        };
        let before = ghost.high_watermarks.insert(id, now);
        demand(before.is_none_or(|before| before <= now), "RAFT-3", || {
            format!("high watermark of node {id} went from {before:?} to {now}")
        })?;
        demand(now <= end, "RAFT-3", || {
            format!("node {id} cut its log to {end}, below its high watermark {now}")
        })?;
    }
    Ok(())
}

/// RAFT-3 and RAFT-4: what a leader calls committed has a record of its epoch and is flushed on a majority;
/// what two nodes call committed is the same.
pub fn commit(nodes: &[NodeView<'_>], ghost: &mut Ghost) -> Result<(), Violation> {
    for (node, raft) in running(nodes) {
        let (id, epoch) = (node.key.id, raft.epoch());
        let Some(end) = raft.high_watermark() else {
            continue;
        };
        if let Some(leadership) = leadership(raft)
            && let Some(own) = leadership.high_watermark
        {
            let start = leadership.epoch_start;
            demand(own > start, "RAFT-3", || {
                format!(
                    "leader {id} of epoch {epoch} commits up to {own} without a record of its epoch, which starts at {start}"
                )
            })?;
        }
        if end > ghost.committed_end() {
            flushed_on_majority(nodes, raft, node, end)?;
        }
        let hash = node.log.hash_below(end);
        let (known, _) = *ghost.committed.entry(end).or_insert((hash, epoch));
        demand(known == hash, "RAFT-3", || {
            format!("node {id} commits other records below {end} than were committed before")
        })?;
    }
    Ok(())
}

fn flushed_on_majority(
    nodes: &[NodeView<'_>],
    raft: &Raft,
    committer: &NodeView<'_>,
    end: Offset,
) -> Result<(), Violation> {
    let hash = committer.log.hash_below(end);
    let voters = raft.voters();
    let holders = nodes.iter().filter(|node| {
        voters.contains(node.key) && node.durable_end >= end && node.log.hash_below(end) == hash
    });
    let count = holders.count();
    demand(count >= voters.majority(), "RAFT-4", || {
        let id = committer.key.id;
        format!(
            "node {id} commits up to {end}, which only {count} of {} voters have flushed",
            voters.len()
        )
    })
}

/// RAFT-3: every leader has everything that was committed in an earlier epoch.
pub fn leader_completeness(nodes: &[NodeView<'_>], ghost: &Ghost) -> Result<(), Violation> {
    for (node, raft) in running(nodes) {
        if leadership(raft).is_none() {
            continue;
        }
        let earlier = ghost
            .committed
            .iter()
            .rev()
            .find(|(_, (_, epoch))| *epoch < raft.epoch());
        let Some((&end, &(hash, epoch))) = earlier else {
            continue;
        };
        let has = node.log.end_offset() >= end && node.log.hash_below(end) == hash;
        demand(has, "RAFT-3", || {
            let (id, own) = (node.key.id, raft.epoch());
            format!(
                "leader {id} of epoch {own} lacks records below {end}, committed in epoch {epoch}"
            )
        })?;
    }
    Ok(())
}

/// RAFT-5: the voters in force are those of the last record in the log; only they elect; a leader changes them
/// only after it has committed in its own epoch, and one change at a time.
pub fn voter_changes(nodes: &[NodeView<'_>]) -> Result<(), Violation> {
    for (node, raft) in running(nodes) {
        voters_of_log(node, raft)?;
        only_voters_elect(raft)?;
        if let Some(leadership) = leadership(raft) {
            one_change_at_a_time(raft, leadership)?;
        }
    }
    Ok(())
}

fn voters_of_log(node: &NodeView<'_>, raft: &Raft) -> Result<(), Violation> {
    let Some((version, voters)) = node.log.configuration() else {
        return Ok(());
    };
    let known = raft.configuration();
    let same = known.kraft_version == version && known.voters == voters;
    demand(same, "RAFT-5", || {
        format!(
            "node {} acts by {known:?} and its log says {version} {voters:?}",
            raft.id()
        )
    })
}

fn only_voters_elect(raft: &Raft) -> Result<(), Violation> {
    let (Role::Prospective { ballot, .. } | Role::Candidate { ballot, .. }) = raft.role() else {
        return Ok(());
    };
    let stranger = ballot
        .granted
        .iter()
        .find(|&&id| raft.voters().get(id).is_none());
    demand(stranger.is_none(), "RAFT-5", || {
        format!("node {} counts the vote of {stranger:?}", raft.id())
    })
}

fn one_change_at_a_time(raft: &Raft, leadership: &Leadership) -> Result<(), Violation> {
    let (id, epoch) = (raft.id(), raft.epoch());
    let (start, committed) = (leadership.epoch_start, leadership.high_watermark);
    let changes: Vec<&Configuration> = raft.configurations().collect();
    let own = |change: &&&Configuration| change.offset.is_some_and(|offset| offset > start);
    let open = |change: &&&Configuration| change.offset >= committed;
    let uncommitted = changes.iter().filter(own).filter(open).count();
    demand(committed.is_some() || uncommitted == 0, "RAFT-5", || {
        format!("leader {id} changes the voters before it commits in its epoch {epoch}")
    })?;
    demand(uncommitted <= 1, "RAFT-5", || {
        format!("leader {id} of epoch {epoch} has {uncommitted} uncommitted voter changes")
    })?;
    for pair in changes.windows(2).filter(|pair| own(&&pair[1])) {
        let joined = without(&pair[1].voters, &pair[0].voters);
        let left = without(&pair[0].voters, &pair[1].voters);
        demand(joined + left <= 1, "RAFT-5", || {
            format!(
                "leader {id} changes {joined} + {left} voters at {:?}",
                pair[1].offset
            )
        })?;
    }
    Ok(())
}

fn without(voters: &VoterSet, others: &VoterSet) -> usize {
    voters
        .iter()
        .filter(|voter| others.get(voter.id).is_none())
        .count()
}

/// RAFT-6: a snapshot is of a committed prefix, ends with a batch, and is the same as that prefix; every log
/// that does not start at 0 has one at or above its start.
pub fn snapshots(nodes: &[NodeView<'_>], ghost: &mut Ghost) -> Result<(), Violation> {
    for node in nodes {
        let (name, start) = (node.key.id, node.log.start_offset());
        let found = node.log.snapshots();
        let held = found.iter().any(|snapshot| snapshot.id.offset >= start);
        demand(start == 0 || held, "RAFT-6", || {
            format!("node {name} has deleted all before {start}, and its last snapshot ends before")
        })?;
        for SnapshotContent { id, hash } in found {
            demand(id.offset <= ghost.committed_end(), "RAFT-6", || {
                format!("snapshot {id} of node {name} holds more than was committed")
            })?;
            let known = *ghost.snapshots.entry(id).or_insert(hash);
            demand(known == hash, "RAFT-6", || {
                format!("snapshot {id} of node {name} differs from another of that name")
            })?;
            for other in nodes {
                same_as_prefix(id, hash, other)?;
            }
        }
    }
    Ok(())
}

fn same_as_prefix(id: OffsetAndEpoch, hash: u64, node: &NodeView<'_>) -> Result<(), Violation> {
    let (log, name) = (node.log, node.key.id);
    let committed = node.raft.and_then(Raft::high_watermark);
    if committed.is_none_or(|committed| committed < id.offset) || id.offset < log.start_offset() {
        return Ok(());
    }
    let same = log.hash_below(id.offset) == hash && log.is_batch_boundary(id.offset);
    demand(same, "RAFT-6", || {
        format!(
            "snapshot {id} is not what node {name} has committed below {}",
            id.offset
        )
    })
}

/// RAFT-4: nothing leaves a node that its disk does not hold. `asked` is the request a reply answers.
pub fn check_released(
    key: ReplicaKey,
    disk: QuorumState,
    durable_end: Offset,
    output: &Output,
    asked: Option<&Request>,
) -> Result<(), Violation> {
    let id = key.id;
    let epoch = match output {
        Output::Send { request, .. } => epoch_said(request),
        Output::Reply { response, .. } => response.leader_and_epoch().1,
        _ => return Ok(()),
    };
    demand(epoch <= disk.epoch, "RAFT-4", || {
        format!(
            "node {id} speaks of epoch {epoch} and has saved {}",
            disk.epoch
        )
    })?;
    match (output, asked) {
        (
            Output::Send {
                request: Request::Fetch(fetch),
                ..
            },
            _,
        ) => demand(fetch.fetch_offset <= durable_end, "RAFT-4", || {
            format!(
                "node {id} reports offset {} and has flushed {durable_end}",
                fetch.fetch_offset
            )
        }),
        (
            Output::Send {
                request: Request::Vote(vote),
                ..
            },
            _,
        ) if !vote.pre_vote => vote_saved(id, disk, vote.candidate_epoch, vote.candidate),
        (
            Output::Reply {
                response: Response::Vote(answer),
                ..
            },
            Some(Request::Vote(vote)),
        ) if answer.vote_granted && !vote.pre_vote => {
            vote_saved(id, disk, vote.candidate_epoch, vote.candidate)
        }
        _ => Ok(()),
    }
}

fn epoch_said(request: &Request) -> LeaderEpoch {
    match request {
        Request::Vote(vote) => vote.candidate_epoch,
        Request::BeginQuorumEpoch(begin) => begin.leader_epoch,
        Request::EndQuorumEpoch(end) => end.leader_epoch,
        Request::Fetch(fetch) => fetch.current_leader_epoch,
        Request::FetchSnapshot(fetch) => fetch.current_leader_epoch,
        Request::UpdateVoter(update) => update.current_leader_epoch,
        Request::AddVoter(_) | Request::RemoveVoter(_) | Request::ApiVersions(_) => UNKNOWN_EPOCH,
    }
}

fn vote_saved(
    id: NodeId,
    disk: QuorumState,
    epoch: LeaderEpoch,
    candidate: ReplicaKey,
) -> Result<(), Violation> {
    let saved = disk.epoch > epoch
        || (disk.epoch == epoch
            && disk
                .voted
                .is_some_and(|voted| may_be_same(voted, candidate)));
    demand(saved, "RAFT-4", || {
        format!(
            "node {id} votes for {} in epoch {epoch} and has saved {disk:?}",
            candidate.id
        )
    })
}
