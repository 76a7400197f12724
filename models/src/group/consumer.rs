//! KIP-848: members heartbeat, revoke what they have to, and are told what they may have.
//!
//! What a client really uses is its own: it lags behind what it was told, and that behind what the coordinator
//! knows. GRP-4 is judged by what clients use, as far as the coordinator has not thrown them out.
//!
//! The requests of a member arrive in their order or never, as on one connection: in KIP-848 nothing tells an old
//! `owned` from a new one within an epoch. For the same reason a client takes nothing that it was told of earlier
//! once it has said what it owns, until that is answered: the coordinator may have given it away.

mod settle;

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use broker_core::Ticket;
use broker_core::group::consumer_group::MemberState;
use broker_core::group::{
    ConsumerGroup, ConsumerHeartbeatReply, ConsumerHeartbeatRequest, Record, Reply, Request, Timer,
};
use broker_protocol::ErrorCode;

use super::broker::{Broker, GROUP, PARTITIONS, TOPIC, TOPIC_ID, Told};
use super::commits::{accepted, commit, committed};
use super::{Ledger, Scene};

const LEAVES: i32 = -1;
const LEAVES_STATIC: i32 = -2;

/// What is left of the things that are counted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Budget {
    /// A heartbeat that takes its time.
    pub slow: u8,
    /// A heartbeat is carried out, and its answer lost.
    pub lost_answers: u8,
    pub fail_overs: u8,
    /// Sessions and revocations that run out.
    pub timeouts: u8,
    pub crashes: u8,
    pub leaves: u8,
    /// A client forgets all but its id.
    pub anew: u8,
    /// A client does not revoke.
    pub stuck: u8,
    pub commits: u8,
    pub zombies: u8,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub budget: Budget,
    pub clients: usize,
    /// The first one has an instance id (KIP-345).
    pub is_static: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    pub number: usize,
    pub is_static: bool,
    /// How often it was started.
    pub starts: u8,
    pub is_up: bool,
    pub is_stuck: bool,
    pub epoch: i32,
    /// What it may have.
    pub told: BTreeSet<i32>,
    /// What it reads from.
    pub owned: BTreeSet<i32>,
    /// What it said last that it has.
    pub said: Option<BTreeSet<i32>>,
    pub under_way: Option<Heartbeat>,
    /// The coordinator that it has talked to: it does not go back to one before.
    pub knows: u8,
}

/// As it was sent.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Heartbeat {
    pub member_id: String,
    pub epoch: i32,
    /// With all that it wants.
    pub is_full: bool,
    pub owned: Option<BTreeSet<i32>>,
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Commit {
    pub member_id: String,
    pub epoch: i32,
    pub offset: i64,
    pub transactional: bool,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    Heartbeat(usize),
    HeartbeatAtOld(usize),
    AnswerLost(usize),
    Sends(usize),
    Arrives(usize),
    Reconciles(usize),
    Leaves(usize),
    Crashes(usize),
    Returns(usize),
    BeginsAnew(usize),
    GetsStuck(usize),
    Commits(usize, bool),
    CommitArrives(Commit),
    Timer(Timer),
    FailOver,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    pub broker: Broker,
    pub clients: Vec<Client>,
    pub network: BTreeSet<Commit>,
    pub left: Budget,
    pub committed: Option<i64>,
    pub next_offset: i64,
    pub ledger: Ledger,
}

impl Client {
    fn new(number: usize, is_static: bool) -> Client {
        Client {
            number,
            is_static,
            is_up: true,
            ..Client::default()
        }
    }

    pub fn member_id(&self) -> String {
        format!("c{}.{}", self.number, self.starts)
    }

    /// It has lost its place, and with it all that it read from.
    fn begins_anew(&mut self) {
        self.epoch = 0;
        self.told.clear();
        self.owned.clear();
        self.said = None;
        self.under_way = None;
    }

