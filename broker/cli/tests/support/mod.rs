//! What the tests share: a broker process (`node`), a client that can misbehave (`wire`), one that notices if
//! anything acknowledged is lost (`good`), the commands (`command`), quorums that change (`quorum`), and ports
//! (`ports`).

#![allow(dead_code, reason = "each test file uses a part")]

pub mod command;
pub mod good;
pub mod node;
pub mod ports;
pub mod quorum;
pub mod wire;

/// What a text must say.
#[track_caller]
pub fn assert_says(text: &str, parts: &[&str]) {
    for part in parts {
        assert!(text.contains(part), "'{part}' is not in: {text}");
    }
}

/// Kafka's codes, as they stand in answers.
pub fn code(error: broker_protocol::ErrorCode) -> i16 {
    error.code()
}
