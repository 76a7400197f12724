//! The async shell around the cores: sockets, queues, timers. No protocol decisions.

pub mod config;
pub mod connection;
pub mod observe;
pub mod timers;
pub mod waiters;
