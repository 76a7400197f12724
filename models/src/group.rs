//! Both group protocols and committed offsets: clients around `broker_core::group`, unchanged, and its log.
//!
//! A state is the coordinator, the log of its partition as compaction may leave it, the clients, and what is on its
//! way between them. Requests come late or never, answers get lost, timers end at any moment, clients crash, and
//! another broker takes over from the log, while the old coordinator still believes in itself.
//!
//! Map: [`broker`] the coordinator with its log, judged after each step (GRP-1, GRP-2, GRP-3) · [`classic`] the
//! classic protocol · [`consumer`] KIP-848 · [`offsets`] commits with and without transactions.

pub mod broker;
pub mod classic;
mod commits;
pub mod consumer;
pub mod offsets;

use std::fmt;
use std::hash::Hash;

use broker_probe::{current_mutant, set_mutant};
use stateright::{Model, Property};

/// What happened on the way to a state, and the first invariant that broke.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub struct Ledger {
    events: u32,
    pub violation: Option<&'static str>,
}

impl Ledger {
    pub fn event(&mut self, event: &'static str) {
        self.events |= bit(event);
    }

    pub fn violates(&mut self, invariant: &'static str) {
        self.violation.get_or_insert(invariant);
    }
}

/// One of the three state spaces.
pub trait Scene: Clone + fmt::Debug + Hash + PartialEq + Send + Sync + 'static {
    type Action: Clone + fmt::Debug + fmt::Display + PartialEq + Send + Sync + 'static;

    fn actions(&self, actions: &mut Vec<Self::Action>);
    fn apply(&mut self, action: &Self::Action);
    fn ledger(&self) -> &Ledger;
    /// LIVE-4: with no more faults, does everybody get what it is here for?
    fn settles(&self) -> bool;
}

#[derive(Debug)]
pub struct GroupModel<S> {
    start: S,
    /// What must happen somewhere within the bounds.
    expected: &'static [&'static str],
    /// The known bug of the thread that made the model, for the checker's threads.
    mutant: Option<&'static str>,
}

impl<S: Scene> GroupModel<S> {
    fn new(start: S, expected: &'static [&'static str]) -> GroupModel<S> {
        GroupModel {
            start,
            expected,
            mutant: current_mutant(),
        }
    }
}

fn holds<S: Scene>(state: &S, invariant: &str) -> bool {
    state.ledger().violation != Some(invariant)
}

impl<S: Scene> Model for GroupModel<S> {
    type State = S;
    type Action = S::Action;

    fn init_states(&self) -> Vec<S> {
        set_mutant(None);
        vec![self.start.clone()]
    }

    fn actions(&self, state: &S, actions: &mut Vec<S::Action>) {
        if state.ledger().violation.is_none() {
            state.actions(actions);
        }
    }

    fn next_state(&self, last: &S, action: S::Action) -> Option<S> {
        set_mutant(self.mutant);
        let mut next = last.clone();
        next.apply(&action);
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("GRP-1", |_: &Self, state: &S| holds(state, "GRP-1")),
            Property::always("GRP-2", |_: &Self, state: &S| holds(state, "GRP-2")),
            Property::always("GRP-3", |_: &Self, state: &S| holds(state, "GRP-3")),
            Property::always("GRP-4", |_: &Self, state: &S| holds(state, "GRP-4")),
            Property::always("TXN-4", |_: &Self, state: &S| holds(state, "TXN-4")),
            Property::always("LIVE-4", |model: &Self, state: &S| {
                set_mutant(model.mutant);
                state.ledger().violation.is_some() || state.settles()
            }),
        ];
        let expected = |property: &Property<Self>| self.expected.contains(&property.name);
        properties.extend(sometimes().into_iter().filter(expected));
        properties
    }

    fn format_action(&self, action: &S::Action) -> String {
        action.to_string()
    }
}

/// The models by name.
#[derive(Debug)]
pub enum ByName {
    Classic(GroupModel<classic::State>),
    Consumer(GroupModel<consumer::State>),
    Offsets(GroupModel<offsets::State>),
}

pub fn by_name(name: &str) -> Option<ByName> {
    if let Some((bounds, expected)) = classic::bounds(name) {
        let model = GroupModel::new(classic::State::new(bounds), expected);
        return Some(ByName::Classic(model));
    }
    if let Some((bounds, expected)) = consumer::bounds(name) {
        let model = GroupModel::new(consumer::State::new(bounds), expected);
        return Some(ByName::Consumer(model));
    }
    let (bounds, expected) = offsets::bounds(name)?;
    let model = GroupModel::new(offsets::State::new(bounds), expected);
    Some(ByName::Offsets(model))
}

macro_rules! events {
    ($($name:ident $bit:literal $sentence:literal;)*) => {
        $(pub const $name: &str = $sentence;)*

        fn sometimes<S: Scene>() -> Vec<Property<GroupModel<S>>> {
            vec![$(Property::sometimes($sentence, |_: &GroupModel<S>, state: &S| {
                state.ledger().events & (1 << $bit) != 0
            }),)*]
        }

        fn bit(event: &str) -> u32 {
            match event {
                $($sentence => 1 << $bit,)*
                other => panic!("no event '{other}'"),
            }
        }
    };
}

events! {
    SHARED 0 "two members share the partitions";
    FAILED_OVER 1 "a member goes on in its epoch with a new coordinator";
    OLD_COORDINATOR 2 "the log refuses what an old coordinator writes";
    LATE_COMMIT 3 "a commit of a past generation is refused";
    LATE_ZOMBIE 4 "a transaction's commit of a past generation is refused";
    NOT_SYNCED 5 "a member that does not fetch its assignment is thrown out";
    SESSION_ENDED 6 "a session ends";
    FENCED 7 "a member is fenced";
    WAITS_FOR_RELEASE 8 "a member waits for what another has not given up";
    NOT_REVOKED 9 "a member that does not revoke is thrown out";
    BACK 10 "a static member takes over from itself";
    UNSTABLE 11 "an offset waits for its transaction";
    SUPERSEDED 12 "a later commit counts more than a transaction's";
    ABORTED 13 "a transaction's offsets are dropped";
    EXPIRY_SPARES 14 "offsets outlive their retention while somebody is in the group";
}
