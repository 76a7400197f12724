//! Arriving: what a host's kernel does with a segment.

use std::task::Waker;

use super::connection::{ConnectionRef, Handshake, SideState};
use super::pipe::Payload;
use super::transmit::at;
use crate::state::State;
use crate::trace::EventKind;
use crate::wires::passage;

impl State {
    /// The event of a pipe's front came up: all that is due arrives. Tells whether anything happened.
    pub(crate) fn deliver(&mut self, reference: ConnectionRef, direction: u8) -> bool {
        let Some(connection) = self.network.get(reference) else {
            return false;
        };
        connection.pipes[at(direction)].scheduled = false;
        let mut happened = false;
        while self.front_is_due(reference, direction) {
            if self.path_blocked(reference, direction) {
                self.block(reference, direction);
                let blocked = u64::MAX - u64::from(direction);
                self.trace.event(
                    EventKind::Deliver,
                    self.now,
                    u64::from(reference.slot),
                    blocked,
                );
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
        let Some(connection) = self.network.get(reference) else {
            return false;
        };
        let pipe = &connection.pipes[at(direction)];
        !pipe.blocked && pipe.front().is_some_and(|front| front.at <= now)
    }

    fn path_blocked(&mut self, reference: ConnectionRef, direction: u8) -> bool {
        let Some(connection) = self.network.get(reference) else {
            return true;
        };
        let link = connection.link(direction);
        connection.silenced || !self.nodes[crate::index(link.1)].powered || self.wires.is_cut(link)
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
        let id = (u64::from(reference.slot) << 33)
            | (u64::from(reference.generation) << 1)
            | u64::from(direction);
        self.trace.event(EventKind::Deliver, self.now, id, word);
        if self.trace.wants_lines() {
            let connection = self.network.get(reference).expect("the caller found it");
            let (from, to) = connection.link(direction);
            let name = |host| &self.nodes[crate::index(host)].name;
            let what = format!(
                "{payload} from {} on connection {}",
                name(from),
                reference.slot
            );
            self.trace.line(self.now, name(to), what);
        }
    }

    fn arrive_data(&mut self, reference: ConnectionRef, direction: u8, payload: Payload) {
        let connection = self.network.get(reference).expect("the caller found it");
        let (link, number) = (connection.link(direction), connection.number);
        let pipe = &mut connection.pipes[at(direction)];
        match connection.sides[1 - at(direction)].state {
            SideState::Open => {
                if let (Some(observer), Payload::Bytes(count)) = (&self.wires.observer, payload) {
                    let moment = (self.now, self.trace.events());
                    observer.arrived(&passage(moment, number, direction, link), count);
                }
                pipe.reader.take().into_iter().for_each(Waker::wake);
            }
            SideState::Absent => unreachable!("bytes before the handshake on {reference:?}"),
            SideState::Reset | SideState::Gone => {
                pipe.discard_readable();
                if matches!(payload, Payload::Bytes(_)) {
                    self.send_reset(reference, direction);
                }
            }
        }
    }

    fn arrive_syn(&mut self, reference: ConnectionRef, port: u16) {
        let connection = self.network.get(reference).expect("the caller found it");
        let (_, host) = connection.link(0);
        let Some(listener) = self.network.ports.get_mut(&(host, port)) else {
            return self.send(reference, 1, Payload::Refused);
        };
        listener.backlog.push_back(reference);
        let waker = listener.waker.take();
        let incarnation = listener.incarnation;
        let connection = self.network.get(reference).expect("the caller found it");
        let side = &mut connection.sides[1];
        (side.incarnation, side.state, side.held) = (incarnation, SideState::Open, true);
        waker.into_iter().for_each(Waker::wake);
        self.send(reference, 1, Payload::Accepted);
    }

    fn arrive_answer(&mut self, reference: ConnectionRef, answer: Handshake) {
        let connection = self.network.get(reference).expect("the caller found it");
        connection.handshake = answer;
        connection
            .connector
            .take()
            .into_iter()
            .for_each(Waker::wake);
    }

    /// A reset arrives at `side`. Tells whether anything happened.
    pub(crate) fn arrive_reset(&mut self, reference: ConnectionRef, side: u8) -> bool {
        !self.path_blocked(reference, 1 - side) && self.reset(reference, side)
    }

    /// Something on the way breaks the connection: both sides are told.
    pub(crate) fn reset_both(&mut self, reference: ConnectionRef) {
        self.reset(reference, 0);
        self.reset(reference, 1);
    }

    fn reset(&mut self, reference: ConnectionRef, side: u8) -> bool {
        let Some(connection) = self.network.get(reference) else {
            return false;
        };
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
        self.trace.event(
            EventKind::Reset,
            self.now,
            u64::from(reference.slot),
            u64::from(side),
        );
        true
    }

    /// The process of `side` closed it. Unread bytes turn the end of the stream into a reset.
    pub(crate) fn close(&mut self, reference: ConnectionRef, side: u8) {
        let Some(connection) = self.network.get(reference) else {
            return;
        };
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
        self.release_if_unheld(reference);
    }

    /// Frees the slot once no side holds it; what still travels reaches nobody.
    pub(crate) fn release_if_unheld(&mut self, reference: ConnectionRef) {
        let Some(connection) = self.network.get(reference) else {
            return;
        };
        if connection.sides.iter().any(|side| side.held) {
            return;
        }
        if let Some(frames) = &self.wires.frames {
            frames.closed(connection.number);
        }
        if let Some(observer) = &self.wires.observer {
            observer.closed(connection.number);
        }
        self.network.recycle(reference);
    }
}
