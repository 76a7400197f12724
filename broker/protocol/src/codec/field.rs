//! How each schema type is written and read, in both forms: fixed-width lengths and compact.

use bytes::Bytes;

use super::{DecodeError, DecodeErrorKind, EncodeError, Reader, Writer};
use crate::ids::Uuid;

/// Decoded arrays may reserve this many times the bytes that are left in the input.
const RESERVE_FACTOR: usize = 8;

/// A value of a schema type.
pub trait Field: Sized {
    /// Appends the value; `flexible` chooses the compact form.
    fn write(&self, writer: &mut Writer, version: i16, flexible: bool) -> Result<(), EncodeError>;
    /// Reads a value that may not be null.
    fn read(reader: &mut Reader, version: i16, flexible: bool) -> Result<Self, DecodeError>;
}

/// A schema type that has a null.
pub trait Nullable: Field {
    /// Appends the value, or the type's null.
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        version: i16,
        flexible: bool,
    ) -> Result<(), EncodeError>;
    /// Reads a value or null.
    fn read_nullable(
        reader: &mut Reader,
        version: i16,
        flexible: bool,
    ) -> Result<Option<Self>, DecodeError>;
}

/// Marks derived structures: their null is a byte of its own, -1 (null) or 1, in every version.
pub trait NullableStruct: Field {}

macro_rules! fixed_width {
    ($($ty:ty = $name:ident;)*) => {
        $(impl Field for $ty {
            #[inline]
            fn write(&self, writer: &mut Writer, _: i16, _: bool) -> Result<(), EncodeError> {
                writer.$name(*self);
                Ok(())
            }
            #[inline]
            fn read(reader: &mut Reader, _: i16, _: bool) -> Result<Self, DecodeError> {
                reader.$name()
            }
        })*
    };
}

fixed_width! {
    i8 = i8;
    i16 = i16;
    i32 = i32;
    i64 = i64;
    u16 = u16;
    u32 = u32;
    f64 = f64;
    bool = bool;
    Uuid = uuid;
}

/// `Field` in terms of `Nullable`, for the types whose null is a length.
macro_rules! null_by_length {
    ($ty:ty $(, $parameter:ident: $bound:ident)?) => {
        impl$(<$parameter: $bound>)? Field for $ty {
            #[inline]
            fn write(&self, writer: &mut Writer, version: i16, flexible: bool) -> Result<(), EncodeError> {
                <$ty>::write_nullable(Some(self), writer, version, flexible)
            }
            #[inline]
            fn read(reader: &mut Reader, version: i16, flexible: bool) -> Result<Self, DecodeError> {
                <$ty>::read_nullable(reader, version, flexible)?.ok_or_else(|| unexpected_null(reader))
            }
        }
    };
}

null_by_length!(String);
null_by_length!(Bytes);
null_by_length!(Vec<T>, T: Field);

#[cold]
fn unexpected_null(reader: &Reader) -> DecodeError {
    reader.error(DecodeErrorKind::UnexpectedNull)
}

impl Nullable for String {
    #[inline]
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        _: i16,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        writer.string(value.map(String::as_str), flexible)
    }
    #[inline]
    fn read_nullable(
        reader: &mut Reader,
        _: i16,
        flexible: bool,
    ) -> Result<Option<Self>, DecodeError> {
        reader.string(flexible)
    }
}

impl Nullable for Bytes {
    #[inline]
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        _: i16,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        writer.bytes(value, flexible)
    }
    #[inline]
    fn read_nullable(
        reader: &mut Reader,
        _: i16,
        flexible: bool,
    ) -> Result<Option<Self>, DecodeError> {
        reader.bytes(flexible)
    }
}

impl<T: Field> Nullable for Vec<T> {
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        version: i16,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        writer.array_length(value.map(Vec::len), flexible)?;
        value
            .into_iter()
            .flatten()
            .try_for_each(|element| element.write(writer, version, flexible))
    }

    fn read_nullable(
        reader: &mut Reader,
        version: i16,
        flexible: bool,
    ) -> Result<Option<Self>, DecodeError> {
        let Some(length) = reader.array_length(flexible)? else {
            return Ok(None);
        };
        let mut elements = Vec::with_capacity(length.min(affordable::<T>(reader.remaining())));
        for _ in 0..length {
            elements.push(T::read(reader, version, flexible)?);
        }
        Ok(Some(elements))
    }
}

/// How many elements may be reserved on the word of a length; more are pushed as they are really read.
fn affordable<T>(remaining: usize) -> usize {
    remaining.saturating_mul(RESERVE_FACTOR) / size_of::<T>().max(1)
}

impl<T: NullableStruct> Nullable for T {
    fn write_nullable(
        value: Option<&Self>,
        writer: &mut Writer,
        version: i16,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        match value {
            None => {
                writer.i8(-1);
                Ok(())
            }
            Some(value) => {
                writer.i8(1);
                value.write(writer, version, flexible)
            }
        }
    }

    fn read_nullable(
        reader: &mut Reader,
        version: i16,
        flexible: bool,
    ) -> Result<Option<Self>, DecodeError> {
        match reader.i8()? {
            -1 => Ok(None),
            1 => T::read(reader, version, flexible).map(Some),
            // Kafka takes 0 for a value, other implementations for null; nobody writes it.
            _ => Err(reader.error(DecodeErrorKind::InvalidValue(
                "a nullable structure starts with -1 or 1",
            ))),
        }
    }
}
