//! What holds of a coordinator after every step.

use super::{GroupCoordinator, Hard, State};

/// The first property that does not hold.
///
/// # Errors
/// Names the group and what is wrong with it.
pub fn check(coordinator: &GroupCoordinator) -> Result<(), String> {
    check_transactions(&coordinator.hard)?;
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
