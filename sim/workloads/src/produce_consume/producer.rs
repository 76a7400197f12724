//! Sends unique values at a rate, and records what became of each.

use std::sync::Arc;
use std::time::Duration;

use broker_client::{
    Delivery, Header, ProduceError, Producer, ProducerRecord, RecordMetadata, TopicPartition,
};
use bytes::Bytes;
use sim_checkers::history::{Action, Outcome, Partition};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::recorder::{Begun, By};
use crate::{ClientContext, Recorder, WorkloadSpec, content};

/// A producer that fell behind its rate by more does not catch up.
const BEHIND_MAX: Duration = Duration::from_secs(1);

/// Runs until the stop, then until every record has its outcome, at most `delivery.timeout.ms`.
pub async fn produce(context: ClientContext, spec: Arc<WorkloadSpec>) {
    let client = context.client(&spec);
    if let Some(partitions) = super::partitions(&context, &client, &spec)
        .await
        .filter(|all| !all.is_empty())
    {
        let producer = Producer::new(client.clone(), spec.producer_config());
        send_all(&context, &spec, &producer, &partitions).await;
        // Outcomes are told once more than the time it can take.
        producer
            .close(Duration::from_millis(spec.delivery_timeout_ms) * 2)
            .await;
    }
    client.close();
}

async fn send_all(
    context: &ClientContext,
    spec: &WorkloadSpec,
    producer: &Producer,
    partitions: &[TopicPartition],
) {
    let room = Arc::new(Semaphore::new(
        usize::try_from(spec.outstanding).unwrap_or(Semaphore::MAX_PERMITS),
    ));
    let interval = Duration::from_secs(1) / spec.rate;
    let mut due = context.env.now() + spread(context, interval);
    let mut sequence = 0;
    while !spec.is_done_after(sequence) {
        context.pause(due.saturating_since(context.env.now())).await;
        let permit = broker_env::select! {
            () = context.stop.stopped() => return,
            permit = room.clone().acquire_owned() => permit.expect("the semaphore is never closed"),
        };
        if context.stop.is_stopped() {
            return;
        }
        let partition = &partitions[context.below(partitions.len())];
        let record = make_record(context, spec, partition, sequence);
        let by = By::from(context.process);
        send(context, spec, producer, record, sequence, by, permit).await;
        sequence += 1;
        due = due + interval / 2 + spread(context, interval);
        if context.env.now().saturating_since(due) > BEHIND_MAX {
            due = context.env.now();
        }
    }
}

/// Between nothing and `interval`, so that producers do not keep step.
fn spread(context: &ClientContext, interval: Duration) -> Duration {
    interval * u32::try_from(context.below(1_000)).expect("below 1000") / 1_000
}

pub(crate) fn make_record(
    context: &ClientContext,
    spec: &WorkloadSpec,
    partition: &TopicPartition,
    sequence: u64,
) -> ProducerRecord {
    let number = (u64::from(context.process) << 32) | sequence;
    let key = usize::try_from(spec.keys).ok().filter(|count| *count > 0);
    let key = key.map(|count| Bytes::from(format!("key-{}", context.below(count))));
    let header = |index| Header {
        key: Bytes::from(format!("header-{index}")),
        value: Some(Bytes::copy_from_slice(&number.to_be_bytes())),
    };
    ProducerRecord {
        topic: partition.topic.clone(),
        partition: Some(partition.partition),
        key,
        value: Some(content::value(
            number,
            usize::try_from(spec.record_size).unwrap_or(8),
        )),
        headers: (0..spec.headers).map(header).collect(),
        timestamp: Some(context.env.clock.wall().0),
    }
}

/// `held` is given back with the outcome.
pub(crate) async fn send(
    context: &ClientContext,
    spec: &WorkloadSpec,
    producer: &Producer,
    record: ProducerRecord,
    sequence: u64,
    by: By,
    held: OwnedSemaphorePermit,
) {
    let size =
        record.value.as_ref().map_or(0, Bytes::len) + record.key.as_ref().map_or(0, Bytes::len);
    let timestamp = record.timestamp.unwrap_or(-1);
    let partition = Partition {
        topic: record.topic.clone(),
        index: record.partition.expect("chosen by the workload"),
    };
    let action = Action::Send {
        partition,
        value: content::number_of(record.value.as_ref()).expect("made by the workload"),
        content: content::hash(
            record.key.as_ref(),
            record.value.as_ref(),
            &record.headers,
            timestamp,
        ),
        acks: spec.acks,
        offset: None,
        sequence,
    };
    let begun = context.recorder.begin(by, action);
    match producer.send(record).await {
        Ok(delivery) => {
            let recorder = context.recorder.clone();
            context.env.spawn(
                "await delivery",
                await_delivery(recorder, begun, delivery, size, held),
            );
        }
        Err(error) => settle(&context.recorder, begun, Err(error), size),
    }
}

async fn await_delivery(
    recorder: Recorder,
    begun: Begun,
    delivery: Delivery,
    size: usize,
    _permit: OwnedSemaphorePermit,
) {
    let result = delivery.await;
    settle(&recorder, begun, result, size);
}

fn settle(
    recorder: &Recorder,
    begun: Begun,
    result: Result<RecordMetadata, ProduceError>,
    size: usize,
) {
    let (outcome, told) = match result {
        Ok(metadata) => (Outcome::Ok, metadata.offset),
        Err(error @ ProduceError::Definite { .. }) => (Outcome::Fail(error.to_string()), None),
        Err(error @ ProduceError::Unknown { .. }) => (Outcome::Info(error.to_string()), None),
    };
    let bytes = u64::try_from(size).expect("a size fits 64 bits");
    recorder.count(|stats| match &outcome {
        Outcome::Ok => {
            stats.acked += 1;
            stats.bytes_sent += bytes;
        }
        Outcome::Fail(_) => stats.failed += 1,
        Outcome::Info(_) => stats.unknown += 1,
    });
    recorder.complete(begun, "send", outcome, |action| {
        if let Action::Send { offset, .. } = action {
            *offset = told;
        }
    });
}
