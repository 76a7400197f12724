//! Leaving and arriving: what moves the bytes of a connection through the simulated network.

use super::connection::{ConnectionRef, Handshake, SideState};
use super::pipe::Payload;
use crate::events::Event;
use crate::state::State;
use crate::trace::EventKind;

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
        let Some(connection) = self.network.get(reference) else { return };
        let (from, to) = connection.hosts(direction);
        let pipe = &mut connection.pipes[at(direction)];
        pipe.dirty = false;
        while pipe.staged() > 0 {
            let count = self.wires.fragment(pipe.staged());
            let arrival = self.wires.arrival(self.now, from, to, count, &mut pipe.busy_until);
            pipe.launch_bytes(count, arrival);
        }
        if pipe.finishing && !pipe.fin_sent {
            pipe.fin_sent = true;
            let arrival = self.wires.arrival(self.now, from, to, 0, &mut pipe.busy_until);
            pipe.launch(Payload::Fin, arrival);
        }
        self.schedule_front(reference, direction);
    }

    /// Sends a step of the handshake.
    pub(crate) fn send(&mut self, reference: ConnectionRef, direction: u8, payload: Payload) {
        let Some(connection) = self.network.get(reference) else { return };
        let (from, to) = connection.hosts(direction);
        let pipe = &mut connection.pipes[at(direction)];
        let arrival = self.wires.arrival(self.now, from, to, 0, &mut pipe.busy_until);
        pipe.launch(payload, arrival);
        self.schedule_front(reference, direction);
    }

    fn schedule_front(&mut self, reference: ConnectionRef, direction: u8) {
        let Some(connection) = self.network.get(reference) else { return };
        let pipe = &mut connection.pipes[at(direction)];
        if pipe.scheduled || pipe.blocked {
            return;
        }
        if let Some(front) = pipe.front() {
            pipe.scheduled = true;
            let ConnectionRef { slot, generation } = reference;
            self.events.schedule(front.at, Event::Deliver { connection: slot, generation, direction });
        }
    }

    /// The event of a pipe's front came up: all that is due arrives. Tells whether anything happened.
    pub(crate) fn deliver(&mut self, reference: ConnectionRef, direction: u8) -> bool {
        let Some(connection) = self.network.get(reference) else { return false };
        connection.pipes[at(direction)].scheduled = false;
        let mut happened = false;
        while self.front_is_due(reference, direction) {
            if self.path_blocked(reference, direction) {
                self.block(reference, direction);
                return true;
            }
            self.arrive(reference, direction);
            happened = true;
        }
        self.schedule_front(reference, direction);
        happened
    }

    fn front_is_due(&mut self, reference: ConnectionRef, direction: u8) -> bool {
        let now = self.now;
        let Some(connection) = self.network.get(reference) else { return false };
        connection.pipes[at(direction)].front().is_some_and(|front| front.at <= now)
    }

    fn path_blocked(&mut self, reference: ConnectionRef, direction: u8) -> bool {
        let Some(connection) = self.network.get(reference) else { return false };
        let (from, to) = connection.hosts(direction);
        !self.nodes[to].powered || self.wires.blocked(from, to)
    }

    fn block(&mut self, reference: ConnectionRef, direction: u8) {
        let connection = self.network.get(reference).expect("just delivered on it");
        connection.pipes[at(direction)].blocked = true;
        self.network.blocked.insert((reference.slot, direction));
        self.trace.event(EventKind::Deliver, self.now, u64::from(reference.slot), u64::MAX - u64::from(direction));
    }

    /// The network or a machine changed: what waits and may pass now is retransmitted.
    pub(crate) fn unblock(&mut self) {
        let waiting: Vec<(u32, u8)> = self.network.blocked.iter().copied().collect();
        for (slot, direction) in waiting {
            let generation = self.network.connections[crate::index(slot)].generation;
            let reference = ConnectionRef { slot, generation };
            if !self.path_blocked(reference, direction) {
                self.network.blocked.remove(&(slot, direction));
                self.retransmit(reference, direction);
            }
        }
    }

    fn retransmit(&mut self, reference: ConnectionRef, direction: u8) {
        let delay = self.wires.retransmission_delay();
        let now = self.now;
        let Some(connection) = self.network.get(reference) else { return };
        let pipe = &mut connection.pipes[at(direction)];
        pipe.blocked = false;
        pipe.delay_until(now + delay);
        self.schedule_front(reference, direction);
    }

    fn arrive(&mut self, reference: ConnectionRef, direction: u8) {
        let connection = self.network.get(reference).expect("the caller found it");
        let payload = connection.pipes[at(direction)].arrive();
        self.trace_arrival(reference, direction, payload);
        match payload {
            Payload::Bytes(_) | Payload::Fin => self.arrive_data(reference, direction, payload),
            Payload::Syn { port } => self.arrive_syn(reference, port),
            Payload::Accepted => self.arrive_answer(reference, Handshake::Established),
            Payload::Refused => self.arrive_answer(reference, Handshake::Refused),
        }
    }

    fn trace_arrival(&mut self, reference: ConnectionRef, direction: u8, payload: Payload) {
        let word = match payload {
            Payload::Bytes(count) => u64::try_from(count).expect("64 bits"),
            Payload::Fin => 1 << 40,
            Payload::Syn { port } => (2 << 40) | u64::from(port),
            Payload::Accepted => 3 << 40,
            Payload::Refused => 4 << 40,
        };
        let id = u64::from(reference.slot) << 33 | u64::from(reference.generation) << 1 | u64::from(direction);
        self.trace.event(EventKind::Deliver, self.now, id, word);
        if self.trace.wants_lines() {
            let connection = self.network.get(reference).expect("the caller found it");
            let (from, to) = connection.hosts(direction);
            let what = format!("{payload:?} from {} on connection {}", self.nodes[from].name, reference.slot);
            self.trace.line(self.now, &self.nodes[to].name, what);
        }
    }

    fn arrive_data(&mut self, reference: ConnectionRef, direction: u8, payload: Payload) {
        let receiver = 1 - direction;
        let connection = self.network.get(reference).expect("the caller found it");
        match connection.sides[at(receiver)].state {
            SideState::Open => {
                let reader = connection.pipes[at(direction)].reader.take();
                reader.into_iter().for_each(std::task::Waker::wake);
            }
            SideState::Absent => unreachable!("bytes before the handshake on {reference:?}"),
            SideState::Reset | SideState::Gone => {
                connection.pipes[at(direction)].discard_readable();
                if matches!(payload, Payload::Bytes(_)) {
                    self.send_reset(reference, direction);
                }
            }
        }
    }

    fn arrive_syn(&mut self, reference: ConnectionRef, port: u16) {
        let connection = self.network.get(reference).expect("the caller found it");
        let (_, to) = connection.hosts(0);
        let host = u32::try_from(to).expect("host ids are 32 bits");
        let Some(listener) = self.network.ports.get_mut(&(host, port)) else {
            return self.send(reference, 1, Payload::Refused);
        };
        listener.backlog.push_back(reference);
        let waker = listener.waker.take();
        let incarnation = listener.incarnation;
        let connection = self.network.get(reference).expect("the caller found it");
        let side = &mut connection.sides[1];
        (side.incarnation, side.state, side.held) = (incarnation, SideState::Open, true);
        waker.into_iter().for_each(std::task::Waker::wake);
        self.send(reference, 1, Payload::Accepted);
    }

    fn arrive_answer(&mut self, reference: ConnectionRef, answer: Handshake) {
        let connection = self.network.get(reference).expect("the caller found it");
        connection.handshake = answer;
        connection.connector.take().into_iter().for_each(std::task::Waker::wake);
    }

    /// A reset leaves for `side`; lost if the way is blocked when it would arrive.
    pub(crate) fn send_reset(&mut self, reference: ConnectionRef, side: u8) {
        let Some(connection) = self.network.get(reference) else { return };
        let (from, to) = connection.hosts(1 - side);
        let arrival = self.wires.arrival(self.now, from, to, 0, &mut 0);
        let ConnectionRef { slot, generation } = reference;
        self.events.schedule(arrival, Event::Reset { connection: slot, generation, side });
    }

    /// A reset arrives at `side`. Tells whether anything happened.
    pub(crate) fn arrive_reset(&mut self, reference: ConnectionRef, side: u8) -> bool {
        if self.network.get(reference).is_none() || self.path_blocked(reference, 1 - side) {
            return false;
        }
        let connection = self.network.get(reference).expect("found above");
        if connection.sides[at(side)].state != SideState::Open {
            return false;
        }
        connection.sides[at(side)].state = SideState::Reset;
        let outgoing = &mut connection.pipes[at(side)];
        outgoing.drop_flight();
        (outgoing.finishing, outgoing.fin_sent) = (true, true);
        connection.pipes[1 - at(side)].drop_flight();
        connection.wake_side(at(side));
        self.network.blocked.remove(&(reference.slot, side));
        self.network.blocked.remove(&(reference.slot, 1 - side));
        self.trace.event(EventKind::Reset, self.now, u64::from(reference.slot), u64::from(side));
        true
    }

    /// The process of `side` closed it. Unread bytes turn the end of the stream into a reset.
    pub(crate) fn close(&mut self, reference: ConnectionRef, side: u8) {
        let Some(connection) = self.network.get(reference) else { return };
        connection.sides[at(side)].held = false;
        if connection.sides[at(side)].state == SideState::Open {
            connection.sides[at(side)].state = SideState::Gone;
            let incoming = &mut connection.pipes[1 - at(side)];
            let unread = incoming.readable() > 0;
            incoming.discard_readable();
            connection.pipes[at(side)].finishing = true;
            self.transmit(reference, side);
            if unread {
                self.send_reset(reference, 1 - side);
            }
        }
        self.network.release_if_unheld(reference);
    }
}
