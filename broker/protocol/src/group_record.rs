//! Records of `__consumer_offsets`: a key names what it is about, its value how that is now; no value deletes.
//!
//! Keys and values start with their version, 16 bits. The key's version tells the type: 0 and 1 a committed
//! offset, 2 a classic group, 3 and 5 to 8 what there is of consumer groups ([`consumer`]). Other types (4, regular
//! expressions, share and streams groups) are [`GroupRecordError::UnknownKey`].

pub mod consumer;

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use crate::codec::{
    Decode, DecodeError, Encode, EncodeError, Message, Reader, TaggedFields, Writer,
};
use crate::ids::Uuid;
use consumer::{
    ConsumerGroupCurrentMemberAssignmentValue, ConsumerGroupKey, ConsumerGroupMemberKey,
    ConsumerGroupMemberMetadataValue, ConsumerGroupMetadataValue,
    ConsumerGroupTargetAssignmentMemberValue, ConsumerGroupTargetAssignmentMetadataValue,
};

/// Whose committed offset.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-1")]
pub struct OffsetCommitKey {
    #[field(versions = "0+")]
    pub group: String,
    #[field(versions = "0+")]
    pub topic: String,
    #[field(versions = "0+")]
    pub partition: i32,
    pub unknown_tagged_fields: TaggedFields,
}

/// A committed offset. Version 4 names the topic's id.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "4+")]
pub struct OffsetCommitValue {
    #[field(versions = "0+")]
    pub offset: i64,
    #[field(versions = "3+", default = -1, ignorable)]
    pub leader_epoch: i32,
    #[field(versions = "0+")]
    pub metadata: String,
    #[field(versions = "0+")]
    pub commit_timestamp: i64,
    #[field(versions = "1", default = -1, ignorable)]
    pub expire_timestamp: i64,
    #[field(tag = 0, tagged = "4+", versions = "4+", ignorable)]
    pub topic_id: Uuid,
    pub unknown_tagged_fields: TaggedFields,
}

/// Which classic group.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "2")]
pub struct GroupMetadataKey {
    #[field(versions = "2")]
    pub group: String,
    pub unknown_tagged_fields: TaggedFields,
}

/// A classic group in a stable generation, or without members.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-4", flexible = "4+")]
pub struct GroupMetadataValue {
    #[field(versions = "0+")]
    pub protocol_type: String,
    #[field(versions = "0+")]
    pub generation: i32,
    #[field(versions = "0+", nullable = "0+")]
    pub protocol: Option<String>,
    #[field(versions = "0+", nullable = "0+")]
    pub leader: Option<String>,
    #[field(versions = "2+", default = -1, ignorable)]
    pub current_state_timestamp: i64,
    #[field(versions = "0+")]
    pub members: Vec<MemberMetadata>,
    pub unknown_tagged_fields: TaggedFields,
}

/// A member as its group's record has it.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(flexible = "4+")]
pub struct MemberMetadata {
    #[field(versions = "0+")]
    pub member_id: String,
    #[field(versions = "3+", nullable = "3+", default = null, ignorable)]
    pub group_instance_id: Option<String>,
    #[field(versions = "0+")]
    pub client_id: String,
    #[field(versions = "0+")]
    pub client_host: String,
    #[field(versions = "1+", ignorable)]
    pub rebalance_timeout: i32,
    #[field(versions = "0+")]
    pub session_timeout: i32,
    #[field(versions = "0+")]
    pub subscription: Bytes,
    #[field(versions = "0+")]
    pub assignment: Bytes,
    pub unknown_tagged_fields: TaggedFields,
}

