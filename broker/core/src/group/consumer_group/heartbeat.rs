//! ConsumerGroupHeartbeat: the one request of members of a consumer group.

use std::collections::{BTreeMap, BTreeSet};

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;

use super::assignor::{Assignee, RANGE, UNIFORM, assign};
use super::reconcile::{Target, reconcile};
use super::{
    ConsumerGroup, CurrentAssignment, GroupEpoch, LEAVE_EPOCH, LEAVE_STATIC_EPOCH, MemberState,
    MemberSubscription, Partitions, Topic, contains, each,
};
use crate::group::message::{ConsumerHeartbeatReply, ConsumerHeartbeatRequest, Timer};
use crate::group::record::Record;
use crate::group::{GroupCoordinator, State, Step};

type Heartbeat = Result<ConsumerHeartbeatReply, ErrorCode>;

impl GroupCoordinator {
    pub(crate) fn consumer_heartbeat(
        &mut self,
        request: ConsumerHeartbeatRequest,
        step: &mut Step<'_>,
    ) -> Heartbeat {
        check_request(&request, &self.config.consumer_assignors)?;
        match request.member_epoch {
            LEAVE_EPOCH | LEAVE_STATIC_EPOCH => self.consumer_leave(&request, step),
            _ => self.regular_heartbeat(&request, step),
        }
    }

    fn regular_heartbeat(
        &mut self,
        request: &ConsumerHeartbeatRequest,
        step: &mut Step<'_>,
    ) -> Heartbeat {
        let id = request.group.as_str();
        let joins = request.member_epoch == 0;
        self.check_place(request)?;
        if joins {
            self.ensure_consumer_group(id, step);
        }
        let member = match request.member_id.is_empty() {
            true => request.fresh_member_id.as_str(),
            false => request.member_id.as_str(),
        };
        self.find_or_replace(request, member, step);
        let before = self.hard.consumers(id).current.get(member).cloned();
        let subscription_changed = self.update_subscription(request, member, step);
        self.update_group_epoch(id, subscription_changed, step);
        self.update_targets(id, step);
        let now = self.reconcile_member(request, member, step);
        step.arm(
            Timer::Session(id.to_string(), member.to_string()),
            self.config.consumer_session_timeout_ms,
        );
        let is_full = joins
            || (request.rebalance_timeout_ms != -1
                && request.topics.is_some()
                && request.owned.is_some());
        let changed = before.is_none_or(|before| before.assigned != now.assigned);
        Ok(ConsumerHeartbeatReply {
            member_id: member.to_string(),
            member_epoch: now.epoch,
            heartbeat_interval_ms: self.config.consumer_heartbeat_interval_ms,
            // One that sends all there is has missed an answer, perhaps this one (G-20).
            assignment: ((is_full && !mutant!(G_20)) || changed).then_some(now.assigned),
        })
    }

    /// Whether the request may be carried out, before anything is written for it.
    fn check_place(&self, request: &ConsumerHeartbeatRequest) -> Result<(), ErrorCode> {
        let joins = request.member_epoch == 0;
        let classic = self.groups.get(&request.group);
        if classic.is_some_and(|classic| classic.state != State::Empty || !joins) {
            // It is not a consumer group, and its members would not understand if it became one.
            return Err(ErrorCode::GroupIdNotFound);
        }
        let group = self.hard.consumers(&request.group);
        if !group.exists() && !joins {
            return Err(ErrorCode::GroupIdNotFound);
        }
        let is_in = group.subscriptions.contains_key(&request.member_id);
        if group.subscriptions.len() >= self.config.consumer_max_size && !is_in {
            probe!("consumer group: full");
            return Err(ErrorCode::GroupMaxSizeReached);
        }
        match &request.instance_id {
            Some(instance) => check_static(group, request, instance),
            None => check_dynamic(group, request),
        }
    }

