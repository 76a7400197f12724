//! The core's records as Kafka's, and back.

use std::collections::BTreeMap;

use broker_core::transaction::{Record, State, TransactionMetadata};
use broker_protocol::ids::TopicPartition;
use broker_protocol::transaction_record::{
    PartitionsSchema, TransactionLogKey, TransactionLogValue, TransactionRecord,
};
use bytes::Bytes;

/// Key and value; tagged fields only where all brokers know them.
pub fn bytes(record: Record, has_tags: bool) -> (Bytes, Option<Bytes>) {
    let encoded = to_wire(record).encode(has_tags);
    encoded.expect("what was read from a request can be written")
}

fn to_wire(record: Record) -> TransactionRecord {
    let key = TransactionLogKey {
        transactional_id: record.transactional_id,
        ..Default::default()
    };
    let value = record.value.map(value_to_wire);
    TransactionRecord { key, value }
}

fn value_to_wire(value: TransactionMetadata) -> TransactionLogValue {
    let mut topics: BTreeMap<String, Vec<i32>> = BTreeMap::new();
    for TopicPartition { topic, partition } in value.partitions {
        topics.entry(topic).or_default().push(partition);
    }
    let partitions = topics
        .into_iter()
        .map(|(topic, partition_ids)| PartitionsSchema {
            topic,
            partition_ids,
            ..Default::default()
        });
    TransactionLogValue {
        producer_id: value.producer_id,
        previous_producer_id: value.previous_producer_id.unwrap_or(-1),
        next_producer_id: value.next_producer_id.unwrap_or(-1),
        producer_epoch: value.producer_epoch,
        transaction_timeout_ms: value.timeout_ms,
        transaction_status: value.state.number(),
        transaction_partitions: (value.state != State::Empty).then(|| partitions.collect()),
        transaction_last_update_timestamp_ms: value.last_update_ms,
        transaction_start_timestamp_ms: value.start_ms.unwrap_or(-1),
        client_transaction_version: value.client_version,
        ..Default::default()
    }
}

/// `None` for a state that no log should have.
pub fn from_wire(record: TransactionRecord) -> Option<Record> {
    let value = match record.value {
        None => None,
        Some(value) => Some(value_from_wire(value)?),
    };
    Some(Record {
        transactional_id: record.key.transactional_id,
        value,
    })
}

fn value_from_wire(value: TransactionLogValue) -> Option<TransactionMetadata> {
    let not_negative = |number: i64| Some(number).filter(|number| *number >= 0);
    let topics = value.transaction_partitions.into_iter().flatten();
    let partitions = topics.flat_map(|topic| {
        let of = move |partition| TopicPartition::new(topic.topic.clone(), partition);
        topic.partition_ids.into_iter().map(of)
    });
    Some(TransactionMetadata {
        producer_id: value.producer_id,
        previous_producer_id: not_negative(value.previous_producer_id),
        next_producer_id: not_negative(value.next_producer_id),
        producer_epoch: value.producer_epoch,
        timeout_ms: value.transaction_timeout_ms,
        state: State::stored(value.transaction_status)?,
        partitions: partitions.collect(),
        start_ms: not_negative(value.transaction_start_timestamp_ms),
        last_update_ms: value.transaction_last_update_timestamp_ms,
        client_version: value.client_transaction_version,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn metadata() -> TransactionMetadata {
        let of = |topic, partition| TopicPartition::new(topic, partition);
        TransactionMetadata {
            producer_id: 7,
            previous_producer_id: Some(6),
            next_producer_id: Some(8),
            producer_epoch: i16::MAX,
            timeout_ms: 60_000,
            state: State::PrepareAbort,
            partitions: [of("a", 0), of("a", 2), of("b", 1)].into(),
            start_ms: Some(3),
            last_update_ms: 4,
            client_version: 2,
        }
    }

    fn round_trip(record: Record, has_tags: bool) -> Option<Record> {
        let (key, value) = bytes(record, has_tags);
        from_wire(TransactionRecord::decode(key, value).expect("well-formed"))
    }

    #[test]
    fn records_survive_the_log() {
        let empty = TransactionMetadata {
            state: State::Empty,
            partitions: [].into(),
            start_ms: None,
            previous_producer_id: None,
            next_producer_id: None,
            ..metadata()
        };
        for value in [Some(metadata()), Some(empty), None] {
            let record = Record {
                transactional_id: "x".into(),
                value,
            };
            assert_eq!(round_trip(record.clone(), true), Some(record));
        }
    }

    #[test]
    fn before_transaction_version_1_nothing_is_known_of_other_producer_ids() {
        let record = |value| Record {
            transactional_id: "x".into(),
            value: Some(value),
        };
        let plain = TransactionMetadata {
            previous_producer_id: None,
            next_producer_id: None,
            client_version: 0,
            ..metadata()
        };
        assert_eq!(round_trip(record(metadata()), false), Some(record(plain)));
    }

    #[test]
    fn a_state_that_is_never_stored_is_none() {
        for state in [State::Dead, State::PrepareEpochFence] {
            let value = TransactionMetadata {
                state,
                ..metadata()
            };
            let record = Record {
                transactional_id: "x".into(),
                value: Some(value),
            };
            assert_eq!(round_trip(record, true), None);
        }
    }
}
