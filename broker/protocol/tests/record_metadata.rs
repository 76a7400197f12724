//! Metadata records against the bytes that Kafka 4.1 writes for the same values.

use broker_protocol::ids::Uuid;
use broker_protocol::metadata_record::{
    BrokerEndpoint, BrokerFeature, BrokerRegistrationChangeRecord, ConfigRecord,
    FeatureLevelRecord, MetadataRecord, NoOpRecord, PartitionChangeRecord, PartitionRecord,
    RegisterBrokerRecord, TopicRecord,
};
use bytes::Bytes;

#[test]
fn frames_and_bodies_are_kafkas() {
    let cases: [(MetadataRecord, &str); 8] = [
        (
            feature_level().into(),
            "010c00116d657461646174612e76657273696f6e001b00",
        ),
        (
            register_broker().into(),
            concat!(
                "010003000000010000000000000000010000000000000005000000000000007b020a504c41494e544558",
                "540a6c6f63616c686f7374fde800000002116d657461646174612e76657273696f6e0007001b00000100",
                "0100110200000000000000010000000000000006"
            ),
        ),
        (fenced().into(), "01110000000001000000000000007b01000101"),
        (
            topic().into(),
            "010200076f72646572730000000000000001000000000000000700",
        ),
        (
            partition().into(),
            concat!(
                "010302000000020000000000000001000000000000000704000000010000000200000003030000000200",
                "000003010100000002000000040000000504000000000000000100000000000000080000000000000001",
                "00000000000000090000000000000001000000000000000a0200010101050200000001"
            ),
        ),
        (
            partition_change().into(),
            concat!(
                "010502000000020000000000000001000000000000000705000502000000030104000000030401010705",
                "020000000208110200000000000000010000000000000008"
            ),
        ),
        (
            config_deleted().into(),
            "01040002076f72646572730d726574656e74696f6e2e6d730000",
        ),
        (NoOpRecord::default().into(), "01140000"),
    ];
    for (record, hex) in cases {
        let bytes = record.encode(record.write_version()).unwrap();
        assert_eq!(bytes, from_hex(hex), "{record:?}");
        assert_eq!(MetadataRecord::decode(from_hex(hex)), Ok(record));
    }
}

fn feature_level() -> FeatureLevelRecord {
    FeatureLevelRecord {
        name: "metadata.version".to_owned(),
        feature_level: 27,
        ..Default::default()
    }
}

fn register_broker() -> RegisterBrokerRecord {
    let endpoint = BrokerEndpoint {
        name: "PLAINTEXT".to_owned(),
        host: "localhost".to_owned(),
        port: 65_000,
        ..Default::default()
    };
    let feature = BrokerFeature {
        name: "metadata.version".to_owned(),
        min_supported_version: 7,
        max_supported_version: 27,
        ..Default::default()
    };
    RegisterBrokerRecord {
        broker_id: 1,
        incarnation_id: uuid(5),
        broker_epoch: 123,
        end_points: vec![endpoint],
        features: vec![feature],
        rack: None,
        fenced: true,
        log_dirs: vec![uuid(6)],
        ..Default::default()
    }
}

fn fenced() -> BrokerRegistrationChangeRecord {
    BrokerRegistrationChangeRecord {
        broker_id: 1,
        broker_epoch: 123,
        fenced: 1,
        ..Default::default()
    }
}

fn topic() -> TopicRecord {
    TopicRecord {
        name: "orders".to_owned(),
        topic_id: uuid(7),
        ..Default::default()
    }
}

fn partition() -> PartitionRecord {
    PartitionRecord {
        partition_id: 2,
        topic_id: uuid(7),
        replicas: vec![1, 2, 3],
        isr: vec![2, 3],
        leader: 2,
        leader_epoch: 4,
        partition_epoch: 5,
        directories: vec![uuid(8), uuid(9), uuid(10)],
        eligible_leader_replicas: Some(vec![1]),
        leader_recovery_state: 1,
        ..Default::default()
    }
}

fn partition_change() -> PartitionChangeRecord {
    PartitionChangeRecord {
        partition_id: 2,
        topic_id: uuid(7),
        isr: Some(vec![3]),
        leader: 3,
        adding_replicas: Some(Vec::new()),
        directories: Some(vec![uuid(8)]),
        last_known_elr: Some(vec![2]),
        ..Default::default()
    }
}

fn config_deleted() -> ConfigRecord {
    ConfigRecord {
        resource_type: 2,
        resource_name: "orders".to_owned(),
        name: "retention.ms".to_owned(),
        value: None,
        ..Default::default()
    }
}

fn uuid(low: u128) -> Uuid {
    Uuid(((1_u128 << 64) | low).to_be_bytes())
}

fn from_hex(text: &str) -> Bytes {
    let digits = (0..text.len()).step_by(2);
    digits
        .map(|at| u8::from_str_radix(&text[at..at + 2], 16).unwrap())
        .collect()
}
