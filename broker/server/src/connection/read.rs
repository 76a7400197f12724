//! Frames out of a byte stream.
//!
//! Small frames share a buffer. A long one gets a buffer of its own and of its size: its records can then stay
//! where the socket put them, and nothing else keeps that memory.

use std::io;

use broker_env::BoxConnection;
use broker_protocol::frame::{FrameError, SIZE_PREFIX, parse_size, take_frame};
use bytes::{Bytes, BytesMut};
use tokio::io::AsyncReadExt;

/// What an idle connection holds.
const SHARED_BYTES_MIN: usize = 512;
/// Frames above this have a buffer of their own.
pub(crate) const SHARED_BYTES_MAX: usize = 64 * 1024;
/// Taken on the word of a size prefix; more only as bytes arrive.
const TRUSTED_BYTES: usize = 1024 * 1024;

pub(super) struct ReadBuffer {
    bytes: BytesMut,
    /// Room for a read between frames; grows with what the peer sends.
    room: usize,
    frame_bytes_max: usize,
}

impl ReadBuffer {
    pub(super) fn new(frame_bytes_max: usize) -> ReadBuffer {
        ReadBuffer {
            bytes: BytesMut::new(),
            room: SHARED_BYTES_MIN,
            frame_bytes_max,
        }
    }

    pub(super) fn is_empty(&self) -> bool {
        self.bytes.is_empty()
    }

    /// The next whole frame, without its size prefix.
    pub(super) fn take_frame(&mut self) -> Result<Option<Bytes>, FrameError> {
        let frame = take_frame(&mut self.bytes, self.frame_bytes_max)?;
        match &frame {
            Some(frame) if frame.len() + SIZE_PREFIX > SHARED_BYTES_MAX => {
                // Of the next one only the beginning, which must be moved, goes into the shared buffer.
                self.room = SHARED_BYTES_MIN;
                if self.bytes.is_empty() {
                    // Even an empty remainder would be a second owner of the frame's buffer.
                    self.bytes = BytesMut::new();
                }
            }
            Some(frame) => self.room = self.room.max(frame.len() + SIZE_PREFIX),
            None => self.make_room()?,
        }
        Ok(frame)
    }

    /// Reads once; 0 at the end of the stream. Cancel-safe.
    pub(super) async fn read_from(&mut self, connection: &mut BoxConnection) -> io::Result<usize> {
        let read = connection.read_buf(&mut self.bytes).await?;
        if read > 0 && self.bytes.len() == self.bytes.capacity() {
            self.room = (2 * self.room).min(SHARED_BYTES_MAX);
        }
        Ok(read)
    }

    fn make_room(&mut self) -> Result<(), FrameError> {
        let Some(prefix) = self.bytes.first_chunk::<SIZE_PREFIX>() else {
            if self.bytes.capacity() < self.room {
                self.bytes.reserve(self.room);
            }
            return Ok(());
        };
        let whole = SIZE_PREFIX + parse_size(*prefix, self.frame_bytes_max)?;
        if whole <= SHARED_BYTES_MAX {
            self.bytes.reserve(whole - self.bytes.len());
        } else if self.bytes.capacity() < whole && self.bytes.len() < TRUSTED_BYTES.min(whole) {
            self.move_to(whole.min(TRUSTED_BYTES));
        } else if self.bytes.capacity() == self.bytes.len() {
            self.move_to(whole.min(2 * self.bytes.len()));
        }
        Ok(())
    }

    fn move_to(&mut self, capacity: usize) {
        if self.bytes.capacity() < capacity {
            let mut own = BytesMut::with_capacity(capacity);
            own.extend_from_slice(&self.bytes);
            self.bytes = own;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt;

    /// Takes frames as they come out of a pipe of `pipe` bytes; and whether each was the only owner of its buffer
    /// when it came.
    async fn frames(sizes: &[usize], pipe: usize) -> Vec<(Bytes, bool)> {
        let (mut there, here) = tokio::io::duplex(pipe);
        let mut here: BoxConnection = Box::new(here);
        let mut sent = Vec::new();
        for size in sizes {
            sent.extend_from_slice(&i32::try_from(*size).expect("small").to_be_bytes());
            sent.extend((0..*size).map(|at| u8::try_from(at % 251).expect("below 251")));
        }
        let write = async move {
            there.write_all(&sent).await.expect("the reader reads on");
        };
        let read = async move {
            let mut buffer = ReadBuffer::new(16 << 20);
            let mut taken = Vec::new();
            loop {
                while let Some(frame) = buffer.take_frame().expect("sizes are fine") {
                    let unique = frame.is_unique();
                    taken.push((frame, unique));
                }
                if buffer.read_from(&mut here).await.expect("a pipe reads") == 0 {
                    return taken;
                }
            }
        };
        tokio::join!(write, read).1
    }

    #[tokio::test(flavor = "current_thread")]
    async fn frames_of_all_sizes_come_out_whole() {
        let sizes = [
            0,
            1,
            511,
            512,
            65_531,
            65_532,
            65_533,
            3,
            1 << 20,
            3 << 20,
            100,
            70_000,
            70_000,
        ];
        for pipe in [1000, 1 << 14, 1 << 23] {
            let taken = frames(&sizes, pipe).await;
            let lengths: Vec<usize> = taken.iter().map(|(frame, _)| frame.len()).collect();
            assert_eq!(lengths, sizes);
            for (frame, _) in &taken {
                assert!(
                    frame
                        .iter()
                        .enumerate()
                        .all(|(at, byte)| usize::from(*byte) == at % 251)
                );
            }
        }
    }

    #[tokio::test(flavor = "current_thread")]
    async fn a_long_frame_has_its_buffer_to_itself() {
        for (frame, unique) in frames(&[100, 1_000_000, 2_000_000, 100_000], 1 << 16).await {
            assert!(
                unique || frame.len() <= SHARED_BYTES_MAX,
                "{} bytes",
                frame.len()
            );
        }
    }

    #[test]
    fn a_size_prefix_alone_takes_little_memory() {
        let mut buffer = ReadBuffer::new(1 << 30);
        buffer.bytes.extend_from_slice(&(1_i32 << 29).to_be_bytes());
        assert_eq!(buffer.take_frame(), Ok(None));
        assert!(buffer.bytes.capacity() <= TRUSTED_BYTES);
    }
}
