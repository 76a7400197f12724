//! One direction of a connection: a ring of bytes and the marks of what part of it travels.
//!
//! Bytes are copied in once and out once. The ring holds, in order: readable bytes, bytes in flight,
//! and bytes staged until the writer flushes or its poll ends. A segment is only a mark on the ring, so
//! a message costs no allocation.

use std::collections::VecDeque;
use std::task::Waker;

use sim_faults::FrameTap;

/// What a segment carries.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Payload {
    Bytes(usize),
    /// End of stream.
    Fin,
    /// Asks the listener at `port`.
    Syn {
        port: u16,
    },
    /// The answer of a listener.
    Accepted,
    /// The answer of a host without one.
    Refused,
}

impl std::fmt::Display for Payload {
    fn fmt(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Payload::Bytes(count) => write!(formatter, "{count} bytes"),
            Payload::Fin => write!(formatter, "end of stream"),
            Payload::Syn { port } => write!(formatter, "connect to port {port}"),
            Payload::Accepted => write!(formatter, "connection accepted"),
            Payload::Refused => write!(formatter, "connection refused"),
        }
    }
}

/// Something on its way.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Segment {
    pub(crate) at: u64,
    pub(crate) payload: Payload,
}

#[derive(Default)]
pub(crate) struct Pipe {
    ring: VecDeque<u8>,
    readable: usize,
    staged: usize,
    flight: VecDeque<Segment>,
    /// The event for the front of the flight is in the heap.
    pub(crate) scheduled: bool,
    /// The front of the flight waits for the network to let it pass.
    pub(crate) blocked: bool,
    /// The writer said that no more follows.
    pub(crate) finishing: bool,
    /// The end of the stream is in flight or has arrived.
    pub(crate) fin_sent: bool,
    /// The end of the stream has arrived.
    pub(crate) finished: bool,
    /// Listed for transmission at the end of the poll.
    pub(crate) dirty: bool,
    pub(crate) reader: Option<Waker>,
    pub(crate) writer: Option<Waker>,
    /// Since when it is blocked; true time, ns.
    pub(crate) blocked_since: u64,
    /// Looks into frames, in runs with rules about them.
    pub(crate) tap: Option<Box<FrameTap>>,
}

impl Pipe {
    /// Bytes the writer may still add under a cap on unread bytes.
    pub(crate) fn room(&self, capacity: usize) -> usize {
        capacity.saturating_sub(self.ring.len())
    }

    pub(crate) fn stage(&mut self, bytes: &[u8]) {
        self.ring.extend(bytes);
        self.staged += bytes.len();
    }

    pub(crate) fn staged(&self) -> usize {
        self.staged
    }

    pub(crate) fn readable(&self) -> usize {
        self.readable
    }

    /// Takes the staged bytes out again, for a look into their frames.
    pub(crate) fn unstage(&mut self) -> Vec<u8> {
        let bytes = self.ring.split_off(self.ring.len() - self.staged);
        self.staged = 0;
        bytes.into()
    }

    /// Bytes on their way.
    pub(crate) fn in_flight(&self) -> usize {
        self.ring.len() - self.readable - self.staged
    }

    /// The first `count` staged bytes leave and arrive at `at`, not before what left earlier. Joins the
    /// last segment if that arrives at the same time.
    pub(crate) fn launch_bytes(&mut self, count: usize, at: u64) {
        assert!(
            count <= self.staged,
            "{count} of {} staged bytes",
            self.staged
        );
        self.staged -= count;
        let at = at.max(self.flight.back().map_or(0, |last| last.at));
        if let Some(Segment {
            at: last_at,
            payload: Payload::Bytes(length),
        }) = self.flight.back_mut()
            && *last_at == at
        {
            *length += count;
            return;
        }
        self.flight.push_back(Segment {
            at,
            payload: Payload::Bytes(count),
        });
    }

    pub(crate) fn launch(&mut self, payload: Payload, at: u64) {
        let at = at.max(self.flight.back().map_or(0, |last| last.at));
        self.flight.push_back(Segment { at, payload });
    }

    pub(crate) fn front(&self) -> Option<Segment> {
        self.flight.front().copied()
    }

    /// Moves the whole flight so that its front arrives at `at` and nothing overtakes.
    pub(crate) fn delay_until(&mut self, at: u64) {
        for segment in &mut self.flight {
            segment.at = segment.at.max(at);
        }
    }

    /// Takes the front off; its bytes become readable.
    pub(crate) fn arrive(&mut self) -> Payload {
        let segment = self
            .flight
            .pop_front()
            .expect("an event was scheduled for the front");
        match segment.payload {
            Payload::Bytes(count) => self.readable += count,
            Payload::Fin => self.finished = true,
            Payload::Syn { .. } | Payload::Accepted | Payload::Refused => {}
        }
        segment.payload
    }

    /// Copies out what is readable, at most `limit` bytes.
    pub(crate) fn read(&mut self, buffer: &mut tokio::io::ReadBuf<'_>, limit: usize) -> usize {
        let count = self.readable.min(buffer.remaining()).min(limit);
        let (front, back) = self.ring.as_slices();
        let from_front = count.min(front.len());
        buffer.put_slice(&front[..from_front]);
        buffer.put_slice(&back[..count - from_front]);
        self.ring.drain(..count);
        self.readable -= count;
        count
    }

    /// Nothing of it will arrive any more; what is readable stays.
    pub(crate) fn drop_flight(&mut self) {
        self.flight.clear();
        self.ring.truncate(self.readable);
        self.staged = 0;
        self.blocked = false;
    }

    /// What never left the sender is lost with it.
    pub(crate) fn drop_staged(&mut self) {
        self.ring.truncate(self.ring.len() - self.staged);
        self.staged = 0;
    }

    /// Forgets all bytes, for a reader that is gone.
    pub(crate) fn discard_readable(&mut self) {
        self.ring.drain(..self.readable);
        self.readable = 0;
    }

    /// Back to new, keeping the ring's memory.
    pub(crate) fn recycle(&mut self) {
        let mut ring = std::mem::take(&mut self.ring);
        let mut flight = std::mem::take(&mut self.flight);
        ring.clear();
        flight.clear();
        ring.shrink_to(64 * 1024);
        *self = Pipe {
            ring,
            flight,
            ..Pipe::default()
        };
    }
}
