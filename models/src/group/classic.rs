//! The classic protocol: JoinGroup, SyncGroup, Heartbeat, LeaveGroup, and commits that come late.
//!
//! The members' leader splits two partitions. Each assignment that a member is given is noted with its generation,
//! so that ownership is judged by what members were really told (GRP-4).

mod client;
mod settle;

use std::collections::BTreeMap;
use std::fmt;

use broker_core::Ticket;
use broker_core::group::{self, Leaver, Record, Request, Timer};

use super::broker::{Broker, GROUP, LATE, NOW, Told};
use super::commits::{accepted, commit, committed};
use super::{Ledger, Scene};
pub use client::{Client, Phase};

/// What is left of the things that are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A client does not wait any more for what may still arrive.
    pub give_ups: u8,
    /// A request is carried out, and its answer lost.
    pub lost_answers: u8,
    pub fail_overs: u8,
    /// Sessions, rebalances and waits for SyncGroup that run out.
    pub timeouts: u8,
    pub crashes: u8,
    pub leaves: u8,
    /// A client goes on with its heartbeats, and does nothing else.
    pub stuck: u8,
    pub commits: u8,
    /// Commits within transactions.
    pub zombies: u8,
    /// Checks of retention.
    pub expiries: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub budget: Budget,
    pub clients: usize,
    /// Most messages on their way.
    pub messages: usize,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    Join {
        ticket: Ticket,
        member_id: String,
    },
    Sync {
        ticket: Ticket,
        member_id: String,
        generation: i32,
        assignments: Vec<(String, Vec<u8>)>,
    },
    Commit {
        member_id: String,
        generation: i32,
        offset: i64,
        transactional: bool,
    },
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// Asks for what it needs next.
    Asks(usize),
    Heartbeat(usize),
    Commits(usize, bool),
    Leaves(usize),
    Arrives(Message),
    ArrivesAtOld(Message),
    AnswerLost(Message),
    GivesUp(usize),
    Crashes(usize),
    GetsStuck(usize),
    Timer(Timer),
    /// Whether that is long after everything else.
    Expiry(bool),
    FailOver,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub broker: Broker,
    pub clients: Vec<Client>,
    /// Sorted.
    pub network: Vec<Message>,
    pub left: Budget,
    pub next_member: u8,
    /// Who was given a partition in a generation.
    pub given: BTreeMap<(i32, u8), String>,
    /// The offset of the last commit that was acknowledged.
    pub committed: Option<i64>,
    pub next_offset: i64,
    pub messages: usize,
    pub ledger: Ledger,
}

impl State {
    pub fn new(bounds: Bounds) -> State {
        State {
            broker: Broker::new(),
            clients: vec![Client::default(); bounds.clients],
            network: Vec::new(),
            left: bounds.budget,
            next_member: 1,
            given: BTreeMap::new(),
            committed: None,
            next_offset: 1,
            messages: bounds.messages,
            ledger: Ledger::default(),
        }
    }

    fn send(&mut self, message: Message) {
        let at = self.network.partition_point(|other| *other < message);
        self.network.insert(at, message);
    }

    fn take(&mut self, message: &Message) {
        if let Ok(at) = self.network.binary_search(message) {
            self.network.remove(at);
        }
    }

    /// The generation that the log has.
    fn logged(&self) -> Option<i32> {
        self.broker.log.iter().find_map(|record| match record {
            Record::Group { value, .. } => value.as_ref().map(|value| value.generation),
            _ => None,
        })
    }

    fn request(&mut self, message: &Message) -> (Ticket, Request) {
        match message {
            Message::Join { ticket, member_id } => {
                let fresh = format!("m{}", self.next_member);
                self.next_member += u8::from(member_id.is_empty());
                (*ticket, Request::Join(client::join(member_id, fresh)))
            }
            Message::Sync {
                ticket,
                member_id,
                generation,
                assignments,
            } => {
                let request = client::sync(member_id, *generation, assignments);
                (*ticket, Request::Sync(request))
            }
            Message::Commit {
                member_id,
                generation,
                offset,
                transactional,
            } => (
                client::NOBODY,
                commit(member_id, *generation, *offset, *transactional),
            ),
        }
    }

