//! Reads primitives from `Bytes` without copying; every length is checked before it is believed.

use bytes::{Buf, Bytes};

use super::{DecodeError, DecodeErrorKind, TaggedField, TaggedFields};
use crate::ids::Uuid;

/// Kafka's limit for a string, in bytes, in both encodings.
pub const MAX_STRING: usize = 0x7fff;

/// A cursor over one frame, or over a part of one.
#[derive(Clone, Debug)]
pub struct Reader {
    bytes: Bytes,
    total: usize,
}

macro_rules! fixed_width {
    ($($name:ident -> $ty:ty = $get:ident, $width:expr;)*) => {
        $(#[doc = concat!("Big-endian, ", stringify!($width), " bytes.")]
        #[inline]
        pub fn $name(&mut self) -> Result<$ty, DecodeError> {
            self.require($width)?;
            Ok(self.bytes.$get())
        })*
    };
}

impl Reader {
    /// Reads from the first byte of `bytes`.
    pub fn new(bytes: Bytes) -> Reader {
        Reader {
            total: bytes.len(),
            bytes,
        }
    }

    /// Bytes not read yet.
    #[inline]
    pub fn remaining(&self) -> usize {
        self.bytes.len()
    }

    /// Bytes read so far.
    pub fn offset(&self) -> usize {
        self.total - self.bytes.len()
    }

    /// What is left, as a slice of the same memory.
    pub fn into_rest(self) -> Bytes {
        self.bytes
    }

    /// An error at the current offset.
    #[cold]
    pub fn error(&self, kind: DecodeErrorKind) -> DecodeError {
        DecodeError::new(kind, self.offset())
    }

    /// Ends reading.
    ///
    /// # Errors
    /// `TrailingBytes` when the input was not read to its end.
    pub fn finish(self) -> Result<(), DecodeError> {
        match self.remaining() {
            0 => Ok(()),
            left => Err(self.error(DecodeErrorKind::TrailingBytes(left))),
        }
    }

    /// Checks that `needed` bytes are left.
    #[inline]
    pub fn require(&self, needed: usize) -> Result<(), DecodeError> {
        if needed <= self.bytes.len() {
            Ok(())
        } else {
            Err(self.underflow(needed))
        }
    }

    #[cold]
    fn underflow(&self, needed: usize) -> DecodeError {
        self.error(DecodeErrorKind::Underflow {
            needed,
            remaining: self.remaining(),
        })
    }

    fixed_width! {
        i8 -> i8 = get_i8, 1;
        i16 -> i16 = get_i16, 2;
        i32 -> i32 = get_i32, 4;
        i64 -> i64 = get_i64, 8;
        u8 -> u8 = get_u8, 1;
        u16 -> u16 = get_u16, 2;
        u32 -> u32 = get_u32, 4;
        f64 -> f64 = get_f64, 8;
    }

    /// Any non-zero byte is true, as in Kafka.
    #[inline]
    pub fn bool(&mut self) -> Result<bool, DecodeError> {
        Ok(self.u8()? != 0)
    }

    /// 16 bytes.
    pub fn uuid(&mut self) -> Result<Uuid, DecodeError> {
        self.require(16)?;
        let mut value = [0; 16];
        self.bytes.copy_to_slice(&mut value);
        Ok(Uuid(value))
    }

    /// At most 5 bytes; bits beyond the 32nd are an error.
    #[inline]
    pub fn unsigned_varint(&mut self) -> Result<u32, DecodeError> {
        let first = self.u8()?;
        if first < 0x80 {
            Ok(u32::from(first))
        } else {
            self.unsigned_varint_rest(first)
        }
    }

    fn unsigned_varint_rest(&mut self, first: u8) -> Result<u32, DecodeError> {
        let value = self.varint_bits(first, 32)?;
        Ok(u32::try_from(value).expect("limited to 32 bits"))
    }

    fn varint_bits(&mut self, first: u8, width: u32) -> Result<u64, DecodeError> {
        let mut value = u64::from(first & 0x7f);
        let mut shift = 7;
        loop {
            let byte = self.u8()?;
            let bits = u64::from(byte & 0x7f);
            let room = width.saturating_sub(shift);
            if room < 7 && bits >> room != 0 {
                return Err(self.error(DecodeErrorKind::InvalidVarint));
            }
            value |= bits << shift;
            shift += 7;
            if byte < 0x80 {
                return Ok(value);
            }
            if shift >= width {
                return Err(self.error(DecodeErrorKind::InvalidVarint));
            }
        }
    }

