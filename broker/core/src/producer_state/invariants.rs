//! What holds of a partition's producers after every step.

use std::collections::BTreeMap;

use broker_protocol::ids::Offset;

use super::ProducerStates;

/// The first property of a state that does not hold.
///
/// # Errors
/// Names the producer or the offset, and what is wrong.
pub fn check(states: &ProducerStates, high_watermark: Offset) -> Result<(), String> {
    let open = states.producers.iter().filter_map(|(id, producer)| {
        let first = producer.txn_first_offset?;
        Some((first, *id))
    });
    let open: BTreeMap<Offset, i64> = open.collect();
    let ongoing = states.transactions.ongoing();
    if open != *ongoing {
        return Err(format!(
            "producers have {open:?} open, the list says {ongoing:?}"
        ));
    }
    for (first, marker) in states.transactions.unreplicated() {
        if first >= marker || *marker < high_watermark {
            return Err(format!(
                "the transaction {first}..={marker} waits for high watermark {high_watermark}"
            ));
        }
    }
    let stable = states.last_stable_offset(0, high_watermark);
    if stable > high_watermark || ongoing.keys().any(|first| *first < stable) {
        return Err(format!(
            "last stable offset {stable}, high watermark {high_watermark}, open {ongoing:?}"
        ));
    }
    Ok(())
}

/// TXN-2: of what both states know, no epoch is lower afterwards, neither the producer's nor the coordinator's.
/// Holds over every step but a truncation.
///
/// # Errors
/// Names the producer.
pub fn progress(before: &ProducerStates, after: &ProducerStates) -> Result<(), String> {
    for (id, old) in &before.producers {
        let Some(new) = after.producers.get(id) else {
            continue;
        };
        if new.epoch < old.epoch || new.coordinator_epoch < old.coordinator_epoch {
            return Err(format!(
                "producer {id} went from epoch {} of coordinator {} to {} of {}",
                old.epoch, old.coordinator_epoch, new.epoch, new.coordinator_epoch
            ));
        }
    }
    Ok(())
}
