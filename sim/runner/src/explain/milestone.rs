//! What is worth telling of a recording: faults, processes, offices, ISRs, and what was done to the logs in question.

use reports::recording::{
    LaneId, LogAction, LogChange, Moment, PartitionIndex, ProcessState, Recording,
};
use sim_checkers::anomaly::Violation;

/// The log of the quorum, as recordings name it.
const METADATA: &str = "__cluster_metadata-0";

/// What the failure is about.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Subject {
    /// None: every partition.
    pub partition: Option<PartitionIndex>,
}

impl Subject {
    /// The partition that the violation names, or the quorum's log.
    pub fn of(recording: &Recording, violation: Option<&Violation>) -> Subject {
        let Some(violation) = violation else {
            return Subject { partition: None };
        };
        let of_quorum = ["RAFT", "META"];
        let is_of_quorum = of_quorum
            .iter()
            .any(|it| violation.invariant.starts_with(it));
        let indexed = || (0..).zip(&recording.partitions);
        let named = indexed().find(|(_, name)| has_word(&violation.detail, name));
        let quorum = indexed().find(|(_, name)| is_of_quorum && *name == METADATA);
        Subject {
            partition: named.or(quorum).map(|(index, _)| index),
        }
    }

    pub fn is_about(&self, partition: PartitionIndex) -> bool {
        self.partition.is_none_or(|wanted| wanted == partition)
    }
}

fn has_word(text: &str, word: &str) -> bool {
    let is_part = |it: Option<char>| it.is_some_and(|it| it.is_alphanumeric() || "_-".contains(it));
    text.match_indices(word).any(|(at, _)| {
        !is_part(text[..at].chars().next_back()) && !is_part(text[at + word.len()..].chars().next())
    })
}

/// Something that happened at a lane.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Milestone {
    pub at: Moment,
    /// None: to the world, such as a partition of the network.
    pub lane: Option<LaneId>,
    pub text: String,
    /// Without offsets: what is the same in two runs of other speed.
    pub shape: String,
    /// From outside.
    pub is_fault: bool,
}

/// In order.
pub fn milestones(recording: &Recording, subject: &Subject) -> Vec<Milestone> {
    let mut all = processes(recording);
    all.extend(faults(recording));
    all.extend(offices(recording, subject));
    all.extend(registrations(recording, subject));
    all.extend(logs(recording, subject));
    all.sort_by_key(|milestone| milestone.at.event);
    all
}

fn plain(at: Moment, lane: LaneId, text: String) -> Milestone {
    Milestone {
        at,
        lane: Some(lane),
        shape: text.clone(),
        text,
        is_fault: false,
    }
}

fn processes(recording: &Recording) -> Vec<Milestone> {
    let changes = recording.processes.iter().map(|change| {
        let (text, is_fault) = match &change.what {
            ProcessState::Started => ("starts".to_owned(), false),
            ProcessState::Stopped => ("has stopped in good order".to_owned(), false),
            ProcessState::Killed => ("is killed".to_owned(), true),
            ProcessState::PowerLost => ("loses power".to_owned(), true),
            ProcessState::Failed(why) => (format!("ends by itself: {why}"), false),
            ProcessState::Paused => ("is paused".to_owned(), true),
            ProcessState::Resumed => ("goes on".to_owned(), true),
        };
        Milestone {
            is_fault,
            ..plain(change.at, change.lane, text)
        }
    });
    changes.collect()
}

/// Those on processes are told by the processes.
fn faults(recording: &Recording) -> Vec<Milestone> {
    let mut all = Vec::new();
    let others = recording.faults.iter();
    for fault in others.filter(|fault| !fault.kind.starts_with("process-")) {
        let lane = match fault.lanes.as_slice() {
            [one] => Some(*one),
            _ => None,
        };
        let begin = Milestone {
            at: fault.begin,
            lane,
            text: fault.what.clone(),
            shape: fault.what.clone(),
            is_fault: true,
        };
        if let Some(end) = fault.end.filter(|end| *end != fault.begin) {
            let text = format!("healed: {}", fault.what);
            all.push(Milestone {
                at: end,
                shape: text.clone(),
                text,
                ..begin.clone()
            });
        }
        all.push(begin);
    }
    all
}

