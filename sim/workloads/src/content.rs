//! Records that name themselves: a value begins with its number, and a hash covers all of a record.

use broker_client::Header;
use bytes::{BufMut, Bytes, BytesMut};

/// A value of `size` bytes that begins with `number`; the rest follows from it.
pub fn value(number: u64, size: usize) -> Bytes {
    let mut bytes = BytesMut::with_capacity(size.max(8));
    bytes.put_u64(number);
    let filler = number.wrapping_mul(0x9e37_79b9_7f4a_7c15).to_be_bytes();
    while bytes.len() < size {
        let left = size - bytes.len();
        bytes.put_slice(&filler[..left.min(filler.len())]);
    }
    bytes.freeze()
}

/// The number a value begins with; `None` if it is not one of ours.
pub fn number_of(bytes: Option<&Bytes>) -> Option<u64> {
    let bytes = bytes?;
    let number = u64::from_be_bytes(*bytes.first_chunk::<8>()?);
    (*bytes == value(number, bytes.len())).then_some(number)
}

/// FNV-1a over key, value, headers and timestamp (ms), each with its length.
pub fn hash(key: Option<&Bytes>, value: Option<&Bytes>, headers: &[Header], timestamp: i64) -> u64 {
    let mut hash = Fnv::new();
    hash.field(key);
    hash.field(value);
    for header in headers {
        hash.field(Some(&header.key));
        hash.field(header.value.as_ref());
    }
    hash.bytes(&timestamp.to_be_bytes());
    hash.0
}

struct Fnv(u64);

impl Fnv {
    fn new() -> Fnv {
        Fnv(0xcbf2_9ce4_8422_2325)
    }

    fn bytes(&mut self, bytes: &[u8]) {
        for byte in bytes {
            self.0 = (self.0 ^ u64::from(*byte)).wrapping_mul(0x0000_0100_0000_01b3);
        }
    }

    fn field(&mut self, field: Option<&Bytes>) {
        let length = field.map_or(u64::MAX, |field| {
            u64::try_from(field.len()).expect("a length fits 64 bits")
        });
        self.bytes(&length.to_be_bytes());
        self.bytes(field.map_or(&[], |field| field));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_value_tells_its_number_and_any_damage() {
        for size in [8, 9, 64, 1000] {
            let bytes = value(77, size);
            assert_eq!((bytes.len(), number_of(Some(&bytes))), (size, Some(77)));
        }
        let mut damaged = BytesMut::from(&value(77, 64)[..]);
        damaged[40] ^= 1;
        assert_eq!(number_of(Some(&damaged.freeze())), None);
        assert_eq!(number_of(Some(&Bytes::from_static(b"short"))), None);
        assert_eq!(number_of(None), None);
    }

    #[test]
    fn the_hash_sees_every_part() {
        let (key, body) = (Bytes::from_static(b"k"), Bytes::from_static(b"v"));
        let header = Header {
            key: Bytes::from_static(b"h"),
            value: None,
        };
        let plain = hash(Some(&key), Some(&body), &[], 1);
        assert_eq!(plain, hash(Some(&key), Some(&body), &[], 1));
        let others = [
            hash(None, Some(&body), &[], 1),
            hash(Some(&key), None, &[], 1),
            hash(Some(&body), Some(&key), &[], 1),
            hash(Some(&key), Some(&body), &[header], 1),
            hash(Some(&key), Some(&body), &[], 2),
            hash(
                Some(&Bytes::from_static(b"kv")),
                Some(&Bytes::new()),
                &[],
                1,
            ),
        ];
        assert!(others.iter().all(|other| *other != plain));
    }
}
