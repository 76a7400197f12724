//! Random members of a consumer group, answers that are lost, and fail-overs: no partition is two members' at any
//! moment (GRP-4), any subset that compaction may leave loads to the same (GRP-3), and once faults stop everybody
//! has what it should (LIVE-4).

use std::collections::BTreeSet;

use proptest::prelude::*;

use super::consumer_group::{Partitions, contains, each};
use super::random::compacted;
use super::*;

#[derive(Clone, Debug)]
enum Act {
    Beat {
        member: u8,
        answered: bool,
        full: bool,
    },
    Revoke {
        member: u8,
    },
    Subscribe {
        member: u8,
        topics: u8,
    },
    Restart {
        member: u8,
    },
    Leave {
        member: u8,
        for_a_while: bool,
    },
    Commit {
        member: u8,
        stale: bool,
    },
    Topic {
        topic: u8,
        partitions: i32,
    },
    Wait {
        ms: u64,
    },
    FailOver,
}

#[allow(
    clippy::disallowed_types,
    reason = "prop_oneof shares its branches; tests are no core"
)]
fn act() -> impl Strategy<Value = Act> {
    let member = || 0..4u8;
    prop_oneof![
        12 => (member(), prop::bool::weighted(0.8), prop::bool::weighted(0.2))
            .prop_map(|(member, answered, full)| Act::Beat { member, answered, full }),
        4 => member().prop_map(|member| Act::Revoke { member }),
        2 => (member(), 1..4u8).prop_map(|(member, topics)| Act::Subscribe { member, topics }),
        1 => member().prop_map(|member| Act::Restart { member }),
        1 => (member(), any::<bool>())
            .prop_map(|(member, for_a_while)| Act::Leave { member, for_a_while }),
        2 => (member(), any::<bool>()).prop_map(|(member, stale)| Act::Commit { member, stale }),
        2 => (0..2u8, 0..5i32).prop_map(|(topic, partitions)| Act::Topic { topic, partitions }),
        2 => prop_oneof![Just(1_000u64), Just(20_000), Just(50_000)].prop_map(|ms| Act::Wait { ms }),
        1 => Just(Act::FailOver),
    ]
}

/// A member as it sees itself. 2 and 3 are static.
#[derive(Clone, Debug, Default)]
struct Client {
    incarnation: u32,
    epoch: i32,
    topics: u8,
    /// What it reads from.
    has: Partitions,
    /// What it was told to have.
    told: Partitions,
}

struct Play {
    world: World,
    clients: BTreeMap<u8, Client>,
    incarnations: u32,
}

impl Play {
    fn new() -> Play {
        let mut play = Play {
            world: World::new(Config::default()),
            clients: BTreeMap::new(),
            incarnations: 0,
        };
        play.set_topic(0, 4);
        play.set_topic(1, 3);
        play
    }

    fn set_topic(&mut self, topic: u8, partitions: i32) {
        let FewTopics(topics, version) = &mut self.world.topics;
        let name = format!("t{topic}");
        match partitions {
            0 => drop(topics.remove(&name)),
            _ => {
                let id = Uuid([topic + 1; 16]);
                topics.insert(name, Topic { id, partitions });
            }
        }
        *version += 1;
    }

    fn client(&mut self, name: u8) -> &mut Client {
        let incarnations = &mut self.incarnations;
        self.clients.entry(name).or_insert_with(|| {
            *incarnations += 1;
            Client {
                incarnation: *incarnations,
                topics: 3,
                ..Client::default()
            }
        })
    }

    fn id(name: u8, client: &Client) -> String {
        format!("m{name}-{}", client.incarnation)
    }

    fn request(name: u8, client: &Client, full: bool) -> ConsumerHeartbeatRequest {
        let all = ["t0", "t1"].into_iter().enumerate();
        let wanted = all.filter(|(index, _)| client.topics & (1 << index) != 0);
        let full = full || client.epoch == 0;
        ConsumerHeartbeatRequest {
            group: "g".into(),
            member_id: Play::id(name, client),
            member_epoch: client.epoch,
            instance_id: (name >= 2).then(|| format!("i{name}")),
            rebalance_timeout_ms: if full { 60_000 } else { -1 },
            topics: full.then(|| wanted.map(|(_, topic)| topic.to_string()).collect()),
            owned: Some(client.has.clone()),
            client_id: "c".into(),
            client_host: "/h".into(),
            ..ConsumerHeartbeatRequest::default()
        }
    }

    fn beat(&mut self, name: u8, answered: bool, full: bool) {
        let client = self.client(name).clone();
        let request = Play::request(name, &client, full);
        let (_, replies) = self.world.request(Request::ConsumerHeartbeat(request));
        let Some((_, Reply::ConsumerHeartbeat(heard))) = replies.into_iter().next() else {
            panic!("a heartbeat is answered at once");
        };
        if !answered {
            return;
        }
        match heard {
            Ok(heard) => self.hear(name, heard),
            Err(ErrorCode::UnreleasedInstanceId) => {}
            Err(_) => self.rejoin(name),
        }
    }

