//! The async shell around the cores: sockets, queues, timers. No protocol decisions.

pub mod observe;
