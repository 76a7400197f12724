//! A task's end of a connection.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Network;
use super::connection::{Connection, ConnectionRef, SideState};
use super::transmit::at;
use crate::state::Shared;
use crate::wires::passage;

/// An open end; dropping it closes both directions.
pub(crate) struct Stream {
    pub(crate) shared: Arc<Shared>,
    pub(crate) connection: ConnectionRef,
    pub(crate) side: u8,
}

/// The connection a stream refers to, unless its process was killed.
fn open(
    network: &mut Network,
    reference: ConnectionRef,
    side: u8,
) -> Result<&mut Connection, Error> {
    let connection = network.get(reference).ok_or(ErrorKind::NotConnected)?;
    match connection.sides[at(side)].state {
        SideState::Open | SideState::Reset => Ok(connection),
        SideState::Absent | SideState::Gone => Err(ErrorKind::NotConnected.into()),
    }
}

fn wait(slot: &mut Option<Waker>, context: &Context<'_>) {
    match slot {
        Some(waker) => waker.clone_from(context.waker()),
        empty => *empty = Some(context.waker().clone()),
    }
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<Result<(), Error>> {
        let state = &mut *self.shared.lock();
        let connection = open(&mut state.network, self.connection, self.side)?;
        let reset = connection.sides[at(self.side)].state == SideState::Reset;
        let link = connection.link(1 - self.side);
        let pipe = &mut connection.pipes[1 - at(self.side)];
        if buffer.remaining() == 0 {
            return Poll::Ready(Ok(()));
        }
        if pipe.readable() > 0 {
            let wanted = buffer.remaining().min(pipe.readable());
            pipe.read(buffer, state.wires.piece(link, wanted));
            pipe.writer.take().into_iter().for_each(Waker::wake);
            return Poll::Ready(Ok(()));
        }
        if reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if pipe.finished {
            return Poll::Ready(Ok(()));
        }
        wait(&mut pipe.reader, context);
        Poll::Pending
    }
}

impl Stream {
    fn poll_stage<'a>(
        &self,
        context: &Context<'_>,
        pieces: impl Iterator<Item = &'a [u8]>,
    ) -> Poll<Result<usize, Error>> {
        let state = &mut *self.shared.lock();
        let capacity = state.wires.capacity();
        let connection = open(&mut state.network, self.connection, self.side)?;
        if connection.sides[at(self.side)].state == SideState::Reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let (link, number) = (connection.link(self.side), connection.number);
        let pipe = &mut connection.pipes[at(self.side)];
        if pipe.finishing {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = pipe.room(capacity);
        if room == 0 {
            wait(&mut pipe.writer, context);
            return Poll::Pending;
        }
        let limit = state.wires.piece(link, room);
        let mut written = 0;
        for piece in pieces {
            let count = piece.len().min(limit - written);
            pipe.stage(&piece[..count]);
            if let Some(observer) = &state.wires.observer {
                let moment = (state.now, state.trace.events());
                let passage = passage(moment, number, self.side, link);
                observer.written(&passage, &piece[..count]);
            }
            written += count;
        }
        if !pipe.dirty && written > 0 {
            pipe.dirty = true;
            state.network.dirty.push((self.connection, self.side));
        }
        Poll::Ready(Ok(written))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        self.poll_stage(context, std::iter::once(bytes))
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        self.poll_stage(context, pieces.iter().map(|piece| &**piece))
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let state = &mut *self.shared.lock();
        let connection = open(&mut state.network, self.connection, self.side)?;
        if connection.sides[at(self.side)].state == SideState::Reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        if connection.pipes[at(self.side)].staged() > 0 {
            state.transmit(self.connection, self.side);
        }
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let state = &mut *self.shared.lock();
        let connection = open(&mut state.network, self.connection, self.side)?;
        if connection.sides[at(self.side)].state == SideState::Reset {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        }
        connection.pipes[at(self.side)].finishing = true;
        state.transmit(self.connection, self.side);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.lock().close(self.connection, self.side);
    }
}
