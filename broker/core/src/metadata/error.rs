//! The error codes a controller answers with.

pub use broker_protocol::ErrorCode;
