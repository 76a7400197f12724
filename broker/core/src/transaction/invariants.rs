//! What holds of a coordinator after every step, and from one step to the next.

use std::collections::BTreeMap;

use super::record::{State, TransactionMetadata};
use super::{Hard, MAX_EPOCH, TransactionCoordinator};

/// The first property that does not hold.
///
/// # Errors
/// Names the transactional id and what is wrong with it.
pub fn check(coordinator: &TransactionCoordinator) -> Result<(), String> {
    let mut owners = BTreeMap::new();
    for (id, current) in coordinator.hard.iter() {
        shape(id, current)?;
        completes(coordinator, id, current)?;
        for producer_id in [Some(current.producer_id), current.next_producer_id] {
            let Some(producer_id) = producer_id else {
                continue;
            };
            if let Some(other) = owners.insert(producer_id, id) {
                return Err(format!(
                    "TXN-2: producer {producer_id} is {other}'s and {id}'s"
                ));
            }
        }
    }
    let stray = coordinator.completing.keys().find(|id| {
        coordinator
            .hard
            .get(id)
            .is_none_or(|it| !it.state.is_completing())
    });
    match stray {
        Some(id) => Err(format!(
            "TXN-3: {id} does not complete, but has markers under way"
        )),
        None => Ok(()),
    }
}

fn shape(id: &str, current: &TransactionMetadata) -> Result<(), String> {
    let fail = |what: &str| Err(format!("{id} in {:?}: {what}", current.state));
    if current.producer_epoch < 0 {
        return fail("TXN-2: has no epoch");
    }
    match current.state {
        State::Dead | State::PrepareEpochFence => fail("is in a state that is never stored"),
        State::Ongoing | State::PrepareCommit | State::PrepareAbort
            if current.partitions.is_empty() || current.start_ms.is_none() =>
        {
            fail("TXN-3: a transaction without partitions or beginning")
        }
        State::Empty | State::CompleteCommit | State::CompleteAbort
            if !current.partitions.is_empty() =>
        {
            fail("TXN-3: partitions of no transaction")
        }
        State::Ongoing if current.producer_epoch == MAX_EPOCH => {
            fail("TXN-2: a client has the last epoch")
        }
        state if current.next_producer_id.is_some() && !state.is_completing() => {
            fail("TXN-2: two producers")
        }
        _ => Ok(()),
    }
}

/// Every decided transaction has its markers under way.
fn completes(
    coordinator: &TransactionCoordinator,
    id: &str,
    current: &TransactionMetadata,
) -> Result<(), String> {
    if !current.state.is_completing() {
        return Ok(());
    }
    let under_way = coordinator.completing.get(id);
    match under_way {
        Some(completing)
            if !completing.left.is_empty() && completing.left.is_subset(&current.partitions) =>
        {
            Ok(())
        }
        _ => Err(format!("LIVE-3: {id} is decided, and no marker is missing")),
    }
}

/// One step of the log.
///
/// # Errors
/// TXN-2: who the producer is went back; TXN-3: a state that does not follow from the one before.
pub fn check_step(before: &Hard, after: &Hard) -> Result<(), String> {
    for (id, new) in after.iter() {
        let Some(old) = before.get(id) else {
            continue;
        };
        if new.producer_id == old.producer_id && new.producer_epoch < old.producer_epoch {
            return Err(format!(
                "TXN-2: {id}: producer {} went from epoch {} to {}",
                new.producer_id, old.producer_epoch, new.producer_epoch
            ));
        }
        if new.state != old.state && !follows(old.state, new.state) {
            return Err(format!(
                "TXN-3: {id} went from {:?} to {:?}",
                old.state, new.state
            ));
        }
        if old.state.is_completing()
            && new.state == old.state
            && (new.producer() != old.producer() || new.partitions != old.partitions)
        {
            return Err(format!("TXN-3: {id}: what was decided changed"));
        }
    }
    Ok(())
}

/// Within one step, which may decide and complete at once.
fn follows(old: State, new: State) -> bool {
    match new {
        State::Empty => old.is_idle(),
        State::Ongoing => old.is_idle(),
        State::PrepareCommit => old == State::Ongoing,
        State::PrepareAbort => old == State::Ongoing,
        State::CompleteCommit => old == State::PrepareCommit,
        // An abort of nothing (KIP-890) completes at once.
        State::CompleteAbort => old == State::PrepareAbort || old.is_idle(),
        State::Dead | State::PrepareEpochFence => false,
    }
}
