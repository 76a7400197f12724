//! A client that is broken: the header of its batches says another number of offsets than they have records
//! (KAFKA-6554). All of them must be refused; what is taken all the same is recorded as sent, at the offsets that its
//! records claim.

use std::sync::Arc;
use std::time::Duration;

use broker_client::{Client, ErrorCode, TopicPartition};
use broker_protocol::api as wire;
use broker_protocol::ids::Uuid;
use broker_protocol::record::{BatchBuilder, BatchOptions, crc32c};
use bytes::Bytes;
use sim_checkers::history::{Action, Outcome, Partition};

use crate::recorder::Begun;
use crate::{ClientContext, Recorder, WorkloadSpec, content, produce_consume};

/// Where a batch has these fields; the checksum is over all from the attributes on.
const CRC: usize = 17;
const ATTRIBUTES: usize = 21;
const LAST_OFFSET_DELTA: usize = 23;

/// Records of one batch, and the last offset delta that its header says instead of 2.
const RECORDS: u64 = 3;
const WRONG_DELTAS: [i32; 3] = [0, 1, 6];

/// Runs until the stop.
pub async fn send(context: ClientContext, spec: Arc<WorkloadSpec>) {
    let client = context.client(&spec);
    let partitions = produce_consume::partitions(&context, &client, &spec).await;
    let partitions = partitions.unwrap_or_default();
    let interval = Duration::from_secs(1) / spec.rate;
    let mut number = 0;
    while !context.stop.is_stopped() && !partitions.is_empty() {
        let partition = &partitions[context.below(partitions.len())];
        send_one(&context, &spec, &client, partition, number).await;
        number += RECORDS;
        context.pause(interval).await;
    }
    client.close();
}

async fn send_one(
    context: &ClientContext,
    spec: &WorkloadSpec,
    client: &Client,
    partition: &TopicPartition,
    number: u64,
) {
    let limit = spec.request_timeout();
    let Ok(topic) = client.topic(&partition.topic, limit).await else {
        return;
    };
    let leader = topic.partitions.get(&partition.partition);
    let Some(leader) = leader.and_then(|partition| partition.leader) else {
        return;
    };
    let timestamp = context.env.clock.wall().0;
    let values = (number..number + RECORDS).map(|number| u64::from(context.process) << 32 | number);
    let values: Vec<Bytes> = values.map(|value| content::value(value, 8)).collect();
    let delta = WRONG_DELTAS[context.below(WRONG_DELTAS.len())];
    let begin = |(value, sequence)| {
        let action = sent(partition, value, timestamp, sequence);
        context.recorder.begin(context.process, action)
    };
    let sends: Vec<Begun> = values.iter().zip(number..).map(begin).collect();
    let records = broken(&values, timestamp, delta);
    let request = produce_request(partition, topic.id, records, spec.request_timeout_ms);
    let answer = client.call(leader, &request, limit).await;
    let answer = answer
        .map_err(|error| error.to_string())
        .and_then(|answer| {
            let mut topics = answer.responses.into_iter();
            let partition = topics.find_map(|topic| topic.partition_responses.into_iter().next());
            partition.ok_or_else(|| "no answer for the partition".to_owned())
        });
    for (begun, index) in sends.into_iter().zip(0..) {
        settle(&context.recorder, begun, &answer, index);
    }
}

fn produce_request(
    partition: &TopicPartition,
    topic_id: Uuid,
    records: Bytes,
    timeout_ms: u64,
) -> wire::ProduceRequest {
    wire::ProduceRequest {
        acks: -1,
        timeout_ms: i32::try_from(timeout_ms).unwrap_or(i32::MAX),
        topic_data: vec![wire::TopicProduceData {
            name: partition.topic.clone(),
            topic_id,
            partition_data: vec![wire::PartitionProduceData {
                index: partition.partition,
                records: Some(records),
                ..Default::default()
            }],
            ..Default::default()
        }],
        ..Default::default()
    }
}

type Answer = Result<wire::PartitionProduceResponse, String>;

/// What became of the record at `index` of its batch.
fn settle(recorder: &Recorder, begun: Begun, answer: &Answer, index: i64) {
    let (outcome, told) = match answer {
        Err(error) => (Outcome::Info(error.clone()), None),
        Ok(answer) => match ErrorCode::from_code_or_unknown(answer.error_code) {
            ErrorCode::None => (Outcome::Ok, Some(answer.base_offset + index)),
            error @ (ErrorCode::InvalidRecord | ErrorCode::CorruptMessage) => {
                (Outcome::Fail(error.name().to_owned()), None)
            }
            error => (Outcome::Info(error.name().to_owned()), None),
        },
    };
    recorder.count(|stats| match &outcome {
        Outcome::Ok => stats.acked += 1,
        Outcome::Fail(_) => stats.failed += 1,
        Outcome::Info(_) => stats.unknown += 1,
    });
    recorder.complete(begun, "send", outcome, |action| {
        if let Action::Send { offset, .. } = action {
            *offset = told;
        }
    });
}

fn sent(partition: &TopicPartition, value: &Bytes, timestamp: i64, sequence: u64) -> Action {
    Action::Send {
        partition: Partition {
            topic: partition.topic.clone(),
            index: partition.partition,
        },
        value: content::number_of(Some(value)).expect("made here"),
        content: content::hash(None, Some(value), &[], timestamp),
        acks: -1,
        offset: None,
        sequence,
    }
}

/// A batch with a valid checksum over a header that is wrong.
fn broken(values: &[Bytes], timestamp: i64, last_offset_delta: i32) -> Bytes {
    let mut builder = BatchBuilder::new(BatchOptions::default());
    for value in values {
        builder.append(timestamp, None, Some(value), &[]);
    }
    let mut bytes = builder.build().into_bytes().to_vec();
    bytes[LAST_OFFSET_DELTA..LAST_OFFSET_DELTA + 4]
        .copy_from_slice(&last_offset_delta.to_be_bytes());
    let crc = crc32c(&bytes[ATTRIBUTES..]);
    bytes[CRC..ATTRIBUTES].copy_from_slice(&crc.to_be_bytes());
    bytes.into()
}
