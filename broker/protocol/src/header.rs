//! Headers before requests and responses.

use bytes::Bytes;

use crate::codec::{
    Decode, DecodeError, DecodeErrorKind, Encode, EncodeError, Reader, TaggedFields, Writer,
};

/// Versions: 0 without a client id (historical), 1, and 2 with tagged fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestHeader {
    /// A number, not an [`crate::ApiKey`]: a client may ask for what we do not know.
    pub request_api_key: i16,
    pub request_api_version: i16,
    pub correlation_id: i32,
    pub client_id: Option<String>,
    pub unknown_tagged_fields: TaggedFields,
}

/// Versions: 0, and 1 with tagged fields.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ResponseHeader {
    pub correlation_id: i32,
    pub unknown_tagged_fields: TaggedFields,
}

const REQUEST: &str = "RequestHeader";
const RESPONSE: &str = "ResponseHeader";

impl Encode for RequestHeader {
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !(0..=2).contains(&version) {
            return Err(EncodeError::unsupported_version(REQUEST, version));
        }
        writer.i16(self.request_api_key);
        writer.i16(self.request_api_version);
        writer.i32(self.correlation_id);
        if version >= 1 {
            // Never compact: a server must be able to read it before it knows the version.
            let written = writer.string(self.client_id.as_deref(), false);
            written.map_err(|error| error.in_field(REQUEST, "client_id"))?;
        }
        encode_tagged(
            &self.unknown_tagged_fields,
            writer,
            REQUEST,
            version,
            version >= 2,
        )
    }
}

impl Decode for RequestHeader {
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        if !(0..=2).contains(&version) {
            return Err(reader
                .error(DecodeErrorKind::UnsupportedVersion(version))
                .in_field(REQUEST, ""));
        }
        decode_request_header(reader, version).map_err(|error| error.in_field(REQUEST, ""))
    }
}

fn decode_request_header(reader: &mut Reader, version: i16) -> Result<RequestHeader, DecodeError> {
    Ok(RequestHeader {
        request_api_key: reader.i16()?,
        request_api_version: reader.i16()?,
        correlation_id: reader.i32()?,
        client_id: if version >= 1 {
            reader.string(false)?
        } else {
            None
        },
        unknown_tagged_fields: decode_tagged(reader, version >= 2)?,
    })
}

impl Encode for ResponseHeader {
    fn encode(&self, writer: &mut Writer, version: i16) -> Result<(), EncodeError> {
        if !(0..=1).contains(&version) {
            return Err(EncodeError::unsupported_version(RESPONSE, version));
        }
        writer.i32(self.correlation_id);
        encode_tagged(
            &self.unknown_tagged_fields,
            writer,
            RESPONSE,
            version,
            version >= 1,
        )
    }
}

impl Decode for ResponseHeader {
    fn decode(reader: &mut Reader, version: i16) -> Result<Self, DecodeError> {
        if !(0..=1).contains(&version) {
            return Err(reader
                .error(DecodeErrorKind::UnsupportedVersion(version))
                .in_field(RESPONSE, ""));
        }
        decode_response_header(reader, version).map_err(|error| error.in_field(RESPONSE, ""))
    }
}

fn decode_response_header(
    reader: &mut Reader,
    version: i16,
) -> Result<ResponseHeader, DecodeError> {
    Ok(ResponseHeader {
        correlation_id: reader.i32()?,
        unknown_tagged_fields: decode_tagged(reader, version >= 1)?,
    })
}

fn encode_tagged(
    fields: &TaggedFields,
    writer: &mut Writer,
    structure: &'static str,
    version: i16,
    flexible: bool,
) -> Result<(), EncodeError> {
    if flexible {
        fields.begin(writer, 0)?.write_rest(writer)
    } else if fields.is_empty() {
        Ok(())
    } else {
        Err(EncodeError::not_in_version(
            structure,
            "unknown_tagged_fields",
            version,
        ))
    }
}

fn decode_tagged(reader: &mut Reader, flexible: bool) -> Result<TaggedFields, DecodeError> {
    if flexible {
        reader.tagged_fields(|_, _| Ok(false))
    } else {
        Ok(TaggedFields::default())
    }
}

/// The part of a request header that has been the same in every version of Kafka.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct HeaderPeek {
    pub api_key: i16,
    pub api_version: i16,
    pub correlation_id: i32,
    /// `None`: null, or not there, or not UTF-8.
    pub client_id: Option<String>,
}

/// Looks at a frame without its size prefix; safe on anything.
///
/// # Errors
/// Fewer than 8 bytes: there is no correlation id to answer to.
pub fn peek(frame: &Bytes) -> Result<HeaderPeek, DecodeError> {
    let mut reader = Reader::new(frame.clone());
    let mut fixed = || Ok((reader.i16()?, reader.i16()?, reader.i32()?));
    let (api_key, api_version, correlation_id) =
        fixed().map_err(|error: DecodeError| error.in_field(REQUEST, ""))?;
    let client_id = reader.string(false).unwrap_or_default();
    Ok(HeaderPeek {
        api_key,
        api_version,
        correlation_id,
        client_id,
    })
}
