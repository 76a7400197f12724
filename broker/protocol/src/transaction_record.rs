//! Records of `__transaction_state`: a transactional id, and what its coordinator knows of it. No value deletes.
//!
//! Keys and values start with their version, 16 bits. A value of version 0 is what releases before 3.8 and
//! `transaction.version` 0 write; version 1 has tagged fields (KIP-890).

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::codec::{
    Decode, DecodeError, Encode, EncodeError, Message, Reader, TaggedFields, Writer,
};

/// Whose state.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0")]
pub struct TransactionLogKey {
    #[field(versions = "0+")]
    pub transactional_id: String,
    pub unknown_tagged_fields: TaggedFields,
}

/// The state of a transactional id. Times are wall time in milliseconds, -1 unknown.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1", flexible = "1+")]
pub struct TransactionLogValue {
    #[field(versions = "0+")]
    pub producer_id: i64,
    /// The producer id of the last transaction, while an epoch overflow changes it.
    #[field(tag = 0, tagged = "1+", versions = "1+", default = -1, ignorable)]
    pub previous_producer_id: i64,
    /// The producer id the client was told, while its last transaction still completes under the old one.
    #[field(tag = 1, tagged = "1+", versions = "1+", default = -1, ignorable)]
    pub next_producer_id: i64,
    #[field(versions = "0+")]
    pub producer_epoch: i16,
    #[field(versions = "0+")]
    pub transaction_timeout_ms: i32,
    /// Kafka's number of the state: 0 Empty, 1 Ongoing, 2 PrepareCommit, 3 PrepareAbort, 4 CompleteCommit,
    /// 5 CompleteAbort, 6 Dead, 7 PrepareEpochFence.
    #[field(versions = "0+")]
    pub transaction_status: i8,
    /// Null in state Empty.
    #[field(versions = "0+", nullable = "0+")]
    pub transaction_partitions: Option<Vec<PartitionsSchema>>,
    #[field(versions = "0+")]
    pub transaction_last_update_timestamp_ms: i64,
    #[field(versions = "0+")]
    pub transaction_start_timestamp_ms: i64,
    /// `transaction.version` as the client speaks it.
    #[field(tag = 2, tagged = "1+", versions = "1+", ignorable)]
    pub client_transaction_version: i16,
    pub unknown_tagged_fields: TaggedFields,
}

/// The partitions of one topic that belong to a transaction.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "1+")]
pub struct PartitionsSchema {
    #[field(versions = "0+")]
    pub topic: String,
    #[field(versions = "0+")]
    pub partition_ids: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}

/// Why bytes are not such a record.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum TransactionRecordError {
    #[error("version {version} of {name} is unknown")]
    UnknownVersion { name: &'static str, version: i16 },
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// A record of `__transaction_state`.
#[derive(Clone, Debug, PartialEq)]
pub struct TransactionRecord {
    pub key: TransactionLogKey,
    pub value: Option<TransactionLogValue>,
}

const KEY: i16 = 0;

impl TransactionRecord {
    /// Key and value; the value in version 0 as before `transaction.version` 1, or with tagged fields.
    ///
    /// # Errors
    /// A string that is longer than Kafka allows.
    pub fn encode(&self, flexible: bool) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        let value = self.value.as_ref();
        let value = value.map(|value| versioned(value, i16::from(flexible)));
        Ok((versioned(&self.key, KEY)?, value.transpose()?))
    }

    /// # Errors
    /// A version this release does not know, or a malformed record.
    pub fn decode(
        key: Bytes,
        value: Option<Bytes>,
    ) -> Result<TransactionRecord, TransactionRecordError> {
        let value = value.map(|value| decode("TransactionLogValue", value, 1));
        Ok(TransactionRecord {
            key: decode("TransactionLogKey", key, KEY)?,
            value: value.transpose()?,
        })
    }
}

fn versioned(message: &impl Encode, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.i16(version);
    message.encode(&mut writer, version)?;
    Ok(BytesMut::freeze(writer.into_bytes()))
}

fn decode<T: Decode>(
    name: &'static str,
    bytes: Bytes,
    highest: i16,
) -> Result<T, TransactionRecordError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?;
    if !(0..=highest).contains(&version) {
        return Err(TransactionRecordError::UnknownVersion { name, version });
    }
    Ok(T::decode(&mut reader, version)?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn record() -> TransactionRecord {
        let partitions = PartitionsSchema {
            topic: "t".into(),
            partition_ids: vec![3],
            ..Default::default()
        };
        let value = TransactionLogValue {
            producer_id: 7,
            producer_epoch: 2,
            transaction_timeout_ms: 60_000,
            transaction_status: 1,
            transaction_partitions: Some(vec![partitions]),
            transaction_last_update_timestamp_ms: 9,
            transaction_start_timestamp_ms: 8,
            ..Default::default()
        };
        let key = TransactionLogKey {
            transactional_id: "x".into(),
            ..Default::default()
        };
        TransactionRecord {
            key,
            value: Some(value),
        }
    }

    #[test]
    fn bytes_are_kafkas() {
        let (key, value) = record().encode(false).expect("it fits");
        assert_eq!(key.as_ref(), b"\0\0\0\x01x");
        let expected =
            b"\0\0\0\0\0\0\0\0\0\x07\0\x02\0\0\xea\x60\x01\0\0\0\x01\0\x01t\0\0\0\x01\0\0\0\x03\
            \0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x08";
        assert_eq!(value.as_deref(), Some(expected.as_slice()));
        assert_eq!(TransactionRecord::decode(key, value), Ok(record()));
    }

    #[test]
    fn version_1_has_tags_and_version_0_loses_them() {
        let mut tagged = record();
        let value = tagged.value.as_mut().expect("set");
        (value.next_producer_id, value.client_transaction_version) = (8, 2);
        value.transaction_partitions = None;
        let (key, bytes) = tagged.encode(true).expect("it fits");
        let expected =
            b"\0\x01\0\0\0\0\0\0\0\x07\0\x02\0\0\xea\x60\x01\0\0\0\0\0\0\0\0\x09\0\0\0\0\0\0\0\x08\
            \x02\x01\x08\0\0\0\0\0\0\0\x08\x02\x02\0\x02";
        assert_eq!(bytes.as_deref(), Some(expected.as_slice()));
        assert_eq!(TransactionRecord::decode(key, bytes), Ok(tagged.clone()));

        let (key, bytes) = tagged.encode(false).expect("it fits");
        let read = TransactionRecord::decode(key, bytes).expect("well-formed");
        let value = read.value.expect("not a tombstone");
        assert_eq!(
            (value.next_producer_id, value.client_transaction_version),
            (-1, 0)
        );
    }

    #[test]
    fn what_other_releases_write_is_named_not_guessed() {
        let (key, value) = record().encode(true).expect("it fits");
        let newer = TransactionRecord::decode(Bytes::from_static(b"\0\x01\0\x01x"), None);
        assert!(matches!(
            newer,
            Err(TransactionRecordError::UnknownVersion { version: 1, .. })
        ));
        let newer = TransactionRecord::decode(key.clone(), Some(Bytes::from_static(b"\0\x02")));
        assert!(matches!(
            newer,
            Err(TransactionRecordError::UnknownVersion { version: 2, .. })
        ));
        let whole = value.expect("not a tombstone");
        for cut in 0..whole.len() {
            let cut = TransactionRecord::decode(key.clone(), Some(whole.slice(..cut)));
            assert!(matches!(cut, Err(TransactionRecordError::Malformed(_))));
        }
        let deleted = TransactionRecord::decode(key, None).expect("a tombstone");
        assert_eq!(deleted.value, None);
    }
}
