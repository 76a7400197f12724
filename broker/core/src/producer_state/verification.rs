//! Verification (KIP-890): no transactional record is appended unless its coordinator knows of the transaction
//! here.
//!
//! Before the first batch of a transaction the leader asks the coordinator, and takes a guard before it asks.
//! Whatever is appended for the producer meanwhile, a marker above all, takes the guard away: an answer that is
//! older than the marker proves nothing any more (T-02). Once the first batch is in the log the open
//! transaction itself is the proof.

use std::collections::BTreeMap;

use broker_probe::{mutant, probe};
use broker_protocol::ErrorCode;

use super::{Producer, ProducerBatch, ProducerStates, is_expired};

/// Names one attempt to verify; never given twice.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct VerificationGuard(u64);

/// What a batch brings to show that the coordinator knows of its transaction.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Proof {
    /// None is asked for: `transaction.partition.verification.enable=false`, or it is a replica.
    NotNeeded,
    /// There was a transaction open when the request was looked at; there must be one still.
    OpenTransaction,
    /// The coordinator was asked.
    Verified(VerificationGuard),
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub(super) struct Verifications {
    waiting: BTreeMap<i64, Verification>,
    given: u64,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
struct Verification {
    guard: VerificationGuard,
    since_ms: i64,
    epoch: i16,
    /// Of the batches that wait for the coordinator: the first to be appended.
    lowest_sequence: i32,
    bumps_epochs: bool,
}

impl Verifications {
    pub(super) fn forget(&mut self, producer_id: i64) {
        self.waiting.remove(&producer_id);
    }

    pub(super) fn expire(&mut self, now_ms: i64, expiration_ms: i64) {
        self.waiting
            .retain(|_, verification| !is_expired(verification.since_ms, now_ms, expiration_ms));
    }

    fn holds(&self, producer_id: i64, guard: VerificationGuard) -> bool {
        let waiting = self.waiting.get(&producer_id);
        waiting.is_some_and(|verification| verification.guard == guard)
    }
}

impl ProducerStates {
    /// The coordinator has to be asked about this transactional batch, and the guard brought along with it
    /// once it has said yes. `None`: the transaction is open here. `bumps_epochs`: the producer has an epoch
    /// for each transaction (Produce v12, KIP-890 part 2), so its sequences begin with 0.
    pub fn begin_verification(
        &mut self,
        batch: &ProducerBatch,
        bumps_epochs: bool,
        now_ms: i64,
    ) -> Option<VerificationGuard> {
        if self.is_ongoing(batch.producer_id, batch.producer_epoch) {
            return None;
        }
        let Verifications { waiting, given } = &mut self.verifications;
        let verification = waiting.entry(batch.producer_id).or_insert_with(|| {
            *given += 1;
            Verification {
                guard: VerificationGuard(*given),
                since_ms: now_ms,
                epoch: batch.producer_epoch,
                lowest_sequence: batch.base_sequence,
                bumps_epochs,
            }
        });
        if batch.producer_epoch > verification.epoch {
            verification.epoch = batch.producer_epoch;
            verification.lowest_sequence = batch.base_sequence;
        } else if batch.producer_epoch == verification.epoch {
            verification.lowest_sequence = verification.lowest_sequence.min(batch.base_sequence);
        }
        Some(verification.guard)
    }

    pub(super) fn check_proof(&self, batch: &ProducerBatch, proof: Proof) -> Result<(), ErrorCode> {
        let proven = match proof {
            Proof::NotNeeded => true,
            Proof::OpenTransaction => mutant!(T_01),
            Proof::Verified(guard) => {
                self.verifications.holds(batch.producer_id, guard) || mutant!(T_02)
            }
        };
        let known = self.is_ongoing(batch.producer_id, batch.producer_epoch);
        if !batch.transactional || known || proven {
            return Ok(());
        }
        probe!("producer state: record of no ongoing transaction");
        Err(ErrorCode::InvalidTxnState)
    }

    /// Batches that wait for the coordinator together are appended in their order, the lowest first.
    pub(super) fn check_against_verification(
        &self,
        producer: Option<&Producer>,
        batch: &ProducerBatch,
    ) -> Result<(), ErrorCode> {
        let Some(verification) = self.verifications.waiting.get(&batch.producer_id) else {
            return Ok(());
        };
        let is_first = producer.is_none_or(|producer| producer.batches.is_empty());
        if (verification.bumps_epochs && batch.base_sequence != 0 && is_first)
            || batch.base_sequence > verification.lowest_sequence
        {
            probe!("producer state: overtook a batch that is being verified");
            return Err(ErrorCode::OutOfOrderSequenceNumber);
        }
        Ok(())
    }
}
