//! META-2 over files: an image from a snapshot and the records behind it is the image of all records.

use std::collections::BTreeMap;

use broker_core::metadata::{
    ConfigResource, Endpoint, LeaderRecoveryState, PartitionChangeRecord, PartitionRecord,
    RegisterBrokerRecord, RegisterControllerRecord, VersionRange,
};
use broker_env::Env;
use broker_protocol::ids::{
    BrokerEpoch, NodeId, PartitionEpoch, ReplicaKey, TopicIdPartition, Uuid,
};

use super::*;

/// A folder that goes with the test.
struct Folder(Env, PathBuf);

impl Folder {
    fn new(name: &str) -> Folder {
        let env = broker_env::production::env();
        let path = std::env::temp_dir().join(format!("trial-{name}-{}", std::process::id()));
        env.disk
            .create_directory(&path)
            .expect("a temporary folder can be made");
        Folder(env, path)
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _left_behind = self.0.disk.remove(&self.1);
    }
}

/// Any lawful sequence of records, from a seed.
struct Story {
    state: u64,
    topics: Vec<(u8, i32)>,
    next_topic: u8,
    offset: i64,
}

impl Story {
    fn below(&mut self, limit: u64) -> u64 {
        self.state ^= self.state << 13;
        self.state ^= self.state >> 7;
        self.state ^= self.state << 17;
        self.state % limit
    }

    fn node(&mut self) -> NodeId {
        NodeId(i32::try_from(self.below(3)).expect("small") + 1)
    }

    fn partition(&mut self) -> Option<TopicIdPartition> {
        let count = u64::try_from(self.topics.len()).expect("few");
        let at = usize::try_from(self.below(count.max(1))).expect("few");
        let (topic, partitions) = *self.topics.get(at)?;
        let partition = self.below(u64::try_from(partitions).expect("positive"));
        Some(TopicIdPartition {
            topic_id: Uuid([topic; 16]),
            partition: i32::try_from(partition).expect("few"),
        })
    }

    fn next(&mut self) -> Vec<Record> {
        self.offset += 1;
        let (node, number) = (
            self.node(),
            i16::try_from(self.offset % 100).expect("small"),
        );
        match self.below(11) {
            0 => vec![register_broker(node, self.offset)],
            1 => vec![register_controller(node)],
            2 | 3 => self.create_topic(node),
            4 => self.remove_topic(),
            5 | 6 => self.change(node),
            7 => vec![Record::FeatureLevel {
                name: format!("feature.{}", self.below(3)),
                level: number % 3,
            }],
            8 => vec![Record::ProducerIds {
                broker: node,
                broker_epoch: BrokerEpoch(self.offset),
                next_producer_id: self.offset * 1000,
            }],
            9 => {
                let topic = format!("t{}", self.below(5));
                let resource = match self.below(3) {
                    0 => ConfigResource::cluster(),
                    1 => ConfigResource::broker(node),
                    _ => ConfigResource::topic(topic),
                };
                let value = (self.below(3) > 0).then(|| number.to_string());
                let name = format!("config.{}", self.below(3));
                vec![Record::Config {
                    resource,
                    name,
                    value,
                }]
            }
            _ => vec![Record::NoOp],
        }
    }

    fn create_topic(&mut self, leader: NodeId) -> Vec<Record> {
        let (topic, partitions) = (self.next_topic, 1 + self.next_topic % 3);
        self.next_topic += 1;
        self.topics.push((topic, partitions.into()));
        let topic_id = Uuid([topic; 16]);
        let mut records = vec![Record::Topic {
            name: format!("t{topic}"),
            topic_id,
        }];
        records.extend((0..i32::from(partitions)).map(|partition| {
            Record::Partition(PartitionRecord {
                partition: TopicIdPartition {
                    topic_id,
                    partition,
                },
                replicas: vec![leader, NodeId(9)],
                isr: vec![leader],
                removing_replicas: vec![],
                adding_replicas: vec![],
                leader,
                leader_recovery_state: LeaderRecoveryState::Recovered,
                leader_epoch: LeaderEpoch(0),
                partition_epoch: PartitionEpoch(0),
                directories: vec![Uuid([8; 16]), Uuid([9; 16])],
                eligible_leader_replicas: vec![NodeId(9)],
                last_known_elr: vec![],
            })
        }));
        records
    }

    fn remove_topic(&mut self) -> Vec<Record> {
        let removed = self.topics.pop();
        let removal = removed.map(|(topic, _)| Record::RemoveTopic {
            topic_id: Uuid([topic; 16]),
        });
        removal.into_iter().collect()
    }

