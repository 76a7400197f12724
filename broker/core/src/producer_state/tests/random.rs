//! Properties that hold of every log.

use std::collections::BTreeMap;

use proptest::prelude::*;

use super::super::add_sequence;
use super::{ProducerBatch, Proof, Verdict, World, invariants};

#[derive(Clone, Copy, Debug)]
enum Deed {
    Begin(i64, i16),
    Write(i64, i16),
    End(i64, i16, i32, bool),
    Replicate(i64),
}

#[expect(
    clippy::disallowed_types,
    reason = "prop_oneof shares its strategies so"
)]
fn deed() -> impl Strategy<Value = Deed> {
    let (id, epoch) = (0..3_i64, 0..3_i16);
    prop_oneof![
        2 => (id.clone(), epoch.clone()).prop_map(|(id, epoch)| Deed::Begin(id, epoch)),
        4 => (id.clone(), epoch.clone()).prop_map(|(id, epoch)| Deed::Write(id, epoch)),
        3 => (id, epoch, 0..2_i32, any::<bool>())
            .prop_map(|(id, epoch, coordinator, committed)| Deed::End(id, epoch, coordinator, committed)),
        2 => (1..6_i64).prop_map(Deed::Replicate),
    ]
}

/// A client that sends, resends and jumps: (producer, epoch, sequence relative to what is next, records).
fn sends() -> impl Strategy<Value = Vec<(i64, i16, i32, i64)>> {
    prop::collection::vec((0..3_i64, 0..3_i16, -12..3_i32, 1..4_i64), 1..60)
}

proptest! {
    /// TXN-1: whatever clients send, no sequence of an epoch is appended twice and none is left out.
    #[test]
    fn sequences_of_an_epoch_follow_on(sends in sends(), start in prop::sample::select(vec![0, i32::MAX - 5])) {
        let mut world = World::default();
        let mut next = BTreeMap::new();
        let mut epochs = BTreeMap::new();
        for (producer_id, producer_epoch, jump, records) in sends {
            let expected: Option<i32> = next.get(&(producer_id, producer_epoch)).copied();
            let base_sequence = expected.unwrap_or(start).wrapping_add(jump) & i32::MAX;
            let batch = ProducerBatch {
                producer_id,
                producer_epoch,
                base_sequence,
                base_offset: world.log_end,
                last_offset: world.log_end + records - 1,
                max_timestamp: 0,
                transactional: false,
            };
            if world.produce(batch, Proof::NotNeeded) == Verdict::Append {
                let newest = epochs.entry(producer_id).or_insert(producer_epoch);
                prop_assert!(*newest <= producer_epoch, "epoch {producer_epoch} after {newest}");
                *newest = producer_epoch;
                prop_assert!(expected.is_none_or(|expected| expected == base_sequence));
                let after = add_sequence(base_sequence, records.try_into().expect("few"));
                next.insert((producer_id, producer_epoch), after);
            }
        }
    }

    /// LOG-3: a snapshot and the log behind it give the last batch of every producer, wherever it was taken.
    #[test]
    fn a_reload_gives_what_the_log_says(sends in sends(), at in 0..100_i64) {
        let mut world = World::default();
        for (producer_id, producer_epoch, sequence, records) in sends {
            world.append(ProducerBatch {
                producer_id,
                producer_epoch,
                base_sequence: sequence & i32::MAX,
                base_offset: world.log_end,
                last_offset: world.log_end + records - 1,
                max_timestamp: 0,
                transactional: false,
            });
        }
        let boundary = world.log.iter().map(|entry| entry.base_offset()).rfind(|base| *base <= at);
        let reloaded = world.reloaded(boundary.unwrap_or(0));
        prop_assert!(reloaded.entries().eq(world.states.entries()));
    }

    /// TXN-2, TXN-3, TXN-5: whatever producers, coordinators and brokers do, transactions do not run into each
    /// other, and what readers of committed data may see does not go back.
    #[test]
    fn transactions_end_one_by_one(deeds in prop::collection::vec(deed(), 1..80)) {
        let mut world = World::default();
        let (mut stable, mut open) = (0, BTreeMap::new());
        for deed in deeds {
            let before = world.states.clone();
            match deed {
                Deed::Begin(id, epoch) => {
                    world.begin(&["begin", &id.to_string(), &epoch.to_string(), "0"]);
                }
                Deed::Write(id, epoch) => {
                    let next = world.states.producers.get(&id).filter(|known| known.epoch == epoch);
                    let sequence = next.map_or(0, |known| known.next_sequence());
                    let words = ["transact", &id.to_string(), &epoch.to_string(), &sequence.to_string(), "2"];
                    let at = world.log_end;
                    if world.transact(&words) == Verdict::Append {
                        let (first, begun) = *open.entry(id).or_insert((at, epoch));
                        prop_assert!(begun <= epoch, "{first}: epoch {begun}, then {epoch}");
                    }
                }
                Deed::End(id, epoch, coordinator, committed) => {
                    let outcome = if committed { "commit" } else { "abort" };
                    let words = [outcome, &id.to_string(), &epoch.to_string(), &coordinator.to_string()];
                    let end = world.log_end;
                    let text = world.end(&words);
                    if world.log_end > end {
                        prop_assert_eq!(text.contains(" to "), open.remove(&id).is_some());
                    }
                }
                Deed::Replicate(count) => world.replicated((world.high_watermark + count).min(world.log_end)),
            }
            invariants::check(&world.states, world.high_watermark).map_err(TestCaseError::fail)?;
            invariants::progress(&before, &world.states).map_err(TestCaseError::fail)?;
            let now = world.states.last_stable_offset(0, world.high_watermark);
            prop_assert!(now >= stable, "stable to {}, then to {}", stable, now);
            stable = now;
        }
        let reloaded = world.reloaded(world.high_watermark);
        prop_assert!(reloaded.entries().eq(world.states.entries()));
        prop_assert_eq!(reloaded.first_unstable_offset(), world.states.first_unstable_offset());
    }
}
