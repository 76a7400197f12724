//! The wire format's primitives, and the traits that the derive macro implements.
//!
//! Map: [`Writer`] (over `BytesMut`) · [`Reader`] (over `Bytes`, zero copy) · [`error`] (what and where) ·
//! [`field`] (how each schema type is written) · [`tagged`] (unknown tagged fields, kept) ·
//! `arbitrary` (test values, feature `arbitrary`).
//!
//! Contract: reading never panics, and never allocates more than a small factor of the bytes that are left.

#[cfg(any(test, feature = "arbitrary"))]
pub mod arbitrary;
pub mod error;
pub mod field;
pub mod reader;
pub mod tagged;
pub mod writer;

pub use broker_protocol_derive::Message;
pub use error::{DecodeError, DecodeErrorKind, EncodeError, EncodeErrorKind};
pub use field::{Field, Nullable, NullableStruct};
pub use reader::Reader;
pub use tagged::{TaggedField, TaggedFields, TaggedFieldsWriter};
pub use writer::Writer;

/// A structure that can be written at a version of its API.
pub trait Encode {
    /// Appends the structure. What was appended before an error is meaningless.
    ///
    /// # Errors
    /// A value that this version cannot express: a non-default field it lacks, null where it has no
    /// null, a string longer than Kafka allows.
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError>;
}

/// A structure that can be read at a version of its API.
pub trait Decode: Sized {
    /// Reads the structure and leaves the reader behind it.
    ///
    /// # Errors
    /// Any malformed input, with the structure, the field and the offset in bytes.
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError>;
}
