//! LIVE-4: without more faults the clients that live have all partitions, in the group's last epoch.

use broker_core::group::Timer;

use super::{State, all};

const ROUNDS: usize = 40;

impl State {
    pub(super) fn comes_to_rest(&self) -> bool {
        let mut state = self.clone();
        state.broker.old = None;
        for client in &mut state.clients {
            if client.under_way.take().is_some() {
                client.said = None;
            }
        }
        for _ in 0..ROUNDS {
            let before = state.clone();
            state.everybody_moves();
            if state != before {
                continue;
            }
            match state.wait_that_ends() {
                Some(timer) => state.timer(&timer),
                None => return state.is_at_rest(),
            }
        }
        false
    }

    fn everybody_moves(&mut self) {
        for index in 0..self.clients.len() {
            if !self.clients[index].is_up {
                continue;
            }
            self.heartbeat(index);
            let client = &mut self.clients[index];
            if !client.is_stuck {
                client.owned.clone_from(&client.told);
            }
        }
    }

    /// Of members that nobody is, or that do not revoke.
    fn wait_that_ends(&self) -> Option<Timer> {
        let is_mine = |member: &String| {
            let mut up = self.clients.iter().filter(|client| client.is_up);
            up.any(|client| client.member_id() == *member)
        };
        let ends = |timer: &&Timer| match timer {
            Timer::Session(_, member) => !is_mine(member),
            Timer::Revocation(..) => true,
            _ => false,
        };
        self.broker.armed.iter().find(ends).cloned()
    }

    fn is_at_rest(&self) -> bool {
        let group = self.group();
        let mut up = self.clients.iter().filter(|client| client.is_up).peekable();
        if up.peek().is_none() {
            return true;
        }
        let mut missing = all();
        let all_in = up.all(|client| {
            for partition in &client.owned {
                missing.remove(partition);
            }
            client.epoch == group.group_epoch() && client.owned == client.told
        });
        let is_any_stuck = self.clients.iter().any(|client| client.is_stuck);
        is_any_stuck || (all_in && missing.is_empty() && group.state() == "Stable")
    }
}
