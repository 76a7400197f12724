//! A look at what travels, for recordings: it sees every byte and changes none.

use crate::frames::Direction;
use crate::network::HostId;

/// One direction of a connection at one moment.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Passage {
    /// True simulated time, ns.
    pub at_ns: u64,
    /// Number of the latest event.
    pub event: u64,
    /// No other connection of the run has it; both directions share it.
    pub connection: u64,
    /// As seen from the side that opened the connection.
    pub direction: Direction,
    pub from: HostId,
    pub to: HostId,
}

/// Hears of the bytes of all connections, in order, under the engine's lock: it must not call the engine.
pub trait WireObserver: Send + Sync {
    /// A process wrote these bytes; together, the calls give the stream as the sender has it.
    fn written(&self, passage: &Passage, bytes: &[u8]);
    /// The next `count` bytes of the stream reached a receiver that has the connection open.
    fn arrived(&self, passage: &Passage, count: usize);
    /// Both ends let go: what has not arrived never will.
    fn closed(&self, connection: u64);
}
