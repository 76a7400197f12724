//! LIVE-4: without more faults every client that lives gets into one generation.

use broker_core::group::Timer;

use super::{Phase, State, is_stable};
use crate::group::broker::GROUP;

const ROUNDS: usize = 40;

impl State {
    pub(super) fn comes_to_rest(&self) -> bool {
        let mut state = self.clone();
        state.broker.old = None;
        state.network.clear();
        state.connections_break();
        state.gathers(true) && state.rebalances_at_once()
    }

    /// Whether they come together; if not `patient`, without a rebalance that runs into its timeout.
    fn gathers(&mut self, patient: bool) -> bool {
        for _ in 0..ROUNDS {
            let before = self.clone();
            self.everybody_moves();
            if *self != before {
                continue;
            }
            let lost = self.session_of_nobody();
            if lost.is_none() && self.is_at_rest() {
                return true;
            }
            let timer = lost.or_else(|| self.wait_that_ends(patient));
            let Some(timer) = timer else {
                return false;
            };
            self.timer(&timer);
        }
        false
    }

    fn everybody_moves(&mut self) {
        for index in 0..self.clients.len() {
            if self.clients[index].generation().is_some() {
                self.heartbeat(index);
            }
            if self.clients[index].needs_to_ask() {
                self.asks(index);
                for message in self.network.clone() {
                    self.arrives(&message);
                }
            }
        }
    }

    /// Those whose clients are gone are the only ones that heartbeat no more.
    fn session_of_nobody(&self) -> Option<Timer> {
        let is_lost = |timer: &&Timer| match timer {
            Timer::Session(_, member) => self
                .clients
                .iter()
                .all(|client| client.member_id != *member || client.phase == Phase::Gone),
            _ => false,
        };
        self.broker.armed.iter().find(is_lost).cloned()
    }

    fn wait_that_ends(&self, patient: bool) -> Option<Timer> {
        let ends = |timer: &&Timer| match timer {
            Timer::Join(_) => patient || self.is_new_group(),
            Timer::Sync(_) => patient,
            _ => false,
        };
        self.broker.armed.iter().find(ends).cloned()
    }

    fn is_at_rest(&self) -> bool {
        let mut living = self
            .clients
            .iter()
            .filter(|client| client.phase != Phase::Gone && !client.is_stuck)
            .peekable();
        if living.peek().is_none() {
            return true;
        }
        let Some(group) = self.broker.core.group(GROUP) else {
            return false;
        };
        is_stable(group)
            && living.all(|client| {
                matches!(client.phase, Phase::Stable { generation, .. } if generation == group.generation)
                    && group.members.contains_key(&client.member_id)
            })
    }

    /// When all that are in the group answer, nobody has to wait for a timeout (KAFKA-9752).
    fn rebalances_at_once(&mut self) -> bool {
        let Some(group) = self.broker.core.group(GROUP) else {
            return true;
        };
        let leads = |client: &super::Client| {
            client.phase != Phase::Gone && group.is_leader(&client.member_id)
        };
        let all_answer = !self.clients.iter().any(|client| client.is_stuck);
        let Some(leader) = self.clients.iter().position(leads).filter(|_| all_answer) else {
            return true;
        };
        self.clients[leader].phase = Phase::Joining;
        self.gathers(false)
    }
}
