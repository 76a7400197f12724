//! Leaving: staged bytes become segments with a time of arrival.

use sim_faults::{ConnectVerdict, Verdict};

use super::connection::ConnectionRef;
use super::pipe::Payload;
use crate::events::Event;
use crate::state::State;

/// A side or direction as an index.
pub(crate) fn at(side: u8) -> usize {
    usize::from(side)
}

impl State {
    /// Sends what the finished poll wrote without a flush.
    pub(crate) fn transmit_dirty(&mut self) {
        while let Some((connection, direction)) = self.network.dirty.pop() {
            self.transmit(connection, direction);
        }
    }

    /// Staged bytes, and the end of the stream after them, leave the sender.
    pub(crate) fn transmit(&mut self, reference: ConnectionRef, direction: u8) {
        let Some(connection) = self.network.get(reference) else {
            return;
        };
        let pipe = &mut connection.pipes[at(direction)];
        pipe.dirty = false;
        if pipe.staged() > 0 {
            if pipe.tap.is_some() {
                self.launch_frames(reference, direction);
            } else {
                self.launch_staged(reference, direction, self.now);
            }
        }
        self.launch_fin(reference, direction);
        self.schedule_front(reference, direction);
    }

    /// All staged bytes leave at `leaves`, in as many segments as the network makes of them.
    fn launch_staged(&mut self, reference: ConnectionRef, direction: u8, leaves: u64) {
        let Some(connection) = self.network.get(reference) else {
            return;
        };
        let link = connection.link(direction);
        let pipe = &mut connection.pipes[at(direction)];
        while pipe.staged() > 0 {
            let count = self.wires.piece(link, pipe.staged());
            if pipe.blocked {
                pipe.launch_bytes(count, leaves);
                continue;
            }
            match self.wires.decide(leaves, link, count) {
                Verdict::DeliverAt(arrives) => pipe.launch_bytes(count, arrives),
                Verdict::HoldUntilReleased => {
                    // What is in flight already arrives, or meets the cut when it would.
                    pipe.launch_bytes(count, leaves);
                }
                Verdict::Reset => return self.reset_both(reference),
            }
        }
    }

    /// As [`State::launch_staged`], each frame by itself and only whole ones.
    fn launch_frames(&mut self, reference: ConnectionRef, direction: u8) {
        let Some(connection) = self.network.get(reference) else {
            return;
        };
        let pipe = &mut connection.pipes[at(direction)];
        let bytes = pipe.unstage();
        let mut tap = pipe.tap.take().expect("the caller saw it");
        for (frame, leaves) in self.wires.tapped(self.now, &mut tap, &bytes) {
            let Some(leaves) = leaves else {
                return self.reset_both(reference);
            };
            let Some(connection) = self.network.get(reference) else {
                return;
            };
            connection.pipes[at(direction)].stage(&frame);
            self.launch_staged(reference, direction, leaves);
        }
        if let Some(connection) = self.network.get(reference) {
            connection.pipes[at(direction)].tap = Some(tap);
        }
    }

    fn launch_fin(&mut self, reference: ConnectionRef, direction: u8) {
        let Some(connection) = self.network.get(reference) else {
            return;
        };
        let pipe = &mut connection.pipes[at(direction)];
        if !pipe.finishing || pipe.fin_sent {
            return;
        }
        pipe.fin_sent = true;
        if let Some(rest) = pipe.tap.as_mut().map(|tap| tap.finish()) {
            pipe.stage(&rest);
            self.launch_staged(reference, direction, self.now);
        }
        self.send(reference, direction, Payload::Fin);
    }

    /// Sends something without bytes.
    pub(crate) fn send(&mut self, reference: ConnectionRef, direction: u8, payload: Payload) {
        let Some(connection) = self.network.get(reference) else {
            return;
        };
        let link = connection.link(direction);
        let pipe = &mut connection.pipes[at(direction)];
        let verdict = if pipe.blocked {
            Verdict::HoldUntilReleased
        } else {
            self.wires.decide(self.now, link, 0)
        };
        match verdict {
            Verdict::DeliverAt(arrives) => pipe.launch(payload, arrives),
            Verdict::HoldUntilReleased => pipe.launch(payload, self.now),
            Verdict::Reset => return self.reset_both(reference),
        }
        self.schedule_front(reference, direction);
    }

