//! What the tests of the server share: a broker process (`node`), a client that can misbehave (`wire`), and
//! one that notices if anything acknowledged is lost (`good`).

#![allow(dead_code, reason = "each test file uses a part")]

pub mod good;
pub mod node;
pub mod wire;

/// Kafka's codes, as they stand in answers.
pub fn code(error: broker_protocol::ErrorCode) -> i16 {
    error.code()
}
