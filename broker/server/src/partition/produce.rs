//! Produce: validated batches into the leader's log.

use std::sync::Arc;

use broker_core::producer_state::{Proof, Verdict};
use broker_core::replica::{Acks, Input, Produced};
use broker_env::WallTime;
use broker_protocol::ErrorCode;
use broker_protocol::ids::{LeaderEpoch, Offset};
use broker_protocol::record::{
    Batch, BatchBuilder, BatchError, BatchOptions, Batches, Compression, EndTxnMarker,
};
use broker_storage::{BatchInfo, end_txn_marker};
use bytes::{Bytes, BytesMut};
use tokio::sync::oneshot;

use super::{Inner, Partition, Payload, Produce};
use crate::config::TopicConfig;
use crate::observe::{self, Observation};

/// What becomes of a produce to one partition.
pub type ProduceReply = Result<Produced, ErrorCode>;

/// Most bytes the records of a compressed batch may expand to when they are validated.
const DECOMPRESSED_BYTES_MAX: usize = 256 * 1024 * 1024;

/// One validated batch that waits for its offset.
#[derive(Debug)]
pub struct ProduceBatch {
    batch: Batch<BytesMut>,
    records: u32,
    proof: Proof,
    marker: Option<EndTxnMarker>,
}

impl ProduceBatch {
    /// Checks what a producer sent: exactly one batch of format v2, whole, with the right checksum, a
    /// record count that fits its offsets (L-13), and not over `max.message.bytes`. `records` become the
    /// log's, without a copy.
    ///
    /// # Errors
    /// Kafka's code for what is wrong, and a message for the client.
    pub fn validate(
        records: BytesMut,
        config: &TopicConfig,
        now: WallTime,
    ) -> Result<ProduceBatch, (ErrorCode, String)> {
        check(&records, config)?;
        let mut batch = Batch::new(records).map_err(|error| refused(&error))?;
        if config.message_timestamp_type == "LogAppendTime" {
            batch.set_log_append_time(now.0);
        }
        let records = u32::try_from(i64::from(batch.last_offset_delta()) + 1).map_err(|_| {
            (
                ErrorCode::InvalidRecord,
                "negative last offset delta".to_string(),
            )
        })?;
        Ok(ProduceBatch {
            batch,
            records,
            proof: Proof::NotNeeded,
            marker: None,
        })
    }

    /// With what shows that the coordinator knows of the batch's transaction; without, none is asked for.
    pub fn with_proof(self, proof: Proof) -> ProduceBatch {
        ProduceBatch { proof, ..self }
    }

    pub(super) fn proof(&self) -> Proof {
        self.proof
    }

    pub(super) fn marker(&self) -> Option<EndTxnMarker> {
        self.marker
    }

    pub(super) fn info(&self) -> BatchInfo {
        BatchInfo::of(&self.batch)
    }

    /// Producer id and epoch.
    pub fn producer(&self) -> (i64, i16) {
        (self.batch.producer_id(), self.batch.producer_epoch())
    }

    pub fn is_transactional(&self) -> bool {
        self.batch.is_transactional()
    }

    /// A batch of this broker's own.
    pub fn internal(records: BytesMut) -> ProduceBatch {
        let batch = Batch::new(records).expect("built by this broker");
        let records = u32::try_from(batch.count()).expect("a batch counts its records");
        let marker = end_txn_marker(&batch);
        ProduceBatch {
            batch,
            records,
            proof: Proof::NotNeeded,
            marker,
        }
    }

    /// One that stands for whatever the producer's transaction will write; it is never appended.
    pub fn of_nothing((producer_id, producer_epoch): (i64, i16)) -> ProduceBatch {
        let batch = BatchBuilder::new(BatchOptions {
            producer_id,
            producer_epoch,
            is_transactional: true,
            ..BatchOptions::default()
        });
        ProduceBatch::internal(BytesMut::from(batch.build_until(0).as_bytes()))
    }

    /// The end of a producer's transaction; a coordinator has decided on it.
    pub fn end_of_transaction(
        producer_id: i64,
        producer_epoch: i16,
        marker: EndTxnMarker,
        now: WallTime,
    ) -> ProduceBatch {
        let batch = marker.batch(producer_id, producer_epoch, now.0);
        ProduceBatch::internal(BytesMut::from(batch.as_bytes()))
    }

    pub fn is_zstd(&self) -> bool {
        self.batch.compression() == Ok(Compression::Zstd)
    }

