//! What consumers tell each other through a classic group: opaque to the coordinator, but for the topics.
//!
//! Both start with their version, 16 bits; what a later version has behind is not looked at.

use bytes::{Bytes, BytesMut};

use crate::codec::{Decode, DecodeError, Encode, Message, Reader, TaggedFields, Writer};

/// Kafka's name of the type of protocol that consumers speak.
pub const CONSUMER_PROTOCOL_TYPE: &str = "consumer";
const VERSION_MAX: i16 = 3;

/// What a member wants.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-3")]
pub struct ConsumerProtocolSubscription {
    #[field(versions = "0+")]
    pub topics: Vec<String>,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub user_data: Option<Bytes>,
    #[field(versions = "1+", ignorable)]
    pub owned_partitions: Vec<ConsumerProtocolTopicPartitions>,
    #[field(versions = "2+", default = -1, ignorable)]
    pub generation_id: i32,
    #[field(versions = "3+", nullable = "3+", default = null, ignorable)]
    pub rack_id: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

/// What a member gets.
#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message(versions = "0-3")]
pub struct ConsumerProtocolAssignment {
    #[field(versions = "0+")]
    pub assigned_partitions: Vec<ConsumerProtocolTopicPartitions>,
    #[field(versions = "0+", nullable = "0+", default = null)]
    pub user_data: Option<Bytes>,
    pub unknown_tagged_fields: TaggedFields,
}

#[derive(Clone, Debug, PartialEq, Eq, Message)]
#[message()]
pub struct ConsumerProtocolTopicPartitions {
    #[field(versions = "0+")]
    pub topic: String,
    #[field(versions = "0+")]
    pub partitions: Vec<i32>,
    pub unknown_tagged_fields: TaggedFields,
}

impl ConsumerProtocolSubscription {
    /// # Errors
    /// Malformed.
    pub fn from_bytes(bytes: Bytes) -> Result<ConsumerProtocolSubscription, DecodeError> {
        decode(bytes)
    }

    /// Highest version first in use by Kafka 4.1.
    pub fn to_bytes(&self) -> Bytes {
        encode(self)
    }
}

impl ConsumerProtocolAssignment {
    /// # Errors
    /// Malformed.
    pub fn from_bytes(bytes: Bytes) -> Result<ConsumerProtocolAssignment, DecodeError> {
        decode(bytes)
    }

    pub fn to_bytes(&self) -> Bytes {
        encode(self)
    }
}

fn decode<T: Decode>(bytes: Bytes) -> Result<T, DecodeError> {
    let mut reader = Reader::new(bytes);
    let version = reader.i16()?.clamp(0, VERSION_MAX);
    T::decode(&mut reader, version)
}

fn encode(message: &impl Encode) -> Bytes {
    let mut writer = Writer::new();
    writer.i16(VERSION_MAX);
    let encoded = message.encode(&mut writer, VERSION_MAX);
    encoded.expect("names of topics are short");
    BytesMut::freeze(writer.into_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_behind_the_known_fields_is_left_alone() {
        let subscription = ConsumerProtocolSubscription {
            topics: vec!["a".into(), "b".into()],
            ..Default::default()
        };
        let mut bytes = BytesMut::from(subscription.to_bytes().as_ref());
        bytes[1] = 9;
        bytes.extend_from_slice(b"later");
        let read = ConsumerProtocolSubscription::from_bytes(bytes.freeze());
        assert_eq!(read, Ok(subscription));
        assert!(ConsumerProtocolSubscription::from_bytes(Bytes::new()).is_err());
    }
}