    fn arrives(&mut self, message: &Message) {
        self.take(message);
        let before = self.logged();
        let (ticket, request) = self.request(message);
        let told = self.broker.request(ticket, request, &mut self.ledger);
        self.judge_commit(message, &told, before);
        self.hear(told);
    }

    fn arrives_at_old(&mut self, message: &Message) {
        self.take(message);
        let (ticket, request) = self.request(message);
        let told = self
            .broker
            .request_to_old(ticket, request, &mut self.ledger);
        if told.refused {
            self.connections_break();
        }
        if accepted(&told) {
            self.ledger.violates("GRP-2");
        }
        self.hear(told);
    }

    /// GRP-2: nobody commits for a generation that is over.
    fn judge_commit(&mut self, message: &Message, told: &Told, logged: Option<i32>) {
        let Message::Commit {
            generation,
            offset,
            transactional,
            ..
        } = message
        else {
            return;
        };
        let is_past = logged.is_some_and(|logged| *generation < logged);
        match (accepted(told), is_past) {
            (true, true) => self.ledger.violates("GRP-2"),
            (false, true) => self.ledger.event(match transactional {
                true => super::LATE_ZOMBIE,
                false => super::LATE_COMMIT,
            }),
            (true, false) if !transactional => self.committed = Some(*offset),
            _ => {}
        }
    }

    fn timer(&mut self, timer: &Timer) {
        match timer {
            Timer::Sync(_) => self.ledger.event(super::NOT_SYNCED),
            Timer::Session(..) => self.ledger.event(super::SESSION_ENDED),
            _ => {}
        }
        let told = self.broker.timer(timer, &mut self.ledger);
        self.hear(told);
    }

    /// GRP-1: nobody's offsets expire under it.
    fn expiry(&mut self, late: bool) {
        let wall_ms = if late { LATE } else { NOW };
        let timer = Timer::ExpireOffsets;
        let told = self.broker.timer_at(&timer, wall_ms, &mut self.ledger);
        self.hear(told);
        if late && self.committed.is_some() {
            self.ledger.event(super::EXPIRY_SPARES);
        }
    }

    fn fail_over(&mut self) {
        self.broker.fail_over();
        self.connections_break();
    }

    /// Nobody answers what neither is on its way nor waits at the coordinator.
    fn connections_break(&mut self) {
        let members = self.broker.core.group(GROUP).into_iter();
        let parked = members.flat_map(|group| group.members.values());
        let parked = parked.flat_map(|member| {
            let join = member.awaiting_join.map(|join| join.ticket);
            join.into_iter().chain(member.awaiting_sync)
        });
        let under_way = self.network.iter().filter_map(|message| match message {
            Message::Join { ticket, .. } | Message::Sync { ticket, .. } => Some(*ticket),
            Message::Commit { .. } => None,
        });
        let answered: Vec<Ticket> = parked.chain(under_way).collect();
        for client in &mut self.clients {
            if let Some(ticket) = client.waits.filter(|ticket| !answered.contains(ticket)) {
                client.lost_touch(ticket);
            }
        }
    }

    fn leave(&mut self, index: usize) {
        let leaver = Leaver {
            member_id: self.clients[index].member_id.clone(),
            instance_id: None,
        };
        self.clients[index] = Client::gone();
        let group = GROUP.into();
        let request = Request::Leave {
            group,
            members: vec![leaver],
        };
        let told = self
            .broker
            .request(client::NOBODY, request, &mut self.ledger);
        self.hear(told);
    }

    fn check(&mut self) {
        if self.logged().is_none() {
            // A group of that name begins anew.
            self.given.clear();
        }
        if committed(&self.broker.core) != self.committed {
            self.ledger.violates("GRP-1");
        }
    }

    fn is_populated(&self) -> bool {
        let group = self.broker.core.group(GROUP);
        group.is_some_and(|group| !group.members.is_empty())
    }
}

