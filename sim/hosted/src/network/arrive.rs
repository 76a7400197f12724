//! Arriving: what a host's kernel does with a segment.

use std::task::Waker;

use bytes::Bytes;
use sim_engine::EventKind;
use sim_engine::parts::passage;

use super::connection::{Handshake, Payload, Segment, SideState};
use super::transmit::at;
use crate::state::State;

impl State {
    /// A segment came out of the carrier, or the request to connect did.
    pub(super) fn arrive(&mut self, number: u64, direction: u8, payload: Payload) {
        if self.network.get(number).is_none() {
            return;
        }
        self.trace_arrival(number, direction, &payload);
        match payload {
            Payload::Bytes(_) | Payload::Fin => self.arrive_data(number, direction, payload),
            Payload::Syn => self.arrive_syn(number),
            Payload::Accepted => self.arrive_answer(number, Handshake::Established),
            Payload::Refused => self.arrive_answer(number, Handshake::Refused),
        }
    }

    fn trace_arrival(&mut self, number: u64, direction: u8, payload: &Payload) {
        let word = match payload {
            Payload::Bytes(bytes) => u64::try_from(bytes.len()).expect("64 bits"),
            Payload::Fin => 1 << 40,
            Payload::Syn => 2 << 40,
            Payload::Accepted => 3 << 40,
            Payload::Refused => 4 << 40,
        };
        let id = (number << 1) | u64::from(direction);
        self.trace.event(EventKind::Deliver, self.now, id, word);
        let connection = self.network.get(number).expect("the caller found it");
        let (from, to) = connection.link(direction);
        let from = self.nodes[crate::index(from)].name.clone();
        self.line(to, || {
            format!("{payload} from {from} on connection {number}")
        });
    }

    fn arrive_data(&mut self, number: u64, direction: u8, payload: Payload) {
        let connection = self.network.get(number).expect("the caller found it");
        let link = connection.link(direction);
        let pipe = &mut connection.pipes[at(direction)];
        let (length, is_bytes) = (payload.length(), matches!(payload, Payload::Bytes(_)));
        match (connection.sides[1 - at(direction)].state, payload) {
            (SideState::Open, Payload::Bytes(bytes)) => {
                if let Some(observer) = &self.wires.observer {
                    let moment = (self.now, self.trace.events());
                    observer.arrived(&passage(moment, number, direction, link), length);
                }
                pipe.add_readable(bytes);
            }
            (SideState::Open, _) => pipe.finished = true,
            (SideState::Absent, _) => unreachable!("bytes before the handshake of {number}"),
            (SideState::Reset | SideState::Gone, _) => {
                pipe.unread = pipe.unread.saturating_sub(length);
                pipe.discard_readable();
                if is_bytes && self.nodes[crate::index(link.1)].powered {
                    self.send_reset(number, direction);
                } else if is_bytes {
                    // The sender goes on trying: this stands for its retransmission, and is answered by a
                    // reset when power is back.
                    let (at, payload) = (self.now, Payload::Bytes(Bytes::new()));
                    pipe.flight.push_front(Segment { at, payload });
                    self.block(number, direction);
                }
                return;
            }
        }
        pipe.reader.take().into_iter().for_each(Waker::wake);
    }

    fn arrive_syn(&mut self, number: u64) {
        let connection = self.network.get(number).expect("the caller found it");
        let (host, port) = (connection.sides[1].host, connection.sides[1].port);
        let Some(listener) = self.network.ports.get_mut(&(host, port)) else {
            return self.send(number, 1, Payload::Refused);
        };
        listener.backlog.push_back(number);
        let waker = listener.waker.take();
        let incarnation = listener.incarnation;
        let connection = self.network.get(number).expect("the caller found it");
        let side = &mut connection.sides[1];
        (side.incarnation, side.state, side.held) = (incarnation, SideState::Open, true);
        waker.into_iter().for_each(Waker::wake);
        self.send(number, 1, Payload::Accepted);
    }

    fn arrive_answer(&mut self, number: u64, answer: Handshake) {
        let connection = self.network.get(number).expect("the caller found it");
        connection.handshake = answer;
        connection
            .connector
            .take()
            .into_iter()
            .for_each(Waker::wake);
    }

    /// Something on the way breaks the connection: both sides are told.
    pub(crate) fn reset_both(&mut self, number: u64) {
        self.reset(number, 0);
        self.reset(number, 1);
    }

    /// A reset arrives at `side`.
    pub(super) fn reset(&mut self, number: u64, side: u8) {
        let Some(connection) = self.network.get(number) else {
            return;
        };
        if connection.sides[at(side)].state != SideState::Open {
            return;
        }
        connection.sides[at(side)].state = SideState::Reset;
        connection.pipes[at(side)].finishing = true;
        connection.pipes[at(side)].drop_flight();
        connection.pipes[1 - at(side)].drop_flight();
        connection.wake_side(side);
        self.trace
            .event(EventKind::Reset, self.now, number, u64::from(side));
    }

    /// The process of `side` closed it. Unread bytes turn the end of the stream into a reset.
    pub(crate) fn close(&mut self, number: u64, side: u8) {
        let Some(connection) = self.network.get(number) else {
            return;
        };
        connection.sides[at(side)].held = false;
        if connection.sides[at(side)].state == SideState::Open {
            connection.sides[at(side)].state = SideState::Gone;
            let incoming = &mut connection.pipes[1 - at(side)];
            let unread = incoming.readable() > 0;
            incoming.discard_readable();
            self.finish(number, side);
            if unread {
                self.send_reset(number, 1 - side);
            }
        }
        self.release_if_unheld(number);
    }

    /// Forgets a connection once no side holds it; what still travels reaches nobody.
    pub(super) fn release_if_unheld(&mut self, number: u64) {
        let Some(connection) = self.network.get(number) else {
            return;
        };
        if connection.sides.iter().any(|side| side.held) {
            return;
        }
        if let Some(frames) = &self.wires.frames {
            frames.closed(number);
        }
        if let Some(observer) = &self.wires.observer {
            observer.closed(number);
        }
        let connection = self.network.connections.remove(&number);
        for pipe in connection.into_iter().flat_map(|ended| ended.pipes) {
            [pipe.courier, pipe.receiver]
                .into_iter()
                .flatten()
                .for_each(Waker::wake);
        }
    }
}