    fn hear(&mut self, name: u8, heard: ConsumerHeartbeatReply) {
        let client = self.client(name);
        client.epoch = heard.member_epoch;
        if let Some(told) = heard.assignment {
            for (topic, partition) in each(&told) {
                client.has.entry(topic).or_default().insert(partition);
            }
            client.told = told;
        }
        self.check_ownership();
    }

    /// Fenced: it lets go of everything.
    fn rejoin(&mut self, name: u8) {
        let client = self.client(name);
        client.epoch = 0;
        client.has.clear();
        client.told.clear();
    }

    fn revoke(&mut self, name: u8) {
        let client = self.client(name);
        let told = client.told.clone();
        for (topic, of_topic) in &mut client.has {
            of_topic.retain(|partition| contains(&told, *topic, *partition));
        }
        client.has.retain(|_, of_topic| !of_topic.is_empty());
    }

    /// GRP-4, as members see it: those that the group has not given up read from different partitions.
    fn check_ownership(&self) {
        let group = self.world.core.hard().consumers("g");
        let mut owned = BTreeSet::new();
        for (name, client) in &self.clients {
            let current = group.current.get(&Play::id(*name, client));
            let is_current = current
                .is_some_and(|it| it.epoch == client.epoch || it.previous_epoch == client.epoch);
            if is_current && client.epoch > 0 {
                for partition in each(&client.has) {
                    assert!(
                        owned.insert(partition),
                        "GRP-4: {partition:?} is {name}'s, too"
                    );
                }
            }
        }
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Beat {
                member,
                answered,
                full,
            } => self.beat(member, answered, full),
            Act::Revoke { member } => self.revoke(member),
            Act::Subscribe { member, topics } => {
                self.client(member).topics = topics;
                self.beat(member, true, true);
            }
            Act::Restart { member } => drop(self.clients.remove(&member)),
            Act::Leave {
                member,
                for_a_while,
            } => self.leave(member, for_a_while),
            Act::Commit { member, stale } => self.commit(member, stale),
            Act::Topic { topic, partitions } => self.set_topic(topic, partitions),
            Act::Wait { ms } => drop(self.world.wait(ms)),
            Act::FailOver => {
                let before = self.world.core.hard().clone();
                self.world.load();
                assert_eq!(&before, self.world.core.hard());
            }
        }
    }

    fn leave(&mut self, name: u8, for_a_while: bool) {
        let client = self.client(name).clone();
        let is_static = name >= 2;
        let mut request = Play::request(name, &client, false);
        request.member_epoch = if for_a_while && is_static { -2 } else { -1 };
        self.world.request(Request::ConsumerHeartbeat(request));
        self.clients.remove(&name);
    }

    /// GRP-2: only in the current epoch.
    fn commit(&mut self, name: u8, stale: bool) {
        let client = self.client(name).clone();
        let epoch = client.epoch - i32::from(stale);
        let member = member(&Play::id(name, &client), epoch);
        let group = self.world.core.hard().consumers("g");
        let current = group.current.get(&member.member_id).map(|it| it.epoch);
        let is_empty = !group.has_members();
        let (_, replies) = self.world.request(Request::Commit(commit(member, "t0", 5)));
        let accepted = matches!(replies[0].1, Reply::Commit(Ok(_)));
        assert!(
            !accepted || current == Some(epoch) || (is_empty && epoch < 0),
            "a commit of epoch {epoch} in {current:?}"
        );
    }

    /// Members that behave, until everybody has what it should.
    fn settle(&mut self) {
        self.clients.clear();
        self.set_topic(0, 4);
        self.world.wait(50_000);
        for round in 0..30 {
            for name in 0..3 {
                self.revoke(name);
                self.beat(name, true, false);
            }
            self.world.wait(1_000);
            let group = self.world.core.hard().consumers("g");
            let covered: BTreeSet<_> = group.current.values().flat_map(|it| it.owned()).collect();
            let all = self
                .world
                .topics
                .0
                .values()
                .map(|topic| topic.partitions)
                .sum();
            let settled = self
                .clients
                .values()
                .all(|client| client.has == client.told);
            if group.state() == "Stable" && group.current.len() == 3 && settled {
                let count = i32::try_from(covered.len()).expect("few");
                assert_eq!(count, all, "all partitions are owned");
                return;
            }
            assert!(round < 29, "LIVE-4: {} {:?}", group.state(), group.current);
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn consumer_groups_hold(acts in prop::collection::vec(act(), 1..100), keep in prop::collection::vec(any::<bool>(), 1..20)) {
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
