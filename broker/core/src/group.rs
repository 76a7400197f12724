//! The group coordinator of one partition of `__consumer_offsets`: classic groups, consumer groups (KIP-848) and
//! committed offsets.
//!
//! A replicated core. [`Hard`] is what the partition's log says and is rebuilt by [`GroupCoordinator::replay`];
//! the live groups (joins in progress, sessions) are soft and start anew from it. One step may write records;
//! they are applied at once, and its replies may leave when they are committed. If they are not, the shell drops
//! the whole coordinator and loads another: nothing is undone in here.
//!
//! Map: [`message`] what goes in and out · [`record`], `hard` the log's view · `classic` one live group ·
//! `join`, `rebalance`, `membership` (sync, heartbeat, leave) the classic protocol (KIP-62, KIP-345, KIP-394) ·
//! [`consumer_group`] the protocol of KIP-848, all of whose state is hard ·
//! `offsets` commit, fetch, delete · `transactional` TxnOffsetCommit (KIP-447) · `expiry` KIP-211 · `describe`
//! list, describe, delete.

mod classic;
pub mod consumer_group;
mod describe;
mod expiry;
mod hard;
#[cfg(any(test, feature = "testbed"))]
pub mod invariants;
mod join;
mod membership;
pub mod message;
mod offsets;
mod rebalance;
pub mod record;
#[cfg(test)]
mod tests;
mod transactional;

use std::collections::BTreeMap;

use broker_probe::probe;
use broker_protocol::ErrorCode;

pub use classic::{ClassicGroup, Member, State};
pub use consumer_group::{ConsumerGroup, Topic, Topics};
pub use hard::{Group, Hard, PendingOffset, TopicPartition};
pub use message::{
    CommitRequest, CommittedPartition, ConsumerHeartbeatReply, ConsumerHeartbeatRequest,
    DeleteOffsetsRequest, DescribedConsumer, DescribedConsumerGroup, DescribedGroup,
    DescribedMember, DescribedPartitions, FetchOffsetsRequest, FetchedOffset, GroupType, JoinReply,
    JoinRequest, JoinedMember, Leaver, ListedGroup, MemberContext, Output, Producer, Reply,
    Request, SyncReply, SyncRequest, Timer, TopicPartitions, TransactionalCommitRequest,
};
pub use record::{Entry, GroupMetadata, MemberMetadata, OffsetAndMetadata, Record};

use crate::Ticket;

/// Broker properties, by Kafka's names; times in milliseconds.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Config {
    /// `group.min.session.timeout.ms`
    pub min_session_timeout_ms: i32,
    /// `group.max.session.timeout.ms`
    pub max_session_timeout_ms: i32,
    /// `group.initial.rebalance.delay.ms`: how long a group that was empty waits for more members.
    pub initial_rebalance_delay_ms: u64,
    /// `group.max.size`
    pub max_size: usize,
    /// `group.consumer.session.timeout.ms`
    pub consumer_session_timeout_ms: u64,
    /// `group.consumer.heartbeat.interval.ms`
    pub consumer_heartbeat_interval_ms: i32,
    /// `group.consumer.max.size`
    pub consumer_max_size: usize,
    /// `group.consumer.assignors`; the first is the default.
    pub consumer_assignors: Vec<String>,
    /// `offset.metadata.max.bytes`
    pub offset_metadata_max_bytes: usize,
    /// `offsets.retention.minutes`
    pub offsets_retention_ms: i64,
    /// `offsets.retention.check.interval.ms`
    pub retention_check_interval_ms: u64,
}

impl Default for Config {
    fn default() -> Config {
        Config {
            min_session_timeout_ms: 6_000,
            max_session_timeout_ms: 1_800_000,
            initial_rebalance_delay_ms: 3_000,
            max_size: usize::try_from(i32::MAX).unwrap_or(usize::MAX),
            consumer_session_timeout_ms: 45_000,
            consumer_heartbeat_interval_ms: 5_000,
            consumer_max_size: usize::try_from(i32::MAX).unwrap_or(usize::MAX),
            consumer_assignors: vec!["uniform".into(), "range".into()],
            offset_metadata_max_bytes: 4_096,
            offsets_retention_ms: 7 * 24 * 3_600_000,
            retention_check_interval_ms: 600_000,
        }
    }
}

/// The coordinator of the groups of one partition.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct GroupCoordinator {
    config: Config,
    hard: Hard,
    /// Live classic groups; of each there is also one in `hard` once it has written anything.
    groups: BTreeMap<String, ClassicGroup>,
    /// By consumer group, the topics' version that its epoch was last compared with.
    metadata_checked: BTreeMap<String, u64>,
}

/// What the world is like at a step.
#[derive(Clone, Copy)]
pub struct Now<'a> {
    /// Wall clock, milliseconds since 1970.
    pub wall_ms: i64,
    pub topics: &'a dyn Topics,
}

/// One step: when it is and what comes out.
pub(crate) struct Step<'a> {
    /// Wall clock, milliseconds since 1970.
    pub now_ms: i64,
    pub topics: &'a dyn Topics,
    pub out: &'a mut Vec<Output>,
}

impl<'a> Step<'a> {
    fn new(now: Now<'a>, out: &'a mut Vec<Output>) -> Step<'a> {
        Step {
            now_ms: now.wall_ms,
            topics: now.topics,
            out,
        }
    }

    fn reply(&mut self, ticket: Ticket, reply: Reply) {
        self.out.push(Output::Reply(ticket, reply));
    }

    fn arm(&mut self, timer: Timer, after_ms: u64) {
        self.out.push(Output::Arm(timer, after_ms));
    }

    fn disarm(&mut self, timer: Timer) {
        self.out.push(Output::Disarm(timer));
    }
}

