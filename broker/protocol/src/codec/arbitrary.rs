//! Values for round-trip tests: any value that exists at a version, from a seed.

use bytes::Bytes;

use super::{TaggedField, TaggedFields};
use crate::ids::Uuid;

/// A value that survives encoding and decoding at `version`.
pub trait Arbitrary: Sized {
    fn arbitrary(generator: &mut Generator, version: i16) -> Self;
}

/// A small deterministic source (splitmix64); only for tests.
#[derive(Clone, Debug)]
pub struct Generator {
    state: u64,
}

impl Generator {
    pub fn new(seed: u64) -> Generator {
        Generator { state: seed }
    }

    pub fn next_u64(&mut self) -> u64 {
        self.state = self.state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut value = self.state;
        value = (value ^ (value >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        value = (value ^ (value >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        value ^ (value >> 31)
    }

    /// A number in `0..bound`.
    pub fn below(&mut self, bound: usize) -> usize {
        let bound = u64::try_from(bound).expect("usize has 64 bits or fewer");
        usize::try_from(self.next_u64() % bound).expect("below a usize")
    }

    pub fn one_in(&mut self, odds: usize) -> bool {
        self.below(odds) == 0
    }

    /// Mostly short; sometimes past the width of a one-byte varint.
    fn length(&mut self) -> usize {
        match self.below(32) {
            0 => 130 + self.below(200),
            1..=8 => 0,
            _ => 1 + self.below(12),
        }
    }

    /// Fields with tags nobody has, in tag order, around the known tags.
    pub fn unknown_tagged_fields(&mut self, known: &[u32]) -> TaggedFields {
        let mut fields = TaggedFields::default();
        if !self.one_in(4) {
            return fields;
        }
        let gap = if self.one_in(2) { 3 } else { 300 };
        let mut tag = 0;
        for _ in 0..self.below(4) {
            tag += u32::try_from(self.below(gap)).expect("below 300");
            if !known.contains(&tag) {
                fields.push(TaggedField {
                    tag,
                    data: self.bytes(),
                });
            }
            tag += 1;
        }
        fields
    }

    fn bytes(&mut self) -> Bytes {
        let length = self.length();
        (0..length)
            .map(|_| self.next_u64().to_le_bytes()[0])
            .collect()
    }
}

macro_rules! numbers {
    ($($ty:ty)*) => {
        $(impl Arbitrary for $ty {
            fn arbitrary(generator: &mut Generator, _: i16) -> Self {
                let edges = [0, 1, <$ty>::MIN, <$ty>::MAX, <$ty>::MAX - 1];
                if generator.one_in(3) {
                    return edges[generator.below(edges.len())];
                }
                let mut bytes = [0; size_of::<$ty>()];
                bytes.copy_from_slice(&generator.next_u64().to_le_bytes()[..size_of::<$ty>()]);
                <$ty>::from_le_bytes(bytes)
            }
        })*
    };
}

numbers!(i8 i16 i32 i64 u16 u32);

impl Arbitrary for bool {
    fn arbitrary(generator: &mut Generator, _: i16) -> Self {
        generator.one_in(2)
    }
}

impl Arbitrary for f64 {
    /// Finite, so that equality holds.
    fn arbitrary(generator: &mut Generator, version: i16) -> Self {
        f64::from(i32::arbitrary(generator, version)) / 8.0
    }
}

impl Arbitrary for Uuid {
    fn arbitrary(generator: &mut Generator, _: i16) -> Self {
        let value = (u128::from(generator.next_u64()) << 64) | u128::from(generator.next_u64());
        Uuid(value.to_be_bytes())
    }
}

impl Arbitrary for String {
    fn arbitrary(generator: &mut Generator, _: i16) -> Self {
        const LETTERS: [char; 8] = ['a', 'Z', '0', '.', '-', '\0', 'é', '𝄞'];
        let length = generator.length();
        (0..length)
            .map(|_| LETTERS[generator.below(LETTERS.len())])
            .collect()
    }
}

impl Arbitrary for Bytes {
    fn arbitrary(generator: &mut Generator, _: i16) -> Self {
        generator.bytes()
    }
}

impl<T: Arbitrary> Arbitrary for Vec<T> {
    fn arbitrary(generator: &mut Generator, version: i16) -> Self {
        (0..generator.below(4))
            .map(|_| T::arbitrary(generator, version))
            .collect()
    }
}
