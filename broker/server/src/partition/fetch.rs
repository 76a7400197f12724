//! Fetch, from both sides: reading for followers and consumers, appending what a leader sent.

use std::collections::BTreeSet;
use std::sync::Arc;

use broker_core::replica::{
    ConsumerFetch, EpochEntry, FetchAnswer, FetchRequest, FetchResponse, Fetched, FetchedBatch,
    FollowerFetch, Input, LeaderEpochs, Output, Reply,
};
use broker_probe::probe;
use broker_protocol::ErrorCode;
use broker_protocol::ids::{NodeId, Offset};
use broker_protocol::record::{BatchError, RecordBatches};
use broker_storage::{AbortedTxn, BatchInfo, Log, LogError};
use bytes::Bytes;

use super::{Inner, Partition, Payload};
use crate::observe::Observation;

/// How much one read may return.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct ReadLimits {
    pub max_bytes: usize,
    /// The first batch comes even if it alone is larger (KIP-74).
    pub min_one_message: bool,
}

/// What a fetch of one partition returns.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct FetchRead {
    pub answer: FetchAnswer,
    pub records: Bytes,
    /// Who should be asked instead (KIP-392); then there are no records.
    pub preferred_read_replica: Option<NodeId>,
    pub last_stable_offset: Offset,
    /// For readers of committed data: the aborted transactions with records in what was read.
    pub aborted: Option<Vec<AbortedTxn>>,
}

/// What a consumer may see.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Isolation {
    ReadUncommitted,
    ReadCommitted,
}

impl Isolation {
    /// Whatever is not 1 is the first, as in Kafka.
    pub fn from_wire(level: i8) -> Isolation {
        match level {
            1 => Isolation::ReadCommitted,
            _ => Isolation::ReadUncommitted,
        }
    }
}

impl Partition {
    /// A follower's fetch, which also tells how far the follower is.
    pub fn follower_fetch(
        self: &Arc<Self>,
        fetch: FollowerFetch,
        limits: ReadLimits,
    ) -> Result<FetchRead, ErrorCode> {
        let mut inner = self.lock();
        let ticket = inner.ticket();
        let mut outputs = Vec::new();
        inner.take(self, Input::FollowerFetch { ticket, fetch }, &mut outputs);
        let mut answer = None;
        for output in outputs {
            match output {
                Output::Reply {
                    reply: Reply::FollowerFetched(result),
                    ..
                } => answer = Some(result),
                other => self.carry_out_checked(&mut inner, other),
            }
        }
        let answer = answer.expect("a follower's fetch is answered at once")?;
        self.observe_divergence(fetch.last_fetched_epoch, &answer);
        self.read(&mut inner, fetch.fetch_offset, answer, limits)
    }

    /// The same fetch again after a wait, without counting it twice.
    pub fn read_for_follower(
        self: &Arc<Self>,
        fetch: &FollowerFetch,
        limits: ReadLimits,
    ) -> Result<FetchRead, ErrorCode> {
        let mut inner = self.lock();
        let answer = inner.core.read_for_follower(fetch)?;
        self.read(&mut inner, fetch.fetch_offset, answer, limits)
    }

    /// `same_rack`: the live brokers of the consumer's rack, if such a one should serve it (KIP-392).
    pub fn read_for_consumer(
        self: &Arc<Self>,
        fetch: &ConsumerFetch,
        same_rack: &BTreeSet<NodeId>,
        isolation: Isolation,
        limits: ReadLimits,
    ) -> Result<FetchRead, ErrorCode> {
        let mut inner = self.lock();
        let mut answer = inner.core.read_for_consumer(fetch)?;
        self.observe_divergence(fetch.last_fetched_epoch, &answer);
        let committed = isolation == Isolation::ReadCommitted;
        if committed {
            answer.limit = answer.limit.min(inner.last_stable_offset());
        }
        let preferred = inner.core.preferred_read_replica(fetch, same_rack);
        if preferred.is_some() && answer.diverging.is_none() {
            probe!("fetch: sent to a replica in the consumer's rack");
            return Ok(FetchRead {
                preferred_read_replica: preferred,
                aborted: committed.then(Vec::new),
                ..inner.nothing(answer)
            });
        }
        let mut read = self.read(&mut inner, fetch.fetch_offset, answer, limits)?;
        let end = infos(&read.records)
            .last()
            .map_or(fetch.fetch_offset, BatchInfo::next_offset);
        if committed {
            read.aborted = Some(self.aborted_between(&mut inner, fetch.fetch_offset, end)?);
        }
        if !read.records.is_empty() {
            self.observe(|| Observation::ConsumerRead {
                partition: self.id,
                from: fetch.fetch_offset,
                end,
                limit: read.answer.limit,
                aborted: read.aborted.as_ref().map(|aborted| {
                    let each = aborted.iter();
                    each.map(|txn| (txn.producer_id, txn.first_offset))
                        .collect()
                }),
            });
        }
        Ok(read)
    }

    fn aborted_between(
        self: &Arc<Self>,
        inner: &mut Inner,
        from: Offset,
        end: Offset,
    ) -> Result<Vec<AbortedTxn>, ErrorCode> {
        if end <= from {
            return Ok(Vec::new());
        }
        let aborted = inner.log().aborted_transactions(from, end);
        aborted.map_err(|error| {
            self.fail(inner, &error);
            ErrorCode::KafkaStorageError
        })
    }

