//! Produce of what is no acceptable batch: Kafka's error codes, and nothing appended.

mod support;

use broker_protocol::ErrorCode;
use broker_protocol::api as wire;
use broker_protocol::ids::Uuid;
use broker_protocol::record::{BatchOptions, Compression, crc32c};
use bytes::Bytes;
use support::code;
use support::good::Good;
use support::node::Node;
use support::wire::{Answer, batch, batch_of, produce_request};

/// Offsets of header fields.
const LENGTH: usize = 8;
const MAGIC: usize = 16;
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;
const COUNT: usize = 57;
const RECORDS: usize = 61;

fn changed(bytes: &Bytes, change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    let mut bytes = bytes.to_vec();
    change(&mut bytes);
    Bytes::from(bytes)
}

/// A change that the checksum does not give away.
fn forged(bytes: &Bytes, change: impl FnOnce(&mut Vec<u8>)) -> Bytes {
    changed(bytes, |bytes| {
        change(bytes);
        let crc = crc32c(&bytes[ATTRIBUTES..]);
        bytes[CRC..CRC + 4].copy_from_slice(&crc.to_be_bytes());
    })
}

fn put_i32(bytes: &mut [u8], at: usize, value: i32) {
    bytes[at..at + 4].copy_from_slice(&value.to_be_bytes());
}

/// What it is, its bytes, and Kafka's answer.
fn bad_batches() -> Vec<(&'static str, Bytes, ErrorCode)> {
    let whole = batch(&["one", "two", "three"]);
    let zstd = batch_of(
        &[vec![b'z'; 500]],
        BatchOptions {
            compression: Compression::Zstd,
            ..BatchOptions::default()
        },
    );
    let control = batch_of(
        &["c"],
        BatchOptions {
            is_control: true,
            ..BatchOptions::default()
        },
    );
    let transactional = batch_of(
        &["t"],
        BatchOptions {
            is_transactional: true,
            ..BatchOptions::default()
        },
    );
    vec![
        ("nothing", Bytes::new(), ErrorCode::InvalidRecord),
        (
            "a flipped bit",
            changed(&whole, |bytes| bytes[RECORDS + 3] ^= 1),
            ErrorCode::CorruptMessage,
        ),
        (
            "a wrong checksum",
            changed(&whole, |bytes| bytes[CRC] ^= 1),
            ErrorCode::CorruptMessage,
        ),
        (
            "a cut batch",
            whole.slice(..whole.len() - 1),
            ErrorCode::InvalidRecord,
        ),
        ("half a header", whole.slice(..30), ErrorCode::InvalidRecord),
        (
            "bytes behind",
            changed(&whole, |bytes| bytes.extend([0; 5])),
            ErrorCode::InvalidRecord,
        ),
        (
            "two batches",
            changed(&whole, |bytes| bytes.extend_from_slice(&batch(&["four"]))),
            ErrorCode::InvalidRecord,
        ),
        (
            "a length below a header's",
            changed(&whole, |bytes| put_i32(bytes, LENGTH, 10)),
            ErrorCode::CorruptMessage,
        ),
        (
            "a negative length",
            changed(&whole, |bytes| put_i32(bytes, LENGTH, -1)),
            ErrorCode::CorruptMessage,
        ),
        (
            "a length beyond",
            changed(&whole, |bytes| put_i32(bytes, LENGTH, i32::MAX)),
            ErrorCode::InvalidRecord,
        ),
        (
            "format 1",
            changed(&whole, |bytes| bytes[MAGIC] = 1),
            ErrorCode::InvalidRecord,
        ),
        (
            "format 0",
            changed(&whole, |bytes| bytes[MAGIC] = 0),
            ErrorCode::InvalidRecord,
        ),
        (
            "format 3",
            changed(&whole, |bytes| bytes[MAGIC] = 3),
            ErrorCode::CorruptMessage,
        ),
        (
            "a greater last offset (L-13)",
            forged(&whole, |bytes| put_i32(bytes, LAST_OFFSET_DELTA, 9)),
            ErrorCode::InvalidRecord,
        ),
        (
            "a smaller last offset",
            forged(&whole, |bytes| put_i32(bytes, LAST_OFFSET_DELTA, 1)),
            ErrorCode::InvalidRecord,
        ),
        (
            "a negative last offset",
            forged(&whole, |bytes| put_i32(bytes, LAST_OFFSET_DELTA, -5)),
            ErrorCode::InvalidRecord,
        ),
        (
            "more records declared",
            forged(&whole, |bytes| {
                put_i32(bytes, COUNT, 4);
                put_i32(bytes, LAST_OFFSET_DELTA, 3);
            }),
            ErrorCode::InvalidRecord,
        ),
        (
            "fewer records declared",
            forged(&whole, |bytes| {
                put_i32(bytes, COUNT, 2);
                put_i32(bytes, LAST_OFFSET_DELTA, 1);
            }),
            ErrorCode::InvalidRecord,
        ),
        (
            "no records declared",
            forged(&whole, |bytes| put_i32(bytes, COUNT, 0)),
            ErrorCode::InvalidRecord,
        ),
        (
            "a huge count",
            forged(&whole, |bytes| {
                put_i32(bytes, COUNT, i32::MAX);
                put_i32(bytes, LAST_OFFSET_DELTA, i32::MAX - 1);
            }),
            ErrorCode::InvalidRecord,
        ),
        (
            "a record longer than the batch",
            forged(&whole, |bytes| bytes[RECORDS] = 0x7e),
            ErrorCode::InvalidRecord,
        ),
        (
            "an unknown codec",
            forged(&whole, |bytes| bytes[ATTRIBUTES + 1] |= 7),
            ErrorCode::UnsupportedCompressionType,
        ),
        (
            "gzip that is none",
            forged(&whole, |bytes| bytes[ATTRIBUTES + 1] |= 1),
            ErrorCode::InvalidRecord,
        ),
        (
            "broken zstd",
            forged(&zstd, |bytes| bytes[RECORDS + 6..].fill(0xff)),
            ErrorCode::InvalidRecord,
        ),
        ("a control batch", control, ErrorCode::InvalidRecord),
        (
            "a transaction without a producer",
            transactional,
            ErrorCode::InvalidRecord,
        ),
    ]
}

