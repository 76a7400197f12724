//! Content of control batches: transaction markers and the records by which the metadata quorum marks
//! its own log (KIP-595, KIP-630, KIP-853).
//!
//! The key is a version and a type; the value starts with a version of its own. A reader that meets a later
//! version reads what it knows of it, as Kafka does.

use bytes::{BufMut, Bytes, BytesMut};

use super::{BatchBuilder, BatchError, BatchOptions, Record, RecordBatch};
use crate::codec::{Decode, Encode, EncodeError, Message, Reader, TaggedFields, Writer};
use crate::ids::Uuid;

const KEY_VERSION: i16 = 0;
/// Kafka 4.1 writes version 0 of every control record, of LeaderChange too.
const VALUE_VERSION: i16 = 0;
const LEADER_CHANGE_VERSION_MAX: i16 = 1;

/// The types of control records that Kafka 4.1 knows.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum ControlRecordType {
    Abort = 0,
    Commit = 1,
    LeaderChange = 2,
    SnapshotHeader = 3,
    SnapshotFooter = 4,
    KRaftVersion = 5,
    KRaftVoters = 6,
}

impl ControlRecordType {
    const ALL: [ControlRecordType; 7] = [
        ControlRecordType::Abort,
        ControlRecordType::Commit,
        ControlRecordType::LeaderChange,
        ControlRecordType::SnapshotHeader,
        ControlRecordType::SnapshotFooter,
        ControlRecordType::KRaftVersion,
        ControlRecordType::KRaftVoters,
    ];

    /// The type of an id; `None` is one of a later Kafka, to be skipped.
    pub fn from_id(id: i16) -> Option<ControlRecordType> {
        ControlRecordType::ALL
            .get(usize::try_from(id).ok()?)
            .copied()
    }

    /// The id in the key.
    pub fn id(self) -> i16 {
        match self {
            ControlRecordType::Abort => 0,
            ControlRecordType::Commit => 1,
            ControlRecordType::LeaderChange => 2,
            ControlRecordType::SnapshotHeader => 3,
            ControlRecordType::SnapshotFooter => 4,
            ControlRecordType::KRaftVersion => 5,
            ControlRecordType::KRaftVoters => 6,
        }
    }

    /// Reads a control record's key; `Ok(None)` is a type of a later Kafka.
    pub fn from_key(key: &[u8]) -> Result<Option<ControlRecordType>, BatchError> {
        match key {
            [v0, v1, id0, id1, ..] if i16::from_be_bytes([*v0, *v1]) >= 0 => {
                Ok(ControlRecordType::from_id(i16::from_be_bytes([*id0, *id1])))
            }
            _ => Err(BatchError::MalformedControl("key")),
        }
    }

    /// The key of a control record of this type.
    pub fn key(self) -> [u8; 4] {
        let ([v0, v1], [id0, id1]) = (KEY_VERSION.to_be_bytes(), self.id().to_be_bytes());
        [v0, v1, id0, id1]
    }
}

/// How a transaction ended on a partition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct EndTxnMarker {
    /// Commit, else abort.
    pub committed: bool,
    /// Fences markers of an older coordinator.
    pub coordinator_epoch: i32,
}

/// A leader of the metadata quorum begins its epoch.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "0+")]
pub struct LeaderChangeMessage {
    #[field(versions = "0+")]
    pub version: i16,
    #[field(versions = "0+")]
    pub leader_id: i32,
    #[field(versions = "0+")]
    pub voters: Vec<LeaderChangeVoter>,
    #[field(versions = "0+")]
    pub granting_voters: Vec<LeaderChangeVoter>,
    pub unknown_tagged_fields: TaggedFields,
}

/// A voter in a [`LeaderChangeMessage`].
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct LeaderChangeVoter {
    #[field(versions = "0+")]
    pub voter_id: i32,
    #[field(versions = "1+")]
    pub voter_directory_id: Uuid,
    pub unknown_tagged_fields: TaggedFields,
}

