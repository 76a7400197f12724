//! Frames: a 4-byte size, then a header, then a message.

use bytes::{Buf, Bytes, BytesMut};

use crate::api::Request;
use crate::codec::{Decode, DecodeError, Encode, EncodeError, EncodeErrorKind, Reader, Writer};
use crate::header::{RequestHeader, ResponseHeader};

/// Default of `socket.request.max.bytes`, in bytes.
pub const DEFAULT_MAX_REQUEST_SIZE: usize = 100 * 1024 * 1024;

/// Bytes of the size before a frame.
pub const SIZE_PREFIX: usize = 4;

/// A size prefix that ends the connection.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub enum FrameError {
    #[error("frame size {0} is negative")]
    Negative(i32),
    #[error("frame of {size} bytes exceeds the limit of {max}")]
    TooLarge { size: usize, max: usize },
}

/// Checks a size prefix against the limit, in bytes.
///
/// # Errors
/// Negative, or above `max`. Nothing has been allocated.
pub fn parse_size(prefix: [u8; SIZE_PREFIX], max: usize) -> Result<usize, FrameError> {
    let declared = i32::from_be_bytes(prefix);
    let size = usize::try_from(declared).map_err(|_| FrameError::Negative(declared))?;
    if size > max {
        Err(FrameError::TooLarge { size, max })
    } else {
        Ok(size)
    }
}

/// Takes the next whole frame, without its size prefix, off a read buffer; `None` until it is all there.
///
/// # Errors
/// See [`parse_size`].
pub fn take_frame(buffer: &mut BytesMut, max: usize) -> Result<Option<Bytes>, FrameError> {
    let Some(prefix) = buffer.first_chunk::<SIZE_PREFIX>() else {
        return Ok(None);
    };
    let size = parse_size(*prefix, max)?;
    if buffer.len() - SIZE_PREFIX < size {
        return Ok(None);
    }
    buffer.advance(SIZE_PREFIX);
    Ok(Some(buffer.split_to(size).freeze()))
}

/// A whole request frame, size prefix included.
///
/// # Errors
/// What the version cannot express: see [`Encode::encode`].
pub fn encode_request<R: Request>(
    request: &R,
    version: i16,
    correlation_id: i32,
    client_id: Option<&str>,
) -> Result<BytesMut, EncodeError> {
    let header = RequestHeader {
        request_api_key: R::API_KEY.code(),
        request_api_version: version,
        correlation_id,
        client_id: client_id.map(str::to_owned),
        ..RequestHeader::default()
    };
    encode_frame(&header, R::header_version(version), request, version)
}

/// A whole response frame, size prefix included. `R` is the request it answers.
///
/// # Errors
/// What the version cannot express: see [`Encode::encode`].
pub fn encode_response<R: Request>(
    response: &R::Response,
    version: i16,
    correlation_id: i32,
) -> Result<BytesMut, EncodeError> {
    let header = ResponseHeader {
        correlation_id,
        ..ResponseHeader::default()
    };
    encode_frame(
        &header,
        R::response_header_version(version),
        response,
        version,
    )
}

/// Any header and body in one buffer, size prefix included.
///
/// # Errors
/// What the versions cannot express, or a frame above 2 GiB.
pub fn encode_frame(
    header: &impl Encode,
    header_version: i16,
    body: &impl Encode,
    version: i16,
) -> Result<BytesMut, EncodeError> {
    let mut writer = Writer::with_capacity(INITIAL_CAPACITY);
    writer.i32(0);
    header.encode(&mut writer, header_version)?;
    body.encode(&mut writer, version)?;
    let size = frame_size(writer.len() - SIZE_PREFIX)?;
    writer.patch_i32(0, size);
    Ok(writer.into_bytes())
}

/// Like [`encode_response`], but records of 4 KiB and more stay the slices they were: no copy. The chunks
/// in order are the frame, size prefix included.
///
/// # Errors
/// What the version cannot express, or a frame above 2 GiB.
pub fn encode_response_chunks<R: Request>(
    response: &R::Response,
    version: i16,
    correlation_id: i32,
) -> Result<Vec<Bytes>, EncodeError> {
    let header = ResponseHeader {
        correlation_id,
        ..ResponseHeader::default()
    };
    let mut writer = Writer::chunked(INITIAL_CAPACITY);
    header.encode(&mut writer, R::response_header_version(version))?;
    response.encode(&mut writer, version)?;
    let size = frame_size(writer.len())?;
    let mut chunks = writer.into_chunks();
    chunks.insert(0, Bytes::copy_from_slice(&size.to_be_bytes()));
    Ok(chunks)
}

const INITIAL_CAPACITY: usize = 256;

fn frame_size(size: usize) -> Result<i32, EncodeError> {
    i32::try_from(size).map_err(|_| EncodeError::new(EncodeErrorKind::TooLong(size)))
}

/// Reads a request frame without its size prefix. The header says key and version; they must be `R`'s.
///
/// # Errors
/// Malformed bytes, an unsupported version, or bytes after the request.
pub fn decode_request<R: Request>(
    frame: Bytes,
    version: i16,
) -> Result<(RequestHeader, R), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = RequestHeader::decode(&mut reader, R::header_version(version))?;
    let request = R::decode(&mut reader, version)?;
    reader.finish()?;
    Ok((header, request))
}

/// Reads a response frame without its size prefix. `R` is the request it answers.
///
/// # Errors
/// Malformed bytes, an unsupported version, or bytes after the response.
pub fn decode_response<R: Request>(
    frame: Bytes,
    version: i16,
) -> Result<(ResponseHeader, R::Response), DecodeError> {
    let mut reader = Reader::new(frame);
    let header = ResponseHeader::decode(&mut reader, R::response_header_version(version))?;
    let response = R::Response::decode(&mut reader, version)?;
    reader.finish()?;
    Ok((header, response))
}
