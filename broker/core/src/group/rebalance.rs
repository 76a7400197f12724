//! A rebalance, from its start to the next generation, and what bounds each wait in it.

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;

use super::classic::State;
use super::join::joined;
use super::message::{JoinReply, Reply, SyncReply, Timer};
use super::{GroupCoordinator, Step};

impl GroupCoordinator {
    /// Somebody came, came back or left.
    pub(super) fn rebalance_or_complete(&mut self, id: &str, step: &mut Step<'_>) {
        match self.groups[id].state {
            State::PreparingRebalance => self.complete_if_all_joined(id, step),
            State::Empty | State::CompletingRebalance | State::Stable => {
                self.prepare_rebalance(id, step);
            }
        }
    }

    pub(super) fn prepare_rebalance(&mut self, id: &str, step: &mut Step<'_>) {
        let initial_delay_ms = self.config.initial_rebalance_delay_ms;
        let group = self.groups.get_mut(id).expect("it rebalances");
        if group.state == State::CompletingRebalance {
            for member in group.members.values_mut() {
                member.assignment.clear();
                if let Some(ticket) = member.awaiting_sync.take() {
                    let reply = SyncReply::failed(ErrorCode::RebalanceInProgress);
                    step.reply(ticket, Reply::Sync(reply));
                }
            }
        }
        group.pending_sync.clear();
        step.disarm(Timer::Sync(id.to_string()));
        let was_empty = group.state == State::Empty;
        group.enter(State::PreparingRebalance, step.now_ms);
        if was_empty {
            let remaining = group.rebalance_ms().saturating_sub(initial_delay_ms);
            group.initial_remaining_ms = Some(remaining);
            group.new_member_added = false;
            step.arm(Timer::Join(id.to_string()), initial_delay_ms);
        } else if group.have_all_joined() {
            self.complete_join(id, step);
        } else {
            step.arm(Timer::Join(id.to_string()), group.rebalance_ms());
        }
    }

    pub(super) fn complete_if_all_joined(&mut self, id: &str, step: &mut Step<'_>) {
        let group = &self.groups[id];
        let is_due = group.state == State::PreparingRebalance
            && group.initial_remaining_ms.is_none()
            && group.have_all_joined();
        if is_due {
            self.complete_join(id, step);
        }
    }

    pub(super) fn on_join_timer(&mut self, id: &str, step: &mut Step<'_>) {
        let delay_ms = self.config.initial_rebalance_delay_ms;
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        if group.state != State::PreparingRebalance {
            return;
        }
        match group.initial_remaining_ms {
            Some(remaining) if group.new_member_added && remaining > 0 => {
                probe!("group: the first rebalance waits for more members");
                group.new_member_added = false;
                group.initial_remaining_ms = Some(remaining.saturating_sub(delay_ms));
                step.arm(Timer::Join(id.to_string()), delay_ms.min(remaining));
            }
            _ => self.complete_join(id, step),
        }
    }

    /// Ends the join phase: who has not come back is out, unless it is static; the others are told of the next
    /// generation.
    fn complete_join(&mut self, id: &str, step: &mut Step<'_>) {
        step.disarm(Timer::Join(id.to_string()));
        let group = self.groups.get_mut(id).expect("it rebalances");
        group.initial_remaining_ms = None;
        let missing = group
            .members
            .iter()
            .filter(|(_, member)| member.awaiting_join.is_none() && member.instance_id.is_none());
        let missing: Vec<String> = missing.map(|(id, _)| id.clone()).collect();
        for member in &missing {
            probe!("group: a member did not come back in time");
            group.remove(member);
            step.disarm(Timer::Session(id.to_string(), member.clone()));
        }
        if !group.members.is_empty() && !self.elect_joined_leader(id) {
            // Only static members are left, and none is here; their sessions will end.
            let group = &self.groups[id];
            step.arm(Timer::Join(id.to_string()), group.rebalance_ms().max(1));
            return;
        }
        self.next_generation(id, step);
    }