#[test]
fn bad_batches_are_refused_with_kafkas_codes_and_leave_no_trace() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let mut wrong = Vec::new();
    for acks in [-1, 1] {
        for (what, bytes, expected) in bad_batches() {
            let produced = node.connect().produce("good", 0, acks, bytes);
            let found = ErrorCode::from_code_or_unknown(produced.error_code);
            if found != expected || produced.base_offset != -1 {
                wrong.push(format!("{what}: {found}, not {expected}: {produced:?}"));
            }
            assert_eq!(
                node.connect().list_offset("good", 0, -1),
                Ok(good.end()),
                "{what} was appended"
            );
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    good.check(&mut node);
}

/// An error can only be told by closing the connection.
#[test]
fn with_acks_0_a_bad_batch_ends_the_connection() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    for (what, bytes, _) in bad_batches() {
        let mut wire = node.connect();
        wire.send_request(&produce_request("good", 0, 0, bytes), 9);
        assert_eq!(
            wire.answer(std::time::Duration::from_secs(10)),
            Answer::Closed,
            "{what}"
        );
    }
    assert_eq!(node.connect().list_offset("good", 0, -1), Ok(good.end()));
    good.check(&mut node);
}

#[test]
fn batches_over_max_message_bytes_are_refused_at_the_byte() {
    let mut node = Node::start("");
    let fitting = batch(&[vec![b'x'; 2000]]);
    let limit = fitting.len().to_string();
    let mut wire = node.connect();
    wire.create_topic("small", 1, &[("max.message.bytes", &limit)]);
    let larger = batch(&[vec![b'x'; 2001]]);
    assert_eq!(
        wire.produce("small", 0, -1, larger).error_code,
        code(ErrorCode::MessageTooLarge)
    );
    assert_eq!(wire.list_offset("small", 0, -1), Ok(0));
    assert_eq!(wire.produce("small", 0, -1, fitting).error_code, 0);
    // The default of a topic that does not say.
    let mut good = Good::start(&node);
    let over = batch(&[vec![b'x'; 1_100_000]]);
    assert_eq!(
        wire.produce("good", 0, -1, over).error_code,
        code(ErrorCode::MessageTooLarge)
    );
    good.check(&mut node);
}

