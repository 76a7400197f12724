//! A consumer in a group: the group's members share the partitions of their topics.
//!
//! - `membership`: the classic protocol: join, sync, heartbeats, leave. `assignor`: the leader's range assignment.
//!   `epochs`: the protocol of KIP-848. `offsets`: commits.
//!
//! Membership is kept up by polling: heartbeats are sent between the waits of [`GroupConsumer::poll`], so the
//! session ends `session.timeout.ms` (KIP-848: the broker's `group.consumer.session.timeout.ms`) after the last
//! poll. In the classic protocol all partitions are given up at the start of a rebalance (eager), and reading goes
//! on from the committed offsets; in the other those that stay are read on.

mod assignor;
mod epochs;
mod membership;
mod offsets;

use std::time::Duration;

use broker_env::Instant;
use broker_protocol::ids::TopicPartition;

pub use assignor::range;
pub use offsets::{CommitError, Committed};

use crate::client::Client;
use crate::config::ConsumerConfig;
use crate::consumer::{Consumer, ConsumerRecords};
use crate::coordinator::Coordinator;
use crate::error::GroupError;
use crate::producer::GroupMetadata;

/// Of a [`GroupConsumer`], by Kafka's names and with Kafka's defaults.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct GroupConfig {
    /// `group.id`
    pub group_id: String,
    /// `group.instance.id`: a static member (KIP-345).
    pub instance_id: Option<String>,
    /// `session.timeout.ms`
    pub session_timeout: Duration,
    /// `max.poll.interval.ms`, which is the rebalance timeout.
    pub rebalance_timeout: Duration,
    /// `heartbeat.interval.ms`
    pub heartbeat_interval: Duration,
    /// `auto.commit.interval.ms` with `enable.auto.commit`; `None` without. Polls commit what earlier polls returned,
    /// and so does `close`.
    pub auto_commit_interval: Option<Duration>,
    /// `group.protocol`
    pub protocol: GroupProtocol,
    /// `group.remote.assignor` (KIP-848): `None` leaves it to the broker.
    pub remote_assignor: Option<String>,
}

/// `group.protocol`
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum GroupProtocol {
    /// Members agree among themselves, with the coordinator's help.
    #[default]
    Classic,
    /// The coordinator decides (KIP-848).
    Consumer,
}

impl GroupConfig {
    pub fn new(group_id: &str) -> GroupConfig {
        GroupConfig {
            group_id: group_id.to_string(),
            instance_id: None,
            session_timeout: Duration::from_secs(45),
            rebalance_timeout: Duration::from_secs(300),
            heartbeat_interval: Duration::from_secs(3),
            protocol: GroupProtocol::Classic,
            remote_assignor: None,
            auto_commit_interval: None,
        }
    }
}

/// The generation this member is in; with KIP-848 its epoch.
#[derive(Clone, Debug)]
struct Joined {
    generation: i32,
    partitions: Vec<TopicPartition>,
    /// Those of `partitions` that came last.
    added: Vec<TopicPartition>,
    begins_at: Committed,
    next_heartbeat: Instant,
    next_commit: Option<Instant>,
    /// An answer with an assignment has yet to be taken in (KIP-848).
    needs_all: bool,
    is_new: bool,
}

impl Joined {
    /// As of now, without partitions.
    fn new(generation: i32, now: Instant, config: &GroupConfig) -> Joined {
        Joined {
            generation,
            partitions: Vec::new(),
            added: Vec::new(),
            begins_at: Committed::new(),
            next_heartbeat: now + config.heartbeat_interval,
            next_commit: config.auto_commit_interval.map(|interval| now + interval),
            needs_all: false,
            is_new: true,
        }
    }
}

/// A member of a group. Dropped, it says nothing: its session ends by itself.
#[derive(Debug)]
pub struct GroupConsumer {
    client: Client,
    consumer: Consumer,
    config: GroupConfig,
    topics: Vec<String>,
    coordinator: Coordinator,
    member_id: String,
    joined: Option<Joined>,
    rebalances: u64,
}

impl GroupConsumer {
    /// Joins with the first poll.
    pub fn new(
        client: Client,
        consumer: ConsumerConfig,
        config: GroupConfig,
        topics: &[String],
    ) -> GroupConsumer {
        GroupConsumer {
            consumer: Consumer::new(client.clone(), consumer),
            client,
            config,
            topics: topics.to_vec(),
            coordinator: Coordinator::default(),
            member_id: String::new(),
            joined: None,
            rebalances: 0,
        }
    }

