//! Identifiers and epochs as types of their own, in Kafka's words.

use std::fmt;

/// An offset in a partition log. A plain number, because offsets are counted with.
pub type Offset = i64;

macro_rules! number_id {
    ($(#[$doc:meta])* $name:ident($inner:ty)) => {
        $(#[$doc])*
        #[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub struct $name(pub $inner);
        impl fmt::Display for $name {
            fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                fmt::Display::fmt(&self.0, formatter)
            }
        }
    };
}

number_id!(/// `node.id`: a broker, a controller or both.
    NodeId(i32));
number_id!(/// Incarnation of a broker: the metadata log offset of its registration; -1 unknown.
    BrokerEpoch(i64));
number_id!(/// Epoch of a partition's leader, or of the metadata quorum's leader; -1 unknown.
    LeaderEpoch(i32));
number_id!(/// Grows with each change of a partition's record in the metadata log; -1 unknown.
    PartitionEpoch(i32));

impl NodeId {
    /// Kafka's "no node".
    pub const NONE: NodeId = NodeId(-1);
}

/// Kafka's Uuid: 16 bytes, printed as URL-safe base64 without padding.
#[derive(Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Uuid(pub [u8; 16]);

impl Uuid {
    pub const ZERO: Uuid = Uuid([0; 16]);

    pub fn is_zero(self) -> bool {
        self == Uuid::ZERO
    }

    /// Parses Kafka's 22-character form.
    pub fn parse(text: &str) -> Option<Uuid> {
        if text.len() != 22 {
            return None;
        }
        let mut value: u128 = 0;
        for (index, character) in text.bytes().enumerate() {
            let digit = u128::from(base64_digit(character)?);
            if index == 21 {
                if digit & 0b1111 != 0 {
                    return None;
                }
                value = (value << 2) | (digit >> 4);
            } else {
                value = (value << 6) | digit;
            }
        }
        Some(Uuid(value.to_be_bytes()))
    }
}

const BASE64_URL: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_";

fn base64_digit(character: u8) -> Option<u8> {
    let position = BASE64_URL.iter().position(|&digit| digit == character)?;
    u8::try_from(position).ok()
}

impl fmt::Display for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let value = u128::from_be_bytes(self.0);
        for index in 0..22 {
            let digit = if index == 21 {
                (value << 4) & 63
            } else {
                (value >> (122 - 6 * index)) & 63
            };
            let digit = usize::try_from(digit).expect("six bits");
            write!(formatter, "{}", char::from(BASE64_URL[digit]))?;
        }
        Ok(())
    }
}

impl fmt::Debug for Uuid {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, formatter)
    }
}

/// A partition by topic name.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicPartition {
    pub topic: String,
    pub partition: i32,
}

impl TopicPartition {
    pub fn new(topic: impl Into<String>, partition: i32) -> TopicPartition {
        TopicPartition {
            topic: topic.into(),
            partition,
        }
    }
}

impl fmt::Display for TopicPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}-{}", self.topic, self.partition)
    }
}

/// A partition by topic id: what survives deletion and re-creation of a topic of the same name.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct TopicIdPartition {
    pub topic_id: Uuid,
    pub partition: i32,
}

impl fmt::Display for TopicIdPartition {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(formatter, "{}:{}", self.topic_id, self.partition)
    }
}

/// A voter or observer of the metadata quorum: id and the directory that holds its log (KIP-853).
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct ReplicaKey {
    pub id: NodeId,
    /// Zero when unknown, as with static voters (`controller.quorum.voters`).
    pub directory_id: Uuid,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uuid_text_is_kafkas() {
        // Kafka's METADATA_TOPIC_ID, Uuid(0, 1).
        let one = Uuid(1u128.to_be_bytes());
        assert_eq!(one.to_string(), "AAAAAAAAAAAAAAAAAAAAAQ");
        assert_eq!(Uuid::parse("AAAAAAAAAAAAAAAAAAAAAQ"), Some(one));
        let mixed = Uuid(*b"\xff\x01\x02\x03\xfe\x05\x06\x07\x08\x09\x0a\x0b\x0c\x0d\x0e\x0f");
        assert_eq!(Uuid::parse(&mixed.to_string()), Some(mixed));
        assert_eq!(Uuid::parse("AAAAAAAAAAAAAAAAAAAAA/"), None);
        assert_eq!(Uuid::parse("short"), None);
    }
}
