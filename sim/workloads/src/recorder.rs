//! The history that all clients write, and their counters.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use sim_checkers::history::{Action, History, Operation, Outcome};

use crate::stats::{ClientStats, Histogram};

/// Gives true simulated time in ns and the number of the latest event.
pub type HistoryClock = Arc<dyn Fn() -> (u64, u64) + Send + Sync>;

/// When something happened.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment {
    pub ns: u64,
    pub event: u64,
}

/// An operation that has begun; given to [`Recorder::complete`].
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[must_use]
pub struct Begun(u64);

/// Clones write the same history.
#[derive(Clone)]
pub struct Recorder {
    clock: HistoryClock,
    recorded: Arc<Mutex<Recorded>>,
}

/// Who does something, and the transaction that it is part of.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct By {
    pub process: u32,
    pub transaction: Option<u64>,
}

impl From<u32> for By {
    fn from(process: u32) -> By {
        By {
            process,
            transaction: None,
        }
    }
}

#[derive(Default)]
struct Recorded {
    names: Vec<String>,
    operations: Vec<Operation>,
    next: u64,
    /// Begun and not complete.
    pending: BTreeMap<u64, (By, Moment, Action)>,
    stats: ClientStats,
    latency: BTreeMap<&'static str, Histogram>,
}

impl Recorder {
    pub fn new(clock: HistoryClock) -> Recorder {
        Recorder {
            clock,
            recorded: Arc::default(),
        }
    }

    /// The next process number.
    pub fn register(&self, name: &str) -> u32 {
        let mut recorded = self.lock();
        recorded.names.push(name.to_string());
        u32::try_from(recorded.names.len()).expect("fewer than 2^32 clients")
    }

    /// Names by process number; number 1 is the first.
    pub fn names(&self) -> Vec<String> {
        self.lock().names.clone()
    }

    pub fn now(&self) -> Moment {
        let (ns, event) = (self.clock)();
        Moment { ns, event }
    }

    /// Notes an operation before it may have any effect: should it never complete, it is still known.
    pub fn begin(&self, by: impl Into<By>, action: Action) -> Begun {
        let now = self.now();
        let mut recorded = self.lock();
        recorded.next += 1;
        let id = recorded.next;
        recorded.pending.insert(id, (by.into(), now, action));
        Begun(id)
    }

    /// Adds to an operation that is under way what is known of it meanwhile.
    pub fn amend(&self, begun: &Begun, change: impl FnOnce(&mut Action)) {
        if let Some((_, _, action)) = self.lock().pending.get_mut(&begun.0) {
            change(action);
        }
    }

    /// Ends an operation. `change` adds what is known only now; the latency of a success is counted as `name`.
    pub fn complete(
        &self,
        begun: Begun,
        name: &'static str,
        outcome: Outcome,
        change: impl FnOnce(&mut Action),
    ) {
        let now = self.now();
        let mut recorded = self.lock();
        let Some((by, invoked, mut action)) = recorded.pending.remove(&begun.0) else {
            return;
        };
        change(&mut action);
        if outcome == Outcome::Ok {
            recorded
                .latency
                .entry(name)
                .or_default()
                .add(now.ns.saturating_sub(invoked.ns));
        }
        recorded
            .operations
            .push(operation(by, invoked, now, action, outcome));
    }

    /// An operation that could have no effect before its end, e.g. a poll.
    pub fn note(&self, by: impl Into<By>, invoked: Moment, action: Action) {
        let now = self.now();
        self.lock()
            .operations
            .push(operation(by.into(), invoked, now, action, Outcome::Ok));
    }

    /// An operation that is over, however it ended.
    pub fn note_as(&self, by: impl Into<By>, invoked: Moment, action: Action, outcome: Outcome) {
        let now = self.now();
        self.lock()
            .operations
            .push(operation(by.into(), invoked, now, action, outcome));
    }

    /// Of all producers so far.
    pub fn transactional_ids(&self) -> BTreeSet<String> {
        let recorded = self.lock();
        let ids = recorded
            .operations
            .iter()
            .filter_map(|one| match &one.action {
                Action::InitTransactions {
                    transactional_id, ..
                } => Some(transactional_id.clone()),
                _ => None,
            });
        ids.collect()
    }

    /// Counts a latency without an operation.
    pub fn took(&self, name: &'static str, since: Moment) {
        let now = self.now();
        self.lock()
            .latency
            .entry(name)
            .or_default()
            .add(now.ns.saturating_sub(since.ns));
    }

    /// Changes the counters.
    pub fn count(&self, change: impl FnOnce(&mut ClientStats)) {
        change(&mut self.lock().stats);
    }

    /// Counts a failure by who had it and what it was.
    pub fn count_error(&self, who: &str, what: &str) {
        let key = format!("{who}: {what}");
        self.count(|stats| *stats.errors.entry(key).or_default() += 1);
    }

    pub fn stats(&self) -> ClientStats {
        let recorded = self.lock();
        let mut stats = recorded.stats.clone();
        stats.latency = recorded
            .latency
            .iter()
            .map(|(name, all)| (name.to_string(), all.summary()))
            .collect();
        stats
    }

    /// Operations so far.
    pub fn len(&self) -> usize {
        self.lock().operations.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Takes the history; operations never completed come last, of unknown outcome.
    pub fn finish(&self) -> History {
        let now = self.now();
        let mut recorded = self.lock();
        let mut operations = std::mem::take(&mut recorded.operations);
        let pending = std::mem::take(&mut recorded.pending);
        let never = || Outcome::Info("never completed".to_string());
        operations.extend(
            pending
                .into_values()
                .map(|(by, invoked, action)| operation(by, invoked, now, action, never())),
        );
        History { operations }
    }

    fn lock(&self) -> MutexGuard<'_, Recorded> {
        self.recorded.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

fn operation(
    by: By,
    invoked: Moment,
    completed: Moment,
    action: Action,
    outcome: Outcome,
) -> Operation {
    Operation {
        process: by.process,
        transaction: by.transaction,
        invoked_ns: invoked.ns,
        completed_ns: completed.ns,
        invoked_event: invoked.event,
        completed_event: completed.event,
        action,
        outcome,
    }
}
