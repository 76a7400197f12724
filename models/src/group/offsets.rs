//! Commits of one partition, some of them in transactions, over a log that is compacted and read again.

use std::collections::BTreeMap;
use std::fmt;

use broker_core::group::{
    Entry, FetchOffsetsRequest, GroupCoordinator, Output, Record, Reply, Request, Timer,
};
use broker_protocol::ErrorCode;

use super::broker::{GROUP, TOPIC, carried_out, loaded, timed_out};
use super::commits::{self, committed};
use super::{Ledger, Scene};

const PRODUCERS: i64 = 2;

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub commits: u8,
    pub transactional: u8,
    pub checks: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Action {
    Commits,
    CommitsInTransaction(i64),
    /// The partition takes the producer for fenced.
    CommitRefused,
    Ends(i64, bool),
    RetentionChecked,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub core: GroupCoordinator,
    pub log: Vec<Entry>,
    pub left: (u8, u8, u8),
    pub next_offset: i64,
    pub ledger: Ledger,
}

impl State {
    pub fn new(bounds: Bounds) -> State {
        State {
            core: loaded(&[]),
            log: Vec::new(),
            left: (bounds.commits, bounds.transactional, bounds.checks),
            next_offset: 1,
            ledger: Ledger::default(),
        }
    }

    fn append(&mut self, entry: Entry) {
        self.log.push(entry);
    }

    fn commits(&mut self) {
        self.left.0 -= 1;
        let request = commits::commit("", -1, self.next_offset, false);
        self.next_offset += 1;
        for output in carried_out(&mut self.core, request) {
            if let Output::Records(records) = output {
                for record in records {
                    self.append(Entry::Record(record));
                }
            }
        }
    }

    fn commits_in_transaction(&mut self, producer_id: i64) {
        self.left.1 -= 1;
        let request = commits::commit("", -1, self.next_offset, true);
        self.next_offset += 1;
        for output in carried_out(&mut self.core, request) {
            if let Output::TransactionalRecords(_, records) = output {
                for record in records {
                    let entry = Entry::Transactional {
                        producer_id,
                        record,
                    };
                    self.core.replay(&entry);
                    self.append(entry);
                }
            }
        }
    }

    /// What the partition refuses has not happened.
    fn commit_refused(&mut self) {
        self.left.1 -= 1;
        let request = commits::commit("", -1, self.next_offset, true);
        carried_out(&mut self.core, request);
    }

    fn ends(&mut self, producer_id: i64, is_commit: bool) {
        let before = committed(&self.core);
        let marker = Entry::Marker {
            producer_id,
            committed: is_commit,
        };
        self.core.replay(&marker);
        self.append(marker);
        if !is_commit {
            self.ledger.event(super::ABORTED);
        } else if before == committed(&self.core) {
            self.ledger.event(super::SUPERSEDED);
        }
    }

    fn is_open(&self, producer_id: i64) -> bool {
        first_open(&self.log).contains_key(&producer_id)
    }

    /// The log says what counts: of what is committed, the record that stands last.
    fn expected(&self) -> Option<i64> {
        let last = last_kept(&self.log, self.log.len(), Some(true))?;
        match &self.log[last] {
            Entry::Record(Record::Offset { value, .. })
            | Entry::Transactional {
                record: Record::Offset { value, .. },
                ..
            } => Some(value.as_ref()?.offset),
            other => panic!("{other:?}"),
        }
    }

    fn check(&mut self) {
        if committed(&self.core) != self.expected() {
            self.ledger.violates("GRP-1");
        }
        for log in [self.log.clone(), compacted(&self.log)] {
            if loaded(&log).hard().group(GROUP) != self.core.hard().group(GROUP) {
                self.ledger.violates("GRP-3");
            }
        }
        self.check_stable();
    }

    /// TXN-4: whoever asks for stable offsets is told of none that an open transaction may replace.
    fn check_stable(&mut self) {
        let request = Request::FetchOffsets(FetchOffsetsRequest {
            group: GROUP.into(),
            member_id: None,
            member_epoch: -1,
            partitions: Some(vec![(TOPIC.into(), 0)]),
            require_stable: true,
        });
        let out = carried_out(&mut self.core, request);
        let fetched = out.into_iter().find_map(|output| match output {
            Output::Reply(_, Reply::FetchOffsets(Ok(fetched))) => fetched.into_iter().next(),
            _ => None,
        });
        let error = fetched.expect("asked for one").error;
        let is_open = !first_open(&self.log).is_empty();
        if is_open != (error == ErrorCode::UnstableOffsetCommit) {
            self.ledger.violates("TXN-4");
        }
        if is_open {
            self.ledger.event(super::UNSTABLE);
        }
    }
}

