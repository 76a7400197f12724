//! A snapshot is published as if its records had arrived.

use super::*;
use broker_core::metadata::{
    ConfigResource, LeaderRecoveryState, PartitionChangeRecord, PartitionRecord,
    RegisterBrokerRecord,
};
use broker_protocol::ids::{BrokerEpoch, PartitionEpoch};
use std::collections::BTreeMap;

fn topic(id: u8) -> Vec<Record> {
    let topic_id = Uuid([id; 16]);
    let partition = PartitionRecord {
        partition: partition(id),
        replicas: vec![NodeId(1)],
        isr: vec![NodeId(1)],
        removing_replicas: vec![],
        adding_replicas: vec![],
        leader: NodeId(1),
        leader_recovery_state: LeaderRecoveryState::Recovered,
        leader_epoch: LeaderEpoch(0),
        partition_epoch: PartitionEpoch(0),
        directories: vec![Uuid::ZERO],
        eligible_leader_replicas: vec![],
        last_known_elr: vec![],
    };
    let name = format!("t{id}");
    vec![
        Record::Topic { name, topic_id },
        Record::Partition(partition),
    ]
}

fn partition(topic: u8) -> TopicIdPartition {
    TopicIdPartition {
        topic_id: Uuid([topic; 16]),
        partition: 0,
    }
}

fn config(resource: ConfigResource) -> Record {
    Record::Config {
        resource,
        name: "retention.ms".into(),
        value: Some("5".into()),
    }
}

fn broker() -> Record {
    Record::RegisterBroker(RegisterBrokerRecord {
        broker: NodeId(1),
        incarnation_id: Uuid([9; 16]),
        epoch: BrokerEpoch(1),
        endpoints: vec![],
        features: BTreeMap::new(),
        rack: None,
        fenced: true,
        in_controlled_shutdown: false,
        log_directories: vec![],
    })
}

fn committed(records: Vec<Record>, end: Offset) -> Committed {
    Committed {
        records,
        end,
        epoch: LeaderEpoch(1),
        bytes: 0,
        timestamp: 0,
        high_watermark: end,
    }
}

/// Both nodes were at `before`; one applies the records, the other gets the snapshot of their outcome.
#[test]
fn a_snapshot_changes_what_its_records_would_have_changed() {
    let change = PartitionChangeRecord {
        leader: Some(NodeId::NONE),
        ..PartitionChangeRecord::new(partition(2))
    };
    let removal = Record::RemoveTopic {
        topic_id: Uuid([1; 16]),
    };
    let steps: [Vec<Record>; 6] = [
        topic(3),
        vec![Record::PartitionChange(change)],
        vec![removal],
        vec![config(ConfigResource::topic("t2"))],
        vec![config(ConfigResource::cluster())],
        vec![broker()],
    ];
    for records in steps {
        let before = || {
            let cache = MetadataCache::default();
            let mut ignored = MetadataDelta::default();
            let start = [topic(1), topic(2)].concat();
            cache.apply(&committed(start, 10), &mut ignored);
            cache
        };
        let (follower, laggard) = (before(), before());
        let (mut expected, mut delta) = (MetadataDelta::default(), MetadataDelta::default());
        let hash = follower.apply(&committed(records.clone(), 20), &mut expected);
        let replayed = laggard.replace(follower.image(), 20, LeaderEpoch(1), &mut delta);
        assert_eq!((delta, replayed), (expected, hash), "{records:?}");
    }
}

/// What clients and partitions see changes with the end of a transaction, and not at all if it is aborted.
#[test]
fn nothing_of_a_transaction_shows_before_its_end() {
    let begin = || vec![Record::BeginTransaction { name: None }];
    let abort = Record::AbortTransaction { reason: None };
    for (last, applies) in [(Record::EndTransaction, true), (abort, false)] {
        let cache = MetadataCache::default();
        let mut delta = MetadataDelta::default();
        let empty = cache.image();
        cache.apply(&committed([begin(), topic(1)].concat(), 3), &mut delta);
        let hash = cache.apply(&committed(topic(2), 5), &mut delta);
        assert!(cache.is_inside_transaction());
        assert_eq!((cache.image(), hash), (empty.clone(), empty.hash()));
        assert_eq!((delta.is_empty(), cache.last_offset()), (true, 4));
        cache.apply(&committed([vec![last], topic(3)].concat(), 8), &mut delta);
        assert!(!cache.is_inside_transaction());
        let mut expected = BTreeSet::from([partition(3)]);
        if applies {
            expected.extend([partition(1), partition(2)]);
        }
        assert_eq!(delta.partitions, expected);
        let ids: BTreeSet<_> = cache.image().partitions().map(|(id, _)| id).collect();
        assert_eq!(ids, expected);
    }
}
