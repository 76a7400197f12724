//! Messages as columns of small numbers: a third of the size of objects, and what a browser wants.
//!
//! `sent_us` and `sent_event` are differences to the message before; `took_us` and `took_events` are those from
//! sending to arrival, -1 if it never arrived. `sizes` counts the length in front.

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{LaneId, Message, Moment};

#[derive(Default, Serialize, Deserialize)]
struct Columns {
    from: Vec<LaneId>,
    to: Vec<LaneId>,
    sent_us: Vec<u64>,
    sent_event: Vec<u64>,
    took_us: Vec<i64>,
    took_events: Vec<i64>,
    api_key: Vec<i16>,
    version: Vec<i16>,
    correlation_id: Vec<i32>,
    /// 1 or 0.
    is_response: Vec<u8>,
    sizes: Vec<u32>,
    connection: Vec<u64>,
}

pub fn serialize<S: Serializer>(messages: &[Message], serializer: S) -> Result<S::Ok, S::Error> {
    let mut columns = Columns::default();
    let mut last = Moment::default();
    for message in messages {
        columns.add(message, last);
        last = message.sent;
    }
    columns.serialize(serializer)
}

pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Vec<Message>, D::Error> {
    let columns = Columns::deserialize(deserializer)?;
    if !columns.are_even() {
        return Err(D::Error::custom("columns of messages differ in length"));
    }
    let mut last = Moment::default();
    let mut messages = Vec::with_capacity(columns.from.len());
    for row in 0..columns.from.len() {
        let message = columns
            .row(row, last)
            .ok_or_else(|| D::Error::custom(format!("message {row} has no possible time")))?;
        last = message.sent;
        messages.push(message);
    }
    Ok(messages)
}

impl Columns {
    fn add(&mut self, message: &Message, last: Moment) {
        let took = |from: u64, to: Option<u64>| {
            to.map_or(-1, |to| {
                i64::try_from(to.saturating_sub(from)).unwrap_or(i64::MAX)
            })
        };
        let received = message.received;
        self.from.push(message.from);
        self.to.push(message.to);
        self.sent_us.push(message.sent.us.saturating_sub(last.us));
        self.sent_event
            .push(message.sent.event.saturating_sub(last.event));
        self.took_us
            .push(took(message.sent.us, received.map(|at| at.us)));
        self.took_events
            .push(took(message.sent.event, received.map(|at| at.event)));
        self.api_key.push(message.api_key);
        self.version.push(message.version);
        self.correlation_id.push(message.correlation_id);
        self.is_response.push(u8::from(message.is_response));
        self.sizes.push(message.bytes);
        self.connection.push(message.connection);
    }

    fn row(&self, row: usize, last: Moment) -> Option<Message> {
        let sent = Moment {
            us: last.us.checked_add(self.sent_us[row])?,
            event: last.event.checked_add(self.sent_event[row])?,
        };
        let took = (
            u64::try_from(self.took_us[row]),
            u64::try_from(self.took_events[row]),
        );
        let received = match took {
            (Ok(us), Ok(events)) => Some(Moment {
                us: sent.us.checked_add(us)?,
                event: sent.event.checked_add(events)?,
            }),
            _ => None,
        };
        Some(Message {
            from: self.from[row],
            to: self.to[row],
            sent,
            received,
            api_key: self.api_key[row],
            version: self.version[row],
            correlation_id: self.correlation_id[row],
            is_response: self.is_response[row] != 0,
            bytes: self.sizes[row],
            connection: self.connection[row],
        })
    }

    fn are_even(&self) -> bool {
        let length = self.from.len();
        [
            self.to.len(),
            self.sent_us.len(),
            self.sent_event.len(),
            self.took_us.len(),
            self.took_events.len(),
            self.api_key.len(),
            self.version.len(),
            self.correlation_id.len(),
            self.is_response.len(),
            self.sizes.len(),
            self.connection.len(),
        ]
        .iter()
        .all(|other| *other == length)
    }
}