    /// Asks the listener.
    pub(crate) fn send_syn(&mut self, reference: ConnectionRef) {
        let Some(connection) = self.network.get(reference) else {
            return;
        };
        let link = connection.link(0);
        let port = connection.sides[1].port;
        let verdict = self.wires.connect(self.now, link);
        let connection = self.network.get(reference).expect("found above");
        match verdict {
            ConnectVerdict::AnsweredAt(arrives) => {
                connection.pipes[0].launch(Payload::Syn { port }, arrives)
            }
            ConnectVerdict::HoldUntilReleased => {
                connection.pipes[0].launch(Payload::Syn { port }, self.now);
                self.block(reference, 0);
            }
            ConnectVerdict::RefusedAt(arrives) => {
                connection.pipes[1].launch(Payload::Refused, arrives);
                self.schedule_front(reference, 1);
            }
        }
        self.schedule_front(reference, 0);
    }

    pub(crate) fn schedule_front(&mut self, reference: ConnectionRef, direction: u8) {
        let Some(connection) = self.network.get(reference) else {
            return;
        };
        let pipe = &mut connection.pipes[at(direction)];
        if pipe.scheduled || pipe.blocked {
            return;
        }
        if let Some(front) = pipe.front() {
            pipe.scheduled = true;
            let ConnectionRef { slot, generation } = reference;
            self.events.schedule(
                front.at,
                Event::Deliver {
                    connection: slot,
                    generation,
                    direction,
                },
            );
        }
    }

    /// The front of a direction's flight waits until the network lets it pass.
    pub(crate) fn block(&mut self, reference: ConnectionRef, direction: u8) {
        let now = self.now;
        let connection = self.network.get(reference).expect("the caller found it");
        let silenced = connection.silenced;
        let pipe = &mut connection.pipes[at(direction)];
        pipe.blocked = true;
        pipe.blocked_since = now;
        if !silenced {
            self.network.blocked.insert((reference.slot, direction));
        }
    }

    /// The network or a machine changed: what waits and may pass now is sent again.
    pub(crate) fn unblock(&mut self) {
        let waiting: Vec<(u32, u8)> = self.network.blocked.iter().copied().collect();
        for (slot, direction) in waiting {
            let generation = self.network.connections[crate::index(slot)].generation;
            self.send_again(ConnectionRef { slot, generation }, direction);
        }
    }

    fn send_again(&mut self, reference: ConnectionRef, direction: u8) {
        let now = self.now;
        let Some(connection) = self.network.get(reference) else {
            return;
        };
        let link = connection.link(direction);
        if !self.nodes[crate::index(link.1)].powered {
            return;
        }
        let pipe = &mut connection.pipes[at(direction)];
        let since = pipe.blocked_since;
        let is_syn = matches!(
            pipe.front().map(|front| front.payload),
            Some(Payload::Syn { .. })
        );
        let arrives = if is_syn {
            match self.wires.connect_again(now, since, link) {
                ConnectVerdict::AnsweredAt(arrives) => arrives,
                ConnectVerdict::RefusedAt(arrives) => {
                    self.release(reference, direction, u64::MAX);
                    let connection = self.network.get(reference).expect("found above");
                    connection.pipes[1].launch(Payload::Refused, arrives);
                    return self.schedule_front(reference, 1);
                }
                ConnectVerdict::HoldUntilReleased => return,
            }
        } else {
            match self.wires.decide_again(now, since, link, pipe.in_flight()) {
                Verdict::DeliverAt(arrives) => arrives,
                Verdict::HoldUntilReleased => return,
                Verdict::Reset => return self.reset_both(reference),
            }
        };
        self.release(reference, direction, arrives);
        self.schedule_front(reference, direction);
    }

    fn release(&mut self, reference: ConnectionRef, direction: u8, arrives: u64) {
        self.network.blocked.remove(&(reference.slot, direction));
        let connection = self.network.get(reference).expect("the caller found it");
        let pipe = &mut connection.pipes[at(direction)];
        pipe.blocked = false;
        pipe.delay_until(arrives);
    }

    /// A reset leaves for `side`; lost if the way is cut when it leaves or would arrive.
    pub(crate) fn send_reset(&mut self, reference: ConnectionRef, side: u8) {
        let Some(connection) = self.network.get(reference) else {
            return;
        };
        if connection.silenced {
            return;
        }
        let link = connection.link(1 - side);
        if let Verdict::DeliverAt(arrives) = self.wires.decide(self.now, link, 0) {
            let ConnectionRef { slot, generation } = reference;
            self.events.schedule(
                arrives,
                Event::Reset {
                    connection: slot,
                    generation,
                    side,
                },
            );
        }
    }
}
