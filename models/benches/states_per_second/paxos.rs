//! Single-decree Paxos, written from its public description as a yardstick: Stateright's example of it cannot
//! be depended on. Two proposers with a value each, three acceptors, messages in any order and never lost.

use std::collections::{BTreeMap, BTreeSet};

use stateright::{Model, Property};

type Ballot = (u8, u8);
type Value = u8;

#[derive(Clone, Debug)]
pub struct Paxos {
    acceptors: u8,
    /// Attempts of each proposer.
    rounds: [u8; 2],
}

impl Default for Paxos {
    fn default() -> Paxos {
        Paxos {
            acceptors: 3,
            rounds: [2, 1],
        }
    }
}

#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Message {
    Prepare {
        ballot: Ballot,
        to: u8,
    },
    Promise {
        ballot: Ballot,
        from: u8,
        accepted: Option<(Ballot, Value)>,
    },
    Accept {
        ballot: Ballot,
        value: Value,
        to: u8,
    },
    Accepted {
        ballot: Ballot,
        value: Value,
        from: u8,
    },
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Acceptor {
    promised: Option<Ballot>,
    accepted: Option<(Ballot, Value)>,
}

#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct Proposer {
    round: u8,
    promises: BTreeMap<u8, Option<(Ballot, Value)>>,
    proposed: bool,
    acceptances: BTreeSet<u8>,
    chosen: Option<Value>,
}

#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct State {
    acceptors: Vec<Acceptor>,
    proposers: Vec<Proposer>,
    network: BTreeSet<Message>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Action {
    /// The proposer starts its next round.
    Prepare(u8),
    Deliver(Message),
}

impl Paxos {
    fn is_majority(&self, count: usize) -> bool {
        count > usize::from(self.acceptors) / 2
    }

    fn prepare(&self, state: &mut State, proposer: u8) {
        let this = &mut state.proposers[usize::from(proposer)];
        *this = Proposer {
            round: this.round + 1,
            chosen: this.chosen,
            ..Proposer::default()
        };
        let ballot = (this.round, proposer);
        let prepares = (0..self.acceptors).map(|to| Message::Prepare { ballot, to });
        state.network.extend(prepares);
    }

    fn deliver(&self, state: &mut State, message: &Message) {
        state.network.remove(message);
        match *message {
            Message::Prepare { ballot, to } => {
                let acceptor = &mut state.acceptors[usize::from(to)];
                if acceptor.promised < Some(ballot) {
                    acceptor.promised = Some(ballot);
                    let accepted = acceptor.accepted;
                    state.network.insert(Message::Promise {
                        ballot,
                        from: to,
                        accepted,
                    });
                }
            }
            Message::Promise {
                ballot,
                from,
                accepted,
            } => self.promised(state, ballot, from, accepted),
            Message::Accept { ballot, value, to } => {
                let acceptor = &mut state.acceptors[usize::from(to)];
                if acceptor.promised <= Some(ballot) {
                    acceptor.promised = Some(ballot);
                    acceptor.accepted = Some((ballot, value));
                    state.network.insert(Message::Accepted {
                        ballot,
                        value,
                        from: to,
                    });
                }
            }
            Message::Accepted {
                ballot,
                value,
                from,
            } => {
                let proposer = &mut state.proposers[usize::from(ballot.1)];
                if proposer.round == ballot.0 {
                    proposer.acceptances.insert(from);
                    if self.is_majority(proposer.acceptances.len()) {
                        proposer.chosen = Some(value);
                    }
                }
            }
        }
    }

    fn promised(
        &self,
        state: &mut State,
        ballot: Ballot,
        from: u8,
        accepted: Option<(Ballot, Value)>,
    ) {
        let proposer = &mut state.proposers[usize::from(ballot.1)];
        if proposer.round != ballot.0 || proposer.proposed {
            return;
        }
        proposer.promises.insert(from, accepted);
        if !self.is_majority(proposer.promises.len()) {
            return;
        }
        proposer.proposed = true;
        let newest = proposer.promises.values().flatten().max();
        let value = newest.map_or(ballot.1, |(_, value)| *value);
        let accepts = (0..self.acceptors).map(|to| Message::Accept { ballot, value, to });
        state.network.extend(accepts);
    }
}

impl Model for Paxos {
    type State = State;
    type Action = Action;

    fn init_states(&self) -> Vec<State> {
        vec![State {
            acceptors: vec![Acceptor::default(); usize::from(self.acceptors)],
            proposers: vec![Proposer::default(); self.rounds.len()],
            network: BTreeSet::new(),
        }]
    }

    fn actions(&self, state: &State, actions: &mut Vec<Action>) {
        actions.extend(state.network.iter().cloned().map(Action::Deliver));
        let rounds = state.proposers.iter().zip(self.rounds);
        let idle = (0..)
            .zip(rounds)
            .filter(|(_, (this, rounds))| this.round < *rounds);
        actions.extend(idle.map(|(proposer, _)| Action::Prepare(proposer)));
    }

    fn next_state(&self, last: &State, action: Action) -> Option<State> {
        let mut next = last.clone();
        match action {
            Action::Prepare(proposer) => self.prepare(&mut next, proposer),
            Action::Deliver(message) => self.deliver(&mut next, &message),
        }
        Some(next)
    }

    fn properties(&self) -> Vec<Property<Self>> {
        vec![
            Property::always("one value at most is chosen", |_, state: &State| {
                let mut chosen = state.proposers.iter().filter_map(|it| it.chosen);
                let first = chosen.next();
                chosen.all(|other| Some(other) == first)
            }),
            Property::sometimes(
                "the second proposer's value is chosen",
                |_, state: &State| state.proposers.iter().any(|it| it.chosen == Some(1)),
            ),
        ]
    }
}
