//! Appends primitives to a `BytesMut`; can keep long byte fields apart so that they are never copied.

use bytes::{BufMut, Bytes, BytesMut};

use super::reader::MAX_STRING;
use super::{EncodeError, EncodeErrorKind};
use crate::ids::Uuid;

/// Below this size in bytes, copying is cheaper than one more chunk.
const CHUNK_MIN: usize = 4096;

/// One message, or one frame, being written.
#[derive(Debug, Default)]
pub struct Writer {
    buffer: BytesMut,
    /// Finished chunks; only in chunked mode.
    chunks: Vec<Bytes>,
    chunked: bool,
}

macro_rules! fixed_width {
    ($($name:ident($ty:ty) = $put:ident;)*) => {
        $(#[doc = concat!("Big-endian `", stringify!($ty), "`.")]
        #[inline]
        pub fn $name(&mut self, value: $ty) {
            self.buffer.$put(value);
        })*
    };
}

impl Writer {
    /// Allocates nothing yet.
    pub fn new() -> Writer {
        Writer::default()
    }

    /// Reserves `capacity` bytes at once.
    pub fn with_capacity(capacity: usize) -> Writer {
        Writer {
            buffer: BytesMut::with_capacity(capacity),
            ..Writer::default()
        }
    }

    /// Byte fields of 4 KiB and more become chunks of their own: see [`Writer::into_chunks`].
    /// Reserves `capacity` bytes for what stands between them.
    pub fn chunked(capacity: usize) -> Writer {
        Writer {
            chunked: true,
            ..Writer::with_capacity(capacity)
        }
    }

    /// Bytes written so far, in all chunks.
    pub fn len(&self) -> usize {
        self.chunks.iter().map(Bytes::len).sum::<usize>() + self.buffer.len()
    }

    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The bytes of a writer that is not chunked.
    pub fn into_bytes(self) -> BytesMut {
        assert!(
            self.chunks.is_empty(),
            "a chunked writer has chunks: {}",
            self.chunks.len()
        );
        self.buffer
    }

    /// The bytes in order; long byte fields are the slices that were given.
    pub fn into_chunks(mut self) -> Vec<Bytes> {
        self.end_chunk();
        self.chunks
    }

    fn end_chunk(&mut self) {
        if !self.buffer.is_empty() {
            self.chunks.push(self.buffer.split().freeze());
        }
    }

    fixed_width! {
        i8(i8) = put_i8;
        i16(i16) = put_i16;
        i32(i32) = put_i32;
        i64(i64) = put_i64;
        u8(u8) = put_u8;
        u16(u16) = put_u16;
        u32(u32) = put_u32;
        f64(f64) = put_f64;
    }

    /// One byte, 0 or 1.
    #[inline]
    pub fn bool(&mut self, value: bool) {
        self.buffer.put_u8(u8::from(value));
    }

    /// 16 bytes.
    pub fn uuid(&mut self, value: Uuid) {
        self.buffer.put_slice(&value.0);
    }

    /// Bytes as they are, without a length.
    #[inline]
    pub fn raw(&mut self, bytes: &[u8]) {
        self.buffer.extend_from_slice(bytes);
    }

    /// Seven bits a byte, lowest first.
    #[inline]
    pub fn unsigned_varint(&mut self, value: u32) {
        self.unsigned_varlong(u64::from(value));
    }

    /// Seven bits a byte, lowest first.
    #[inline]
    pub fn unsigned_varlong(&mut self, mut value: u64) {
        while value >= 0x80 {
            self.buffer.put_u8(low_byte(value) | 0x80);
            value >>= 7;
        }
        self.buffer.put_u8(low_byte(value));
    }

    /// Zigzag.
    #[inline]
    pub fn varint(&mut self, value: i32) {
        self.unsigned_varint(((value << 1) ^ (value >> 31)).cast_unsigned());
    }

    /// Zigzag.
    #[inline]
    pub fn varlong(&mut self, value: i64) {
        self.unsigned_varlong(((value << 1) ^ (value >> 63)).cast_unsigned());
    }