impl GroupCoordinator {
    pub fn new(config: Config) -> GroupCoordinator {
        GroupCoordinator {
            config,
            hard: Hard::default(),
            groups: BTreeMap::new(),
            metadata_checked: BTreeMap::new(),
        }
    }

    /// What the log says.
    pub fn hard(&self) -> &Hard {
        &self.hard
    }

    /// The live group, unless it only has offsets.
    pub fn group(&self, id: &str) -> Option<&ClassicGroup> {
        self.groups.get(id)
    }

    /// Takes in what the log has, in its order: all of it at the start, then what belongs to transactions. Any
    /// subset that compaction may leave is fine (GRP-3).
    pub fn replay(&mut self, entry: &Entry) {
        self.hard.apply(entry);
    }

    /// The log was read to its end: groups go on where their records say.
    pub fn loaded(&mut self, now: Now<'_>, out: &mut Vec<Output>) {
        let step = &mut Step::new(now, out);
        for (id, group) in &self.hard.groups {
            if group.consumers.exists() {
                self.consumer_group_loaded(id, step);
                continue;
            }
            let Some(metadata) = &group.metadata else {
                continue;
            };
            let live = ClassicGroup::from_metadata(metadata);
            for (member_id, member) in &live.members {
                // Its heartbeats went to the coordinator before.
                probe!("group: members go on after a new coordinator has loaded");
                step.arm(
                    Timer::Session(id.clone(), member_id.clone()),
                    member.session_ms(),
                );
            }
            self.groups.insert(id.clone(), live);
        }
        step.arm(
            Timer::ExpireOffsets,
            self.config.retention_check_interval_ms,
        );
    }

    /// Carries out a request. It is answered under its ticket, now or later.
    pub fn handle(
        &mut self,
        ticket: Ticket,
        request: Request,
        now: Now<'_>,
        out: &mut Vec<Output>,
    ) {
        let step = &mut Step::new(now, out);
        match request {
            Request::Join(request) => self.join(ticket, request, step),
            Request::Sync(request) => self.sync(ticket, request, step),
            Request::Heartbeat { group, member } => {
                let error = self.heartbeat(&group, &member, step);
                let error = error.err().unwrap_or(ErrorCode::None);
                // Nothing waits for the log here: sessions must not end while it stands still.
                step.out
                    .push(Output::ReplyNow(ticket, Reply::Heartbeat(error)));
            }
            Request::Leave { group, members } => {
                let left = self.leave(&group, &members, step);
                step.reply(ticket, Reply::Leave(left));
            }
            Request::ConsumerHeartbeat(request) => {
                let heard = self.consumer_heartbeat(request, step);
                step.reply(ticket, Reply::ConsumerHeartbeat(heard));
            }
            Request::Commit(request) => {
                let committed = self.commit(request, step);
                step.reply(ticket, Reply::Commit(committed));
            }
            Request::CommitTransactional(request) => {
                let committed = self.commit_transactional(request, step);
                step.reply(ticket, Reply::CommitTransactional(committed));
            }
            Request::FetchOffsets(request) => {
                let fetched = self.fetch_offsets(&request);
                step.reply(ticket, Reply::FetchOffsets(fetched));
            }
            Request::DeleteOffsets(request) => {
                let deleted = self.delete_offsets(&request, step);
                step.reply(ticket, Reply::DeleteOffsets(deleted));
            }
            Request::DeleteGroup { group } => {
                let error = self.delete_group(&group, step).err();
                let error = error.unwrap_or(ErrorCode::None);
                step.reply(ticket, Reply::DeleteGroup(error));
            }
            Request::Describe { group } => {
                let described = self.describe(&group);
                step.reply(ticket, Reply::Describe(described));
            }
            Request::DescribeConsumers { group } => {
                let described = self.describe_consumers(&group, step.topics);
                step.reply(ticket, Reply::DescribeConsumers(described));
            }
            Request::List => step.reply(ticket, Reply::List(self.list())),
            Request::TopicDeleted { topic } => {
                self.topic_deleted(&topic, step);
                step.reply(ticket, Reply::TopicDeleted);
            }
        }
    }

    /// A timer that was armed is over.
    pub fn timer(&mut self, timer: Timer, now: Now<'_>, out: &mut Vec<Output>) {
        let step = &mut Step::new(now, out);
        match timer {
            Timer::Join(group) => self.on_join_timer(&group, step),
            Timer::Sync(group) => self.on_sync_timer(&group, step),
            Timer::Session(group, member) if self.groups.contains_key(&group) => {
                self.on_session_timer(&group, &member, step);
            }
            Timer::Session(group, member) => {
                self.on_consumer_session_timer(&group, &member, step);
            }
            Timer::Revocation(group, member, epoch) => {
                self.on_revocation_timer(&group, &member, epoch, step);
            }
            Timer::ExpireOffsets => {
                self.expire_offsets(step);
                step.arm(
                    Timer::ExpireOffsets,
                    self.config.retention_check_interval_ms,
                );
            }
        }
    }

    /// The only way that `hard` changes.
    fn write(&mut self, records: Vec<Record>, step: &mut Step<'_>) {
        if records.is_empty() {
            return;
        }
        for record in &records {
            self.hard.apply_record(record, None);
        }
        step.out.push(Output::Records(records));
    }

    /// Notes the live group in the log.
    fn persist(&mut self, id: &str, step: &mut Step<'_>) {
        let Some(group) = self.groups.get(id) else {
            return;
        };
        let record = Record::Group {
            group: id.to_string(),
            value: Some(group.to_metadata()),
        };
        self.write(vec![record], step);
    }
}
