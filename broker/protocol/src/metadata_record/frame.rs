//! The frame around a metadata record, and the enum of all records.

use bytes::{Bytes, BytesMut};
use thiserror::Error;

use super::*;
use crate::codec::{Decode, DecodeError, Encode, EncodeError, Reader, Writer};

/// The only frame version since KRaft's preview.
const FRAME_VERSION: u32 = 1;

/// Why bytes are not a metadata record.
#[derive(Clone, Debug, Error, PartialEq, Eq)]
pub enum MetadataRecordError {
    #[error("frame version {0} of a metadata record is not 1")]
    FrameVersion(u32),
    #[error("metadata record type {0} is unknown")]
    UnknownType(u32),
    #[error("version {version} of {name} is unknown")]
    UnknownVersion { name: &'static str, version: u32 },
    #[error(transparent)]
    Malformed(#[from] DecodeError),
}

/// Names each record's type id and the highest version; the lowest is always 0.
macro_rules! metadata_records {
    ($($variant:ident($record:ident) = $id:literal, max $max:literal;)*) => {
        /// Any record of the metadata log.
        #[derive(Clone, Debug, PartialEq)]
        pub enum MetadataRecord {
            $($variant($record),)*
        }

        $(impl From<$record> for MetadataRecord {
            fn from(record: $record) -> MetadataRecord {
                MetadataRecord::$variant(record)
            }
        })*

        impl MetadataRecord {
            /// Type ids of all records with their highest version.
            pub const TYPES: &[(i16, i16)] = &[$(($id, $max)),*];

            /// The id of the record's type in the frame.
            pub fn type_id(&self) -> i16 {
                match self {
                    $(MetadataRecord::$variant(_) => $id,)*
                }
            }

            /// Kafka's name of the record's type.
            pub fn name(&self) -> &'static str {
                match self {
                    $(MetadataRecord::$variant(_) => stringify!($record),)*
                }
            }

            fn version_max(&self) -> i16 {
                match self {
                    $(MetadataRecord::$variant(_) => $max,)*
                }
            }

            fn encode_body(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
                match self {
                    $(MetadataRecord::$variant(record) => record.encode(writer, version),)*
                }
            }

            fn decode_body(
                reader: &mut Reader,
                type_id: u32,
                version: u32,
            ) -> Result<MetadataRecord, MetadataRecordError> {
                match type_id {
                    $($id => {
                        let version = known_version(stringify!($record), version, $max)?;
                        Ok(MetadataRecord::$variant($record::decode(reader, version)?))
                    })*
                    _ => Err(MetadataRecordError::UnknownType(type_id)),
                }
            }

            /// A value of the type `type_id` at `version`, for tests.
            #[cfg(any(test, feature = "arbitrary"))]
            pub fn arbitrary(
                type_id: i16,
                generator: &mut crate::codec::arbitrary::Generator,
                version: i16,
            ) -> MetadataRecord {
                use crate::codec::arbitrary::Arbitrary;
                match type_id {
                    $($id => MetadataRecord::$variant($record::arbitrary(generator, version)),)*
                    _ => panic!("no metadata record has type {type_id}"),
                }
            }
        }
    };
}

metadata_records! {
    RegisterBroker(RegisterBrokerRecord) = 0, max 3;
    UnregisterBroker(UnregisterBrokerRecord) = 1, max 0;
    Topic(TopicRecord) = 2, max 0;
    Partition(PartitionRecord) = 3, max 2;
    Config(ConfigRecord) = 4, max 0;
    PartitionChange(PartitionChangeRecord) = 5, max 2;
    FenceBroker(FenceBrokerRecord) = 7, max 0;
    UnfenceBroker(UnfenceBrokerRecord) = 8, max 0;
    RemoveTopic(RemoveTopicRecord) = 9, max 0;
    DelegationToken(DelegationTokenRecord) = 10, max 0;
    UserScramCredential(UserScramCredentialRecord) = 11, max 0;
    FeatureLevel(FeatureLevelRecord) = 12, max 0;
    ClientQuota(ClientQuotaRecord) = 14, max 0;
    ProducerIds(ProducerIdsRecord) = 15, max 0;
    BrokerRegistrationChange(BrokerRegistrationChangeRecord) = 17, max 2;
    AccessControlEntry(AccessControlEntryRecord) = 18, max 0;
    RemoveAccessControlEntry(RemoveAccessControlEntryRecord) = 19, max 0;
    NoOp(NoOpRecord) = 20, max 0;
    ZkMigrationState(ZkMigrationStateRecord) = 21, max 0;
    RemoveUserScramCredential(RemoveUserScramCredentialRecord) = 22, max 0;
    BeginTransaction(BeginTransactionRecord) = 23, max 0;
    EndTransaction(EndTransactionRecord) = 24, max 0;
    AbortTransaction(AbortTransactionRecord) = 25, max 0;
    RemoveDelegationToken(RemoveDelegationTokenRecord) = 26, max 0;
    RegisterController(RegisterControllerRecord) = 27, max 0;
    ClearElr(ClearElrRecord) = 28, max 0;
}

impl MetadataRecord {
    /// The version that a cluster at metadata.version 4.1 writes: the highest, but a registration change only
    /// as high as its fields need. For older ones see `broker_core::metadata::MetadataVersion`.
    pub fn write_version(&self) -> i16 {
        match self {
            MetadataRecord::BrokerRegistrationChange(change) => change.lowest_version(),
            _ => self.version_max(),
        }
    }

    /// The record's bytes, frame included; normally at [`MetadataRecord::write_version`].
    ///
    /// # Errors
    /// A version the record does not have, or one that cannot hold its values.
    pub fn encode(&self, version: i16) -> Result<Bytes, EncodeError> {
        let mut writer = Writer::new();
        writer.unsigned_varint(FRAME_VERSION);
        writer.unsigned_varint(u32::from(self.type_id().cast_unsigned()));
        writer.unsigned_varint(u32::from(version.cast_unsigned()));
        self.encode_body(&mut writer, version)?;
        Ok(BytesMut::freeze(writer.into_bytes()))
    }

    /// Reads one record that fills `bytes`.
    ///
    /// # Errors
    /// Another frame version, a type or version of a later Kafka, or a malformed body.
    pub fn decode(bytes: Bytes) -> Result<MetadataRecord, MetadataRecordError> {
        let mut reader = Reader::new(bytes);
        match reader.unsigned_varint()? {
            FRAME_VERSION => {}
            other => return Err(MetadataRecordError::FrameVersion(other)),
        }
        let type_id = reader.unsigned_varint()?;
        let version = reader.unsigned_varint()?;
        let record = MetadataRecord::decode_body(&mut reader, type_id, version)?;
        reader.finish()?;
        Ok(record)
    }
}

fn known_version(name: &'static str, version: u32, max: i16) -> Result<i16, MetadataRecordError> {
    let known = i16::try_from(version)
        .ok()
        .filter(|&version| version <= max);
    known.ok_or(MetadataRecordError::UnknownVersion { name, version })
}
