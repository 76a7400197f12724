//! Interaction scripts, random histories, and what the known bugs would do.

mod consumers;
mod mutants;
mod random;
mod script;

use std::collections::BTreeMap;

use bytes::Bytes;

use super::*;
use broker_protocol::consumer_protocol::ConsumerProtocolSubscription;
use broker_protocol::ids::Uuid;

/// A coordinator with its log and timers.
struct World {
    config: Config,
    core: GroupCoordinator,
    log: Vec<Entry>,
    timers: BTreeMap<Timer, u64>,
    now_ms: u64,
    next_ticket: u64,
    topics: FewTopics,
}

/// Topics by name, and how often that has changed.
#[derive(Clone, Debug, Default)]
struct FewTopics(BTreeMap<String, Topic>, u64);

impl Topics for FewTopics {
    fn version(&self) -> u64 {
        self.1
    }

    fn topic(&self, name: &str) -> Option<Topic> {
        self.0.get(name).copied()
    }

    fn name(&self, id: Uuid) -> Option<String> {
        let found = self.0.iter().find(|(_, topic)| topic.id == id);
        found.map(|(name, _)| name.clone())
    }
}

impl World {
    fn new(config: Config) -> World {
        let mut world = World {
            core: GroupCoordinator::new(config.clone()),
            config,
            log: Vec::new(),
            timers: BTreeMap::new(),
            now_ms: 1_000_000,
            next_ticket: 0,
            topics: FewTopics::default(),
        };
        world.load();
        world
    }

    /// Another broker takes over.
    fn load(&mut self) -> Vec<(Ticket, Reply)> {
        self.core = GroupCoordinator::new(self.config.clone());
        self.timers.clear();
        for entry in &self.log {
            self.core.replay(entry);
        }
        let mut out = Vec::new();
        let now = now(self.now_ms, &self.topics);
        self.core.loaded(now, &mut out);
        self.take(out)
    }

    fn request(&mut self, request: Request) -> (Ticket, Vec<(Ticket, Reply)>) {
        self.next_ticket += 1;
        let ticket = Ticket(self.next_ticket);
        let mut out = Vec::new();
        let now = now(self.now_ms, &self.topics);
        self.core.handle(ticket, request, now, &mut out);
        (ticket, self.take(out))
    }

    /// Lets time pass and timers fire.
    fn wait(&mut self, ms: u64) -> Vec<(Ticket, Reply)> {
        let end = self.now_ms + ms;
        let mut replies = Vec::new();
        loop {
            let due = self.timers.iter().filter(|(_, at)| **at <= end);
            let Some((timer, at)) = due.min_by_key(|(_, at)| **at) else {
                break;
            };
            let (timer, at) = (timer.clone(), *at);
            self.timers.remove(&timer);
            self.now_ms = self.now_ms.max(at);
            let mut out = Vec::new();
            let now = now(self.now_ms, &self.topics);
            self.core.timer(timer, now, &mut out);
            replies.extend(self.take(out));
        }
        self.now_ms = end;
        replies
    }

    /// The marker of a transaction is appended.
    fn end(&mut self, producer_id: i64, committed: bool) {
        let marker = Entry::Marker {
            producer_id,
            committed,
        };
        self.core.replay(&marker);
        self.log.push(marker);
        self.take(Vec::new());
    }

    fn committed(&self, topic: &str) -> Option<i64> {
        let group = self.core.hard().group("g")?;
        let value = group.offsets.get(&(topic.to_string(), 0))?;
        Some(value.offset)
    }

    fn take(&mut self, out: Vec<Output>) -> Vec<(Ticket, Reply)> {
        let mut replies = Vec::new();
        for output in out {
            match output {
                Output::Records(records) => {
                    self.log.extend(records.into_iter().map(Entry::Record));
                }
                Output::TransactionalRecords(producer, records) => {
                    let producer_id = producer.id;
                    let entries = records.into_iter().map(|record| Entry::Transactional {
                        producer_id,
                        record,
                    });
                    for entry in entries {
                        self.core.replay(&entry);
                        self.log.push(entry);
                    }
                }
                Output::Reply(ticket, reply) | Output::ReplyNow(ticket, reply) => {
                    replies.push((ticket, reply));
                }
                Output::Arm(timer, after) => drop(self.timers.insert(timer, self.now_ms + after)),
                Output::Disarm(timer) => drop(self.timers.remove(&timer)),
            }
        }
        if let Err(broken) = invariants::check(&self.core) {
            panic!("{broken}");
        }
        self.replayed();
        replies
    }

    /// GRP-3: the log says what the live coordinator knows.
    fn replayed(&self) {
        let mut hard = Hard::default();
        for entry in &self.log {
            hard.apply(entry);
        }
        assert_eq!(&hard, self.core.hard());
    }
}

fn now(now_ms: u64, topics: &FewTopics) -> Now<'_> {
    Now {
        wall_ms: i64::try_from(now_ms).expect("a small time"),
        topics,
    }
}

fn subscription(topics: &[&str]) -> Bytes {
    let subscription = ConsumerProtocolSubscription {
        topics: topics.iter().map(ToString::to_string).collect(),
        ..Default::default()
    };
    subscription.to_bytes()
}

fn join(member_id: &str, fresh: &str) -> JoinRequest {
    JoinRequest {
        group: "g".into(),
        member_id: member_id.into(),
        fresh_member_id: fresh.into(),
        instance_id: None,
        client_id: "c".into(),
        client_host: "/h".into(),
        session_timeout_ms: 10_000,
        rebalance_timeout_ms: 60_000,
        protocol_type: "consumer".into(),
        protocols: vec![("range".into(), subscription(&["t"]))],
        require_known_member_id: false,
        knows_skip_assignment: true,
    }
}

fn member(id: &str, generation: i32) -> MemberContext {
    MemberContext {
        member_id: id.into(),
        instance_id: None,
        generation,
    }
}

fn commit(member: MemberContext, topic: &str, offset: i64) -> CommitRequest {
    CommitRequest {
        group: "g".into(),
        member,
        retention_ms: -1,
        knows_consumer_groups: true,
        partitions: vec![CommittedPartition {
            topic: topic.into(),
            topic_id: Uuid::ZERO,
            partition: 0,
            offset,
            leader_epoch: None,
            metadata: String::new(),
        }],
    }
}

fn transactional(
    producer_id: i64,
    member: MemberContext,
    topic: &str,
    offset: i64,
) -> TransactionalCommitRequest {
    let commit = commit(member, topic, offset);
    TransactionalCommitRequest {
        group: commit.group,
        member: commit.member,
        producer: Producer {
            id: producer_id,
            epoch: 0,
        },
        partitions: commit.partitions,
    }
}
