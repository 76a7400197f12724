//! Random requests, timers and fail-overs: the invariants hold, the log says what is known, any subset that
//! compaction may leave loads to the same, and once faults stop everybody gets a generation (LIVE-4).

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Join {
        member: u8,
        instance: Option<u8>,
        topics: u8,
    },
    Sync {
        member: u8,
    },
    Heartbeat {
        member: u8,
    },
    Leave {
        member: u8,
    },
    Commit {
        member: u8,
        offset: i64,
        stale: bool,
    },
    CommitTransactional {
        member: u8,
        producer: u8,
        offset: i64,
        stale: bool,
    },
    End {
        producer: u8,
        committed: bool,
    },
    Wait {
        ms: u64,
    },
    FailOver,
    Delete,
}

#[allow(
    clippy::disallowed_types,
    reason = "prop_oneof shares its branches; tests are no core"
)]
fn act() -> impl Strategy<Value = Act> {
    let member = 0..4u8;
    prop_oneof![
        4 => (member.clone(), prop::option::weighted(0.3, 0..2u8), 0..3u8)
            .prop_map(|(member, instance, topics)| Act::Join { member, instance, topics }),
        4 => member.clone().prop_map(|member| Act::Sync { member }),
        3 => member.clone().prop_map(|member| Act::Heartbeat { member }),
        1 => member.clone().prop_map(|member| Act::Leave { member }),
        3 => (member.clone(), 0..100i64, any::<bool>())
            .prop_map(|(member, offset, stale)| Act::Commit { member, offset, stale }),
        3 => (member, 0..3u8, 0..100i64, any::<bool>()).prop_map(|(member, producer, offset, stale)| {
            Act::CommitTransactional { member, producer, offset, stale }
        }),
        2 => (0..3u8, any::<bool>()).prop_map(|(producer, committed)| Act::End { producer, committed }),
        3 => prop_oneof![Just(100u64), Just(3_000), Just(11_000), Just(400_000)]
            .prop_map(|ms| Act::Wait { ms }),
        1 => Just(Act::FailOver),
        1 => Just(Act::Delete),
    ]
}

/// What a client knows of itself.
#[derive(Clone, Debug, Default)]
struct Client {
    id: String,
    generation: i32,
    is_leader: bool,
    members: Vec<String>,
}

struct Play {
    world: World,
    clients: BTreeMap<u8, Client>,
    asked: BTreeMap<Ticket, u8>,
    fresh: u32,
}

impl Play {
    fn new() -> Play {
        Play {
            world: World::new(Config::default()),
            clients: BTreeMap::new(),
            asked: BTreeMap::new(),
            fresh: 0,
        }
    }

    fn request(&mut self, client: u8, request: Request) {
        let (ticket, replies) = self.world.request(request);
        self.asked.insert(ticket, client);
        self.hear(replies);
    }

    fn hear(&mut self, replies: Vec<(Ticket, Reply)>) {
        for (ticket, reply) in replies {
            let client = self.asked.remove(&ticket);
            let Some(client) = client.and_then(|client| self.clients.get_mut(&client)) else {
                continue;
            };
            match reply {
                Reply::Join(join) if join.error == ErrorCode::None => {
                    client.is_leader = join.leader == join.member_id;
                    client.id = join.member_id;
                    client.generation = join.generation;
                    client.members = join.members.into_iter().map(|it| it.member_id).collect();
                }
                Reply::Join(join) if join.error == ErrorCode::MemberIdRequired => {
                    client.id = join.member_id;
                }
                Reply::Join(join)
                    if matches!(
                        join.error,
                        ErrorCode::UnknownMemberId | ErrorCode::FencedInstanceId
                    ) =>
                {
                    *client = Client::default();
                }
                Reply::Sync(sync) if sync.error == ErrorCode::UnknownMemberId => {
                    *client = Client::default();
                }
                _ => {}
            }
        }
    }

    fn join(&mut self, name: u8, instance: Option<u8>, topics: u8) {
        self.fresh += 1;
        let client = self.clients.entry(name).or_default();
        let mut request = join(&client.id, &format!("m{name}-{}", self.fresh));
        request.instance_id = instance.map(|instance| format!("i{instance}"));
        request.require_known_member_id = instance.is_none();
        let topics = &["a", "b", "c"][..=usize::from(topics)];
        request.protocols = vec![("range".into(), subscription(topics))];
        self.request(name, Request::Join(request));
    }

