//! Members that leave a consumer group, or are thrown out of it.

use broker_probe::probe;
use broker_protocol::ErrorCode;

use super::heartbeat::{current_record, epoch_record, subscription_record, target_record};
use super::{ConsumerGroup, CurrentAssignment, LEAVE_STATIC_EPOCH, MemberState, Partitions};
use crate::group::message::{ConsumerHeartbeatReply, ConsumerHeartbeatRequest, Timer};
use crate::group::record::Record;
use crate::group::{GroupCoordinator, Step};

impl GroupCoordinator {
    pub(super) fn consumer_leave(
        &mut self,
        request: &ConsumerHeartbeatRequest,
        step: &mut Step<'_>,
    ) -> Result<ConsumerHeartbeatReply, ErrorCode> {
        let id = request.group.as_str();
        let stored = self.hard.group(id).filter(|group| group.consumers.exists());
        let group = &stored.ok_or(ErrorCode::GroupIdNotFound)?.consumers;
        check_leaver(group, request)?;
        let member = request.member_id.as_str();
        if request.member_epoch == LEAVE_STATIC_EPOCH {
            let current = group.current.get(member).cloned().unwrap_or_default();
            let away = CurrentAssignment {
                epoch: LEAVE_STATIC_EPOCH,
                pending_revocation: Partitions::new(),
                ..current
            };
            // Its session goes on: it has as long to come back.
            self.write(vec![current_record(id, member, Some(away))], step);
        } else {
            self.fence_consumer(id, member, step);
        }
        Ok(ConsumerHeartbeatReply {
            member_id: member.to_string(),
            member_epoch: request.member_epoch,
            heartbeat_interval_ms: 0,
            assignment: None,
        })
    }

    /// Without the member the others get other targets, with their next heartbeats.
    pub(super) fn fence_consumer(&mut self, id: &str, member: &str, step: &mut Step<'_>) {
        self.remove_consumer(id, member, step);
        let topics = step.topics;
        let group = self.hard.consumers(id);
        let (epoch, hash) = (group.group_epoch() + 1, group.metadata_hash(topics));
        self.write(vec![epoch_record(id, epoch, hash)], step);
    }

    pub(super) fn remove_consumer(&mut self, id: &str, member: &str, step: &mut Step<'_>) {
        step.disarm(Timer::Session(id.to_string(), member.to_string()));
        let records = vec![
            current_record(id, member, None),
            target_record(id, member, None),
            subscription_record(id, member, None),
        ];
        self.write(records, step);
    }

    /// A member was not heard of.
    pub(in crate::group) fn on_consumer_session_timer(
        &mut self,
        id: &str,
        member: &str,
        step: &mut Step<'_>,
    ) {
        if self.hard.consumers(id).subscriptions.contains_key(member) {
            probe!("consumer group: a session ended");
            self.fence_consumer(id, member, step);
        }
    }

    /// A member heartbeats, but does not give up what others wait for.
    pub(in crate::group) fn on_revocation_timer(
        &mut self,
        id: &str,
        member: &str,
        epoch: i32,
        step: &mut Step<'_>,
    ) {
        let Some(group) = self.hard.group(id) else {
            return;
        };
        let current = group.consumers.current.get(member);
        if current.is_some_and(|current| {
            current.state == MemberState::UnrevokedPartitions && current.epoch == epoch
        }) {
            probe!("consumer group: a member did not revoke in time");
            self.fence_consumer(id, member, step);
        }
    }

    /// After the log was read to its end: members have as long again as they had.
    pub(in crate::group) fn consumer_group_loaded(&self, id: &str, step: &mut Step<'_>) {
        let Some(stored) = self.hard.group(id) else {
            return;
        };
        let group = &stored.consumers;
        for (member, subscription) in &group.subscriptions {
            let session = Timer::Session(id.to_string(), member.clone());
            step.arm(session, self.config.consumer_session_timeout_ms);
            let current = group.current.get(member);
            let revokes =
                current.filter(|current| current.state == MemberState::UnrevokedPartitions);
            if let Some(current) = revokes {
                let timer = Timer::Revocation(id.to_string(), member.clone(), current.epoch);
                let rebalance_ms = subscription.rebalance_timeout_ms;
                step.arm(timer, u64::try_from(rebalance_ms).unwrap_or(0));
            }
        }
    }

    /// The records that delete a consumer group without members.
    pub(in crate::group) fn consumer_group_tombstones(&self, id: &str) -> Vec<Record> {
        let stored = self.hard.group(id).filter(|group| group.consumers.exists());
        if stored.is_none() {
            return Vec::new();
        }
        vec![
            Record::TargetEpoch {
                group: id.to_string(),
                value: None,
            },
            Record::ConsumerGroup {
                group: id.to_string(),
                value: None,
            },
        ]
    }
}

fn check_leaver(
    group: &ConsumerGroup,
    request: &ConsumerHeartbeatRequest,
) -> Result<(), ErrorCode> {
    match &request.instance_id {
        None if group.subscriptions.contains_key(&request.member_id) => Ok(()),
        None => Err(ErrorCode::UnknownMemberId),
        Some(instance) => match group.static_member(instance) {
            None => Err(ErrorCode::UnknownMemberId),
            Some(current) if *current != request.member_id => Err(ErrorCode::FencedInstanceId),
            Some(_) => Ok(()),
        },
    }
}