    /// An empty classic group gives way; its offsets stay.
    fn ensure_consumer_group(&mut self, id: &str, step: &mut Step<'_>) {
        if self.groups.remove(id).is_some() {
            probe!("consumer group: takes the place of an empty classic one");
            step.disarm(Timer::Join(id.to_string()));
            let group = id.to_string();
            self.write(vec![Record::Group { group, value: None }], step);
        }
    }

    /// A static member that comes back under another member id takes over all of what it was.
    fn find_or_replace(
        &mut self,
        request: &ConsumerHeartbeatRequest,
        member: &str,
        step: &mut Step<'_>,
    ) {
        let group = self.hard.consumers(&request.group);
        let instance = request.instance_id.as_ref();
        let Some(before) = instance
            .and_then(|instance| group.static_member(instance))
            .cloned()
        else {
            return;
        };
        if request.member_epoch != 0 || (before == member && !is_away(group, &before)) {
            return;
        }
        probe!("consumer group: a static member came back");
        let subscription = group.subscriptions.get(&before).cloned();
        let target = group.targets.get(&before).cloned().unwrap_or_default();
        let current = group.current.get(&before).cloned().unwrap_or_default();
        let current = CurrentAssignment {
            epoch: 0,
            previous_epoch: 0,
            ..current
        };
        self.remove_consumer(&request.group, &before, step);
        let group = &request.group;
        let records = vec![
            subscription_record(group, member, subscription),
            target_record(group, member, Some(target)),
            current_record(group, member, Some(current)),
        ];
        self.write(records, step);
    }

    /// Whether the group has to look for other targets.
    fn update_subscription(
        &mut self,
        request: &ConsumerHeartbeatRequest,
        member: &str,
        step: &mut Step<'_>,
    ) -> bool {
        let before = self
            .hard
            .consumers(&request.group)
            .subscriptions
            .get(member);
        let before = before.cloned();
        let after = updated(before.clone().unwrap_or_default(), request);
        if before.as_ref() == Some(&after) {
            return false;
        }
        let topics = before.map(|before| before.topics).unwrap_or_default();
        let changed = topics != after.topics;
        let record = subscription_record(&request.group, member, Some(after));
        self.write(vec![record], step);
        changed
    }

    /// A group's epoch is the version of all that its targets depend on.
    fn update_group_epoch(&mut self, id: &str, must_bump: bool, step: &mut Step<'_>) {
        let version = step.topics.version();
        if !must_bump && self.metadata_checked.get(id) == Some(&version) {
            return;
        }
        let topics = step.topics;
        let group = self.hard.consumers(id);
        let hash = group.metadata_hash(topics);
        let known = group.epoch.map(|epoch| epoch.metadata_hash);
        let epoch = group.group_epoch();
        if must_bump || known != Some(hash) {
            let record = epoch_record(id, epoch + 1, hash);
            self.write(vec![record], step);
        }
        self.metadata_checked.insert(id.to_string(), version);
    }

    fn update_targets(&mut self, id: &str, step: &mut Step<'_>) {
        let topics = step.topics;
        let assignor = self.preferred_assignor(id);
        let group = self.hard.consumers(id);
        let epoch = group.group_epoch();
        if epoch <= group.target_epoch() {
            return;
        }
        let named = group.subscribed_topics().into_iter();
        let named = named.filter_map(|name| Some((name.as_str(), topics.topic(name)?)));
        let named: BTreeMap<&str, Topic> = named.collect();
        let members: Vec<Assignee<'_>> = group
            .subscriptions
            .iter()
            .map(|(member, subscription)| {
                let wanted = subscription.topics.iter();
                let wanted = wanted.filter_map(|name| named.get(name.as_str()));
                Assignee {
                    id: member,
                    instance_id: subscription.instance_id.as_deref(),
                    topics: wanted.map(|topic| topic.id).collect(),
                    before: group.targets.get(member),
                }
            })
            .collect();
        let described: BTreeSet<Topic> = named.values().copied().collect();
        let described: Vec<Topic> = described.into_iter().collect();
        let assigned = assign(&assignor, &members, &described);
        let mut records = Vec::new();
        for (member, target) in members.iter().zip(assigned) {
            if member.before != Some(&target) {
                records.push(target_record(id, member.id, Some(target)));
            }
        }
        records.push(Record::TargetEpoch {
            group: id.to_string(),
            value: Some(epoch),
        });
        self.write(records, step);
    }

