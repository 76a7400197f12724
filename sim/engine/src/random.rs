//! Salted random streams: every purpose has its own, so one more draw in one does not move the others.

use std::sync::{Mutex, PoisonError};

use broker_env::{Random, Stream};
use rand_chacha::ChaCha8Rng;
use rand_core::{RngCore, SeedableRng};

/// The stream of a purpose (and an owner, such as a node's name) under a master seed.
pub fn salted(master_seed: u64, purpose: &str, owner: &str) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&master_seed.to_le_bytes());
    key[8..16].copy_from_slice(&fnv(purpose).to_le_bytes());
    key[16..24].copy_from_slice(&fnv(owner).to_le_bytes());
    key[24..].copy_from_slice(b"trial-v1");
    ChaCha8Rng::from_seed(key)
}

pub fn fnv(text: &str) -> u64 {
    text.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0000_0100_0000_01b3)
    })
}

/// A uniform draw below `bound`; 0 if `bound` is 0.
pub fn below(random: &mut ChaCha8Rng, bound: u64) -> u64 {
    let scaled = (u128::from(random.next_u64()) * u128::from(bound)) >> 64;
    u64::try_from(scaled).expect("a product shifted by 64 is below the 64-bit bound")
}

/// A uniform index below `length`, drawn from 32 bits; `length` must fit them.
pub fn index(random: &mut ChaCha8Rng, length: usize) -> usize {
    let length = u64::try_from(length).expect("usize is at most 64 bits");
    let scaled = (u64::from(random.next_u32()) * length) >> 32;
    usize::try_from(scaled).expect("below length")
}

/// A node's random source. It goes on over restarts, so incarnations draw different ids.
pub struct NodeRandom {
    streams: Mutex<[ChaCha8Rng; 3]>,
}

impl NodeRandom {
    pub fn new(master_seed: u64, node: &str) -> NodeRandom {
        let streams =
            ["timer", "identity", "client"].map(|purpose| salted(master_seed, purpose, node));
        NodeRandom {
            streams: Mutex::new(streams),
        }
    }
}

impl Random for NodeRandom {
    fn next_u64(&self, stream: Stream) -> u64 {
        let slot = match stream {
            Stream::Timer => 0,
            Stream::Identity => 1,
            Stream::Client => 2,
        };
        self.streams.lock().unwrap_or_else(PoisonError::into_inner)[slot].next_u64()
    }
}
