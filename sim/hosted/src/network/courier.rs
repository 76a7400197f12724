//! Carrying: segments that may leave travel over the carrier's TCP from machine to machine.
//!
//! One stream of the carrier per connection. The connecting machine says the connection's number first;
//! then each direction is a sequence of frames: kind, length, bytes. Couriers are work of the machine,
//! not of the process: what has left a process still arrives after its death.

use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use broker_env::{BoxConnection, BoxFuture};
use bytes::{Buf, BufMut, BytesMut};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWriteExt, ReadBuf, ReadHalf, WriteHalf};

use super::connection::Payload;
use super::transmit::{Errand, at};
use crate::state::Shared;

/// Attempts to reach a machine that has not started to listen yet; more would be a bug.
const PATIENCE: u32 = 10_000;

/// Takes in what other machines send to this one, for ever.
pub(crate) async fn accept(shared: Arc<Shared>, host: u32) {
    let listening = shared.carrier.listen().await;
    let mut listener = listening.expect("each machine listens on its carrier port once");
    while let Ok(stream) = listener.accept().await {
        let work = incoming(shared.clone(), host, stream);
        shared.lock().machines[crate::index(host)].push(Box::pin(work));
    }
}

async fn incoming(shared: Arc<Shared>, host: u32, mut stream: BoxConnection) {
    // The other machine gave up before it said what it wants.
    let Ok(number) = stream.read_u64().await else {
        return;
    };
    let (reader, writer) = tokio::io::split(stream);
    let back = carry(shared.clone(), host, number, 1, Some(writer));
    {
        let mut state = shared.lock();
        if !state.powered_or_again(number, host) {
            return;
        }
        state.arrive(number, 0, Payload::Syn);
        state.machines[crate::index(host)].push(Box::pin(back));
    }
    receive(shared, number, 0, reader).await;
}

/// Takes what `direction` sends to the carrier, until the connection is no more.
pub(super) async fn carry(
    shared: Arc<Shared>,
    host: u32,
    number: u64,
    direction: u8,
    mut stream: Option<WriteHalf<BoxConnection>>,
) {
    let mut frames = BytesMut::new();
    loop {
        match next_errand(&shared, number, direction).await {
            Errand::End => return,
            Errand::Wait(_) => {}
            Errand::Open(machine) => {
                let (reader, writer) = tokio::io::split(open(&shared, &machine, number).await);
                stream = Some(writer);
                let work = receive(shared.clone(), number, 1 - direction, reader);
                shared.lock().machines[crate::index(host)].push(Box::pin(work));
            }
            Errand::Carry(payloads) => {
                payloads
                    .iter()
                    .for_each(|payload| encode(payload, &mut frames));
                let stream = stream
                    .as_mut()
                    .expect("a connection opens before it carries");
                // Fails only if the other machine has let go: then the connection is no more, or a reset
                // is on its way.
                if stream.write_all(&frames).await.is_ok() {
                    let _as_above = stream.flush().await;
                }
                frames.clear();
            }
        }
    }
}

async fn open(shared: &Arc<Shared>, machine: &str, number: u64) -> BoxConnection {
    for _ in 0..PATIENCE {
        if let Ok(mut stream) = shared.carrier.connect(machine).await {
            let said = stream.write_u64(number).await;
            if said.is_ok() && stream.flush().await.is_ok() {
                return stream;
            }
        }
        shared.carrier.sleep(Duration::from_millis(1)).await;
    }
    panic!("{machine} does not listen for the carrier")
}

/// Waits for something to do.
async fn next_errand(shared: &Arc<Shared>, number: u64, direction: u8) -> Errand {
    let mut alarm: Option<(u64, BoxFuture<'static, ()>)> = None;
    poll_fn(|context| {
        loop {
            let (now, due) = {
                let mut state = shared.lock();
                match state.errand(number, direction) {
                    Errand::Wait(due) => {
                        let now = state.now;
                        let found = state.network.get(number);
                        let connection = found.expect("an ended one has no errand to wait for");
                        connection.pipes[at(direction)].courier = Some(context.waker().clone());
                        (now, due)
                    }
                    errand => return Poll::Ready(errand),
                }
            };
            let Some(due) = due else {
                alarm = None;
                return Poll::Pending;
            };
            if alarm.as_ref().is_none_or(|(at, _)| *at != due) {
                let wait = Duration::from_nanos(due.saturating_sub(now).max(1));
                alarm = Some((due, shared.carrier.sleep(wait)));
            }
            let (_, sleep) = alarm.as_mut().expect("set above");
            ready!(sleep.as_mut().poll(context));
            alarm = None;
        }
    })
    .await
}

const BYTES: u8 = 0;
const FIN: u8 = 1;
const ACCEPTED: u8 = 2;
const REFUSED: u8 = 3;
const HEAD: usize = 5;

fn encode(payload: &Payload, frames: &mut BytesMut) {
    let (kind, bytes) = match payload {
        Payload::Bytes(bytes) => (BYTES, bytes.as_ref()),
        Payload::Fin => (FIN, [].as_slice()),
        Payload::Accepted => (ACCEPTED, [].as_slice()),
        Payload::Refused => (REFUSED, [].as_slice()),
        Payload::Syn => unreachable!("opens the stream"),
    };
    frames.put_u8(kind);
    frames.put_u32(u32::try_from(bytes.len()).expect("pieces are as large as a write"));
    frames.put_slice(bytes);
}

/// The next whole frame, if it is there.
fn decode(buffer: &mut BytesMut) -> Option<Payload> {
    let length = usize::try_from(u32::from_be_bytes(
        buffer.get(1..HEAD)?.try_into().expect("4 bytes"),
    ))
    .expect("usize has at least 32 bits");
    if buffer.len() < HEAD + length {
        return None;
    }
    let kind = buffer.get_u8();
    buffer.advance(HEAD - 1);
    let bytes = buffer.split_to(length).freeze();
    Some(match kind {
        BYTES => Payload::Bytes(bytes),
        FIN => Payload::Fin,
        ACCEPTED => Payload::Accepted,
        REFUSED => Payload::Refused,
        other => unreachable!("the carrier made {other} of a frame's kind"),
    })
}

/// Takes what the carrier brings of `direction`, until the connection is no more.
async fn receive(
    shared: Arc<Shared>,
    number: u64,
    direction: u8,
    mut reader: ReadHalf<BoxConnection>,
) {
    let mut buffer = BytesMut::new();
    let mut room = vec![0; 16 * 1024];
    loop {
        let read = poll_fn(|context| {
            poll_receive(&shared, number, direction, &mut reader, &mut room, context)
        });
        let Some(count) = read.await else { return };
        buffer.extend_from_slice(&room[..count]);
        while let Some(payload) = decode(&mut buffer) {
            shared.lock().arrive(number, direction, payload);
        }
    }
}

fn poll_receive(
    shared: &Arc<Shared>,
    number: u64,
    direction: u8,
    reader: &mut ReadHalf<BoxConnection>,
    room: &mut [u8],
    context: &mut Context<'_>,
) -> Poll<Option<usize>> {
    match shared.lock().network.get(number) {
        Some(connection) => {
            connection.pipes[at(direction)].receiver = Some(context.waker().clone());
        }
        None => return Poll::Ready(None),
    }
    let mut read = ReadBuf::new(room);
    let outcome = ready!(Pin::new(reader).poll_read(context, &mut read));
    let count = read.filled().len();
    // The end of the carrier's stream: the other machine has let go of the connection.
    Poll::Ready((outcome.is_ok() && count > 0).then_some(count))
}