impl Scene for State {
    type Action = Action;

    fn actions(&self, actions: &mut Vec<Action>) {
        for (index, client) in self.clients.iter().enumerate() {
            self.client_actions(index, client, actions);
        }
        for message in &self.network {
            actions.push(Action::Arrives(message.clone()));
            if self.broker.old.is_some() {
                actions.push(Action::ArrivesAtOld(message.clone()));
            }
            if self.left.lost_answers > 0 && !matches!(message, Message::Commit { .. }) {
                actions.push(Action::AnswerLost(message.clone()));
            }
        }
        for timer in &self.broker.armed {
            let is_free = matches!(timer, Timer::Join(_)) && self.is_new_group();
            if *timer != Timer::ExpireOffsets && (is_free || self.left.timeouts > 0) {
                actions.push(Action::Timer(timer.clone()));
            }
        }
        if self.left.expiries > 0 {
            actions.push(Action::Expiry(false));
            if self.is_populated() {
                actions.push(Action::Expiry(true));
            }
        }
        if self.left.fail_overs > 0 && self.logged().is_some() {
            actions.push(Action::FailOver);
        }
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Asks(index) => self.asks(*index),
            Action::Heartbeat(index) => self.heartbeat(*index),
            Action::Commits(index, transactional) => self.commits(*index, *transactional),
            Action::Leaves(index) => {
                self.left.leaves -= 1;
                self.leave(*index);
            }
            Action::Arrives(message) => self.arrives(message),
            Action::ArrivesAtOld(message) => self.arrives_at_old(message),
            Action::AnswerLost(message) => {
                self.left.lost_answers -= 1;
                let (Message::Join { ticket, .. } | Message::Sync { ticket, .. }) = message else {
                    return;
                };
                self.clients[client::of(*ticket)].lost_touch(*ticket);
                self.arrives(message);
            }
            Action::GivesUp(index) => {
                self.left.give_ups -= 1;
                let client = &mut self.clients[*index];
                if let Some(ticket) = client.waits {
                    client.lost_touch(ticket);
                }
            }
            Action::Crashes(index) => {
                self.left.crashes -= 1;
                self.clients[*index] = Client::gone();
            }
            Action::GetsStuck(index) => {
                self.left.stuck -= 1;
                self.clients[*index].is_stuck = true;
            }
            Action::Timer(timer) => {
                let is_free = matches!(timer, Timer::Join(_)) && self.is_new_group();
                self.left.timeouts -= u8::from(!is_free);
                self.timer(timer);
            }
            Action::Expiry(late) => {
                self.left.expiries -= 1;
                self.expiry(*late);
            }
            Action::FailOver => {
                self.left.fail_overs -= 1;
                self.fail_over();
            }
        }
        self.check();
    }

    fn ledger(&self) -> &Ledger {
        &self.ledger
    }

    fn settles(&self) -> bool {
        self.comes_to_rest()
    }
}

impl State {
    /// It waits for more members, which always ends.
    fn is_new_group(&self) -> bool {
        let group = self.broker.core.group(GROUP);
        group.is_some_and(|group| group.initial_remaining_ms.is_some())
    }

    fn client_actions(&self, index: usize, client: &Client, actions: &mut Vec<Action>) {
        if client.phase == Phase::Gone {
            return;
        }
        if client.waits.is_some() {
            if self.left.give_ups > 0 {
                actions.push(Action::GivesUp(index));
            }
        } else if client.needs_to_ask()
            && self.network.len() < self.messages
            && self.clients[..index].iter().all(Client::has_asked)
        {
            actions.push(Action::Asks(index));
        }
        if client.generation().is_some() {
            actions.push(Action::Heartbeat(index));
        }
        let is_stable = matches!(client.phase, Phase::Stable { .. });
        if is_stable && self.network.len() < self.messages {
            if self.left.commits > 0 {
                actions.push(Action::Commits(index, false));
            }
            if self.left.zombies > 0 {
                actions.push(Action::Commits(index, true));
            }
        }
        if is_stable && self.left.leaves > 0 {
            actions.push(Action::Leaves(index));
        }
        if self.left.crashes > 0 && !client.member_id.is_empty() {
            actions.push(Action::Crashes(index));
        }
        if self.left.stuck > 0 && matches!(client.phase, Phase::Syncing { .. }) && !client.is_stuck
        {
            actions.push(Action::GetsStuck(index));
        }
    }
}

