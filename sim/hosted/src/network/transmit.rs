//! Leaving: what the rules make of each segment, and when it goes to the carrier.

use bytes::Bytes;
use sim_engine::Death;
use sim_faults::{ConnectVerdict, Verdict};

use super::connection::{Payload, SideState};
use crate::state::State;

/// A side or direction as an index.
pub(super) fn at(side: u8) -> usize {
    usize::from(side)
}

/// What a courier shall do now.
pub(super) enum Errand {
    /// Open the carrier's stream to this host.
    Open(String),
    /// Carry these.
    Carry(Vec<Payload>),
    /// Look again when woken, and at this true time.
    Wait(Option<u64>),
    /// The connection is no more.
    End,
}

impl State {
    /// Bytes that a process wrote leave it.
    pub(super) fn transmit(&mut self, number: u64, direction: u8, bytes: &[u8]) {
        let now = self.now;
        let Some(connection) = self.network.get(number) else {
            return;
        };
        let Some(mut tap) = connection.pipes[at(direction)].tap.take() else {
            return self.launch(number, direction, Bytes::copy_from_slice(bytes), now);
        };
        for (frame, leaves) in self.wires.tapped(now, &mut tap, bytes) {
            match leaves {
                Some(leaves) => self.launch(number, direction, frame, leaves),
                None => return self.reset_both(number),
            }
        }
        if let Some(connection) = self.network.get(number) {
            connection.pipes[at(direction)].tap = Some(tap);
        }
    }

    /// Bytes leave at `leaves`, in as many segments as the network makes of them.
    fn launch(&mut self, number: u64, direction: u8, mut bytes: Bytes, leaves: u64) {
        while !bytes.is_empty() {
            let Some(connection) = self.network.get(number) else {
                return;
            };
            let link = connection.link(direction);
            let pipe = &mut connection.pipes[at(direction)];
            let piece = bytes.split_to(self.wires.piece(link, bytes.len()));
            let verdict = if pipe.blocked {
                Verdict::HoldUntilReleased
            } else {
                self.wires.decide(leaves, link, piece.len())
            };
            match verdict {
                Verdict::DeliverAt(arrives) => pipe.launch(Payload::Bytes(piece), arrives),
                Verdict::HoldUntilReleased => pipe.launch(Payload::Bytes(piece), leaves),
                Verdict::Reset => return self.reset_both(number),
            }
        }
    }

    /// The writer said that no more follows.
    pub(super) fn finish(&mut self, number: u64, direction: u8) {
        let now = self.now;
        let Some(connection) = self.network.get(number) else {
            return;
        };
        let pipe = &mut connection.pipes[at(direction)];
        if std::mem::replace(&mut pipe.finishing, true) {
            return;
        }
        if let Some(rest) = pipe.tap.as_mut().map(|tap| tap.finish()) {
            self.launch(number, direction, rest, now);
        }
        self.send(number, direction, Payload::Fin);
    }

    /// Sends something without bytes.
    pub(super) fn send(&mut self, number: u64, direction: u8, payload: Payload) {
        let now = self.now;
        let Some(connection) = self.network.get(number) else {
            return;
        };
        let link = connection.link(direction);
        let pipe = &mut connection.pipes[at(direction)];
        let verdict = if pipe.blocked {
            Verdict::HoldUntilReleased
        } else {
            self.wires.decide(now, link, 0)
        };
        match verdict {
            Verdict::DeliverAt(arrives) => pipe.launch(payload, arrives),
            Verdict::HoldUntilReleased => pipe.launch(payload, now),
            Verdict::Reset => self.reset_both(number),
        }
    }

    /// Asks the listener.
    pub(super) fn send_syn(&mut self, number: u64) {
        let now = self.now;
        let Some(connection) = self.network.get(number) else {
            return;
        };
        let link = connection.link(0);
        let verdict = self.wires.connect(now, link);
        match verdict {
            ConnectVerdict::AnsweredAt(arrives) => {
                connection.pipes[0].launch(Payload::Syn, arrives)
            }
            ConnectVerdict::HoldUntilReleased => {
                connection.pipes[0].launch(Payload::Syn, now);
                self.block(number, 0);
            }
            ConnectVerdict::RefusedAt(arrives) => self.refuse(number, arrives),
        }
    }

    /// A request to connect came to a machine; if that is off, the connecting one asks again later.
    pub(super) fn powered_or_again(&mut self, number: u64, host: u32) -> bool {
        let powered = self.nodes[crate::index(host)].powered;
        if !powered && let Some(connection) = self.network.get(number) {
            connection.pipes[0].launch(Payload::Syn, 0);
            self.block(number, 0);
        }
        powered
    }

    /// The network itself refuses: no carrier is involved, so the connector's courier tells it.
    fn refuse(&mut self, number: u64, at: u64) {
        let connection = self.network.get(number).expect("the caller found it");
        connection.pipes[0].flight.clear();
        connection.pipes[0].launch(Payload::Refused, at);
    }

    /// What the courier of a direction shall do.
    pub(super) fn errand(&mut self, number: u64, direction: u8) -> Errand {
        let now = self.now;
        let Some(connection) = self.network.get(number) else {
            return Errand::End;
        };
        let side = &mut connection.sides[at(direction)];
        if side.reset_at.is_some_and(|due| due <= now) {
            side.reset_at = None;
            if !self.path_blocked(number, 1 - direction) {
                self.reset(number, direction);
            }
            return self.errand(number, direction);
        }
        let reset_at = side.reset_at;
        let pipe = &connection.pipes[at(direction)];
        let due = pipe.flight.front().map(|front| front.at);
        match due {
            Some(due) if !pipe.blocked && due <= now => self.leave(number, direction),
            Some(due) if !pipe.blocked => Errand::Wait(Some(due.min(reset_at.unwrap_or(due)))),
            _ => Errand::Wait(reset_at),
        }
    }

