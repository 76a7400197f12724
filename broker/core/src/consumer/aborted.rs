//! What of an answer belongs to aborted transactions (KIP-98).
//!
//! The broker names the transactions that are aborted somewhere in what it sends, each with its first offset; their
//! abort markers are among the batches. Between the two, everything transactional of the producer is aborted.

use std::collections::BTreeSet;

use broker_protocol::ids::Offset;

/// Reads one answer's batches in their order.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AbortedTransactions {
    /// (first offset, producer id), the last one first.
    to_come: Vec<(Offset, i64)>,
    /// Producers with an aborted transaction at this place.
    aborting: BTreeSet<i64>,
}

/// What a batch is, for transactions.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct BatchOfProducer {
    pub last_offset: Offset,
    pub producer_id: i64,
    pub is_transactional: bool,
    pub is_abort_marker: bool,
}

impl AbortedTransactions {
    /// (producer id, first offset), as the answer has them.
    pub fn new(told: impl IntoIterator<Item = (i64, Offset)>) -> AbortedTransactions {
        let told = told.into_iter();
        let mut to_come: Vec<(Offset, i64)> = told.map(|(id, first)| (first, id)).collect();
        to_come.sort_unstable_by(|one, other| other.cmp(one));
        AbortedTransactions {
            to_come,
            aborting: BTreeSet::new(),
        }
    }

    /// Whether the next batch's records are not for a reader of committed ones.
    pub fn is_aborted(&mut self, batch: BatchOfProducer) -> bool {
        while let Some((_, producer)) = self
            .to_come
            .pop_if(|(first, _)| *first <= batch.last_offset)
        {
            self.aborting.insert(producer);
        }
        if batch.is_abort_marker {
            self.aborting.remove(&batch.producer_id);
        }
        batch.is_transactional && self.aborting.contains(&batch.producer_id)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Offset, producer, and `r` a record, `a` an abort marker, `c` a commit marker, `-` not transactional.
    fn dropped(told: &[(i64, Offset)], batches: &[(Offset, i64, char)]) -> Vec<Offset> {
        let mut aborted = AbortedTransactions::new(told.iter().copied());
        let mut dropped = Vec::new();
        for (offset, producer_id, kind) in batches {
            let batch = BatchOfProducer {
                last_offset: *offset,
                producer_id: *producer_id,
                is_transactional: *kind != '-',
                is_abort_marker: *kind == 'a',
            };
            if aborted.is_aborted(batch) {
                dropped.push(*offset);
            }
        }
        dropped
    }

    #[test]
    fn what_lies_between_a_first_offset_and_its_marker_is_dropped() {
        let log = [
            (0, 7, 'r'),
            (1, 8, 'r'),
            (2, 7, 'r'),
            (3, 7, 'a'),
            (4, 7, 'r'),
            (5, 8, 'c'),
            (6, 7, 'c'),
            (7, 7, '-'),
            (8, 7, 'r'),
            (9, 7, 'a'),
        ];
        assert_eq!(dropped(&[], &log), []);
        assert_eq!(dropped(&[(7, 8), (7, 0)], &log), [0, 2, 8]);
        assert_eq!(dropped(&[(8, 1)], &log[..4]), [1]);
    }

    #[test]
    fn an_answer_that_begins_in_the_middle_has_the_transaction_too() {
        assert_eq!(
            dropped(&[(7, 0)], &[(2, 7, 'r'), (3, 7, 'a'), (4, 7, 'r')]),
            [2]
        );
    }
}
