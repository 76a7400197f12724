//! Bytes to structs and back: Kafka's wire protocol, record batches and log records. No state, no I/O.

pub mod ids;