    fn next_heartbeat(&mut self) -> Heartbeat {
        let is_full = self.epoch == 0 || self.said.is_none();
        let news = self.said.as_ref() != Some(&self.owned);
        self.said = Some(self.owned.clone());
        Heartbeat {
            member_id: self.member_id(),
            epoch: self.epoch,
            is_full,
            owned: news.then(|| self.owned.clone()),
        }
    }

    fn hears(&mut self, answer: Result<ConsumerHeartbeatReply, ErrorCode>) {
        match answer {
            Ok(reply) => {
                self.epoch = reply.member_epoch;
                if let Some(assignment) = reply.assignment {
                    self.told = assignment.get(&TOPIC_ID).cloned().unwrap_or_default();
                }
            }
            // Somebody with its instance id is not known to be gone; it comes again.
            Err(ErrorCode::UnreleasedInstanceId) => self.said = None,
            Err(ErrorCode::FencedInstanceId) => self.stops(),
            Err(_) if self.is_stuck => self.stops(),
            Err(_) => self.begins_anew(),
        }
    }

    fn stops(&mut self) {
        self.begins_anew();
        self.is_up = false;
    }
}

impl State {
    pub fn new(bounds: Bounds) -> State {
        let clients = (0..bounds.clients)
            .map(|number| Client::new(number, bounds.is_static && number == 0))
            .collect();
        State {
            broker: Broker::new(),
            clients,
            network: BTreeSet::new(),
            left: bounds.budget,
            committed: None,
            next_offset: 1,
            ledger: Ledger::default(),
        }
    }

    fn group(&self) -> &ConsumerGroup {
        self.broker.core.hard().consumers(GROUP)
    }

    fn request_of(&self, index: usize, heartbeat: &Heartbeat) -> Request {
        let client = &self.clients[index];
        let owned = heartbeat.owned.as_ref().map(|owned| {
            let mut partitions = BTreeMap::new();
            if !owned.is_empty() {
                partitions.insert(TOPIC_ID, owned.clone());
            }
            partitions
        });
        Request::ConsumerHeartbeat(ConsumerHeartbeatRequest {
            group: GROUP.into(),
            member_id: heartbeat.member_id.clone(),
            member_epoch: heartbeat.epoch,
            instance_id: client.is_static.then(|| "i".into()),
            rebalance_timeout_ms: if heartbeat.is_full { 60_000 } else { -1 },
            topics: heartbeat.is_full.then(|| [TOPIC.to_string()].into()),
            owned,
            ..ConsumerHeartbeatRequest::default()
        })
    }

    fn carried_out(
        &mut self,
        index: usize,
        heartbeat: &Heartbeat,
    ) -> Result<ConsumerHeartbeatReply, ErrorCode> {
        let request = self.request_of(index, heartbeat);
        self.clients[index].knows = self.broker.fail_overs;
        let told = self.broker.request(Ticket(0), request, &mut self.ledger);
        let answer = answer(told).expect("answered at once");
        self.note(index, &answer);
        answer
    }

    fn note(&mut self, index: usize, answer: &Result<ConsumerHeartbeatReply, ErrorCode>) {
        let group = self.broker.core.hard().consumers(GROUP);
        let waits = |member: &broker_core::group::consumer_group::CurrentAssignment| {
            member.state == MemberState::UnreleasedPartitions
        };
        let ledger = &mut self.ledger;
        if group.current.values().any(waits) {
            ledger.event(super::WAITS_FOR_RELEASE);
        }
        match answer {
            Ok(reply) if reply.member_epoch > 0 => {
                if self.broker.fail_overs > 0 {
                    ledger.event(super::FAILED_OVER);
                }
                if self.clients[index].starts > 0 && reply.assignment.is_some() {
                    ledger.event(super::BACK);
                }
            }
            Err(ErrorCode::FencedMemberEpoch) => ledger.event(super::FENCED),
            _ => {}
        }
    }

