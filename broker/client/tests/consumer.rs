//! What a consumer gives out of scripted fetch answers.

#[path = "support/script.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod script;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_client::{
    Compression, Consumer, ConsumerConfig, ConsumerError, ErrorCode, OffsetReset, TopicPartition,
};
use broker_protocol::ApiKey;
use broker_protocol::api as wire;
use broker_protocol::record::{
    BatchBuilder, BatchOptions, ControlRecord, EndTxnMarker, control_batch,
};
use bytes::Bytes;
use script::{Asked, Brokers, Reply, TOPIC, TOPIC_ID};

const SECOND: Duration = Duration::from_secs(1);

/// A partition's log: batches by base offset, and what else a fetch may say.
#[derive(Default)]
struct Log {
    start: i64,
    /// (base offset, last offset, bytes)
    batches: Vec<(i64, i64, Bytes)>,
    /// Answered once instead.
    diverging: Option<(i32, i64)>,
}

impl Log {
    fn end(&self) -> i64 {
        self.batches
            .last()
            .map_or(self.start, |(_, last, _)| last + 1)
    }

    fn append(&mut self, count: usize, compression: Compression) {
        let base_offset = self.end();
        let options = BatchOptions {
            base_offset,
            partition_leader_epoch: 1,
            compression,
            ..Default::default()
        };
        let mut builder = BatchBuilder::new(options);
        for index in 0..count {
            builder.append(1_000, None, Some(format!("value {index}").as_bytes()), &[]);
        }
        let bytes = builder.build().into_bytes();
        self.batches.push((
            base_offset,
            base_offset + i64::try_from(count).expect("a few") - 1,
            bytes,
        ));
    }

    fn append_marker(&mut self) {
        let options = BatchOptions {
            base_offset: self.end(),
            partition_leader_epoch: 1,
            ..Default::default()
        };
        let marker = ControlRecord::EndTxn(EndTxnMarker {
            committed: true,
            coordinator_epoch: 0,
        });
        let batch = control_batch(options, 1_000, &[marker]).expect("it can be written");
        self.batches
            .push((batch.base_offset(), batch.last_offset(), batch.into_bytes()));
    }

    fn fetch(&mut self, asked: &Asked) -> Reply {
        let request: wire::FetchRequest = asked.decode();
        let wanted = &request.topics[0].partitions[0];
        let rest = self
            .batches
            .iter()
            .filter(|(_, last, _)| *last >= wanted.fetch_offset);
        let bytes: Vec<u8> = rest.flat_map(|(_, _, bytes)| bytes.to_vec()).collect();
        let in_range = (self.start..=self.end()).contains(&wanted.fetch_offset);
        let mut data = wire::FetchPartitionData {
            error_code: if in_range {
                0
            } else {
                ErrorCode::OffsetOutOfRange.code()
            },
            high_watermark: self.end(),
            log_start_offset: self.start,
            records: Some(Bytes::from(if in_range { bytes } else { Vec::new() })),
            ..Default::default()
        };
        if let Some((epoch, end_offset)) = self.diverging.take() {
            data.records = None;
            data.diverging_epoch = wire::FetchEpochEndOffset {
                epoch,
                end_offset,
                ..Default::default()
            };
        }
        if wanted.fetch_offset == self.end() && data.diverging_epoch.epoch < 0 {
            // Instead of a long poll that nobody ends.
            return Reply::Silent;
        }
        let topic = wire::FetchableTopicResponse {
            topic_id: TOPIC_ID,
            partitions: vec![data],
            ..Default::default()
        };
        asked.answer::<wire::FetchRequest>(&wire::FetchResponse {
            responses: vec![topic],
            ..Default::default()
        })
    }

    fn list(&self, asked: &Asked) -> Reply {
        let request: wire::ListOffsetsRequest = asked.decode();
        let latest = request.topics[0].partitions[0].timestamp == -1;
        let offset = if latest { self.end() } else { self.start };
        let partition = wire::ListOffsetsPartitionResponse {
            offset,
            ..Default::default()
        };
        let topic = wire::ListOffsetsTopicResponse {
            name: TOPIC.to_string(),
            partitions: vec![partition],
            ..Default::default()
        };
        asked.answer::<wire::ListOffsetsRequest>(&wire::ListOffsetsResponse {
            topics: vec![topic],
            ..Default::default()
        })
    }
}

type SharedLog = Arc<Mutex<Log>>;

async fn serve(log: Log) -> (Brokers, SharedLog) {
    let log = Arc::new(Mutex::new(log));
    let served = log.clone();
    let script = move |asked: &Asked| {
        let mut log = served.lock().expect("no panic");
        match ApiKey::from_code(asked.header.api_key) {
            Some(ApiKey::Fetch) => Some(log.fetch(asked)),
            Some(ApiKey::ListOffsets) => Some(log.list(asked)),
            _ => None,
        }
    };
    (Brokers::start(1, script).await, log)
}

fn partition() -> TopicPartition {
    TopicPartition::new(TOPIC, 0)
}

async fn consumer(
    brokers: &Brokers,
    reset: Option<OffsetReset>,
    max_poll_records: usize,
) -> Consumer {
    let fetch_max_wait = SECOND / 20;
    let config = ConsumerConfig {
        auto_offset_reset: reset,
        max_poll_records,
        fetch_max_wait,
        ..ConsumerConfig::default()
    };
    let consumer = Consumer::new(brokers.client(), config);
    consumer.assign(&[partition()]).await.expect("known");
    consumer
}

