//! Both ends of a connection as their kernels see them, and what travels between them.

use std::collections::VecDeque;
use std::task::Waker;

use bytes::{Buf, Bytes};
use sim_faults::FrameTap;

/// How far the handshake is, as the connecting side knows it.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum Handshake {
    #[default]
    Connecting,
    Established,
    Refused,
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) enum SideState {
    /// The accepting side before the request to connect arrived.
    #[default]
    Absent,
    Open,
    /// A reset arrived.
    Reset,
    /// The process closed it or is dead.
    Gone,
}

#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Side {
    pub(crate) host: u32,
    pub(crate) incarnation: u32,
    pub(crate) port: u16,
    pub(crate) state: SideState,
    /// A stream, a connect in progress or a backlog refers to it.
    pub(crate) held: bool,
    /// True time at which a reset arrives.
    pub(crate) reset_at: Option<u64>,
}

/// What a segment carries.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Bytes(Bytes),
    /// End of stream.
    Fin,
    /// Asks the listener; opens the carrier's stream.
    Syn,
    /// The answer of a listener.
    Accepted,
    /// The answer of a host without one.
    Refused,
}

impl Payload {
    pub(crate) fn length(&self) -> usize {
        match self {
            Payload::Bytes(bytes) => bytes.len(),
            _ => 0,
        }
    }
}

impl std::fmt::Display for Payload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Payload::Bytes(bytes) => write!(formatter, "{} bytes", bytes.len()),
            Payload::Fin => write!(formatter, "end of stream"),
            Payload::Syn => write!(formatter, "connect"),
            Payload::Accepted => write!(formatter, "connection accepted"),
            Payload::Refused => write!(formatter, "connection refused"),
        }
    }
}

/// Something on its way to the carrier.
#[derive(Debug)]
pub(crate) struct Segment {
    pub(crate) at: u64,
    pub(crate) payload: Payload,
}

/// One direction.
#[derive(Default)]
pub(crate) struct Pipe {
    pub(crate) flight: VecDeque<Segment>,
    readable: VecDeque<Bytes>,
    readable_bytes: usize,
    /// Written and not yet read or lost, wherever it is now.
    pub(crate) unread: usize,
    /// The front of the flight waits for the network to let it pass.
    pub(crate) blocked: bool,
    /// Since when; true time, ns.
    pub(crate) blocked_since: u64,
    /// The writer said that no more follows.
    pub(crate) finishing: bool,
    /// The end of the stream has arrived.
    pub(crate) finished: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// Takes the flight to the carrier, and resets to the writer.
    pub(crate) courier: Option<Waker>,
    /// Takes what the carrier brings.
    pub(crate) receiver: Option<Waker>,
    /// Looks into frames, in runs with rules about them.
    pub(crate) tap: Option<Box<FrameTap>>,
}

impl Pipe {
    /// Queues a segment behind the others.
    pub(crate) fn launch(&mut self, payload: Payload, at: u64) {
        let at = at.max(self.flight.back().map_or(0, |last| last.at));
        self.flight.push_back(Segment { at, payload });
        self.wake_courier();
    }

    pub(crate) fn wake_courier(&mut self) {
        self.courier.take().into_iter().for_each(Waker::wake);
    }

    pub(crate) fn in_flight(&self) -> usize {
        self.flight.iter().map(|front| front.payload.length()).sum()
    }

    /// Nothing of what waits to leave will arrive any more.
    pub(crate) fn drop_flight(&mut self) {
        self.unread = self.unread.saturating_sub(self.in_flight());
        self.flight.clear();
        self.blocked = false;
    }

    pub(crate) fn readable(&self) -> usize {
        self.readable_bytes
    }

    pub(crate) fn add_readable(&mut self, bytes: Bytes) {
        self.readable_bytes += bytes.len();
        self.readable.push_back(bytes);
    }

    /// Copies out what is readable, at most `limit` bytes.
    pub(crate) fn read(&mut self, buffer: &mut tokio::io::ReadBuf<'_>, limit: usize) {
        let mut left = limit.min(self.readable_bytes).min(buffer.remaining());
        self.readable_bytes -= left;
        self.unread = self.unread.saturating_sub(left);
        while left > 0 {
            let front = self.readable.front_mut().expect("counted as readable");
            let count = left.min(front.len());
            buffer.put_slice(&front[..count]);
            front.advance(count);
            left -= count;
            if front.is_empty() {
                self.readable.pop_front();
            }
        }
    }

    /// Forgets what arrived, for a reader that is gone.
    pub(crate) fn discard_readable(&mut self) {
        self.unread = self.unread.saturating_sub(self.readable_bytes);
        self.readable.clear();
        self.readable_bytes = 0;
    }
}

/// Side 0 connected, side 1 accepted; `pipes[d]` carries what side `d` writes.
#[derive(Default)]
pub(crate) struct Connection {
    pub(crate) sides: [Side; 2],
    pub(crate) pipes: [Pipe; 2],
    pub(crate) handshake: Handshake,
    /// Nothing passes any more, for ever, and nobody is told.
    pub(crate) silenced: bool,
    pub(crate) connector: Option<Waker>,
}

impl Connection {
    /// Sender and receiver of a direction.
    pub(crate) fn link(&self, direction: u8) -> (u32, u32) {
        let [connector, acceptor] = [self.sides[0].host, self.sides[1].host];
        if direction == 0 {
            (connector, acceptor)
        } else {
            (acceptor, connector)
        }
    }

    /// Wakes all who wait on this side: its reader, its writer, its connect.
    pub(crate) fn wake_side(&mut self, side: u8) {
        let at = usize::from(side);
        let connector = (side == 0).then(|| self.connector.take()).flatten();
        let reader = self.pipes[1 - at].reader.take();
        let writer = self.pipes[at].writer.take();
        [connector, reader, writer]
            .into_iter()
            .flatten()
            .for_each(Waker::wake);
    }
}