    pub fn heartbeat(&mut self, index: usize) {
        let heartbeat = self.clients[index].next_heartbeat();
        let answer = self.carried_out(index, &heartbeat);
        self.clients[index].hears(answer);
    }

    fn heartbeat_at_old(&mut self, index: usize) {
        let heartbeat = self.clients[index].next_heartbeat();
        let request = self.request_of(index, &heartbeat);
        let told = self
            .broker
            .request_to_old(Ticket(0), request, &mut self.ledger);
        match answer(told) {
            Some(answer) => self.clients[index].hears(answer),
            None => self.clients[index].said = None,
        }
    }

    fn answer_lost(&mut self, index: usize) {
        let heartbeat = self.clients[index].next_heartbeat();
        let _lost = self.carried_out(index, &heartbeat);
        // It says all of it again.
        self.clients[index].said = None;
    }

    fn arrives(&mut self, index: usize) {
        let Some(heartbeat) = self.clients[index].under_way.take() else {
            return;
        };
        let answer = self.carried_out(index, &heartbeat);
        let client = &mut self.clients[index];
        if client.is_up && client.member_id() == heartbeat.member_id {
            client.hears(answer);
        }
    }

    fn leaves(&mut self, index: usize) {
        let client = &self.clients[index];
        let heartbeat = Heartbeat {
            member_id: client.member_id(),
            epoch: if client.is_static {
                LEAVES_STATIC
            } else {
                LEAVES
            },
            is_full: false,
            owned: None,
        };
        let _farewell = self.carried_out(index, &heartbeat);
        self.clients[index].stops();
    }

    fn commits(&mut self, index: usize, transactional: bool) {
        match transactional {
            true => self.left.zombies -= 1,
            false => self.left.commits -= 1,
        }
        let client = &self.clients[index];
        self.network.insert(Commit {
            member_id: client.member_id(),
            epoch: client.epoch,
            offset: self.next_offset,
            transactional,
        });
        self.next_offset += 1;
    }

    /// GRP-2: nobody commits in an epoch that is not its own.
    fn commit_arrives(&mut self, it: &Commit) {
        self.network.remove(it);
        let epoch = self.logged_epoch(&it.member_id);
        let request = commit(&it.member_id, it.epoch, it.offset, it.transactional);
        let told = self.broker.request(Ticket(0), request, &mut self.ledger);
        match (accepted(&told), epoch == Some(it.epoch)) {
            (true, false) => self.ledger.violates("GRP-2"),
            (true, true) if !it.transactional => self.committed = Some(it.offset),
            (false, false) => self.ledger.event(match it.transactional {
                true => super::LATE_ZOMBIE,
                false => super::LATE_COMMIT,
            }),
            _ => {}
        }
    }

    /// A member's epoch as the log has it.
    fn logged_epoch(&self, member_id: &str) -> Option<i32> {
        self.broker.log.iter().find_map(|record| match record {
            Record::CurrentAssignment { member, value, .. } if member == member_id => {
                Some(value.as_ref()?.epoch)
            }
            _ => None,
        })
    }

    pub fn timer(&mut self, timer: &Timer) {
        let before = self.group().subscriptions.len();
        self.broker.timer(timer, &mut self.ledger);
        if self.group().subscriptions.len() < before {
            self.ledger.event(match timer {
                Timer::Revocation(..) => super::NOT_REVOKED,
                _ => super::SESSION_ENDED,
            });
        }
    }

    fn check(&mut self) {
        let group = self.broker.core.hard().consumers(GROUP);
        let mut owners = BTreeMap::new();
        let members = self
            .clients
            .iter()
            .filter(|client| group.subscriptions.contains_key(&client.member_id()));
        for client in members {
            for partition in &client.owned {
                if owners.insert(*partition, client.number).is_some() {
                    self.ledger.violates("GRP-4");
                }
            }
        }
        if owners.values().collect::<BTreeSet<_>>().len() > 1 {
            self.ledger.event(super::SHARED);
        }
        if committed(&self.broker.core) != self.committed {
            self.ledger.violates("GRP-1");
        }
    }
}

