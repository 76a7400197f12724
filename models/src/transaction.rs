//! The transaction protocol: producers, the coordinator of `broker_core::transaction` and two partitions that keep
//! `broker_core::producer_state`, both cores unchanged.
//!
//! A state is the whole of it, with the messages on their way. They arrive in any order, late or never; requests to
//! end a transaction are sent again, markers are written twice, their reports get lost. The coordinator fails over
//! and keeps its log, a transaction runs into its timeout, a second instance of the producer takes over. Beside
//! the cores stands what really belongs together ([`state::Tag`]): which transaction a record was sent in.
//!
//! Three protocols. The classic one has T-01: what comes late of one transaction hangs, or belongs to the next
//! (`sometimes`). Verification (KIP-890 part 1) lets nothing hang any more. With an epoch for each transaction
//! (part 2) all holds, `always`.

mod actions;
mod client;
pub mod state;
pub mod variants;

use broker_probe::{current_mutant, set_mutant};
use stateright::{Model, Property};

pub use state::{Action, Budget, Protocol, State};

/// The exploration's bounds.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Bounds {
    pub protocol: Protocol,
    pub budget: Budget,
    /// Transactions of the first instance.
    pub transactions: u8,
    /// Most messages on their way.
    pub messages: usize,
    /// What must happen somewhere within the bounds.
    pub expected: &'static [&'static str],
}

#[derive(Debug)]
pub struct TransactionModel {
    pub bounds: Bounds,
    /// The known bug of the thread that made the model, for the checker's threads.
    mutant: Option<&'static str>,
}

impl TransactionModel {
    pub fn new(bounds: Bounds) -> TransactionModel {
        TransactionModel {
            bounds,
            mutant: current_mutant(),
        }
    }

    fn holds(&self, state: &State, invariant: &str) -> bool {
        state.violation != Some(invariant)
    }
}

impl Model for TransactionModel {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        set_mutant(None);
        vec![State::new(self.bounds)]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        if state.violation.is_none() {
            state.actions(actions);
        }
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        set_mutant(self.mutant);
        let mut next = last.clone();
        next.apply(&action);
        (next != *last).then_some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        let mut properties = vec![
            Property::always("TXN-2", |model: &TransactionModel, state: &State| {
                model.holds(state, "TXN-2")
            }),
            Property::always("TXN-3", |model: &TransactionModel, state: &State| {
                model.holds(state, "TXN-3")
            }),
            Property::always("TXN-4", |model: &TransactionModel, state: &State| {
                model.holds(state, "TXN-4")
            }),
            Property::always("CLI-5", |model: &TransactionModel, state: &State| {
                model.holds(state, "CLI-5")
            }),
            Property::always("LIVE-3", |model: &TransactionModel, state: &State| {
                set_mutant(model.mutant);
                match state.violation {
                    None => state.settles(),
                    Some(broken) => broken != "LIVE-3",
                }
            }),
        ];
        let expected = |property: &Property<Self>| self.bounds.expected.contains(&property.name);
        properties.extend(sometimes().into_iter().filter(expected));
        properties
    }

    fn within_boundary(&self, state: &State) -> bool {
        state.network.len() <= self.bounds.messages
    }

    fn format_action(&self, action: &Action) -> String {
        action.to_string()
    }
}

macro_rules! events {
    ($($name:ident $bit:literal $sentence:literal;)*) => {
        $(pub const $name: &str = $sentence;)*

        fn sometimes() -> Vec<Property<TransactionModel>> {
            vec![$(Property::sometimes($sentence, |_: &TransactionModel, state: &State| {
                state.events & (1 << $bit) != 0
            }),)*]
        }

        pub(crate) fn bit(event: &str) -> u32 {
            match event {
                $($sentence => 1 << $bit,)*
                other => panic!("no event '{other}'"),
            }
        }
    };
}

events! {
    COMMITTED 0 "a transaction commits";
    ABORTED 1 "a transaction aborts";
    HANGS 2 "T-01: a late record opens a transaction that nobody ends";
    JOINS_NEXT 3 "T-01: a late record belongs to the next transaction";
    ENDS_NEXT 4 "T-01: a late request ends the next transaction";
    LATE_REFUSED 5 "a late record is refused";
    END_RETRIED 6 "the end of a transaction is asked for again, and answered";
    FAILED_OVER 7 "a new coordinator finishes a transaction";
    TIMED_OUT 8 "a transaction is aborted after its timeout";
    FENCED 9 "an instance is fenced";
    MARKER_REPEATED 10 "a marker comes twice";
    OLD_MARKER 11 "a marker of an old coordinator is refused";
    STRANGER 12 "an epoch that nobody was given ends nothing";
}
