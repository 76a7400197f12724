//! Kafka messages out of the byte streams of connections: only lengths and the head of each are looked at.

use std::collections::{BTreeMap, VecDeque};

use broker_protocol::ApiKey;
use reports::recording::{Message, Moment};
use sim_faults::{Direction, Passage};

use super::window::Window;

/// Length, API key, version, correlation id.
const REQUEST_HEAD: usize = 12;
/// Length, correlation id.
const RESPONSE_HEAD: usize = 8;
/// A length above this is no Kafka message but another protocol.
const LENGTH_MAX: u32 = 128 << 20;
/// Requests of a connection without an answer that are remembered; acks=0 never gets one.
const OPEN_REQUESTS_MAX: usize = 1_024;

/// All connections.
pub struct Wire {
    messages: Window<Message>,
    connections: BTreeMap<u64, Connection>,
}

/// What is known of a connection.
#[derive(Default)]
struct Connection {
    requests: Stream,
    responses: Stream,
    /// Correlation id, API key, version of what waits for an answer.
    open: VecDeque<(i32, i16, i16)>,
}

/// One direction.
#[derive(Default)]
struct Stream {
    written: u64,
    arrived: u64,
    head: [u8; REQUEST_HEAD],
    /// Bytes of the head that are there.
    have: usize,
    began: Moment,
    /// Bytes of the present message that are to come after its head.
    rest: u64,
    /// No Kafka message: not looked at any more.
    opaque: bool,
    /// Messages under way: where each ends in the stream, and its number.
    under_way: VecDeque<(u64, u64)>,
}

/// What the head of a message says.
struct Head {
    correlation_id: i32,
    /// Of a request.
    api: Option<(i16, i16)>,
}

impl Wire {
    pub fn new(capacity: usize) -> Wire {
        Wire {
            messages: Window::new(capacity),
            connections: BTreeMap::new(),
        }
    }

    pub fn keep_around(&mut self) {
        self.messages.keep_around();
    }

    pub fn written(&mut self, passage: &Passage, mut bytes: &[u8]) {
        let connection = self.connections.entry(passage.connection).or_default();
        let is_response = passage.direction == Direction::Response;
        while !bytes.is_empty() {
            let (stream, open) = connection.parts(is_response);
            let Some((head, length)) = stream.take(&mut bytes, is_response, moment(passage)) else {
                continue;
            };
            let (api_key, version) = match head.api {
                Some(api) => {
                    if open.len() == OPEN_REQUESTS_MAX {
                        open.pop_front();
                    }
                    open.push_back((head.correlation_id, api.0, api.1));
                    api
                }
                None => answered(open, head.correlation_id),
            };
            let pushed = self.messages.push(Message {
                from: lane(passage.from.0),
                to: lane(passage.to.0),
                sent: stream.began,
                received: None,
                api_key,
                version,
                correlation_id: head.correlation_id,
                is_response,
                bytes: length,
                connection: passage.connection,
            });
            let ends = stream.written + stream.rest;
            stream.under_way.extend(pushed.map(|number| (ends, number)));
        }
    }

    pub fn arrived(&mut self, passage: &Passage, count: usize) {
        let Some(connection) = self.connections.get_mut(&passage.connection) else {
            return;
        };
        let (stream, _) = connection.parts(passage.direction == Direction::Response);
        stream.arrived += u64::try_from(count).expect("64 bits");
        while let Some((ends, number)) = stream.under_way.front().copied() {
            if ends > stream.arrived {
                break;
            }
            stream.under_way.pop_front();
            if let Some(message) = self.messages.get_mut(number) {
                message.received = Some(moment(passage));
            }
        }
    }

    pub fn closed(&mut self, connection: u64) {
        self.connections.remove(&connection);
    }

    /// Messages in order of sending, and how many there were before and after them.
    pub fn finish(self) -> (Vec<Message>, u64, u64) {
        let (before, after) = (self.messages.before, self.messages.after);
        (self.messages.into_entries(), before, after)
    }
}

impl Connection {
    fn parts(&mut self, is_response: bool) -> (&mut Stream, &mut VecDeque<(i32, i16, i16)>) {
        let stream = if is_response {
            &mut self.responses
        } else {
            &mut self.requests
        };
        (stream, &mut self.open)
    }
}

impl Stream {
    /// Takes bytes up to the end of a head or of a message; gives the head when it is whole, with the length.
    fn take(&mut self, bytes: &mut &[u8], is_response: bool, at: Moment) -> Option<(Head, u32)> {
        if self.opaque || self.rest > 0 {
            let length = u64::try_from(bytes.len()).expect("64 bits");
            let count = if self.opaque {
                length
            } else {
                length.min(self.rest)
            };
            self.rest -= if self.opaque { 0 } else { count };
            self.pass(bytes, usize::try_from(count).expect("at most a length"));
            return None;
        }
        if self.have == 0 {
            self.began = at;
        }
        let wanted = self.head_length(is_response);
        let count = bytes.len().min(wanted - self.have);
        self.head[self.have..self.have + count].copy_from_slice(&bytes[..count]);
        self.have += count;
        self.pass(bytes, count);
        if self.have < self.head_length(is_response) {
            return None;
        }
        let (have, length) = (std::mem::take(&mut self.have), self.length());
        if length > LENGTH_MAX || have < whole(is_response) {
            // Longer than Kafka takes, or shorter than any head.
            self.opaque = true;
            return None;
        }
        self.rest = u64::from(length) + 4 - u64::try_from(have).expect("small");
        Some((self.parse(is_response), length + 4))
    }

