use std::collections::BTreeMap;

use broker_protocol::ids::Uuid;

use super::*;

fn directory(number: u8) -> Uuid {
    Uuid([number; 16])
}

fn partition() -> TopicIdPartition {
    TopicIdPartition {
        topic_id: Uuid([7; 16]),
        partition: 3,
    }
}

/// One of each kind whose version depends on `metadata.version`, with everything set that may be.
fn records(version: MetadataVersion) -> Vec<Record> {
    let eligible = if version.has_eligible_replicas() {
        vec![NodeId(2)]
    } else {
        Vec::new()
    };
    let mut change = PartitionChangeRecord::new(partition());
    change.leader = Some(NodeId(2));
    change.directories = Some(vec![directory(1), directory(2)]);
    change.eligible_leader_replicas = version.has_eligible_replicas().then(|| eligible.clone());
    vec![
        Record::RegisterBroker(RegisterBrokerRecord {
            broker: NodeId(1),
            incarnation_id: Uuid([9; 16]),
            epoch: BrokerEpoch(5),
            endpoints: Vec::new(),
            features: BTreeMap::new(),
            rack: None,
            fenced: true,
            in_controlled_shutdown: true,
            log_directories: vec![directory(1)],
        }),
        Record::BrokerRegistrationChange(BrokerRegistrationChangeRecord {
            fenced: Some(true),
            log_directories: Some(vec![directory(1)]),
            ..BrokerRegistrationChangeRecord::new(NodeId(1), BrokerEpoch(5))
        }),
        Record::Partition(PartitionRecord {
            partition: partition(),
            replicas: vec![NodeId(1), NodeId(2)],
            isr: vec![NodeId(1)],
            removing_replicas: Vec::new(),
            adding_replicas: Vec::new(),
            leader: NodeId(1),
            leader_recovery_state: LeaderRecoveryState::Recovered,
            leader_epoch: LeaderEpoch(1),
            partition_epoch: PartitionEpoch(2),
            directories: vec![directory(1), directory(2)],
            eligible_leader_replicas: eligible,
            last_known_elr: Vec::new(),
        }),
        Record::PartitionChange(change),
    ]
}

#[test]
fn marks_of_transactions_are_those_of_kip_868() {
    let name = Some("Bootstrap records".to_owned());
    let reason = Some("Controller failover".to_owned());
    for (record, kind) in [
        (Record::BeginTransaction { name: None }, 23),
        (Record::BeginTransaction { name }, 23),
        (Record::EndTransaction, 24),
        (Record::AbortTransaction { reason }, 25),
    ] {
        let bytes = encode(&record, MetadataVersion::LATEST).expect("short strings");
        assert_eq!((bytes[1], written_version(&bytes)), (kind, 0));
        assert_eq!(decode(bytes), Ok(record));
    }
}

/// What the bytes say their version is: after the frame's version and the record's type.
fn written_version(bytes: &Bytes) -> u8 {
    bytes[2]
}

#[test]
fn what_the_log_holds_is_what_the_image_applied_at_every_metadata_version() {
    for level in 7..=27 {
        let version = MetadataVersion::from_level(level).expect("a known level");
        for record in records(version) {
            let Some(lowered) = version.lower(record.clone()) else {
                panic!("{record:?} at {version}");
            };
            let bytes = encode(&lowered, version).expect("it was lowered");
            assert_eq!(decode(bytes), Ok(lowered), "{version}");
        }
    }
}

#[test]
fn record_versions_follow_metadata_version() {
    let written = |level| {
        let version = MetadataVersion::from_level(level).expect("a known level");
        let lowered = records(version)
            .into_iter()
            .filter_map(|it| version.lower(it));
        let bytes = lowered.map(|it| encode(&it, version).expect("it was lowered"));
        bytes
            .map(|bytes| written_version(&bytes))
            .collect::<Vec<u8>>()
    };
    assert_eq!(written(7), [1, 0, 0, 0]);
    assert_eq!(written(14), [2, 0, 0, 0]);
    assert_eq!(written(21), [3, 2, 1, 1]);
    assert_eq!(written(27), [3, 2, 2, 2]);
}

#[test]
fn what_a_version_cannot_hold_is_an_error_and_not_lost() {
    let version = MetadataVersion::MINIMUM;
    for record in records(version) {
        // Tagged fields of later versions are refused, too.
        let lossless =
            encode(&record, version).is_ok_and(|bytes| decode(bytes) == Ok(record.clone()));
        let refused = encode(&record, version).is_err();
        assert!(lossless || refused, "{record:?}");
    }
}