/// Why bytes are not such a record.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum GroupRecordError {
    #[error("key type {0} is unknown")]
    UnknownKey(i16),
    #[error("version {version} of {name} is unknown")]
    UnknownVersion { name: &'static str, version: i16 },
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// A record of `__consumer_offsets`.
#[derive(Clone, Debug, PartialEq)]
pub enum GroupRecord {
    OffsetCommit(OffsetCommitKey, Option<OffsetCommitValue>),
    GroupMetadata(GroupMetadataKey, Option<GroupMetadataValue>),
    ConsumerGroupMetadata(ConsumerGroupKey, Option<ConsumerGroupMetadataValue>),
    ConsumerGroupMemberMetadata(
        ConsumerGroupMemberKey,
        Option<ConsumerGroupMemberMetadataValue>,
    ),
    ConsumerGroupTargetAssignmentMetadata(
        ConsumerGroupKey,
        Option<ConsumerGroupTargetAssignmentMetadataValue>,
    ),
    ConsumerGroupTargetAssignmentMember(
        ConsumerGroupMemberKey,
        Option<ConsumerGroupTargetAssignmentMemberValue>,
    ),
    ConsumerGroupCurrentMemberAssignment(
        ConsumerGroupMemberKey,
        Option<ConsumerGroupCurrentMemberAssignmentValue>,
    ),
}

const OFFSET_COMMIT_KEY: i16 = 1;
const GROUP_METADATA_KEY: i16 = 2;
/// Kafka 4 writes group metadata without tagged fields, so that older releases read them (KIP-915).
const GROUP_METADATA_VALUE: i16 = 3;
const VALUE_MAX: i16 = 4;
const CONSUMER_GROUP_METADATA: i16 = 3;
const CONSUMER_GROUP_MEMBER_METADATA: i16 = 5;
const CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA: i16 = 6;
const CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER: i16 = 7;
const CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT: i16 = 8;

impl GroupRecord {
    /// Key and value as Kafka 4.1 writes them.
    ///
    /// # Errors
    /// A string that is longer than Kafka allows.
    pub fn encode(&self) -> Result<(Bytes, Option<Bytes>), EncodeError> {
        match self {
            GroupRecord::OffsetCommit(key, value) => Ok((
                versioned(key, OFFSET_COMMIT_KEY)?,
                value.as_ref().map(encode_offset).transpose()?,
            )),
            GroupRecord::GroupMetadata(key, value) => Ok((
                versioned(key, GROUP_METADATA_KEY)?,
                value
                    .as_ref()
                    .map(|value| versioned(value, GROUP_METADATA_VALUE))
                    .transpose()?,
            )),
            GroupRecord::ConsumerGroupMetadata(key, value) => {
                pair(CONSUMER_GROUP_METADATA, key, value.as_ref())
            }
            GroupRecord::ConsumerGroupMemberMetadata(key, value) => {
                pair(CONSUMER_GROUP_MEMBER_METADATA, key, value.as_ref())
            }
            GroupRecord::ConsumerGroupTargetAssignmentMetadata(key, value) => pair(
                CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA,
                key,
                value.as_ref(),
            ),
            GroupRecord::ConsumerGroupTargetAssignmentMember(key, value) => {
                pair(CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER, key, value.as_ref())
            }
            GroupRecord::ConsumerGroupCurrentMemberAssignment(key, value) => pair(
                CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT,
                key,
                value.as_ref(),
            ),
        }
    }

    /// # Errors
    /// A type or version this release does not know, or a malformed record.
    pub fn decode(key: Bytes, value: Option<Bytes>) -> Result<GroupRecord, GroupRecordError> {
        let mut key = Reader::new(key);
        match key.i16()? {
            version @ 0..=OFFSET_COMMIT_KEY => Ok(GroupRecord::OffsetCommit(
                OffsetCommitKey::decode(&mut key, version)?,
                decode_value("OffsetCommitValue", value)?,
            )),
            GROUP_METADATA_KEY => Ok(GroupRecord::GroupMetadata(
                GroupMetadataKey::decode(&mut key, GROUP_METADATA_KEY)?,
                decode_value("GroupMetadataValue", value)?,
            )),
            CONSUMER_GROUP_METADATA => Ok(GroupRecord::ConsumerGroupMetadata(
                ConsumerGroupKey::decode(&mut key, 0)?,
                decode_first("ConsumerGroupMetadataValue", value)?,
            )),
            CONSUMER_GROUP_MEMBER_METADATA => Ok(GroupRecord::ConsumerGroupMemberMetadata(
                ConsumerGroupMemberKey::decode(&mut key, 0)?,
                decode_first("ConsumerGroupMemberMetadataValue", value)?,
            )),
            CONSUMER_GROUP_TARGET_ASSIGNMENT_METADATA => {
                Ok(GroupRecord::ConsumerGroupTargetAssignmentMetadata(
                    ConsumerGroupKey::decode(&mut key, 0)?,
                    decode_first("ConsumerGroupTargetAssignmentMetadataValue", value)?,
                ))
            }
            CONSUMER_GROUP_TARGET_ASSIGNMENT_MEMBER => {
                Ok(GroupRecord::ConsumerGroupTargetAssignmentMember(
                    ConsumerGroupMemberKey::decode(&mut key, 0)?,
                    decode_first("ConsumerGroupTargetAssignmentMemberValue", value)?,
                ))
            }
            CONSUMER_GROUP_CURRENT_MEMBER_ASSIGNMENT => {
                Ok(GroupRecord::ConsumerGroupCurrentMemberAssignment(
                    ConsumerGroupMemberKey::decode(&mut key, 0)?,
                    decode_first("ConsumerGroupCurrentMemberAssignmentValue", value)?,
                ))
            }
            other => Err(GroupRecordError::UnknownKey(other)),
        }
    }
}

/// Only version 1 has a time to expire at.
fn encode_offset(value: &OffsetCommitValue) -> Result<Bytes, EncodeError> {
    versioned(
        value,
        if value.expire_timestamp >= 0 {
            1
        } else {
            VALUE_MAX
        },
    )
}

fn versioned(message: &impl Encode, version: i16) -> Result<Bytes, EncodeError> {
    let mut writer = Writer::new();
    writer.i16(version);
    message.encode(&mut writer, version)?;
    Ok(BytesMut::freeze(writer.into_bytes()))
}

/// A record of a consumer group: its value has version 0.
fn pair(
    kind: i16,
    key: &impl Encode,
    value: Option<&impl Encode>,
) -> Result<(Bytes, Option<Bytes>), EncodeError> {
    let mut writer = Writer::new();
    writer.i16(kind);
    key.encode(&mut writer, 0)?;
    let value = value.map(|value| versioned(value, 0)).transpose()?;
    Ok((BytesMut::freeze(writer.into_bytes()), value))
}

fn decode_first<T: Decode>(
    name: &'static str,
    value: Option<Bytes>,
) -> Result<Option<T>, GroupRecordError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let mut value = Reader::new(value);
    match value.i16()? {
        0 => Ok(Some(T::decode(&mut value, 0)?)),
        version => Err(GroupRecordError::UnknownVersion { name, version }),
    }
}