    fn pass(&mut self, bytes: &mut &[u8], count: usize) {
        self.written += u64::try_from(count).expect("64 bits");
        *bytes = &bytes[count..];
    }

    /// The length comes first: a message may be shorter than a whole head.
    fn head_length(&self, is_response: bool) -> usize {
        if self.have < 4 {
            return 4;
        }
        let message = usize::try_from(self.length()).unwrap_or(usize::MAX);
        whole(is_response).min(message.saturating_add(4))
    }

    fn length(&self) -> u32 {
        u32::from_be_bytes([self.head[0], self.head[1], self.head[2], self.head[3]])
    }

    fn parse(&self, is_response: bool) -> Head {
        let head = &self.head;
        let number =
            |at: usize| i32::from_be_bytes([head[at], head[at + 1], head[at + 2], head[at + 3]]);
        let short = |at: usize| i16::from_be_bytes([head[at], head[at + 1]]);
        if is_response {
            return Head {
                correlation_id: number(4),
                api: None,
            };
        }
        Head {
            correlation_id: number(8),
            api: Some((short(4), short(6))),
        }
    }
}

fn whole(is_response: bool) -> usize {
    if is_response {
        RESPONSE_HEAD
    } else {
        REQUEST_HEAD
    }
}

/// What the answer's request was.
fn answered(open: &mut VecDeque<(i32, i16, i16)>, correlation_id: i32) -> (i16, i16) {
    let found = open.iter().position(|request| request.0 == correlation_id);
    let request = found.and_then(|index| open.remove(index));
    request.map_or((-1, -1), |(_, api_key, version)| (api_key, version))
}

fn moment(passage: &Passage) -> Moment {
    Moment {
        us: passage.at_ns / 1_000,
        event: passage.event,
    }
}

fn lane(host: u32) -> u16 {
    u16::try_from(host).unwrap_or(u16::MAX)
}

/// Kafka's names of the keys that occur.
pub fn names(messages: &[Message]) -> BTreeMap<i16, String> {
    let mut names = BTreeMap::new();
    for message in messages {
        names
            .entry(message.api_key)
            .or_insert_with(|| match ApiKey::from_code(message.api_key) {
                Some(key) => key.name().to_owned(),
                None => format!("api {}", message.api_key),
            });
    }
    names
}

#[cfg(test)]
mod tests {
    use sim_faults::HostId;

    use super::*;

    fn passage(direction: Direction, at_ns: u64) -> Passage {
        Passage {
            at_ns,
            event: at_ns / 10,
            connection: 7,
            direction,
            from: HostId(0),
            to: HostId(1),
        }
    }

    fn request(correlation_id: i32, body: usize) -> Vec<u8> {
        let length = u32::try_from(8 + body).expect("small");
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend([0, 1, 0, 17]);
        frame.extend(correlation_id.to_be_bytes());
        frame.resize(frame.len() + body, 9);
        frame
    }

    fn response(correlation_id: i32, body: usize) -> Vec<u8> {
        let length = u32::try_from(4 + body).expect("small");
        let mut frame = length.to_be_bytes().to_vec();
        frame.extend(correlation_id.to_be_bytes());
        frame.resize(frame.len() + body, 9);
        frame
    }

    /// Two requests and the answer to the second, in pieces of `size`.
    fn exchange(size: usize) -> Vec<Message> {
        let mut wire = Wire::new(10);
        let sent = [request(5, 30), request(6, 0)].concat();
        for (piece, at) in sent.chunks(size).zip(1_u64..) {
            wire.written(&passage(Direction::Request, at * 1_000), piece);
        }
        wire.arrived(&passage(Direction::Request, 900_000), 41);
        wire.arrived(&passage(Direction::Request, 950_000), 1);
        wire.arrived(&passage(Direction::Request, 990_000), 12);
        for piece in response(6, 3).chunks(size) {
            wire.written(&passage(Direction::Response, 1_000_000), piece);
        }
        wire.finish().0
    }

    #[test]
    fn messages_are_found_however_they_are_cut() {
        for size in [1, 2, 5, 12, 100] {
            let messages = exchange(size);
            let seen: Vec<_> = messages
                .iter()
                .map(|one| {
                    (
                        one.correlation_id,
                        one.api_key,
                        one.version,
                        one.is_response,
                        one.bytes,
                        one.received.map(|at| at.us),
                    )
                })
                .collect();
            let expected = [
                (5, 1, 17, false, 42, Some(950)),
                (6, 1, 17, false, 12, Some(990)),
                (6, 1, 17, true, 11, None),
            ];
            assert_eq!(seen, expected, "in pieces of {size}");
        }
        assert_eq!(exchange(1)[1].sent.us, 43, "when its first byte is written");
    }

    #[test]
    fn what_is_no_kafka_is_not_looked_at() {
        let mut wire = Wire::new(10);
        for noise in [&b"GET / HTTP/1.1\r\n"[..], &[0, 0, 0, 2, 1, 1, 5, 5]] {
            wire.written(&passage(Direction::Request, 1), noise);
            wire.arrived(&passage(Direction::Request, 2), noise.len());
            wire.closed(7);
        }
        assert_eq!(wire.finish().0, []);
    }

    #[test]
    fn an_answer_without_a_known_request_has_no_key() {
        let mut wire = Wire::new(10);
        wire.written(&passage(Direction::Response, 1), &response(6, 3));
        assert_eq!(wire.finish().0[0].api_key, -1);
    }
}
