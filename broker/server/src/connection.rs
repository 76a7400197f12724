//! One client connection: frames in, answers out in request order.
//!
//! Requests are started in the order they arrive and may wait side by side (a parked acks=all produce
//! does not hold back the next one); their answers leave in that order, as Kafka's protocol demands.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::task::{Context, Poll};

use broker_env::{BoxConnection, BoxFuture, Env, Instant, select};
use broker_protocol::frame::take_frame;
use bytes::{Bytes, BytesMut};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::sync::Notify;

/// Requests of one connection that may wait for their answer at once; more are read when one leaves.
const IN_FLIGHT_MAX: usize = 32;
/// What an idle connection holds; a busy one grows to the larger.
const READ_BUFFER_BYTES_MIN: usize = 512;
const READ_BUFFER_BYTES_MAX: usize = 64 * 1024;

/// What to do after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A whole frame, length prefix included.
    Frame(Bytes),
    /// Nothing, as for acks=0.
    Silent,
    /// The request cannot be answered: close the connection, with the reason for the log.
    Close(String),
}

/// Answers request frames.
pub trait Service: Send + Sync {
    /// `frame` is a request without its length prefix. The synchronous part of the future runs in
    /// arrival order.
    fn handle(&self, frame: Bytes, peer: &str) -> BoxFuture<'static, Answer>;
}

/// Lets others see and end a connection.
#[derive(Debug, Default)]
pub struct ConnectionControl {
    last_active_ns: AtomicU64,
    close: Notify,
}

impl ConnectionControl {
    pub fn close(&self) {
        self.close.notify_one();
    }

    pub fn last_active(&self) -> Instant {
        Instant(self.last_active_ns.load(Ordering::Relaxed))
    }

    fn touch(&self, env: &Env) {
        self.last_active_ns.store(env.now().0, Ordering::Relaxed);
    }
}

/// Serves a connection until either side closes it; returns why it ended.
pub async fn serve(
    env: Env,
    connection: BoxConnection,
    peer: String,
    service: Arc<dyn Service>,
    request_bytes_max: usize,
    control: Arc<ConnectionControl>,
) -> String {
    let (mut reader, mut writer) = tokio::io::split(connection);
    let mut buffer = BytesMut::with_capacity(READ_BUFFER_BYTES_MIN);
    let mut answers = OrderedAnswers::default();
    control.touch(&env);
    loop {
        while answers.len() < IN_FLIGHT_MAX {
            match take_frame(&mut buffer, request_bytes_max) {
                Ok(Some(frame)) => answers.start(service.handle(frame, &peer)).await,
                Ok(None) => break,
                Err(error) => return error.to_string(),
            }
        }
        select! {
            () = control.close.notified() => return "closed by the broker".into(),
            answer = answers.next(), if !answers.is_empty() => {
                if let Err(reason) = write_answers(&mut writer, answer, &mut answers).await {
                    return reason;
                }
                control.touch(&env);
            }
            read = reader.read_buf(&mut buffer), if answers.len() < IN_FLIGHT_MAX => {
                match read {
                    Ok(0) if buffer.is_empty() && answers.is_empty() => return "closed by the peer".into(),
                    Ok(0) => return half_closed(&mut writer, &mut answers, &buffer).await,
                    Ok(bytes) => {
                        control.touch(&env);
                        make_room(&mut buffer, bytes);
                    }
                    Err(error) => return error.to_string(),
                }
            }
        }
    }
}

/// A read that filled the buffer says that more is to come.
fn make_room(buffer: &mut BytesMut, read_bytes: usize) {
    if buffer.len() == buffer.capacity() {
        buffer.reserve((2 * read_bytes).clamp(READ_BUFFER_BYTES_MIN, READ_BUFFER_BYTES_MAX));
    }
}

/// The peer has stopped sending but may still read: what it asked for is answered.
async fn half_closed<W>(writer: &mut W, answers: &mut OrderedAnswers, rest: &BytesMut) -> String
where
    W: tokio::io::AsyncWrite + Unpin,
{
    while !answers.is_empty() {
        let answer = answers.next().await;
        if let Err(reason) = write_answers(writer, answer, answers).await {
            return reason;
        }
    }
    if rest.is_empty() {
        "closed by the peer".into()
    } else {
        "closed by the peer inside a frame".into()
    }
}

/// Writes an answer and those that are ready behind it, then flushes once.
async fn write_answers<W>(
    writer: &mut W,
    first: Answer,
    answers: &mut OrderedAnswers,
) -> Result<(), String>
where
    W: tokio::io::AsyncWrite + Unpin,
{
    let mut next = Some(first);
    while let Some(answer) = next {
        match answer {
            Answer::Frame(frame) => writer
                .write_all(&frame)
                .await
                .map_err(|error| error.to_string())?,
            Answer::Silent => {}
            Answer::Close(reason) => return Err(reason),
        }
        next = answers.take_ready();
    }
    writer.flush().await.map_err(|error| error.to_string())
}

/// Futures started in order whose results leave in order.
#[derive(Default)]
struct OrderedAnswers {
    slots: VecDeque<Slot>,
}

enum Slot {
    Waiting(BoxFuture<'static, Answer>),
    Ready(Answer),
}

impl OrderedAnswers {
    fn len(&self) -> usize {
        self.slots.len()
    }

    fn is_empty(&self) -> bool {
        self.slots.is_empty()
    }

    /// Polls the future once, so that its synchronous part runs before the next request's.
    async fn start(&mut self, future: BoxFuture<'static, Answer>) {
        let mut slot = Slot::Waiting(future);
        poll_fn(|context| {
            slot.poll(context);
            Poll::Ready(())
        })
        .await;
        self.slots.push_back(slot);
    }

    /// The answer of the oldest request. Cancel-safe.
    async fn next(&mut self) -> Answer {
        poll_fn(|context| {
            for slot in &mut self.slots {
                slot.poll(context);
            }
            self.take_ready().map_or(Poll::Pending, Poll::Ready)
        })
        .await
    }

    fn take_ready(&mut self) -> Option<Answer> {
        if !matches!(self.slots.front(), Some(Slot::Ready(_))) {
            return None;
        }
        match self.slots.pop_front() {
            Some(Slot::Ready(answer)) => Some(answer),
            _ => None,
        }
    }
}

impl Slot {
    fn poll(&mut self, context: &mut Context<'_>) {
        if let Slot::Waiting(future) = self
            && let Poll::Ready(answer) = future.as_mut().poll(context)
        {
            *self = Slot::Ready(answer);
        }
    }
}
