//! Randomness: ChaCha, one stream per purpose, so that one more draw in one does not move the others.

/// What a draw is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Stream {
    /// Timer jitter, e.g. election timeouts.
    Timer,
    /// Ids and tokens: directory ids, topic ids, cluster ids, incarnations.
    Identity,
    /// Client-side choices: partitioner, back-off jitter.
    Client,
}

/// A node's random source.
pub trait Random: Send + Sync {
    /// 64 uniformly random bits.
    fn next_u64(&self, stream: Stream) -> u64;
}

/// A uniform draw from `low..=high`; `low` if the range is empty.
pub fn in_range(random: &dyn Random, stream: Stream, low: u64, high: u64) -> u64 {
    if high <= low {
        return low;
    }
    let span = u128::from(high - low) + 1;
    let scaled = (u128::from(random.next_u64(stream)) * span) >> 64;
    low + u64::try_from(scaled).expect("a product shifted by 64 is below the 64-bit span")
}

/// 16 random bytes of the identity stream, as for Kafka's Uuid; never all zero.
pub fn uuid(random: &dyn Random) -> [u8; 16] {
    let mut bytes = [0; 16];
    bytes[..8].copy_from_slice(&random.next_u64(Stream::Identity).to_be_bytes());
    bytes[8..].copy_from_slice(&random.next_u64(Stream::Identity).to_be_bytes());
    bytes[15] |= 1;
    bytes
}
