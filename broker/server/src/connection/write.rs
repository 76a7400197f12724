//! Answers into a byte stream: short ones together, long ones from where they are.

use std::collections::VecDeque;
use std::io::{self, IoSlice};

use broker_env::BoxConnection;
use bytes::{Buf, Bytes, BytesMut};
use tokio::io::AsyncWriteExt;

/// Below this size in bytes, copying is cheaper than one more piece to write.
const CHUNK_MIN: usize = 1024;
/// Room for the frame of most answers, in bytes.
const SHORT_CAPACITY: usize = 512;

/// Chunks that wait to be written, in order.
#[derive(Default)]
pub(super) struct Outgoing {
    chunks: VecDeque<Bytes>,
    /// Bytes in `chunks`.
    bytes: usize,
    /// Short chunks after those.
    short: BytesMut,
}

impl Outgoing {
    pub(super) fn push(&mut self, chunk: Bytes) {
        if chunk.len() < CHUNK_MIN {
            if self.short.capacity() == 0 {
                self.short.reserve(SHORT_CAPACITY);
            }
            self.short.extend_from_slice(&chunk);
        } else {
            self.end_short();
            self.push_whole(chunk);
        }
    }

    fn end_short(&mut self) {
        if !self.short.is_empty() {
            let short = self.short.split().freeze();
            self.push_whole(short);
        }
    }

    fn push_whole(&mut self, chunk: Bytes) {
        self.bytes += chunk.len();
        self.chunks.push_back(chunk);
    }

    /// Writes everything and flushes.
    pub(super) async fn send(mut self, connection: &mut BoxConnection) -> io::Result<()> {
        self.end_short();
        connection.write_all_buf(&mut self).await?;
        connection.flush().await
    }
}

impl Buf for Outgoing {
    fn remaining(&self) -> usize {
        self.bytes
    }

    fn chunk(&self) -> &[u8] {
        self.chunks.front().map_or(&[], |chunk| chunk)
    }

    fn chunks_vectored<'a>(&'a self, slices: &mut [IoSlice<'a>]) -> usize {
        let count = slices.len().min(self.chunks.len());
        for (slice, chunk) in slices.iter_mut().zip(&self.chunks) {
            *slice = IoSlice::new(chunk);
        }
        count
    }

    fn advance(&mut self, count: usize) {
        self.bytes = self
            .bytes
            .checked_sub(count)
            .expect("no more than is there");
        let mut left = count;
        while let Some(front) = self.chunks.front_mut().filter(|_| left > 0) {
            let step = left.min(front.len());
            front.advance(step);
            left -= step;
            if front.is_empty() {
                self.chunks.pop_front();
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn advances_over_chunks_in_any_steps() {
        let whole: Vec<u8> = (0..100).collect();
        for step in 1..=whole.len() {
            let mut outgoing = Outgoing::default();
            for part in whole.chunks(7) {
                outgoing.push_whole(Bytes::copy_from_slice(part));
            }
            let mut written = Vec::new();
            while outgoing.has_remaining() {
                let mut slices = [IoSlice::new(&[]); 4];
                let count = outgoing.chunks_vectored(&mut slices);
                let seen: Vec<u8> = slices[..count]
                    .iter()
                    .flat_map(|slice| slice.to_vec())
                    .collect();
                assert!(seen.starts_with(outgoing.chunk()), "both views begin alike");
                let taken = step.min(seen.len());
                written.extend_from_slice(&seen[..taken]);
                outgoing.advance(taken);
            }
            assert_eq!(written, whole);
        }
    }

    #[test]
    fn short_chunks_are_joined_and_long_ones_are_not_copied() {
        let long = Bytes::from(vec![7; CHUNK_MIN]);
        let mut outgoing = Outgoing::default();
        for chunk in [
            Bytes::from("a"),
            Bytes::new(),
            Bytes::from("b"),
            long.clone(),
            Bytes::from("c"),
        ] {
            outgoing.push(chunk);
        }
        outgoing.end_short();
        assert_eq!(outgoing.chunks[0], "ab");
        assert_eq!(outgoing.chunks[1].as_ptr(), long.as_ptr());
        assert_eq!(outgoing.chunks[2], "c");
        assert_eq!(outgoing.remaining(), CHUNK_MIN + 3);
    }
}