fn answer(told: Told) -> Option<Result<ConsumerHeartbeatReply, ErrorCode>> {
    told.replies.into_iter().find_map(|(_, reply)| match reply {
        Reply::ConsumerHeartbeat(answer) => Some(answer),
        _ => None,
    })
}

impl Scene for State {
    type Action = Action;

    fn actions(&self, actions: &mut Vec<Action>) {
        for (index, client) in self.clients.iter().enumerate() {
            if client.under_way.is_some() {
                actions.push(Action::Arrives(index));
            } else if client.is_up {
                self.client_actions(index, client, actions);
            } else if client.is_static && client.starts == 0 {
                actions.push(Action::Returns(index));
            }
        }
        for it in &self.network {
            actions.push(Action::CommitArrives(it.clone()));
        }
        for timer in &self.broker.armed {
            if *timer != Timer::ExpireOffsets && self.left.timeouts > 0 {
                actions.push(Action::Timer(timer.clone()));
            }
        }
        if self.left.fail_overs > 0 && self.group().exists() {
            actions.push(Action::FailOver);
        }
    }

    fn apply(&mut self, action: &Action) {
        match action {
            Action::Heartbeat(index) => self.heartbeat(*index),
            Action::HeartbeatAtOld(index) => self.heartbeat_at_old(*index),
            Action::AnswerLost(index) => {
                self.left.lost_answers -= 1;
                self.answer_lost(*index);
            }
            Action::Sends(index) => {
                self.left.slow -= 1;
                let heartbeat = self.clients[*index].next_heartbeat();
                self.clients[*index].under_way = Some(heartbeat);
            }
            Action::Arrives(index) => self.arrives(*index),
            Action::Reconciles(index) => {
                let client = &mut self.clients[*index];
                client.owned.clone_from(&client.told);
            }
            Action::Leaves(index) => {
                self.left.leaves -= 1;
                self.leaves(*index);
            }
            Action::Crashes(index) => {
                self.left.crashes -= 1;
                self.clients[*index].stops();
            }
            Action::Returns(index) => {
                let client = &mut self.clients[*index];
                client.starts += 1;
                client.is_up = true;
            }
            Action::BeginsAnew(index) => {
                self.left.anew -= 1;
                self.clients[*index].begins_anew();
            }
            Action::GetsStuck(index) => {
                self.left.stuck -= 1;
                self.clients[*index].is_stuck = true;
            }
            Action::Commits(index, transactional) => self.commits(*index, *transactional),
            Action::CommitArrives(it) => self.commit_arrives(it),
            Action::Timer(timer) => {
                self.left.timeouts -= 1;
                self.timer(timer);
            }
            Action::FailOver => {
                self.left.fail_overs -= 1;
                self.broker.fail_over();
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
    fn client_actions(&self, index: usize, client: &Client, actions: &mut Vec<Action>) {
        let left = &self.left;
        actions.push(Action::Heartbeat(index));
        if self.broker.old.is_some() && client.knows < self.broker.fail_overs {
            actions.push(Action::HeartbeatAtOld(index));
        }
        if left.lost_answers > 0 {
            actions.push(Action::AnswerLost(index));
        }
        if left.slow > 0 {
            actions.push(Action::Sends(index));
        }
        if client.owned != client.told && client.said.is_some() && !client.is_stuck {
            actions.push(Action::Reconciles(index));
        }
        if client.epoch == 0 {
            return;
        }
        let counted = [
            (left.leaves, Action::Leaves(index)),
            (left.crashes, Action::Crashes(index)),
            (left.anew, Action::BeginsAnew(index)),
            (left.commits, Action::Commits(index, false)),
            (left.zombies, Action::Commits(index, true)),
        ];
        let possible = counted.into_iter().filter(|(left, _)| *left > 0);
        actions.extend(possible.map(|(_, action)| action));
        if left.stuck > 0 && !client.is_stuck {
            actions.push(Action::GetsStuck(index));
        }
    }
}

/// The named bounds, with what must happen somewhere in them.
pub fn bounds(name: &str) -> Option<(Bounds, &'static [&'static str])> {
    let two = Bounds {
        budget: Budget::default(),
        clients: 2,
        is_static: false,
    };
    Some(match name {
        "group-consumer" => (
            Bounds {
                budget: Budget {
                    slow: 1,
                    lost_answers: 1,
                    timeouts: 1,
                    ..Budget::default()
                },
                ..two
            },
            &[
                super::SHARED,
                super::WAITS_FOR_RELEASE,
                super::SESSION_ENDED,
            ],
        ),
        "group-consumer-commits" => (
            Bounds {
                budget: Budget {
                    commits: 1,
                    zombies: 1,
                    ..Budget::default()
                },
                ..two
            },
            &[super::SHARED, super::LATE_COMMIT, super::LATE_ZOMBIE],
        ),
        "group-consumer-fail-over" => (
            Bounds {
                budget: Budget {
                    lost_answers: 1,
                    fail_overs: 1,
                    anew: 1,
                    ..Budget::default()
                },
                ..two
            },
            &[super::SHARED, super::FAILED_OVER, super::OLD_COORDINATOR],
        ),
        "group-consumer-fenced" => (
            Bounds {
                budget: Budget {
                    lost_answers: 2,
                    leaves: 1,
                    ..Budget::default()
                },
                ..two
            },
            &[super::SHARED, super::FENCED],
        ),
        "group-consumer-static" => (
            Bounds {
                budget: Budget {
                    timeouts: 1,
                    crashes: 1,
                    leaves: 1,
                    stuck: 1,
                    ..Budget::default()
                },
                is_static: true,
                ..two
            },
            &[
                super::SHARED,
                super::BACK,
                super::NOT_REVOKED,
                super::SESSION_ENDED,
            ],
        ),
        _ => return None,
    })
}

impl fmt::Display for Action {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Action::Heartbeat(client) => write!(formatter, "client {client} heartbeats"),
            Action::HeartbeatAtOld(client) => {
                write!(
                    formatter,
                    "client {client} heartbeats at the old coordinator"
                )
            }
            Action::AnswerLost(client) => {
                write!(formatter, "client {client} heartbeats, the answer is lost")
            }
            Action::Sends(client) => write!(formatter, "client {client} sends a heartbeat"),
            Action::Arrives(client) => {
                write!(formatter, "the heartbeat of client {client} arrives")
            }
            Action::Reconciles(client) => {
                write!(formatter, "client {client} takes and gives up partitions")
            }
            Action::Leaves(client) => write!(formatter, "client {client} leaves"),
            Action::Crashes(client) => write!(formatter, "client {client} crashes"),
            Action::Returns(client) => write!(formatter, "client {client} is started again"),
            Action::BeginsAnew(client) => write!(formatter, "client {client} begins anew"),
            Action::GetsStuck(client) => {
                write!(formatter, "client {client} gives up nothing from now on")
            }
            Action::Commits(client, false) => write!(formatter, "client {client} commits"),
            Action::Commits(client, true) => {
                write!(formatter, "client {client} commits in a transaction")
            }
            Action::CommitArrives(it) => write!(
                formatter,
                "{} of offset {} by {} in epoch {} arrives",
                if it.transactional {
                    "TxnOffsetCommit"
                } else {
                    "OffsetCommit"
                },
                it.offset,
                it.member_id,
                it.epoch
            ),
            Action::Timer(timer) => write!(formatter, "{timer:?} is over"),
            Action::FailOver => write!(formatter, "another broker coordinates"),
        }
    }
}

/// All partitions.
fn all() -> BTreeSet<i32> {
    (0..PARTITIONS).collect()
}
