//! LOG-4: how far a cleaning may go.

use super::super::event::BatchTransaction;
use super::*;

fn of_transaction(offset: i64, committed: Option<bool>) -> BatchSummary {
    BatchSummary {
        transaction: Some(BatchTransaction {
            producer_id: 7,
            producer_epoch: 0,
            committed,
        }),
        ..batch(offset, offset, 0)
    }
}

impl Story {
    fn cleans(&mut self, node: i32, end: i64) -> &mut Story {
        self.at(node, Event::LogCleaned { partition: P, end })
    }

    fn advances(&mut self, node: i32, high_watermark: i64) -> &mut Story {
        self.at(
            node,
            Event::HighWatermark {
                partition: P,
                high_watermark,
                epoch: 0,
                leader: true,
                maximal_isr: vec![1, 2, 3],
                min_insync_replicas: 2,
            },
        )
    }
}

/// A log with two plain records, a record of a transaction, and its marker; replicated up to `end`.
fn cleanable(marker: Option<bool>, end: i64) -> Story {
    let mut story = led();
    story
        .replicates(batch(0, 1, 0), 1, &[2, 3])
        .replicates(of_transaction(2, None), 1, &[2, 3]);
    if marker.is_some() {
        story.replicates(of_transaction(3, marker), 1, &[2, 3]);
    }
    story.advances(1, end);
    story
}

#[test]
fn log_4_what_is_replicated_and_decided_may_be_cleaned() {
    cleanable(None, 3).cleans(1, 2).holds();
    cleanable(Some(true), 4).cleans(1, 4).holds();
}

#[test]
fn log_4_nothing_above_the_high_watermark_is_cleaned() {
    cleanable(None, 1)
        .cleans(1, 2)
        .breaks("LOG-4", "cleaned-uncommitted");
}

#[test]
fn log_4_nothing_of_an_open_transaction_is_cleaned() {
    cleanable(None, 3)
        .cleans(1, 3)
        .breaks("LOG-4", "cleaned-open");
    cleanable(Some(false), 3)
        .cleans(1, 3)
        .breaks("LOG-4", "cleaned-open");
}

#[test]
fn log_4_a_truncated_marker_has_ended_nothing() {
    let mut story = cleanable(Some(true), 3);
    story.at(
        1,
        Event::Truncated {
            partition: P,
            log_end: 3,
        },
    );
    story.cleans(1, 3).breaks("LOG-4", "cleaned-open");
}
