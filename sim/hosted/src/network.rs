//! Byte streams between hosts, with the native engine's semantics over a foreign TCP.
//!
//! - Bytes of one direction arrive in order, or not at all before a reset.
//! - A blocked link loses nothing: what waits is sent after the heal, as TCP's retransmission would. A
//!   reset that meets a blocked link is lost, which leaves the other side half-open until it sends.
//! - Data for a side that is gone is answered by a reset if its machine is up, by silence if not.
//! - A machine without power answers nothing; a connect to it waits, as it does behind a partition.
//! - What has left for the carrier arrives, also if the link is cut while it travels there.
//!
//! Map: `connection` both ends' states · `transmit` what the rules make of a segment, and its leaving ·
//! `arrive` what a host's kernel does with one · `courier` carries segments over the carrier ·
//! `stream`, `listener` what tasks hold.

mod arrive;
pub(crate) mod connection;
pub(crate) mod courier;
pub(crate) mod listener;
mod stream;
mod transmit;

use std::collections::{BTreeMap, VecDeque};
use std::task::Waker;

use connection::Connection;

/// Who waits at a port of a process.
pub(crate) struct Port {
    pub(crate) incarnation: u32,
    /// Distinguishes this listener from a later one on the same port.
    pub(crate) serial: u64,
    pub(crate) backlog: VecDeque<u64>,
    pub(crate) waker: Option<Waker>,
}

/// All connections, by their number, and all listeners.
#[derive(Default)]
pub(crate) struct Network {
    pub(crate) connections: BTreeMap<u64, Connection>,
    pub(crate) ports: BTreeMap<(u32, u16), Port>,
    pub(crate) listeners: u64,
    next_port: u16,
    /// Connections ever opened.
    pub(crate) opened: u64,
}

impl Network {
    pub(crate) fn get(&mut self, number: u64) -> Option<&mut Connection> {
        self.connections.get_mut(&number)
    }

    /// A port for an outgoing connection or for a listener that asked for 0.
    pub(crate) fn ephemeral_port(&mut self) -> u16 {
        const FIRST: u16 = 32_768;
        let next = self.next_port.checked_add(1);
        self.next_port = next.filter(|port| *port > FIRST).unwrap_or(FIRST);
        self.next_port
    }

    /// Forgets everything, at the end of the world.
    pub(crate) fn forget(&mut self) {
        *self = Network::default();
    }
}