/// First record of a snapshot (KIP-630).
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct SnapshotHeaderRecord {
    #[field(versions = "0+")]
    pub version: i16,
    /// Append time in ms of the last record the snapshot covers.
    #[field(versions = "0+")]
    pub last_contained_log_timestamp: i64,
    pub unknown_tagged_fields: TaggedFields,
}

/// Last record of a snapshot: without it the snapshot is not whole.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct SnapshotFooterRecord {
    #[field(versions = "0+")]
    pub version: i16,
    pub unknown_tagged_fields: TaggedFields,
}

/// `kraft.version` is finalized (KIP-853).
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct KRaftVersionRecord {
    #[field(versions = "0+")]
    pub version: i16,
    #[field(versions = "0+")]
    pub k_raft_version: i16,
    pub unknown_tagged_fields: TaggedFields,
}

/// The voters of the quorum from here on (KIP-853).
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0", flexible = "0+")]
pub struct VotersRecord {
    #[field(versions = "0+")]
    pub version: i16,
    #[field(versions = "0+")]
    pub voters: Vec<Voter>,
    pub unknown_tagged_fields: TaggedFields,
}

/// A voter in a [`VotersRecord`].
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct Voter {
    #[field(versions = "0+")]
    pub voter_id: i32,
    #[field(versions = "0+")]
    pub voter_directory_id: Uuid,
    #[field(versions = "0+")]
    pub endpoints: Vec<VoterEndpoint>,
    #[field(versions = "0+")]
    pub k_raft_version_feature: KRaftVersionFeature,
    pub unknown_tagged_fields: TaggedFields,
}

/// Where a [`Voter`] listens.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct VoterEndpoint {
    #[field(versions = "0+")]
    pub name: String,
    #[field(versions = "0+")]
    pub host: String,
    #[field(versions = "0+")]
    pub port: u16,
    pub unknown_tagged_fields: TaggedFields,
}

/// Range of `kraft.version` that a [`Voter`] supports.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "0+")]
pub struct KRaftVersionFeature {
    #[field(versions = "0+")]
    pub min_supported_version: i16,
    #[field(versions = "0+")]
    pub max_supported_version: i16,
    pub unknown_tagged_fields: TaggedFields,
}

/// The content of one control record.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ControlRecord {
    EndTxn(EndTxnMarker),
    LeaderChange(LeaderChangeMessage),
    SnapshotHeader(SnapshotHeaderRecord),
    SnapshotFooter(SnapshotFooterRecord),
    KRaftVersion(KRaftVersionRecord),
    KRaftVoters(VotersRecord),
}

impl ControlRecord {
    /// The type in the record's key.
    pub fn record_type(&self) -> ControlRecordType {
        match self {
            ControlRecord::EndTxn(marker) if marker.committed => ControlRecordType::Commit,
            ControlRecord::EndTxn(_) => ControlRecordType::Abort,
            ControlRecord::LeaderChange(_) => ControlRecordType::LeaderChange,
            ControlRecord::SnapshotHeader(_) => ControlRecordType::SnapshotHeader,
            ControlRecord::SnapshotFooter(_) => ControlRecordType::SnapshotFooter,
            ControlRecord::KRaftVersion(_) => ControlRecordType::KRaftVersion,
            ControlRecord::KRaftVoters(_) => ControlRecordType::KRaftVoters,
        }
    }

    /// Reads a record of a control batch; `Ok(None)` is a type of a later Kafka, to be skipped.
    pub fn decode(record: &Record) -> Result<Option<ControlRecord>, BatchError> {
        let key = record
            .key
            .as_deref()
            .ok_or(BatchError::MalformedControl("key is null"))?;
        let Some(record_type) = ControlRecordType::from_key(key)? else {
            return Ok(None);
        };
        let value = record
            .value
            .clone()
            .ok_or(BatchError::MalformedControl("value is null"))?;
        ControlRecord::decode_value(record_type, value).map(Some)
    }

