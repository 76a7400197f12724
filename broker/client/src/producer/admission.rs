//! Records on their way in: checked, placed, and queued once there is room.

use std::collections::BTreeSet;
use std::sync::Arc;

use broker_core::producer::{Input, RecordHandle};
use broker_env::Instant;
use broker_env::random::{Stream, in_range};
use broker_env::time::timeout;
use broker_protocol::ErrorCode;
use broker_protocol::ids::TopicIdPartition;
use broker_protocol::record::{BatchBuilder, HEADER_SIZE};

use super::request::Told;
use super::shell::{Pending, Reply, Shell};
use super::{ProducerRecord, wait_until};
use crate::error::ProduceError;
use crate::metadata::TopicMetadata;
use crate::partitioner::of_key;
use crate::tasks::lock;

impl Shell {
    pub fn check_size(&self, record: &ProducerRecord) -> Result<(), ProduceError> {
        let size = u64::from(size_of(record)) + u64::try_from(HEADER_SIZE).expect("61");
        let limit = u64::from(self.config.max_request_size).min(self.config.buffer_memory);
        if size <= limit {
            return Ok(());
        }
        let reason = format!("the record is {size} bytes when serialized, the limit is {limit}");
        Err(ProduceError::definite(ErrorCode::MessageTooLarge, reason))
    }

    /// Chooses the partition, once the topic is known.
    pub async fn place(
        self: &Arc<Self>,
        record: &ProducerRecord,
        deadline: Instant,
    ) -> Result<TopicIdPartition, ProduceError> {
        let mut attempt = 0;
        loop {
            if let Some(place) = self.place_now(record) {
                return Ok(place);
            }
            let left = deadline.saturating_since(self.client.env().now());
            let topic = self.client.topic(&record.topic, left).await;
            let topic = topic.map_err(|(error, reason)| ProduceError::definite(error, reason))?;
            if record
                .partition
                .is_none_or(|partition| topic.partitions.contains_key(&partition))
            {
                continue;
            }
            let _errors = self
                .client
                .refresh_metadata(&BTreeSet::from([record.topic.clone()]))
                .await;
            if !self.client.pause_before_retry(attempt, deadline).await {
                let reason = format!("{} has no partition {:?}", record.topic, record.partition);
                return Err(ProduceError::definite(
                    ErrorCode::UnknownTopicOrPartition,
                    reason,
                ));
            }
            attempt += 1;
        }
    }

    /// `None` if the metadata do not have what it takes.
    fn place_now(self: &Arc<Self>, record: &ProducerRecord) -> Option<TopicIdPartition> {
        let now = self.client.env().now();
        let (topic_id, refreshed, choice) = self.client.metadata(|metadata| {
            let topic = metadata.topic(&record.topic)?;
            Some((topic.id, topic.refreshed, choice_of(record, topic)?))
        })?;
        if now.saturating_since(refreshed) > self.client.config().metadata_max_age {
            self.start_refresh();
        }
        let partition = match choice {
            Choice::Only(partition) => partition,
            Choice::Sticky(candidates) => self.stick(record, &candidates),
        };
        Some(TopicIdPartition {
            topic_id,
            partition,
        })
    }

    fn stick(&self, record: &ProducerRecord, candidates: &[i32]) -> i32 {
        let last = u64::try_from(candidates.len() - 1).expect("an index fits 64 bits");
        let choose = || {
            let drawn = in_range(self.client.env().random.as_ref(), Stream::Client, 0, last);
            candidates[usize::try_from(drawn).expect("an index drawn below the length")]
        };
        let mut state = lock(&self.state);
        let sticky = state.sticky.entry(record.topic.clone()).or_default();
        sticky.next(size_of(record), self.config.batch_size, choose)
    }

    pub async fn wait_for_room(
        &self,
        record: &ProducerRecord,
        deadline: Instant,
    ) -> Result<(), ProduceError> {
        let size = u64::from(size_of(record));
        let has_room = || {
            let state = lock(&self.state);
            state.closed || state.core.buffered_bytes() + size <= self.config.buffer_memory
        };
        if has_room() {
            return Ok(());
        }
        let left = deadline.saturating_since(self.client.env().now());
        let waited = timeout(
            self.client.env(),
            left,
            wait_until(&self.progress, has_room),
        )
        .await;
        let full = |_| {
            ProduceError::definite(
                ErrorCode::RequestTimedOut,
                "buffer.memory was full for max.block.ms",
            )
        };
        waited.map_err(full)
    }

    pub fn enqueue(
        self: &Arc<Self>,
        record: ProducerRecord,
        partition: TopicIdPartition,
        reply: Reply,
    ) -> Result<(), ProduceError> {
        let mut state = lock(&self.state);
        if state.closed {
            return Err(ProduceError::definite(
                ErrorCode::NetworkException,
                "the producer is closed",
            ));
        }
        if let Err(error) = state.core.accepts_records() {
            return Err(ProduceError::definite(
                error,
                "no transaction takes records",
            ));
        }
        let first = !state.names.contains_key(&partition.topic_id);
        if first {
            state.names.insert(partition.topic_id, record.topic.clone());
            self.tell_leaders(&mut state, partition.topic_id);
        }
        let handle = RecordHandle(state.next_record);
        state.next_record += 1;
        let size = size_of(&record);
        let timestamp = record
            .timestamp
            .unwrap_or_else(|| self.client.env().clock.wall().0);
        state.records.insert(
            handle,
            Pending {
                record,
                timestamp,
                reply,
            },
        );
        self.step(
            &mut state,
            Input::Send {
                partition,
                record: handle,
                size,
            },
            &Told::default(),
        );
        Ok(())
    }
}

/// Where a record may go.
enum Choice {
    Only(i32),
    /// Never empty.
    Sticky(Vec<i32>),
}

fn choice_of(record: &ProducerRecord, topic: &TopicMetadata) -> Option<Choice> {
    if let Some(partition) = record.partition {
        return topic
            .partitions
            .contains_key(&partition)
            .then_some(Choice::Only(partition));
    }
    let count = u32::try_from(topic.partitions.len())
        .ok()
        .filter(|count| *count > 0)?;
    if let Some(key) = &record.key {
        return i32::try_from(of_key(key, count)).ok().map(Choice::Only);
    }
    let led = topic
        .partitions
        .iter()
        .filter(|(_, known)| known.leader.is_some());
    let led: Vec<i32> = led.map(|(index, _)| *index).collect();
    Some(Choice::Sticky(if led.is_empty() {
        topic.partitions.keys().copied().collect()
    } else {
        led
    }))
}

/// The most that a record adds to a batch.
fn size_of(record: &ProducerRecord) -> u32 {
    let size = BatchBuilder::record_size_max(
        record.key.as_deref(),
        record.value.as_deref(),
        &record.headers,
    );
    u32::try_from(size).unwrap_or(u32::MAX)
}
