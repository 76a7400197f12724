//! A member's next step towards its target (KIP-848): revoke first, then take what is free.
//!
//! It stays in its epoch until it has given up what it must, and enters the target's epoch with what it keeps and
//! what nobody else has; what others still have it gets later, in that epoch. So nobody is told of a partition
//! before its former owner has said that it is without it (GRP-4).

use broker_protocol::ids::Uuid;

use super::{CurrentAssignment, MemberState, Partitions, contains, each};

/// Where the group wants a member to be.
pub struct Target<'a> {
    pub epoch: i32,
    pub partitions: &'a Partitions,
}

/// `owned` is what the member says it has; `is_free` whether nobody else has a partition.
pub fn reconcile(
    member: &CurrentAssignment,
    target: &Target<'_>,
    owned: Option<&Partitions>,
    is_free: impl Fn(Uuid, i32) -> bool,
) -> CurrentAssignment {
    match member.state {
        MemberState::Stable if member.epoch == target.epoch => member.clone(),
        MemberState::UnrevokedPartitions if owns(owned, &member.pending_revocation) => {
            member.clone()
        }
        _ => advance(member, target, owned, is_free),
    }
}

fn advance(
    member: &CurrentAssignment,
    target: &Target<'_>,
    owned: Option<&Partitions>,
    is_free: impl Fn(Uuid, i32) -> bool,
) -> CurrentAssignment {
    let (mut kept, mut revoked) = (Partitions::new(), Partitions::new());
    for (topic, partition) in each(&member.assigned) {
        let side = match contains(target.partitions, topic, partition) {
            true => &mut kept,
            false => &mut revoked,
        };
        side.entry(topic).or_default().insert(partition);
    }
    if !revoked.is_empty() && owns(owned, &revoked) {
        return CurrentAssignment {
            state: MemberState::UnrevokedPartitions,
            assigned: kept,
            pending_revocation: revoked,
            ..member.clone()
        };
    }
    let mut state = MemberState::Stable;
    for (topic, partition) in each(target.partitions) {
        if contains(&kept, topic, partition) {
            continue;
        }
        // It may get back at once what it has just given up.
        if is_free(topic, partition) || contains(&member.pending_revocation, topic, partition) {
            kept.entry(topic).or_default().insert(partition);
        } else {
            state = MemberState::UnreleasedPartitions;
        }
    }
    CurrentAssignment {
        epoch: target.epoch,
        previous_epoch: match member.epoch == target.epoch {
            true => member.previous_epoch,
            false => member.epoch,
        },
        state,
        assigned: kept,
        pending_revocation: Partitions::new(),
    }
}

/// Whether a member still has any of these; one that does not say has.
fn owns(owned: Option<&Partitions>, partitions: &Partitions) -> bool {
    owned.is_none_or(|owned| {
        each(partitions).any(|(topic, partition)| contains(owned, topic, partition))
    })
}
