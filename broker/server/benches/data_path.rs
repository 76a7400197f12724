//! What a produce and a fetch of one partition cost, step by step, beside a copy and a checksum of the same
//! bytes. The log is real, in a temporary folder; appends end in the page cache.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::path::PathBuf;
use std::sync::Arc;

use broker_core::replica::{ConsumerFetch, Input, PartitionState};
use broker_env::WallTime;
use broker_protocol::api as wire;
use broker_protocol::frame::{
    decode_request, encode_request, encode_response, encode_response_chunks,
};
use broker_protocol::ids::{
    LeaderEpoch, NodeId, PartitionEpoch, TopicIdPartition, TopicPartition, Uuid,
};
use broker_protocol::record::{BatchBuilder, BatchOptions, crc32c};
use broker_server::config::TopicConfig;
use broker_server::observe::Observer;
use broker_server::partition::{
    Isolation, Partition, PartitionContext, ProduceBatch, ReadLimits, log_config,
};
use broker_storage::{DirectoryOptions, LogDirectory, MetaProperties};
use bytes::{Bytes, BytesMut};
use criterion::measurement::WallTime as Wall;
use criterion::{
    BatchSize, BenchmarkGroup, Criterion, Throughput, criterion_group, criterion_main,
};
use tokio::runtime::Runtime;
use tokio::sync::mpsc;

const PRODUCE_VERSION: i16 = 10;
const FETCH_VERSION: i16 = 12;
const SEGMENT_BYTES: i64 = 16 << 20;

/// Records of a batch, and bytes of each: one alone, and a full batch of librdkafka's.
const SHAPES: [(&str, usize, usize); 3] = [
    ("1 x 1 KiB", 1, 1024),
    ("950 x 1 KiB", 950, 1024),
    ("9000 x 100 B", 9000, 100),
];

/// A partition led by this node alone.
struct Leader {
    runtime: Runtime,
    folder: PathBuf,
    partition: Arc<Partition>,
    config: TopicConfig,
    _events: mpsc::UnboundedReceiver<broker_server::partition::PartitionEvent>,
}

impl Leader {
    fn start(shape: &str) -> Leader {
        let runtime = tokio::runtime::Builder::new_multi_thread()
            .worker_threads(1)
            .enable_all()
            .build()
            .expect("a runtime starts");
        let env = broker_env::production::env_on(runtime.handle());
        let name = format!(
            "trial-bench-{}-{}",
            std::process::id(),
            shape.replace(' ', "-")
        );
        let folder = std::env::temp_dir().join(name);
        let config = TopicConfig {
            segment_bytes: SEGMENT_BYTES,
            retention_bytes: SEGMENT_BYTES,
            ..TopicConfig::default()
        };
        let id = TopicIdPartition {
            topic_id: Uuid([7; 16]),
            partition: 0,
        };
        let name = TopicPartition::new("bench", 0);
        let log = runtime.block_on(async {
            let disk = env.disk.clone();
            let properties = MetaProperties {
                cluster_id: "bench".into(),
                node_id: NodeId(1),
                directory_id: Uuid([1; 16]),
            };
            LogDirectory::format(disk.as_ref(), &folder, &properties)
                .await
                .expect("formats");
            let defaults = log_config(&config);
            let directory = LogDirectory::open(DirectoryOptions {
                disk,
                path: folder.clone(),
                cluster_id: None,
                node_id: NodeId(1),
                config: Arc::new(move |_: &TopicPartition| defaults.clone()),
                now_ms: env.clock.wall().0,
            });
            let directory = directory.await.expect("opens");
            let created = directory.create_log(&name, Some(id.topic_id), log_config(&config), 0, 0);
            created.await.expect("a log is created")
        });
        let (events, receiver) = mpsc::unbounded_channel();
        let context = PartitionContext {
            producer_id_expiration_ms: i64::MAX,
            env,
            node: NodeId(1),
            observer: Observer::none(),
            events,
        };
        let opened = Partition::new(id, name, Uuid::ZERO, context, log, config.clone(), 0);
        let partition = Arc::new(opened.expect("an empty log"));
        partition.step(Input::Metadata(PartitionState {
            leader: NodeId(1),
            leader_epoch: LeaderEpoch(0),
            partition_epoch: PartitionEpoch(0),
            replicas: vec![NodeId(1)],
            isr: vec![NodeId(1)],
        }));
        Leader {
            runtime,
            folder,
            partition,
            config,
            _events: receiver,
        }
    }

    fn validate(&self, records: BytesMut) -> ProduceBatch {
        ProduceBatch::validate(records, &self.config, WallTime(0)).expect("a good batch")
    }

    fn produce(&self, batch: ProduceBatch) -> i64 {
        let reply = self.partition.produce(batch, -1).try_recv();
        reply
            .expect("alone in the ISR: answered at once")
            .expect("appends")
            .base_offset
    }

    /// Old segments go, so that their pages are used again.
    fn clean(&self) {
        self.runtime.block_on(self.partition.apply_retention());
    }
}

