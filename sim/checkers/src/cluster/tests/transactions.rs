//! TXN-3 and TXN-5.

use super::super::event::{BatchProducer, BatchSummary, BatchTransaction, Event};
use super::{P, Story, batch, led};

/// Producer 7's, in a transaction.
fn data(offset: i64, epoch: i16, base_sequence: i32) -> BatchSummary {
    BatchSummary {
        producer: Some(BatchProducer {
            id: 7,
            epoch,
            base_sequence,
        }),
        transaction: Some(BatchTransaction {
            producer_id: 7,
            producer_epoch: epoch,
            committed: None,
        }),
        ..batch(offset, offset, 0)
    }
}

fn marker(offset: i64, epoch: i16, committed: bool) -> BatchSummary {
    BatchSummary {
        transaction: Some(BatchTransaction {
            producer_id: 7,
            producer_epoch: epoch,
            committed: Some(committed),
        }),
        ..batch(offset, offset, 0)
    }
}

#[test]
fn txn_3_a_transaction_has_one_epoch_and_one_end() {
    let begun = || {
        let mut story = led();
        story.leader_appends(1, data(0, 3, 0));
        story
    };
    begun().leader_appends(1, data(1, 3, 1)).holds();
    begun().leader_appends(1, marker(1, 3, true)).holds();
    begun()
        .leader_appends(1, marker(1, 4, false))
        .leader_appends(1, data(2, 4, 0))
        .holds();
    begun()
        .leader_appends(1, data(1, 4, 0))
        .breaks("TXN-3", "misattributed");
    begun()
        .leader_appends(1, marker(1, 2, false))
        .breaks("TXN-3", "misattributed");
    begun()
        .leader_appends(1, marker(1, 4, false))
        .leader_appends(1, data(2, 3, 1))
        .breaks("TXN-3", "misattributed");
}

/// Aborted at 0 to 1, committed at 2 to 3, open at 4; everything is committed up to there.
fn log() -> Story {
    let mut story = led();
    for batch in [
        data(0, 0, 0),
        marker(1, 0, false),
        data(2, 0, 1),
        marker(3, 0, true),
        data(4, 0, 2),
    ] {
        story.replicates(batch, 1, &[2, 3]);
    }
    story.commits(1, 0, 5);
    story
}

#[test]
fn txn_5_readers_of_committed_data_get_just_that() {
    let read = |from, end, aborted: &[(i64, i64)]| Event::ConsumerRead {
        partition: P,
        from,
        end,
        limit: end,
        aborted: Some(aborted.to_vec()),
    };
    log().at(1, read(0, 4, &[(7, 0)])).holds();
    log().at(1, read(2, 4, &[])).holds();
    log().at(1, read(0, 4, &[])).breaks("TXN-5", "read-aborted");
    log()
        .at(1, read(2, 4, &[(7, 0)]))
        .breaks("TXN-5", "missed-committed");
    log().at(1, read(2, 5, &[])).breaks("TXN-5", "read-open");
}
