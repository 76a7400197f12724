//! The async shell around the cores: sockets, queues, timers. No protocol decisions.

pub mod api;
pub mod config;
pub mod connection;
pub mod metadata_codec;
pub mod observe;
pub mod partition;
pub mod peer;
pub mod quorum;
pub mod timers;
pub mod waiters;
