//! Outcomes of produced records against scripted brokers.

#[path = "support/script.rs"]
#[allow(dead_code, reason = "shared with other tests")]
mod script;

use std::sync::{Arc, Mutex};
use std::time::Duration;

use broker_client::config::Acks;
use broker_client::{
    ErrorCode, ProduceError, Producer, ProducerConfig, ProducerRecord, RecordMetadata,
};
use broker_protocol::ApiKey;
use broker_protocol::api as wire;
use broker_protocol::record::RecordBatch;
use bytes::Bytes;
use script::{Asked, Brokers, Reply, TOPIC, TOPIC_ID};

fn config() -> ProducerConfig {
    ProducerConfig {
        request_timeout: Duration::from_millis(200),
        delivery_timeout: Duration::from_millis(600),
        max_block: Duration::from_secs(1),
        ..ProducerConfig::default()
    }
}

fn record() -> ProducerRecord {
    ProducerRecord {
        topic: TOPIC.to_string(),
        partition: Some(0),
        value: Some(Bytes::from_static(b"value")),
        ..Default::default()
    }
}

async fn produce(producer: &Producer) -> Result<RecordMetadata, ProduceError> {
    producer.send(record()).await?.await
}

fn produced(
    asked: &Asked,
    error: ErrorCode,
    base_offset: i64,
    leader: Option<(i32, i32)>,
) -> Reply {
    let (leader_id, leader_epoch) = leader.unwrap_or((-1, -1));
    let partition = wire::PartitionProduceResponse {
        index: 0,
        error_code: error.code(),
        base_offset,
        current_leader: wire::ProduceLeaderIdAndEpoch {
            leader_id,
            leader_epoch,
            ..Default::default()
        },
        ..Default::default()
    };
    let topic = wire::TopicProduceResponse {
        topic_id: TOPIC_ID,
        partition_responses: vec![partition],
        ..Default::default()
    };
    asked.answer::<wire::ProduceRequest>(&wire::ProduceResponse {
        responses: vec![topic],
        ..Default::default()
    })
}

fn is_produce(asked: &Asked) -> bool {
    asked.header.api_key == ApiKey::Produce.code()
}

#[tokio::test]
async fn an_acknowledged_record_has_its_offset() {
    let brokers = Brokers::start(1, |asked| {
        is_produce(asked).then(|| produced(asked, ErrorCode::None, 41, None))
    })
    .await;
    let producer = Producer::new(brokers.client(), config());
    let metadata = produce(&producer).await.expect("acknowledged");
    assert_eq!((metadata.partition, metadata.offset), (0, Some(41)));
}

#[tokio::test]
async fn the_named_leader_is_tried_without_metadata_that_know_it() {
    let brokers = Brokers::start(2, |asked| {
        is_produce(asked).then(|| match asked.node {
            1 => produced(asked, ErrorCode::NotLeaderOrFollower, -1, Some((2, 2))),
            _ => produced(asked, ErrorCode::None, 5, None),
        })
    })
    .await;
    let producer = Producer::new(brokers.client(), config());
    assert_eq!(
        produce(&producer)
            .await
            .expect("acknowledged by the new leader")
            .offset,
        Some(5)
    );
    assert_eq!(brokers.count(ApiKey::Produce), 2);
}

#[tokio::test]
async fn a_refusal_is_definite() {
    let brokers = Brokers::start(1, |asked| {
        is_produce(asked).then(|| produced(asked, ErrorCode::MessageTooLarge, -1, None))
    })
    .await;
    let producer = Producer::new(brokers.client(), config());
    let error = produce(&producer).await.expect_err("refused");
    assert_eq!(
        (error.error(), error.is_unknown()),
        (ErrorCode::MessageTooLarge, false)
    );
    let large = ProducerRecord {
        value: Some(Bytes::from(vec![0; 2 << 20])),
        ..record()
    };
    let error = producer
        .send(large)
        .await
        .expect_err("above max.request.size");
    assert_eq!(
        (error.error(), error.is_unknown()),
        (ErrorCode::MessageTooLarge, false)
    );
    assert_eq!(brokers.count(ApiKey::Produce), 1);
}

#[tokio::test]
async fn a_lost_connection_leaves_the_outcome_unknown() {
    let brokers = Brokers::start(1, |asked| is_produce(asked).then_some(Reply::Close)).await;
    let once = ProducerConfig {
        retries: 0,
        ..config()
    };
    let error = produce(&Producer::new(brokers.client(), once))
        .await
        .expect_err("closed");
    assert!(error.is_unknown(), "{error}");
}