    fn elect_joined_leader(&mut self, id: &str) -> bool {
        let group = self.groups.get_mut(id).expect("it rebalances");
        let has_joined = |member: &String| {
            let member = group.members.get(member);
            member.is_some_and(|member| member.awaiting_join.is_some())
        };
        if group.leader.as_ref().is_some_and(has_joined) {
            return true;
        }
        let next = group
            .members
            .keys()
            .find(|member| has_joined(member))
            .cloned();
        match next {
            Some(next) => {
                group.leader = Some(next);
                true
            }
            None => false,
        }
    }

    fn next_generation(&mut self, id: &str, step: &mut Step<'_>) {
        let group = self.groups.get_mut(id).expect("it rebalances");
        group.generation = group.generation.checked_add(1).unwrap_or(1);
        group.protocol = group.select_protocol();
        if group.members.is_empty() {
            group.leader = None;
            group.enter(State::Empty, step.now_ms);
            self.persist(id, step);
            return;
        }
        group.enter(State::CompletingRebalance, step.now_ms);
        group.pending_sync = group.members.keys().cloned().collect();
        let members: Vec<String> = group.members.keys().cloned().collect();
        for member_id in members {
            let reply = joined(group, &member_id);
            let member = group.members.get_mut(&member_id).expect("listed above");
            member.is_new = false;
            let session = Timer::Session(id.to_string(), member_id);
            step.arm(session, member.session_ms());
            if let Some(join) = member.awaiting_join.take() {
                step.reply(join.ticket, Reply::Join(reply));
            }
        }
        if !mutant!(G_01) {
            step.arm(Timer::Sync(id.to_string()), group.rebalance_ms());
        }
    }

    /// Heartbeats alone must not keep a member that never asks for its assignment (KAFKA-12890).
    pub(super) fn on_sync_timer(&mut self, id: &str, step: &mut Step<'_>) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        let late = std::mem::take(&mut group.pending_sync);
        if late.is_empty() || !matches!(group.state, State::CompletingRebalance | State::Stable) {
            return;
        }
        probe!("group: members did not fetch their assignments in time");
        for member in late {
            self.drop_member(id, &member, step);
        }
        self.prepare_rebalance(id, step);
    }

    pub(super) fn on_session_timer(&mut self, id: &str, member_id: &str, step: &mut Step<'_>) {
        let Some(group) = self.groups.get_mut(id) else {
            return;
        };
        if group.pending_members.remove(member_id) {
            probe!("group: an id that was given out was not used");
            self.complete_if_all_joined(id, step);
            return;
        }
        let Some(member) = group.members.get(member_id) else {
            return;
        };
        let waits = member.awaiting_join.is_some() || member.awaiting_sync.is_some();
        if waits && !member.is_new {
            return;
        }
        probe!("group: a session ended");
        self.drop_member(id, member_id, step);
        self.after_removal(id, step);
    }

    /// Takes a member out and answers what it waits for; the group has still to be told.
    pub(super) fn drop_member(&mut self, id: &str, member_id: &str, step: &mut Step<'_>) {
        let group = self.groups.get_mut(id).expect("it has the member");
        step.disarm(Timer::Session(id.to_string(), member_id.to_string()));
        let Some(member) = group.remove(member_id) else {
            return;
        };
        if let Some(join) = member.awaiting_join {
            let reply = JoinReply::failed(ErrorCode::UnknownMemberId, member_id);
            step.reply(join.ticket, Reply::Join(reply));
        }
        if let Some(ticket) = member.awaiting_sync {
            let reply = SyncReply::failed(ErrorCode::UnknownMemberId);
            step.reply(ticket, Reply::Sync(reply));
        }
    }

    pub(super) fn after_removal(&mut self, id: &str, step: &mut Step<'_>) {
        match self.groups[id].state {
            State::Empty => {}
            State::Stable | State::CompletingRebalance => self.prepare_rebalance(id, step),
            State::PreparingRebalance => self.complete_if_all_joined(id, step),
        }
    }
}
