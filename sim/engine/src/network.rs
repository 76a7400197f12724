//! Byte streams between hosts: what TCP shows of the network to a process.
//!
//! - Bytes of one direction arrive in order, or not at all before a reset.
//! - A blocked link loses nothing: what would have arrived waits and comes after the heal, as TCP's
//!   retransmission would bring it. A reset that meets a blocked link is lost, which leaves the other
//!   side half-open until it sends something.
//! - Data for a side that is gone is answered by a reset if its machine is up, by silence if not.
//! - A machine without power answers nothing; a connect to it waits, as it does behind a partition.
//!
//! Map: `pipe` one direction's bytes · `connection` both ends' states · `transmit` leaving · `arrive`
//! arriving · `stream`, `listener` what tasks hold.

mod arrive;
pub(crate) mod connection;
pub(crate) mod listener;
pub(crate) mod pipe;
pub(crate) mod stream;
pub(crate) mod transmit;

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::task::Waker;

use connection::{Connection, ConnectionRef};

/// Who waits at a port.
pub(crate) struct Port {
    pub(crate) incarnation: u32,
    /// Distinguishes this listener from a later one on the same port.
    pub(crate) serial: u64,
    pub(crate) backlog: VecDeque<ConnectionRef>,
    pub(crate) waker: Option<Waker>,
}

/// All connections and listeners.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) connections: Vec<Connection>,
    pub(crate) free: Vec<u32>,
    pub(crate) ports: BTreeMap<(u32, u16), Port>,
    pub(crate) listeners: u64,
    pub(crate) next_port: u16,
    /// Connections ever opened.
    pub(crate) opened: u64,
    /// Directions with bytes that the present poll wrote and did not flush.
    pub(crate) dirty: Vec<(ConnectionRef, u8)>,
    /// Directions whose flight waits for a heal, in an order that does not depend on history.
    pub(crate) blocked: BTreeSet<(u32, u8)>,
}

impl Network {
    pub(crate) fn get(&mut self, reference: ConnectionRef) -> Option<&mut Connection> {
        let slot = usize::try_from(reference.slot).expect("usize has at least 32 bits");
        self.connections
            .get_mut(slot)
            .filter(|connection| connection.generation == reference.generation)
    }

    /// A port for an outgoing connection or for a listener that asked for 0.
    pub(crate) fn ephemeral_port(&mut self) -> u16 {
        const FIRST: u16 = 32_768;
        self.next_port = self
            .next_port
            .checked_add(1)
            .filter(|port| *port > FIRST)
            .unwrap_or(FIRST);
        self.next_port
    }

    pub(crate) fn allocate(&mut self) -> ConnectionRef {
        let slot = self.free.pop().unwrap_or_else(|| {
            self.connections.push(Connection::default());
            u32::try_from(self.connections.len() - 1).expect("fewer than 2^32 connections")
        });
        let generation = self.connections[usize::try_from(slot).expect("32 bits")].generation;
        ConnectionRef { slot, generation }
    }

    /// Gives the slot of a connection that nobody holds back.
    pub(crate) fn recycle(&mut self, reference: ConnectionRef) {
        let connection = self.get(reference).expect("the caller found it");
        connection.recycle();
        self.blocked.remove(&(reference.slot, 0));
        self.blocked.remove(&(reference.slot, 1));
        self.free.push(reference.slot);
    }

    /// Forgets everything, at the end of the world.
    pub(crate) fn forget(&mut self) {
        *self = Network::default();
    }
}