    /// The one that most members ask for, or the broker's first.
    pub(super) fn preferred_assignor(&self, id: &str) -> String {
        let mut votes: BTreeMap<&String, usize> = BTreeMap::new();
        let group = self.hard.groups.get(id);
        let members = group
            .into_iter()
            .flat_map(|it| it.consumers.subscriptions.values());
        for assignor in members.filter_map(|member| member.server_assignor.as_ref()) {
            *votes.entry(assignor).or_default() += 1;
        }
        let most = votes.iter().rev().max_by_key(|(_, votes)| **votes);
        let default = self.config.consumer_assignors.first();
        let chosen = most.map(|(name, _)| (*name).clone()).or(default.cloned());
        chosen.unwrap_or_else(|| UNIFORM.into())
    }

    fn reconcile_member(
        &mut self,
        request: &ConsumerHeartbeatRequest,
        member: &str,
        step: &mut Step<'_>,
    ) -> CurrentAssignment {
        let id = request.group.as_str();
        let group = self.hard.consumers(id);
        let before = group.current.get(member).cloned();
        let none = Partitions::new();
        let target = Target {
            epoch: group.target_epoch(),
            partitions: group.targets.get(member).unwrap_or(&none),
        };
        let is_free = |topic, partition| {
            let owner = group.owner(topic, partition);
            owner.is_none_or(|owner| owner == member)
        };
        let from = before.clone().unwrap_or_default();
        let after = reconcile(&from, &target, request.owned.as_ref(), is_free);
        if before.as_ref() == Some(&after) {
            return after;
        }
        let rebalance_ms = group.subscriptions.get(member);
        let rebalance_ms = rebalance_ms.map_or(0, |it| it.rebalance_timeout_ms);
        if after.state == MemberState::UnrevokedPartitions && before.as_ref() != Some(&after) {
            let timer = Timer::Revocation(id.to_string(), member.to_string(), after.epoch);
            step.arm(timer, u64::try_from(rebalance_ms).unwrap_or(0));
        }
        self.write(vec![current_record(id, member, Some(after.clone()))], step);
        after
    }
}

/// What is refused whatever the group is like.
fn check_request(
    request: &ConsumerHeartbeatRequest,
    assignors: &[String],
) -> Result<(), ErrorCode> {
    let is_empty = |value: &Option<String>| value.as_ref().is_some_and(String::is_empty);
    let is_named = !request.member_id.is_empty();
    let is_valid = match request.member_epoch {
        0 => {
            let subscribes = request.topics.as_ref().is_some_and(|it| !it.is_empty());
            let owns_nothing = request.owned.as_ref().is_some_and(Partitions::is_empty);
            request.rebalance_timeout_ms != -1 && subscribes && owns_nothing
        }
        LEAVE_STATIC_EPOCH => is_named && request.instance_id.is_some(),
        LEAVE_EPOCH | 1.. => is_named,
        _ => false,
    };
    if request.group.is_empty()
        || is_empty(&request.instance_id)
        || is_empty(&request.rack_id)
        || !is_valid
    {
        return Err(ErrorCode::InvalidRequest);
    }
    let is_known =
        |name: &String| assignors.contains(name) && [UNIFORM, RANGE].contains(&name.as_str());
    match &request.server_assignor {
        Some(name) if !is_known(name) => Err(ErrorCode::UnsupportedAssignor),
        _ => Ok(()),
    }
}

