//! Transactions in a log: TXN-3, TXN-5. The log says of each how it ended; the reader is told apart.

use std::collections::BTreeSet;

use super::event::{BatchSummary, BatchTransaction, PartitionId};
use super::judge::{Invariant, Judge};
use super::shadow::ShadowLog;

/// TXN-3: what a leader appends for a transaction lies between its begin and its marker, so the records of one
/// transaction have one epoch, and a marker ends none of an epoch that came after it.
pub fn attributed(id: PartitionId, log: &ShadowLog, batch: BatchSummary, judge: &mut Judge) {
    let Some(transaction) = batch.transaction else {
        return;
    };
    let last = log.last_of_transaction(transaction.producer_id).copied();
    let Some((last, before)) = last.and_then(|last| Some((last, last.transaction?))) else {
        return;
    };
    let lawful = match (transaction.committed, before.committed) {
        (None, None) => transaction.producer_epoch == before.producer_epoch,
        _ => transaction.producer_epoch >= before.producer_epoch,
    };
    judge.demand(lawful, Invariant::Txn3, "misattributed", |judge| {
        format!(
            "{}: appended {batch} of transaction epoch {} behind {last} of epoch {}",
            judge.name(id),
            transaction.producer_epoch,
            before.producer_epoch
        )
    });
}

/// TXN-5: of what a reader of committed data was given, with the list of aborted transactions, it keeps the
/// records of those that committed and of no others; and no end of a transaction that it believes may be lost.
pub fn read_committed(
    id: PartitionId,
    log: &ShadowLog,
    high_watermark: i64,
    (from, end): (i64, i64),
    aborted: &[(i64, i64)],
    judge: &mut Judge,
) {
    let mut listed: Vec<(i64, i64)> = aborted.iter().map(|(id, first)| (*first, *id)).collect();
    listed.sort_unstable();
    let mut listed = listed.into_iter().peekable();
    let mut left_out = BTreeSet::new();
    for batch in log.range(from, end) {
        while let Some((_, producer)) = listed.next_if(|(first, _)| *first <= batch.last_offset) {
            left_out.insert(producer);
        }
        let Some(transaction) = batch.transaction else {
            continue;
        };
        match transaction.committed {
            Some(committed) => {
                if !committed {
                    left_out.remove(&transaction.producer_id);
                }
            }
            None => {
                let kept = !left_out.contains(&transaction.producer_id);
                let marker = log.marker_after(batch.last_offset, transaction.producer_id);
                judge_record(id, batch, kept, marker, high_watermark, judge);
            }
        }
    }
}

fn judge_record(
    id: PartitionId,
    batch: &BatchSummary,
    kept: bool,
    marker: Option<(i64, BatchTransaction)>,
    high_watermark: i64,
    judge: &mut Judge,
) {
    let ended = marker.filter(|(offset, _)| *offset < high_watermark);
    judge.demand(ended.is_some(), Invariant::Txn5, "read-open", |judge| {
        let name = judge.name(id);
        format!("{name}: gave {batch}, the end of whose transaction is at {marker:?}, high watermark {high_watermark}")
    });
    if let Some((offset, end)) = ended {
        let committed = end.committed == Some(true);
        let anomaly = if committed {
            "missed-committed"
        } else {
            "read-aborted"
        };
        judge.demand(kept == committed, Invariant::Txn5, anomaly, |judge| {
            let name = judge.name(id);
            let outcome = if committed { "committed" } else { "aborted" };
            format!(
                "{name}: {batch} was {outcome} at {offset}, its reader {}",
                if kept { "keeps it" } else { "leaves it out" }
            )
        });
    }
}
