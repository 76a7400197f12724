//! Fetch: limits in bytes, waiting and being woken, offsets that are not there.

mod support;

use std::time::{Duration, Instant};

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use support::code;
use support::good::{Good, records};
use support::node::Node;
use support::wire::{Wire, batch, fetch_request};

/// Values and with them batches of about this size.
const VALUE_BYTES: usize = 10_000;
const BATCHES: i64 = 20;

/// A topic with two partitions of equal batches, one record each; gives the size of a batch.
fn filled(node: &Node) -> usize {
    let mut wire = node.connect();
    wire.create_topic("filled", 2, &[]);
    let one = batch(&[vec![b'v'; VALUE_BYTES]]);
    for _ in 0..BATCHES {
        for partition in 0..2 {
            assert_eq!(
                wire.produce("filled", partition, 1, one.clone()).error_code,
                0
            );
        }
    }
    one.len()
}

/// (bytes, whole records) of each partition.
fn sizes(wire: &mut Wire, request: &wire::FetchRequest) -> Vec<(usize, usize)> {
    let fetched = wire.fetch(request);
    let sizes = fetched.into_iter().map(|data| {
        assert_eq!(data.error_code, 0, "{data:?}");
        let bytes = data.records.unwrap_or_default();
        (bytes.len(), records(bytes).len())
    });
    sizes.collect()
}

fn limited(
    partitions: &[(i32, i64)],
    max_bytes: i32,
    partition_max_bytes: i32,
) -> wire::FetchRequest {
    let mut request = fetch_request("filled", partitions, 0);
    request.max_bytes = max_bytes;
    for partition in &mut request.topics[0].partitions {
        partition.partition_max_bytes = partition_max_bytes;
    }
    request
}

/// KIP-74: progress whatever the limits, but for one batch only.
#[test]
fn the_first_batch_comes_even_if_it_is_over_every_limit() {
    let node = Node::start("");
    let size = filled(&node);
    let mut wire = node.connect();
    for (max, partition_max) in [(1, 1 << 20), (1 << 20, 1), (1, 1), (0, 0), (-1, -1)] {
        let found = sizes(&mut wire, &limited(&[(0, 3), (1, 5)], max, partition_max));
        assert_eq!(
            found[0],
            (size, 1),
            "max.bytes {max}, partition {partition_max}"
        );
        assert_eq!(
            found[1].1, 0,
            "the second partition's first batch is over the limit {max}, {partition_max}"
        );
    }
}

#[test]
fn limits_are_kept() {
    let node = Node::start("");
    let size = filled(&node);
    let mut wire = node.connect();
    for batches in [1, 2, 5] {
        let limit = i32::try_from(size * batches + size / 2).expect("small");
        let found = sizes(&mut wire, &limited(&[(0, 0), (1, 0)], 1 << 30, limit));
        for (bytes, records) in &found {
            assert_eq!(*records, batches, "partition limit {limit}: {found:?}");
            assert!(
                *bytes <= usize::try_from(limit).expect("positive"),
                "partition limit {limit}: {found:?}"
            );
        }
        let found = sizes(&mut wire, &limited(&[(0, 0), (1, 0)], limit, 1 << 30));
        let (bytes, records) = found
            .iter()
            .fold((0, 0), |sum, one| (sum.0 + one.0, sum.1 + one.1));
        assert!(
            bytes <= usize::try_from(limit).expect("positive") && records >= batches,
            "limit {limit}: {found:?}"
        );
    }
    let all = sizes(&mut wire, &limited(&[(0, 0), (1, 0)], 1 << 30, 1 << 30));
    let records = usize::try_from(BATCHES).expect("small");
    assert_eq!(all, [(size * records, records), (size * records, records)]);
}

#[test]
fn the_brokers_own_limit_wins() {
    let node = Node::start("fetch.max.bytes=30000");
    let size = filled(&node);
    let found = sizes(
        &mut node.connect(),
        &limited(&[(0, 0), (1, 0)], 1 << 30, 1 << 30),
    );
    let bytes: usize = found.iter().map(|(bytes, _)| bytes).sum();
    assert!(bytes >= size && bytes <= 30_000, "{found:?}");
}

