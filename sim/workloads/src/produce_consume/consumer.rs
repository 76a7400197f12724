//! Reads all partitions from their start and follows, recording every stretch of positions.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::time::Duration;

use broker_client::{
    Consumer, ConsumerError, ConsumerRecord, ConsumerRecords, IsolationLevel, PartitionRecords,
    TopicPartition,
};
use bytes::Bytes;
use sim_checkers::history::{Action, Isolation, Partition, Record};

use crate::recorder::By;
use crate::{ClientContext, Moment, WorkloadSpec, content};

/// Only the end of a poll's wait without records.
const POLL: Duration = Duration::from_secs(5);

/// Runs until the stop.
pub async fn consume(context: ClientContext, spec: Arc<WorkloadSpec>) {
    let client = context.client(&spec);
    if let Some(partitions) = super::partitions(&context, &client, &spec).await {
        let consumer = Consumer::new(client.clone(), spec.consumer_config());
        let mut reading = Reading::new(&context, spec.isolation());
        if reading.assign(&consumer, &partitions).await {
            while !context.stop.is_stopped() {
                broker_env::select! {
                    () = context.stop.stopped() => {}
                    () = reading.poll(&consumer, POLL) => {}
                }
            }
        }
        consumer.close();
    }
    client.close();
}

/// One consumer's share of the history.
pub(crate) struct Reading<'a> {
    context: &'a ClientContext,
    isolation: Isolation,
    /// What polls are part of now.
    pub transaction: Option<u64>,
    /// Their next poll begins anew, wherever it is.
    starting: BTreeSet<TopicPartition>,
}

impl<'a> Reading<'a> {
    pub fn new(context: &'a ClientContext, isolation: IsolationLevel) -> Reading<'a> {
        Reading {
            context,
            isolation: match isolation {
                IsolationLevel::ReadUncommitted => Isolation::ReadUncommitted,
                IsolationLevel::ReadCommitted => Isolation::ReadCommitted,
            },
            transaction: None,
            starting: BTreeSet::new(),
        }
    }

    /// False if it was stopped before that was possible.
    pub async fn assign(&mut self, consumer: &Consumer, partitions: &[TopicPartition]) -> bool {
        while let Err(error) = consumer.assign(partitions).await {
            self.context
                .recorder
                .count_error("consumer", name_of(&error));
            if self.context.stop.is_stopped() {
                return false;
            }
            self.context.pause(super::RETRY).await;
        }
        partitions
            .iter()
            .for_each(|partition| self.restart(consumer, partition));
        true
    }

    /// Records what one poll gets; after an error the partition is read from its start again. Dropped while
    /// it waits, nothing is lost.
    pub async fn poll(&mut self, consumer: &Consumer, limit: Duration) {
        let invoked = self.context.recorder.now();
        match consumer.poll(limit).await {
            Ok(records) => self.record(invoked, records),
            Err(error) => self.recover(consumer, &error),
        }
    }

    /// The next stretch of these is one that the group said to begin.
    pub fn begin(&mut self, partitions: &[TopicPartition]) {
        // Nothing may have been read yet of those that came before.
        self.starting.extend(partitions.iter().cloned());
    }

    pub fn record(&mut self, invoked: Moment, records: ConsumerRecords) {
        let (mut count, mut bytes) = (0, 0);
        for stretch in records.partitions {
            count += u64::try_from(stretch.records.len()).expect("a count fits 64 bits");
            bytes += stretch.records.iter().map(size_of).sum::<u64>();
            self.record_stretch(invoked, stretch);
        }
        self.context.recorder.count(|stats| {
            stats.consumed += count;
            stats.bytes_consumed += bytes;
        });
    }

    fn record_stretch(&mut self, invoked: Moment, stretch: PartitionRecords) {
        let process = self.context.process;
        let by = By {
            process,
            transaction: self.transaction,
        };
        let partition = Partition {
            topic: stretch.partition.topic.clone(),
            index: stretch.partition.partition,
        };
        if self.starting.remove(&stretch.partition) {
            let action = Action::Assign {
                partition: partition.clone(),
                position: stretch.from,
            };
            self.context.recorder.note(by, invoked, action);
        }
        let records = stretch.records.iter().map(record).collect();
        let action = Action::Poll {
            partition,
            from: stretch.from,
            records,
            next: stretch.next,
            isolation: self.isolation,
        };
        self.context.recorder.note(by, invoked, action);
    }

    fn recover(&mut self, consumer: &Consumer, error: &ConsumerError) {
        self.context
            .recorder
            .count_error("consumer", name_of(error));
        match error {
            ConsumerError::NoOffsetForPartition(partition)
            | ConsumerError::OffsetOutOfRange { partition, .. }
            | ConsumerError::LogTruncation { partition, .. }
            | ConsumerError::Partition { partition, .. } => self.restart(consumer, partition),
            ConsumerError::NotAssigned(_)
            | ConsumerError::Timeout { .. }
            | ConsumerError::Closed => {}
        }
    }

    fn restart(&mut self, consumer: &Consumer, partition: &TopicPartition) {
        self.starting.insert(partition.clone());
        consumer
            .seek_to_beginning(std::slice::from_ref(partition))
            .expect("it is assigned");
    }
}

fn record(record: &ConsumerRecord) -> Record {
    Record {
        offset: record.offset,
        value: content::number_of(record.value.as_ref()),
        content: content::hash(
            record.key.as_ref(),
            record.value.as_ref(),
            &record.headers,
            record.timestamp,
        ),
    }
}

fn size_of(record: &ConsumerRecord) -> u64 {
    let size =
        record.value.as_ref().map_or(0, Bytes::len) + record.key.as_ref().map_or(0, Bytes::len);
    u64::try_from(size).expect("a size fits 64 bits")
}

pub(crate) fn name_of(error: &ConsumerError) -> &'static str {
    match error {
        ConsumerError::NoOffsetForPartition(_) => "no offset for partition",
        ConsumerError::OffsetOutOfRange { .. } => "offset out of range",
        ConsumerError::LogTruncation { .. } => "log truncation",
        ConsumerError::Partition { error, .. } => error.name(),
        ConsumerError::NotAssigned(_) => "not assigned",
        ConsumerError::Timeout { .. } => "timeout",
        ConsumerError::Closed => "closed",
    }
}