fn decode_value<T: Decode>(
    name: &'static str,
    value: Option<Bytes>,
) -> Result<Option<T>, GroupRecordError> {
    let Some(value) = value else {
        return Ok(None);
    };
    let mut value = Reader::new(value);
    match value.i16()? {
        version @ 0..=VALUE_MAX => Ok(Some(T::decode(&mut value, version)?)),
        version => Err(GroupRecordError::UnknownVersion { name, version }),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bytes_are_kafkas() {
        let key = OffsetCommitKey {
            group: "g".into(),
            topic: "t".into(),
            partition: 3,
            ..Default::default()
        };
        let value = OffsetCommitValue {
            offset: 7,
            leader_epoch: 2,
            metadata: "m".into(),
            commit_timestamp: 9,
            ..Default::default()
        };
        let record = GroupRecord::OffsetCommit(key, Some(value));
        let (key, value) = record.encode().expect("it fits");
        assert_eq!(key.as_ref(), b"\0\x01\0\x01g\0\x01t\0\0\0\x03");
        let expected = b"\0\x04\0\0\0\0\0\0\0\x07\0\0\0\x02\x02m\0\0\0\0\0\0\0\x09\0";
        assert_eq!(value.as_deref(), Some(expected.as_slice()));
        assert_eq!(GroupRecord::decode(key, value), Ok(record));
    }

    #[test]
    fn bytes_of_consumer_groups_are_kafkas() {
        let key = ConsumerGroupMemberKey {
            group_id: "g".into(),
            member_id: "m".into(),
            ..Default::default()
        };
        let assigned = consumer::AssignedTopicPartitions {
            topic_id: Uuid([7; 16]),
            partitions: vec![3],
            ..Default::default()
        };
        let value = ConsumerGroupCurrentMemberAssignmentValue {
            member_epoch: 2,
            previous_member_epoch: 1,
            state: 1,
            assigned_partitions: vec![assigned],
            ..Default::default()
        };
        let record = GroupRecord::ConsumerGroupCurrentMemberAssignment(key, Some(value));
        let (key, value) = record.encode().expect("it fits");
        assert_eq!(key.as_ref(), b"\0\x08\0\x01g\0\x01m");
        let mut expected = b"\0\0\0\0\0\x02\0\0\0\x01\x01\x02".to_vec();
        expected.extend([7; 16]);
        expected.extend(b"\x02\0\0\0\x03\0\x01\0");
        assert_eq!(value.as_deref(), Some(expected.as_slice()));
        assert_eq!(GroupRecord::decode(key, value), Ok(record));
    }

    #[test]
    fn what_other_releases_write_is_named_not_guessed() {
        let unknown = GroupRecord::decode(Bytes::from_static(b"\0\x09"), None);
        assert_eq!(unknown, Err(GroupRecordError::UnknownKey(9)));
        let key = Bytes::from_static(b"\0\x02\0\x01g");
        let newer = GroupRecord::decode(key.clone(), Some(Bytes::from_static(b"\0\x09")));
        assert!(matches!(
            newer,
            Err(GroupRecordError::UnknownVersion { version: 9, .. })
        ));
        let cut = GroupRecord::decode(key, Some(Bytes::from_static(b"\0\x03\0\x09cons")));
        assert!(matches!(cut, Err(GroupRecordError::Malformed(_))));
    }
}
