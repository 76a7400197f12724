//! SyncGroup, Heartbeat, LeaveGroup: members of a generation.

use std::collections::BTreeMap;

use broker_protocol::ErrorCode;
use bytes::Bytes;

use super::classic::{ClassicGroup, State};
use super::message::{Leaver, MemberContext, Reply, SyncReply, SyncRequest, Timer};
use super::{GroupCoordinator, Step};
use crate::Ticket;

impl GroupCoordinator {
    pub(super) fn sync(&mut self, ticket: Ticket, request: SyncRequest, step: &mut Step<'_>) {
        if let Err(error) = self.try_sync(ticket, request, step) {
            step.reply(ticket, Reply::Sync(SyncReply::failed(error)));
        }
    }

    fn try_sync(
        &mut self,
        ticket: Ticket,
        request: SyncRequest,
        step: &mut Step<'_>,
    ) -> Result<(), ErrorCode> {
        let group = self.existing(&request.group)?;
        group.check_current(&request.member)?;
        let differs =
            |theirs: &Option<String>, ours: &Option<String>| theirs.is_some() && theirs != ours;
        if differs(&request.protocol_type, &group.protocol_type)
            || differs(&request.protocol_name, &group.protocol)
        {
            return Err(ErrorCode::InconsistentGroupProtocol);
        }
        let member_id = request.member.member_id;
        match group.state {
            State::Empty => return Err(ErrorCode::UnknownMemberId),
            State::PreparingRebalance => return Err(ErrorCode::RebalanceInProgress),
            State::CompletingRebalance => {
                let member = group.members.get_mut(&member_id).expect("checked above");
                if let Some(before) = member.awaiting_sync.replace(ticket) {
                    let lost = SyncReply::failed(ErrorCode::RebalanceInProgress);
                    step.reply(before, Reply::Sync(lost));
                }
                group.pending_sync.remove(&member_id);
                if group.is_leader(&member_id) {
                    self.assign(&request.group, request.assignments, step);
                }
            }
            State::Stable => {
                group.pending_sync.remove(&member_id);
                step.reply(ticket, Reply::Sync(synced(group, &member_id)));
                let session = Timer::Session(request.group.clone(), member_id.clone());
                step.arm(session, group.members[&member_id].session_ms());
            }
        }
        self.disarm_sync_if_done(&request.group, step);
        Ok(())
    }

    fn disarm_sync_if_done(&mut self, id: &str, step: &mut Step<'_>) {
        if self.groups[id].pending_sync.is_empty() {
            step.disarm(Timer::Sync(id.to_string()));
        }
    }

    /// The leader has spoken: the generation is in the log before anybody learns of its assignment.
    fn assign(&mut self, id: &str, assignments: Vec<(String, Bytes)>, step: &mut Step<'_>) {
        let mut assignments: BTreeMap<String, Bytes> = assignments.into_iter().collect();
        let group = self.groups.get_mut(id).expect("it completes a rebalance");
        for (member_id, member) in &mut group.members {
            member.assignment = assignments.remove(member_id).unwrap_or_default();
        }
        group.enter(State::Stable, step.now_ms);
        self.persist(id, step);
        let group = self.groups.get_mut(id).expect("still there");
        let waiting = group.members.iter_mut().filter_map(|(member_id, member)| {
            Some((member_id.clone(), member.awaiting_sync.take()?))
        });
        let waiting: Vec<(String, Ticket)> = waiting.collect();
        for (member_id, ticket) in waiting {
            step.reply(ticket, Reply::Sync(synced(group, &member_id)));
            let session_ms = group.members[&member_id].session_ms();
            step.arm(Timer::Session(id.to_string(), member_id), session_ms);
        }
    }

    pub(super) fn heartbeat(
        &mut self,
        id: &str,
        member: &MemberContext,
        step: &mut Step<'_>,
    ) -> Result<(), ErrorCode> {
        let group = self.existing(id)?;
        group.check_current(member)?;
        if group.state == State::Empty {
            return Err(ErrorCode::UnknownMemberId);
        }
        let session_ms = group.members[&member.member_id].session_ms();
        step.arm(
            Timer::Session(id.to_string(), member.member_id.clone()),
            session_ms,
        );
        if group.state == State::PreparingRebalance {
            return Err(ErrorCode::RebalanceInProgress);
        }
        Ok(())
    }

    pub(super) fn leave(
        &mut self,
        id: &str,
        members: &[Leaver],
        step: &mut Step<'_>,
    ) -> Result<Vec<ErrorCode>, ErrorCode> {
        self.existing(id)?;
        let generation = self.groups[id].generation;
        let mut left = false;
        let errors = members.iter().map(|leaver| {
            let gone = self.leave_one(id, leaver, step);
            left |= gone.is_ok();
            gone.err().unwrap_or(ErrorCode::None)
        });
        let errors = errors.collect();
        if left && self.groups[id].generation == generation {
            self.after_removal(id, step);
        }
        Ok(errors)
    }

    fn leave_one(
        &mut self,
        id: &str,
        leaver: &Leaver,
        step: &mut Step<'_>,
    ) -> Result<(), ErrorCode> {
        let group = self.groups.get_mut(id).expect("checked by the caller");
        let by_instance = leaver
            .instance_id
            .as_ref()
            .filter(|_| leaver.member_id.is_empty());
        let member_id = match by_instance {
            Some(instance) => {
                let current = group.static_members.get(instance).cloned();
                current.ok_or(ErrorCode::UnknownMemberId)?
            }
            None => leaver.member_id.clone(),
        };
        if !group.pending_members.contains(&member_id) {
            group.check_member(&member_id, leaver.instance_id.as_deref())?;
        }
        group.pending_members.remove(&member_id);
        self.drop_member(id, &member_id, step);
        Ok(())
    }

    /// The coordinator knows no group that never had a member.
    pub(super) fn existing(&mut self, id: &str) -> Result<&mut ClassicGroup, ErrorCode> {
        if id.is_empty() {
            return Err(ErrorCode::InvalidGroupId);
        }
        self.groups.get_mut(id).ok_or(ErrorCode::UnknownMemberId)
    }
}

fn synced(group: &ClassicGroup, member_id: &str) -> SyncReply {
    SyncReply {
        error: ErrorCode::None,
        protocol_type: group.protocol_type.clone(),
        protocol_name: group.protocol.clone(),
        assignment: group.members[member_id].assignment.clone(),
    }
}
