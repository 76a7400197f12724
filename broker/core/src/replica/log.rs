//! The bounds of the local log as the core sees them: start, end, durable end, high watermark, epochs.

use broker_probe::mutant;
use broker_protocol::ids::{LeaderEpoch, Offset};

use super::leader_epochs::LeaderEpochs;
use super::message::{FetchedBatch, LogState, Output};
use crate::PersistId;

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Log {
    pub start: Offset,
    pub end: Offset,
    pub high_watermark: Offset,
    pub epochs: LeaderEpochs,
    pub flushed_end: Offset,
    flush_in_flight: Option<(PersistId, Offset)>,
    next_flush: u64,
}

impl Log {
    /// A checkpointed high watermark may be older or (after a loss) newer than the log.
    pub fn open(found: LogState) -> Log {
        assert!(
            0 <= found.log_start && found.log_start <= found.log_end,
            "log from {} to {}",
            found.log_start,
            found.log_end
        );
        Log {
            start: found.log_start,
            end: found.log_end,
            high_watermark: found.high_watermark.clamp(found.log_start, found.log_end),
            epochs: found.epochs,
            // What recovery found may still be only in the page cache.
            flushed_end: found.log_start,
            flush_in_flight: None,
            next_flush: 0,
        }
    }

    /// Gives the base offset.
    pub fn append_as_leader(&mut self, epoch: LeaderEpoch, records: u32) -> Offset {
        assert!(records > 0, "an append without records at {}", self.end);
        // L-19: an empty log goes on where it ended, not where a log begins.
        let base = if mutant!(L_19) && self.start == self.end {
            0
        } else {
            self.end
        };
        self.epochs.assign(epoch, base);
        self.end += i64::from(records);
        base
    }

    pub fn append_as_follower(&mut self, batch: FetchedBatch) {
        assert!(
            self.end <= batch.base_offset && batch.base_offset <= batch.last_offset,
            "batch {batch:?} after log end {}",
            self.end
        );
        self.epochs.assign(batch.leader_epoch, batch.base_offset);
        self.end = batch.last_offset + 1;
    }

    /// Cuts the log; also without effect on records it drops epochs that have none.
    pub fn truncate(&mut self, to: Offset, out: &mut Vec<Output>) {
        if to < self.start {
            return self.truncate_fully(to, to, out);
        }
        self.cut(to.min(self.end));
        out.push(Output::Truncate { to: self.end });
    }

    /// `at` is below `start` only for a moment: the batch that is appended next covers the start.
    pub fn truncate_fully(&mut self, at: Offset, start: Offset, out: &mut Vec<Output>) {
        assert!(
            0 <= at && at <= start,
            "restart of a log at {at}, start {start}"
        );
        self.epochs.clear();
        self.start = start;
        self.end = at;
        self.high_watermark = start;
        self.flushed_end = at;
        self.flush_in_flight = None;
        out.push(Output::TruncateFully { at });
    }

    /// The storage cut at a batch boundary, perhaps a bit lower.
    pub fn truncated(&mut self, end: Offset) {
        assert!(
            self.start <= end && end <= self.end,
            "truncated to {end}, log is {} to {}",
            self.start,
            self.end
        );
        self.cut(end);
    }

    fn cut(&mut self, end: Offset) {
        if end < self.end || !mutant!(R_14) {
            self.epochs.truncate_from_end(end);
        }
        self.end = end;
        self.high_watermark = self.high_watermark.min(end);
        self.flushed_end = self.flushed_end.min(end);
        // A flush that began before says nothing about records that now take these offsets.
        self.flush_in_flight = None;
    }

    pub fn raise_high_watermark(&mut self, to: Offset, out: &mut Vec<Output>) -> bool {
        let to = to.min(self.end);
        if to <= self.high_watermark {
            return false;
        }
        self.high_watermark = to;
        out.push(Output::HighWatermark { high_watermark: to });
        true
    }

    /// Never above the high watermark: what is deleted must be known to be committed.
    pub fn raise_start(&mut self, to: Offset) -> bool {
        assert!(
            to <= self.high_watermark,
            "log start {to} above high watermark {}",
            self.high_watermark
        );
        if to <= self.start {
            return false;
        }
        self.start = to;
        self.epochs.truncate_from_start(to);
        self.flushed_end = self.flushed_end.max(to);
        true
    }

    /// Asks for a flush up to the end, unless one is under way: it is asked again when that is done, so
    /// all waiters share one.
    pub fn request_flush(&mut self, out: &mut Vec<Output>) {
        if self.flushed_end >= self.end || self.flush_in_flight.is_some() {
            return;
        }
        let id = PersistId(self.next_flush);
        self.next_flush += 1;
        self.flush_in_flight = Some((id, self.end));
        out.push(Output::Flush { id, end: self.end });
    }

    /// False for a flush that a truncation has overtaken.
    pub fn flushed(&mut self, id: PersistId) -> bool {
        match self.flush_in_flight {
            Some((in_flight, end)) if in_flight == id => {
                self.flush_in_flight = None;
                self.flushed_end = self.flushed_end.max(end);
                true
            }
            _ => false,
        }
    }
}
