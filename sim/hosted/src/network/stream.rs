//! A task's end of a connection.

use std::io::{Error, ErrorKind};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, Waker};

use sim_engine::parts::passage;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};

use super::Network;
use super::connection::{Connection, SideState};
use super::transmit::at;
use crate::state::Shared;

/// An open end; dropping it closes both directions.
pub(super) struct Stream {
    pub(super) shared: Arc<Shared>,
    pub(super) number: u64,
    pub(super) side: u8,
}

/// The connection a stream refers to, unless its process was killed.
fn open(network: &mut Network, number: u64, side: u8) -> Result<&mut Connection, Error> {
    let connection = network.get(number).ok_or(ErrorKind::NotConnected)?;
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
        let connection = open(&mut state.network, self.number, self.side)?;
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
    /// Takes as many bytes as there is room for; they leave at once.
    fn poll_take(&self, context: &Context<'_>, pieces: &[&[u8]]) -> Poll<Result<usize, Error>> {
        let state = &mut *self.shared.lock();
        let capacity = state.wires.capacity();
        let connection = open(&mut state.network, self.number, self.side)?;
        if connection.sides[at(self.side)].state == SideState::Reset {
            return Poll::Ready(Err(ErrorKind::ConnectionReset.into()));
        }
        let link = connection.link(self.side);
        let pipe = &mut connection.pipes[at(self.side)];
        if pipe.finishing {
            return Poll::Ready(Err(ErrorKind::BrokenPipe.into()));
        }
        let room = capacity.saturating_sub(pipe.unread);
        if room == 0 {
            wait(&mut pipe.writer, context);
            return Poll::Pending;
        }
        let limit = state.wires.piece(link, room);
        let mut taken = Vec::new();
        for piece in pieces {
            let count = piece.len().min(limit - taken.len());
            taken.extend_from_slice(&piece[..count]);
        }
        pipe.unread += taken.len();
        if !taken.is_empty() {
            if let Some(observer) = &state.wires.observer {
                let moment = (state.now, state.trace.events());
                observer.written(&passage(moment, self.number, self.side, link), &taken);
            }
            state.transmit(self.number, self.side, &taken);
        }
        Poll::Ready(Ok(taken.len()))
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<Result<usize, Error>> {
        self.poll_take(context, &[bytes])
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        pieces: &[std::io::IoSlice<'_>],
    ) -> Poll<Result<usize, Error>> {
        let pieces: Vec<&[u8]> = pieces.iter().map(|piece| &**piece).collect();
        self.poll_take(context, &pieces)
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let state = &mut *self.shared.lock();
        let connection = open(&mut state.network, self.number, self.side)?;
        match connection.sides[at(self.side)].state {
            SideState::Reset => Poll::Ready(Err(ErrorKind::ConnectionReset.into())),
            _ => Poll::Ready(Ok(())),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<Result<(), Error>> {
        let state = &mut *self.shared.lock();
        let connection = open(&mut state.network, self.number, self.side)?;
        if connection.sides[at(self.side)].state == SideState::Reset {
            return Poll::Ready(Err(ErrorKind::NotConnected.into()));
        }
        state.finish(self.number, self.side);
        Poll::Ready(Ok(()))
    }
}

impl Drop for Stream {
    fn drop(&mut self) {
        self.shared.lock().close(self.number, self.side);
    }
}
