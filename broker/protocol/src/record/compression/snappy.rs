//! Snappy as Kafka clients send it: in the xerial framing of the Java library, or as one raw block.

use crate::record::{BatchError, Compression};

const XERIAL_MAGIC: &[u8; 8] = b"\x82SNAPPY\0";
/// Magic, version 1 and lowest compatible version 1, both big-endian.
const XERIAL_HEADER: &[u8; 16] = b"\x82SNAPPY\0\0\0\0\x01\0\0\0\x01";
const XERIAL_BLOCK_BYTES: usize = 32 * 1024;
/// The longest copy makes 64 bytes of 3; a declared size beyond that ratio is a lie.
const EXPANSION_MAX: usize = 22;

pub(super) fn compress(bytes: &[u8]) -> Vec<u8> {
    let mut encoder = snap::raw::Encoder::new();
    let mut out = XERIAL_HEADER.to_vec();
    for block in bytes.chunks(XERIAL_BLOCK_BYTES) {
        let compressed = encoder
            .compress_vec(block)
            .expect("a block is far below snappy's 4 GiB");
        let length = u32::try_from(compressed.len()).expect("a block is far below 4 GiB");
        out.extend_from_slice(&length.to_be_bytes());
        out.extend_from_slice(&compressed);
    }
    out
}

pub(super) fn decompress(bytes: &[u8], limit_bytes: usize) -> Result<Vec<u8>, BatchError> {
    let mut out = Vec::new();
    if !bytes.starts_with(XERIAL_MAGIC) {
        append_block(&mut out, bytes, limit_bytes)?;
        return Ok(out);
    }
    let mut rest = bytes.get(XERIAL_HEADER.len()..).ok_or_else(corrupt)?;
    while !rest.is_empty() {
        let (length, after) = rest.split_first_chunk::<4>().ok_or_else(corrupt)?;
        let length = usize::try_from(u32::from_be_bytes(*length)).map_err(|_| corrupt())?;
        let (block, after) = after.split_at_checked(length).ok_or_else(corrupt)?;
        append_block(&mut out, block, limit_bytes)?;
        rest = after;
    }
    Ok(out)
}

fn append_block(out: &mut Vec<u8>, block: &[u8], limit_bytes: usize) -> Result<(), BatchError> {
    let size = snap::raw::decompress_len(block).map_err(|_| corrupt())?;
    if size > block.len().saturating_mul(EXPANSION_MAX) {
        return Err(corrupt());
    }
    let start = out.len();
    let end = start.saturating_add(size);
    if end > limit_bytes {
        return Err(BatchError::DecompressedTooLarge {
            compression: Compression::Snappy,
            limit_bytes,
        });
    }
    out.resize(end, 0);
    let written = snap::raw::Decoder::new().decompress(block, &mut out[start..]);
    if written.map_err(|_| corrupt())? == size {
        Ok(())
    } else {
        Err(corrupt())
    }
}

fn corrupt() -> BatchError {
    BatchError::CorruptCompression(Compression::Snappy)
}
