//! One client connection: frames in, answers out in request order.
//!
//! Requests are started in the order they arrive and may wait side by side (a parked acks=all produce
//! does not hold back the next one); their answers leave in that order, as Kafka's protocol demands.
//!
//! Map: `read` gives frames buffers of their own · `answers` keeps the order · `write` sends without copying.

mod answers;
mod read;
mod write;

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use broker_env::{BoxConnection, BoxFuture, Env, Instant, select};
use bytes::Bytes;
use tokio::sync::Notify;

use answers::OrderedAnswers;
use read::ReadBuffer;
pub(crate) use read::SHARED_BYTES_MAX;
use write::Outgoing;

/// Requests of one connection that may wait for their answer at once; more are read when one leaves.
const IN_FLIGHT_MAX: usize = 32;

/// What to do after a request.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// A whole frame, length prefix included.
    Frame(Bytes),
    /// A whole frame in pieces, so that long records are written from where they are.
    Chunks(Vec<Bytes>),
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
    mut connection: BoxConnection,
    peer: String,
    service: Arc<dyn Service>,
    request_bytes_max: usize,
    control: Arc<ConnectionControl>,
) -> String {
    let mut buffer = ReadBuffer::new(request_bytes_max);
    let mut answers = OrderedAnswers::default();
    control.touch(&env);
    loop {
        while answers.len() < IN_FLIGHT_MAX {
            match buffer.take_frame() {
                Ok(Some(frame)) => answers.start(service.handle(frame, &peer)).await,
                Ok(None) => break,
                Err(error) => return error.to_string(),
            }
        }
        select! {
            () = control.close.notified() => return "closed by the broker".into(),
            answer = answers.next(), if !answers.is_empty() => {
                if let Err(reason) = write_answers(&mut connection, answer, &mut answers).await {
                    return reason;
                }
                control.touch(&env);
            }
            read = buffer.read_from(&mut connection), if answers.len() < IN_FLIGHT_MAX => {
                match read {
                    Ok(0) => return half_closed(&mut connection, &mut answers, &buffer).await,
                    Ok(_) => control.touch(&env),
                    Err(error) => return error.to_string(),
                }
            }
        }
    }
}

/// The peer has stopped sending but may still read: what it asked for is answered.
async fn half_closed(
    connection: &mut BoxConnection,
    answers: &mut OrderedAnswers,
    rest: &ReadBuffer,
) -> String {
    while !answers.is_empty() {
        let answer = answers.next().await;
        if let Err(reason) = write_answers(connection, answer, answers).await {
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
async fn write_answers(
    connection: &mut BoxConnection,
    first: Answer,
    answers: &mut OrderedAnswers,
) -> Result<(), String> {
    let mut outgoing = Outgoing::default();
    let mut closing = None;
    let mut next = Some(first);
    while let Some(answer) = next {
        match answer {
            Answer::Frame(frame) => outgoing.push(frame),
            Answer::Chunks(chunks) => chunks.into_iter().for_each(|chunk| outgoing.push(chunk)),
            Answer::Silent => {}
            Answer::Close(reason) => {
                closing = Some(reason);
                break;
            }
        }
        next = answers.take_ready();
    }
    let sent = outgoing.send(connection).await;
    sent.map_err(|error| error.to_string())?;
    closing.map_or(Ok(()), Err)
}
