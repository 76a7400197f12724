//! The consumer with assigned partitions: a shell around [`broker_core::consumer`], which decides where to
//! read and what to do when the log is not what it was.
//!
//! - `shell`: the core's inputs and outputs. `assignment`: what is read, and who leads it. `fetch`: long polls, one per broker, ahead of the application by
//!   one poll. `buffer`: records waiting for it. `lookup`: ListOffsets and OffsetForLeaderEpoch for the core.
//!
//! Records are fetched in the background and taken by [`Consumer::poll`]; without polls fetching stops
//! once a poll's worth is buffered. Reads are of committed offsets (high watermark), `read_uncommitted`.

mod assignment;
mod buffer;
mod fetch;
mod lookup;
mod shell;

use std::sync::Arc;
use std::time::Duration;

use broker_core::consumer::{Input, OffsetAndEpoch, OffsetReset};
use broker_env::time::timeout;
use broker_protocol::ids::{LeaderEpoch, TopicPartition};
use broker_protocol::record::Header;
use bytes::Bytes;

use crate::client::Client;
use crate::config::ConsumerConfig;
use crate::error::ConsumerError;
use shell::Shell;

/// A record with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConsumerRecord {
    /// Shared by the records of a poll.
    pub topic: Arc<str>,
    pub partition: i32,
    pub offset: i64,
    /// Of the leader that appended it; -1 unknown.
    pub leader_epoch: LeaderEpoch,
    /// Milliseconds since the epoch; -1 none.
    pub timestamp: i64,
    pub key: Option<Bytes>,
    pub value: Option<Bytes>,
    pub headers: Vec<Header>,
}

/// What one poll got of a partition.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct PartitionRecords {
    pub partition: TopicPartition,
    /// The position before the poll.
    pub from: i64,
    /// The position after it. Offsets between that no record has were compacted away or hold markers.
    pub next: i64,
    /// In offset order; empty if only such offsets were passed.
    pub records: Vec<ConsumerRecord>,
}

/// What one poll got.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ConsumerRecords {
    /// One entry per stretch of consecutive positions of a partition.
    pub partitions: Vec<PartitionRecords>,
}

impl ConsumerRecords {
    pub fn is_empty(&self) -> bool {
        self.partitions.is_empty()
    }

    /// Number of records.
    pub fn count(&self) -> usize {
        self.partitions
            .iter()
            .map(|partition| partition.records.len())
            .sum()
    }

    pub fn iter(&self) -> impl Iterator<Item = &ConsumerRecord> {
        self.partitions
            .iter()
            .flat_map(|partition| &partition.records)
    }

    /// All records, each partition's in order.
    pub fn into_records(self) -> Vec<ConsumerRecord> {
        self.partitions
            .into_iter()
            .flat_map(|partition| partition.records)
            .collect()
    }
}

/// Reads assigned partitions. Its tasks end when it is dropped, or by [`Consumer::close`].
pub struct Consumer {
    shell: Arc<Shell>,
}

impl Consumer {
    pub fn new(client: Client, config: ConsumerConfig) -> Consumer {
        Consumer {
            shell: Shell::start(client, config),
        }
    }

    /// Takes these partitions instead of those before; what stays keeps its position, what is new starts by
    /// `auto.offset.reset`, or where it is sought to. Waits for the topics' metadata.
    ///
    /// # Errors
    /// `Timeout` if a topic or partition is not known by `default.api.timeout.ms`; then nothing is changed.
    pub async fn assign(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.shell.assign(partitions).await
    }

    pub fn assignment(&self) -> Vec<TopicPartition> {
        self.shell.assignment()
    }

    /// Reads on from `offset`.
    ///
    /// # Errors
    /// `NotAssigned`
    pub fn seek(&self, partition: &TopicPartition, offset: i64) -> Result<(), ConsumerError> {
        self.seek_with_epoch(partition, offset, None)
    }

    /// As `seek`; with the epoch of the record before, the log is first checked for truncation (KIP-320).
    ///
    /// # Errors
    /// `NotAssigned`
    pub fn seek_with_epoch(
        &self,
        partition: &TopicPartition,
        offset: i64,
        epoch: Option<LeaderEpoch>,
    ) -> Result<(), ConsumerError> {
        let position = OffsetAndEpoch { offset, epoch };
        self.shell.act(partition, |partition| Input::Seek {
            partition,
            position,
        })
    }

    /// # Errors
    /// `NotAssigned`; what was before it in the list is sought.
    pub fn seek_to_beginning(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.seek_to(partitions, OffsetReset::Earliest)
    }

    /// # Errors
    /// `NotAssigned`; what was before it in the list is sought.
    pub fn seek_to_end(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.seek_to(partitions, OffsetReset::Latest)
    }

    fn seek_to(
        &self,
        partitions: &[TopicPartition],
        reset: OffsetReset,
    ) -> Result<(), ConsumerError> {
        partitions.iter().try_for_each(|partition| {
            self.shell
                .act(partition, |partition| Input::SeekTo { partition, reset })
        })
    }

    /// Fetches nothing more of these; buffered records still come.
    ///
    /// # Errors
    /// `NotAssigned`
    pub fn pause(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.set_paused(partitions, true)
    }

    /// # Errors
    /// `NotAssigned`
    pub fn resume(&self, partitions: &[TopicPartition]) -> Result<(), ConsumerError> {
        self.set_paused(partitions, false)
    }

    fn set_paused(&self, partitions: &[TopicPartition], paused: bool) -> Result<(), ConsumerError> {
        partitions.iter().try_for_each(|partition| {
            self.shell
                .act(partition, |partition| Input::Pause { partition, paused })
        })
    }

    /// Records as soon as there are any, at most `max.poll.records`; none when `limit` is over. May be
    /// dropped while it waits: no record is lost.
    ///
    /// # Errors
    /// Once per occurrence, after the records before it: see [`ConsumerError`].
    pub async fn poll(&self, limit: Duration) -> Result<ConsumerRecords, ConsumerError> {
        let deadline = self.shell.client.env().now() + limit;
        loop {
            let mut news = std::pin::pin!(self.shell.news.notified());
            news.as_mut().enable();
            if let Some(got) = self.shell.take() {
                return got;
            }
            let left = deadline.saturating_since(self.shell.client.env().now());
            if left.is_zero() || timeout(self.shell.client.env(), left, news).await.is_err() {
                return self.shell.take().unwrap_or(Ok(ConsumerRecords::default()));
            }
        }
    }

    /// The next offset for the application; `None` while it is not known or not assigned.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.shell
            .position(partition)
            .map(|position| position.offset)
    }

    /// How far the application is behind the last high watermark seen.
    pub fn lag(&self, partition: &TopicPartition) -> Option<i64> {
        self.shell.lag(partition)
    }

    /// What it shares with others, for `list_offsets`.
    pub fn client(&self) -> &Client {
        &self.shell.client
    }

    /// Ends all tasks; polls return `Closed` from now on.
    pub fn close(&self) {
        self.shell.close();
    }
}

impl std::fmt::Debug for Consumer {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter
            .debug_struct("Consumer")
            .field("config", &self.shell.config)
            .finish_non_exhaustive()
    }
}
