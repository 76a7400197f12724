//! Batches against the crate kafka-protocol, an independent implementation, both ways and in every codec.

use broker_protocol::record::{
    BatchBuilder, BatchOptions, Compression, Header, Record, RecordBatch, RecordBatches,
    TimestampType,
};
use bytes::{Bytes, BytesMut};
use kafka_protocol::protocol::StrBytes;
use kafka_protocol::records as theirs;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;

const LIMIT_BYTES: usize = 16 << 20;

proptest! {
    #[test]
    fn they_read_what_we_write(batch in batch()) {
        for codec in Compression::ALL {
            let built = batch.build(codec);
            prop_assert_eq!(built.validate_produced_records(LIMIT_BYTES), Ok(()));
            let decoded = theirs::RecordBatchDecoder::decode(&mut built.clone().into_bytes()).unwrap();
            prop_assert_eq!(decoded.compression, their_codec(codec));
            prop_assert_eq!(&decoded.records, &batch.theirs());
        }
    }

    #[test]
    fn we_read_what_they_write(batch in batch()) {
        for codec in Compression::ALL {
            let written = encode_theirs(&batch.theirs(), codec);
            let read: Vec<_> = RecordBatches::new(written.clone()).collect::<Result<_, _>>().unwrap();
            let [read] = read.as_slice() else { panic!("one batch expected, found {}", read.len()) };
            prop_assert_eq!(read.validate(), Ok(()));
            prop_assert_eq!(read.validate_produced_records(LIMIT_BYTES), Ok(()));
            prop_assert_eq!(read.compression(), Ok(codec));
            prop_assert_eq!(read.count(), i32::try_from(batch.records.len()).unwrap());
            prop_assert_eq!(read.producer_id(), batch.producer_id);
            prop_assert_eq!(read.base_sequence(), batch.base_sequence);
            prop_assert_eq!(read.is_transactional(), batch.transactional);
            let records: Vec<_> = read.records(LIMIT_BYTES).unwrap().collect::<Result<_, _>>().unwrap();
            prop_assert_eq!(&records, &batch.ours());
        }
    }

    #[test]
    fn uncompressed_bytes_are_equal(mut batch in batch()) {
        // The crate takes the least timestamp as base, Kafka and we the first.
        batch.records.sort_by_key(|record| record.timestamp);
        let ours = batch.build(Compression::None).into_bytes();
        prop_assert_eq!(ours, encode_theirs(&batch.theirs(), Compression::None));
    }
}

#[test]
fn large_records_cross_the_blocks_of_every_codec() {
    let noise: Vec<u8> = (0..200_000_u32)
        .map(|i| i.wrapping_mul(2_654_435_761).to_be_bytes()[0])
        .collect();
    let mut batch = plain(vec![(
        Some(Bytes::from(noise)),
        Some(Bytes::from(vec![b'x'; 300_000])),
    )]);
    batch.records.push(TestRecord {
        timestamp: 7,
        key: None,
        value: Some(Bytes::new()),
        headers: Vec::new(),
    });
    for codec in Compression::ALL {
        let built = batch.build(codec);
        let decoded = theirs::RecordBatchDecoder::decode(&mut built.clone().into_bytes()).unwrap();
        assert_eq!(decoded.records, batch.theirs(), "{codec}");
        let written = encode_theirs(&batch.theirs(), codec);
        let records = RecordBatch::new(written)
            .unwrap()
            .records(LIMIT_BYTES)
            .unwrap();
        assert_eq!(
            records.collect::<Result<Vec<_>, _>>().unwrap(),
            batch.ours(),
            "{codec}"
        );
    }
}

#[derive(Clone, Debug)]
struct TestBatch {
    base_offset: i64,
    producer_id: i64,
    producer_epoch: i16,
    base_sequence: i32,
    transactional: bool,
    records: Vec<TestRecord>,
}

#[derive(Clone, Debug)]
struct TestRecord {
    timestamp: i64,
    key: Option<Bytes>,
    value: Option<Bytes>,
    /// Unique keys: kafka-protocol keeps headers in a map.
    headers: Vec<Header>,
}

fn plain(pairs: Vec<(Option<Bytes>, Option<Bytes>)>) -> TestBatch {
    let record = |(key, value)| TestRecord {
        timestamp: 5,
        key,
        value,
        headers: Vec::new(),
    };
    TestBatch {
        base_offset: 0,
        producer_id: -1,
        producer_epoch: -1,
        base_sequence: -1,
        transactional: false,
        records: pairs.into_iter().map(record).collect(),
    }
}

