//! The coordinator as a broker runs it: timers, and a log in which only the last record of each key may be left.

use std::collections::BTreeSet;

use broker_core::Ticket;
use broker_core::group::{
    Config, Entry, GroupCoordinator, Now, Output, Producer, Record, Reply, Request, Timer, Topic,
    Topics, invariants,
};
use broker_protocol::ids::Uuid;

use super::Ledger;

pub const GROUP: &str = "g";
pub const TOPIC: &str = "t";
pub const TOPIC_ID: Uuid = Uuid([7; 16]);
pub const PARTITIONS: i32 = 2;
/// Time is absent but for what lies long ago.
pub const NOW: i64 = 1_000;
/// Later than every retention.
pub const LATE: i64 = i64::MAX / 2;

struct World;

impl Topics for World {
    fn version(&self) -> u64 {
        1
    }

    fn topic(&self, name: &str) -> Option<Topic> {
        (name == TOPIC).then_some(Topic {
            id: TOPIC_ID,
            partitions: PARTITIONS,
        })
    }

    fn name(&self, id: Uuid) -> Option<String> {
        (id == TOPIC_ID).then(|| TOPIC.into())
    }
}

fn now(wall_ms: i64) -> Now<'static> {
    Now {
        wall_ms,
        topics: &World,
    }
}

/// What a step told to whom, and what it asked of transactions.
#[derive(Debug, Default)]
pub struct Told {
    pub replies: Vec<(Ticket, Reply)>,
    pub transactional: Vec<(Producer, Vec<Record>)>,
    /// The log is another coordinator's.
    pub refused: bool,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Broker {
    pub core: GroupCoordinator,
    /// The last record of each key, in the log's order.
    pub log: Vec<Record>,
    pub armed: BTreeSet<Timer>,
    /// The one before, which has not heard that it is over.
    pub old: Option<GroupCoordinator>,
    pub fail_overs: u8,
}

impl Broker {
    pub fn new() -> Broker {
        let mut broker = Broker {
            core: GroupCoordinator::new(Config::default()),
            log: Vec::new(),
            armed: BTreeSet::new(),
            old: None,
            fail_overs: 0,
        };
        broker.load();
        broker
    }

    pub fn request(&mut self, ticket: Ticket, request: Request, ledger: &mut Ledger) -> Told {
        self.step(ledger, |core, out| {
            core.handle(ticket, request, now(NOW), out);
        })
    }

    pub fn timer(&mut self, timer: &Timer, ledger: &mut Ledger) -> Told {
        self.timer_at(timer, NOW, ledger)
    }

    pub fn timer_at(&mut self, timer: &Timer, wall_ms: i64, ledger: &mut Ledger) -> Told {
        self.armed.remove(timer);
        let timer = timer.clone();
        self.step(ledger, |core, out| core.timer(timer, now(wall_ms), out))
    }

    fn step(
        &mut self,
        ledger: &mut Ledger,
        run: impl FnOnce(&mut GroupCoordinator, &mut Vec<Output>),
    ) -> Told {
        let mut out = Vec::new();
        run(&mut self.core, &mut out);
        let told = self.carry_out(out);
        self.judge(ledger);
        told
    }

    fn carry_out(&mut self, out: Vec<Output>) -> Told {
        let mut told = Told::default();
        for output in out {
            match output {
                Output::Records(records) => self.append(records),
                Output::TransactionalRecords(producer, records) => {
                    told.transactional.push((producer, records));
                }
                Output::Reply(ticket, reply) | Output::ReplyNow(ticket, reply) => {
                    told.replies.push((ticket, reply));
                }
                Output::Arm(timer, _) => drop(self.armed.insert(timer)),
                Output::Disarm(timer) => drop(self.armed.remove(&timer)),
            }
        }
        told
    }

    fn append(&mut self, records: Vec<Record>) {
        for record in records {
            let key = key(&record);
            self.log.retain(|before| self::key(before) != key);
            self.log.push(record);
        }
    }

