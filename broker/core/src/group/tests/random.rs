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
        3 => (member, 0..100i64, any::<bool>())
            .prop_map(|(member, offset, stale)| Act::Commit { member, offset, stale }),
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

/// What a cleaner may leave: of each key the last record, of others any.
fn compacted(log: &[Record], keep: &[bool]) -> Vec<Record> {
    let key = |record: &Record| match record {
        Record::Offset {
            group,
            topic,
            partition,
            ..
        } => (group.clone(), Some((topic.clone(), *partition))),
        Record::Group { group, .. } => (group.clone(), None),
    };
    let drawn = |index: usize| keep.get(index % keep.len().max(1)).copied().unwrap_or(true);
    let kept = log.iter().enumerate().filter(|(index, record)| {
        let of_key = |(_, other): &(usize, &Record)| key(other) == key(record);
        let mut later = log.iter().enumerate().skip(index + 1);
        if later.any(|other| of_key(&other)) {
            return drawn(*index);
        }
        // A tombstone goes only after all that it deletes.
        let mut earlier = log.iter().enumerate().take(*index);
        let is_tombstone = matches!(
            record,
            Record::Offset { value: None, .. } | Record::Group { value: None, .. }
        );
        !is_tombstone || drawn(*index) || earlier.any(|other| of_key(&other) && drawn(other.0))
    });
    kept.map(|(_, record)| record.clone()).collect()
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
        for record in compacted(&play.world.log, &keep) {
            hard.apply(&record);
        }
        prop_assert_eq!(&hard, play.world.core.hard());
        play.settle();
    }
}