    /// The front of a flight is due: it goes to the carrier, or meets a cut.
    fn leave(&mut self, number: u64, direction: u8) -> Errand {
        let now = self.now;
        let connection = self.network.get(number).expect("the caller found it");
        let pipe = &mut connection.pipes[at(direction)];
        // Refused by the network; see `refuse`.
        if pipe
            .flight
            .front()
            .is_some_and(|front| direction == 0 && front.payload == Payload::Refused)
        {
            pipe.flight.pop_front();
            self.arrive(number, 1, Payload::Refused);
            return self.errand(number, direction);
        }
        if self.path_blocked(number, direction) {
            self.block(number, direction);
            return self.errand(number, direction);
        }
        let connection = self.network.get(number).expect("the caller found it");
        let target = connection.sides[1].host;
        let pipe = &mut connection.pipes[at(direction)];
        let mut due = Vec::new();
        while let Some(segment) = pipe.flight.pop_front_if(|front| front.at <= now) {
            if segment.payload == Payload::Syn {
                return Errand::Open(self.nodes[crate::index(target)].name.to_string());
            }
            due.push(segment.payload);
        }
        Errand::Carry(due)
    }

    pub(super) fn path_blocked(&mut self, number: u64, direction: u8) -> bool {
        let Some(connection) = self.network.get(number) else {
            return true;
        };
        let link = connection.link(direction);
        connection.silenced || !self.nodes[crate::index(link.1)].powered || self.wires.is_cut(link)
    }

    /// The front of a direction's flight waits until the network lets it pass.
    pub(super) fn block(&mut self, number: u64, direction: u8) {
        let now = self.now;
        let connection = self.network.get(number).expect("the caller found it");
        let pipe = &mut connection.pipes[at(direction)];
        pipe.blocked = true;
        pipe.blocked_since = now;
    }

    /// The network or a machine changed: what waits and may pass now is sent again.
    pub(crate) fn unblock(&mut self) {
        let numbers: Vec<u64> = self.network.connections.keys().copied().collect();
        for number in numbers {
            for direction in [0, 1] {
                let connection = self.network.get(number);
                let waits = |connection: &mut super::Connection| {
                    connection.pipes[at(direction)].blocked && !connection.silenced
                };
                if connection.is_some_and(waits) {
                    self.send_again(number, direction);
                }
            }
        }
    }

    fn send_again(&mut self, number: u64, direction: u8) {
        let now = self.now;
        let connection = self.network.get(number).expect("the caller found it");
        let link = connection.link(direction);
        let pipe = &mut connection.pipes[at(direction)];
        let since = pipe.blocked_since;
        if !self.nodes[crate::index(link.1)].powered {
            return;
        }
        let is_syn = pipe
            .flight
            .front()
            .is_some_and(|front| front.payload == Payload::Syn);
        if is_syn {
            match self.wires.connect_again(now, since, link) {
                ConnectVerdict::AnsweredAt(arrives) => self.release(number, direction, arrives),
                ConnectVerdict::RefusedAt(arrives) => {
                    self.release(number, direction, arrives);
                    self.refuse(number, arrives);
                }
                ConnectVerdict::HoldUntilReleased => {}
            }
            return;
        }
        match self.wires.decide_again(now, since, link, pipe.in_flight()) {
            Verdict::DeliverAt(arrives) => self.release(number, direction, arrives),
            Verdict::HoldUntilReleased => {}
            Verdict::Reset => self.reset_both(number),
        }
    }

    /// The whole flight leaves not before `arrives`.
    fn release(&mut self, number: u64, direction: u8, arrives: u64) {
        let connection = self.network.get(number).expect("the caller found it");
        let pipe = &mut connection.pipes[at(direction)];
        pipe.blocked = false;
        for segment in &mut pipe.flight {
            segment.at = segment.at.max(arrives);
        }
        pipe.wake_courier();
    }

    /// A reset leaves for `side`; lost if the way is cut when it leaves or would arrive.
    pub(super) fn send_reset(&mut self, number: u64, side: u8) {
        let now = self.now;
        let Some(connection) = self.network.get(number) else {
            return;
        };
        if connection.silenced {
            return;
        }
        let link = connection.link(1 - side);
        if let Verdict::DeliverAt(arrives) = self.wires.decide(now, link, 0) {
            let earlier = connection.sides[at(side)].reset_at;
            connection.sides[at(side)].reset_at = Some(arrives.min(earlier.unwrap_or(arrives)));
            connection.pipes[at(side)].wake_courier();
        }
    }

    /// The process of a node died: so do its sides of connections.
    pub(crate) fn end_connections(&mut self, node: u32, death: Death) {
        let numbers: Vec<u64> = self.network.connections.keys().copied().collect();
        for number in numbers {
            for side in [0, 1] {
                let entry = self.network.get(number).map(|found| found.sides[at(side)]);
                if entry.is_some_and(|entry| entry.host == node && entry.held) {
                    self.end_side(number, side, death);
                }
            }
        }
    }

    fn end_side(&mut self, number: u64, side: u8, death: Death) {
        let connection = self.network.get(number).expect("the caller found it");
        let entry = &mut connection.sides[at(side)];
        let was_open = entry.state == SideState::Open;
        (entry.state, entry.held) = (SideState::Gone, false);
        let outgoing = &mut connection.pipes[at(side)];
        if outgoing.blocked {
            // Nobody is left to retransmit it. What passes the network now still arrives.
            outgoing.drop_flight();
        }
        if was_open && death == Death::Reset {
            self.send_reset(number, 1 - side);
        }
        self.release_if_unheld(number);
    }
}
