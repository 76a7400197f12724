//! Bytes to structs and back: Kafka's wire protocol, record batches and log records. No state, no I/O.
//!
//! Map: [`codec`] (primitives, derive) · [`api`] (one module per API) · [`api_key`], [`error_code`]
//! (numbers and names) · [`api_versions`] (what is advertised) · [`header`], [`frame`] (around a message) ·
//! [`ids`] (identifiers) · [`record`] (record batches) ·
//! [`metadata_record`] (the metadata log) · [`group_record`] (`__consumer_offsets`) · [`transaction_record`]
//! (`__transaction_state`) · [`consumer_protocol`] (what members of a group tell each other).

// The derive macro names its runtime `::broker_protocol`, here too.
extern crate self as broker_protocol;

pub mod api;
pub mod api_key;
pub mod api_versions;
pub mod codec;
pub mod consumer_protocol;
pub mod error_code;
pub mod frame;
pub mod group_record;
pub mod header;
pub mod ids;
pub mod metadata_record;
pub mod record;
pub mod transaction_record;

pub use api::Request;
pub use api_key::ApiKey;
pub use error_code::ErrorCode;
