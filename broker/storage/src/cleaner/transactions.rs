//! Which transaction each batch belongs to, as the log is read from its start, and whether a marker is still needed.

use std::collections::{BTreeMap, BTreeSet};

use broker_protocol::ids::Offset;
use broker_protocol::record::BatchView;

use crate::batch::{BatchInfo, end_txn_marker};
use crate::txn_index::AbortedTxn;

#[derive(Clone, Debug)]
pub(crate) struct TransactionsRead {
    /// Those to come, by first offset, the next one last.
    aborted: Vec<AbortedTxn>,
    /// By producer: whether a batch of it was met.
    open_aborted: BTreeMap<i64, bool>,
    /// Producers of which a batch was met.
    open_committed: BTreeSet<i64>,
}

impl TransactionsRead {
    /// `aborted` are all with records in what is read.
    pub(crate) fn new(mut aborted: Vec<AbortedTxn>) -> TransactionsRead {
        aborted.sort_by_key(|txn| std::cmp::Reverse(txn.first_offset));
        TransactionsRead {
            aborted,
            open_aborted: BTreeMap::new(),
            open_committed: BTreeSet::new(),
        }
    }

    fn begin_up_to(&mut self, offset: Offset) {
        while let Some(txn) = self.aborted.pop_if(|txn| txn.first_offset <= offset) {
            self.open_aborted.entry(txn.producer_id).or_insert(false);
        }
    }

    /// The next batch is data. Whether it was aborted.
    pub(crate) fn on_data(&mut self, info: &BatchInfo) -> bool {
        self.begin_up_to(info.last_offset);
        if !info.is_transactional() {
            return false;
        }
        match self.open_aborted.get_mut(&info.producer_id) {
            Some(met) => {
                *met = true;
                true
            }
            None => {
                self.open_committed.insert(info.producer_id);
                false
            }
        }
    }

    /// The next batch is a control batch. Whether nothing is left of what it ends, so that nobody needs it.
    pub(crate) fn on_control(&mut self, info: &BatchInfo, batch: &BatchView<'_>) -> bool {
        self.begin_up_to(info.last_offset);
        match end_txn_marker(batch) {
            Some(marker) if marker.committed => !self.open_committed.remove(&info.producer_id),
            Some(_) => self.open_aborted.remove(&info.producer_id) != Some(true),
            // An empty one was cleaned before.
            None => batch.count() == 0,
        }
    }
}
