//! One live classic group: who is in it and how far its rebalance is.

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ErrorCode;
use broker_protocol::consumer_protocol::{CONSUMER_PROTOCOL_TYPE, ConsumerProtocolSubscription};
use bytes::Bytes;

use super::message::{JoinRequest, JoinedMember, MemberContext};
use super::record::{GroupMetadata, MemberMetadata};
use crate::Ticket;

/// Kafka's states; a dead group is not there at all.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    #[default]
    Empty,
    PreparingRebalance,
    CompletingRebalance,
    Stable,
}

impl State {
    pub fn name(self) -> &'static str {
        match self {
            State::Empty => "Empty",
            State::PreparingRebalance => "PreparingRebalance",
            State::CompletingRebalance => "CompletingRebalance",
            State::Stable => "Stable",
        }
    }
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct ClassicGroup {
    pub state: State,
    /// When it came into its state.
    pub state_timestamp_ms: Option<i64>,
    pub generation: i32,
    pub protocol_type: Option<String>,
    pub protocol: Option<String>,
    pub leader: Option<String>,
    pub members: BTreeMap<String, Member>,
    /// Member id of each instance id.
    pub static_members: BTreeMap<String, String>,
    /// Ids that were given out and not used yet (KIP-394).
    pub pending_members: BTreeSet<String>,
    /// Members of this generation that have not asked for their assignment.
    pub pending_sync: BTreeSet<String>,
    /// What is left of the time that a group which was empty waits for more members; `None` in other rebalances.
    pub initial_remaining_ms: Option<u64>,
    /// Somebody came since that wait was last prolonged.
    pub new_member_added: bool,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Member {
    pub instance_id: Option<String>,
    pub client_id: String,
    pub client_host: String,
    pub rebalance_timeout_ms: i32,
    pub session_timeout_ms: i32,
    pub protocols: Vec<(String, Bytes)>,
    pub assignment: Bytes,
    pub awaiting_join: Option<AwaitingJoin>,
    pub awaiting_sync: Option<Ticket>,
    /// Does not know yet that it is one, so it sends no heartbeats.
    pub is_new: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct AwaitingJoin {
    pub ticket: Ticket,
    pub knows_skip_assignment: bool,
}

impl Member {
    pub(super) fn new(request: &JoinRequest) -> Member {
        let mut member = Member {
            instance_id: request.instance_id.clone(),
            client_id: request.client_id.clone(),
            client_host: request.client_host.clone(),
            is_new: true,
            ..Member::default()
        };
        member.update(request);
        member
    }

    pub(super) fn update(&mut self, request: &JoinRequest) {
        self.protocols.clone_from(&request.protocols);
        self.rebalance_timeout_ms = request.rebalance_timeout_ms;
        self.session_timeout_ms = request.session_timeout_ms;
    }

    pub(super) fn session_ms(&self) -> u64 {
        u64::try_from(self.session_timeout_ms).unwrap_or(0)
    }

    pub fn metadata(&self, protocol: &str) -> Bytes {
        let found = self.protocols.iter().find(|(name, _)| name == protocol);
        found.map_or_else(Bytes::new, |(_, metadata)| metadata.clone())
    }
}

impl ClassicGroup {
    /// As its record has it: stable, or empty.
    pub(super) fn from_metadata(metadata: &GroupMetadata) -> ClassicGroup {
        let protocol = metadata.protocol.clone();
        let members = metadata.members.iter().map(|member| {
            let name = protocol.clone().unwrap_or_default();
            let live = Member {
                instance_id: member.instance_id.clone(),
                client_id: member.client_id.clone(),
                client_host: member.client_host.clone(),
                rebalance_timeout_ms: member.rebalance_timeout_ms,
                session_timeout_ms: member.session_timeout_ms,
                protocols: vec![(name, member.subscription.clone())],
                assignment: member.assignment.clone(),
                ..Member::default()
            };
            (member.member_id.clone(), live)
        });
        let members: BTreeMap<String, Member> = members.collect();
        let instances = members.iter().filter_map(|(id, member)| {
            let instance = member.instance_id.clone()?;
            Some((instance, id.clone()))
        });
        let stable = !members.is_empty();
        ClassicGroup {
            state: if stable { State::Stable } else { State::Empty },
            state_timestamp_ms: metadata.state_timestamp_ms,
            generation: metadata.generation,
            protocol_type: Some(metadata.protocol_type.clone()).filter(|kind| !kind.is_empty()),
            protocol,
            leader: metadata.leader.clone(),
            static_members: instances.collect(),
            members,
            ..ClassicGroup::default()
        }
    }

    pub(super) fn to_metadata(&self) -> GroupMetadata {
        let protocol = self.protocol.clone().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| MemberMetadata {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            client_id: member.client_id.clone(),
            client_host: member.client_host.clone(),
            rebalance_timeout_ms: member.rebalance_timeout_ms,
            session_timeout_ms: member.session_timeout_ms,
            subscription: member.metadata(&protocol),
            assignment: member.assignment.clone(),
        });
        GroupMetadata {
            protocol_type: self.protocol_type.clone().unwrap_or_default(),
            generation: self.generation,
            protocol: self.protocol.clone(),
            leader: self.leader.clone(),
            state_timestamp_ms: self.state_timestamp_ms,
            members: members.collect(),
        }
    }

    pub(super) fn enter(&mut self, state: State, now_ms: i64) {
        self.state = state;
        self.state_timestamp_ms = Some(now_ms);
    }

    /// Whoever speaks for a static member must have the id that its instance has now (G-14).
    pub(super) fn check_member(
        &self,
        member_id: &str,
        instance_id: Option<&str>,
    ) -> Result<(), ErrorCode> {
        if let Some(instance) = instance_id {
            match self.static_members.get(instance) {
                None => return Err(ErrorCode::UnknownMemberId),
                Some(current) if current != member_id => return Err(ErrorCode::FencedInstanceId),
                Some(_) => {}
            }
        }
        if self.members.contains_key(member_id) {
            Ok(())
        } else {
            Err(ErrorCode::UnknownMemberId)
        }
    }

    /// A member of the current generation (GRP-2).
    pub(super) fn check_current(&self, member: &MemberContext) -> Result<(), ErrorCode> {
        self.check_member(&member.member_id, member.instance_id.as_deref())?;
        if member.generation == self.generation {
            Ok(())
        } else {
            Err(ErrorCode::IllegalGeneration)
        }
    }

    pub(super) fn add(&mut self, id: &str, member: Member) {
        if self.members.is_empty() {
            // The first one says what the group is about.
            self.leader = None;
        }
        if let Some(instance) = &member.instance_id {
            self.static_members.insert(instance.clone(), id.to_string());
        }
        if self.leader.is_none() {
            self.leader = Some(id.to_string());
        }
        self.pending_members.remove(id);
        self.members.insert(id.to_string(), member);
    }

    pub(super) fn remove(&mut self, id: &str) -> Option<Member> {
        self.pending_members.remove(id);
        self.pending_sync.remove(id);
        let member = self.members.remove(id)?;
        if let Some(instance) = &member.instance_id
            && self
                .static_members
                .get(instance)
                .is_some_and(|current| current == id)
        {
            self.static_members.remove(instance);
        }
        if self.leader.as_deref() == Some(id) {
            self.leader = self.members.keys().next().cloned();
        }
        Some(member)
    }

    pub fn is_leader(&self, id: &str) -> bool {
        self.leader.as_deref() == Some(id)
    }

    /// Longest time that any member may need to come back (KIP-62).
    pub(super) fn rebalance_ms(&self) -> u64 {
        let longest = self
            .members
            .values()
            .map(|member| member.rebalance_timeout_ms);
        u64::try_from(longest.max().unwrap_or(0)).unwrap_or(0)
    }

    pub(super) fn awaiting_join(&self) -> usize {
        let awaiting = self.members.values();
        awaiting
            .filter(|member| member.awaiting_join.is_some())
            .count()
    }

    pub(super) fn have_all_joined(&self) -> bool {
        self.awaiting_join() == self.members.len() && self.pending_members.is_empty()
    }

    /// Whether somebody with these protocols can be in the group.
    pub(super) fn supports(&self, kind: &str, protocols: &[(String, Bytes)]) -> bool {
        if self.members.is_empty() {
            return !kind.is_empty() && !protocols.is_empty();
        }
        let common = self.common_protocols();
        self.protocol_type.as_deref() == Some(kind)
            && protocols
                .iter()
                .any(|(name, _)| common.contains(name.as_str()))
    }

    fn common_protocols(&self) -> BTreeSet<&str> {
        let names = |member: &'_ Member| -> BTreeSet<String> {
            member
                .protocols
                .iter()
                .map(|(name, _)| name.clone())
                .collect()
        };
        let mut members = self.members.values();
        let Some(first) = members.next() else {
            return BTreeSet::new();
        };
        let mut common: BTreeSet<&str> = first
            .protocols
            .iter()
            .map(|(name, _)| name.as_str())
            .collect();
        for member in members {
            let theirs = names(member);
            common.retain(|name| theirs.contains(*name));
        }
        common
    }

    /// Each member votes for the first it names of those that all have.
    pub(super) fn select_protocol(&self) -> Option<String> {
        let common = self.common_protocols();
        let mut votes: BTreeMap<&str, usize> = BTreeMap::new();
        for member in self.members.values() {
            let vote = member
                .protocols
                .iter()
                .find(|(name, _)| common.contains(name.as_str()));
            if let Some((name, _)) = vote {
                *votes.entry(name).or_default() += 1;
            }
        }
        let most = votes.iter().rev().max_by_key(|(_, votes)| **votes);
        most.map(|(name, _)| (*name).to_string())
    }

    /// For the leader, which assigns.
    pub(super) fn joined_members(&self) -> Vec<JoinedMember> {
        let protocol = self.protocol.clone().unwrap_or_default();
        let members = self.members.iter().map(|(id, member)| JoinedMember {
            member_id: id.clone(),
            instance_id: member.instance_id.clone(),
            metadata: member.metadata(&protocol),
        });
        members.collect()
    }

    pub fn is_consumers(&self) -> bool {
        self.protocol_type.as_deref() == Some(CONSUMER_PROTOCOL_TYPE)
    }

    /// The topics that some member wants; `None` if that cannot be told.
    pub fn subscribed_topics(&self) -> Option<BTreeSet<String>> {
        if !self.is_consumers() {
            return None;
        }
        let protocol = self.protocol.as_deref()?;
        let mut topics = BTreeSet::new();
        for member in self.members.values() {
            let subscription = ConsumerProtocolSubscription::from_bytes(member.metadata(protocol));
            topics.extend(subscription.ok()?.topics);
        }
        Some(topics)
    }
}