    /// GRP-2 to GRP-4, as far as the coordinator alone can tell.
    fn judge(&self, ledger: &mut Ledger) {
        if let Err(broken) = invariants::check(&self.core) {
            ledger.violates(match broken.contains("is owned by") {
                true => "GRP-4",
                false => "GRP-2",
            });
        }
        let without_tombstones = self.log.iter().filter(|record| !is_tombstone(record));
        for log in [
            self.log.iter().collect(),
            without_tombstones.collect::<Vec<_>>(),
        ] {
            if replayed(&log).hard() != self.core.hard() {
                ledger.violates("GRP-3");
            }
        }
    }

    /// Another broker has the log now.
    pub fn fail_over(&mut self) {
        let log: Vec<&Record> = self.log.iter().collect();
        let before = std::mem::replace(&mut self.core, replayed(&log));
        self.old = Some(before);
        self.fail_overs += 1;
        self.armed.clear();
        self.load();
    }

    fn load(&mut self) {
        let mut out = Vec::new();
        self.core.loaded(now(NOW), &mut out);
        self.carry_out(out);
    }

    /// A request reaches the coordinator that was. What it writes has an epoch that the log refuses (G-11), and
    /// that it hears of.
    pub fn request_to_old(
        &mut self,
        ticket: Ticket,
        request: Request,
        ledger: &mut Ledger,
    ) -> Told {
        let Some(mut old) = self.old.take() else {
            return Told::default();
        };
        let mut out = Vec::new();
        old.handle(ticket, request, now(NOW), &mut out);
        let writes = |output: &Output| {
            matches!(
                output,
                Output::Records(_) | Output::TransactionalRecords(..)
            )
        };
        if !out.iter().any(writes) {
            self.old = Some(old);
            let armed = self.armed.clone();
            let told = self.carry_out(out);
            self.armed = armed;
            return told;
        }
        if broker_probe::mutant!(G_11) {
            self.old = Some(old);
            let told = self.carry_out(out);
            self.judge(ledger);
            return told;
        }
        ledger.event(super::OLD_COORDINATOR);
        Told {
            refused: true,
            ..Told::default()
        }
    }
}

impl Default for Broker {
    fn default() -> Broker {
        Broker::new()
    }
}

/// A coordinator that has read this log.
pub fn loaded(log: &[Entry]) -> GroupCoordinator {
    let mut core = GroupCoordinator::new(Config::default());
    for entry in log {
        core.replay(entry);
    }
    core.loaded(now(NOW), &mut Vec::new());
    core
}

/// One step of a coordinator by itself.
pub fn carried_out(core: &mut GroupCoordinator, request: Request) -> Vec<Output> {
    let mut out = Vec::new();
    core.handle(Ticket(0), request, now(NOW), &mut out);
    out
}

pub fn timed_out(core: &mut GroupCoordinator, timer: Timer) -> Vec<Output> {
    let mut out = Vec::new();
    core.timer(timer, now(NOW), &mut out);
    out
}

fn replayed(log: &[&Record]) -> GroupCoordinator {
    let mut core = GroupCoordinator::new(Config::default());
    for record in log {
        core.replay(&Entry::Record((*record).clone()));
    }
    core
}

fn key(record: &Record) -> (u8, &str, i32) {
    match record {
        Record::Offset {
            topic, partition, ..
        } => (0, topic, *partition),
        Record::Group { .. } => (1, "", 0),
        Record::ConsumerGroup { .. } => (2, "", 0),
        Record::TargetEpoch { .. } => (3, "", 0),
        Record::Subscription { member, .. } => (4, member, 0),
        Record::TargetAssignment { member, .. } => (5, member, 0),
        Record::CurrentAssignment { member, .. } => (6, member, 0),
    }
}

fn is_tombstone(record: &Record) -> bool {
    match record {
        Record::Offset { value, .. } => value.is_none(),
        Record::Group { value, .. } => value.is_none(),
        Record::ConsumerGroup { value, .. } => value.is_none(),
        Record::TargetEpoch { value, .. } => value.is_none(),
        Record::Subscription { value, .. } => value.is_none(),
        Record::TargetAssignment { value, .. } => value.is_none(),
        Record::CurrentAssignment { value, .. } => value.is_none(),
    }
}
