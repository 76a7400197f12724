//! A partition with three replicas and its controller: the cores of `broker_core::replica` and
//! `broker_core::metadata` together, unchanged.
//!
//! A state is the whole of it: replicas with their logs, the controller with the metadata that not every
//! broker has acted on yet, the messages on their way. An action is one thing that happens. Messages arrive in
//! any order, late or never, one of them twice; brokers act on metadata late and may skip states of it; a
//! broker that crashes comes back with its log or with less. Time is absent: sessions, lag windows and retries
//! run out at any moment.
//!
//! [`Budget`]s keep the states finite, and what makes no difference when it happens happens at once (see
//! [`State::at_once`](state::State)).

pub(crate) mod controller;
mod describe;
mod events;
pub mod state;
pub(crate) mod steps;
pub mod variants;

use std::sync::atomic::{AtomicU32, Ordering};

use broker_core::replica::cluster::Message;
use broker_probe::{current_mutant, set_mutant};
use stateright::{Model, Property};

pub use state::{Action, Budget, Setup, State};

/// The exploration's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub setup: Setup,
    pub budget: Budget,
    pub min_insync_replicas: i32,
    /// Most messages on their way.
    pub messages: usize,
    /// Most batches of metadata that a broker is behind.
    pub lag: usize,
    /// Most times that one process asks for another ISR.
    pub attempts: u64,
    /// Most records of a fetch response.
    pub chunk: usize,
    /// LIVE-1 is checked too: from every state, with no more faults, the partition recovers. That costs a
    /// run from each.
    pub heals: bool,
    /// What must happen somewhere within the bounds.
    pub expected: &'static [&'static str],
}

#[derive(Debug)]
pub struct ReplicaModel {
    pub bounds: Bounds,
    /// The known bug of the thread that made the model, for the checker's threads.
    mutant: Option<&'static str>,
    /// Events that have a witness already; to look for more costs time.
    witnessed: AtomicU32,
}

/// Invariants by id, as `broker_core` names them.
const INVARIANTS: [&str; 9] = [
    "REP-1", "REP-2", "REP-3", "REP-4", "REP-5", "META-1", "META-3", "LOG-1", "LIVE-2",
];
const LIVENESS: &str = "LIVE-1";

impl ReplicaModel {
    pub fn new(bounds: Bounds) -> ReplicaModel {
        ReplicaModel {
            bounds,
            mutant: current_mutant(),
            witnessed: AtomicU32::new(0),
        }
    }

    fn holds<const INVARIANT: usize>(&self, state: &State) -> bool {
        let violated = state.violation.as_ref().map(|it| it.invariant);
        violated != Some(INVARIANTS[INVARIANT])
    }

    fn is_live(&self, state: &State) -> bool {
        if let Some(violation) = &state.violation {
            return violation.invariant != LIVENESS;
        }
        set_mutant(self.mutant);
        !self.bounds.heals || state.recovers()
    }

    fn witnesses<const EVENT: usize>(&self, state: &State) -> bool {
        let bit = 1 << EVENT;
        state.events.contains(EVENT) && self.witnessed.fetch_or(bit, Ordering::Relaxed) & bit == 0
    }
}

impl Model for ReplicaModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        set_mutant(None);
        let Bounds {
            min_insync_replicas,
            setup,
            budget,
            ..
        } = self.bounds;
        vec![State::new(min_insync_replicas, setup, budget)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        state.actions(actions);
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        set_mutant(self.mutant);
        let mut next = last.clone();
        next.spend(&action);
        next.apply(&action, self.bounds.chunk);
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = always();
        properties.push(Property::always(LIVENESS, ReplicaModel::is_live));
        let expected = |property: &Property<Self>| self.bounds.expected.contains(&property.name);
        properties.extend(sometimes().into_iter().filter(expected));
        properties
    }

    fn within_boundary(&self, state: &State) -> bool {
        let end = state.controller.end();
        let mut running = state.cluster.nodes.iter().filter(|node| node.running);
        let asked = |message: &Message| match message {
            Message::AlterPartition { asked, .. } => asked.request.0,
            _ => 0,
        };
        let mut attempts = state.cluster.messages.iter().map(|message| asked(message));
        state.cluster.messages.len() <= self.bounds.messages
            && attempts.all(|attempt| attempt < self.bounds.attempts)
            && running.all(|node| end - node.seen <= self.bounds.lag)
    }

    fn format_action(&self, action: &Action) -> String {
        action.to_string()
    }
}

macro_rules! properties {
    ($make:ident, $name:expr, $condition:ident, $($number:literal)*) => {
        vec![$(Property::$make($name($number), |model: &ReplicaModel, state: &State| {
            model.$condition::<$number>(state)
        })),*]
    };
}

fn always() -> Vec<Property<ReplicaModel>> {
    properties!(always, |number: usize| INVARIANTS[number], holds, 0 1 2 3 4 5 6 7 8)
}

fn sometimes() -> Vec<Property<ReplicaModel>> {
    let all = properties!(sometimes, events::name, witnesses,
        0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15 16 17 18 19 20);
    assert_eq!(all.len(), events::COUNT);
    all
}