fn check_dynamic(
    group: &ConsumerGroup,
    request: &ConsumerHeartbeatRequest,
) -> Result<(), ErrorCode> {
    if request.member_epoch == 0 && !group.subscriptions.contains_key(&request.member_id) {
        return Ok(());
    }
    check_epoch(group, request)
}

fn check_static(
    group: &ConsumerGroup,
    request: &ConsumerHeartbeatRequest,
    instance: &str,
) -> Result<(), ErrorCode> {
    let current = group.static_member(instance);
    if request.member_epoch == 0 {
        return match current {
            Some(current) if !is_away(group, current) && *current != request.member_id => {
                probe!("consumer group: an instance id is in use");
                Err(ErrorCode::UnreleasedInstanceId)
            }
            _ => Ok(()),
        };
    }
    match current {
        None => Err(ErrorCode::UnknownMemberId),
        Some(current) if *current != request.member_id => Err(ErrorCode::FencedInstanceId),
        Some(_) => check_epoch(group, request),
    }
}

fn is_away(group: &ConsumerGroup, member: &str) -> bool {
    let current = group.current.get(member);
    current.is_some_and(|current| current.epoch == LEAVE_STATIC_EPOCH)
}

/// A member's epoch is the coordinator's; or the one before, with nothing that it lost since, because the answer
/// may have been lost; or 0, when it begins anew without any partition (KAFKA-19233).
fn check_epoch(group: &ConsumerGroup, request: &ConsumerHeartbeatRequest) -> Result<(), ErrorCode> {
    if !group.subscriptions.contains_key(&request.member_id) {
        return Err(ErrorCode::UnknownMemberId);
    }
    let none = CurrentAssignment::default();
    let current = group.current.get(&request.member_id).unwrap_or(&none);
    let received = request.member_epoch;
    let is_retry = || {
        let owned = request.owned.as_ref();
        received == current.previous_epoch
            && owned.is_some_and(|owned| {
                each(owned).all(|(topic, partition)| contains(&current.assigned, topic, partition))
            })
    };
    if received == current.epoch || (received == 0 && !mutant!(G_13)) {
        Ok(())
    } else if received < current.epoch && is_retry() {
        probe!("consumer group: a member did not hear of its epoch");
        Ok(())
    } else {
        probe!("consumer group: a member is fenced by its epoch");
        Err(ErrorCode::FencedMemberEpoch)
    }
}

fn updated(before: MemberSubscription, request: &ConsumerHeartbeatRequest) -> MemberSubscription {
    MemberSubscription {
        instance_id: request.instance_id.clone().or(before.instance_id),
        rack_id: request.rack_id.clone().or(before.rack_id),
        client_id: request.client_id.clone(),
        client_host: request.client_host.clone(),
        topics: request.topics.clone().unwrap_or(before.topics),
        rebalance_timeout_ms: match request.rebalance_timeout_ms {
            -1 => before.rebalance_timeout_ms,
            timeout => timeout,
        },
        server_assignor: request.server_assignor.clone().or(before.server_assignor),
    }
}

pub(super) fn epoch_record(group: &str, epoch: i32, metadata_hash: i64) -> Record {
    Record::ConsumerGroup {
        group: group.to_string(),
        value: Some(GroupEpoch {
            epoch,
            metadata_hash,
        }),
    }
}

pub(super) fn subscription_record(
    group: &str,
    member: &str,
    value: Option<MemberSubscription>,
) -> Record {
    Record::Subscription {
        group: group.to_string(),
        member: member.to_string(),
        value,
    }
}

pub(super) fn target_record(group: &str, member: &str, value: Option<Partitions>) -> Record {
    Record::TargetAssignment {
        group: group.to_string(),
        member: member.to_string(),
        value,
    }
}

pub(super) fn current_record(
    group: &str,
    member: &str,
    value: Option<CurrentAssignment>,
) -> Record {
    Record::CurrentAssignment {
        group: group.to_string(),
        member: member.to_string(),
        value,
    }
}
