//! What holds of a coordinator after every step.

use std::collections::BTreeMap;

use super::consumer_group::{ConsumerGroup, CurrentAssignment, MemberState};
use super::{GroupCoordinator, Hard, State};

/// The first property that does not hold.
///
/// # Errors
/// Names the group and what is wrong with it.
pub fn check(coordinator: &GroupCoordinator) -> Result<(), String> {
    check_transactions(&coordinator.hard)?;
    for (id, group) in coordinator.hard.groups() {
        if coordinator.groups.contains_key(id) && group.consumers.exists() {
            return Err(format!("group {id} is of two protocols"));
        }
        check_consumers(&group.consumers).map_err(|what| format!("group {id}: {what}"))?;
    }
    for (id, group) in &coordinator.groups {
        let fail = |what: &str| Err(format!("group {id} in {:?}: {what}", group.state));
        let is_member = |member: &String| group.members.contains_key(member);
        if group.state == State::Empty && !group.members.is_empty() {
            return fail("has members");
        }
        if group.state != State::Empty
            && group.state != State::PreparingRebalance
            && (group.members.is_empty() || !group.leader.as_ref().is_some_and(is_member))
        {
            return fail("has no leader among its members");
        }
        if !group.static_members.values().all(is_member) {
            return fail("an instance id names somebody who is gone (G-14)");
        }
        for (member_id, member) in &group.members {
            if let Some(instance) = &member.instance_id
                && group.static_members.get(instance) != Some(member_id)
            {
                return fail("two members have one instance id");
            }
            if group.pending_members.contains(member_id) {
                return fail("a member is also promised");
            }
            if member.awaiting_join.is_some() && group.state != State::PreparingRebalance {
                return fail("a join waits outside of a rebalance");
            }
            if member.awaiting_sync.is_some() && group.state != State::CompletingRebalance {
                return fail("a sync waits for nothing");
            }
        }
        let is_stored = coordinator
            .hard
            .group(id)
            .is_some_and(|stored| stored.metadata.is_some());
        if !is_stored {
            return fail("is not in the log");
        }
    }
    Ok(())
}

/// TXN-4: what pends belongs to an open transaction, which its marker will find; a key has one of each producer.
fn check_transactions(hard: &Hard) -> Result<(), String> {
    for (id, group) in hard.groups() {
        for (key, pending) in &group.pending {
            let fail = |what: &str| Err(format!("group {id}, {key:?}: {what}"));
            if pending.is_empty() {
                return fail("pends without an offset");
            }
            for (index, offset) in pending.iter().enumerate() {
                let producer = offset.producer_id;
                let open = hard.transactions.get(&producer);
                if !open.is_some_and(|groups| groups.contains(id)) {
                    return fail("pends in no open transaction");
                }
                let mut before = pending[..index].iter();
                if before.any(|other| other.producer_id == producer) {
                    return fail("pends twice in one transaction");
                }
            }
        }
    }
    Ok(())
}

/// GRP-4: at any moment a partition is at most one member's, be it only to revoke it; and members are on their
/// way to targets that there are.
fn check_consumers(group: &ConsumerGroup) -> Result<(), String> {
    let target = group.target_epoch();
    if target > group.group_epoch() {
        return Err(format!("targets of epoch {target} are ahead of the group"));
    }
    let mut owners = BTreeMap::new();
    for (id, member) in &group.current {
        for partition in member.owned() {
            if let Some(other) = owners.insert(partition, id.clone()) {
                return Err(format!("{partition:?} is owned by {other} and {id}"));
            }
        }
        check_consumer(group, id, member, target)?;
    }
    if !group.owners_are(&owners) {
        return Err("what is owned is not known".into());
    }
    for (id, subscription) in &group.subscriptions {
        if let Some(instance) = &subscription.instance_id
            && group.static_member(instance) != Some(id)
        {
            return Err(format!("instance {instance} does not name {id} (G-14)"));
        }
    }
    match group
        .instances()
        .find(|id| !group.subscriptions.contains_key(*id))
    {
        Some(gone) => Err(format!("an instance id names {gone}, who is gone (G-14)")),
        None => Ok(()),
    }
}

fn check_consumer(
    group: &ConsumerGroup,
    id: &str,
    member: &CurrentAssignment,
    target: i32,
) -> Result<(), String> {
    let revokes = !member.pending_revocation.is_empty();
    let is_away = member.epoch < 0;
    if member.epoch > target {
        return Err(format!(
            "{id} is in epoch {}, targets in {target}",
            member.epoch
        ));
    }
    if revokes != (member.state == MemberState::UnrevokedPartitions) && !is_away {
        return Err(format!("{id} is {:?} and revokes: {revokes}", member.state));
    }
    match group.subscriptions.contains_key(id) {
        true => Ok(()),
        false => Err(format!("{id} has partitions, but is no member")),
    }
}