    /// Gives the batch its place in the log.
    pub(super) fn place(mut self, base_offset: Offset, epoch: LeaderEpoch) -> (Bytes, BatchInfo) {
        self.batch.set_base_offset(base_offset);
        self.batch.set_partition_leader_epoch(epoch.0);
        let info = BatchInfo::of(&self.batch);
        (self.batch.into_bytes().freeze(), info)
    }
}

/// A whole request's worth of one partition.
fn check(records: &[u8], config: &TopicConfig) -> Result<(), (ErrorCode, String)> {
    let first = match Batches::new(records).next() {
        Some(batch) => batch.map_err(|error| refused(&error))?,
        None => return Err((ErrorCode::InvalidRecord, "no record batch".into())),
    };
    if first.size() != records.len() {
        let message = "a produce request has exactly one record batch per partition";
        return Err((ErrorCode::InvalidRecord, message.into()));
    }
    if i64::try_from(first.size()).is_ok_and(|size| size > config.max_message_bytes) {
        let message = format!(
            "batch of {} bytes, max.message.bytes is {}",
            first.size(),
            config.max_message_bytes
        );
        return Err((ErrorCode::MessageTooLarge, message));
    }
    first
        .validate_produced_records(DECOMPRESSED_BYTES_MAX)
        .map_err(|error| refused(&error))
}

fn refused(error: &BatchError) -> (ErrorCode, String) {
    (error.error_code(), error.to_string())
}

impl Partition {
    /// Appends; the answer comes when `acks` says so. With acks=0 there is none.
    pub fn produce(
        self: &Arc<Self>,
        batch: ProduceBatch,
        acks: i16,
    ) -> oneshot::Receiver<ProduceReply> {
        self.produce_locked(&mut self.lock(), batch, acks)
    }

    /// As `produce` with acks=all, but only while this broker leads in `epoch`.
    ///
    /// # Errors
    /// NOT_LEADER_OR_FOLLOWER
    pub fn produce_in_epoch(
        self: &Arc<Self>,
        batch: ProduceBatch,
        epoch: LeaderEpoch,
    ) -> Result<oneshot::Receiver<ProduceReply>, ErrorCode> {
        let mut inner = self.lock();
        if !inner.core.is_leader() || inner.core.leader_epoch() != epoch {
            return Err(ErrorCode::NotLeaderOrFollower);
        }
        Ok(self.produce_locked(&mut inner, batch, -1))
    }

    fn produce_locked(
        self: &Arc<Self>,
        inner: &mut Inner,
        batch: ProduceBatch,
        acks: i16,
    ) -> oneshot::Receiver<ProduceReply> {
        let (reply, answer) = oneshot::channel();
        if inner.log().truncation_pending() {
            // Was a follower until just now; the client asks again in a moment.
            let _client_may_have_left = reply.send(Err(ErrorCode::NotLeaderOrFollower));
            return answer;
        }
        let core_acks = match acks {
            0 => Acks::None,
            1 => Acks::Leader,
            _ => Acks::All,
        };
        let info = batch.info();
        let verdict = self.judge(inner, &batch, core_acks);
        if let Verdict::Refuse(error) = verdict {
            self.observe_refused(&info, batch.records, error);
            let _client_may_have_left = reply.send(Err(error));
            return answer;
        }
        let ticket = inner.ticket();
        let records = batch.records;
        inner.produces.insert(
            ticket,
            Produce {
                reply,
                records: i64::from(records),
                acks,
            },
        );
        let acks_input = |verdict| match verdict {
            Verdict::Duplicate(kept) => Input::AppendedBefore {
                ticket,
                base_offset: kept.base_offset(),
                last_offset: kept.last_offset,
                acks: core_acks,
            },
            _ => Input::Append {
                ticket,
                records,
                acks: core_acks,
            },
        };
        self.step_locked(inner, acks_input(verdict), Payload::Produce(batch));
        if acks == 0 {
            inner.produces.remove(&ticket);
        }
        answer
    }

    fn observe_refused(&self, info: &BatchInfo, records: u32, error: ErrorCode) {
        if error == ErrorCode::OutOfOrderSequenceNumber
            && let Some(producer) = observe::producer(info)
        {
            self.observe(|| Observation::SequenceRefused {
                partition: self.id,
                producer,
                records,
            });
        }
    }

    /// The configuration a produced batch is validated against.
    pub fn topic_config(&self) -> Arc<TopicConfig> {
        self.lock().config.clone()
    }
}
