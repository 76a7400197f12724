//! From a decision to its completion: markers in all partitions.

use std::collections::BTreeSet;

use broker_probe::{mutant, probe};

use super::message::{Markers, MarkersWritten, Output};
use super::record::{State, TransactionMetadata};
use super::{Completing, Step, TransactionCoordinator};

impl TransactionCoordinator {
    /// Sends all markers of a decided transaction; one without partitions is complete.
    pub(super) fn send_markers(&mut self, id: &str, step: &mut Step<'_>) {
        let decided = self.hard.get(id).expect("it was just decided");
        let partitions = decided.partitions.clone();
        if partitions.is_empty() {
            self.complete(id, step);
            return;
        }
        self.attempts += 1;
        let markers = Markers {
            transactional_id: id.to_string(),
            attempt: self.attempts,
            producer: decided.producer(),
            committed: decided.state == State::PrepareCommit,
            partitions: partitions.clone(),
        };
        let completing = Completing {
            attempt: self.attempts,
            left: partitions,
        };
        self.completing.insert(id.to_string(), completing);
        step.out.push(Output::SendMarkers(markers));
    }

    pub(super) fn on_markers_written(&mut self, written: &MarkersWritten, step: &mut Step<'_>) {
        let id = &written.transactional_id;
        let Some(completing) = self.completing.get_mut(id) else {
            probe!("transaction: markers of one that is complete were reported");
            return;
        };
        if completing.attempt != written.attempt && !mutant!(T_07) {
            probe!("transaction: markers of an earlier one were reported");
            return;
        }
        for partition in &written.partitions {
            completing.left.remove(partition);
        }
        if mutant!(T_08) && written.partitions.len() > 1 {
            return;
        }
        if completing.left.is_empty() {
            if !mutant!(T_07) {
                self.completing.remove(id);
            }
            self.complete(id, step);
        }
    }

    fn complete(&mut self, id: &str, step: &mut Step<'_>) {
        let decided = self.hard.get(id).expect("only what is decided completes");
        let state = if decided.state == State::PrepareCommit {
            State::CompleteCommit
        } else {
            State::CompleteAbort
        };
        let producer = decided.next_producer();
        let completed = TransactionMetadata {
            producer_id: producer.id,
            previous_producer_id: Some(decided.producer_id),
            next_producer_id: None,
            producer_epoch: producer.epoch,
            state,
            partitions: BTreeSet::new(),
            last_update_ms: step.now_ms,
            ..decided.clone()
        };
        self.write(id, Some(completed), step);
    }
}