    fn change(&mut self, node: NodeId) -> Vec<Record> {
        let Some(partition) = self.partition() else {
            return Vec::new();
        };
        vec![Record::PartitionChange(PartitionChangeRecord {
            leader: (self.below(2) > 0).then_some(node),
            isr: Some(vec![node]),
            eligible_leader_replicas: Some(vec![]),
            last_known_elr: (self.below(2) > 0).then(|| vec![NodeId(9)]),
            ..PartitionChangeRecord::new(partition)
        })]
    }
}

fn register_broker(broker: NodeId, offset: i64) -> Record {
    let endpoint = Endpoint {
        name: "PLAINTEXT".into(),
        host: format!("host{broker}"),
        port: 9092,
        security_protocol: 0,
    };
    let range = VersionRange { min: 0, max: 2 };
    Record::RegisterBroker(RegisterBrokerRecord {
        broker,
        incarnation_id: Uuid([7; 16]),
        epoch: BrokerEpoch(offset),
        endpoints: vec![endpoint],
        features: BTreeMap::from([("metadata.version".into(), range)]),
        rack: (offset % 2 == 0).then(|| "rack".into()),
        fenced: offset % 3 == 0,
        in_controlled_shutdown: offset % 5 == 0,
        log_directories: vec![Uuid([8; 16])],
    })
}

fn register_controller(controller: NodeId) -> Record {
    Record::RegisterController(RegisterControllerRecord {
        controller,
        incarnation_id: Uuid([6; 16]),
        endpoints: vec![],
        features: BTreeMap::new(),
    })
}

fn id(end_offset: Offset) -> SnapshotId {
    SnapshotId {
        end_offset,
        epoch: LeaderEpoch(3),
    }
}

fn apply(image: &mut MetadataImage, records: &[Record]) {
    records.iter().for_each(|record| image.apply(record));
}

async fn write(
    snapshots: &mut Snapshots,
    end: Offset,
    header: SnapshotHeader,
    image: &MetadataImage,
) {
    let written = snapshots.write(id(end), header, image.clone(), WallTime(5));
    snapshots.add(written.await.expect("a healthy disk"));
}

fn run(name: &str, test: impl AsyncFnOnce(&Env, &Path)) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime.expect("a runtime");
    runtime.block_on(async {
        let folder = Folder::new(name);
        test(&folder.0, &folder.1).await;
    });
}

#[test]
fn snapshot_and_log_give_the_image_of_the_whole_log() {
    run("snapshot-image", async |env, path| {
        for seed in 1..40 {
            let mut story = Story {
                state: seed * 7919,
                topics: Vec::new(),
                next_topic: 0,
                offset: 0,
            };
            // As every log begins; without it records are written as the oldest release had them.
            let version = Record::FeatureLevel {
                name: "metadata.version".into(),
                level: MetadataVersion::LATEST.level(),
            };
            let rest = (0..80).flat_map(|_| story.next());
            let log: Vec<Record> = std::iter::once(version).chain(rest).collect();
            let (before, after) = log.split_at(usize::try_from(seed).expect("few"));
            let mut whole = MetadataImage::default();
            apply(&mut whole, before);
            let mut snapshots =
                Snapshots::open(env.disk.clone(), path, 0).expect("a folder of snapshots");
            let end = i64::try_from(seed).expect("few");
            write(&mut snapshots, end, SnapshotHeader::default(), &whole).await;
            let mut loaded = snapshots.load(id(end)).expect("a whole snapshot").image;
            assert_eq!(
                (&loaded, loaded.hash()),
                (&whole, whole.hash()),
                "seed {seed}"
            );
            apply(&mut whole, after);
            apply(&mut loaded, after);
            assert_eq!(
                (&loaded, loaded.hash()),
                (&whole, whole.hash()),
                "seed {seed}"
            );
        }
    });
}

#[test]
fn what_is_kept_survives_with_its_voters_and_is_found_again() {
    run("snapshot-kept", async |env, path| {
        let voters = raft::VoterSet::new([ReplicaKey {
            id: NodeId(4),
            directory_id: Uuid([4; 16]),
        }]);
        let header = SnapshotHeader {
            last_contained_log_timestamp: 77,
            kraft_version: 1,
            voters: Some(voters::to_record(&voters)),
        };
        let image = MetadataImage::default();
        let mut snapshots = Snapshots::open(env.disk.clone(), path, 0).expect("empty");
        for end in [10, 20, 30] {
            write(&mut snapshots, end, header.clone(), &image).await;
        }
        let found = Snapshots::open(env.disk.clone(), path, 15).expect("whole snapshots");
        assert_eq!(found.described(), snapshots.described());
        let last = found.described().pop().expect("three");
        assert_eq!((last.kraft_version, last.voters), (1, Some(voters)));
        assert_eq!(found.load(id(30)).expect("whole").timestamp, 77);
        assert_eq!(
            (found.first_from(15), found.latest_up_to(29)),
            (Some(id(20)), Some(id(20)))
        );
        let missing = Snapshots::open(env.disk.clone(), path, 31).map(drop);
        assert!(matches!(
            missing,
            Err(SnapshotsError::Missing { log_start: 31, .. })
        ));
        let chunk = found.chunk(id(30), 5, 10).expect("a healthy disk");
        assert_eq!(chunk.map(|chunk| chunk.len()), Some(10));
        assert_eq!(found.chunk(id(31), 0, 10).expect("a healthy disk"), None);
    });
}