#[test]
fn what_does_not_exist_cannot_be_produced_to() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let mut wire = node.connect();
    let unknown = code(ErrorCode::UnknownTopicOrPartition);
    for (topic, partition) in [
        ("none", 0),
        ("good", 1),
        ("good", -1),
        ("good", i32::MAX),
        ("", 0),
        ("__cluster_metadata", 0),
    ] {
        let produced = wire.produce(topic, partition, -1, batch(&["x"]));
        assert_eq!(
            (produced.error_code, produced.base_offset),
            (unknown, -1),
            "{topic}-{partition}"
        );
    }
    let mut by_id = produce_request("", 0, -1, batch(&["x"]));
    by_id.topic_data[0].topic_id = Uuid([7; 16]);
    let response = wire.call(&by_id, 13);
    assert_eq!(
        response.responses[0].partition_responses[0].error_code,
        code(ErrorCode::UnknownTopicId)
    );
    good.check(&mut node);
}

#[test]
fn acks_are_0_1_or_all() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    for acks in [2, -2, i16::MAX, i16::MIN] {
        let produced = node.connect().produce("good", 0, acks, batch(&["x"]));
        assert_eq!(
            produced.error_code,
            code(ErrorCode::InvalidRequiredAcks),
            "acks {acks}"
        );
    }
    good.check(&mut node);
}

/// One bad partition does not take the others along.
#[test]
fn each_partition_of_a_request_has_its_own_verdict() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    node.connect().create_topic("two", 2, &[]);
    let broken = changed(&batch(&["x"]), |bytes| bytes[CRC] ^= 1);
    let mut request = produce_request("two", 0, -1, broken);
    let whole = wire::PartitionProduceData {
        index: 1,
        records: Some(batch(&["y"])),
        ..Default::default()
    };
    request.topic_data[0].partition_data.push(whole);
    let answers = node
        .connect()
        .call(&request, 9)
        .responses
        .remove(0)
        .partition_responses;
    let verdicts: Vec<(i32, i16, i64)> = answers
        .iter()
        .map(|answer| (answer.index, answer.error_code, answer.base_offset))
        .collect();
    assert_eq!(
        verdicts,
        [(0, code(ErrorCode::CorruptMessage), -1), (1, 0, 0)]
    );
    good.check(&mut node);
}

/// KIP-110: an older client cannot mean it.
#[test]
fn zstd_is_refused_below_produce_7() {
    let node = Node::start("");
    let mut wire = node.connect();
    wire.create_topic("zstd", 1, &[]);
    let zstd = batch_of(
        &["z"],
        BatchOptions {
            compression: Compression::Zstd,
            ..BatchOptions::default()
        },
    );
    for (version, expected) in [(6, code(ErrorCode::UnsupportedCompressionType)), (7, 0)] {
        let response = wire.call(&produce_request("zstd", 0, -1, zstd.clone()), version);
        assert_eq!(
            response.responses[0].partition_responses[0].error_code, expected,
            "Produce v{version}"
        );
    }
    assert_eq!(wire.list_offset("zstd", 0, -1), Ok(1));
}

/// The same bytes a second time are another record: without a producer id nothing says otherwise.
#[test]
fn offsets_leader_epochs_and_timestamps_in_a_batch_are_the_brokers() {
    let mut node = Node::start("");
    let mut good = Good::start(&node);
    let strange = BatchOptions {
        base_offset: 1_000_000,
        partition_leader_epoch: 77,
        ..BatchOptions::default()
    };
    node.connect().create_topic("strange", 1, &[]);
    for expected in 0..2 {
        let produced = node
            .connect()
            .produce("strange", 0, -1, batch_of(&["x"], strange.clone()));
        assert_eq!((produced.error_code, produced.base_offset), (0, expected));
    }
    let fetched = node
        .connect()
        .fetch(&support::wire::fetch_request("strange", &[(0, 0)], 0))
        .remove(0);
    let offsets: Vec<i64> = support::good::records(fetched.records.unwrap_or_default())
        .iter()
        .map(|(offset, _)| *offset)
        .collect();
    assert_eq!(offsets, [0, 1]);
    good.check(&mut node);
}
