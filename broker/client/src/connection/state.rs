//! What a connection's tasks and callers share.

use std::collections::{BTreeMap, VecDeque};
use std::sync::Mutex;

use broker_protocol::codec::EncodeError;
use bytes::{Buf, Bytes, BytesMut};
use tokio::sync::{Notify, oneshot};

use crate::error::CallError;
use crate::tasks::lock;

pub type Answer = oneshot::Receiver<Result<Bytes, CallError>>;
type Reply = oneshot::Sender<Result<Bytes, CallError>>;

/// What completes a request.
pub enum Expected {
    Answer(Reply),
    /// No answer will come: the frame is written.
    Written(Reply),
}

impl Expected {
    pub fn answer(reply: Reply) -> Expected {
        Expected::Answer(reply)
    }

    pub fn written(reply: Reply) -> Expected {
        Expected::Written(reply)
    }

    fn into_reply(self) -> Reply {
        match self {
            Expected::Answer(reply) | Expected::Written(reply) => reply,
        }
    }
}

#[derive(Default)]
pub struct State {
    requests: Mutex<Requests>,
    pub queued: Notify,
    pub reader_stop: Notify,
    pub writer_stop: Notify,
}

#[derive(Default)]
struct Requests {
    closed: Option<String>,
    correlation_id: i32,
    /// Not yet given to the socket.
    queue: VecDeque<(i32, Bytes, Expected)>,
    sent: BTreeMap<i32, Reply>,
    /// Given to the socket, not flushed, and nothing more to wait for.
    unflushed: Vec<Reply>,
}

impl State {
    pub fn is_open(&self) -> bool {
        lock(&self.requests).closed.is_none()
    }

    /// Queues the frame that `encode` makes for a correlation id.
    pub fn enqueue(
        &self,
        encode: impl FnOnce(i32) -> Result<BytesMut, EncodeError>,
        expected: impl FnOnce(Reply) -> Expected,
    ) -> Result<Answer, CallError> {
        let mut requests = lock(&self.requests);
        if let Some(reason) = &requests.closed {
            return Err(CallError::NotSent(reason.clone()));
        }
        let correlation_id = requests.correlation_id;
        requests.correlation_id = correlation_id.wrapping_add(1);
        let frame = encode(correlation_id)?.freeze();
        let (reply, answer) = oneshot::channel();
        requests
            .queue
            .push_back((correlation_id, frame, expected(reply)));
        self.queued.notify_one();
        Ok(answer)
    }

    /// From here on the frame counts as sent.
    pub fn next_frame(&self) -> Option<Bytes> {
        let mut requests = lock(&self.requests);
        let (correlation_id, frame, expected) = requests.queue.pop_front()?;
        match expected {
            Expected::Answer(reply) => drop(requests.sent.insert(correlation_id, reply)),
            Expected::Written(reply) => requests.unflushed.push(reply),
        }
        Some(frame)
    }

    pub fn flushed(&self) {
        let replies = std::mem::take(&mut lock(&self.requests).unflushed);
        for reply in replies {
            let _gone = reply.send(Ok(Bytes::new()));
        }
    }

    /// Hands a frame to who waits for it.
    pub fn answered(&self, frame: Bytes) -> Result<(), String> {
        if frame.len() < 4 {
            return Err(format!("an answer of {} bytes", frame.len()));
        }
        let correlation_id = frame.clone().get_i32();
        let Some(reply) = lock(&self.requests).sent.remove(&correlation_id) else {
            return Err(format!(
                "an answer to request {correlation_id}, which waits for none"
            ));
        };
        // Who asked may have gone.
        let _gone = reply.send(Ok(frame));
        Ok(())
    }

    /// Fails everything under way and stops both tasks. Only the first reason counts.
    pub fn close(&self, reason: &str) {
        let (queue, sent) = {
            let mut requests = lock(&self.requests);
            if requests.closed.is_some() {
                return;
            }
            requests.closed = Some(reason.to_string());
            let mut sent: Vec<Reply> = std::mem::take(&mut requests.sent).into_values().collect();
            sent.append(&mut requests.unflushed);
            (std::mem::take(&mut requests.queue), sent)
        };
        self.reader_stop.notify_one();
        self.writer_stop.notify_one();
        for reply in sent {
            let _gone = reply.send(Err(CallError::Lost(reason.to_string())));
        }
        for (_, _, expected) in queue {
            let _gone = expected
                .into_reply()
                .send(Err(CallError::NotSent(reason.to_string())));
        }
    }
}