#[test]
fn a_fetched_snapshot_is_checked_before_it_counts() {
    run("snapshot-fetched", async |env, path| {
        let mut source = Snapshots::open(env.disk.clone(), path, 0).expect("empty");
        write(
            &mut source,
            10,
            SnapshotHeader::default(),
            &MetadataImage::default(),
        )
        .await;
        let bytes = source.chunk(id(10), 0, 1 << 20).expect("a healthy disk");
        let bytes = bytes.expect("it is there");
        let copy = path.join("copy");
        env.disk.create_directory(&copy).expect("a healthy disk");
        for (cut, whole) in [(0, true), (1, false)] {
            let mut target = Snapshots::open(env.disk.clone(), &copy, 0).expect("empty");
            // An attempt that was given up is forgotten.
            target
                .append_chunk(id(9), 0, &bytes[..5])
                .expect("a healthy disk");
            let (first, rest) = bytes[..bytes.len() - cut].split_at(7);
            target
                .append_chunk(id(10), 0, first)
                .expect("a healthy disk");
            target
                .append_chunk(id(10), 7, rest)
                .expect("a healthy disk");
            match target.finish_fetched(id(10)).expect("a healthy disk") {
                Fetched::Whole(finishing) => {
                    assert!(whole, "cut by {cut}");
                    target.add(finishing.await.expect("a healthy disk"));
                    assert_eq!(target.ids(), [(10, LeaderEpoch(3))]);
                    target.remove_before(id(11)).expect("a healthy disk");
                }
                Fetched::Damaged => assert!(!whole, "cut by {cut}"),
            }
            assert!(env.disk.list(&copy).expect("a healthy disk").is_empty());
        }
    });
}

/// No image becomes such a snapshot: it was written by something else, or changed.
#[test]
fn a_snapshot_with_marks_of_transactions_is_damaged() {
    run("snapshot-marks", async |env, path| {
        for mark in [
            Record::BeginTransaction { name: None },
            Record::EndTransaction,
            Record::AbortTransaction { reason: None },
        ] {
            let value = metadata_codec::encode(&mark, MetadataVersion::LATEST).expect("small");
            let header = SnapshotHeader::default();
            let writer = SnapshotWriter::create(env.disk.clone(), path, id(10), &header, 5);
            let mut writer = writer.expect("a healthy disk");
            writer.append(&[value]).expect("a healthy disk");
            writer.finish().await.expect("a healthy disk");
            let snapshots = Snapshots::open(env.disk.clone(), path, 0).expect("it is whole");
            let error = snapshots
                .load(id(10))
                .expect_err("a mark has no place there");
            assert!(error.detail.contains("no transactions"), "{error}");
        }
    });
}

#[test]
fn retention_removes_the_oldest_but_never_the_last() {
    run("snapshot-retention", async |env, path| {
        let mut snapshots = Snapshots::open(env.disk.clone(), path, 0).expect("empty");
        for (end, timestamp) in [(10, 100), (20, 200), (30, 300)] {
            let header = SnapshotHeader {
                last_contained_log_timestamp: timestamp,
                ..SnapshotHeader::default()
            };
            write(&mut snapshots, end, header, &MetadataImage::default()).await;
        }
        let size = snapshots.described()[0].size;
        let expired = |bytes: i64, ms: i64, now: i64| {
            snapshots.expired(RetentionLimits { bytes, ms }, 50, WallTime(now))
        };
        assert_eq!(expired(-1, -1, 10_000), None);
        assert_eq!(expired(-1, 50, 150), None);
        assert_eq!(expired(-1, 50, 151), Some(id(20)));
        assert_eq!(expired(-1, 50, 10_000), Some(id(30)));
        assert_eq!(expired(50 + 3 * size, -1, 0), None);
        assert_eq!(expired(50 + 3 * size - 1, -1, 0), Some(id(20)));
        assert_eq!(expired(0, -1, 0), Some(id(30)));
    });
}