    fn sync(&mut self, name: u8) {
        let client = self.clients.entry(name).or_default().clone();
        let assign = |id: &String| (id.clone(), Bytes::from(id.clone()));
        let assignments = client.members.iter().filter(|_| client.is_leader);
        self.request(
            name,
            Request::Sync(SyncRequest {
                group: "g".into(),
                member: member(&client.id, client.generation),
                protocol_type: None,
                protocol_name: None,
                assignments: assignments.map(assign).collect(),
            }),
        );
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Join {
                member,
                instance,
                topics,
            } => self.join(member, instance, topics),
            Act::Sync { member } => self.sync(member),
            Act::Heartbeat { member: name } => {
                let client = self.clients.entry(name).or_default().clone();
                let member = member(&client.id, client.generation);
                let group = "g".into();
                self.request(name, Request::Heartbeat { group, member });
            }
            Act::Leave { member: name } => {
                let client = self.clients.entry(name).or_default();
                let members = vec![Leaver {
                    member_id: std::mem::take(client).id,
                    instance_id: None,
                }];
                let group = "g".into();
                self.request(name, Request::Leave { group, members });
            }
            Act::Commit {
                member: name,
                offset,
                stale,
            } => {
                let client = self.clients.entry(name).or_default().clone();
                let generation = client.generation - i32::from(stale);
                self.commit(name, member(&client.id, generation), offset);
            }
            Act::CommitTransactional {
                member: name,
                producer,
                offset,
                stale,
            } => {
                let client = self.clients.entry(name).or_default().clone();
                let member = member(&client.id, client.generation - i32::from(stale));
                self.commit_transactional(
                    name,
                    transactional(producer.into(), member, "t", offset),
                );
            }
            Act::End {
                producer,
                committed,
            } => self.world.end(producer.into(), committed),
            Act::Wait { ms } => {
                let replies = self.world.wait(ms);
                self.hear(replies);
            }
            Act::FailOver => {
                let before = self.world.core.hard().clone();
                self.asked.clear();
                self.world.load();
                assert_eq!(&before, self.world.core.hard());
            }
            Act::Delete => self.request(9, Request::DeleteGroup { group: "g".into() }),
        }
    }

    /// GRP-2: only the current generation commits, and what it was told is committed is there.
    fn commit(&mut self, name: u8, member: MemberContext, offset: i64) {
        let current = self.world.core.group("g").map(|group| {
            (
                group.generation,
                group.members.contains_key(&member.member_id),
            )
        });
        let (ticket, replies) =
            self.world
                .request(Request::Commit(commit(member.clone(), "t", offset)));
        self.asked.insert(ticket, name);
        let accepted = replies.iter().any(
            |(_, reply)| matches!(reply, Reply::Commit(Ok(errors)) if errors[0] == ErrorCode::None),
        );
        if accepted && member.generation >= 0 {
            assert_eq!(current, Some((member.generation, true)), "a stale commit");
        }
        if accepted {
            let stored = self.world.core.hard().group("g").expect("it has offsets");
            assert_eq!(stored.offsets[&("t".to_string(), 0)].offset, offset);
        }
        self.hear(replies);
    }

    /// TXN-4: whatever comes of it, it is not committed yet; GRP-2: only the current generation is taken.
    fn commit_transactional(&mut self, name: u8, request: TransactionalCommitRequest) {
        let before = self.world.committed("t");
        let member = request.member.clone();
        let group = self.world.core.group("g");
        let is_current = group.is_none_or(|group| {
            group.generation == member.generation && group.members.contains_key(&member.member_id)
        });
        let (ticket, replies) = self.world.request(Request::CommitTransactional(request));
        self.asked.insert(ticket, name);
        let accepted = replies
            .iter()
            .any(|(_, reply)| matches!(reply, Reply::CommitTransactional(Ok(_))));
        let is_of_generation = member.generation >= 0;
        assert!(
            !accepted || !is_of_generation || is_current,
            "a stale commit"
        );
        assert_eq!(before, self.world.committed("t"));
        self.hear(replies);
    }

    /// Clients that behave, until the group is stable.
    fn settle(&mut self) {
        self.clients.clear();
        for round in 0..40 {
            for name in 0..3 {
                let client = self.clients.entry(name).or_default().clone();
                let awaits = self.asked.values().any(|asked| *asked == name);
                if awaits {
                    continue;
                }
                let group = self.world.core.group("g");
                let is_in = group.is_some_and(|group| {
                    group.members.contains_key(&client.id) && group.generation == client.generation
                });
                let state = group.map_or(State::Empty, |group| group.state);
                if is_in && state == State::CompletingRebalance {
                    self.sync(name);
                } else if is_in && state == State::Stable {
                    self.act(&Act::Heartbeat { member: name });
                } else {
                    self.join(name, None, 0);
                }
            }
            let group = self.world.core.group("g").expect("somebody joined");
            let all = self
                .clients
                .values()
                .all(|client| group.members.contains_key(&client.id));
            if group.state == State::Stable && all && group.members.len() == 3 {
                return;
            }
            assert!(round < 39, "LIVE-4: {:?} {group:?}", self.clients);
            self.act(&Act::Wait { ms: 5_000 });
        }
    }
}

