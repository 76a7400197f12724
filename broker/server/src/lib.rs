//! The async shell around the cores: sockets, queues, timers. No protocol decisions.

pub mod api;
pub mod config;
pub mod connection;
pub mod controller_channel;
mod controller_registration;
pub mod directory_assignments;
pub mod features;
pub mod fetch_sessions;
pub mod format;
pub mod lifecycle;
pub mod listener;
pub mod log_directories;
pub mod metadata_cache;
pub mod metadata_codec;
pub mod node;
pub mod observe;
pub mod partition;
pub mod partition_events;
pub mod peer;
mod publisher;
pub mod quorum;
pub mod replica_fetcher;
pub mod replica_manager;
pub mod replication_quotas;
mod snapshot_schedule;
pub mod timers;
pub mod waiters;
