//! TXN-1 and TXN-2.

use super::super::event::{BatchProducer, BatchSummary, Event};
use super::{P, batch, led};

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
fn txn_1_a_retry_of_one_of_the_last_five_batches_is_recognised() {
    let filled = || {
        let mut story = led();
        for offset in 0..7 {
            let sequence = i32::try_from(offset).expect("small");
            story.leader_appends(1, sequenced(offset, offset, 0, sequence));
        }
        story
    };
    let refused = |base_sequence| Event::SequenceRefused {
        partition: P,
        producer: BatchProducer {
            id: 7,
            epoch: 0,
            base_sequence,
        },
        records: 1,
    };
    for lawful in [0, 1, 8] {
        filled().at(1, refused(lawful)).holds();
    }
    for kept in 2..7 {
        filled()
            .at(1, refused(kept))
            .breaks("TXN-1", "duplicate-refused");
    }
    // The tail was cut and the state reloaded, from a snapshot perhaps.
    let cut = Event::Truncated {
        partition: P,
        log_end: 5,
    };
    filled().at(1, cut).at(1, refused(4)).holds();
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