impl Drop for Leader {
    fn drop(&mut self) {
        let _left_to_the_system = std::fs::remove_dir_all(&self.folder);
    }
}

fn records(count: usize, size: usize) -> Bytes {
    let value: Vec<u8> = (0..size)
        .map(|at| u8::try_from(at * 131 % 251).expect("below 251"))
        .collect();
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for _ in 0..count {
        builder.append(1, None, Some(&value), &[]);
    }
    builder.build().into_bytes()
}

fn produce_request(records: &Bytes) -> Bytes {
    let request = wire::ProduceRequest {
        acks: -1,
        timeout_ms: 30_000,
        topic_data: vec![wire::TopicProduceData {
            name: "bench".into(),
            partition_data: vec![wire::PartitionProduceData {
                index: 0,
                records: Some(records.clone()),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    };
    let frame = encode_request(&request, PRODUCE_VERSION, 1, Some("bench")).expect("encodes");
    frame.freeze().slice(4..)
}

fn fetch_response(records: &Bytes) -> wire::FetchResponse {
    wire::FetchResponse {
        responses: vec![wire::FetchableTopicResponse {
            topic: "bench".into(),
            partitions: vec![wire::FetchPartitionData {
                records: Some(records.clone()),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

fn reference(group: &mut BenchmarkGroup<'_, Wall>, records: &Bytes) {
    let mut copy = vec![0; records.len()];
    group.bench_function("reference: memcpy", |bencher| {
        bencher.iter(|| copy.copy_from_slice(black_box(records)));
    });
    group.bench_function("reference: crc32c", |bencher| {
        bencher.iter(|| crc32c(black_box(records)));
    });
}

fn produce(criterion: &mut Criterion) {
    for (shape, count, size) in SHAPES {
        let leader = Leader::start(shape);
        let records = records(count, size);
        let frame = produce_request(&records);
        let mut group = criterion.benchmark_group(format!("produce {shape}"));
        group
            .sample_size(20)
            .throughput(Throughput::Elements(u64::try_from(count).expect("small")));
        reference(&mut group, &records);
        group.bench_function("decode", |bencher| {
            let decode = |frame| decode_request::<wire::ProduceRequest>(frame, PRODUCE_VERSION);
            bencher.iter(|| black_box(decode(frame.clone())));
        });
        let owned = || BytesMut::from(records.as_ref());
        group.bench_function("validate", |bencher| {
            bencher.iter_batched(owned, |own| leader.validate(own), BatchSize::PerIteration);
        });
        let validated = || {
            leader.clean();
            leader.validate(owned())
        };
        group.bench_function("core step and append", |bencher| {
            bencher.iter_batched(
                validated,
                |batch| leader.produce(batch),
                BatchSize::PerIteration,
            );
        });
        group.bench_function("encode", |bencher| {
            let response = wire::ProduceResponse {
                responses: vec![wire::TopicProduceResponse {
                    name: "bench".into(),
                    partition_responses: vec![Default::default()],
                    ..Default::default()
                }],
                ..Default::default()
            };
            bencher.iter(|| encode_response::<wire::ProduceRequest>(&response, PRODUCE_VERSION, 1));
        });
        group.finish();
    }
}

fn fetch(criterion: &mut Criterion) {
    for (shape, count, size) in SHAPES {
        let leader = Leader::start(shape);
        let records = records(count, size);
        let offset = leader.produce(leader.validate(BytesMut::from(records.as_ref())));
        let fetch = ConsumerFetch {
            current_leader_epoch: None,
            fetch_offset: offset,
            last_fetched_epoch: None,
            leader_only: true,
        };
        let limits = ReadLimits {
            max_bytes: 1 << 20,
            min_one_message: true,
        };
        let read = || {
            leader
                .partition
                .read_for_consumer(&fetch, &BTreeSet::new(), Isolation::ReadUncommitted, limits)
                .expect("reads")
                .records
        };
        let mut group = criterion.benchmark_group(format!("fetch {shape}"));
        group
            .sample_size(20)
            .throughput(Throughput::Elements(u64::try_from(count).expect("small")));
        reference(&mut group, &records);
        group.bench_function("read at the tail", |bencher| {
            bencher.iter(|| black_box(read()))
        });
        let response = fetch_response(&read());
        group.bench_function("encode in chunks", |bencher| {
            bencher
                .iter(|| encode_response_chunks::<wire::FetchRequest>(&response, FETCH_VERSION, 1));
        });
        group.bench_function("encode in one frame", |bencher| {
            bencher.iter(|| encode_response::<wire::FetchRequest>(&response, FETCH_VERSION, 1));
        });
        leader.partition.with_log(|log| log.shrink_tail_cache(0));
        group.bench_function("read from the page cache", |bencher| {
            bencher.iter(|| black_box(read()));
        });
        group.finish();
    }
}

criterion_group!(benches, produce, fetch);
criterion_main!(benches);