/// What a broker needs to recognise a retry.
#[tokio::test]
async fn a_retry_has_the_sequence_that_the_record_had_before() {
    let seen = Arc::new(Mutex::new(Vec::new()));
    let noted = seen.clone();
    let brokers = Brokers::start(1, move |asked| {
        is_produce(asked).then(|| {
            let request = asked.decode::<wire::ProduceRequest>();
            let records = request.topic_data[0].partition_data[0].records.clone();
            let batch = RecordBatch::new(records.expect("records")).expect("a batch");
            let mut seen = noted.lock().expect("no panic in a script");
            seen.push((
                batch.producer_id(),
                batch.producer_epoch(),
                batch.base_sequence(),
            ));
            match seen.len() {
                1 => Reply::Close,
                more => produced(
                    asked,
                    ErrorCode::None,
                    i64::try_from(more).expect("few"),
                    None,
                ),
            }
        })
    })
    .await;
    let producer = Producer::new(brokers.client(), config());
    produce(&producer).await.expect("acknowledged at last");
    produce(&producer).await.expect("acknowledged");
    let seen = seen.lock().expect("no panic in a script").clone();
    assert_eq!(seen, [(77, 0, 0), (77, 0, 0), (77, 0, 1)]);
}

#[tokio::test]
async fn silence_ends_with_the_delivery_timeout() {
    let brokers = Brokers::start(1, |asked| is_produce(asked).then_some(Reply::Silent)).await;
    let producer = Producer::new(brokers.client(), config());
    let before = brokers.env.now();
    let error = produce(&producer).await.expect_err("never answered");
    let took = brokers.env.now().saturating_since(before);
    assert_eq!(
        (error.error(), error.is_unknown()),
        (ErrorCode::RequestTimedOut, true)
    );
    assert!((600..1_000).contains(&took.as_millis()), "{took:?}");
    assert!(
        brokers.count(ApiKey::Produce) >= 2,
        "retried on a new connection"
    );
}

#[tokio::test]
async fn nothing_sent_is_definite() {
    let brokers = Brokers::start(1, |_| None).await;
    brokers.world().leaders.insert(0, (-1, 1));
    let producer = Producer::new(brokers.client(), config());
    let error = produce(&producer).await.expect_err("no leader");
    assert_eq!(
        (error.error(), error.is_unknown()),
        (ErrorCode::RequestTimedOut, false)
    );
    let metadata = brokers.count(ApiKey::Metadata);
    assert!(
        (5..60).contains(&metadata),
        "asked for a leader {metadata} times"
    );
}

#[tokio::test]
async fn with_acks_0_a_written_record_counts() {
    let brokers = Brokers::start(1, |asked| is_produce(asked).then_some(Reply::Silent)).await;
    let producer = Producer::new(
        brokers.client(),
        ProducerConfig {
            acks: Acks::None,
            ..config()
        },
    );
    assert_eq!(produce(&producer).await.expect("written").offset, None);
}

#[tokio::test]
async fn flush_waits_for_all_and_close_refuses_more() {
    let mut next = 0;
    let brokers = Brokers::start(1, move |asked| {
        is_produce(asked).then(|| {
            next += 1;
            produced(asked, ErrorCode::None, next, None)
        })
    })
    .await;
    let lingering = ProducerConfig {
        linger: Duration::from_secs(60),
        delivery_timeout: Duration::from_secs(120),
        ..config()
    };
    let producer = Producer::new(brokers.client(), lingering);
    let mut deliveries = Vec::new();
    for _ in 0..10 {
        deliveries.push(producer.send(record()).await.expect("queued"));
    }
    producer.flush().await;
    assert_eq!(
        (producer.in_flight(), brokers.count(ApiKey::Produce)),
        (0, 1),
        "one batch"
    );
    let mut offsets = Vec::new();
    for delivery in deliveries {
        offsets.push(delivery.await.expect("acknowledged").offset.expect("told"));
    }
    assert_eq!(offsets, (1..=10).collect::<Vec<i64>>());
    producer.close(Duration::from_secs(1)).await;
    assert!(
        !producer
            .send(record())
            .await
            .expect_err("closed")
            .is_unknown()
    );
}
