//! Producer, consumer and admin client: shells around the pure cores in `broker_core::{producer, consumer}`.
//!
//! Everything reaches the world through [`broker_env::Env`], so the same client runs in production and in
//! every simulator. A [`Client`] holds what the three share: connections to the brokers and cluster metadata.
//!
//! - [`client`]: which broker to ask, retries of metadata. `connections` one connection per broker and lane,
//!   `connection` frames and correlation ids, `metadata` the cache.
//! - [`producer`], [`consumer`], [`group`], [`admin`]: what applications use; `coordinator` finds a group's.
//! - [`config`], [`error`]: configuration by Kafka's names, errors by Kafka's names.
//! - `tasks`, `timers`: what the shells own; nothing of them is left after `close` or drop.
//!
//! Contract: every request and every connect has a time limit; an idle client causes no events but a
//! consumer's long poll; a lost connection fails what was sent over it and is never used again.

pub mod admin;
pub mod client;
pub mod config;
mod connection;
mod connections;
pub mod consumer;
mod coordinator;
pub mod error;
pub mod group;
pub mod metadata;
mod offsets;
mod partitioner;
pub mod producer;
mod refresh;
mod tasks;
mod timers;

pub use admin::Admin;
pub use broker_protocol::ErrorCode;
pub use broker_protocol::ids::TopicPartition;
pub use broker_protocol::record::{Compression, Header};
pub use client::Client;
pub use config::{ClientConfig, ConsumerConfig, IsolationLevel, OffsetReset, ProducerConfig};
pub use consumer::{Consumer, ConsumerRecord, ConsumerRecords, PartitionRecords};
pub use error::{AdminError, CallError, ConsumerError, GroupError, ProduceError, TransactionError};
pub use group::{CommitError, GroupConfig, GroupConsumer, GroupProtocol};
pub use offsets::{ListedOffset, OffsetSpec};
pub use partitioner::murmur2;
pub use producer::{
    Delivery, GroupMetadata, Producer, ProducerIdAndEpoch, ProducerRecord, RecordMetadata,
    TransactionState,
};