    /// The limit comes from the same step as the answer, so no append can slip in between (L-10).
    fn read(
        self: &Arc<Self>,
        inner: &mut Inner,
        from: Offset,
        answer: FetchAnswer,
        limits: ReadLimits,
    ) -> Result<FetchRead, ErrorCode> {
        if answer.diverging.is_some() || from >= answer.limit {
            return Ok(inner.nothing(answer));
        }
        let read = inner
            .log()
            .read(from, limits.max_bytes, answer.limit, limits.min_one_message);
        match read {
            Ok(read) => Ok(FetchRead {
                records: read.records,
                ..inner.nothing(answer)
            }),
            Err(LogError::OutOfRange { .. }) => Err(ErrorCode::OffsetOutOfRange),
            Err(LogError::Corrupt(error)) => {
                tracing::error!(node = %self.context.node, partition = %self.name, %error, "read found damage");
                Err(ErrorCode::CorruptMessage)
            }
            Err(error) => {
                self.fail(inner, &error);
                Err(ErrorCode::KafkaStorageError)
            }
        }
    }

    /// What to ask the leader for; nothing while a truncation is being made durable.
    pub fn fetch_request(&self) -> Option<FetchRequest> {
        let inner = self.lock();
        if inner.log().truncation_pending() {
            return None;
        }
        inner.core.fetch_request()
    }

    /// The leader's answer to `request`.
    pub fn fetch_response(self: &Arc<Self>, request: FetchRequest, result: FetchResult) {
        let mut inner = self.lock();
        if inner.log().truncation_pending() {
            return;
        }
        let (result, records) = match result {
            Ok(fetched) => (Ok(fetched.0), fetched.1),
            Err(code) => (Err(code), Bytes::new()),
        };
        if let Ok(fetched) = &result
            && inner.core.fetch_request() == Some(request)
            && self.restart_below(&mut inner, &fetched.batches)
        {
            return;
        }
        let input = Input::FetchResponse(FetchResponse { request, result });
        self.step_locked(&mut inner, input, Payload::Fetched(records));
    }

    /// An empty log that starts inside of a leader's batch (the leader deleted records up to there) begins
    /// with that batch. The new beginning must be durable before anything is appended to it: true if that
    /// is under way now. Then the same fetch brings the batch once more.
    fn restart_below(self: &Arc<Self>, inner: &mut Inner, batches: &[FetchedBatch]) -> bool {
        let (start, end) = inner.log_bounds();
        let first = batches.first().filter(|first| {
            start == end && (0..end).contains(&first.base_offset) && first.last_offset >= end
        });
        let Some(first) = first else {
            return false;
        };
        probe!("partition: an empty log restarts inside of a batch");
        if let Err(error) = self.restart_at(inner, first.base_offset) {
            self.fail(inner, &error);
        }
        true
    }

    /// Empties the log; it goes on at `at`. Nothing to do if it is like that already.
    pub(super) fn restart_at(
        self: &Arc<Self>,
        inner: &mut Inner,
        at: Offset,
    ) -> Result<(), LogError> {
        if inner.log_bounds() == (at, at) {
            return Ok(());
        }
        let job = inner.log().truncate_fully_and_start_at(at)?;
        self.observe(|| Observation::Truncated {
            partition: self.id,
            log_end: at,
        });
        self.run_truncation(job);
        self.reload_producers(inner)
    }

    fn observe_divergence(
        &self,
        asked: Option<broker_protocol::ids::LeaderEpoch>,
        answer: &FetchAnswer,
    ) {
        if let (Some(asked), Some(diverging)) = (asked, answer.diverging) {
            self.observe(|| Observation::EpochEndOffsetAnswered {
                partition: self.id,
                asked,
                answer_epoch: diverging.epoch,
                end_offset: diverging.end_offset,
            });
        }
    }
}

impl Inner {
    pub(super) fn last_stable_offset(&self) -> Offset {
        let (start, high_watermark) = (self.core.log_start(), self.core.high_watermark());
        self.producers.last_stable_offset(start, high_watermark)
    }

    /// An answer without records.
    fn nothing(&self, answer: FetchAnswer) -> FetchRead {
        FetchRead {
            answer,
            records: Bytes::new(),
            preferred_read_replica: None,
            last_stable_offset: self.last_stable_offset(),
            aborted: None,
        }
    }
}

/// What a leader's answer holds for one partition: the core's part, and the bytes of its batches.
pub type FetchResult = Result<(Fetched, Bytes), ErrorCode>;

/// Splits a leader's bytes into whole, intact batches; a partial last one is left out.
///
/// # Errors
/// A damaged batch: nothing of it may reach the log.
pub fn fetched_batches(bytes: &Bytes) -> Result<(Vec<FetchedBatch>, Bytes), BatchError> {
    let mut batches = Vec::new();
    let mut size = 0;
    for batch in RecordBatches::new(bytes.clone()) {
        let batch = batch?;
        batch.validate()?;
        size += batch.size();
        batches.push(FetchedBatch {
            base_offset: batch.base_offset(),
            last_offset: batch.last_offset(),
            leader_epoch: broker_protocol::ids::LeaderEpoch(batch.partition_leader_epoch()),
        });
    }
    Ok((batches, bytes.slice(..size)))
}

/// Headers of whole batches that were checked before.
pub(super) fn infos(bytes: &Bytes) -> Vec<BatchInfo> {
    RecordBatches::new(bytes.clone())
        .map_while(Result::ok)
        .map(|batch| BatchInfo::of(&batch))
        .collect()
}

pub(super) fn core_epochs(log: &Log) -> LeaderEpochs {
    LeaderEpochs::from_entries(log.epochs().entries().iter().map(|entry| EpochEntry {
        epoch: entry.epoch,
        start_offset: entry.start_offset,
    }))
}