    /// Records as soon as there are any; none when `limit` is over, or when partitions came or went in the protocol
    /// of KIP-848. A rebalance may take longer. May be dropped
    /// while it waits; a rebalance then begins anew.
    ///
    /// # Errors
    /// See [`GroupError`]; retriable ones are retried.
    pub async fn poll(&mut self, limit: Duration) -> Result<ConsumerRecords, GroupError> {
        let deadline = self.client.env().now() + limit;
        loop {
            let rebalances = self.rebalances;
            if self.joined.is_none() && !self.come_in(deadline).await? {
                return Ok(ConsumerRecords::default());
            }
            self.commit_if_due().await;
            let now = self.client.env().now();
            let heartbeat = self
                .joined
                .as_ref()
                .map_or(now, |joined| joined.next_heartbeat);
            if heartbeat <= now {
                self.stay_in().await?;
            }
            // One change at a time, so that the caller sees which partitions each one has brought.
            if self.config.protocol == GroupProtocol::Consumer && self.rebalances != rebalances {
                return Ok(ConsumerRecords::default());
            }
            if heartbeat <= now {
                continue;
            }
            let left = deadline.min(heartbeat).saturating_since(now);
            let records = self.consumer.poll(left).await?;
            if !records.is_empty() || self.client.env().now() >= deadline {
                return Ok(records);
            }
        }
    }

    async fn come_in(&mut self, deadline: Instant) -> Result<bool, GroupError> {
        match self.config.protocol {
            GroupProtocol::Classic => self.join(deadline).await,
            GroupProtocol::Consumer => self.join_by_heartbeat(deadline).await,
        }
    }

    async fn stay_in(&mut self) -> Result<(), GroupError> {
        match self.config.protocol {
            GroupProtocol::Classic => self.heartbeat().await,
            GroupProtocol::Consumer => self.heartbeat_in_epoch().await,
        }
    }

    /// Generation, or member epoch, and member id, while in a group.
    pub fn membership(&self) -> Option<(i32, &str)> {
        let joined = self.joined.as_ref()?;
        Some((joined.generation, &self.member_id))
    }

    /// Joins again with the next poll, and reads on from what the group has committed: what was read since then
    /// comes again.
    pub fn rejoin(&mut self) {
        self.joined = None;
    }

    /// What a producer needs to commit this member's offsets in its transactions.
    pub fn group_metadata(&self) -> GroupMetadata {
        let (generation_id, member_id) = self.membership().unwrap_or((-1, ""));
        GroupMetadata {
            group_id: self.config.group_id.clone(),
            generation_id,
            member_id: member_id.to_string(),
            group_instance_id: self.config.instance_id.clone(),
        }
    }

    /// A failure is made good by the next one.
    async fn commit_if_due(&mut self) {
        let now = self.client.env().now();
        let Some(joined) = &mut self.joined else {
            return;
        };
        if joined.next_commit.is_some_and(|due| due <= now) {
            joined.next_commit = self
                .config
                .auto_commit_interval
                .map(|interval| now + interval);
            let _next = self.commit().await;
        }
    }

    /// The partitions of this generation.
    pub fn assignment(&self) -> &[TopicPartition] {
        self.joined
            .as_ref()
            .map_or(&[], |joined| &joined.partitions)
    }

    /// Those of them that came with the last change: reading them begins at the committed offsets.
    pub fn added(&self) -> &[TopicPartition] {
        self.joined.as_ref().map_or(&[], |joined| &joined.added)
    }

    /// How often it was given an assignment.
    pub fn rebalances(&self) -> u64 {
        self.rebalances
    }

    /// The committed offsets that reading the added partitions began at.
    pub fn begins_at(&self) -> Committed {
        let joined = self.joined.as_ref();
        joined.map_or_else(Committed::new, |joined| joined.begins_at.clone())
    }

    /// The next offset for the application.
    pub fn position(&self, partition: &TopicPartition) -> Option<i64> {
        self.consumer.position(partition)
    }

    /// Leaves the group, a static member only for a while, and ends all tasks.
    pub async fn close(mut self) {
        if self.config.auto_commit_interval.is_some() {
            let _tried = self.commit().await;
        }
        match self.config.protocol {
            GroupProtocol::Classic if self.config.instance_id.is_some() => {}
            GroupProtocol::Classic => self.leave().await,
            GroupProtocol::Consumer => self.leave_by_heartbeat().await,
        }
        self.consumer.close();
    }
}
