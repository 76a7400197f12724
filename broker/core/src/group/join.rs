//! JoinGroup: who comes in, and when that starts a rebalance.

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;

use super::classic::{AwaitingJoin, ClassicGroup, Member, State};
use super::consumer_group::ConsumerGroup;
use super::message::{JoinReply, JoinRequest, Reply, SyncReply, Timer};
use super::{GroupCoordinator, Step};
use crate::Ticket;

/// How long a member may wait for its first generation: it sends no heartbeats meanwhile, and its connection
/// may be gone (KAFKA-7610).
const NEW_MEMBER_JOIN_MS: u64 = 300_000;

impl GroupCoordinator {
    pub(super) fn join(&mut self, ticket: Ticket, request: JoinRequest, step: &mut Step<'_>) {
        if let Err(reply) = self.try_join(ticket, &request, step) {
            step.reply(ticket, Reply::Join(*reply));
        }
    }

    /// What is refused, or answered without waiting, is the error.
    fn try_join(
        &mut self,
        ticket: Ticket,
        request: &JoinRequest,
        step: &mut Step<'_>,
    ) -> Result<(), Box<JoinReply>> {
        let refuse = |error| Box::new(JoinReply::failed(error, &request.member_id));
        if request.group.is_empty() {
            return Err(refuse(ErrorCode::InvalidGroupId));
        }
        let sessions = self.config.min_session_timeout_ms..=self.config.max_session_timeout_ms;
        if !sessions.contains(&request.session_timeout_ms) {
            return Err(refuse(ErrorCode::InvalidSessionTimeout));
        }
        if self
            .consumer_group(&request.group)
            .is_some_and(ConsumerGroup::has_members)
        {
            return Err(refuse(ErrorCode::InconsistentGroupProtocol));
        }
        let is_unknown = request.member_id.is_empty();
        let exists = self.groups.contains_key(&request.group);
        if !exists && !is_unknown {
            return Err(refuse(ErrorCode::UnknownMemberId));
        }
        let max_size = self.config.max_size;
        let group = self.groups.entry(request.group.clone()).or_default();
        let joined = if !has_room(group, &request.member_id, max_size) {
            probe!("group: full");
            group.remove(&request.member_id);
            Err(Box::new(JoinReply::failed(
                ErrorCode::GroupMaxSizeReached,
                "",
            )))
        } else if !group.supports(&request.protocol_type, &request.protocols) {
            Err(refuse(ErrorCode::InconsistentGroupProtocol))
        } else if is_unknown {
            self.join_new(ticket, request, step)
        } else {
            self.join_known(ticket, request, step)
        };
        if !exists {
            self.settle_new_group(&request.group, step);
        }
        joined
    }

    /// The first record of a group, so that it outlives the coordinator; one that nobody got into is forgotten.
    fn settle_new_group(&mut self, id: &str, step: &mut Step<'_>) {
        let group = &self.groups[id];
        if group.members.is_empty() && group.pending_members.is_empty() {
            self.groups.remove(id);
        } else if self
            .hard
            .group(id)
            .is_none_or(|group| group.metadata.is_none())
        {
            // An empty consumer group gives way; its offsets stay.
            let mut records = self.consumer_group_tombstones(id);
            records.push(super::Record::Group {
                group: id.to_string(),
                value: Some(ClassicGroup::default().to_metadata()),
            });
            self.metadata_checked.remove(id);
            self.write(records, step);
        }
    }

    fn join_new(
        &mut self,
        ticket: Ticket,
        request: &JoinRequest,
        step: &mut Step<'_>,
    ) -> Result<(), Box<JoinReply>> {
        let group = self.groups.entry(request.group.clone()).or_default();
        let id = request.fresh_member_id.as_str();
        let Some(instance) = &request.instance_id else {
            if request.require_known_member_id {
                group.pending_members.insert(id.to_string());
                if !mutant!(G_02) {
                    let session_ms = u64::try_from(request.session_timeout_ms).unwrap_or(0);
                    step.arm(
                        Timer::Session(request.group.clone(), id.to_string()),
                        session_ms,
                    );
                }
                return Err(Box::new(JoinReply::failed(ErrorCode::MemberIdRequired, id)));
            }
            self.add_member(ticket, request, id, step);
            return Ok(());
        };
        match group.static_members.get(instance).cloned() {
            Some(before) => self.replace_static_member(ticket, request, &before, step),
            None => {
                self.add_member(ticket, request, id, step);
                Ok(())
            }
        }
    }

    fn add_member(&mut self, ticket: Ticket, request: &JoinRequest, id: &str, step: &mut Step<'_>) {
        let group = self.groups.entry(request.group.clone()).or_default();
        if group.members.is_empty() {
            group.protocol_type = Some(request.protocol_type.clone());
        }
        if group.initial_remaining_ms.is_some() {
            group.new_member_added = true;
        }
        let mut member = Member::new(request);
        member.awaiting_join = Some(awaiting(ticket, request));
        group.add(id, member);
        step.arm(
            Timer::Session(request.group.clone(), id.to_string()),
            NEW_MEMBER_JOIN_MS,
        );
        self.rebalance_or_complete(&request.group, step);
    }

