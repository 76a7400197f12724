//! REP-1 … REP-5 and LOG-1 over all replicas of one partition and the truth a driver keeps about it.
//!
//! The core holds no records, so the driver gives each replica's log next to its state.

use std::collections::BTreeMap;
use std::fmt;
use std::ops::Range;

use broker_protocol::ids::{LeaderEpoch, Offset};

use super::Replica;
use super::message::Isr;

/// A record as far as the invariants care: who wrote it, and a value that no other record has.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Record {
    pub epoch: LeaderEpoch,
    pub value: u64,
}

/// One replica, running or not, and its log.
#[derive(Clone, Copy, Debug)]
pub struct View<'a> {
    pub replica: &'a Replica,
    /// Offset of the first of `log`.
    pub base: Offset,
    pub log: &'a [Record],
    pub running: bool,
    /// The partition's leader epoch when this replica last lost data.
    pub lost_in: Option<LeaderEpoch>,
}

impl View<'_> {
    /// The record at `offset`, if this log has it.
    pub fn at(&self, offset: Offset) -> Option<Record> {
        let index = usize::try_from(offset.checked_sub(self.base)?).ok()?;
        self.log.get(index).copied()
    }
}

/// What really happened: kept by the driver, never taken from a replica.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Truth {
    /// By offset from 0: records that were below some leader's high watermark, with that leader's epoch. What
    /// is on all replicas without a leader having counted it is not committed: a replica that has only
    /// reached the high watermark may still join the ISR, and lead.
    pub committed: Vec<(Record, LeaderEpoch)>,
    /// Records acknowledged with acks=all, with the epoch of the leader that did.
    pub acked: Vec<(Offset, Record, LeaderEpoch)>,
    /// Offsets that leaders gave out, by epoch: the end of each epoch so far.
    pub assigned: BTreeMap<LeaderEpoch, Offset>,
    /// The controller's.
    pub leader_epoch: LeaderEpoch,
    pub isr: Isr,
    /// Eligible leader replicas (KIP-966).
    pub elr: Isr,
}

/// A broken invariant.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Violation {
    pub invariant: &'static str,
    pub detail: String,
}

impl fmt::Display for Violation {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}: {}", self.invariant, self.detail)
    }
}

type Checked = Result<(), Violation>;

fn require(holds: bool, invariant: &'static str, detail: impl FnOnce() -> String) -> Checked {
    if holds {
        Ok(())
    } else {
        Err(Violation {
            invariant,
            detail: detail(),
        })
    }
}