    fn decode_value(
        record_type: ControlRecordType,
        value: Bytes,
    ) -> Result<ControlRecord, BatchError> {
        let committed = record_type == ControlRecordType::Commit;
        Ok(match record_type {
            ControlRecordType::Commit | ControlRecordType::Abort => {
                ControlRecord::EndTxn(EndTxnMarker::decode_value(committed, &value)?)
            }
            ControlRecordType::LeaderChange => {
                ControlRecord::LeaderChange(decode_message(value, LEADER_CHANGE_VERSION_MAX)?)
            }
            ControlRecordType::SnapshotHeader => {
                ControlRecord::SnapshotHeader(decode_message(value, 0)?)
            }
            ControlRecordType::SnapshotFooter => {
                ControlRecord::SnapshotFooter(decode_message(value, 0)?)
            }
            ControlRecordType::KRaftVersion => {
                ControlRecord::KRaftVersion(decode_message(value, 0)?)
            }
            ControlRecordType::KRaftVoters => ControlRecord::KRaftVoters(decode_message(value, 0)?),
        })
    }

    /// The record's value.
    ///
    /// # Errors
    /// A value that Kafka's schemas cannot hold: a text above 32 767 bytes.
    pub fn encode_value(&self) -> Result<Bytes, EncodeError> {
        match self {
            ControlRecord::EndTxn(marker) => Ok(marker.encode_value()),
            ControlRecord::LeaderChange(message) => encode_message(message, message.version),
            ControlRecord::SnapshotHeader(message) => encode_message(message, VALUE_VERSION),
            ControlRecord::SnapshotFooter(message) => encode_message(message, VALUE_VERSION),
            ControlRecord::KRaftVersion(message) => encode_message(message, VALUE_VERSION),
            ControlRecord::KRaftVoters(message) => encode_message(message, VALUE_VERSION),
        }
    }
}

impl EndTxnMarker {
    fn decode_value(committed: bool, value: &[u8]) -> Result<EndTxnMarker, BatchError> {
        match value {
            [v0, v1, e0, e1, e2, e3, ..] if i16::from_be_bytes([*v0, *v1]) >= 0 => {
                let coordinator_epoch = i32::from_be_bytes([*e0, *e1, *e2, *e3]);
                Ok(EndTxnMarker {
                    committed,
                    coordinator_epoch,
                })
            }
            _ => Err(BatchError::MalformedControl("transaction marker")),
        }
    }

    fn encode_value(self) -> Bytes {
        let mut value = BytesMut::with_capacity(6);
        value.put_i16(VALUE_VERSION);
        value.put_i32(self.coordinator_epoch);
        value.freeze()
    }

    /// The control batch that ends the transaction of a producer, at base offset 0 for the leader to patch.
    /// `timestamp` in ms.
    pub fn batch(self, producer_id: i64, producer_epoch: i16, timestamp: i64) -> RecordBatch {
        let options = BatchOptions {
            producer_id,
            producer_epoch,
            is_transactional: true,
            ..BatchOptions::default()
        };
        let record = ControlRecord::EndTxn(self);
        control_batch(options, timestamp, &[record]).expect("a marker has a fixed size")
    }
}

/// A control batch of `records`; `timestamp` in ms. Sets the control flag.
///
/// # Errors
/// As [`ControlRecord::encode_value`].
pub fn control_batch(
    options: BatchOptions,
    timestamp: i64,
    records: &[ControlRecord],
) -> Result<RecordBatch, EncodeError> {
    let mut builder = BatchBuilder::new(BatchOptions {
        is_control: true,
        ..options
    });
    for record in records {
        let value = record.encode_value()?;
        builder.append(
            timestamp,
            Some(&record.record_type().key()),
            Some(&value),
            &[],
        );
    }
    Ok(builder.build())
}

fn encode_message(message: &impl Encode, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    message.encode(&mut writer, version)?;
    Ok(writer.into_bytes().freeze())
}

fn decode_message<M: Decode>(value: Bytes, version_max: i16) -> Result<M, BatchError> {
    let declared = value
        .first_chunk::<2>()
        .map(|bytes| i16::from_be_bytes(*bytes));
    let declared = declared.filter(|&version| version >= 0);
    let declared = declared.ok_or(BatchError::MalformedControl("version"))?;
    let decoded = M::decode(&mut Reader::new(value), declared.min(version_max));
    decoded.map_err(|_| BatchError::MalformedControl("value"))
}