fn offices(recording: &Recording, subject: &Subject) -> Vec<Milestone> {
    let mut all = Vec::new();
    let own = recording.leaderships.iter();
    for office in own.filter(|it| subject.is_about(it.partition)) {
        let partition = &recording.partitions[index(office.partition)];
        let epoch = office.epoch;
        let text = format!("leads {partition} in epoch {epoch}");
        all.push(plain(office.begin, office.lane, text));
        if let Some(end) = office.end {
            let text = format!("leads {partition} no longer in epoch {epoch}");
            all.push(plain(end, office.lane, text));
        }
    }
    all
}

fn registrations(recording: &Recording, subject: &Subject) -> Vec<Milestone> {
    let own = recording.registrations.iter();
    let own = own.filter(|it| subject.is_about(it.partition));
    let told = own.map(|it| {
        let partition = &recording.partitions[index(it.partition)];
        let names = |lanes: &[LaneId]| {
            let names = lanes.iter().map(|lane| name(recording, *lane));
            names.collect::<Vec<&str>>().join(" ")
        };
        let leader = match it.leader {
            Some(leader) => format!("leader {}", name(recording, leader)),
            None => "no leader".to_owned(),
        };
        let elr = match it.elr.is_empty() {
            true => String::new(),
            false => format!(", eligible {}", names(&it.elr)),
        };
        let (epoch, isr) = (it.leader_epoch, names(&it.isr));
        let text = format!("publishes {partition}: {leader}, epoch {epoch}, ISR {isr}{elr}");
        plain(it.at, it.lane, text)
    });
    told.collect()
}

fn logs(recording: &Recording, subject: &Subject) -> Vec<Milestone> {
    let own: Vec<&LogChange> = recording
        .logs
        .iter()
        .filter(|change| subject.is_about(change.partition))
        .collect();
    let mut all = Vec::new();
    for (at, change) in own.iter().enumerate() {
        let partition = &recording.partitions[index(change.partition)];
        let (text, shape) = match change.what {
            LogAction::Append(first, last, epoch) => match news(&own, at) {
                None => continue,
                Some(why) => (
                    format!("appends {first} to {last} to {partition} in epoch {epoch}{why}"),
                    format!("appends to {partition} in epoch {epoch}{why}"),
                ),
            },
            LogAction::Load(start, end) => (
                format!("loads {partition}: {start} to {end}, the end not included"),
                format!("loads {partition}"),
            ),
            LogAction::Truncate(end) => (
                format!("truncates {partition} to {end}"),
                format!("truncates {partition}"),
            ),
            LogAction::Start(start) => (
                format!("lets {partition} start at {start}"),
                format!("moves the start of {partition}"),
            ),
            LogAction::Delete => (
                format!("deletes {partition}"),
                format!("deletes {partition}"),
            ),
        };
        all.push(Milestone {
            shape,
            ..plain(change.at, change.lane, text)
        });
    }
    all
}

/// An append is told if it is the first of its epoch there, or if it is truncated later.
fn news(own: &[&LogChange], at: usize) -> Option<&'static str> {
    let change = own[at];
    let LogAction::Append(_, last, epoch) = change.what else {
        return None;
    };
    let same = |it: &&&LogChange| it.lane == change.lane && it.partition == change.partition;
    let next = own[at + 1..]
        .iter()
        .filter(same)
        .find_map(|it| match it.what {
            LogAction::Truncate(end) if end <= last => Some(true),
            LogAction::Truncate(_) => None,
            LogAction::Load(_, end) if end <= last => Some(false),
            LogAction::Load(..) | LogAction::Delete => Some(false),
            LogAction::Append(first, ..) if first <= last => Some(false),
            LogAction::Append(..) | LogAction::Start(_) => None,
        });
    let before = own[..at]
        .iter()
        .rev()
        .filter(same)
        .find_map(|it| match it.what {
            LogAction::Append(_, _, epoch) => Some(epoch),
            _ => None,
        });
    match (next, before) {
        (Some(true), _) => Some(", which is truncated later"),
        (_, before) if before != Some(epoch) => Some(", the first of that epoch"),
        _ => None,
    }
}

pub(super) fn name(recording: &Recording, lane: LaneId) -> &str {
    let lane = recording.lanes.get(usize::from(lane));
    lane.map_or("?", |lane| lane.name.as_str())
}

pub(super) fn index(partition: PartitionIndex) -> usize {
    usize::try_from(partition).expect("32 bits fit")
}
