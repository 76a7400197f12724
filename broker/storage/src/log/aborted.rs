//! Which transactions of a log were aborted.
//!
//! The log does not know: who follows the producers tells it of each marker that aborts. After opening the same
//! has to be told again from [`Log::aborted_known_to`] on, before that may be taken for durable.

use broker_probe::probe;
use broker_protocol::ids::Offset;
use broker_protocol::record::RecordBatch;

use super::Log;
use crate::batch::end_txn_marker;
use crate::error::LogError;
use crate::txn_index::AbortedTxn;

/// Below which offset the log's aborted transactions are known.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct AbortedKnown {
    pub(super) to: Offset,
    /// As of the last flush: the recovery point is not above it.
    pub(super) durable_to: Offset,
}

impl AbortedKnown {
    pub(super) fn to(offset: Offset) -> AbortedKnown {
        AbortedKnown {
            to: offset,
            durable_to: offset,
        }
    }
}

impl Log {
    /// A transaction was aborted by a marker that is in the log. Of one that is known already nothing changes.
    pub fn append_aborted(&mut self, txn: AbortedTxn) -> Result<(), LogError> {
        self.check_usable()?;
        assert!(
            txn.is_possible() && txn.last_offset < self.log_end,
            "{}: {txn:?} is not in a log that ends at {}",
            self.partition,
            self.log_end
        );
        let result = self.push_aborted(txn);
        self.watch(result)
    }

    fn push_aborted(&mut self, txn: AbortedTxn) -> Result<(), LogError> {
        let active = self.active_base_offset();
        let Some((base, segment)) = self.segments.range_mut(..=txn.last_offset).next_back() else {
            return Ok(());
        };
        // A file of the name that is to be created may be waiting for its removal.
        let own = segment.aborted_path();
        let doomed = self.doomed.iter().filter(|doomed| doomed.is_of(&own));
        for doomed in doomed {
            doomed.run(self.disk.as_ref())?;
        }
        if segment.push_aborted(&self.disk, txn)? {
            self.versions.names_changed();
        }
        // What gets no more appends is stored at once.
        if *base != active {
            segment.store_aborted()?;
        }
        Ok(())
    }

    /// The aborted transactions with records in `[from, upper)`, by marker. There may be more of them than were
    /// asked for: what matters to a reader is that none is missing.
    pub fn aborted_transactions(
        &self,
        from: Offset,
        upper: Offset,
    ) -> Result<Vec<AbortedTxn>, LogError> {
        let mut found = Vec::new();
        let floor = self.segments.range(..=from).next_back();
        let floor = floor.map_or(from, |(base, _)| *base);
        for segment in self.segments.range(floor..).map(|(_, segment)| segment) {
            let complete = segment
                .collect_aborted(from, upper, &mut found)
                .map_err(LogError::from);
            if self.watch(complete)? {
                break;
            }
        }
        if self.config.cleanup_compact {
            let mut present = Vec::with_capacity(found.len());
            for txn in found {
                if self.has_marker(txn.last_offset)? {
                    present.push(txn);
                }
            }
            return Ok(present);
        }
        Ok(found)
    }

    /// Compaction takes markers away and leaves the index as it is. To name a transaction whose marker does not
    /// come would make readers leave out all that comes later from its producer.
    fn has_marker(&self, offset: Offset) -> Result<bool, LogError> {
        let Some((_, segment)) = self.segments.range(..=offset).next_back() else {
            return Ok(false);
        };
        let Some(located) = self.watch(segment.locate(offset))? else {
            return Ok(false);
        };
        if located.info.last_offset != offset {
            return Ok(false);
        }
        let bytes = self.watch(segment.read_batch(located))?;
        let batch = RecordBatch::new(bytes).ok();
        Ok(batch.is_some_and(|batch| end_txn_marker(&batch).is_some()))
    }

    /// All markers below are accounted for. After opening, replay what the log says of its producers from a
    /// snapshot that is not above it, then call [`Log::aborted_told`].
    pub fn aborted_known_to(&self) -> Offset {
        self.aborted_known.to
    }

    /// All that was aborted is told; the recovery point may rise with the next flush.
    pub fn aborted_told(&mut self) {
        if self.aborted_known.to < Offset::MAX {
            probe!("storage: aborted transactions told again");
            self.aborted_known.to = Offset::MAX;
        }
    }
}
