//! Codec errors: what was wrong, and in which field of which structure.

use std::fmt;

/// Why bytes are not a message.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeErrorKind {
    #[error("{needed} bytes needed, {remaining} left")]
    Underflow { needed: usize, remaining: usize },
    #[error("length {0} is not allowed")]
    InvalidLength(i64),
    #[error("null is not allowed")]
    UnexpectedNull,
    #[error("string is not UTF-8")]
    InvalidUtf8,
    #[error("variable-length integer is too long")]
    InvalidVarint,
    #[error("tag {tag} after tag {previous}")]
    TagOrder { previous: u32, tag: u32 },
    #[error("tagged field {tag} has {declared} bytes, {read} were read")]
    TagSize {
        tag: u32,
        declared: usize,
        read: usize,
    },
    #[error("version {0} is not supported")]
    UnsupportedVersion(i16),
    #[error("{0} bytes left over")]
    TrailingBytes(usize),
    /// A value outside its domain; used by what is built on the codec.
    #[error("invalid value: {0}")]
    InvalidValue(&'static str),
}

/// A decoding error with its place. Boxed: success is the hot path.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DecodeError(Box<DecodePlace>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct DecodePlace {
    kind: DecodeErrorKind,
    offset: usize,
    structure: &'static str,
    field: &'static str,
}

impl DecodeError {
    /// An error at a byte offset from the start of the reader's input.
    #[cold]
    pub fn new(kind: DecodeErrorKind, offset: usize) -> DecodeError {
        DecodeError(Box::new(DecodePlace {
            kind,
            offset,
            structure: "",
            field: "",
        }))
    }

    /// Names the innermost field; outer calls do not overwrite it.
    #[cold]
    pub fn in_field(mut self, structure: &'static str, field: &'static str) -> DecodeError {
        if self.0.structure.is_empty() {
            self.0.structure = structure;
            self.0.field = field;
        }
        self
    }

    /// What was wrong.
    pub fn kind(&self) -> DecodeErrorKind {
        self.0.kind
    }

    /// Bytes read before the error.
    pub fn offset(&self) -> usize {
        self.0.offset
    }

    /// The innermost structure by Kafka's name; empty outside structures.
    pub fn structure(&self) -> &'static str {
        self.0.structure
    }

    /// The innermost field; empty outside structures.
    pub fn field(&self) -> &'static str {
        self.0.field
    }
}

impl fmt::Display for DecodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let DecodePlace {
            kind,
            offset,
            structure,
            field,
        } = self.0.as_ref();
        write!(formatter, "{kind} at byte {offset}")?;
        write_place(formatter, structure, field)
    }
}

impl std::error::Error for DecodeError {}

/// Why a value cannot be written at a version.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EncodeErrorKind {
    #[error("a value other than the default does not exist in version {0}")]
    NotInVersion(i16),
    #[error("null is not allowed in version {0}")]
    UnexpectedNull(i16),
    #[error("version {0} is not supported")]
    UnsupportedVersion(i16),
    #[error("length {0} is too long")]
    TooLong(usize),
    #[error("unknown tagged field {0} is out of order or collides with a known one")]
    TagOrder(u32),
}

/// An encoding error with its place.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct EncodeError(Box<EncodePlace>);

#[derive(Clone, Debug, PartialEq, Eq)]
struct EncodePlace {
    kind: EncodeErrorKind,
    structure: &'static str,
    field: &'static str,
}

impl EncodeError {
    /// An error without a place yet.
    #[cold]
    pub fn new(kind: EncodeErrorKind) -> EncodeError {
        EncodeError(Box::new(EncodePlace {
            kind,
            structure: "",
            field: "",
        }))
    }

    /// A field has a value, and the version has no field for it.
    #[cold]
    pub fn not_in_version(
        structure: &'static str,
        field: &'static str,
        version: i16,
    ) -> EncodeError {
        EncodeError::new(EncodeErrorKind::NotInVersion(version)).in_field(structure, field)
    }

    /// The structure does not exist in the version.
    #[cold]
    pub fn unsupported_version(structure: &'static str, version: i16) -> EncodeError {
        EncodeError::new(EncodeErrorKind::UnsupportedVersion(version)).in_field(structure, "")
    }

    /// Null in a version that does not have it.
    #[cold]
    pub fn null(version: i16) -> EncodeError {
        EncodeError::new(EncodeErrorKind::UnexpectedNull(version))
    }

    /// Names the innermost field; outer calls do not overwrite it.
    #[cold]
    pub fn in_field(mut self, structure: &'static str, field: &'static str) -> EncodeError {
        if self.0.structure.is_empty() {
            self.0.structure = structure;
            self.0.field = field;
        }
        self
    }

    /// What was wrong.
    pub fn kind(&self) -> EncodeErrorKind {
        self.0.kind
    }

    /// The innermost structure by Kafka's name; empty outside structures.
    pub fn structure(&self) -> &'static str {
        self.0.structure
    }

    /// The innermost field; empty outside structures.
    pub fn field(&self) -> &'static str {
        self.0.field
    }
}

impl fmt::Display for EncodeError {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let EncodePlace {
            kind,
            structure,
            field,
        } = self.0.as_ref();
        fmt::Display::fmt(kind, formatter)?;
        write_place(formatter, structure, field)
    }
}

impl std::error::Error for EncodeError {}

fn write_place(formatter: &mut fmt::Formatter<'_>, structure: &str, field: &str) -> fmt::Result {
    match (structure, field) {
        ("", _) => Ok(()),
        (_, "") => write!(formatter, " in {structure}"),
        _ => write!(formatter, " in {structure}.{field}"),
    }
}
