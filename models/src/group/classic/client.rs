//! A member as Kafka's consumer drives it.

use broker_core::Ticket;
use broker_core::group::{JoinReply, JoinRequest, JoinedMember, MemberContext, Reply, Request};
use broker_core::group::{SyncReply, SyncRequest};
use broker_protocol::ErrorCode;
use broker_protocol::consumer_protocol::{CONSUMER_PROTOCOL_TYPE, ConsumerProtocolSubscription};

use super::{Message, State};
use crate::group::broker::{GROUP, PARTITIONS, TOPIC, Told};

/// Nobody waits for the answer.
pub const NOBODY: Ticket = Ticket(u64::MAX);
const ATTEMPTS: u64 = 16;

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub enum Phase {
    #[default]
    Joining,
    Syncing {
        generation: i32,
        /// If it leads.
        assignments: Vec<(String, Vec<u8>)>,
    },
    Stable {
        generation: i32,
        partitions: Vec<u8>,
    },
    /// Crashed, or left.
    Gone,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Client {
    pub member_id: String,
    pub phase: Phase,
    pub waits: Option<Ticket>,
    pub is_stuck: bool,
    /// Requests that it has stopped waiting for.
    attempts: u64,
}

impl Client {
    pub fn gone() -> Client {
        Client {
            phase: Phase::Gone,
            ..Client::default()
        }
    }

    pub fn lost_touch(&mut self, ticket: Ticket) {
        if self.waits == Some(ticket) {
            self.waits = None;
            self.attempts += 1;
        }
    }

    pub fn needs_to_ask(&self) -> bool {
        let needs = matches!(self.phase, Phase::Joining | Phase::Syncing { .. });
        needs && !self.is_stuck && self.waits.is_none()
    }

    /// Clients begin in their order: they are all the same.
    pub fn has_asked(&self) -> bool {
        !self.member_id.is_empty()
            || self.waits.is_some()
            || self.attempts > 0
            || self.phase != Phase::Joining
    }

    pub fn generation(&self) -> Option<i32> {
        match self.phase {
            Phase::Syncing { generation, .. } | Phase::Stable { generation, .. } => {
                Some(generation)
            }
            Phase::Joining | Phase::Gone => None,
        }
    }

    /// The group goes on without it as it is.
    fn starts_again(&mut self, error: ErrorCode) {
        if self.is_stuck {
            if error != ErrorCode::RebalanceInProgress {
                *self = Client::gone();
            }
            return;
        }
        if error == ErrorCode::UnknownMemberId {
            self.member_id.clear();
        }
        self.phase = Phase::Joining;
    }

    fn joined(&mut self, reply: JoinReply) {
        self.waits = None;
        match reply.error {
            ErrorCode::None => {
                let leads = reply.leader == reply.member_id;
                self.member_id = reply.member_id;
                self.phase = Phase::Syncing {
                    generation: reply.generation,
                    assignments: if leads {
                        split(&reply.members)
                    } else {
                        Vec::new()
                    },
                };
            }
            ErrorCode::MemberIdRequired => self.member_id = reply.member_id,
            error => self.starts_again(error),
        }
    }
}

/// The client that a ticket is of.
pub fn of(ticket: Ticket) -> usize {
    usize::try_from(ticket.0 / ATTEMPTS).unwrap_or(usize::MAX)
}

/// The leader's decision: one partition after the other, in turns.
fn split(members: &[JoinedMember]) -> Vec<(String, Vec<u8>)> {
    let mut assignments: Vec<(String, Vec<u8>)> = members
        .iter()
        .map(|member| (member.member_id.clone(), Vec::new()))
        .collect();
    for partition in 0..PARTITIONS.unsigned_abs() {
        let partition = u8::try_from(partition).expect("few partitions");
        let turn = usize::from(partition) % assignments.len();
        assignments[turn].1.push(partition);
    }
    assignments
}

pub fn join(member_id: &str, fresh_member_id: String) -> JoinRequest {
    let subscription = ConsumerProtocolSubscription {
        topics: vec![TOPIC.into()],
        ..ConsumerProtocolSubscription::default()
    };
    JoinRequest {
        group: GROUP.into(),
        member_id: member_id.into(),
        fresh_member_id,
        instance_id: None,
        client_id: String::new(),
        client_host: String::new(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: CONSUMER_PROTOCOL_TYPE.into(),
        protocols: vec![("range".into(), subscription.to_bytes())],
        require_known_member_id: true,
        knows_skip_assignment: true,
    }
}

pub fn sync(member_id: &str, generation: i32, assignments: &[(String, Vec<u8>)]) -> SyncRequest {
    let assigned = assignments.iter().cloned();
    SyncRequest {
        group: GROUP.into(),
        member: context(member_id, generation),
        protocol_type: None,
        protocol_name: None,
        assignments: assigned
            .map(|(member, partitions)| (member, partitions.into()))
            .collect(),
    }
}

fn context(member_id: &str, generation: i32) -> MemberContext {
    MemberContext {
        member_id: member_id.into(),
        instance_id: None,
        generation,
    }
}

impl State {
    pub(super) fn asks(&mut self, index: usize) {
        let client = &mut self.clients[index];
        let base = u64::try_from(index).expect("few clients") * ATTEMPTS;
        let ticket = Ticket(base + client.attempts % ATTEMPTS);
        client.waits = Some(ticket);
        let member_id = client.member_id.clone();
        let message = match &client.phase {
            Phase::Syncing {
                generation,
                assignments,
            } => Message::Sync {
                ticket,
                member_id,
                generation: *generation,
                assignments: assignments.clone(),
            },
            _ => Message::Join { ticket, member_id },
        };
        self.send(message);
    }

    pub(super) fn heartbeat(&mut self, index: usize) {
        let client = &self.clients[index];
        let Some(generation) = client.generation() else {
            return;
        };
        let request = Request::Heartbeat {
            group: GROUP.into(),
            member: context(&client.member_id, generation),
        };
        let told = self.broker.request(NOBODY, request, &mut self.ledger);
        let error = told.replies.iter().find_map(|(_, reply)| match reply {
            Reply::Heartbeat(error) => Some(*error),
            _ => None,
        });
        match error.expect("answered at once") {
            ErrorCode::None => {
                if self.broker.fail_overs > 0 {
                    self.ledger.event(crate::group::FAILED_OVER);
                }
            }
            // It will hear of it with what it waits for.
            _ if self.clients[index].waits.is_some() => {}
            error => self.clients[index].starts_again(error),
        }
        self.hear(told);
    }

    pub(super) fn commits(&mut self, index: usize, transactional: bool) {
        match transactional {
            true => self.left.zombies -= 1,
            false => self.left.commits -= 1,
        }
        let client = &self.clients[index];
        let Some(generation) = client.generation() else {
            return;
        };
        let message = Message::Commit {
            member_id: client.member_id.clone(),
            generation,
            offset: self.next_offset,
            transactional,
        };
        self.next_offset += 1;
        self.send(message);
    }

    pub(super) fn hear(&mut self, told: Told) {
        for (ticket, reply) in told.replies {
            let Some(client) = self.clients.get_mut(of(ticket)) else {
                continue;
            };
            if client.waits != Some(ticket) {
                continue;
            }
            match reply {
                Reply::Join(reply) => client.joined(reply),
                Reply::Sync(reply) => self.synced(of(ticket), &reply),
                other => panic!("{other:?}"),
            }
        }
    }

    fn synced(&mut self, index: usize, reply: &SyncReply) {
        let client = &mut self.clients[index];
        client.waits = None;
        if reply.error != ErrorCode::None {
            client.starts_again(reply.error);
            return;
        }
        let generation = client.generation().expect("it asked in a generation");
        let partitions = reply.assignment.to_vec();
        for partition in &partitions {
            let owner = self
                .given
                .entry((generation, *partition))
                .or_insert_with(|| client.member_id.clone());
            if *owner != client.member_id {
                self.ledger.violates("GRP-4");
            }
        }
        client.phase = Phase::Stable {
            generation,
            partitions,
        };
        self.note(generation);
    }

    fn note(&mut self, generation: i32) {
        let of_generation = self.given.range((generation, 0)..(generation + 1, 0));
        let mut owners: Vec<&String> = of_generation.map(|(_, owner)| owner).collect();
        owners.dedup();
        if owners.len() > 1 {
            self.ledger.event(crate::group::SHARED);
        }
    }
}