/// The named bounds, with what must happen somewhere in them.
pub fn bounds(name: &str) -> Option<(Bounds, &'static [&'static str])> {
    let two = Bounds {
        budget: Budget::default(),
        clients: 2,
        messages: 2,
    };
    Some(match name {
        "group-classic" => (
            Bounds {
                budget: Budget {
                    give_ups: 1,
                    commits: 1,
                    zombies: 1,
                    ..Budget::default()
                },
                ..two
            },
            &[super::SHARED, super::LATE_COMMIT, super::LATE_ZOMBIE],
        ),
        "group-classic-fail-over" => (
            Bounds {
                budget: Budget {
                    fail_overs: 1,
                    ..Budget::default()
                },
                messages: 1,
                ..two
            },
            &[super::SHARED, super::FAILED_OVER, super::OLD_COORDINATOR],
        ),
        "group-classic-lost-members" => (
            Bounds {
                budget: Budget {
                    timeouts: 1,
                    crashes: 1,
                    stuck: 1,
                    ..Budget::default()
                },
                messages: 1,
                ..two
            },
            &[super::SHARED, super::NOT_SYNCED, super::SESSION_ENDED],
        ),
        "group-classic-expiry" => (
            Bounds {
                budget: Budget {
                    leaves: 1,
                    commits: 1,
                    expiries: 1,
                    ..Budget::default()
                },
                ..two
            },
            &[super::SHARED, super::EXPIRY_SPARES],
        ),
        _ => return None,
    })
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Asks(client) => write!(formatter, "client {client} asks for what it needs"),
            Action::Heartbeat(client) => write!(formatter, "client {client} heartbeats"),
            Action::Commits(client, false) => write!(formatter, "client {client} commits"),
            Action::Commits(client, true) => {
                write!(formatter, "client {client} commits in a transaction")
            }
            Action::Leaves(client) => write!(formatter, "client {client} leaves"),
            Action::Arrives(message) => write!(formatter, "{message} arrives"),
            Action::ArrivesAtOld(message) => {
                write!(formatter, "{message} arrives at the old coordinator")
            }
            Action::AnswerLost(message) => {
                write!(formatter, "{message} arrives, its answer is lost")
            }
            Action::GivesUp(client) => write!(formatter, "client {client} waits no longer"),
            Action::Crashes(client) => write!(formatter, "client {client} crashes"),
            Action::GetsStuck(client) => {
                write!(formatter, "client {client} only heartbeats from now on")
            }
            Action::Timer(timer) => write!(formatter, "{timer:?} is over"),
            Action::Expiry(false) => write!(formatter, "retention is checked"),
            Action::Expiry(true) => write!(formatter, "retention is checked, much later"),
            Action::FailOver => write!(formatter, "another broker coordinates"),
        }
    }
}

impl fmt::Display for Message {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Message::Join { ticket, member_id } => write!(
                formatter,
                "JoinGroup of client {} as '{member_id}'",
                client::of(*ticket)
            ),
            Message::Sync {
                member_id,
                generation,
                ..
            } => write!(
                formatter,
                "SyncGroup of {member_id} in generation {generation}"
            ),
            Message::Commit {
                member_id,
                generation,
                offset,
                transactional,
            } => write!(
                formatter,
                "{} of offset {offset} by {member_id} in generation {generation}",
                if *transactional {
                    "TxnOffsetCommit"
                } else {
                    "OffsetCommit"
                }
            ),
        }
    }
}

/// Of a core's group.
fn is_stable(group: &group::ClassicGroup) -> bool {
    group.state == group::State::Stable
}
