//! What goes into and comes out of a [`Producer`](super::Producer).

use broker_protocol::ErrorCode;
use broker_protocol::ids::{NodeId, Offset, TopicIdPartition};

use super::transaction::Asked;

/// Producer configuration, by Kafka's names. Durations are the shell's.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// `batch.size`, bytes.
    pub batch_size: u32,
    /// `max.request.size`, bytes; a single batch may exceed it.
    pub max_request_size: u32,
    /// `max.in.flight.requests.per.connection`
    pub max_in_flight: usize,
    pub retries: u32,
    /// Whether `linger.ms` > 0; without, a batch stays open only while its partition cannot send.
    pub linger: bool,
    /// `enable.idempotence`
    pub idempotence: bool,
    /// Whether there is a `transactional.id`.
    pub transactional: bool,
}

/// Names a record whose bytes the shell holds; given in ascending order.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RecordHandle(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct BatchId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct RequestId(pub u64);

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ProducerIdAndEpoch {
    pub producer_id: i64,
    pub producer_epoch: i16,
}

/// Where a batch stands in its producer's series for a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Sequence {
    pub producer: ProducerIdAndEpoch,
    pub base_sequence: i32,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Input {
    Send {
        partition: TopicIdPartition,
        record: RecordHandle,
        size: u32,
    },
    /// From metadata; None while there is no leader.
    Leader {
        partition: TopicIdPartition,
        leader: Option<NodeId>,
    },
    /// Answer to [`Output::Produce`]; partitions it leaves out are of unknown fate. With acks=0, given when
    /// the request is written, with offset -1.
    Response {
        request: RequestId,
        results: Vec<(TopicIdPartition, Result<Offset, ErrorCode>)>,
    },
    /// Lost connection or request timeout. `sent` is false if no byte of it can have arrived.
    RequestFailed {
        request: RequestId,
        sent: bool,
    },
    /// Answer to [`Output::InitProducerId`].
    ProducerId(Result<ProducerIdAndEpoch, ErrorCode>),
    /// Answer to [`Output::AddPartitions`].
    PartitionsAdded,
    /// Ends the transaction once all its records are acknowledged.
    Commit,
    /// Drops what is not on its way, then ends the transaction.
    Abort,
    /// Answer to [`Output::EndTxn`]; `next` is the identity of the next transaction, if it is another one.
    TransactionEnded {
        next: Option<ProducerIdAndEpoch>,
    },
    /// A coordinator's final answer is an error.
    Refused {
        asked: Asked,
        error: ErrorCode,
    },
    /// Closes all open batches, whatever linger says.
    Flush,
    Timer(Timer),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Timer {
    /// `linger.ms`
    Linger(TopicIdPartition),
    /// `retry.backoff.ms`, doubled per attempt up to `retry.backoff.max.ms`.
    Retry(TopicIdPartition),
    /// `delivery.timeout.ms`
    Delivery(TopicIdPartition, BatchId),
    /// `retry.backoff.ms`
    ProducerIdRetry,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub enum Output {
    Produce {
        request: RequestId,
        node: NodeId,
        batches: Vec<BatchToSend>,
    },
    /// The records are done with; said once per record.
    Complete {
        partition: TopicIdPartition,
        records: Vec<RecordHandle>,
        outcome: Outcome,
    },
    RefreshMetadata {
        partition: TopicIdPartition,
    },
    /// Get a producer id; with `previous`, the next epoch of it.
    InitProducerId {
        previous: Option<ProducerIdAndEpoch>,
    },
    /// Tell the transaction's coordinator of these partitions; their records wait for it.
    AddPartitions {
        partitions: Vec<TopicIdPartition>,
    },
    EndTxn {
        committed: bool,
    },
    /// Timers are not disarmed: a late one is ignored. `attempt` counts from 0.
    Arm {
        timer: Timer,
        attempt: u32,
    },
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct BatchToSend {
    pub partition: TopicIdPartition,
    pub batch: BatchId,
    pub records: Vec<RecordHandle>,
    pub sequence: Option<Sequence>,
}

/// What is known about records in the end (CLI-5).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Outcome {
    /// In the log; the first record's offset, or -1 if the broker did not say.
    Acked { base_offset: Offset },
    /// Surely not in the log, by any attempt.
    Failed(ErrorCode),
    /// Perhaps in the log.
    Unknown(ErrorCode),
}
