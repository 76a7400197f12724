//! The codecs of record batches. Levels are the libraries' defaults, as Kafka's are.

use std::fmt;
use std::io::{Read, Write};

use super::BatchError;

mod snappy;

/// Codec of a batch's records; the discriminants are the ids in the batch attributes.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Compression {
    #[default]
    None = 0,
    Gzip = 1,
    Snappy = 2,
    Lz4 = 3,
    Zstd = 4,
}

impl Compression {
    /// All codecs, by id.
    pub const ALL: [Compression; 5] = [
        Compression::None,
        Compression::Gzip,
        Compression::Snappy,
        Compression::Lz4,
        Compression::Zstd,
    ];

    /// The codec of an id in batch attributes.
    pub fn from_id(id: u8) -> Result<Compression, BatchError> {
        let known = Compression::ALL.get(usize::from(id)).copied();
        known.ok_or(BatchError::UnknownCompression(id))
    }

    /// The id in batch attributes.
    pub fn id(self) -> u8 {
        match self {
            Compression::None => 0,
            Compression::Gzip => 1,
            Compression::Snappy => 2,
            Compression::Lz4 => 3,
            Compression::Zstd => 4,
        }
    }

    /// The name in `compression.type`.
    pub fn name(self) -> &'static str {
        match self {
            Compression::None => "none",
            Compression::Gzip => "gzip",
            Compression::Snappy => "snappy",
            Compression::Lz4 => "lz4",
            Compression::Zstd => "zstd",
        }
    }

    /// The codec of a `compression.type` value.
    pub fn from_name(name: &str) -> Option<Compression> {
        Compression::ALL
            .into_iter()
            .find(|codec| codec.name() == name)
    }
}

impl fmt::Display for Compression {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(self.name())
    }
}

/// Compresses; deterministic for equal input.
pub fn compress(compression: Compression, bytes: &[u8]) -> Vec<u8> {
    match compression {
        Compression::None => bytes.to_vec(),
        Compression::Gzip => gzip(bytes),
        Compression::Snappy => snappy::compress(bytes),
        Compression::Lz4 => lz4(bytes),
        Compression::Zstd => zstd::encode_all(bytes, zstd::DEFAULT_COMPRESSION_LEVEL)
            .expect("memory to memory does not fail"),
    }
}

/// Decompresses into at most `limit_bytes`; memory grows with what comes out, not with what the input declares.
pub fn decompress(
    compression: Compression,
    bytes: &[u8],
    limit_bytes: usize,
) -> Result<Vec<u8>, BatchError> {
    match compression {
        Compression::None => read_bounded(bytes, compression, limit_bytes),
        Compression::Gzip => read_bounded(
            flate2::bufread::MultiGzDecoder::new(bytes),
            compression,
            limit_bytes,
        ),
        Compression::Snappy => snappy::decompress(bytes, limit_bytes),
        Compression::Lz4 => read_bounded(
            lz4_flex::frame::FrameDecoder::new(bytes),
            compression,
            limit_bytes,
        ),
        Compression::Zstd => {
            // The library reserves the declared window, at most 128 MiB, as level 22 of Kafka clients needs it.
            let decoder = zstd::Decoder::with_buffer(bytes)
                .map_err(|_| BatchError::CorruptCompression(compression))?;
            read_bounded(decoder, compression, limit_bytes)
        }
    }
}

fn gzip(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::default());
    encoder
        .write_all(bytes)
        .expect("memory to memory does not fail");
    encoder.finish().expect("memory to memory does not fail")
}

/// Independent blocks of 64 KiB: the only lz4 frames that Kafka's Java reader accepts have independent blocks.
fn lz4(bytes: &[u8]) -> Vec<u8> {
    let info = lz4_flex::frame::FrameInfo::new()
        .block_mode(lz4_flex::frame::BlockMode::Independent)
        .block_size(lz4_flex::frame::BlockSize::Max64KB);
    let mut encoder = lz4_flex::frame::FrameEncoder::with_frame_info(info, Vec::new());
    encoder
        .write_all(bytes)
        .expect("memory to memory does not fail");
    encoder.finish().expect("memory to memory does not fail")
}

fn read_bounded(
    reader: impl Read,
    compression: Compression,
    limit_bytes: usize,
) -> Result<Vec<u8>, BatchError> {
    let limit = u64::try_from(limit_bytes).unwrap_or(u64::MAX);
    let mut out = Vec::new();
    let read = reader.take(limit.saturating_add(1)).read_to_end(&mut out);
    read.map_err(|_| BatchError::CorruptCompression(compression))?;
    if out.len() > limit_bytes {
        return Err(BatchError::DecompressedTooLarge {
            compression,
            limit_bytes,
        });
    }
    Ok(out)
}
