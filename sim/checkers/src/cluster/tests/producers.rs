//! TXN-1 and TXN-2.

use super::super::event::{BatchProducer, BatchSummary, Event};
use super::{batch, led};

/// A leader's batch of producer 7.
fn sequenced(base_offset: i64, last_offset: i64, epoch: i16, base_sequence: i32) -> BatchSummary {
    BatchSummary {
        producer: Some(BatchProducer {
            id: 7,
            epoch,
            base_sequence,
        }),
        ..batch(base_offset, last_offset, 0)
    }
}

#[test]
fn txn_1_sequences_follow_on_in_a_log() {
    let begun = || {
        let mut story = led();
        story
            .leader_appends(1, sequenced(0, 2, 0, 41))
            .leader_appends(1, batch(3, 3, 0));
        story
    };
    begun().leader_appends(1, sequenced(4, 4, 0, 44)).holds();
    begun().leader_appends(1, sequenced(4, 4, 1, 0)).holds();
    for (epoch, sequence) in [(0, 41), (0, 43), (0, 45), (1, 44)] {
        let next = sequenced(4, 4, epoch, sequence);
        begun().leader_appends(1, next).breaks("TXN-1", "sequence");
    }
    led()
        .leader_appends(1, sequenced(0, 1, 0, i32::MAX))
        .leader_appends(1, sequenced(2, 2, 0, 1))
        .holds();
}

#[test]
fn txn_2_nothing_of_an_older_epoch_is_appended() {
    led()
        .leader_appends(1, sequenced(0, 0, 3, 0))
        .leader_appends(1, sequenced(1, 1, 2, 0))
        .breaks("TXN-2", "fenced-epoch");
}

#[test]
fn txn_2_no_id_is_given_twice() {
    let given = |producer_id| Event::ProducerIdGiven { producer_id };
    led().at(1, given(7)).at(2, given(8)).holds();
    led()
        .at(1, given(7))
        .at(2, given(7))
        .breaks("TXN-2", "id-given-twice");
}
