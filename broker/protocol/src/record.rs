//! Record batches of format v2 (magic 2, KIP-98): what a log holds and Produce and Fetch carry.
//!
//! Map: [`Batch`] reads header fields by offset from bytes that stay as they are (`batch`); [`Batches`] and
//! [`RecordBatches`] walk concatenated batches (`frame`); `validate` judges a batch; `patch` overwrites the
//! fields a broker may change; [`Records`] decodes (`decode`, `compression`); [`BatchBuilder`] encodes
//! (`builder`); [`ControlRecord`] is the content of control batches (`control`),
//! [`QuorumStateData`] that of the file beside the metadata log (`quorum_state`).
//!
//! Contract: bytes from outside never panic and never cause an allocation beyond what they themselves fill or
//! the caller's limit allows. A [`Batch`] that exists has a whole header, magic 2 and the length it declares;
//! everything else is unproven until [`Batch::validate`].

mod batch;
mod builder;
mod compression;
mod control;
mod crc;
mod decode;
mod error;
mod frame;
mod patch;
mod quorum_state;
mod validate;
mod varint;

pub use batch::{Batch, BatchMut, BatchView, HEADER_SIZE, LOG_OVERHEAD, MAGIC, RecordBatch};
pub use builder::{BatchBuilder, BatchOptions};
pub use compression::{Compression, compress, decompress};
pub use control::{
    ControlRecord, ControlRecordType, EndTxnMarker, KRaftVersionFeature, KRaftVersionRecord,
    LeaderChangeMessage, LeaderChangeVoter, SnapshotFooterRecord, SnapshotHeaderRecord, Voter,
    VoterEndpoint, VotersRecord, control_batch,
};
pub use crc::crc32c;
pub use decode::{Header, RawHeaders, RawRecord, RawRecords, Record, Records};
pub use error::BatchError;
pub use frame::{Batches, RecordBatches, frame_size};
pub use quorum_state::{QuorumStateData, QuorumStateVoter};

/// "No timestamp", as in Kafka.
pub const NO_TIMESTAMP: i64 = -1;
/// "No producer id": the batch is not idempotent.
pub const NO_PRODUCER_ID: i64 = -1;
/// "No producer epoch".
pub const NO_PRODUCER_EPOCH: i16 = -1;
/// "No sequence": the batch is not idempotent, or is a control batch.
pub const NO_SEQUENCE: i32 = -1;
/// "No partition leader epoch": the leader patches its own in.
pub const NO_PARTITION_LEADER_EPOCH: i32 = -1;

/// What the timestamps of a batch's records mean.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum TimestampType {
    /// Set by the producer, one per record.
    #[default]
    CreateTime,
    /// Set by the leader: all records have the batch's max timestamp.
    LogAppendTime,
}