/// All state invariants.
pub fn check(views: &[View<'_>], truth: &Truth) -> Checked {
    for view in views {
        durability(view, truth)?;
        committed_content(view, view.replica.high_watermark(), truth)?;
        epoch_history(view)?;
        bounds(view)?;
        maximal_isr(view, truth)?;
        candidate(view, truth)?;
        for other in views {
            log_matching(view, other)?;
            counted(view, other)?;
        }
    }
    Ok(())
}

/// LOG-1: a leader gives out `offsets` in its epoch; none of them may have been given out in it before.
pub fn assign(truth: &mut Truth, epoch: LeaderEpoch, offsets: Range<Offset>) -> Checked {
    let end = truth.assigned.entry(epoch).or_insert(offsets.start);
    require(*end <= offsets.start, "LOG-1", || {
        format!("offsets {offsets:?} are given out again in epoch {epoch}, which had come to {end}")
    })?;
    *end = offsets.end;
    Ok(())
}

/// LOG-1: what a leader appends begins where its log ends, also if nothing is left of it.
pub fn goes_on(leader: &Replica, base_offset: Offset, log_end: Offset) -> Checked {
    require(base_offset == log_end, "LOG-1", || {
        let id = leader.local();
        format!("leader {id} appends at {base_offset}, its log ends at {log_end}")
    })
}

/// REP-1: a leader has every record that was acknowledged or committed up to its epoch.
pub fn durability(view: &View<'_>, truth: &Truth) -> Checked {
    let replica = view.replica;
    if !view.running || !replica.is_leader() {
        return Ok(());
    }
    let committed = (0..)
        .zip(&truth.committed)
        .map(|(offset, (record, epoch))| (offset, *record, *epoch));
    let relevant = truth
        .acked
        .iter()
        .copied()
        .chain(committed)
        .filter(|(_, _, epoch)| *epoch <= replica.leader_epoch());
    for (offset, record, epoch) in relevant.filter(|(offset, _, _)| *offset >= replica.log_start())
    {
        require(view.at(offset) == Some(record), "REP-1", || {
            let (id, led) = (replica.local(), replica.leader_epoch());
            format!(
                "leader {id} of epoch {led} lacks offset {offset} {record:?}, committed in epoch {epoch}; has {:?}",
                view.at(offset)
            )
        })?;
    }
    Ok(())
}

/// REP-1: whoever the controller may elect next, being in the ISR or eligible, has all that is committed.
pub fn candidate(view: &View<'_>, truth: &Truth) -> Checked {
    let replica = view.replica;
    let id = replica.local();
    if !view.running || !(truth.isr.contains(&id) || truth.elr.contains(&id)) {
        return Ok(());
    }
    for (offset, (record, epoch)) in (0..).zip(&truth.committed) {
        let has = offset < replica.log_start() || view.at(offset) == Some(*record);
        require(has, "REP-1", || {
            format!(
                "{id} may lead next and lacks offset {offset} {record:?}, committed in epoch {epoch}"
            )
        })?;
    }
    Ok(())
}

/// REP-5: a leader moves its high watermark only over what everyone has for whom it waits; with that it is
/// committed.
pub fn commit(
    leader: &View<'_>,
    views: &[View<'_>],
    high_watermark: Offset,
    truth: &mut Truth,
) -> Checked {
    let epoch = leader.replica.leader_epoch();
    let isr = leader.replica.maximal_isr();
    let whole =
        |view: &&View<'_>| isr.contains(&view.replica.local()) && view.lost_in < Some(epoch);
    for offset in i64::try_from(truth.committed.len()).expect("a log in memory")..high_watermark {
        let Some(record) = leader.at(offset).filter(|_| leader.replica.is_leader()) else {
            return Ok(());
        };
        let lacking = views
            .iter()
            .filter(whole)
            .find(|view| offset >= view.replica.log_start() && view.at(offset) != Some(record));
        require(lacking.is_none(), "REP-5", || {
            let (id, lacking) = (
                leader.replica.local(),
                lacking.map(|view| view.replica.local()),
            );
            format!(
                "leader {id} of epoch {epoch} moves its high watermark over {offset}, which {lacking:?} of {isr:?} lacks"
            )
        })?;
        truth.committed.push((record, epoch));
    }
    Ok(())
}

/// REP-2 and REP-5: below a high watermark there is what was committed, the same on all replicas.
pub fn committed_content(view: &View<'_>, high_watermark: Offset, truth: &Truth) -> Checked {
    let id = view.replica.local();
    for offset in view.replica.log_start().max(view.base)..high_watermark {
        let committed = usize::try_from(offset)
            .ok()
            .and_then(|index| truth.committed.get(index))
            .map(|it| it.0);
        require(committed.is_some(), "REP-5", || {
            format!(
                "high watermark {high_watermark} of {id} is above the committed end {}",
                truth.committed.len()
            )
        })?;
        require(committed == view.at(offset), "REP-2", || {
            format!(
                "{id} has {:?} at {offset} below its high watermark {high_watermark}, committed is {committed:?}",
                view.at(offset)
            )
        })?;
    }
    Ok(())
}

/// REP-2: the same epoch at the same offset means the same log up to there. Only above both log starts: a
/// leader that deleted the records with which a follower diverges lets it go on above them.
pub fn log_matching(one: &View<'_>, other: &View<'_>) -> Checked {
    let from = one
        .base
        .max(other.base)
        .max(one.replica.log_start())
        .max(other.replica.log_start());
    let to = end(one).min(end(other));
    let mut equal = true;
    for offset in from..to {
        let (left, right) = (one.at(offset), other.at(offset));
        let same_epoch = left.map(|record| record.epoch) == right.map(|record| record.epoch);
        equal &= left == right;
        require(!same_epoch || equal, "REP-2", || {
            format!(
                "{} has {left:?}, {} has {right:?} at {offset}, and a difference up to there",
                one.replica.local(),
                other.replica.local()
            )
        })?;
    }
    Ok(())
}

fn end(view: &View<'_>) -> Offset {
    view.base + i64::try_from(view.log.len()).expect("a log in memory")
}

/// REP-3: epochs never decrease along a log, and the cache lists exactly their first offsets; the entry
/// without data is the one of the epoch in which this replica leads or led.
pub fn epoch_history(view: &View<'_>) -> Checked {
    let replica = view.replica;
    let mut cached = replica.epochs().iter();
    let mut last = None;
    for (offset, record) in (view.base..)
        .zip(view.log)
        .filter(|(offset, _)| *offset >= replica.log_start())
    {
        require(last <= Some(record.epoch), "REP-3", || {
            format!(
                "{} goes back to epoch {} at {offset}",
                replica.local(),
                record.epoch
            )
        })?;
        if last != Some(record.epoch) {
            last = Some(record.epoch);
            let entry = cached.next().map(|entry| (entry.epoch, entry.start_offset));
            require(entry == Some((record.epoch, offset)), "REP-3", || {
                cache_differs(view, record.epoch, offset)
            })?;
        }
    }
    let surplus = cached.find(|entry| entry.start_offset < replica.log_end());
    require(surplus.is_none(), "REP-3", || {
        format!("{} caches {surplus:?} beyond its log", replica.local())
    })
}

fn cache_differs(view: &View<'_>, epoch: LeaderEpoch, offset: Offset) -> String {
    let (id, cache) = (view.replica.local(), view.replica.epochs());
    format!("{id} caches {cache:?}, its log begins epoch {epoch} at {offset}")
}

/// REP-4: what a leader counts for a follower in its epoch is what that follower has.
pub fn counted(leader: &View<'_>, follower: &View<'_>) -> Checked {
    let epoch = leader.replica.leader_epoch();
    let id = follower.replica.local();
    let Some(end) = leader.replica.counted_end(id) else {
        return Ok(());
    };
    let moved_on = follower.replica.leader_epoch() > epoch || follower.lost_in >= Some(epoch);
    if !follower.running || moved_on || follower.replica.leader_epoch() < LeaderEpoch(0) {
        return Ok(());
    }
    require(follower.replica.leader_epoch() == epoch, "REP-4", || {
        format!(
            "{} counts {end} for {id}, which is still in epoch {}",
            leader.replica.local(),
            follower.replica.leader_epoch()
        )
    })?;
    for offset in leader
        .replica
        .log_start()
        .max(follower.replica.log_start())
        .max(follower.base)..end
    {
        require(follower.at(offset) == leader.at(offset), "REP-4", || {
            format!(
                "{} counts {end} for {id}, which has {:?} at {offset}, not {:?}",
                leader.replica.local(),
                follower.at(offset),
                leader.at(offset)
            )
        })?;
    }
    Ok(())
}

/// REP-4: a leader that may move the high watermark waits for everyone who may lead next.
pub fn maximal_isr(view: &View<'_>, truth: &Truth) -> Checked {
    let replica = view.replica;
    let current =
        view.running && replica.is_leader() && replica.leader_epoch() == truth.leader_epoch;
    if !current || replica.is_under_min_isr() {
        return Ok(());
    }
    let mut complete = truth.isr.iter().chain(&truth.elr);
    let missing = complete.find(|&&id| !replica.waits_for(id));
    require(missing.is_none(), "REP-4", || {
        format!(
            "leader {} does not wait for {missing:?}, which may lead next",
            replica.local()
        )
    })
}

/// REP-5: log start ≤ high watermark ≤ log end, as the log has them.
pub fn bounds(view: &View<'_>) -> Checked {
    let replica = view.replica;
    let ordered = replica.log_start() <= replica.high_watermark()
        && replica.high_watermark() <= replica.log_end();
    require(ordered && end(view) == replica.log_end(), "REP-5", || {
        let (start, hw, log_end) = (
            replica.log_start(),
            replica.high_watermark(),
            replica.log_end(),
        );
        format!(
            "{}: start {start}, high watermark {hw}, end {log_end}, log ends at {}",
            replica.local(),
            end(view)
        )
    })
}

/// REP-5: from one step to the next, within a leader's epoch, the high watermark does not go down and does
/// not go up below `min.insync.replicas`; no log start goes down. REP-4 and LIVE-1: see [`counting`] and
/// [`commits_at_once`].
pub fn progress(before: &Replica, after: &Replica) -> Checked {
    let id = after.local();
    require(before.log_start() <= after.log_start(), "REP-5", || {
        format!(
            "log start of {id} from {} to {}",
            before.log_start(),
            after.log_start()
        )
    })?;
    commits_at_once(after)?;
    if !(before.is_leader() && after.is_leader() && before.leader_epoch() == after.leader_epoch()) {
        return Ok(());
    }
    counting(before, after)?;
    let (old, new) = (before.high_watermark(), after.high_watermark());
    require(old <= new, "REP-5", || {
        format!("high watermark of leader {id} from {old} to {new}")
    })?;
    require(
        old == new || !after.is_under_min_isr() || !before.is_under_min_isr(),
        "REP-5",
        || {
            format!(
                "high watermark of leader {id} from {old} to {new} with ISR {:?}",
                after.committed_isr()
            )
        },
    )
}

/// LIVE-1: after each step a leader's high watermark is where it may be: whatever else would have to happen
/// first may never happen (KAFKA-13091).
pub fn commits_at_once(replica: &Replica) -> Checked {
    let (high_watermark, end) = (replica.high_watermark(), replica.committable_end());
    require(end <= Some(high_watermark), "LIVE-1", || {
        format!(
            "high watermark of leader {} stays at {high_watermark} and could be at {end:?}",
            replica.local()
        )
    })
}

/// REP-4: within its epoch a leader goes on counting whom it has counted (KAFKA-13790), and only offsets that a
/// log can have (KAFKA-8400).
fn counting(before: &Replica, after: &Replica) -> Checked {
    let (Ok(old), Ok(new)) = (before.leader(), after.leader()) else {
        return Ok(());
    };
    for (id, follower) in &new.followers {
        let counted = old.followers.get(id).and_then(|before| before.log_end);
        let goes_on = follower.log_end.is_some() || counted.is_none();
        let possible = follower.log_end.is_none_or(|end| end >= 0);
        require(goes_on && possible, "REP-4", || {
            format!(
                "leader {} of epoch {} counted {counted:?} for {id}, now {:?}",
                after.local(),
                after.leader_epoch(),
                follower.log_end
            )
        })?;
    }
    Ok(())
}
