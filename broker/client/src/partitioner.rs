//! Which partition a record without one goes to: by key as Kafka's default partitioner does, else sticky.

/// Kafka's murmur2 of a key, the one that all its clients place keys by.
pub fn murmur2(data: &[u8]) -> u32 {
    const SEED: u32 = 0x9747_b28c;
    const M: u32 = 0x5bd1_e995;
    // Kafka's length is a Java int; a key is far smaller than 4 GiB.
    let length = u32::try_from(data.len()).unwrap_or(u32::MAX);
    let mut hash = SEED ^ length;
    let (words, tail) = data.as_chunks::<4>();
    for word in words {
        let mut k = u32::from_le_bytes(*word).wrapping_mul(M);
        k ^= k >> 24;
        hash = hash.wrapping_mul(M) ^ k.wrapping_mul(M);
    }
    if !tail.is_empty() {
        let mut last = [0; 4];
        last[..tail.len()].copy_from_slice(tail);
        hash = (hash ^ u32::from_le_bytes(last)).wrapping_mul(M);
    }
    hash ^= hash >> 13;
    hash = hash.wrapping_mul(M);
    hash ^ (hash >> 15)
}

/// The partition of a key among `count` partitions.
pub(crate) fn of_key(key: &[u8], count: u32) -> u32 {
    (murmur2(key) & 0x7fff_ffff) % count.max(1)
}

/// Stays with a partition until about a batch of bytes went there (KIP-480, KIP-794).
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct Sticky {
    current: Option<i32>,
    bytes: u64,
}

impl Sticky {
    /// `choose` is asked for one of the available partitions when it is time for another.
    pub fn next(&mut self, size: u32, batch_size: u32, choose: impl FnOnce() -> i32) -> i32 {
        if self.bytes >= u64::from(batch_size) {
            self.current = None;
            self.bytes = 0;
        }
        self.bytes += u64::from(size);
        *self.current.get_or_insert_with(choose)
    }

    /// The partition is of no use now.
    pub fn leave(&mut self, partition: i32) {
        self.current.take_if(|current| *current == partition);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Values of Kafka's own UtilsTest.
    #[test]
    fn murmur2_is_kafkas() {
        let cases: [(&[u8], u32); 5] = [
            (b"21", (-973_932_308_i32).cast_unsigned()),
            (b"foobar", (-790_332_482_i32).cast_unsigned()),
            (
                b"a-little-bit-long-string",
                (-985_981_536_i32).cast_unsigned(),
            ),
            (
                b"a-little-bit-longer-string",
                (-1_486_304_829_i32).cast_unsigned(),
            ),
            (b"abc", 479_470_107),
        ];
        for (key, hash) in cases {
            assert_eq!(murmur2(key), hash, "{}", String::from_utf8_lossy(key));
        }
    }

    #[test]
    fn keyless_records_stay_until_a_batch_is_full() {
        let mut sticky = Sticky::default();
        let partitions: Vec<i32> = (0..5).map(|drawn| sticky.next(50, 100, || drawn)).collect();
        assert_eq!(partitions, [0, 0, 2, 2, 4]);
    }
}