    /// Zigzag, at most 5 bytes.
    #[inline]
    pub fn varint(&mut self) -> Result<i32, DecodeError> {
        let raw = self.unsigned_varint()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// At most 10 bytes; bits beyond the 64th are an error.
    #[inline]
    pub fn unsigned_varlong(&mut self) -> Result<u64, DecodeError> {
        let first = self.u8()?;
        if first < 0x80 {
            Ok(u64::from(first))
        } else {
            self.varint_bits(first, 64)
        }
    }

    /// Zigzag, at most 10 bytes.
    #[inline]
    pub fn varlong(&mut self) -> Result<i64, DecodeError> {
        let raw = self.unsigned_varlong()?;
        Ok((raw >> 1).cast_signed() ^ -(raw & 1).cast_signed())
    }

    /// The next `length` bytes as a slice of the same memory.
    #[inline]
    pub fn take(&mut self, length: usize) -> Result<Bytes, DecodeError> {
        self.require(length)?;
        Ok(self.bytes.split_to(length))
    }

    /// The next bytes without reading them.
    pub fn peek(&self) -> &[u8] {
        &self.bytes
    }

    /// Passes over `length` bytes.
    pub fn skip(&mut self, length: usize) -> Result<(), DecodeError> {
        self.require(length)?;
        self.bytes.advance(length);
        Ok(())
    }

    /// A string of up to 32767 bytes; `None` is null.
    #[inline]
    pub fn string(&mut self, flexible: bool) -> Result<Option<String>, DecodeError> {
        let length = if flexible {
            self.compact_length()?
        } else {
            self.short_length()?
        };
        length.map(|length| self.utf8(length)).transpose()
    }

    fn utf8(&mut self, length: usize) -> Result<String, DecodeError> {
        if length > MAX_STRING {
            return Err(self.invalid_length(length));
        }
        self.require(length)?;
        let text = std::str::from_utf8(&self.bytes[..length]);
        let text = text
            .map_err(|_| self.error(DecodeErrorKind::InvalidUtf8))?
            .to_owned();
        self.bytes.advance(length);
        Ok(text)
    }

    /// Bytes or records, as a slice of the same memory; `None` is null.
    #[inline]
    pub fn bytes(&mut self, flexible: bool) -> Result<Option<Bytes>, DecodeError> {
        let length = if flexible {
            self.compact_length()?
        } else {
            self.length()?
        };
        length.map(|length| self.take(length)).transpose()
    }

    /// The number of elements of an array, not more than the bytes that are left: every element has one.
    #[inline]
    pub fn array_length(&mut self, flexible: bool) -> Result<Option<usize>, DecodeError> {
        let length = if flexible {
            self.compact_length()?
        } else {
            self.length()?
        };
        if let Some(length) = length {
            self.require(length)?;
        }
        Ok(length)
    }

    fn compact_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let raw = self.unsigned_varint()?;
        if raw > i32::MAX.unsigned_abs() {
            return Err(self.error(DecodeErrorKind::InvalidLength(i64::from(raw))));
        }
        let plus_one = usize::try_from(raw).expect("usize has 32 bits or more");
        Ok(plus_one.checked_sub(1))
    }

    fn short_length(&mut self) -> Result<Option<usize>, DecodeError> {
        let length = self.i16()?;
        self.signed_length(i64::from(length))
    }

    fn length(&mut self) -> Result<Option<usize>, DecodeError> {
        let length = self.i32()?;
        self.signed_length(i64::from(length))
    }

    #[inline]
    fn signed_length(&self, length: i64) -> Result<Option<usize>, DecodeError> {
        if length == -1 {
            return Ok(None);
        }
        usize::try_from(length)
            .map(Some)
            .map_err(|_| self.error(DecodeErrorKind::InvalidLength(length)))
    }

    #[cold]
    fn invalid_length(&self, length: usize) -> DecodeError {
        self.error(DecodeErrorKind::InvalidLength(
            i64::try_from(length).unwrap_or(i64::MAX),
        ))
    }

    /// Reads a section of tagged fields. `known` reads the fields it knows and returns true for them; the
    /// others are returned as they are.
    ///
    /// # Errors
    /// Tags that do not grow, and a known field that does not fill its declared size.
    pub fn tagged_fields(
        &mut self,
        mut known: impl FnMut(&mut Reader, u32) -> Result<bool, DecodeError>,
    ) -> Result<TaggedFields, DecodeError> {
        let mut unknown = TaggedFields::default();
        let mut previous = None;
        for _ in 0..self.unsigned_varint()? {
            let tag = self.unsigned_varint()?;
            self.check_tag_order(previous, tag)?;
            previous = Some(tag);
            let size = usize::try_from(self.unsigned_varint()?).expect("usize has 32 bits or more");
            self.require(size)?;
            let before = self.remaining();
            if !known(self, tag)? {
                unknown.push(TaggedField {
                    tag,
                    data: self.take(size)?,
                });
            }
            self.check_tag_size(tag, size, before - self.remaining())?;
        }
        Ok(unknown)
    }

    fn check_tag_order(&self, previous: Option<u32>, tag: u32) -> Result<(), DecodeError> {
        match previous {
            Some(previous) if previous >= tag => {
                Err(self.error(DecodeErrorKind::TagOrder { previous, tag }))
            }
            _ => Ok(()),
        }
    }

    fn check_tag_size(&self, tag: u32, declared: usize, read: usize) -> Result<(), DecodeError> {
        if declared == read {
            return Ok(());
        }
        Err(self.error(DecodeErrorKind::TagSize {
            tag,
            declared,
            read,
        }))
    }
}