#[test]
fn offsets_outside_of_the_log_are_out_of_range() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    for offset in [-1, -2, good.end() + 1, i64::MAX, i64::MIN] {
        let data = node
            .connect()
            .fetch(&fetch_request("good", &[(0, offset)], 5000))
            .remove(0);
        assert_eq!(
            data.error_code,
            code(ErrorCode::OffsetOutOfRange),
            "offset {offset}"
        );
    }
    let data = node
        .connect()
        .fetch(&fetch_request("good", &[(0, good.end())], 0))
        .remove(0);
    assert_eq!((data.error_code, data.high_watermark), (0, good.end()));
    for (topic, partition) in [("none", 0), ("good", 1), ("good", -1)] {
        let data = node
            .connect()
            .fetch(&fetch_request(topic, &[(partition, 0)], 5000))
            .remove(0);
        assert_eq!(
            data.error_code,
            code(ErrorCode::UnknownTopicOrPartition),
            "{topic}-{partition}"
        );
    }
    good.check(&mut node);
}

#[test]
fn a_stale_or_future_leader_epoch_is_told() {
    let mut node = Node::start("");
    let good = Good::start(&node);
    let mut request = fetch_request("good", &[(0, good.end())], 5000);
    request.topics[0].partitions[0].current_leader_epoch = 1000;
    let data = node.connect().fetch(&request).remove(0);
    assert_eq!(data.error_code, code(ErrorCode::UnknownLeaderEpoch));
    node.terminate();
    node.launch();
}

#[test]
fn a_fetch_without_data_waits_as_long_as_it_says() {
    let node = Node::start("");
    let good = Good::start(&node);
    for wait in [0, 100, 400] {
        let asked = Instant::now();
        let data = node
            .connect()
            .fetch(&fetch_request("good", &[(0, good.end())], wait))
            .remove(0);
        let waited = asked.elapsed();
        let least = Duration::from_millis(u64::try_from(wait).expect("positive"));
        assert_eq!(data.records.map(|records| records.len()), Some(0));
        assert!(
            waited >= least && waited < least + Duration::from_millis(1500),
            "{wait} ms: {waited:?}"
        );
    }
}

/// A consumer at the end of the log has a record as soon as it is there.
#[test]
fn an_append_wakes_a_waiting_fetch_within_50_ms() {
    let node = Node::start("");
    node.connect().create_topic("woken", 1, &[]);
    let (mut consumer, mut producer) = (node.connect(), node.connect());
    let mut latencies = Vec::new();
    for offset in 0..15 {
        consumer.send_request(&fetch_request("woken", &[(0, offset)], 10_000), 12);
        // The fetch is waiting by then.
        std::thread::sleep(Duration::from_millis(30));
        let sent = Instant::now();
        assert_eq!(
            producer
                .produce("woken", 0, -1, batch(&["now"]))
                .base_offset,
            offset
        );
        let response = consumer
            .response::<wire::FetchRequest>(12)
            .expect("an answer");
        latencies.push(sent.elapsed());
        let data = response
            .responses
            .into_iter()
            .flat_map(|topic| topic.partitions)
            .next()
            .expect("one partition");
        assert_eq!(records(data.records.unwrap_or_default())[0].0, offset);
    }
    latencies.sort_unstable();
    // The median: this machine may be busy with other tests now and then.
    assert!(
        latencies[latencies.len() / 2] < Duration::from_millis(50),
        "{latencies:?}"
    );
}

#[test]
fn min_bytes_are_waited_for() {
    let node = Node::start("");
    node.connect().create_topic("patient", 1, &[]);
    let (mut consumer, mut producer) = (node.connect(), node.connect());
    let one = batch(&[vec![b'p'; 1000]]);
    let mut request = fetch_request("patient", &[(0, 0)], 10_000);
    request.min_bytes = i32::try_from(3 * one.len()).expect("small");
    consumer.send_request(&request, 12);
    for _ in 0..3 {
        std::thread::sleep(Duration::from_millis(50));
        assert_eq!(producer.produce("patient", 0, 1, one.clone()).error_code, 0);
    }
    let response = consumer
        .response::<wire::FetchRequest>(12)
        .expect("an answer");
    let data = &response.responses[0].partitions[0];
    assert_eq!(
        data.records.as_ref().map(bytes::Bytes::len),
        Some(3 * one.len())
    );
}

/// Whoever asks after an acknowledgement sees the record, on whatever connection.
#[test]
fn an_acknowledged_record_is_below_the_latest_offset_at_once() {
    let node = Node::start("");
    node.connect().create_topic("seen", 1, &[]);
    let (mut producer, mut other) = (node.connect(), node.connect());
    for offset in 0..500 {
        assert_eq!(
            producer.produce("seen", 0, -1, batch(&["x"])).base_offset,
            offset
        );
        assert_eq!(other.list_offset("seen", 0, -1), Ok(offset + 1));
    }
}
