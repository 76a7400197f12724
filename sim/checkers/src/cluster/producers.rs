//! Idempotent producers: TXN-1, TXN-2.

use std::collections::BTreeSet;

use super::event::{BatchProducer, BatchSummary, PartitionId};
use super::judge::{Invariant, Judge};
use super::shadow::ShadowLog;

/// KAFKA-5494: as many as a producer may have in flight.
const BATCHES_RECOGNISED: usize = 5;

/// Producer ids that were given out, by whatever broker.
#[derive(Debug, Default)]
pub struct ProducerIds(BTreeSet<i64>);

impl ProducerIds {
    /// TXN-2: no id is given to two producers.
    pub fn given(&mut self, producer_id: i64, judge: &mut Judge) {
        let fresh = self.0.insert(producer_id);
        judge.demand(fresh, Invariant::Txn2, "id-given-twice", |_| {
            format!("producer id {producer_id} is given again")
        });
    }
}

/// What a leader appends goes on where the producer's last batch in its log ended, and so is in the log once.
/// A producer of which the log has nothing may begin anywhere (KIP-360).
pub fn follows_on(id: PartitionId, log: &ShadowLog, batch: BatchSummary, judge: &mut Judge) {
    let Some(producer) = batch.producer else {
        return;
    };
    let last = log.of_producer(producer.id).next().copied();
    let Some((last, before)) = last.and_then(|last| Some((last, last.producer?))) else {
        return;
    };
    judge.demand(
        producer.epoch >= before.epoch,
        Invariant::Txn2,
        "fenced-epoch",
        |judge| format!("{}: appended {batch} behind {last}", judge.name(id)),
    );
    let expected = if producer.epoch == before.epoch {
        next_sequence(&last, before)
    } else {
        0
    };
    let follows = producer.base_sequence == expected;
    judge.demand(follows, Invariant::Txn1, "sequence", |judge| {
        let name = judge.name(id);
        format!("{name}: appended {batch} behind {last}, sequence {expected} is next")
    });
}

/// A refused batch is none of those that the leader must recognise: a producer's last five.
pub fn refused(
    id: PartitionId,
    log: &ShadowLog,
    recalled_from: i64,
    (producer, records): (BatchProducer, i64),
    judge: &mut Judge,
) {
    let recalled = log
        .of_producer(producer.id)
        .take(BATCHES_RECOGNISED)
        .take_while(|batch| batch.base_offset >= recalled_from);
    let same = |batch: &&BatchSummary| {
        batch.producer == Some(producer) && batch.end() - batch.base_offset == records
    };
    let kept = recalled.copied().find(|batch| same(&batch));
    judge.demand(
        kept.is_none(),
        Invariant::Txn1,
        "duplicate-refused",
        |judge| {
            let (name, kept) = (judge.name(id), kept.expect("it is the violation"));
            format!("{name}: {kept} came again and was refused as out of order")
        },
    );
}

fn next_sequence(batch: &BatchSummary, producer: BatchProducer) -> i32 {
    let records = i32::try_from(batch.end() - batch.base_offset).unwrap_or(i32::MAX);
    producer.base_sequence.wrapping_add(records) & i32::MAX
}