fn bytes() -> impl Strategy<Value = Bytes> {
    vec(any::<u8>(), 0..80).prop_map(Bytes::from)
}

fn headers() -> impl Strategy<Value = Vec<Header>> {
    vec(option::of(bytes()), 0..4).prop_map(|values| {
        let keyed = values.into_iter().enumerate();
        keyed
            .map(|(index, value)| Header {
                key: Bytes::from(format!("k{index}")),
                value,
            })
            .collect()
    })
}

fn record() -> impl Strategy<Value = TestRecord> {
    let timestamp = prop_oneof![0..2_000_000_000_000_i64, Just(0)];
    (
        timestamp,
        option::of(bytes()),
        option::of(bytes()),
        headers(),
    )
        .prop_map(|(timestamp, key, value, headers)| TestRecord {
            timestamp,
            key,
            value,
            headers,
        })
}

fn batch() -> impl Strategy<Value = TestBatch> {
    let producer = option::of((0..i64::MAX, 0..i16::MAX, 0..1_000_000_i32, any::<bool>()));
    (0..1_i64 << 40, producer, vec(record(), 1..40)).prop_map(|(base_offset, producer, records)| {
        let (producer_id, producer_epoch, base_sequence, transactional) =
            producer.unwrap_or((-1, -1, -1, false));
        TestBatch {
            base_offset,
            producer_id,
            producer_epoch,
            base_sequence,
            transactional,
            records,
        }
    })
}

impl TestBatch {
    fn build(&self, compression: Compression) -> RecordBatch {
        let mut builder = BatchBuilder::new(BatchOptions {
            base_offset: self.base_offset,
            partition_leader_epoch: 3,
            compression,
            timestamp_type: TimestampType::CreateTime,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            base_sequence: self.base_sequence,
            is_transactional: self.transactional,
            ..BatchOptions::default()
        });
        for record in &self.records {
            let before = builder.estimated_size();
            let bound = BatchBuilder::record_size_max(
                record.key.as_deref(),
                record.value.as_deref(),
                &record.headers,
            );
            builder.append(
                record.timestamp,
                record.key.as_deref(),
                record.value.as_deref(),
                &record.headers,
            );
            assert!(builder.estimated_size() - before <= bound);
        }
        builder.build()
    }

    fn ours(&self) -> Vec<Record> {
        let numbered = (self.base_offset..).zip(self.records.clone());
        let record = |(offset, record): (i64, TestRecord)| Record {
            offset,
            timestamp: record.timestamp,
            key: record.key,
            value: record.value,
            headers: record.headers,
        };
        numbered.map(record).collect()
    }

    fn theirs(&self) -> Vec<theirs::Record> {
        let numbered = (0..).zip(&self.records);
        numbered
            .map(|(delta, record)| self.their_record(delta, record))
            .collect()
    }

    fn their_record(&self, delta: i32, record: &TestRecord) -> theirs::Record {
        let name = |header: &Header| StrBytes::try_from(header.key.clone()).unwrap();
        theirs::Record {
            transactional: self.transactional,
            control: false,
            delete_horizon: false,
            partition_leader_epoch: 3,
            producer_id: self.producer_id,
            producer_epoch: self.producer_epoch,
            timestamp_type: theirs::TimestampType::Creation,
            offset: self.base_offset + i64::from(delta),
            sequence: self.base_sequence.wrapping_add(delta),
            timestamp: record.timestamp,
            key: record.key.clone(),
            value: record.value.clone(),
            headers: record
                .headers
                .iter()
                .map(|header| (name(header), header.value.clone()))
                .collect(),
        }
    }
}

fn their_codec(codec: Compression) -> theirs::Compression {
    match codec {
        Compression::None => theirs::Compression::None,
        Compression::Gzip => theirs::Compression::Gzip,
        Compression::Snappy => theirs::Compression::Snappy,
        Compression::Lz4 => theirs::Compression::Lz4,
        Compression::Zstd => theirs::Compression::Zstd,
    }
}

fn encode_theirs(records: &[theirs::Record], codec: Compression) -> Bytes {
    let mut out = BytesMut::new();
    let options = theirs::RecordEncodeOptions {
        version: 2,
        compression: their_codec(codec),
    };
    theirs::RecordBatchEncoder::encode(&mut out, records, &options).unwrap();
    out.freeze()
}