/// By producer, where its open transaction begins.
fn first_open(log: &[Entry]) -> BTreeMap<i64, usize> {
    let mut open = BTreeMap::new();
    for (at, entry) in log.iter().enumerate() {
        match entry {
            Entry::Transactional { producer_id, .. } => {
                open.entry(*producer_id).or_insert(at);
            }
            Entry::Marker { producer_id, .. } => drop(open.remove(producer_id)),
            Entry::Record(_) => {}
        }
    }
    open
}

/// How the transaction of the entry ended; a plain commit counts at once.
fn fate(log: &[Entry], at: usize) -> Option<bool> {
    let Entry::Transactional { producer_id, .. } = &log[at] else {
        return Some(true);
    };
    log[at..].iter().find_map(|later| match later {
        Entry::Marker {
            producer_id: other,
            committed,
        } if other == producer_id => Some(*committed),
        _ => None,
    })
}

/// The last commit below `end` whose transaction ended so.
fn last_kept(log: &[Entry], end: usize, wanted: Option<bool>) -> Option<usize> {
    let is_commit = |at: &usize| !matches!(log[*at], Entry::Marker { .. });
    let mut below = (0..end).rev();
    below.find(|at| is_commit(at) && fate(log, *at) == wanted)
}

/// What a cleaner leaves: below the last stable offset the last commit that counts, and its marker.
fn compacted(log: &[Entry]) -> Vec<Entry> {
    let stable = first_open(log).into_values().min().unwrap_or(log.len());
    let kept = last_kept(log, stable, Some(true));
    let is_kept = |at: usize| match (&log[at], kept) {
        (Entry::Marker { producer_id, .. }, Some(kept)) => {
            let of = |entry: &Entry| match entry {
                Entry::Transactional { producer_id, .. } => Some(*producer_id),
                _ => None,
            };
            kept < at && of(&log[kept]) == Some(*producer_id)
        }
        (_, kept) => kept == Some(at),
    };
    let below = (0..stable).filter(|at| is_kept(*at));
    below
        .chain(stable..log.len())
        .map(|at| log[at].clone())
        .collect()
}

impl Scene for State {
    type Action = Action;

    fn actions(&self, actions: &mut Vec<Action>) {
        let (commits, transactional, checks) = self.left;
        if commits > 0 {
            actions.push(Action::Commits);
        }
        if transactional > 0 {
            actions.push(Action::CommitRefused);
        }
        for producer_id in 1..=PRODUCERS {
            if transactional > 0 {
                actions.push(Action::CommitsInTransaction(producer_id));
            }
            if self.is_open(producer_id) {
                actions.push(Action::Ends(producer_id, true));
                actions.push(Action::Ends(producer_id, false));
            }
        }
        if checks > 0 {
            actions.push(Action::RetentionChecked);
        }
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Commits => self.commits(),
            Action::CommitsInTransaction(producer_id) => self.commits_in_transaction(*producer_id),
            Action::CommitRefused => self.commit_refused(),
            Action::Ends(producer_id, committed) => self.ends(*producer_id, *committed),
            Action::RetentionChecked => {
                self.left.2 -= 1;
                self.core = loaded(&self.log);
                timed_out(&mut self.core, Timer::ExpireOffsets);
            }
        }
        self.check();
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    /// When all transactions have ended, every offset can be read.
    fn settles(&self) -> bool {
        let mut state = self.clone();
        for producer_id in 1..=PRODUCERS {
            if state.is_open(producer_id) {
                state.ends(producer_id, true);
            }
        }
        state.check();
        state.ledger.violation.is_none()
    }
}

/// The named bounds, with what must happen somewhere in them.
pub fn bounds(name: &str) -> Option<(Bounds, &'static [&'static str])> {
    (name == "group-offsets").then_some((
        Bounds {
            commits: 2,
            transactional: 2,
            checks: 1,
        },
        &[super::UNSTABLE, super::SUPERSEDED, super::ABORTED],
    ))
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Commits => write!(formatter, "an offset is committed"),
            Action::CommitsInTransaction(producer) => {
                write!(formatter, "producer {producer} commits an offset")
            }
            Action::CommitRefused => write!(formatter, "a fenced producer commits an offset"),
            Action::Ends(producer, true) => write!(formatter, "producer {producer} commits"),
            Action::Ends(producer, false) => write!(formatter, "producer {producer} aborts"),
            Action::RetentionChecked => {
                write!(formatter, "the log is loaded, and retention checked")
            }
        }
    }
}
