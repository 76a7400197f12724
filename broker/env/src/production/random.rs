//! Randomness seeded by the operating system. ChaCha20, because identities must not be guessable.

use std::sync::{Mutex, PoisonError};

use rand_chacha::ChaCha20Rng;
use rand_core::{RngCore, SeedableRng};

use crate::{Random, Stream};

pub(super) struct SystemRandom {
    timer: Mutex<ChaCha20Rng>,
    identity: Mutex<ChaCha20Rng>,
    client: Mutex<ChaCha20Rng>,
}

impl SystemRandom {
    pub(super) fn new() -> SystemRandom {
        let stream = || Mutex::new(ChaCha20Rng::from_os_rng());
        SystemRandom {
            timer: stream(),
            identity: stream(),
            client: stream(),
        }
    }
}

impl Random for SystemRandom {
    fn next_u64(&self, stream: Stream) -> u64 {
        let source = match stream {
            Stream::Timer => &self.timer,
            Stream::Identity => &self.identity,
            Stream::Client => &self.client,
        };
        source
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .next_u64()
    }
}