    /// A string; `None` is null.
    ///
    /// # Errors
    /// `TooLong` above 32767 bytes.
    #[inline]
    pub fn string(&mut self, value: Option<&str>, flexible: bool) -> Result<(), EncodeError> {
        match value {
            None if flexible => self.unsigned_varint(0),
            None => self.i16(-1),
            Some(text) => self.some_string(text, flexible)?,
        }
        Ok(())
    }

    fn some_string(&mut self, text: &str, flexible: bool) -> Result<(), EncodeError> {
        if text.len() > MAX_STRING {
            return Err(too_long(text.len()));
        }
        let length = i16::try_from(text.len()).expect("not above MAX_STRING");
        if flexible {
            self.unsigned_varint(u32::from(length.cast_unsigned()) + 1);
        } else {
            self.i16(length);
        }
        self.raw(text.as_bytes());
        Ok(())
    }

    /// Bytes or records; `None` is null.
    ///
    /// # Errors
    /// `TooLong` above 2 GiB.
    #[inline]
    pub fn bytes(&mut self, value: Option<&Bytes>, flexible: bool) -> Result<(), EncodeError> {
        self.array_length(value.map(Bytes::len), flexible)?;
        let Some(bytes) = value else { return Ok(()) };
        if self.chunked && bytes.len() >= CHUNK_MIN {
            self.end_chunk();
            self.chunks.push(bytes.clone());
        } else {
            self.raw(bytes);
        }
        Ok(())
    }

    /// The length of an array or of bytes; `None` is null.
    ///
    /// # Errors
    /// `TooLong` above what the format can hold.
    #[inline]
    pub fn array_length(
        &mut self,
        length: Option<usize>,
        flexible: bool,
    ) -> Result<(), EncodeError> {
        let Some(length) = length else {
            if flexible {
                self.unsigned_varint(0)
            } else {
                self.i32(-1)
            }
            return Ok(());
        };
        // One below the maximum, because the compact form stores length + 1.
        let checked = i32::try_from(length)
            .ok()
            .filter(|&length| length < i32::MAX);
        let checked = checked.ok_or_else(|| too_long(length))?;
        if flexible {
            self.unsigned_varint(checked.cast_unsigned() + 1)
        } else {
            self.i32(checked)
        }
        Ok(())
    }

    /// One tagged field: tag, size, then what `write` appends.
    ///
    /// # Errors
    /// Those of `write`.
    pub fn tagged_field(
        &mut self,
        tag: u32,
        write: impl FnOnce(&mut Writer) -> Result<(), EncodeError>,
    ) -> Result<(), EncodeError> {
        self.unsigned_varint(tag);
        // The size must be known in place, so nothing inside may become a chunk.
        let chunked = std::mem::replace(&mut self.chunked, false);
        let start = self.buffer.len();
        self.buffer.put_u8(0);
        let result = write(self);
        self.chunked = chunked;
        result?;
        let size = self.buffer.len() - start - 1;
        self.patch_size(start, size)
    }

    /// Puts a variable-length size where one byte was left free, moving what follows if it needs more.
    fn patch_size(&mut self, at: usize, size: usize) -> Result<(), EncodeError> {
        let mut rest = u64::from(u32::try_from(size).map_err(|_| too_long(size))?);
        let mut encoded = [0; 5];
        let mut width = 0;
        loop {
            let more = rest >= 0x80;
            encoded[width] = low_byte(rest) | if more { 0x80 } else { 0 };
            width += 1;
            rest >>= 7;
            if !more {
                break;
            }
        }
        self.buffer.put_bytes(0, width - 1);
        self.buffer.copy_within(at + 1..at + 1 + size, at + width);
        self.buffer[at..at + width].copy_from_slice(&encoded[..width]);
        Ok(())
    }

    /// Overwrites 4 bytes that were written at `at`, for a size that was not known then.
    pub fn patch_i32(&mut self, at: usize, value: i32) {
        self.buffer[at..at + 4].copy_from_slice(&value.to_be_bytes());
    }
}

#[inline]
fn low_byte(value: u64) -> u8 {
    u8::try_from(value & 0x7f).expect("seven bits")
}

#[cold]
fn too_long(length: usize) -> EncodeError {
    EncodeError::new(EncodeErrorKind::TooLong(length))
}