/// Offsets of one poll, with the positions before and after it.
async fn poll(consumer: &Consumer) -> (Vec<i64>, i64, i64) {
    let got = consumer.poll(SECOND * 3).await.expect("records");
    let [stretch] = &got.partitions[..] else {
        panic!("{got:?}")
    };
    (
        stretch.records.iter().map(|record| record.offset).collect(),
        stretch.from,
        stretch.next,
    )
}

#[tokio::test]
async fn polls_are_as_large_as_allowed_and_positions_follow() {
    let mut log = Log::default();
    log.append(3, Compression::None);
    log.append(4, Compression::Lz4);
    let (brokers, _log) = serve(log).await;
    let consumer = consumer(&brokers, Some(OffsetReset::Earliest), 5).await;
    assert_eq!(poll(&consumer).await, (vec![0, 1, 2, 3, 4], 0, 5));
    assert_eq!(consumer.position(&partition()), Some(5));
    assert_eq!(poll(&consumer).await, (vec![5, 6], 5, 7));
    assert_eq!(
        (consumer.position(&partition()), consumer.lag(&partition())),
        (Some(7), Some(0))
    );
    assert!(
        consumer
            .poll(SECOND / 10)
            .await
            .expect("nothing")
            .is_empty()
    );
}

#[tokio::test]
async fn a_fetch_may_begin_inside_a_batch() {
    let mut log = Log::default();
    log.append(5, Compression::None);
    let (brokers, _log) = serve(log).await;
    let consumer = consumer(&brokers, None, 100).await;
    consumer.seek(&partition(), 3).expect("assigned");
    assert_eq!(poll(&consumer).await, (vec![3, 4], 3, 5));
}

#[tokio::test]
async fn markers_move_the_position_but_are_not_records() {
    let mut log = Log::default();
    log.append(1, Compression::None);
    log.append_marker();
    log.append(1, Compression::None);
    log.append_marker();
    let (brokers, _log) = serve(log).await;
    let consumer = consumer(&brokers, Some(OffsetReset::Earliest), 100).await;
    assert_eq!(poll(&consumer).await, (vec![0, 2], 0, 4));
    consumer.seek(&partition(), 3).expect("assigned");
    assert_eq!(poll(&consumer).await, (vec![], 3, 4));
}

#[tokio::test]
async fn a_corrupt_batch_is_an_error_after_what_is_before_it() {
    let mut log = Log::default();
    log.append(2, Compression::None);
    log.append(2, Compression::None);
    let mut damaged = log.batches[1].2.to_vec();
    *damaged.last_mut().expect("bytes") ^= 1;
    log.batches[1].2 = Bytes::from(damaged);
    let (brokers, _log) = serve(log).await;
    let consumer = consumer(&brokers, Some(OffsetReset::Earliest), 100).await;
    assert_eq!(poll(&consumer).await, (vec![0, 1], 0, 2));
    let corrupt = ConsumerError::Partition {
        partition: partition(),
        error: ErrorCode::CorruptMessage,
    };
    assert_eq!(consumer.poll(SECOND).await, Err(corrupt));
    assert_eq!(consumer.position(&partition()), Some(2));
}

#[tokio::test]
async fn without_a_policy_the_application_is_asked() {
    let (brokers, log) = serve(Log::default()).await;
    let consumer = consumer(&brokers, None, 100).await;
    assert_eq!(
        consumer.poll(SECOND).await,
        Err(ConsumerError::NoOffsetForPartition(partition()))
    );
    consumer.seek(&partition(), 77).expect("assigned");
    let out = ConsumerError::OffsetOutOfRange {
        partition: partition(),
        offset: 77,
    };
    assert_eq!(consumer.poll(SECOND).await, Err(out));
    log.lock().expect("no panic").append(2, Compression::None);
    consumer
        .seek_to_beginning(&[partition()])
        .expect("assigned");
    assert_eq!(poll(&consumer).await, (vec![0, 1], 0, 2));
    let other = TopicPartition::new("other", 0);
    assert_eq!(
        consumer.seek(&other, 0),
        Err(ConsumerError::NotAssigned(other))
    );
}

#[tokio::test]
async fn a_truncated_log_is_told() {
    let mut log = Log::default();
    log.append(4, Compression::None);
    let (brokers, log) = serve(log).await;
    let consumer = consumer(&brokers, Some(OffsetReset::Earliest), 100).await;
    assert_eq!(poll(&consumer).await, (vec![0, 1, 2, 3], 0, 4));
    {
        let mut log = log.lock().expect("no panic");
        log.append(1, Compression::None);
        log.diverging = Some((1, 2));
    }
    // The fetch under way is never answered; its time limit asks again.
    let told = loop {
        match consumer.poll(SECOND * 2).await {
            Ok(got) => assert!(got.is_empty(), "{got:?}"),
            Err(error) => break error,
        }
    };
    let truncated = ConsumerError::LogTruncation {
        partition: partition(),
        position: 4,
        divergent: Some(2),
    };
    assert_eq!(told, truncated);
}

#[tokio::test]
async fn a_poll_that_is_dropped_loses_nothing_and_a_closed_consumer_says_so() {
    let (brokers, log) = serve(Log::default()).await;
    let consumer = consumer(&brokers, Some(OffsetReset::Earliest), 100).await;
    for _ in 0..5 {
        let soon =
            broker_env::time::timeout(&brokers.env, SECOND / 100, consumer.poll(SECOND)).await;
        assert!(soon.is_err(), "{soon:?}");
    }
    log.lock().expect("no panic").append(3, Compression::Zstd);
    assert_eq!(poll(&consumer).await, (vec![0, 1, 2], 0, 3));
    consumer.close();
    assert_eq!(consumer.poll(SECOND).await, Err(ConsumerError::Closed));
}