    /// A static member came back under its instance id: it gets a new member id, and the old one is fenced
    /// (KIP-345). A stable group goes on in its generation unless its protocol would change.
    fn replace_static_member(
        &mut self,
        ticket: Ticket,
        request: &JoinRequest,
        before: &str,
        step: &mut Step<'_>,
    ) -> Result<(), Box<JoinReply>> {
        let id = request.fresh_member_id.as_str();
        let group = self.groups.entry(request.group.clone()).or_default();
        let leader_before = group.leader.clone().unwrap_or_default();
        let was_leader = group.is_leader(before);
        let was_pending_sync = group.pending_sync.contains(before);
        let mut member = group.remove(before).expect("the map names members");
        fence(&mut member, before, step);
        step.disarm(Timer::Session(request.group.clone(), before.to_string()));
        member.update(request);
        member.client_id.clone_from(&request.client_id);
        member.client_host.clone_from(&request.client_host);
        member.awaiting_join = Some(awaiting(ticket, request));
        step.arm(
            Timer::Session(request.group.clone(), id.to_string()),
            member.session_ms(),
        );
        group.add(id, member);
        if was_leader {
            group.leader = Some(id.to_string());
        }
        if was_pending_sync {
            group.pending_sync.insert(id.to_string());
        }
        match group.state {
            State::PreparingRebalance => self.rebalance_or_complete(&request.group, step),
            State::Stable if group.select_protocol() == group.protocol => {
                probe!("group: a static member came back into its generation");
                if let Some(member) = group.members.get_mut(id) {
                    member.awaiting_join = None;
                }
                let mut reply = joined(group, id);
                if request.knows_skip_assignment {
                    reply.skip_assignment = was_leader;
                } else {
                    // It must not assign anew, so it is not told that it leads.
                    reply.leader = leader_before;
                    reply.members.clear();
                }
                self.persist(&request.group, step);
                return Err(Box::new(reply));
            }
            _ => self.prepare_rebalance(&request.group, step),
        }
        Ok(())
    }

    fn join_known(
        &mut self,
        ticket: Ticket,
        request: &JoinRequest,
        step: &mut Step<'_>,
    ) -> Result<(), Box<JoinReply>> {
        let id = request.member_id.as_str();
        let refuse = |error| Box::new(JoinReply::failed(error, id));
        let group = self.groups.entry(request.group.clone()).or_default();
        if group.pending_members.contains(id) {
            if request.instance_id.is_some() {
                return Err(refuse(ErrorCode::UnknownMemberId));
            }
            self.add_member(ticket, request, id, step);
            return Ok(());
        }
        group
            .check_member(id, request.instance_id.as_deref())
            .map_err(refuse)?;
        let unchanged = group.members[id].protocols == request.protocols;
        let must_rebalance = match group.state {
            State::PreparingRebalance => true,
            // Its answer was lost, most likely.
            State::CompletingRebalance => !unchanged,
            // A leader joins again because something has changed that is not in its metadata.
            State::Stable => !unchanged || group.is_leader(id),
            State::Empty => return Err(refuse(ErrorCode::UnknownMemberId)),
        };
        if !must_rebalance {
            return Err(Box::new(joined(group, id)));
        }
        let member = group.members.get_mut(id).expect("checked above");
        member.update(request);
        let replaced = member.awaiting_join.replace(awaiting(ticket, request));
        if let Some(before) = replaced {
            let lost = JoinReply::failed(ErrorCode::RebalanceInProgress, id);
            step.reply(before.ticket, Reply::Join(lost));
        }
        self.rebalance_or_complete(&request.group, step);
        Ok(())
    }
}

fn awaiting(ticket: Ticket, request: &JoinRequest) -> AwaitingJoin {
    AwaitingJoin {
        ticket,
        knows_skip_assignment: request.knows_skip_assignment,
    }
}

/// Somebody else has its instance id now.
fn fence(member: &mut Member, id: &str, step: &mut Step<'_>) {
    if let Some(join) = member.awaiting_join.take() {
        let reply = JoinReply::failed(ErrorCode::FencedInstanceId, id);
        step.reply(join.ticket, Reply::Join(reply));
    }
    if let Some(sync) = member.awaiting_sync.take() {
        let reply = SyncReply::failed(ErrorCode::FencedInstanceId);
        step.reply(sync, Reply::Sync(reply));
    }
}

/// `group.max.size`: during a rebalance those that are already waiting count.
fn has_room(group: &ClassicGroup, member_id: &str, max_size: usize) -> bool {
    match group.state {
        State::Empty => true,
        State::PreparingRebalance => {
            let member = group.members.get(member_id);
            member.is_some_and(|member| member.awaiting_join.is_some())
                || group.awaiting_join() < max_size
        }
        State::CompletingRebalance | State::Stable => {
            group.members.contains_key(member_id) || group.members.len() < max_size
        }
    }
}

/// The current generation, as a member is told of it.
pub(super) fn joined(group: &ClassicGroup, id: &str) -> JoinReply {
    JoinReply {
        error: ErrorCode::None,
        member_id: id.to_string(),
        generation: group.generation,
        protocol_type: group.protocol_type.clone(),
        protocol_name: group.protocol.clone(),
        leader: group.leader.clone().unwrap_or_default(),
        skip_assignment: false,
        members: if group.is_leader(id) {
            group.joined_members()
        } else {
            Vec::new()
        },
    }
}
