//! Random requests of two instances of a client, late and lost markers, clocks, timers and fail-overs: the
//! invariants hold, an instance that was replaced decides nothing any more, and once faults stop every
//! transaction ends (LIVE-3).

use proptest::prelude::*;

use super::*;

#[derive(Clone, Debug)]
enum Act {
    Init {
        instance: usize,
        goes_on: bool,
    },
    Add {
        instance: usize,
        topic: u8,
    },
    End {
        instance: usize,
        committed: bool,
        retry: bool,
    },
    Markers {
        which: usize,
        part: bool,
    },
    Wait {
        ms: u64,
    },
    Clock {
        ms: i64,
    },
    FailOver,
}

#[allow(
    clippy::disallowed_types,
    reason = "prop_oneof shares its branches; tests are no core"
)]
fn act() -> impl Strategy<Value = Act> {
    let instance = 0..2usize;
    prop_oneof![
        3 => (instance.clone(), any::<bool>())
            .prop_map(|(instance, goes_on)| Act::Init { instance, goes_on }),
        5 => (instance.clone(), 0..3u8).prop_map(|(instance, topic)| Act::Add { instance, topic }),
        5 => (instance, any::<bool>(), any::<bool>())
            .prop_map(|(instance, committed, retry)| Act::End { instance, committed, retry }),
        5 => (0..8usize, any::<bool>()).prop_map(|(which, part)| Act::Markers { which, part }),
        2 => prop_oneof![Just(1_000u64), Just(70_000), Just(400_000)]
            .prop_map(|ms| Act::Wait { ms }),
        1 => prop_oneof![Just(-40_000i64), Just(40_000)].prop_map(|ms| Act::Clock { ms }),
        1 => Just(Act::FailOver),
    ]
}

/// What an instance knows of itself.
#[derive(Clone, Copy, Debug, Default)]
struct Instance {
    producer: Option<Producer>,
    /// Who it was when it asked for the last end.
    before: Option<Producer>,
}

struct Play {
    world: World,
    version: i16,
    instances: [Instance; 2],
    /// Those under way and some that are not any more.
    sent: Vec<Markers>,
    /// Each identity, and who was given it first.
    given: BTreeMap<Producer, usize>,
}

impl Play {
    fn new(version: i16, start_epoch: i16) -> Play {
        let mut world = World::new(Config {
            id_expiration_ms: 300_000,
            remove_interval_ms: 60_000,
            ..Config::default()
        });
        world.init(None).expect("the first");
        let mut value = world.core.hard().get("x").expect("known").clone();
        value.producer_epoch = start_epoch;
        let transactional_id = "x".into();
        let value = Some(value);
        world.log.push(Record {
            transactional_id,
            value,
        });
        world.load();
        Play {
            world,
            version,
            instances: [Instance::default(); 2],
            sent: Vec::new(),
            given: BTreeMap::new(),
        }
    }

    /// TXN-2: two instances never have the same identity.
    fn give(&mut self, instance: usize, producer: Producer) {
        let owner = *self.given.entry(producer).or_insert(instance);
        assert_eq!(owner, instance, "TXN-2: {producer:?} was given to both");
        self.instances[instance].producer = Some(producer);
    }

    fn act(&mut self, act: &Act) {
        match *act {
            Act::Init { instance, goes_on } => {
                let expected = self.instances[instance].producer.filter(|_| goes_on);
                if let Ok(producer) = self.world.init(expected) {
                    self.give(instance, producer);
                }
            }
            Act::Add { instance, topic } => {
                if let Some(producer) = self.instances[instance].producer {
                    self.world.add(producer, &[&format!("t{topic}")]);
                }
            }
            Act::End {
                instance,
                committed,
                retry,
            } => self.end(instance, committed, retry),
            Act::Markers { which, part } => {
                let Some(markers) = self.sent.get(which % self.sent.len().max(1)) else {
                    return;
                };
                let mut written = all_of(markers);
                if part {
                    written.partitions.pop_last();
                }
                self.world.written(&written);
            }
            Act::Wait { ms } => self.world.wait(ms),
            Act::Clock { ms } => self.world.skew_ms += ms,
            Act::FailOver => {
                let before = self.world.core.hard().clone();
                self.sent.clear();
                self.world.load();
                assert_eq!(&before, self.world.core.hard());
            }
        }
        self.sent.extend(std::mem::take(&mut self.world.markers));
    }

    fn end(&mut self, instance: usize, committed: bool, retry: bool) {
        let it = self.instances[instance];
        let asks = if retry { it.before } else { it.producer };
        let Some(producer) = asks else {
            return;
        };
        let before = self.world.core.hard().get("x").cloned();
        let ended = self.world.end(producer, committed, self.version);
        let Ok(next) = ended else {
            return;
        };
        // CLI-5: what it is told is what became of it.
        let before = before.expect("known");
        let state = self.world.core.hard().get("x").expect("known").state;
        let is_commit = matches!(state, State::PrepareCommit | State::CompleteCommit);
        assert_eq!(is_commit, committed, "{before:?}");
        self.instances[instance].before = Some(producer);
        if self.version >= 2 {
            self.give(instance, next);
        }
    }

    /// Nothing fails any more.
    fn settle(&mut self) {
        self.world.skew_ms = self.world.skew_ms.max(0);
        for _ in 0..3 {
            self.world.wait(120_000);
            self.sent.extend(std::mem::take(&mut self.world.markers));
            for markers in std::mem::take(&mut self.sent) {
                self.world.written(&all_of(&markers));
            }
        }
        if let Some(current) = self.world.core.hard().get("x") {
            assert!(current.state.is_idle(), "LIVE-3: {current:?}");
        }
        let again = self.world.init(None);
        assert!(again.is_ok(), "LIVE-3: {again:?}");
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn random_histories_hold(
        acts in prop::collection::vec(act(), 1..60),
        version in prop_oneof_version(),
        start_epoch in prop_oneof_epoch(),
    ) {
        let mut play = Play::new(version, start_epoch);
        for act in &acts {
            play.act(act);
        }
        play.settle();
    }
}

fn prop_oneof_version() -> impl Strategy<Value = i16> {
    any::<bool>().prop_map(|raises| if raises { 2 } else { 0 })
}

/// Some have nearly used up their epochs.
fn prop_oneof_epoch() -> impl Strategy<Value = i16> {
    (any::<bool>(), 1..5i16).prop_map(|(is_old, few)| if is_old { MAX_EPOCH - few } else { 0 })
}