/// What of two records the later one replaces the earlier one by.
pub(super) type Key = (u8, String, String, i32);

pub(super) fn key(entry: &Entry) -> Option<Key> {
    let (Entry::Record(record) | Entry::Transactional { record, .. }) = entry else {
        return None;
    };
    let (kind, name, partition) = match record {
        Record::Offset {
            topic, partition, ..
        } => (1, topic.clone(), *partition),
        Record::Group { .. } => (2, String::new(), 0),
        Record::ConsumerGroup { .. } => (3, String::new(), 0),
        Record::Subscription { member, .. } => (5, member.clone(), 0),
        Record::TargetEpoch { .. } => (6, String::new(), 0),
        Record::TargetAssignment { member, .. } => (7, member.clone(), 0),
        Record::CurrentAssignment { member, .. } => (8, member.clone(), 0),
    };
    Some((kind, record.group().to_string(), name, partition))
}

fn is_tombstone(entry: &Entry) -> bool {
    let Entry::Record(record) = entry else {
        return false;
    };
    match record {
        Record::Offset { value, .. } => value.is_none(),
        Record::Group { value, .. } => value.is_none(),
        Record::ConsumerGroup { value, .. } => value.is_none(),
        Record::Subscription { value, .. } => value.is_none(),
        Record::TargetEpoch { value, .. } => value.is_none(),
        Record::TargetAssignment { value, .. } => value.is_none(),
        Record::CurrentAssignment { value, .. } => value.is_none(),
    }
}

/// Whose marker ends the transaction that an entry belongs to, and how; `None` while it is open.
fn outcome(log: &[Entry], index: usize) -> Option<bool> {
    let Entry::Transactional { producer_id, .. } = &log[index] else {
        return Some(true);
    };
    let markers = log[index..].iter().filter_map(|entry| match entry {
        Entry::Marker {
            producer_id: ended,
            committed,
        } if ended == producer_id => Some(*committed),
        _ => None,
    });
    markers.into_iter().next()
}

/// What a cleaner may leave. It stops before the first open transaction. Records of aborted ones it drops; of
/// each key the last of the others stays, and any of the earlier ones; a tombstone as long as something that it
/// deletes, a marker as long as a record of its transaction.
pub(super) fn compacted(log: &[Entry], keep: &[bool]) -> Vec<Entry> {
    let drawn = |index: usize| keep.get(index % keep.len().max(1)).copied().unwrap_or(true);
    let open = (0..log.len()).find(|index| outcome(log, *index).is_none());
    let end = open.unwrap_or(log.len());
    let mut kept: Vec<bool> = vec![true; log.len()];
    for index in 0..end {
        let Some(key_of) = key(&log[index]) else {
            continue;
        };
        let of_key = |other: usize| key(&log[other]).as_ref() == Some(&key_of);
        let is_superseded =
            (index + 1..end).any(|later| of_key(later) && outcome(log, later) == Some(true));
        kept[index] = if outcome(log, index) == Some(false) {
            false
        } else if is_superseded {
            drawn(index)
        } else {
            let deletes = (0..index).any(|before| of_key(before) && kept[before]);
            !is_tombstone(&log[index]) || deletes || drawn(index)
        };
    }
    for index in 0..end {
        if let Entry::Marker { producer_id, .. } = &log[index] {
            let is_needed = needed(&log[..index], &kept, *producer_id);
            kept[index] = is_needed || drawn(index);
        }
    }
    let kept = log.iter().zip(kept).filter(|(_, kept)| *kept);
    kept.map(|(entry, _)| entry.clone()).collect()
}

/// Whether a record of the transaction that ends here is kept.
fn needed(log: &[Entry], kept: &[bool], ended: i64) -> bool {
    for (index, entry) in log.iter().enumerate().rev() {
        match entry {
            Entry::Marker { producer_id, .. } if *producer_id == ended => return false,
            Entry::Transactional { producer_id, .. } if *producer_id == ended && kept[index] => {
                return true;
            }
            _ => {}
        }
    }
    false
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn random_histories_hold(acts in prop::collection::vec(act(), 1..80), keep in prop::collection::vec(any::<bool>(), 1..20)) {
        let mut play = Play::new();
        for act in &acts {
            play.act(act);
        }
        let mut hard = Hard::default();
        for entry in compacted(&play.world.log, &keep) {
            hard.apply(&entry);
        }
        prop_assert_eq!(&hard, play.world.core.hard());
        play.settle();
    }
}
