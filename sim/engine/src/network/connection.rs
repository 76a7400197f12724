//! Both ends of a connection as their kernels see them.

use std::task::Waker;

use super::pipe::Pipe;

/// Names a connection; stale once both sides let go.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct ConnectionRef {
    pub(crate) slot: u32,
    pub(crate) generation: u32,
}

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
}

/// Side 0 connected, side 1 accepted; `pipes[d]` carries what side `d` writes.
#[derive(Default)]
pub(crate) struct Connection {
    pub(crate) generation: u32,
    /// No other connection of the run has it.
    pub(crate) number: u64,
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

    pub(crate) fn recycle(&mut self) {
        self.generation = self.generation.wrapping_add(1);
        self.sides = Default::default();
        self.handshake = Handshake::Connecting;
        self.silenced = false;
        self.connector = None;
        self.pipes.iter_mut().for_each(Pipe::recycle);
    }

    /// Wakes all who wait on this side: its reader, its writer, its connect.
    pub(crate) fn wake_side(&mut self, side: usize) {
        let connector = if side == 0 {
            self.connector.take()
        } else {
            None
        };
        let reader = self.pipes[1 - side].reader.take();
        let writer = self.pipes[side].writer.take();
        [connector, reader, writer]
            .into_iter()
            .flatten()
            .for_each(Waker::wake);
    }
}
